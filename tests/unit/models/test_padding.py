"""With `clips.padding: mask`, a clip in a batch is what it is alone, for every architecture."""

import numpy as np
import pytest
import torch
from convexprune.models import encoders, extraction, padding
from encoder_factory import ARCHITECTURES, LAYERS, make_encoder, make_feature_extractor

# Odd numbers of frames, equal numbers of samples and of frames, one frame, a sample less, less than a frame.
LENGTHS = np.array([16000, 9000, 12345, 12025, 9000, 16400, 16399, 720, 719, 400, 330, 100, 12350])
SECONDS = 1.5
OVERLAPPING = {"conv_kernel": [20, 20]}  # as in real models: a frame sees 400 samples, and starts every 320
CASES = [*((*pair, {}) for pair in ARCHITECTURES), ("hubert", False, {"conv_pos_batch_norm": True})]


@pytest.fixture(params=CASES, ids=lambda case: "-".join([case[0], *["stable"] * case[1], *case[2]]))
def architecture(request):
    return request.param


def make(architecture, head=False):
    family, stable, changes = architecture
    model = make_encoder(family, stable, head, **(changes | ({} if family == "whisper" else OVERLAPPING)))
    return model, make_feature_extractor(family)


def make_clips():
    clips = np.zeros((len(LENGTHS), round(16000 * SECONDS)), np.float32)
    rng = np.random.default_rng(0)
    for clip, length in zip(clips, LENGTHS, strict=True):
        clip[:length] = rng.normal(0.02, 0.1, length)
    return clips


def test_embeddings_in_a_batch_are_those_of_clips_alone(architecture):
    (model, extractor), clips = make(architecture), make_clips()
    together = extraction.pool_layers(model, extractor, clips, LENGTHS, mask=True)
    for number, length in enumerate(LENGTHS):
        clip, samples = clips[[number]], LENGTHS[[number]]
        alone = extraction.pool_layers(model, extractor, clip, samples, mask=True)
        np.testing.assert_allclose(together[:, [number]], alone, rtol=1e-5, atol=1e-5)
        cut = clip[:, : max(length, 720)] if architecture[0] != "whisper" else clip
        np.testing.assert_allclose(
            extraction.pool_layers(model, extractor, cut, samples, mask=True), alone, rtol=1e-5, atol=1e-5
        )


def test_a_direct_call_on_the_unpadded_clip_gives_the_same(architecture):
    """Not for SEW, which drops an odd last frame here, and in a direct call after its positions saw it."""
    family = architecture[0]
    if family == "whisper":
        pytest.skip("Whisper hears its whole window")
    (model, extractor), clips = make(architecture), make_clips()
    pooled = extraction.pool_layers(model, extractor, clips, LENGTHS, mask=True)
    for number, length in enumerate(LENGTHS[:6]):
        if family.startswith("sew"):
            length -= (length - 720) % 640
        inputs = extractor(clips[number, :length], sampling_rate=16000, return_tensors="pt")
        with torch.no_grad():
            states = model(**inputs, output_hidden_states=True).hidden_states
        if family == "wav2vec2-bert":  # its own padding to an even number of spectra is masked
            states = [state[:, : inputs["attention_mask"].sum()] for state in states]
        direct = np.stack([state[0].mean(dim=0).numpy() for state in states])
        np.testing.assert_allclose(pooled[:, number], direct, rtol=1e-5, atol=1e-5)


def test_padding_is_heard_without_a_mask():
    """Else the tests above say nothing."""
    model, extractor, clips = *make(("wav2vec2", False, {})), make_clips()
    masked = extraction.pool_layers(model, extractor, clips, LENGTHS, mask=True)
    heard = extraction.pool_layers(model, extractor, clips, LENGTHS)
    assert np.abs(masked - heard)[:, 1:].max() > 0.01


def classify(model, extractor, clips, lengths):
    heard = padding.measure_heard(model.config, lengths)
    with torch.no_grad(), padding.ignored(model):
        return model(**encoders.prepare(extractor, clips, heard)).logits.numpy()


def test_logits_in_a_batch_are_those_of_clips_alone(architecture):
    model, extractor = make(architecture, head=True)
    clips = make_clips()
    together = classify(model, extractor, clips, LENGTHS)
    alone = [classify(model, extractor, clips[[row]], LENGTHS[[row]])[0] for row in range(len(LENGTHS))]
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)


def test_gradients_in_a_batch_are_the_sum_of_those_of_clips_alone(architecture):
    model, extractor = make(architecture, head=True)
    clips = make_clips()

    def differentiate(rows):
        model.zero_grad()
        heard = padding.measure_heard(model.config, LENGTHS[rows])
        with padding.ignored(model):
            logits = model(**encoders.prepare(extractor, clips[rows], heard)).logits
            logits.logsumexp(dim=1).sum().backward()
        return {
            name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None
        }

    together = differentiate(np.arange(len(LENGTHS)))
    apart = [differentiate(np.array([row])) for row in range(len(LENGTHS))]
    assert any("layers" in name or "layer." in name for name in together)
    for name, found in together.items():
        expected = sum(each[name] for each in apart if name in each)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_the_model_is_as_before_after_the_block(architecture):
    (model, extractor), clips = make(architecture), make_clips()
    inputs = encoders.prepare(extractor, clips)
    with torch.no_grad():
        before = model(**inputs).last_hidden_state
        with padding.ignored(model):
            assert torch.equal(model(**inputs).last_hidden_state, before)  # without a mask: as always
        assert torch.equal(model(**inputs).last_hidden_state, before)
    assert not any("forward" in vars(module) for module in model.modules())
    assert not encoders.base_encoder(model)._forward_pre_hooks


def test_spans_end_with_the_clip():
    """The last 20 ms of a clip have no frame of their own; the nearest is the clip's, not one of padding."""
    model, extractor, clips = *make(("wav2vec2", False, {})), make_clips()
    rows = np.array([1, 0])
    spans = {
        "clip": np.array([0, 0, 1]),
        "start": np.array([0, 8990, 3200]),
        "end": np.array([9000, 9000, 4800]),
    }
    found = extraction.pool_spans(model, extractor, clips[rows], **spans, lengths=LENGTHS[rows])
    assert found.shape == (LAYERS + 1, 3, 16)
    inputs = extractor(clips[1, :9000], sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        [*states] = model(**inputs, output_hidden_states=True).hidden_states
    for layer, state in enumerate(states):
        np.testing.assert_allclose(found[layer, 0], state[0].mean(dim=0), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found[layer, 1], state[0, -1], rtol=1e-5, atol=1e-5)


def test_batch_norms_learn_from_real_frames_alone_once_a_pass():
    """Their means are those of the clips one after the other, without padding; as if they were one clip."""
    model, extractor = make(("wav2vec2-conformer", False, {"layerdrop": 0}), head=True)
    norm = encoders.find_parts(model).layers[0].conv_module.batch_norm
    seen = []
    norm.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    convolution = encoders.find_parts(model).layers[0].conv_module.depthwise_conv
    convolution.register_forward_hook(lambda module, args, output: seen.append(output))
    heard, before = padding.measure_heard(model.config, LENGTHS), norm.running_mean.clone()
    model.train()
    with padding.ignored(model):
        model(**encoders.prepare(extractor, make_clips(), heard))
    assert norm.num_batches_tracked == 1
    values, counts = seen[0].detach(), encoders.find_parts(model).frames.count_in(heard)
    real = torch.cat([clip[:, :count] for clip, count in zip(values, counts, strict=True)], dim=1)
    torch.testing.assert_close(norm.running_mean, 0.9 * before + 0.1 * real.mean(dim=1))
