import json
from types import SimpleNamespace

import cache_features
import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from convexprune.finetuning import features
from convexprune.jobs import provenance
from convexprune.models import encoders
from encoder_factory import make_encoder
from tones import measured, train, weights
from transformers import PreTrainedModel

COURSE = {"max_steps": 12, "eval_steps": 4, "spec_augment": True, "cache_features": "float32"}


def cache(folder, kind="float32", seconds=1, padding="zeros"):
    cache_features.main(
        SimpleNamespace(
            input=SimpleNamespace(
                weights=folder / "tiny" / "model.safetensors",
                samples=folder / "corpus.h5",
                fingerprint=folder / "corpus.sha256",
                dataset=folder / "words.csv",
            ),
            output=SimpleNamespace(cached=(out := folder / f"{kind}-{seconds}-{padding}.h5")),
            params=SimpleNamespace(
                settings={
                    "cache_features": kind,
                    "precision": "auto",
                    "seconds": seconds,
                    "padding": padding,
                },
                speed={"gpus": 0, "batch_size": 7},
            ),
            threads=1,
            log=[folder / "log"],
        )
    )
    return out


@pytest.fixture(scope="module")
def stored(tones):
    return cache(tones)


def test_rows_are_the_front_ends_outputs_and_test_rows_are_left_out(tones, stored):
    table = pd.read_csv(tones / "words.csv")
    model, _ = encoders.load_encoder(tones / "tiny")
    with h5py.File(stored) as file, h5py.File(tones / "corpus.h5") as corpus:
        found, samples = file["features"][:], corpus["samples"][:].astype(np.float64)
    assert len(found) == len(table)
    for row in table.groupby("split").head(4).itertuples():
        clip = samples[row.start : row.end][:16000]
        clip = np.pad(clip, (0, 16000 - len(clip)))
        wave = torch.tensor((clip - clip.mean()) / clip.std(), dtype=torch.float32)
        with torch.no_grad():
            expected = model.feature_extractor(wave[None])[0].numpy()
        if row.split == "test":
            assert not found[row.Index].any()
        else:
            np.testing.assert_allclose(found[row.Index], expected, atol=1e-4)


def test_training_from_features_gives_the_same_results(tones, stored):
    plain = train(tones, **COURSE)
    cached = train(tones, options={"cached": stored}, **COURSE)
    same = {**measured(cached), "cached_features": "none"}
    assert measured(cached)["cached_features"] == "float32"
    assert same == measured(plain)
    pd.testing.assert_frame_equal(cached.training_log, plain.training_log)
    assert list(weights(cached)) == list(weights(plain))
    assert all(torch.equal(weights(cached)[name], weight) for name, weight in weights(plain).items())


@pytest.mark.parametrize("seconds", [0.5, 2.5])
def test_features_of_other_lengths_train_as_their_clips_do(tones, stored, seconds):
    plain = train(tones, **COURSE, seconds=seconds)
    cached = train(tones, options={"cached": cache(tones, seconds=seconds)}, **COURSE, seconds=seconds)
    for name, weight in weights(plain).items():
        torch.testing.assert_close(weights(cached)[name], weight, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="holds features of other weights, recordings or clips; delete it"):
        train(tones, options={"cached": stored}, **COURSE, seconds=seconds)


def test_masked_features_are_those_of_clips_alone_and_train_as_clips_do(tones):
    """The batches of both are of like length; the features' zeros are masked as the clips' are."""
    course = COURSE | {"seconds": 2, "padding": "mask"}
    stored = cache(tones, seconds=2, padding="mask")
    model, extractor = encoders.load_encoder(tones / "tiny")
    table = pd.read_csv(tones / "words.csv")
    with h5py.File(stored) as file, h5py.File(tones / "corpus.h5") as corpus:
        for row in table[table["split"] == "train"].head(6).itertuples():
            clip = corpus["samples"][row.start : row.end].astype(np.float32) / 32768
            wave = extractor(clip, sampling_rate=16000, return_tensors="pt")["input_values"]
            with torch.no_grad():
                expected = model.feature_extractor(wave)[0].numpy()
            frames = file["frames"][row.Index]
            np.testing.assert_allclose(file["features"][row.Index, :, :frames], expected, atol=1e-4)
            assert not file["features"][row.Index, :, frames:].any()
    plain, cached = train(tones, **course), train(tones, options={"cached": stored}, **course)
    for name, weight in weights(plain).items():
        torch.testing.assert_close(weights(cached)[name], weight, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="holds features of other weights, recordings or clips; delete it"):
        train(tones, options={"cached": stored}, **course | {"padding": "zeros"})


def test_training_from_features_never_runs_the_front_end(tones, stored, monkeypatch):
    from transformers.models.hubert.modeling_hubert import HubertFeatureEncoder

    forward, batches = HubertFeatureEncoder.forward, []

    def note(self, waves):
        batches.append(len(waves))
        return forward(self, waves)

    monkeypatch.setattr(HubertFeatureEncoder, "forward", note)
    train(tones, options={"cached": stored}, **COURSE)
    assert sum(batches) == 3 * 8  # the test split


def test_the_front_end_goes_to_the_device_with_the_rest(tones, stored, monkeypatch):
    """It is not there in training, but the test split needs it."""
    move, moved = PreTrainedModel.to, []

    def note(model, *device):
        moved.append(type(features.front_end(model)).__name__)
        return move(model, *device)

    monkeypatch.setattr(PreTrainedModel, "to", note)
    train(tones, options={"cached": stored}, **COURSE)
    assert moved[0] == "HubertFeatureEncoder"


def test_half_precision_halves_the_file_and_nearly_keeps_values(tones, stored):
    half = cache(tones, "float16")
    rows = np.array([5, 0, 40])
    full = features.read_features(stored, rows)
    found = features.read_features(half, rows)
    assert found.dtype == full.dtype == np.float32
    np.testing.assert_allclose(found, full, rtol=1e-3, atol=1e-4)
    assert half.stat().st_size < 0.6 * stored.stat().st_size


def test_features_of_other_weights_or_recordings_are_refused(tones, stored):
    encoder = json.loads((tones / "tiny" / "provenance.json").read_text(encoding="utf-8"))["fingerprint"]
    inputs = provenance.fingerprint(tones / "corpus.sha256", tones / "words.csv")
    right = {"encoder": encoder, "inputs": inputs, "seconds": 1, "padding": "zeros"}
    features.check_features(stored, **right)
    for wrong in ({"encoder": "other"}, {"inputs": "other"}, {"seconds": 2.5}, {"padding": "mask"}):
        with pytest.raises(ValueError, match="other weights, recordings or clips"):
            features.check_features(stored, **right | wrong)


@pytest.mark.parametrize("keep", [0, 100, 0.5])
def test_damaged_features_are_named(tones, stored, tmp_path, keep):
    damaged = tmp_path / "damaged.h5"
    content = stored.read_bytes()
    damaged.write_bytes(content[: int(keep * len(content)) if keep < 1 else keep])
    with pytest.raises(ValueError, match=r"damaged.h5 is damaged .*delete it and run again"):
        train(tones, options={"cached": damaged}, **COURSE)


def test_a_model_without_a_front_end_on_waveforms_is_refused(tones):
    with pytest.raises(ValueError, match="cache_features to none"):
        features.front_end(make_encoder("whisper", head=True))


def test_a_frozen_front_end_asks_for_no_gradients():
    model = make_encoder("hubert", head=True)
    encoders.freeze_front_end(model)
    outputs = model.train().base_model.feature_extractor(torch.randn(2, 1600))
    assert not outputs.requires_grad
