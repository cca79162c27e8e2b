import json

import numpy as np
import pytest
import torch
from convexprune.setup import model_files
from safetensors.numpy import save_file

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 378000000\n"
KINDS = {
    "wav2vec2": {"model_type": "wav2vec2"},
    "whisper": {"model_type": "whisper", "num_mel_bins": 128, "max_source_positions": 150},
    "wav2vec2-bert": {"model_type": "wav2vec2-bert"},
}
FITTING = {
    "wav2vec2": {"do_normalize": False},
    "whisper": {"feature_size": 128, "chunk_length": 3},
    "wav2vec2-bert": {"padding_value": 1},
}


def write(folder, kind="wav2vec2", weights="model.safetensors"):
    """A folder in which nothing is wrong, its weights in one of the forms that Transformers reads."""
    (folder / "config.json").write_text(json.dumps(KINDS[kind]), encoding="utf-8")
    (folder / "preprocessor_config.json").write_text(json.dumps(FITTING[kind]), encoding="utf-8")
    stem, _, ending = weights.partition(".")
    names = [weights]
    if ending.endswith(".index.json"):
        names = [f"{stem}-0000{part}-of-00002.{ending.partition('.')[0]}" for part in (1, 2)]
        places = {f"weight.{name}": name for name in names}
        (folder / weights).write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    for name in names:
        if name.endswith(".safetensors"):
            save_file({"weight": np.zeros(100, np.float32)}, folder / name, metadata={"format": "pt"})
        else:
            torch.save({"weight": torch.zeros(100)}, folder / name)
    return folder


FORMS = [f"{name}{suffix}" for name in model_files.WEIGHTS for suffix in ("", ".index.json")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_a_whole_folder_has_no_problems(tmp_path, kind, form):
    assert list(model_files.find_problems(write(tmp_path, kind, form))) == []


def test_weights_of_old_versions_of_torch_are_no_archives(tmp_path):
    write(tmp_path, weights="pytorch_model.bin")
    torch.save({}, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert list(model_files.find_problems(tmp_path)) == []


def read_files(form):
    shard = form.replace(".safetensors.index.json", "-00002-of-00002.safetensors")
    shard = shard.replace(".bin.index.json", "-00002-of-00002.bin")
    return ["config.json", "preprocessor_config.json", *dict.fromkeys([form, shard])]


@pytest.mark.parametrize(("form", "name"), [(form, name) for form in FORMS for name in read_files(form)])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: POINTER, "is a pointer of Git LFS"),
        (lambda content: b"", "is empty|cannot be read"),
        (lambda content: content[:-1], "is damaged or cut off|cannot be read"),
        (lambda content: content[: len(content) // 2], "is damaged or cut off|cannot be read"),
        (lambda content: content[:5], "is damaged or cut off|cannot be read"),
        (lambda content: b"<!DOCTYPE html><html>Sign in</html>", "is damaged or cut off|cannot be read"),
        (lambda content: b"\xff" * 100, "is damaged or cut off|cannot be read"),
        (lambda content: b"[1, 2, 3]", "is damaged or cut off|is no mapping"),
    ],
)
def test_a_damaged_file_is_named_in_a_line(tmp_path, form, name, damage, said):
    file = write(tmp_path, weights=form) / name
    file.write_bytes(damage(file.read_bytes()))
    [problem] = model_files.find_problems(tmp_path)
    assert problem.startswith(f"its {name} ")
    assert any(text in problem for text in said.split("|"))
    assert "\n" not in problem


@pytest.mark.parametrize("form", [form for form in FORMS if form.endswith("json")])
def test_shards_that_are_not_there_are_named(tmp_path, form):
    shard = write(tmp_path, weights=form) / read_files(form)[-1]
    shard.unlink()
    assert list(model_files.find_problems(tmp_path)) == [f"has no {shard.name}, as its {form} says"]


@pytest.mark.parametrize("content", [{}, {"weight_map": {}}, {"weight_map": []}, {"weight_map": {"a": 1}}])
def test_an_index_without_places_is_named(tmp_path, content):
    (write(tmp_path, weights=FORMS[1]) / FORMS[1]).write_text(json.dumps(content), encoding="utf-8")
    [problem] = model_files.find_problems(tmp_path)
    assert problem == f"its {FORMS[1]} has no weight_map that names files"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": None}, "has no model_type"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, r"quantization_config (gptq): take"),
        ({"quantization_config": {"load_in_8bit": True}}, "quantization_config: take the model as it was"),
        ({"transformers_weights": "other.safetensors"}, "has no other.safetensors; required: a Hugging Face"),
    ],
)
def test_a_config_that_no_model_here_can_follow_is_told(tmp_path, changes, said):
    (write(tmp_path) / "config.json").write_text(json.dumps(KINDS["wav2vec2"] | changes), encoding="utf-8")
    [problem] = model_files.find_problems(tmp_path)
    assert said in problem


def test_a_quantization_config_that_is_null_is_none(tmp_path):
    (write(tmp_path) / "config.json").write_text(
        '{"model_type": "hubert", "quantization_config": null}', encoding="utf-8"
    )
    assert list(model_files.find_problems(tmp_path)) == []


OTHER_RATES = [(kind, {"sampling_rate": rate}) for kind in KINDS for rate in (8000, 22050, "16000")]
OTHER_CLASSES = [
    (kind, {"feature_extractor_type": usual["feature_extractor_type"]})
    for kind in KINDS
    for usual in (model_files.WAVEFORMS, *model_files.SPECTROGRAMS.values())
    if usual != model_files.SPECTROGRAMS.get(kind, model_files.WAVEFORMS)
]
OTHER_SHAPES = [
    ("wav2vec2", {"feature_size": 80}),
    *(("whisper", change) for change in ({"feature_size": 80}, {"chunk_length": 30}, {"hop_length": 80})),
    *(("whisper", change) for change in ({"padding_side": "left"}, {"dither": 1e-4})),
    *(
        ("wav2vec2-bert", change)
        for change in ({"num_mel_bins": 40}, {"stride": 4}, {"padding_side": "left"})
    ),
]


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize(("kind", "change"), OTHER_RATES + OTHER_CLASSES + OTHER_SHAPES)
def test_a_feature_extractor_that_is_not_the_models_is_told(tmp_path, kind, change, within):
    file = write(tmp_path, kind) / "preprocessor_config.json"
    content = FITTING[kind] | change
    if within:  # as Transformers 5 saves a processor; it wins over the other file
        file = tmp_path / "processor_config.json"
        content = {"processor_class": "AnyProcessor", "feature_extractor": content}
    file.write_text(json.dumps(content), encoding="utf-8")
    [problem] = model_files.find_problems(tmp_path)
    [[key, value]] = change.items()
    assert problem.startswith(
        f"its feature extractor has {key}: {json.dumps(value)}; required here of {kind}: "
    )


@pytest.mark.parametrize("config", [{"num_mel_bins": "many"}, {"max_source_positions": None}])
def test_sizes_of_a_wrong_type_are_left_to_loading(tmp_path, config):
    write(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "whisper"} | config), encoding="utf-8")
    (tmp_path / "preprocessor_config.json").write_text("{}", encoding="utf-8")
    assert list(model_files.find_problems(tmp_path)) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", ["feature_extractor", "audio_processor"])
def test_a_processor_may_hold_the_feature_extractor(tmp_path, kind, key):
    write(tmp_path, kind)
    (tmp_path / "preprocessor_config.json").rename(tmp_path / "processor_config.json")
    held = {"processor_class": "AnyProcessor", key: FITTING[kind]}
    (tmp_path / "processor_config.json").write_text(json.dumps(held), encoding="utf-8")
    assert list(model_files.find_problems(tmp_path)) == []
    assert model_files.read_preparation(tmp_path) == FITTING[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_an_old_processor_holds_no_feature_extractor(tmp_path, kind):
    write(tmp_path, kind)
    (tmp_path / "processor_config.json").write_text('{"processor_class": "AnyProcessor"}', encoding="utf-8")
    assert model_files.read_preparation(tmp_path) == FITTING[kind]
    (tmp_path / "preprocessor_config.json").unlink()
    assert model_files.read_preparation(tmp_path) is None
    told = [] if kind == "wav2vec2" else [f"has no preprocessor_config.json; required by {kind}"]
    assert list(model_files.find_problems(tmp_path)) == told


def test_weights_that_are_kept_apart_are_told(tmp_path):
    (write(tmp_path) / "adapter_config.json").write_text("{}", encoding="utf-8")
    [problem] = model_files.find_problems(tmp_path)
    assert problem.startswith("has adapter_config.json")


def test_frames_are_those_of_the_convolutions():
    assert model_files.count_frames([10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2]) == 49
    assert model_files.count_frames([20000], [1]) == 0


FRAMES = {"conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2], "hidden_size": 16}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, None),
        ({"mask_time_length": 49}, None),
        ({"mask_time_length": 50}, "mask_time_length 50; must be 1 to 49 (frames of a clip)"),
        ({"mask_time_length": 0}, "mask_time_length 0; must be 1 to 49 (frames of a clip)"),
        ({"mask_time_length": 50, "mask_time_prob": 0}, None),
        ({"conv_stride": [5, 4, 4, 4, 4, 2, 2]}, "mask_time_length 10; must be 1 to 3"),
        ({"mask_feature_length": 17}, None),
        ({"mask_feature_length": 16, "mask_feature_prob": 0.1}, None),
        (
            {"mask_feature_length": 17, "mask_feature_prob": 0.1},
            "mask_feature_length 17; must be 1 to 16 (hidden",
        ),
        ({"model_type": "whisper", "mask_time_length": 5000}, None),
        ({"model_type": "wav2vec2-bert", "mask_time_length": 50}, "must be 1 to 49"),
    ],
)
def test_masks_fit_into_a_second(config, said):
    base = {"model_type": "wav2vec2", **FRAMES} if "model_type" not in config else {"hidden_size": 16}
    problems = list(model_files.find_mask_problems(base | config))
    assert len(problems) == (said is not None)
    assert said is None or said in problems[0]


def test_longer_clips_take_longer_masks():
    config = {"model_type": "wav2vec2", **FRAMES, "mask_time_length": 50}
    assert not list(model_files.find_mask_problems(config, 2.5))
    [problem] = model_files.find_mask_problems(config | {"mask_time_length": 25}, 0.5)
    assert "must be 1 to 24" in problem


@pytest.mark.parametrize(
    ("config", "seconds", "said"),
    [
        ({"model_type": "wav2vec2", **FRAMES}, 0.025, None),  # 400 samples make one frame
        ({"model_type": "wav2vec2", **FRAMES}, 0.0249, "convolutions that make no frame of such clips"),
        ({"model_type": "sew", **FRAMES, "squeeze_factor": 2}, 0.03, "convolutions that make no frame"),
        ({"model_type": "wav2vec2-bert"}, 0.035, None),
        ({"model_type": "wav2vec2-bert"}, 0.034, "a filter bank that makes no frame of such clips"),
        ({"model_type": "whisper"}, 30, None),
        ({"model_type": "whisper", "max_source_positions": 100}, 2, None),
        (
            {"model_type": "whisper", "max_source_positions": 100},
            2.1,
            "max_source_positions 100, of which these clips need 150",
        ),
        ({"model_type": "whisper", "max_source_positions": 100}, 0.01, None),
    ],
)
def test_clips_that_a_model_cannot_take_are_told(config, seconds, said):
    problems = list(model_files.find_clip_problems(config, seconds))
    assert len(problems) == (said is not None)
    assert said is None or said in problems[0]
