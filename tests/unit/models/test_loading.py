"""What Transformers would take from a folder, and this project takes as it is or refuses."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from convexprune import __main__ as command_line
from convexprune.finetuning import finetune
from convexprune.finetuning.recipe import Recipe
from convexprune.models import encoders, exporting, extraction, loading, runtimes, sources
from encoder_factory import ARCHITECTURES, LAYERS, make_encoder, make_feature_extractor
from safetensors.torch import load_file, save_file
from tones import SETTINGS, train, write_tones

CLIPS = torch.randn(2, 16000, generator=torch.Generator().manual_seed(1)).numpy()
FAMILIES = ["wav2vec2", "wav2vec2-bert", "whisper"]


def save(folder, family="wav2vec2", head=False, add_adapter=False, **changes):
    """A folder with a random model of `family`, and that model."""
    model = make_encoder(family, head=head, **changes)
    if add_adapter:  # behind an encoder alone
        model.config.add_adapter = True
        model = transformers.AutoModel.from_config(model.config)
    encoders.save_folder(folder, model, make_feature_extractor(family))
    return model


def change_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def change_weights(folder, change):
    """Write the weights of `folder` again, as `change` makes them: names to tensors."""
    weights = change(load_file(folder / "model.safetensors"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def embed(folder):
    return extraction.pool_layers(*encoders.load_encoder(folder), CLIPS)


# Keys of a config.json that say how a model is called, computed or kept.
CALLS = [
    {"output_hidden_states": True},
    {"output_hidden_states": [0]},
    {"output_attentions": True},
    {"return_dict": False},
    {"use_return_dict": False},
    {"torchscript": True},
    {"tie_last_hidden_states": True},
    {"tie_last_hidden_states": False},
    {"attn_implementation": "eager"},
    {"attn_implementation": "flash_attention_2"},
    {"_attn_implementation": "flash_attention_2"},
    {"experts_implementation": "none"},
    {"gradient_checkpointing": True},
    {"dtype": "float16"},
    {"torch_dtype": "bfloat16"},
    {"chunk_size_feed_forward": 4},
    {"distributed_config": {}},
    {"fusion_config": {"patch_embeddings": True}},
]
# Keys of a head that is not kept.
OF_A_HEAD = [
    {"problem_type": "regression"},
    {"problem_type": "single_label_classification", "num_labels": 1},
    {"id2label": {"0": "a"}, "label2id": {"a": 0}},
    {"num_labels": 7},
    {"use_weighted_layer_sum": True},
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("keys", CALLS + OF_A_HEAD, ids=json.dumps)
def test_keys_that_say_how_a_model_is_called_are_of_no_account(tmp_path, family, keys):
    save(tmp_path, family)
    before = loading.read_config(tmp_path, head=False), encoders.configure_classifier(tmp_path, num_labels=3)
    change_json(tmp_path / "config.json", **keys)
    after = loading.read_config(tmp_path, head=False), encoders.configure_classifier(tmp_path, num_labels=3)
    assert after == before


@pytest.mark.parametrize("family", FAMILIES)
def test_such_keys_change_no_embedding_training_or_export(tmp_path, family):
    write_tones(tmp_path)
    origin = {"source": "path", "id": "some/tiny", "revision": None}
    encoders.save_encoder(tmp_path / "tiny", make_encoder(family), make_feature_extractor(family), origin)
    expected = embed(tmp_path / "tiny"), train(tmp_path, max_steps=2, eval_steps=1)
    for keys in CALLS + OF_A_HEAD:
        change_json(tmp_path / "tiny/config.json", **keys)
    np.testing.assert_allclose(embed(tmp_path / "tiny"), expected[0], atol=1e-6)
    found = train(tmp_path, max_steps=2, eval_steps=1)
    pd.testing.assert_frame_equal(found.training_log, expected[1].training_log)
    encoders.save_folder(tmp_path / "tuned", found.model, found.feature_extractor)
    config = json.loads((tmp_path / "tuned/config.json").read_text(encoding="utf-8"))
    assert not {key for keys in CALLS for key in keys} & config.keys() - {"dtype"}
    assert config["dtype"] == "float32"
    exporting.write_onnx(tmp_path / "model.onnx", found.model, found.feature_extractor)
    session = runtimes.open_onnx(tmp_path / "model.onnx", threads=1)
    exporting.check_onnx(session, found.model, found.feature_extractor)


@pytest.mark.parametrize("keys", [keys for keys in CALLS if "dtype" not in str(keys)], ids=json.dumps)
def test_a_classifier_that_is_kept_keeps_its_labels_and_none_of_such_keys(tmp_path, keys):
    model = save(tmp_path, head=True)
    change_json(tmp_path / "config.json", **keys, problem_type="multi_label_classification")
    loaded = encoders.load_classifier(tmp_path)
    inputs = encoders.prepare(make_feature_extractor(), CLIPS)
    assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)
    assert loaded(**inputs).hidden_states is None
    assert loaded.config.problem_type == "multi_label_classification"
    assert loaded.config.num_labels == 3


WAV2VEC2_HEADS = [
    transformers.Wav2Vec2ForPreTraining,
    transformers.Wav2Vec2ForCTC,
    transformers.Wav2Vec2ForSequenceClassification,
    transformers.Wav2Vec2ForAudioFrameClassification,
    transformers.Wav2Vec2ForXVector,
]
OTHER_HEADS = [
    ("hubert", transformers.HubertForCTC),
    ("wavlm", transformers.WavLMForXVector),
    ("unispeech-sat", transformers.UniSpeechSatForPreTraining),
    ("unispeech", transformers.UniSpeechForPreTraining),
    ("data2vec-audio", transformers.Data2VecAudioForXVector),
    ("sew", transformers.SEWForCTC),
    ("sew-d", transformers.SEWDForSequenceClassification),
    ("wav2vec2-conformer", transformers.Wav2Vec2ConformerForPreTraining),
    ("wav2vec2-bert", transformers.Wav2Vec2BertForXVector),
    ("whisper", transformers.WhisperModel),
    ("whisper", transformers.WhisperForConditionalGeneration),
]


@pytest.mark.parametrize(("family", "head"), [*(("wav2vec2", head) for head in WAV2VEC2_HEADS), *OTHER_HEADS])
def test_heads_decoders_and_quantizers_are_left_out(tmp_path, family, head):
    shape = {"codevector_dim": 8, "proj_codevector_dim": 8, "num_codevectors_per_group": 4}
    config = make_encoder(family, **({} if family == "whisper" else shape)).config
    config.vocab_size = 5
    model = head(config).eval()
    model.save_pretrained(tmp_path)
    make_feature_extractor(family).save_pretrained(tmp_path)
    encoder, feature_extractor = encoders.load_encoder(tmp_path)
    inputs = encoders.prepare(feature_extractor, CLIPS)
    expected = encoders.base_encoder(model)(**inputs).last_hidden_state
    assert torch.equal(encoder(**inputs).last_hidden_state, expected)


@pytest.mark.parametrize("family", dict(ARCHITECTURES))
@pytest.mark.parametrize("headed", [False, True])
def test_a_layer_that_the_config_has_no_place_for_is_named(tmp_path, family, headed):
    save(tmp_path, family, head=headed)
    layers = "encoder_layers" if family == "whisper" else "num_hidden_layers"
    change_json(tmp_path / "config.json", **{layers: LAYERS - 1})
    with pytest.raises(ValueError, match=rf"{tmp_path} has weights that .* no place for: .*\.2\..* more$"):
        encoders.load_encoder(tmp_path)
    change_json(tmp_path / "config.json", **{layers: LAYERS + 1})
    with pytest.raises(ValueError, match=rf"{tmp_path} lacks the weights .*\.3\..* more$"):
        encoders.load_encoder(tmp_path)


# What is in the file, what config.json says of it, and what is told.
MISFITS = {
    "biases of convolutions": (
        {"conv_bias": True},
        {"conv_bias": False},
        "no place for: feature_extractor.conv_layers.0.conv.bias, feature_extractor.conv_layers.1.conv.bias",
    ),
    "no biases of convolutions": (
        {"conv_bias": False},
        {"conv_bias": True},
        "lacks the weights feature_extractor.conv_layers.0.conv.bias",
    ),
    "layer norms of convolutions": (
        {"feat_extract_norm": "layer"},
        {"feat_extract_norm": "group"},
        "no place for: feature_extractor.conv_layers.1.layer_norm.bias",
    ),
    "a group norm": (
        {"feat_extract_norm": "group"},
        {"feat_extract_norm": "layer"},
        "lacks the weights feature_extractor.conv_layers.1.layer_norm.bias",
    ),
    "an adapter": (
        {"add_adapter": True},
        {"add_adapter": False},
        "no place for: adapter.layers.0.conv.bias",
    ),
    "adapters in layers": (
        {"adapter_attn_dim": 4, "do_stable_layer_norm": True},
        {"adapter_attn_dim": None},
        "no place for: encoder.layers.0.adapter_layer.linear_1.bias",
    ),
    "a convolution more": (
        {"conv_dim": [8, 8, 8], "conv_kernel": [10, 4, 4], "conv_stride": [10, 4, 4]},
        {"conv_dim": [8, 8], "conv_kernel": [10, 4], "conv_stride": [10, 4], "num_feat_extract_layers": 2},
        "no place for: feature_extractor.conv_layers.2.conv.weight",
    ),
    "wider layers": (
        {"hidden_size": 16},
        {"hidden_size": 32, "output_hidden_size": 32},
        "of other shapes than its config.json asks for: encoder.layer_norm.bias (16,) in place of (32,)",
    ),
    "other kernels": (
        {"num_conv_pos_embeddings": 4},
        {"num_conv_pos_embeddings": 8},
        "weight.original0 (1, 1, 4) in place of (1, 1, 8)",
    ),
}


def try_import(folder, tmp_path, monkeypatch):
    sources.import_encoder(tmp_path / "out", path=str(folder), layers=LAYERS)


def try_download(folder, tmp_path, monkeypatch):
    files = [SimpleNamespace(rfilename=file.name) for file in folder.iterdir()]
    info = SimpleNamespace(sha="abc", siblings=files, card_data=None)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: info)

    def snapshot_download(model_id, local_dir, **_):
        local_dir.parent.mkdir(exist_ok=True)
        local_dir.symlink_to(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    sources.download_encoder(tmp_path / "out", model_id="some/tiny", revision="v1", layers=LAYERS)


def try_prune(folder, tmp_path, monkeypatch):
    try:
        command_line.main(["prune", str(folder), "--layers", "1", str(tmp_path / "out")])
    except SystemExit as error:
        raise ValueError(str(error)) from error


WAYS = [try_import, try_download, try_prune]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("headed", [False, True])
@pytest.mark.parametrize("misfit", MISFITS)
def test_weights_that_do_not_fit_the_config_are_named(tmp_path, monkeypatch, way, headed, misfit):
    there, stated, said = MISFITS[misfit]
    model = save(tmp_path / "in", **there)
    if headed:  # its names begin with wav2vec2.
        head = transformers.Wav2Vec2ForCTC(model.config)
        encoders.save_folder(tmp_path / "in", head, make_feature_extractor())
    change_json(tmp_path / "in/config.json", **stated)
    with pytest.raises(ValueError) as caught:
        way(tmp_path / "in", tmp_path, monkeypatch)
    told = str(caught.value).replace("wav2vec2.", "")
    assert said in told
    assert "\n" not in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module.wav2vec2.", "model.encoder."])
def test_names_that_begin_otherwise_are_told(tmp_path, prefix):
    save(tmp_path)
    change_weights(tmp_path, lambda weights: {prefix + name: values for name, values in weights.items()})
    with pytest.raises(
        ValueError, match=r"lacks the weights encoder\.layer_norm\.bias, .* more \(it has "
    ) as caught:
        encoders.load_encoder(tmp_path)
    assert f"(it has {prefix}encoder.layer_norm.bias)" in str(caught.value)


@pytest.mark.parametrize("norm", ["old", "new"])
@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_both_names_of_a_weight_norm_are_read(tmp_path, norm, form):
    save(tmp_path)
    expected = embed(tmp_path)
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}

    def rename(weights):
        return {
            name.replace(new, former): values
            for name, values in weights.items()
            for new, former in [next((pair for pair in old.items() if pair[0] in name), ("", ""))]
        }

    if norm == "old":
        change_weights(tmp_path, rename)
    if form == "bin":
        torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
        (tmp_path / "model.safetensors").unlink()
    assert (embed(tmp_path) == expected).all()


@pytest.mark.parametrize(
    ("family", "changes", "names"),
    [
        ("wav2vec2", {}, ["masked_spec_embed"]),
        ("wav2vec2-conformer", {"position_embeddings_type": "rotary"}, ["encoder.embed_positions.inv_freq"]),
        ("wav2vec2-conformer", {}, ["encoder.layers.0.conv_module.batch_norm.num_batches_tracked"]),
    ],
)
def test_what_is_drawn_computed_or_counted_need_not_be_in_the_file(tmp_path, family, changes, names):
    save(tmp_path, family, **changes)
    expected = embed(tmp_path)
    assert set(names) < load_file(tmp_path / "model.safetensors").keys()
    change_weights(tmp_path, lambda weights: {key: weights[key] for key in weights.keys() - set(names)})
    np.testing.assert_allclose(embed(tmp_path), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("family", "changes", "name"),
    [
        ("wav2vec2", {"mask_time_prob": 0.0}, "masked_spec_embed"),
        ("hubert", {"mask_time_prob": 0.0}, "hubert.masked_spec_embed"),
        ("wav2vec2-conformer", {}, "encoder.embed_positions.pe"),
    ],
)
def test_files_may_have_what_is_drawn_or_computed(tmp_path, family, changes, name):
    save(tmp_path, family, **changes)
    expected = embed(tmp_path)
    change_weights(tmp_path, lambda weights: weights | {name: torch.zeros(16)})
    np.testing.assert_allclose(embed(tmp_path), expected, atol=1e-6)


def test_a_cut_file_of_an_old_version_of_torch_is_told_in_a_line(tmp_path):
    """It has no end by which it could be told before it is loaded."""
    save(tmp_path)
    file = tmp_path / "pytorch_model.bin"
    torch.save(load_file(tmp_path / "model.safetensors"), file, _use_new_zipfile_serialization=False)
    (tmp_path / "model.safetensors").unlink()
    embed(tmp_path)
    content = file.read_bytes()
    for size in (3, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:size])
        with pytest.raises(ValueError, match=f"{tmp_path} cannot be loaded as a speech model: .") as caught:
            encoders.load_encoder(tmp_path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [{"state_dict": {}}, {"model": {"a": torch.zeros(1)}}, [torch.zeros(1)]])
def test_a_bin_of_something_else_is_told_in_a_line(tmp_path, content):
    save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=f"{tmp_path} ") as caught:
        encoders.load_encoder(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_activation_that_does_not_exist_is_told_in_a_line(tmp_path):
    save(tmp_path)
    change_json(tmp_path / "config.json", hidden_act="unheard_of")
    with pytest.raises(ValueError, match=f"{tmp_path} cannot be loaded as a speech model: .*unheard_of"):
        encoders.load_encoder(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda name: "classifier.dense." + name[11:] if name.startswith("classifier.") else name, "lacks"),
        (
            lambda name: "old_" + name if name.startswith("projector.") else name,
            "lacks the weights projector",
        ),
    ],
)
def test_a_classifier_of_another_kind_is_not_given_a_random_head(tmp_path, change, said):
    save(tmp_path, head=True)
    change_weights(tmp_path, lambda weights: {change(name): values for name, values in weights.items()})
    with pytest.raises(ValueError, match=said):
        encoders.load_classifier(tmp_path)
    encoders.load_encoder(tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_encoder_that_calls_itself_a_classifier_is_pruned_as_an_encoder(tmp_path, capsys, family):
    save(tmp_path / "in", family)
    name = type(make_encoder(family, head=True)).__name__
    change_json(tmp_path / "in/config.json", architectures=[name])
    with pytest.raises(loading.NoHeadError, match=r"lacks the weights .*classifier\.bias"):
        encoders.load_classifier(tmp_path / "in")
    command_line.main(["prune", str(tmp_path / "in"), "--layers", "1", str(tmp_path / "out")])
    assert f"{type(make_encoder(family)).__name__} of 1 layers" in capsys.readouterr().out


def test_weights_of_layers_that_a_head_would_not_use_are_named(tmp_path):
    save(tmp_path, head=True, use_weighted_layer_sum=True)
    change_json(tmp_path / "config.json", use_weighted_layer_sum=False)
    with pytest.raises(ValueError, match=r"no place for: layer_weights$"):
        encoders.load_classifier(tmp_path)


OTHERS = {
    "another rate": (
        "wav2vec2",
        {"sampling_rate": 8000},
        "sampling_rate: 8000; required here of wav2vec2: 16000",
    ),
    "another rate of Whisper": ("whisper", {"sampling_rate": 8000}, "sampling_rate: 8000"),
    "another rate of w2v-BERT": ("wav2vec2-bert", {"sampling_rate": 24000}, "sampling_rate: 24000"),
    "spectrograms for waveforms": (
        "hubert",
        make_feature_extractor("whisper").to_dict(),
        'feature_extractor_type: "WhisperFeatureExtractor"; required here of hubert',
    ),
    "waveforms for spectrograms": (
        "whisper",
        make_feature_extractor().to_dict(),
        'feature_extractor_type: "Wav2Vec2FeatureExtractor"; required here of whisper',
    ),
    "another length": ("whisper", {"chunk_length": 30}, "chunk_length: 30; required here of whisper: 3"),
    "other bands": ("wav2vec2-bert", {"num_mel_bins": 40}, "num_mel_bins: 40"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("other", OTHERS)
def test_a_feature_extractor_that_is_not_the_models_is_refused(tmp_path, monkeypatch, way, other):
    family, content, said = OTHERS[other]
    save(tmp_path / "in", family)
    change_json(tmp_path / "in/preprocessor_config.json", **content)
    with pytest.raises(ValueError) as caught:
        way(tmp_path / "in", tmp_path, monkeypatch)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_processor_of_transformers_5_is_read_and_written_anew(tmp_path, monkeypatch, way, family):
    model = save(tmp_path / "in", family)
    file = tmp_path / "in/preprocessor_config.json"
    held = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()
    processor = {"feature_extractor": held, "processor_class": "AnyProcessor"}
    (tmp_path / "in/processor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    way(tmp_path / "in", tmp_path, monkeypatch)
    assert json.loads((tmp_path / "out/preprocessor_config.json").read_text(encoding="utf-8")) == held
    if way != try_prune:
        inputs = encoders.prepare(make_feature_extractor(family), CLIPS)
        loaded, _ = encoders.load_encoder(tmp_path / "out")
        assert torch.equal(loaded(**inputs).last_hidden_state, model(**inputs).last_hidden_state)


MASKS = [
    *({"mask_time_length": length} for length in (10, 49, 50, 51, 0)),
    *({"mask_feature_length": length, "mask_feature_prob": 0.5} for length in (16, 17)),
]


@pytest.mark.parametrize("family", dict(ARCHITECTURES))
@pytest.mark.parametrize("masks", MASKS, ids=json.dumps)
def test_masks_are_refused_where_transformers_would_fail(tmp_path, family, masks):
    """Only the latter happens in the first step, and does not name the setting."""
    save(tmp_path, family, **masks)
    recipe = Recipe(**SETTINGS | {"spec_augment": True})
    classifier = encoders.load_classifier(tmp_path, num_labels=3, apply_spec_augment=True).train()
    inputs = encoders.prepare(make_feature_extractor(family), CLIPS)
    try:
        classifier(**inputs)
    except ValueError:
        [[key, value], *_] = masks.items()
        with pytest.raises(
            ValueError, match=rf"says {key} {value}; .* set finetuning\.spec_augment to false"
        ):
            finetune.build_classifier(tmp_path, ["a", "b"], 1, recipe)
    else:
        finetune.build_classifier(tmp_path, ["a", "b"], 1, recipe)
    finetune.build_classifier(tmp_path, ["a", "b"], 1, Recipe(**SETTINGS))


REAL = Path(os.environ.get("CONVEXPRUNE_WHISPER", "../shared/models/whisper-tiny.en"))


@pytest.mark.skipif(
    not REAL.is_dir(), reason="needs a folder with whisper-tiny.en, named by CONVEXPRUNE_WHISPER"
)
@pytest.mark.parametrize(
    ("config", "preparation", "said"),
    [
        ({}, {}, None),
        (dict(pair for keys in CALLS for pair in keys.items()), {}, None),
        ({"num_hidden_layers": 3, "encoder_layers": 3}, {}, "no place for: encoder.layers.3.fc1.bias"),
        ({"num_mel_bins": 128}, {}, "feature_size: 80; required here of whisper: 128"),
        ({}, {"sampling_rate": 8000}, "sampling_rate: 8000; required here of whisper: 16000"),
        ({}, {"chunk_length": 15}, "chunk_length: 15; required here of whisper: 30"),
    ],
)
def test_a_published_encoder_is_pruned_or_refused_alike(tmp_path, config, preparation, said):
    shutil.copytree(REAL, tmp_path / "in", copy_function=shutil.copyfile)
    for name, changes in {"config.json": config, "preprocessor_config.json": preparation}.items():
        change_json(tmp_path / "in" / name, **changes)
    if said:
        with pytest.raises(ValueError, match=said):
            encoders.load_encoder(tmp_path / "in")
        return
    model, feature_extractor = encoders.load_encoder(tmp_path / "in")
    expected = transformers.AutoModelForAudioClassification.from_pretrained(REAL, dtype="float32").encoder
    inputs = encoders.prepare(feature_extractor, CLIPS)
    found = model(**inputs).last_hidden_state
    torch.testing.assert_close(found, expected(**inputs).last_hidden_state, atol=1e-4, rtol=1e-4)


EXTRACTORS = [
    ("wav2vec2", {"do_normalize": False}),
    ("wav2vec2", {"do_normalize": True, "return_attention_mask": True, "padding_value": 1.0}),
    ("wavlm", {"return_attention_mask": True}),
    ("whisper", {"n_fft": 512, "padding_value": 0.5, "return_attention_mask": True, "do_normalize": True}),
    ("wav2vec2-bert", {"padding_value": 1.0, "return_attention_mask": True}),
]


@pytest.mark.parametrize(("family", "keys"), EXTRACTORS)
def test_a_pipeline_hears_what_is_heard_here(tmp_path, family, keys):
    """What a checkpoint says of its clips counts alike here and in Transformers' pipeline."""
    save(tmp_path / "in", family, stable=True, head=True)
    change_json(tmp_path / "in/preprocessor_config.json", **keys)
    model, feature_extractor = (
        encoders.load_classifier(tmp_path / "in"),
        loading.load_feature_extractor(tmp_path / "in"),
    )
    encoders.save_folder(tmp_path / "out", model, feature_extractor)
    [logits, _] = model(**encoders.prepare(feature_extractor, CLIPS)).logits
    classify = transformers.pipeline("audio-classification", model=str(tmp_path / "out"), top_k=3)
    found = {entry["label"]: entry["score"] for entry in classify({"raw": CLIPS[0], "sampling_rate": 16000})}
    for index, score in enumerate(logits.softmax(-1).tolist()):
        assert found[model.config.id2label[index]] == pytest.approx(score, abs=1e-6)
