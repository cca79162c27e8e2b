"""Folded models against an explicit map between pooled states, by scikit-learn and the cut encoders."""

import logging

import numpy as np
import pytest
import torch
from convexprune.models import encoders, folding, padding, windows
from convexprune.models.pruning import prune
from encoder_factory import ARCHITECTURES, LAYERS, make_encoder, make_feature_extractor
from sklearn.linear_model import Ridge
from transformers import AutoModelForAudioClassification, Wav2Vec2ForCTC, Wav2Vec2ForXVector

CUT = ("whisper-cut", False)  # to the length of the clips
CLIPS = np.random.default_rng(0).normal(0.02, 0.1, (30, 4000)).astype(np.float32)
CLIPS *= np.random.default_rng(1).uniform(0.1, 1, (30, 1)).astype(np.float32)
TRAINED, HELD_OUT = CLIPS[:24], CLIPS[24:]


@pytest.fixture(params=[*ARCHITECTURES, CUT], ids=lambda pair: pair[0] + ("-stable" if pair[1] else ""))
def classifier(request):
    """(classifier of 3 labels, feature extractor)"""
    family, stable = request.param
    name = family.removesuffix("-cut")
    model, extractor = make_encoder(name, stable, head=True), make_feature_extractor(name)
    if name != family:
        extractor, _ = windows.cut(encoders.base_encoder(model), extractor, 1, family)
    return model, extractor


def batches(extractor, clips, size=7, labels=None):
    """The clips, in batches of unequal size."""
    for first in range(0, len(clips), size):
        batch = encoders.prepare(extractor, clips[first : first + size])
        yield batch | ({} if labels is None else {"labels": torch.as_tensor(labels[first : first + size])})


def pool(model, extractor, clips):
    """What the head of `model` sees, by a direct call: (B, D)."""
    with torch.inference_mode():
        states = encoders.base_encoder(model)(**encoders.prepare(extractor, clips)).last_hidden_state
    return states.mean(dim=1).double().numpy()


def scores(model, extractor, clips):
    with torch.inference_mode():
        return model(**encoders.prepare(extractor, clips)).logits.numpy()


def test_the_states_of_all_depths_are_those_of_the_cut_models(classifier):
    model, extractor = classifier
    found = folding.pool_depths(model, encoders.prepare(extractor, HELD_OUT))
    expected = [pool(prune(model, layers), extractor, HELD_OUT) for layers in range(LAYERS + 1)]
    np.testing.assert_allclose(found, expected, atol=2e-6)
    again = scores(model, extractor, HELD_OUT)  # nothing is left in the model
    assert again.shape == (len(HELD_OUT), 3)


def test_padding_that_is_masked_does_not_count(classifier):
    """The head on the pooled states gives the logits of the cut models, of a batch of unequal clips."""
    model, extractor = classifier
    heard = padding.measure_heard(model.config, np.array([16000, 9000, 12345, 900, 12025, 16320]))
    clips = np.random.default_rng(2).normal(0.02, 0.1, (6, 16320)).astype(np.float32)
    inputs = encoders.prepare(extractor, clips, heard)
    with padding.ignored(model):
        states = folding.pool_depths(model, inputs)
    weight, bias = folding.whole_head(model)
    for layers, state in enumerate(states):
        cut = prune(model, layers)
        with torch.inference_mode(), padding.ignored(cut):
            expected = cut(**inputs).logits
        np.testing.assert_allclose(state @ weight.float().T + bias.float(), expected, atol=1e-5)


@pytest.mark.parametrize("layers", range(LAYERS + 1))
def test_scores_are_those_of_the_explicit_map(classifier, layers):
    model, extractor = classifier
    moments = folding.gather(model, batches(extractor, TRAINED))
    folded = folding.fold(model, layers, moments, strength=1e-3)

    x, y = pool(prune(model, layers), extractor, TRAINED), pool(model, extractor, TRAINED)
    spread = ((x - x.mean(axis=0)) ** 2).sum(axis=0).mean()
    ridge = Ridge(alpha=1e-3 * spread, solver="svd").fit(x, y - x)
    state = pool(prune(model, layers), extractor, HELD_OUT)
    state = torch.as_tensor(state + ridge.predict(state)).float()
    with torch.inference_mode():
        expected = model.classifier(model.projector(state)).numpy()

    found = scores(folded, extractor, HELD_OUT)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    if layers == LAYERS:
        np.testing.assert_allclose(found, scores(model, extractor, HELD_OUT), atol=1e-5)
    else:
        assert np.abs(found - scores(prune(model, layers), extractor, HELD_OUT)).max() > 1e-3


def test_a_folded_model_has_the_parameters_of_the_cut_one_and_loads_as_it_was(tmp_path, classifier):
    model, extractor = classifier
    before = {name: values.clone() for name, values in model.state_dict().items()}
    moments = folding.gather(model, batches(extractor, TRAINED))
    folded, cut = folding.fold(model, 1, moments, 1e-3), prune(model, 1)
    assert folded.num_parameters() == cut.num_parameters()
    changed = {
        name
        for name, values in folded.state_dict().items()
        if not torch.equal(values, cut.state_dict()[name])
    }
    assert changed == {"projector.weight", "projector.bias"}
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())
    encoders.save_folder(tmp_path, folded, extractor)
    loaded = AutoModelForAudioClassification.from_pretrained(tmp_path)
    np.testing.assert_array_equal(scores(loaded, extractor, HELD_OUT), scores(folded, extractor, HELD_OUT))


def test_moments_are_numpys_whatever_the_batches():
    generator = np.random.default_rng(0)
    states = generator.normal(100, 1, (3, 50, 4)) * [1, 10, 0.1, 5]  # depths, clips, dimensions
    zeros = torch.zeros(3, 4, 4, dtype=torch.float64)
    moments = folding.Moments(0, torch.zeros(3, 4, dtype=torch.float64), zeros, zeros.clone())
    for first, last in ((0, 1), (1, 20), (20, 50)):
        moments.add(torch.as_tensor(states[:, first:last]))
    assert moments.clips == 50
    np.testing.assert_allclose(moments.means, states.mean(axis=1), rtol=1e-12)
    for depth in range(3):
        covariance = 50 * np.cov(states[depth].T, states[-1].T, bias=True)
        np.testing.assert_allclose(moments.within[depth], covariance[:4, :4], rtol=1e-9)
        np.testing.assert_allclose(moments.across[depth], covariance[:4, 4:], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("labelled", [True, False])
def test_every_depth_is_measured_as_its_model_serves(labelled):
    model, extractor = make_encoder("wav2vec2", True, head=True), make_feature_extractor()
    labels = np.random.default_rng(0).integers(3, size=len(CLIPS))
    splits = {"train": CLIPS[:16], "validation": CLIPS[16:23], "test": CLIPS[23:]}
    given = dict(zip(splits, np.split(labels, [16, 23]), strict=True))
    read = {
        name: batches(extractor, clips, 5, given[name] if labelled else None)
        for name, clips in splits.items()
    }
    found = folding.fold_depths(model, read)
    depths, moments, seconds = found.depths, found.moments, found.fold_seconds
    assert depths.index.tolist() == list(range(LAYERS + 1))
    full = {name: scores(model, extractor, clips) for name, clips in splits.items()}
    for layers, row in depths.iterrows():
        errors = {}
        for strength in folding.STRENGTHS:
            folded = folding.fold(model, layers, moments, strength)
            difference = scores(folded, extractor, splits["validation"]) - full["validation"]
            errors[strength] = np.square(difference).mean()
        if layers < LAYERS:
            assert row["strength"] == min(errors, key=errors.get)
        folded = folding.fold(model, layers, moments, row["strength"])
        for split, name in (("validation", "validation_"), ("test", "")):
            by_folded, by_cut = (
                scores(each, extractor, splits[split]).argmax(1) for each in (folded, prune(model, layers))
            )
            assert row[f"{name}agreement"] == pytest.approx((by_folded == full[split].argmax(1)).mean())
            if labelled:
                assert row[f"{name}accuracy"] == pytest.approx((by_folded == given[split]).mean())
                assert row[f"cut_{name}accuracy"] == pytest.approx((by_cut == given[split]).mean())
            else:
                assert np.isnan(row[f"{name}accuracy"]) and np.isnan(row[f"cut_{name}accuracy"])
    assert seconds > 0


def test_states_that_never_change_can_be_folded():
    model, extractor = make_encoder(head=True), make_feature_extractor()
    moments = folding.gather(model, batches(extractor, np.repeat(TRAINED[:1], 5, axis=0), 5))
    moments.within[1] = moments.across[1] = 0
    folded = folding.fold(model, 1, moments, 1e-6)
    assert all(values.isfinite().all() for values in folded.state_dict().values())


def test_few_clips_are_a_warning(caplog):
    model, extractor = make_encoder(head=True), make_feature_extractor()
    few = {split: batches(extractor, CLIPS[:10]) for split in ("train", "validation", "test")}
    with caplog.at_level(logging.WARNING):
        folding.fold_depths(model, few)
    assert "10 clips for maps between 16 dimensions: with 160 or more, folding is safer" in caplog.text


def make_xvector():
    return Wav2Vec2ForXVector(
        make_encoder(xvector_output_dim=4, tdnn_dim=[4], tdnn_kernel=[1], tdnn_dilation=[1]).config
    )


def make_curved():
    model = make_encoder(head=True)
    model.projector = torch.nn.Sequential(model.projector, torch.nn.ReLU())
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_encoder(head=True, use_weighted_layer_sum=True), "use_weighted_layer_sum"),
        (make_encoder, "a Wav2Vec2Model cannot be folded: behind its encoder it has no head"),
        (lambda: Wav2Vec2ForCTC(make_encoder(vocab_size=5).config), "Wav2Vec2ForCTC .* has dropout, lm_head"),
        (make_xvector, "Wav2Vec2ForXVector .* tdnn"),
        (make_curved, "its projector is not linear"),
    ],
)
def test_a_head_that_is_not_linear_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        folding.check_head(make())
