"""Costs against arithmetic on paper, against the paper's reductions and against a file written."""

from types import SimpleNamespace

import count_costs
import pandas as pd
import pytest
import test_table1
import torch
from convexprune.data import corpus
from convexprune.jobs import csv_files
from convexprune.models import costs, pruning
from convexprune.results import table1
from encoder_factory import ARCHITECTURES, LAYERS, make_encoder, make_feature_extractor
from transformers import AutoModelForAudioClassification, Wav2Vec2Config

LARGE = {
    **{"num_hidden_layers": 24, "hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096},
    **{"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True},
}


def save(folder, config):
    config.save_pretrained(folder)
    make_feature_extractor(config.model_type).save_pretrained(folder)
    return folder


def multiply_adds_of_wav2vec2_base(layers, classes):
    """The arithmetic of the architecture's published sizes, an entry a matrix product or convolution."""
    samples, channels, total = 16000, 1, 0
    for kernel, stride in zip((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), strict=True):
        samples = (samples - kernel) // stride + 1
        total += samples * kernel * channels * 512
        channels = 512
    assert samples == 49
    total += samples * 512 * 768  # to the transformer's width
    total += (samples + 1) * 128 * 768 * (768 // 16)  # positions: 16 groups, a frame too many
    attention = 4 * samples * 768**2 + 2 * samples**2 * 768
    total += layers * (attention + 2 * samples * 768 * 3072)
    return total + samples * 768 * 256 + 256 * classes


def test_multiply_adds_of_wav2vec2_base_are_those_of_its_published_sizes():
    with torch.device("meta"):
        full = AutoModelForAudioClassification.from_config(
            Wav2Vec2Config(num_labels=35), attn_implementation="eager"
        )
        second = {"input_values": torch.zeros(1, 16000)}
    for layers in (0, 3, 12):
        counted = costs.count_multiply_adds(pruning.prune(full, layers).eval(), second)
        assert counted == multiply_adds_of_wav2vec2_base(layers, 35)


@pytest.mark.parametrize(
    ("model", "config", "task", "classes", "layers", "printed"),
    [
        ("wav2vec2-base", Wav2Vec2Config(), "word", 35, 9, {22.48}),
        ("wav2vec2-base", Wav2Vec2Config(), "speaker", 388, 3, {67.38}),
        ("wav2vec2-large", Wav2Vec2Config(**LARGE), "word", 35, 16, {31.91, 31.92}),
        ("wav2vec2-large", Wav2Vec2Config(**LARGE), "speaker", 388, 5, {75.78, 75.79}),
    ],
)
def test_parameter_reductions_of_the_paper_are_in_table_1(
    tmp_path, monkeypatch, model, config, task, classes, layers, printed
):
    monkeypatch.setattr(costs, "count_multiply_adds", lambda model, inputs: 0)  # slow, and tested above
    counted = costs.count_costs(save(tmp_path, config), classes, 256)
    runs = test_table1.inputs() | {"costs": counted.assign(model=model, task=f"{task}s")}
    [row] = table1.table1(**runs, asked=test_table1.ask([model])).iloc[:1].to_dict("records")
    assert row[f"{task}_layers"] == layers
    assert round(row[f"{task}_parameter_reduction"], 2) in printed


@pytest.mark.parametrize(("family", "stable"), ARCHITECTURES)
def test_parameters_and_bytes_are_those_of_a_model_written(tmp_path, monkeypatch, family, stable):
    monkeypatch.setattr(costs, "count_multiply_adds", lambda model, inputs: 0)
    full = make_encoder(family, stable, head=True, num_hidden_layers=11)
    counted = costs.count_costs(save(tmp_path / "encoder", full.config), 3, 8).set_index("layers")
    for layers in (0, 1, 11):
        pruning.prune(full, layers).save_pretrained(tmp_path / str(layers))
        written = AutoModelForAudioClassification.from_pretrained(tmp_path / str(layers))
        assert counted.loc[layers, "parameters"] == sum(values.numel() for values in written.parameters())
        assert counted.loc[layers, "bytes"] == (tmp_path / f"{layers}/model.safetensors").stat().st_size


@pytest.mark.parametrize(("family", "stable"), ARCHITECTURES)
def test_each_layer_adds_the_same_multiply_adds(tmp_path, family, stable):
    counted = costs.count_costs(save(tmp_path, make_encoder(family, stable).config), 3, 8)["multiply_adds"]
    (added,) = set(counted.diff().iloc[2:])
    assert counted.iloc[1] - counted.iloc[0] >= added > 0  # WavLM's first layer looks positions up


@pytest.mark.parametrize("family", ["wav2vec2", "whisper"])
def test_multiply_adds_of_a_clip_grow_with_it_and_whispers_with_its_window(tmp_path, family):
    folder = save(tmp_path, make_encoder(family).config)
    half, one, longer = (
        costs.count_costs(folder, 3, 8, seconds)["multiply_adds"].iloc[-1] for seconds in (0.5, 1, 2.5)
    )
    if family == "whisper":
        assert half == one == longer  # a window of 3 s
    else:
        assert 0.4 < half / one < 0.55 and 2.4 < longer / one < 4  # attention: the square


def test_adapter_counts_the_classes_of_the_training_split(tmp_path):
    configs = []
    for name in ("2024", "NA"):
        configs.append(str(save(tmp_path / name, make_encoder().config) / "config.json"))
    items = {"item": ["a", "b", "c", "d"], "start": 0, "end": 1, "speaker": "x"}
    split = ["train", "train", "train", "test"]
    for task, labels in (("words", ["yes", "no", "no", "no"]), ("speakers", ["p", "q", "r", "q"])):
        table = pd.DataFrame(items | {"label": labels, "split": split})
        table[corpus.ITEM_COLUMNS].to_csv(tmp_path / f"{task}.csv", index=False)
    count_costs.main(
        SimpleNamespace(
            input=SimpleNamespace(
                configs=configs, datasets=[str(tmp_path / f"{task}.csv") for task in ("words", "speakers")]
            ),
            output=SimpleNamespace(table=str(tmp_path / "costs.csv")),
            params=SimpleNamespace(
                settings={"projector_size": 8, "seconds": 1, "tasks": ["words", "speakers"]}
            ),
            log=[str(tmp_path / "log")],
        )
    )
    table = csv_files.read(tmp_path / "costs.csv")
    assert len(table) == 2 * 2 * (LAYERS + 1)
    full = table[table["layers"] == LAYERS].set_index(["task", "model"])["parameters"]
    # one class more: a row of the head's weights and a bias more
    assert full["speakers", "2024"] - full["words", "2024"] == 8 + 1
    assert full["words", "2024"] == full["words", "NA"]


def test_a_config_that_weighs_layers_costs_what_the_head_of_the_last_layer_does(tmp_path):
    config = make_encoder("wavlm").config
    expected = costs.count_costs(save(tmp_path / "plain", config), 3, 8)
    config.use_weighted_layer_sum = True
    found = costs.count_costs(save(tmp_path / "weighted", config), 3, 8)
    pd.testing.assert_frame_equal(found, expected)
