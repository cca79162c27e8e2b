import json
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pretrain_model
import pytest
import torch
from convexprune.data import corpus
from convexprune.models import encoders, pretraining
from transformers.models.wav2vec2.modeling_wav2vec2 import _sample_negative_indices

SHAPE = {
    "layers": 2,
    "seed": 0,
    "hidden_size": 16,
    "attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": [8, 8, 8],
    "epochs": 2,
    "batch_size": 4,
    "learning_rate": 5e-3,
    "mask_prob": 0.5,
    "mask_length": 4,
    "clusters": 6,
    "codevectors": 8,
    "negatives": 5,
}
SETTINGS = {objective: {**SHAPE, "objective": objective} for objective in ("hubert", "wav2vec2")}
N_CLIPS = 12
N_FRAMES = 49


def make_clips() -> np.ndarray:
    """(12, 16000) int16: sequences of tones, each 0.1 s long, in a little noise."""
    rng = np.random.default_rng(0)
    time = np.arange(1600) / 16000
    tones = [np.sin(2 * np.pi * frequency * time) for frequency in (300, 800, 2000)]
    clips = np.stack([np.concatenate([tones[i] for i in rng.integers(3, size=10)]) for _ in range(N_CLIPS)])
    return np.round(8000 * (clips + 0.01 * rng.normal(size=clips.shape))).astype(np.int16)


def recipe(objective, **changes):
    return pretraining.Recipe(**SETTINGS[objective] | changes)


@pytest.fixture(scope="module")
def corpus_folder(tmp_path_factory):
    """The clips as a training split; half as long again, the test split's samples are a poison: silence."""
    folder = tmp_path_factory.mktemp("corpus")
    samples = np.concatenate([make_clips().ravel(), np.zeros(N_CLIPS * 8000, np.int16)])
    with h5py.File(folder / "corpus.h5", "w") as file:
        file["samples"] = samples
        file.attrs.update({"complete": True, "fingerprint": "f00d"})
    (folder / "corpus.sha256").write_text("f00d\n", encoding="utf-8")
    rows = [(f"a{i}", "w", "s", "train", 16000 * i, 16000, "", "") for i in range(N_CLIPS)]
    rows += [(f"b{i}", "w", "s", "test", 16000 * N_CLIPS + 8000 * i, 8000, "", "") for i in range(N_CLIPS)]
    pd.DataFrame(rows, columns=corpus.COLUMNS).to_csv(folder / "corpus.csv", index=False)
    return folder


def run(corpus_folder, folder, settings):
    call = SimpleNamespace(
        input=SimpleNamespace(
            samples=corpus_folder / "corpus.h5",
            table=corpus_folder / "corpus.csv",
            fingerprint=corpus_folder / "corpus.sha256",
        ),
        output=SimpleNamespace(weights=folder / "model.safetensors"),
        params=SimpleNamespace(settings=settings),
        threads=1,
        log=[folder / "log"],
    )
    pretrain_model.main(call)
    return json.loads((folder / "provenance.json").read_text(encoding="utf-8"))


@pytest.fixture
def waves():
    clips = torch.tensor(make_clips() / 32768, dtype=torch.float32)
    return (clips - clips.mean(dim=1, keepdim=True)) / clips.std(dim=1, keepdim=True)


@pytest.mark.parametrize("objective", ["hubert", "wav2vec2"])
def test_a_plain_encoder_folder_comes_out(corpus_folder, tmp_path, objective):
    record = run(corpus_folder, tmp_path, SETTINGS[objective])
    model, feature_extractor = encoders.load_encoder(tmp_path)
    assert type(model).__name__ == {"hubert": "HubertModel", "wav2vec2": "Wav2Vec2Model"}[objective]
    assert feature_extractor.do_normalize
    encoders.check_layers(model, 2, "pretrained")
    assert model(torch.zeros(1, 16000)).last_hidden_state.shape == (1, N_FRAMES, 16)
    assert (record["source"], record["settings"]) == ("pretrain", SETTINGS[objective] | {"seconds": 1})
    assert [epoch["epoch"] for epoch in record["history"]] == [1, 2]


@pytest.mark.parametrize("seconds", [0.5, 2.5])
@pytest.mark.parametrize("objective", ["hubert", "wav2vec2"])
def test_it_hears_clips_of_their_length(corpus_folder, tmp_path, monkeypatch, objective, seconds):
    objectives, heard = pretraining.OBJECTIVES, []

    def note(config, waves, recipe):
        heard.append(waves.shape)
        return objectives[objective](config, waves, recipe)

    monkeypatch.setattr(pretraining, "OBJECTIVES", {objective: note})
    run(corpus_folder, tmp_path, SETTINGS[objective] | {"seconds": seconds})
    assert heard == [(N_CLIPS, round(16000 * seconds))]


@pytest.mark.parametrize("objective", ["hubert", "wav2vec2"])
def test_the_seed_decides_the_weights(corpus_folder, tmp_path, objective):
    def weights(name, **changes):
        return run(corpus_folder, tmp_path / name, SETTINGS[objective] | changes)["fingerprint"]

    assert weights("first") == weights("again")
    assert weights("other", seed=1) != weights("first")


def test_only_the_training_split_and_no_label_is_used(corpus_folder, tmp_path):
    expected = run(corpus_folder, tmp_path / "all", SETTINGS["hubert"])["fingerprint"]
    table = pd.read_csv(corpus_folder / "corpus.csv")
    table["word"], table["speaker"] = range(len(table)), "x"
    (tmp_path / "changed").mkdir()
    table[table["split"] == "train"].to_csv(tmp_path / "changed/corpus.csv", index=False)
    for name in ("corpus.h5", "corpus.sha256"):
        (tmp_path / "changed" / name).symlink_to(corpus_folder / name)
    found = run(tmp_path / "changed", tmp_path / "changed/model", SETTINGS["hubert"])["fingerprint"]
    assert found == expected


@pytest.mark.parametrize("objective", ["hubert", "wav2vec2"])
def test_it_learns(waves, objective):
    """Masked tones are told better than at the start."""
    settings = recipe(objective, epochs=40)
    torch.manual_seed(0)
    np.random.seed(0)
    task = pretraining.OBJECTIVES[objective](pretraining.build_config(settings), waves, settings)
    history = pretraining.train(task, len(waves), settings)
    accuracy = [epoch["masked_accuracy"] for epoch in history]
    assert np.mean(accuracy[-5:]) > np.mean(accuracy[:5]) + 0.1
    assert history[-1]["loss"] < history[0]["loss"]


def test_clusters_follow_the_sound(waves):
    clusters = pretraining.cluster_frames(waves, N_FRAMES, 320, recipe("hubert", clusters=3))
    assert clusters.shape == (N_CLIPS, N_FRAMES)
    assert set(clusters.unique().tolist()) == {0, 1, 2}
    rng = np.random.default_rng(0)
    tones = np.stack([rng.integers(3, size=10) for _ in range(N_CLIPS)])
    middle = clusters[:, 2::5].numpy()  # the middle frame of each tone of 5 frames
    steady = [middle[tones == tone] for tone in range(3)]
    purity = np.mean([np.bincount(found).max() / len(found) for found in steady])
    assert purity > 0.8


def test_hubert_weighs_masked_and_seen_frames(waves, monkeypatch):
    """With weight 0 the clusters of seen frames do not matter; with weight 1 they do."""

    def loss(weight, seen_cluster):
        settings = recipe("hubert")
        monkeypatch.setattr(pretraining, "SEEN_WEIGHT", weight)
        mask = np.zeros((N_CLIPS, N_FRAMES), bool)
        mask[:, 10:20] = True
        targets = torch.zeros(N_CLIPS, N_FRAMES, dtype=torch.long)
        targets[~torch.from_numpy(mask)] = seen_cluster
        monkeypatch.setattr(pretraining, "draw_mask", lambda shape, settings: mask)
        monkeypatch.setattr(pretraining, "cluster_frames", lambda *arguments: targets)
        torch.manual_seed(0)
        task = pretraining.masked_prediction(pretraining.build_config(settings), waves, settings)
        step = task.loss(torch.arange(N_CLIPS), 0.0)
        assert step.n_masked == N_CLIPS * 10
        return step.loss.item()

    assert loss(0.0, 1) == loss(0.0, 2)
    assert loss(1.0, 1) != loss(1.0, 2)
    assert loss(1.0, 0) > loss(0.0, 0)


def test_hubert_hides_the_masked_sound(waves, monkeypatch):
    """What lies under the mask changes nothing in the prediction but through its target."""
    settings = recipe("hubert")
    monkeypatch.setattr(pretraining, "SEEN_WEIGHT", 0.0)
    mask = np.zeros((1, N_FRAMES), bool)
    mask[:, 5:] = True
    monkeypatch.setattr(pretraining, "draw_mask", lambda shape, settings: mask)
    monkeypatch.setattr(
        pretraining, "cluster_frames", lambda *arguments: torch.zeros(2, N_FRAMES, dtype=torch.long)
    )
    pair = waves[:2].clone()
    pair[1, :1700] = pair[0, :1700]  # the same to the end of frame 4 and no further
    # the first convolution's norm spans the clip: let it see the same statistics
    config = pretraining.build_config(settings)
    config.feat_extract_norm = "layer"
    torch.manual_seed(0)
    task = pretraining.masked_prediction(config, pair, settings)
    first, second = (task.loss(torch.tensor([clip]), 0.0).loss.item() for clip in range(2))
    assert first == pytest.approx(second, rel=1e-6)


def test_masks_are_spans_of_about_the_share_asked_for():
    np.random.seed(0)
    mask = pretraining.draw_mask((200, 100), recipe("hubert", mask_prob=0.4, mask_length=5))
    assert 0.28 < mask.mean() < 0.4  # spans overlap
    padded = np.pad(mask, ((0, 0), (1, 1)))
    starts, ends = (np.argwhere(np.diff(padded.astype(int)) == step) for step in (1, -1))
    assert (ends[:, 1] - starts[:, 1]).min() == 5


def test_the_contrastive_loss_is_that_of_transformers(waves):
    settings = recipe("wav2vec2")
    task = pretraining.contrast(pretraining.build_config(settings), waves, settings)
    task.trained.train()
    np.random.seed(1)
    mask = pretraining.draw_mask((N_CLIPS, N_FRAMES), settings)
    negatives = _sample_negative_indices((N_CLIPS, N_FRAMES), settings.negatives, mask)
    torch.manual_seed(1)
    task.trained.set_gumbel_temperature(1.0)  # the mean of 2 and 0.5 on a logarithmic scale
    oracle = task.trained(
        waves,
        mask_time_indices=torch.from_numpy(mask),
        sampled_negative_indices=torch.from_numpy(negatives),
    )
    np.random.seed(1)
    torch.manual_seed(1)
    step = task.loss(torch.arange(N_CLIPS), 0.5)
    assert step.n_masked == mask.sum()
    assert step.loss.item() == pytest.approx(oracle.loss.item() / mask.sum(), rel=1e-4)


def test_a_frame_is_right_where_it_is_closest_to_its_own_features(waves, monkeypatch):
    settings = recipe("wav2vec2")
    task = pretraining.contrast(pretraining.build_config(settings), waves, settings)
    features = torch.eye(N_FRAMES).repeat(N_CLIPS, 1, 1)  # those of different frames are at right angles
    quantised = features, torch.tensor(1.0)
    monkeypatch.setattr(task.trained.quantizer, "forward", lambda *arguments, **named: quantised)
    task.trained.project_q = task.trained.project_hid = torch.nn.Identity()

    def share_right(states):
        output = SimpleNamespace(last_hidden_state=states, extract_features=None)
        monkeypatch.setattr(task.encoder, "forward", lambda *arguments, **named: output)
        step = task.loss(torch.arange(N_CLIPS), 0.0)
        return step.n_right / step.n_masked

    assert share_right(features) == 1
    assert share_right(-features) == 0


def test_a_diverging_run_is_stopped(waves):
    settings = recipe("hubert", learning_rate=1e30)
    task = pretraining.masked_prediction(pretraining.build_config(settings), waves, settings)
    with pytest.raises(ValueError, match="the loss diverged in epoch 1; lower learning_rate"):
        pretraining.train(task, len(waves), settings)


def test_a_shape_that_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match="hidden_size 16 is not a multiple of attention_heads 3"):
        pretraining.build_config(recipe("hubert", attention_heads=3))


def test_the_front_end_steps_through_a_second_as_the_papers_models_do(waves):
    from transformers import AutoModel

    assert np.prod(pretraining.CONV_STRIDE) == 320
    encoder = AutoModel.from_config(pretraining.build_config(recipe("hubert")))
    assert pretraining.count_frames(encoder, waves) == N_FRAMES
