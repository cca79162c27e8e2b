import json
from types import SimpleNamespace

import embed
import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from convexprune.convexity import embeddings, layers
from convexprune.data import corpus
from convexprune.jobs import progress
from convexprune.models import encoders, extraction, positions
from encoder_factory import LAYERS, make_encoder, make_feature_extractor

N = 7


@pytest.fixture(scope="module")
def clips():
    """(N, 16000) noise, clip i zero after `lengths[i]` samples, neither zero-mean nor of unit variance."""
    rng = np.random.default_rng(0)
    lengths = np.array([16000, 9000, 1280, 8000, 320, 100, 15999])
    clips = rng.normal(0.02, 0.1, (N, 16000)).astype(np.float32)
    for clip, length in zip(clips, lengths, strict=True):
        clip[length:] = 0
    return clips, lengths


def test_dropout_and_layerdrop_are_off(clips):
    model = make_encoder(layerdrop=1.0, hidden_dropout=0.5)
    feature_extractor = make_feature_extractor()
    first, second = (extraction.pool_layers(model, feature_extractor, clips[0]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(first[0], first[LAYERS])


def test_clips_are_normalised_as_the_feature_extractor_asks(clips):
    model = make_encoder("hubert", stable=True)
    mean, deviation = clips[0].mean(axis=1, keepdims=True), clips[0].std(axis=1, keepdims=True)
    normalised = (clips[0] - mean) / deviation
    asked = extraction.pool_layers(model, make_feature_extractor(do_normalize=True), clips[0])
    by_hand = extraction.pool_layers(model, make_feature_extractor(do_normalize=False), normalised)
    plain = extraction.pool_layers(model, make_feature_extractor(do_normalize=False), clips[0])
    np.testing.assert_allclose(asked, by_hand, rtol=1e-4, atol=1e-4)
    assert np.abs(asked - plain).max() > 0.01


def test_valid_frames_are_those_that_begin_in_the_signal(clips):
    model = make_encoder()  # a frame every 320 samples, 50 in all
    states = model(torch.tensor(clips[0]), output_hidden_states=True).hidden_states[LAYERS].detach()
    pooled = extraction.pool_layers(model, make_feature_extractor(do_normalize=False), *clips)
    for item, frames in enumerate([50, 29, 4, 25, 1, 1, 50]):
        expected = states[item, :frames].mean(dim=0)
        np.testing.assert_allclose(pooled[LAYERS, item], expected, rtol=1e-4, atol=1e-5)


def test_whispers_padding_is_never_pooled(clips):
    model, extractor = make_encoder("whisper"), make_feature_extractor("whisper")
    inputs = encoders.prepare(extractor, clips[0])
    with torch.no_grad():
        states = model(**inputs).last_hidden_state
    assert states.shape[1] == 150  # tiny Whisper pads to 3 s
    for lengths, counts in ((None, [50] * N), (clips[1], [50, 29, 4, 25, 1, 1, 50])):
        pooled = extraction.pool_layers(model, extractor, clips[0], lengths)
        for item, frames in enumerate(counts):
            expected = states[item, :frames].mean(dim=0)
            np.testing.assert_allclose(pooled[LAYERS, item], expected, rtol=1e-4, atol=1e-5)


@pytest.fixture
def task(tmp_path, clips):
    """A call of the embed script: a corpus of N clips end to end, of which clip 3 is in another split."""
    model = make_encoder("hubert")
    encoders.save_encoder(
        tmp_path / "model", model, make_feature_extractor(), {"id": "tiny", "revision": "abc"}
    )
    waves = np.round(clips[0] * 32767).astype(np.int16)
    ends = np.cumsum(clips[1])
    with h5py.File(tmp_path / "corpus.h5", "w") as file:
        samples = np.concatenate([wave[:length] for wave, length in zip(waves, clips[1], strict=True)])
        file["samples"] = samples
        file.attrs.update({"complete": True, "fingerprint": "f00d"})
    pd.DataFrame(
        {
            "item": [f"clip{i}" for i in range(N)],
            "start": ends - clips[1],
            "end": ends,
            "label": ["null", "yes", "007", "no", "null", "ä", "yes"],
            "speaker": ["s"] * N,
            "split": ["test", "test", "test", "train", "test", "test", "test"],
        }
    ).to_csv(tmp_path / "words.csv", index=False)
    (tmp_path / "corpus.sha256").write_text("f00d\n", encoding="utf-8")
    return SimpleNamespace(
        input=SimpleNamespace(
            weights=tmp_path / "model/model.safetensors",
            samples=tmp_path / "corpus.h5",
            fingerprint=tmp_path / "corpus.sha256",
            dataset=tmp_path / "words.csv",
            table=tmp_path / "corpus.csv",
        ),
        output=SimpleNamespace(embeddings=tmp_path / "out/words.h5"),
        params=SimpleNamespace(
            settings={
                "split": "test",
                "frames": "all",
                "context": "segment",
                "layers": LAYERS,
                "seed": None,
            },
            speed={"batch_size": 4, "gpus": 0},
        ),
        wildcards=SimpleNamespace(model="tiny", state="pretrained", dataset="words"),
        threads=1,
        log=[tmp_path / "log"],
    )


def read(task):
    path = task.output.embeddings
    layers = range(embeddings.count_layers(path) + 1)
    return np.stack([embeddings.read_layer(path, layer)[0] for layer in layers])


KEPT = [0, 1, 2, 4, 5, 6]


def expected_embeddings(task, clips, lengths=None):
    model, extractor = encoders.load_encoder(task.input.weights.parent)
    rounded = (np.round(clips[0] * 32767) / 32768).astype(np.float32)
    return extraction.pool_layers(model, extractor, rounded[KEPT], None if lengths is None else lengths[KEPT])


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_the_file_holds_every_layer_of_the_splits_items(task, clips, batch_size):
    task.params.speed["batch_size"] = batch_size
    embed.main(task)
    np.testing.assert_allclose(read(task), expected_embeddings(task, clips), rtol=1e-4, atol=1e-5)
    for layer in range(LAYERS + 1):
        _, labels = embeddings.read_layer(task.output.embeddings, layer)
        assert labels.tolist() == ["null", "yes", "007", "null", "ä", "yes"]


def test_labels_of_one_recording_share_its_embedding(task, clips):
    """A recording without the first label is embedded if it has another. Each dataset finds its items."""
    table = pd.read_csv(task.input.dataset, dtype={"label": str}, keep_default_na=False)
    moods = ["b", "a", "", "a", "", "b", "a"]
    lengths = {"offset": table["start"], "n_samples": table["end"] - table["start"]}
    words = table["label"].where(table.index < 4, "")
    recordings = pd.DataFrame({"path": table["item"], "word": words, "speaker": "", "split": table["split"]})
    recordings.assign(**lengths, digest="1", remarks="", mood=moods).to_csv(task.input.table, index=False)
    table[:4].to_csv(task.input.dataset, index=False)
    task.params.settings["recordings"] = True
    embed.main(task)
    _, labels = embeddings.read_layer(task.output.embeddings, 0)
    assert labels.tolist() == ["null", "yes", "007", "", ""]  # clip 4 has no label at all
    every = read(task)
    np.testing.assert_allclose(
        every, expected_embeddings(task, clips)[:, [0, 1, 2, 4, 5]], rtol=1e-4, atol=1e-5
    )
    named = table.assign(label=moods)[::-1]
    rows, items = embeddings.find_items(task.output.embeddings, named[named["label"] != ""])
    assert (rows.tolist(), items["label"].tolist()) == ([4, 3, 1, 0], ["a", "b", "a", "b"])


@pytest.mark.parametrize("seconds", [0.5, 2.5])
@pytest.mark.parametrize("frames", ["all", "valid"])
def test_clips_are_cut_or_padded_to_their_length(task, clips, seconds, frames):
    """By hand: half a second keeps 8,000 samples, 25 frames; two and a half add zeros."""
    task.params.settings |= {"seconds": seconds, "frames": frames}
    embed.main(task)
    longer = np.zeros((N, round(16000 * seconds)), np.float32)
    longer[:, :16000] = clips[0][:, : longer.shape[1]]
    lengths = clips[1] if frames == "valid" else None
    expected = expected_embeddings(task, (longer, clips[1]), lengths)
    np.testing.assert_allclose(read(task), expected, rtol=1e-4, atol=1e-5)
    with h5py.File(task.output.embeddings) as file:
        assert file.attrs["seconds"] == seconds


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_masked_clips_are_embedded_as_if_alone_and_stay_in_order(task, clips, batch_size):
    task.params.settings["padding"] = "mask"
    task.params.speed["batch_size"] = batch_size
    embed.main(task)
    model, extractor = encoders.load_encoder(task.input.weights.parent)
    rounded = (np.round(clips[0] * 32767) / 32768).astype(np.float32)
    alone = []
    for item in KEPT:
        wave = rounded[item, : max(320, clips[1][item])]  # one frame at least
        inputs = extractor(wave, sampling_rate=16000, return_tensors="pt")
        with torch.no_grad():
            states = model(**inputs, output_hidden_states=True).hidden_states
        alone.append([state[0].mean(dim=0).numpy() for state in states])
    np.testing.assert_allclose(read(task), np.swapaxes(alone, 0, 1), rtol=1e-4, atol=1e-4)
    with h5py.File(task.output.embeddings) as file:
        assert file.attrs["padding"] == "mask"


def test_clips_that_make_no_frame_are_refused(task):
    task.params.settings["seconds"] = 0.01
    with pytest.raises(ValueError, match=r"^clips.seconds: 0.01; model tiny has convolutions that make no"):
        embed.main(task)


def test_frames_valid_pools_the_signal_only(task, clips):
    task.params.settings["frames"] = "valid"
    embed.main(task)
    expected = expected_embeddings(task, clips, clips[1])
    np.testing.assert_allclose(read(task), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_phonemes_in_context_are_the_frames_of_their_word(task, clips, batch_size):
    """Spans of clips 0, 1 and 6; frame t sees samples 320 t to 320 t + 319: its centre is 320 t + 159.5."""
    offsets = np.cumsum(clips[1]) - clips[1]
    pd.DataFrame(
        {
            "path": [f"clip{i}" for i in range(N)],
            "word": "yes",
            "speaker": "s",
            "split": "test",
            "offset": offsets,
            "n_samples": clips[1],
            "digest": "",
            "remarks": "",
        }
    ).to_csv(task.input.table, index=False)
    spans = [  # clip, start and end in it, its frames
        (0, 159, 160, [0]),
        (0, 160, 1_440, [1, 2, 3, 4]),
        (0, 700, 705, [2]),  # no centre inside: the nearest
        (1, 5_000, 9_000, list(range(16, 28))),
        (6, 14_000, 15_999, list(range(44, 50))),
        (6, 15_990, 15_999, [49]),
    ]
    items = [
        (f"clip{i}", offsets[i] + start, offsets[i] + end, "a", "s", "test") for i, start, end, _ in spans
    ]
    pd.DataFrame(items, columns=corpus.ITEM_COLUMNS).to_csv(task.input.dataset, index=False)
    task.params.settings["context"] = "word"
    task.params.speed["batch_size"] = batch_size
    embed.main(task)
    model, extractor = encoders.load_encoder(task.input.weights.parent)
    found = read(task)
    for number, (clip, _, _, frames) in enumerate(spans):
        rounded = (np.round(clips[0][clip] * 32767) / 32768).astype(np.float32)
        inputs = extractor(rounded, sampling_rate=16_000, return_tensors="pt")["input_values"]
        with torch.no_grad():
            states = model(inputs, output_hidden_states=True).hidden_states
        expected = np.stack([state[0, frames].mean(dim=0).numpy() for state in states])
        np.testing.assert_allclose(found[:, number], expected, rtol=1e-4, atol=1e-5)


def test_frames_have_their_centre_where_the_papers_models_put_it():
    """25 ms windows every 20 ms: a change of one sample moves the frames whose window holds it."""
    convolutions = {"conv_dim": [4] * 7, "conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5] + [2] * 6}
    model = make_encoder(feat_extract_norm="layer", **convolutions)
    step, first = encoders.find_parts(model).frames
    assert (step, first) == (320, 199.5)
    centres = first + step * np.arange(49)
    clip = torch.randn(1, 16_000)
    changed = clip.clone()
    changed[0, 8_000] += 1
    with torch.no_grad():
        difference = (model.feature_extractor(clip) - model.feature_extractor(changed)).abs().sum(dim=(0, 1))
    assert np.array_equal(difference.numpy() > 0, np.abs(centres - 8_000) < 200)


def test_a_dataset_without_items_gives_a_file_without_items(task):
    """Of phonemes that were refused. Tables of scores have their columns all the same."""
    pd.DataFrame(columns=corpus.ITEM_COLUMNS).to_csv(task.input.dataset, index=False)
    embed.main(task)
    assert read(task).shape[:2] == (LAYERS + 1, 0)
    identity = {"model": "tiny", "state": "pretrained", "dataset": "words"}
    dataset = corpus.read_dataset(task.input.dataset)
    scored = layers.score_layers(task.output.embeddings, dataset, identity=identity, n_neighbors=5, threads=1)
    assert scored.scores.empty and scored.classes.empty and scored.covariances.empty
    keys = [*identity, "layers"]
    assert scored.scores.columns.tolist() == [*keys, *layers.MEASURES, *layers.BELOW]
    assert scored.classes.columns.tolist() == [*keys, "label", *layers.CLASS_MEASURES]
    assert scored.covariances.columns.tolist() == [*keys, "average", "other_layers", *layers.COVARIANCES]


def test_phonemes_after_the_first_second_have_no_context(task, clips):
    table = pd.DataFrame([("clip0", "yes", "s", "test", 0, 20_000, "1", "")], columns=corpus.COLUMNS)
    table.to_csv(task.input.table, index=False)
    pd.DataFrame([("clip0", 16_000, 17_000, "a", "s", "test")], columns=corpus.ITEM_COLUMNS).to_csv(
        task.input.dataset, index=False
    )
    task.params.settings["context"] = "word"
    with pytest.raises(ValueError, match=r"first 1 s, .*raise clips.seconds.*context: segment"):
        embed.main(task)
    task.params.settings["seconds"] = 1.01
    embed.main(task)
    assert read(task).shape[1] == 1


def test_the_file_says_where_it_comes_from(task, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0)
    embed.main(task)
    assert "progress: tiny pretrained words: 0 of " in task.log[0].read_text(encoding="utf-8")
    with h5py.File(task.output.embeddings) as file:
        attributes = dict(file.attrs)
        assert file["hidden_states"].dtype == np.float32
        assert file["hidden_states"].chunks[0] == 1
        assert file["hidden_states"].fletcher32 and file["labels"].fletcher32
    assert attributes["complete"]
    told = {name: attributes[name] for name in ("model", "state", "dataset", "id", "revision", "frames")}
    assert told == {
        "model": "tiny",
        "state": "pretrained",
        "dataset": "words",
        "id": "tiny",
        "revision": "abc",
        "frames": "all",
    }
    assert json.loads(attributes["versions"])["transformers"]
    task.input.fingerprint.write_text("cafe\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"corpus\.h5 is of another corpus than .*corpus\.sha256; delete it"):
        embed.main(task)
    with h5py.File(task.input.samples, "a") as file:
        file.attrs["fingerprint"] = "cafe"
    embed.main(task)
    with h5py.File(task.output.embeddings) as file:
        assert file.attrs["fingerprint"] != attributes["fingerprint"]


def test_a_fine_tuned_model_is_traced_to_its_base(task):
    (task.input.weights.parent / "metrics.json").write_text(
        json.dumps({"accuracy": 1.0, "base": {"id": "origin", "revision": None}}), encoding="utf-8"
    )
    embed.main(task)
    with h5py.File(task.output.embeddings) as file:
        assert (file.attrs["id"], file.attrs["revision"]) == ("origin", "")


def test_untrained_is_the_same_shape_drawn_by_the_seed(task):
    embed.main(task)
    trained = read(task)
    task.wildcards.state = "untrained"
    drawn = []
    for seed in (1, 1, 2):
        task.params.settings["seed"] = seed
        embed.main(task)
        drawn.append(read(task))
    assert drawn[0].shape == trained.shape
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.allclose(drawn[0], drawn[2], atol=1e-3)
    assert not np.allclose(drawn[0], trained, atol=1e-3)


def test_embed_refuses_what_does_not_fit(task):
    task.params.settings["layers"] = LAYERS + 1
    with pytest.raises(ValueError, match=r"model tiny has 3 transformer layers, but .* layers: 4"):
        embed.main(task)
    task.params.settings.update(layers=LAYERS, split="validation")
    with pytest.raises(ValueError, match=r"words\.csv has no items in split validation"):
        embed.main(task)
    assert not task.output.embeddings.exists()


def test_a_diverged_model_is_refused_and_leaves_no_file(task):
    model, extractor = encoders.load_encoder(task.input.weights.parent)
    model.encoder.layers[1].final_layer_norm.weight.data.fill_(torch.nan)
    encoders.save_folder(task.input.weights.parent, model, extractor)
    with pytest.raises(ValueError, match="hidden states that are not finite"):
        embed.main(task)
    assert list(task.output.embeddings.parent.iterdir()) == []


def test_long_position_kernels_are_computed_by_fourier_transform(task, clips, monkeypatch):
    """Those of published models are long (128 frames): the tiny encoder's is called so here."""
    calls = []
    convolve = positions.convolve
    monkeypatch.setattr(positions, "LONG", 1)
    monkeypatch.setattr(positions, "convolve", lambda *args: calls.append(1) or convolve(*args))
    embed.main(task)
    assert len(calls) == 2  # batches of 4 and 2
    np.testing.assert_allclose(read(task), expected_embeddings(task, clips), rtol=0, atol=1e-5)
