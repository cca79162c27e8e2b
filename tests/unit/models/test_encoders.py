import json
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import download_model
import httpx2
import huggingface_hub
import import_model
import numpy as np
import pytest
import torch
from convexprune.jobs import provenance
from convexprune.models import encoders, sources
from encoder_factory import LAYERS, make_encoder, make_feature_extractor
from safetensors.torch import load_file, save_file
from transformers import ASTConfig, ASTModel, BertConfig, BertModel


@pytest.fixture
def clips():
    return torch.randn(2, 3200, generator=torch.Generator().manual_seed(1))


def snakemake_call(folder, settings):
    output = {
        "weights": folder / "model.safetensors",
        "config": folder / "config.json",
        "feature_extractor": folder / "preprocessor_config.json",
        "provenance": folder / "provenance.json",
    }
    return SimpleNamespace(
        output=SimpleNamespace(**output),
        params=SimpleNamespace(settings=settings),
        log=[folder / "log"],
    )


def change_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def test_a_saved_encoder_keeps_its_normalisation(tmp_path):
    encoders.save_encoder(tmp_path, make_encoder(), make_feature_extractor(do_normalize=False), {})
    loaded, feature_extractor = encoders.load_encoder(tmp_path)
    assert not loaded.training
    assert feature_extractor.do_normalize is False


def test_only_the_declared_files_are_left(tmp_path):
    encoders.save_encoder(tmp_path / "model", make_encoder(), make_feature_extractor(), {})
    assert sorted(file.name for file in (tmp_path / "model").iterdir()) == [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "provenance.json",
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_provenance_names_origin_versions_and_weights(tmp_path):
    encoders.save_encoder(tmp_path, make_encoder(), make_feature_extractor(), {"id": "some/model"})
    record = json.loads((tmp_path / "provenance.json").read_text(encoding="utf-8"))
    assert record["id"] == "some/model"
    assert record["fingerprint"] == provenance.fingerprint(tmp_path / "model.safetensors")
    assert record["versions"]["torch"] == torch.__version__.split("+")[0]


def test_the_encoder_of_a_classifier_is_loaded_without_its_head(tmp_path, clips):
    classifier = make_encoder("hubert", head=True)
    encoders.save_folder(tmp_path, classifier, make_feature_extractor())
    loaded, _ = encoders.load_encoder(tmp_path)
    assert type(loaded).__name__ == "HubertModel"
    assert torch.equal(loaded(clips).last_hidden_state, classifier.hubert(clips).last_hidden_state)


def test_half_precision_weights_are_loaded_as_float32(tmp_path):
    encoders.save_folder(tmp_path, make_encoder().half(), make_feature_extractor())
    assert encoders.load_encoder(tmp_path)[0].dtype == torch.float32


def test_missing_encoder_weights_are_named(tmp_path):
    encoders.save_folder(tmp_path, make_encoder(), make_feature_extractor())
    weights = load_file(tmp_path / "model.safetensors")
    del weights["encoder.layers.1.layer_norm.bias"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks the weights encoder\.layers\.1\.layer_norm\.bias"):
        encoders.load_encoder(tmp_path)


def test_of_many_missing_weights_three_are_named(tmp_path):
    encoders.save_folder(tmp_path, make_encoder(), make_feature_extractor())
    change_json(tmp_path / "config.json", num_hidden_layers=LAYERS + 1)
    with pytest.raises(ValueError, match=r"k_proj\.bias, .*k_proj\.weight, .*out_proj\.bias and 13 more$"):
        encoders.load_encoder(tmp_path)


@pytest.mark.parametrize("value", ["sixteen", 32])
def test_a_config_that_does_not_fit_is_told_in_a_line(tmp_path, value):
    encoders.save_folder(tmp_path, make_encoder(), make_feature_extractor())
    change_json(tmp_path / "config.json", hidden_size=value)
    with pytest.raises(ValueError, match=f"{tmp_path} (cannot be loaded|has weights of other)") as caught:
        encoders.load_encoder(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_mask_vector_is_no_error(tmp_path):
    encoders.save_folder(tmp_path, make_encoder(mask_time_prob=0.1), make_feature_extractor())
    weights = load_file(tmp_path / "model.safetensors")
    del weights["masked_spec_embed"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    encoders.load_encoder(tmp_path)


def test_an_unsupported_model_is_told_what_it_lacks(tmp_path):
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    for model in (BertModel(BertConfig(**shape, vocab_size=5)), ASTModel(ASTConfig(**shape))):
        model.save_pretrained(tmp_path)
        with pytest.raises(
            ValueError,
            match=r"it has no convolutional front end \(feature_extractor\), .*layers \(encoder\.layers\)",
        ) as caught:
            encoders.load_encoder(tmp_path)
        assert type(model).__name__ in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_family_laid_out_like_wav2vec2_needs_no_entry(monkeypatch):
    """UniSpeech and others are not listed anywhere; a part that is not where it should be is named."""
    model = make_encoder("hubert")
    model.config.model_type = "new"
    assert encoders.count_layers(model) == LAYERS
    del model.encoder.pos_conv_embed
    with pytest.raises(
        ValueError, match=r"HubertModel \(model type new\) .* no positions \(encoder\.pos_conv_embed\)\."
    ):
        encoders.count_layers(model)


def test_code_and_pickles_in_a_folder_are_never_run(tmp_path):
    encoders.save_folder(tmp_path, make_encoder(), make_feature_extractor())
    (tmp_path / "model.safetensors").unlink()

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    torch.save({"weights": Bomb()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"its \.bin file is damaged or holds more than tensors") as caught:
        encoders.load_encoder(tmp_path)
    assert "weights_only" not in str(caught.value)  # torch's advice to run it is not passed on
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    change_json(tmp_path / "config.json", **own)
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'exploded')!r}, 'w')", encoding="utf-8")
    with pytest.raises(ValueError, match="cannot be loaded as a speech model"):
        encoders.load_encoder(tmp_path)
    assert not (tmp_path / "exploded").exists()


def test_a_wrong_layer_count_is_refused():
    with pytest.raises(ValueError, match=r"model tiny has 3 transformer layers, but .* layers: 12"):
        encoders.check_layers(make_encoder(), 12, "tiny")


def test_import_copies_a_local_folder(tmp_path, clips):
    model = make_encoder("wavlm", stable=True)
    encoders.save_folder(tmp_path / "given", model, make_feature_extractor())
    settings = {"path": str(tmp_path / "given"), "layers": LAYERS}
    import_model.main(snakemake_call(tmp_path / "out", settings))
    loaded, _ = encoders.load_encoder(tmp_path / "out")
    assert torch.equal(loaded(clips).last_hidden_state, model(clips).last_hidden_state)
    record = json.loads((tmp_path / "out/provenance.json").read_text(encoding="utf-8"))
    assert (record["source"], record["id"], record["settings"]) == ("path", "given", settings)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\n---\n# Words", "mit"),
        ("# Words", None),
        ("---\nlicense: [mit\n---\n", None),
        (None, None),
    ],
)
def test_import_takes_the_licence_of_the_card(tmp_path, card, licence):
    encoders.save_folder(tmp_path / "given", make_encoder(), make_feature_extractor())
    if card:
        (tmp_path / "given/README.md").write_text(card, encoding="utf-8")
    sources.import_encoder(tmp_path / "out", path=str(tmp_path / "given"), layers=LAYERS)
    assert json.loads((tmp_path / "out/provenance.json").read_text(encoding="utf-8"))["licence"] == licence


def test_import_refuses_what_is_no_model_folder(tmp_path):
    with pytest.raises(ValueError, match="is not a folder"):
        sources.import_encoder(tmp_path / "out", path=str(tmp_path / "none"), layers=1)
    with pytest.raises(ValueError, match=r"cannot be loaded as a speech model: has no config\.json"):
        sources.import_encoder(tmp_path / "out", path=str(tmp_path), layers=1)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with one model, `someone/tiny`, its weights as .bin only, whose commit is `abc`."""
    model = make_encoder()
    fetched = SimpleNamespace(model=model, patterns=None, revision=None, head="abc", prepared=True)

    def model_info(self, model_id, revision):
        assert model_id == "someone/tiny"
        files = [
            "config.json",
            "preprocessor_config.json",
            "pytorch_model.bin",
            "flax_model.msgpack",
            "run.py",
        ]
        return SimpleNamespace(
            sha=revision if revision in ("abc", "def") else fetched.head,
            siblings=[SimpleNamespace(rfilename=name) for name in files],
            card_data=SimpleNamespace(get={"license": "mit"}.get),
        )

    def snapshot_download(model_id, revision, allow_patterns, local_dir, tqdm_class):
        fetched.revision, fetched.patterns, fetched.folder = revision, allow_patterns, Path(local_dir)
        fetched.found = fetched.folder.exists()
        model.config.save_pretrained(local_dir)
        if fetched.prepared:
            make_feature_extractor(do_normalize=False).save_pretrained(local_dir)
        torch.save(model.state_dict(), f"{local_dir}/pytorch_model.bin")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return fetched


def test_download_fetches_the_commit_and_normalises_the_folder(tmp_path, clips, hub):
    settings = {"id": "someone/tiny", "revision": "v1", "layers": LAYERS}
    download_model.main(snakemake_call(tmp_path / "out", settings))
    assert hub.revision == "abc"
    settings = ["config.json", "adapter_config.json", "preprocessor_config.json", "processor_config.json"]
    assert hub.patterns == [*settings, "pytorch_model.bin"]
    loaded, _ = encoders.load_encoder(tmp_path / "out")
    assert torch.equal(loaded(clips).last_hidden_state, hub.model(clips).last_hidden_state)
    record = json.loads((tmp_path / "out/provenance.json").read_text(encoding="utf-8"))
    assert (record["id"], record["revision"], record["licence"]) == ("someone/tiny", "abc", "mit")
    assert record["feature_extractor"] == "checkpoint"
    assert {path.name for path in tmp_path.iterdir()} == {"out", ".out.commit.json"}


def test_a_checkpoint_that_does_not_say_how_clips_are_prepared_is_used_all_the_same(tmp_path, hub, caplog):
    """vasista22/ccc-wav2vec2-base, one of the paper's seven, has config.json and pytorch_model.bin alone."""
    hub.prepared = False
    sources.download_encoder(tmp_path / "out", model_id="someone/tiny", revision="v1", layers=LAYERS)
    assert "has no preprocessor_config.json: clips are normalised" in caplog.text
    _, feature_extractor = encoders.load_encoder(tmp_path / "out")
    assert (feature_extractor.do_normalize, feature_extractor.sampling_rate) == (True, 16_000)
    assert (
        json.loads((tmp_path / "out/provenance.json").read_text(encoding="utf-8"))["feature_extractor"]
        == "default"
    )


def test_a_model_on_spectrograms_must_say_how_clips_are_prepared(tmp_path):
    encoders.save_folder(tmp_path, make_encoder("whisper"), make_feature_extractor("whisper"))
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match=r"cannot be loaded as a speech model: .*preprocessor_config\.json"):
        encoders.load_encoder(tmp_path)


def test_a_branch_that_moves_is_downloaded_again_as_it_was(tmp_path, hub):
    """Snakemake deletes the outputs, provenance.json too, before it runs the rule again."""
    settings = {"model_id": "someone/tiny", "revision": "main", "layers": LAYERS}
    for head, revision, commit in (
        ("abc", "main", "abc"),
        ("def", "main", "abc"),
        ("def", "v2", "def"),
        ("fed", "v2", "def"),
    ):
        hub.head = head
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        sources.download_encoder(tmp_path / "out", **(settings | {"revision": revision}))
        record = json.loads((tmp_path / "out/provenance.json").read_text(encoding="utf-8"))
        assert (record["revision"], record["settings"]["revision"]) == (commit, revision)


def test_what_came_of_a_model_stays_beside_the_output_until_it_is_used(tmp_path, hub):
    settings = {"model_id": "someone/tiny", "revision": "v1", "layers": 4}
    with pytest.raises(ValueError, match=r"3 transformer layers.* kept in .*\.out\.download: delete it"):
        sources.download_encoder(tmp_path / "out", **settings)
    assert hub.folder == tmp_path / ".out.download/abc" and not hub.found
    sources.download_encoder(tmp_path / "out", **(settings | {"layers": LAYERS}))
    assert hub.folder == tmp_path / ".out.download/abc" and hub.found
    assert not (tmp_path / ".out.download").exists()


def test_download_checks_the_layers(tmp_path, hub):
    with pytest.raises(ValueError, match="someone/tiny has 3 transformer layers"):
        sources.download_encoder(tmp_path, model_id="someone/tiny", revision="v1", layers=4)


@pytest.mark.parametrize("where", ["model_info", "snapshot_download"])
@pytest.mark.parametrize("failures", [sources.ATTEMPTS - 1, sources.ATTEMPTS])
def test_a_hub_that_fails_is_asked_again(tmp_path, hub, monkeypatch, caplog, where, failures):
    owner = huggingface_hub.HfApi if where == "model_info" else huggingface_hub
    works, left = getattr(owner, where), [httpx2.ReadError("reset")] * failures

    def fail(*args, **options):
        if left:
            raise left.pop()
        return works(*args, **options)

    waits = []
    monkeypatch.setattr(owner, where, fail)
    monkeypatch.setattr(time, "sleep", waits.append)
    settings = {"model_id": "someone/tiny", "revision": "v1", "layers": LAYERS}
    if failures < sources.ATTEMPTS:
        sources.download_encoder(tmp_path / "out", **settings)
    else:
        with pytest.raises(ValueError, match="cannot download model someone/tiny at revision v1: reset"):
            sources.download_encoder(tmp_path / "out", **settings)
    assert len(waits) == sources.ATTEMPTS - 1
    assert "someone/tiny: reset; again in 1 s" in caplog.text


def test_download_without_a_network_says_what_to_do(tmp_path, monkeypatch):
    def model_info(self, model_id, revision):
        raise ConnectionError("no route\n\nmore")  # the hub's client says why below

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    with pytest.raises(
        ValueError,
        match=r"model a/b at revision c: no route more. .*hf download a/b --revision c.* source: path",
    ) as caught:
        sources.download_encoder(tmp_path, model_id="a/b", revision="c", layers=4)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ({"model.safetensors", "pytorch_model.bin", "run.py"}, ["model.safetensors"]),
        ({"pytorch_model.bin", "tf_model.h5"}, ["pytorch_model.bin"]),
        (
            {"model.safetensors.index.json", "model-00001-of-00002.safetensors", "pytorch_model.bin"},
            ["model.safetensors.index.json", "model-*.safetensors"],
        ),
        ({"pytorch_model.bin.index.json"}, ["pytorch_model.bin.index.json", "pytorch_model-*.bin"]),
    ],
)
def test_one_format_of_weights_is_fetched(names, chosen):
    assert sources.choose_weights(names) == chosen


def test_a_repository_without_weights_is_told():
    with pytest.raises(ValueError, match="neither model"):
        sources.choose_weights({"config.json", "model.gguf"})


def test_frames_lie_where_their_samples_do():
    shape = {"conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2], "conv_dim": [8] * 7}
    parts = encoders.find_parts(make_encoder("wav2vec2", stable=True, **shape))
    wave = torch.randn(1, 16000, requires_grad=True)
    frames = parts.front_end[0](wave)
    assert frames.shape[2] == 49
    [gradient] = torch.autograd.grad(frames[0, :, 20].sum(), wave)
    seen = gradient[0].nonzero()
    assert (seen.min() + seen.max()) / 2 == parts.frames.first + 20 * parts.frames.step
    assert seen.max() - seen.min() == 399


@pytest.mark.parametrize("family", ["wav2vec2-bert", "whisper"])
def test_frames_of_filter_banks_lie_where_their_samples_do(family):
    """A click in the middle of frame 20, in faint noise, is loudest there."""
    frames = encoders.find_parts(make_encoder(family)).frames
    clip = 1e-4 * np.random.default_rng(0).normal(size=(1, 16000)).astype(np.float32)
    clip[0, round(frames.first + 20 * frames.step)] = 1
    [values] = encoders.prepare(make_feature_extractor(family), clip).values()
    # Whisper: (1, bins, windows), of which its second convolution centres a frame on every second one
    loudness = values[0, :, ::2].mean(dim=0) if family == "whisper" else values[0].mean(dim=1)
    assert loudness.argmax() == 20


def test_sew_squeezes_frames():
    narrow, wide = (encoders.find_parts(make_encoder("sew", squeeze_factor=n)).frames for n in (1, 2))
    assert (narrow.step, wide.step) == (320, 640)
    assert wide.first == narrow.first + 160
