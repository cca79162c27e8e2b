"""The contract that every architecture keeps: one suite, run over all of them, each built small."""

import json

import numpy as np
import pytest
import torch
from convexprune.data import corpus
from convexprune.finetuning import steps
from convexprune.jobs import files
from convexprune.models import (
    costs,
    devices,
    encoders,
    exporting,
    extraction,
    runtimes,
    sources,
    timing,
    windows,
)
from convexprune.models.pruning import prune
from encoder_factory import ARCHITECTURES, LAYERS, make_encoder, make_feature_extractor
from tones import NAMES, train, write_tones
from transformers import AutoModel, AutoModelForAudioClassification

CLIPS = np.random.default_rng(0).normal(0.02, 0.1, (3, 16000)).astype(np.float32)


CUT = ("whisper-cut", False)  # to the length of the clips
MODELS = {"params": [*ARCHITECTURES, CUT], "ids": lambda pair: pair[0] + ("-stable" if pair[1] else "")}


def make(family, stable, head):
    """(model, feature extractor)"""
    name = family.removesuffix("-cut")
    model, extractor = make_encoder(name, stable, head=head), make_feature_extractor(name)
    if name != family:
        extractor, _ = windows.cut(encoders.base_encoder(model), extractor, 1, family)
    return model, extractor


@pytest.fixture(**MODELS)
def architecture(request):
    """(encoder, feature extractor)"""
    return make(*request.param, head=False)


@pytest.fixture(**MODELS)
def classifier(request):
    """(classifier of 3 labels, feature extractor)"""
    return make(*request.param, head=True)


def without_layers(model, kept):
    """`model`, whose layers from `kept` on hand on what they are given: pruning's meaning, by other means."""

    def hand_on(layer, args, output):
        return (args[0], *output[1:]) if isinstance(output, tuple) else args[0]

    for layer in encoders.find_parts(model).layers[kept:]:
        layer.register_forward_hook(hand_on)
    return model


def test_embeddings_are_those_of_a_direct_call(architecture):
    model, feature_extractor = architecture
    batch = extraction.pool_layers(model, feature_extractor, CLIPS)
    assert batch.shape == (LAYERS + 1, len(CLIPS), 16)
    assert batch.dtype == np.float32
    for index, clip in enumerate(CLIPS):
        with torch.no_grad():
            inputs = feature_extractor(clip, sampling_rate=16000, return_tensors="pt")
            states = model(**inputs, output_hidden_states=True).hidden_states
        # A second has 50 frames; Whisper goes on with padding.
        direct = np.stack([state[0, :50].mean(dim=0).numpy() for state in states])
        alone = extraction.pool_layers(model, feature_extractor, clip[None])[:, 0]
        np.testing.assert_allclose(alone, direct, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(batch[:, index], direct, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layers", range(LAYERS + 1))
def test_a_pruned_model_is_the_full_one_without_its_last_layers(architecture, layers):
    model, feature_extractor = architecture
    inputs = encoders.prepare(feature_extractor, CLIPS)
    before = model(**inputs).last_hidden_state
    pruned = prune(model, layers)
    found = pruned(**inputs).last_hidden_state
    assert encoders.count_layers(pruned) == pruned.config.num_hidden_layers == layers
    assert encoders.count_layers(model) == model.config.num_hidden_layers == LAYERS
    assert torch.equal(model(**inputs).last_hidden_state, before)
    assert torch.equal(found, before) == (layers == LAYERS)
    assert torch.equal(found, without_layers(model, layers)(**inputs).last_hidden_state)


def test_a_pruned_model_shares_no_weights_with_the_one_given(architecture):
    model, feature_extractor = architecture
    inputs = encoders.prepare(feature_extractor, CLIPS)
    before = model(**inputs).last_hidden_state
    with torch.no_grad():
        for weights in prune(model, 1).parameters():
            weights.zero_()
    assert torch.equal(model(**inputs).last_hidden_state, before)


@pytest.mark.parametrize("layers", [0, 2])
def test_a_saved_encoder_loads_as_it_was(tmp_path, architecture, layers):
    model, feature_extractor = architecture
    pruned = prune(model, layers)
    encoders.save_folder(tmp_path, pruned, feature_extractor)
    loaded, loaded_extractor = encoders.load_encoder(tmp_path)
    assert type(loaded) is type(model)
    assert encoders.count_layers(loaded) == layers
    inputs, loaded_inputs = (encoders.prepare(each, CLIPS) for each in (feature_extractor, loaded_extractor))
    assert inputs.keys() == loaded_inputs.keys()
    assert torch.equal(loaded(**loaded_inputs).last_hidden_state, pruned(**inputs).last_hidden_state)


@pytest.mark.parametrize("layers", [0, 2])
def test_a_pruned_classifier_keeps_head_and_labels_and_loads_as_it_was(tmp_path, classifier, layers):
    model, feature_extractor = classifier
    model.config.id2label = {0: "yes", 1: "no", 2: "stop"}
    inputs = encoders.prepare(feature_extractor, CLIPS)
    pruned = prune(model, layers)
    encoders.save_folder(tmp_path, pruned, feature_extractor)
    loaded = AutoModelForAudioClassification.from_pretrained(tmp_path)
    assert loaded.config.id2label == {0: "yes", 1: "no", 2: "stop"}
    assert loaded.config.num_hidden_layers == layers
    assert torch.equal(loaded(**inputs).logits, pruned(**inputs).logits)
    assert torch.equal(pruned(**inputs).logits, without_layers(model, layers)(**inputs).logits)
    encoder, _ = encoders.load_encoder(tmp_path)
    expected = encoders.base_encoder(pruned)(**inputs).last_hidden_state
    assert torch.equal(encoder(**inputs).last_hidden_state, expected)


def test_a_new_head_is_put_on_a_saved_encoder(tmp_path, architecture):
    model, feature_extractor = architecture
    encoders.save_folder(tmp_path, model, feature_extractor)
    classifier = encoders.load_classifier(
        tmp_path, id2label={0: "a", 1: "b"}, classifier_proj_size=5, apply_spec_augment=False, layerdrop=0.5
    )
    inputs = encoders.prepare(feature_extractor, CLIPS)
    assert classifier(**inputs).logits.shape == (len(CLIPS), 2)
    found = encoders.base_encoder(classifier)(**inputs).last_hidden_state
    assert torch.equal(found, model(**inputs).last_hidden_state)
    assert classifier.config.classifier_proj_size == 5
    assert classifier.config.apply_spec_augment is False
    assert 0.5 in (getattr(classifier.config, key, None) for key in ("layerdrop", "encoder_layerdrop"))


@pytest.mark.parametrize("family", ["wav2vec2", "wavlm", "wav2vec2-bert"])
def test_a_classifier_leaves_out_the_adapter_behind_an_encoder(tmp_path, family):
    config = make_encoder(family).config
    config.add_adapter = True
    model, feature_extractor = AutoModel.from_config(config).eval(), make_feature_extractor(family)
    inputs = encoders.prepare(feature_extractor, CLIPS)
    encoders.save_folder(tmp_path, prune(model, 2), feature_extractor)
    encoder, _ = encoders.load_encoder(tmp_path)
    assert encoder.config.add_adapter
    assert torch.equal(encoder(**inputs).last_hidden_state, prune(model, 2)(**inputs).last_hidden_state)
    classifier = encoders.load_classifier(tmp_path, num_labels=3)
    found = encoders.base_encoder(classifier)(**inputs).last_hidden_state
    assert torch.equal(found, model(**inputs, output_hidden_states=True).hidden_states[2])
    counted = costs.count_costs(tmp_path, 3, config.classifier_proj_size)["parameters"]
    assert counted.tolist()[-1] == classifier.num_parameters()


def test_freezing_stops_the_convolutions_alone(classifier):
    model, feature_extractor = classifier
    encoders.freeze_front_end(model)
    loss = model(**encoders.prepare(feature_extractor, CLIPS), labels=torch.tensor([0, 1, 2])).loss
    loss.backward()
    parts = encoders.find_parts(model)
    frozen = {weights for module in parts.front_end for weights in module.parameters()}
    assert bool(frozen) == (model.config.model_type != "wav2vec2-bert")  # a filter bank has no weights
    assert all(weights.grad is None for weights in frozen)
    assert all(weights.grad is not None for name, weights in parts.layers.named_parameters())


def test_models_are_pruned_on_the_meta_device(classifier):
    model, _ = classifier
    with torch.device("meta"):
        empty = type(model)(model.config)
    layer = sum(weights.numel() for weights in encoders.find_parts(model).layers[-1].parameters())
    assert empty.num_parameters() - prune(empty, LAYERS - 1).num_parameters() == layer


@pytest.mark.parametrize("family", dict(ARCHITECTURES))
def test_an_encoder_is_fine_tuned_and_timed(tmp_path, family):
    write_tones(tmp_path)
    origin = {"source": "path", "id": "some/tiny", "revision": None}
    encoders.save_encoder(tmp_path / "tiny", make_encoder(family), make_feature_extractor(family), origin)
    for layers in (LAYERS, 0):
        changes = {"max_steps": 1, "spec_augment": True, "layerdrop": 0.1}
        fine_tuned = train(tmp_path, layers=layers, **changes)
        assert encoders.count_layers(fine_tuned.model) == fine_tuned.metrics["layers"] == layers
        encoders.save_folder(tmp_path / str(layers), fine_tuned.model, fine_tuned.feature_extractor)
        files.write_json(tmp_path / str(layers) / "metrics.json", fine_tuned.metrics)
    folders = tmp_path / str(LAYERS), tmp_path / "0"
    options = {"full_layers": LAYERS, "layers": 0, "machine": devices.begin(0, 1)}
    options["passes"] = timing.Passes(runs=2, warmup=0)
    timed = timing.time_inference(*folders, NAMES, **options)
    assert timed["pruned"]["median"] > 0
    data = tmp_path / "corpus.h5", tmp_path / "words.csv"
    timed = steps.time_steps(*folders, *data, steps=2, machine=devices.begin(0, 1))
    assert timed["step_pruned"]["median"] > 0


LENGTHS = [(family, seconds) for family in ("wav2vec2", "whisper") for seconds in (0.5, 2.5)]


@pytest.mark.parametrize(("family", "seconds"), [*LENGTHS, ("sew", 2.5), ("wav2vec2-bert", 0.5)])
def test_clips_of_another_length_are_embedded_trained_timed_and_exported(tmp_path, family, seconds):
    write_tones(tmp_path)
    encoders.save_folder(tmp_path / "given", make_encoder(family), make_feature_extractor(family))
    sources.import_encoder(tmp_path / "tiny", path=str(tmp_path / "given"), layers=LAYERS, seconds=seconds)
    machine = devices.begin(0, 1)
    extraction.embed(
        tmp_path / "words.h5",
        folder=tmp_path / "tiny",
        recordings=corpus.Corpus(tmp_path / "corpus.h5"),
        dataset=tmp_path / "words.csv",
        identity=NAMES | {"state": "pretrained", "dataset": "words"},
        choice=extraction.Choice("test", LAYERS, "segment", "all", seconds=seconds),
        batch_size=5,
        machine=machine,
    )
    short = {"mask_time_length": 2} if seconds < 1 else {}
    with open(tmp_path / "tiny/config.json", encoding="utf-8") as file:
        files.write_json(tmp_path / "tiny/config.json", json.load(file) | short)
    fine_tuned = train(tmp_path, max_steps=1, spec_augment=True, seconds=seconds)
    encoders.save_folder(tmp_path / "out", fine_tuned.model, fine_tuned.feature_extractor)
    files.write_json(tmp_path / "out/metrics.json", fine_tuned.metrics)
    passes = timing.Passes(2, 0, seconds)
    folders = tmp_path / "out", tmp_path / "out"
    timed = timing.time_inference(*folders, NAMES, full_layers=2, layers=2, passes=passes, machine=machine)
    assert timed["seconds"] == seconds
    steps.time_steps(*folders, tmp_path / "corpus.h5", tmp_path / "words.csv", steps=2, machine=machine)
    exporting.write_onnx(tmp_path / "model.onnx", fine_tuned.model, fine_tuned.feature_extractor, seconds)
    session = runtimes.open_onnx(tmp_path / "model.onnx", 1)
    assert exporting.check_onnx(session, fine_tuned.model, fine_tuned.feature_extractor, seconds) < 1e-4
