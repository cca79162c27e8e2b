"""Whisper's window, cut to the length of clips."""

import json

import numpy as np
import pytest
import torch
from convexprune.models import encoders, sources
from encoder_factory import LAYERS, WHISPER_SECONDS, make_encoder, make_feature_extractor
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification, pipeline

CLIPS = np.random.default_rng(0).normal(0, 0.1, (2, 40_000)).astype(np.float32)


def import_cut(folder, seconds, family="whisper"):
    """(encoder, feature extractor) as given, and the folder of the import."""
    model, extractor = make_encoder(family), make_feature_extractor(family)
    encoders.save_folder(folder / "given", model, extractor)
    sources.import_encoder(folder / "out", path=str(folder / "given"), layers=LAYERS, seconds=seconds)
    return model, extractor, folder / "out"


@pytest.mark.parametrize(("seconds", "window"), [(0.5, 1), (1, 1), (1.5, 2), (2.5, 3), (3, 3)])
def test_the_first_positions_are_kept_for_whole_seconds(tmp_path, seconds, window):
    full, extractor, folder = import_cut(tmp_path, seconds)
    cut, shorter = encoders.load_encoder(folder)
    assert cut.config.max_source_positions == 50 * window
    assert (shorter.chunk_length, shorter.n_samples, shorter.nb_max_frames) == (
        window,
        16_000 * window,
        100 * window,
    )
    record = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    assert record["window"] == {"seconds": window, "given": WHISPER_SECONDS}
    # What goes into the first layer is the same, but for the last frames, which see the end of the padding.
    clips = CLIPS[:, : round(16_000 * seconds)]
    states = [
        model(**encoders.prepare(each, clips), output_hidden_states=True).hidden_states
        for model, each in ((full, extractor), (cut, shorter))
    ]
    assert states[1][0].shape[1] == 50 * window
    kept = 50 * window - 2
    torch.testing.assert_close(states[1][0][:, :kept], states[0][0][:, :kept])


def test_whole_clips_give_what_the_uncut_model_does(tmp_path):
    """At its full window nothing is cut away."""
    full, extractor, folder = import_cut(tmp_path, WHISPER_SECONDS)
    cut, shorter = encoders.load_encoder(folder)
    found, expected = (
        model(**encoders.prepare(each, CLIPS)).last_hidden_state
        for model, each in ((cut, shorter), (full, extractor))
    )
    assert torch.equal(found, expected)


def test_a_window_that_is_too_short_is_refused_in_a_line(tmp_path):
    with pytest.raises(
        ValueError, match=r"clips.seconds: 3.5; model .*given has max_source_positions 150"
    ) as error:
        import_cut(tmp_path, 3.5)
    assert "\n" not in str(error.value)


def test_other_models_stay_as_they_are(tmp_path):
    """A model of the hub that is no Whisper though its name says so."""
    model, extractor, folder = import_cut(tmp_path, 0.5, "wav2vec2")
    found, _ = encoders.load_encoder(folder)
    inputs = encoders.prepare(extractor, CLIPS)
    assert torch.equal(found(**inputs).last_hidden_state, model(**inputs).last_hidden_state)
    assert "window" not in json.loads((folder / "provenance.json").read_text(encoding="utf-8"))


def test_a_cut_classifier_loads_by_transformers_alone(tmp_path):
    _, _, folder = import_cut(tmp_path, 1)
    classifier = encoders.load_classifier(folder, num_labels=3)
    encoders.save_folder(tmp_path / "exported", classifier, encoders.load_encoder(folder)[1])
    model = AutoModelForAudioClassification.from_pretrained(tmp_path / "exported")
    extract = AutoFeatureExtractor.from_pretrained(tmp_path / "exported")
    inputs = extract(CLIPS[0, :12_000], sampling_rate=16_000, return_tensors="pt")
    assert inputs["input_features"].shape == (1, 80, 100)
    with torch.no_grad():
        expected = model(**inputs).logits.softmax(-1)[0]
    classify = pipeline("audio-classification", model=str(tmp_path / "exported"))
    found = {
        row["label"]: row["score"] for row in classify({"raw": CLIPS[0, :12_000], "sampling_rate": 16_000})
    }
    for label, index in model.config.label2id.items():
        assert found[label] == pytest.approx(float(expected[index]), abs=1e-5)
