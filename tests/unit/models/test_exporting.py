import json
import re
from types import SimpleNamespace

import export_model
import numpy as np
import onnxruntime
import pytest
import soundfile
import torch
from convexprune import __main__ as command_line
from convexprune.jobs import files
from convexprune.models import architectures, cards, encoders, exporting, runtimes
from convexprune.models.pruning import prune
from encoder_factory import ARCHITECTURES, LAYERS, make_encoder, make_feature_extractor
from huggingface_hub import ModelCard
from huggingface_hub.utils import validate_repo_id
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification, Wav2Vec2ForCTC, pipeline

LABELS = {0: "low", 1: "middle", 2: "high"}


def tone(hertz):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(16000) / 16000)).astype(np.float32)


TONES = {"low": tone(150), "middle": tone(700), "high": tone(3100)}


@pytest.fixture(scope="module")
def fine_tuned():
    """A pruned classifier that really tells three tones, and its feature extractor."""
    model = prune(make_encoder("hubert", head=True, hidden_size=32, conv_dim=[16, 16]), 1)
    model.config.id2label, model.config.label2id = LABELS, {name: key for key, name in LABELS.items()}
    extractor = make_feature_extractor()
    [clips] = encoders.prepare(extractor, np.stack(list(TONES.values()))).values()
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(60):
        optimiser.zero_grad()
        model(clips, labels=torch.tensor([0, 1, 2])).loss.backward()
        optimiser.step()
    return model.eval(), extractor


@pytest.fixture
def exported(tmp_path, fine_tuned):
    """The folder that the rule's script writes."""
    given, out = tmp_path / "given", tmp_path / "exported"
    encoders.save_folder(given, *fine_tuned)
    metrics = {
        "model": "tiny",
        "task": "words",
        "layers": 1,
        "full_layers": LAYERS,
        "seed": 0,
        "accuracy": 0.9512,
        "validation_accuracy": 0.9,
        "sigma": 0.01,
        "n_test": 100,
        "steps": 60,
        "learning_rate": 0.01,
        "parameters": fine_tuned[0].num_parameters(),
        "full_parameters": 99999,
        "settings": {"padding": "zeros"},
    }
    files.write_json(given / "metrics.json", metrics)
    origin = {"source": "hub", "id": "some/base", "revision": "abc", "licence": "apache-2.0"}
    files.write_json(tmp_path / "provenance.json", origin)
    rows = [f"{index},0,1,low,s,{'test' if index < 2 else 'train'}\n" for index in range(5)]
    (tmp_path / "words.csv").write_text(
        "item,start,end,label,speaker,split\n" + "".join(rows), encoding="utf-8"
    )
    export_model.main(
        SimpleNamespace(
            input=SimpleNamespace(
                weights=given / "model.safetensors",
                base=tmp_path / "provenance.json",
                dataset=tmp_path / "words.csv",
                timing=[],
            ),
            output=SimpleNamespace(weights=out / "model.safetensors"),
            params=SimpleNamespace(
                settings={"corpus": "speech_commands", "runs": 5, "warmup": 1, "threads": 1, "seconds": 1}
            ),
            log=[tmp_path / "log"],
        )
    )
    return out


def test_a_pipeline_and_onnx_runtime_label_wav_files_right(exported, tmp_path):
    classify = pipeline("audio-classification", model=str(exported))
    session = onnxruntime.InferenceSession(exported / "model.onnx")
    extractor = AutoFeatureExtractor.from_pretrained(exported)
    labels = json.loads((exported / "config.json").read_text(encoding="utf-8"))["id2label"]
    for label, samples in TONES.items():
        soundfile.write(tmp_path / "tone.wav", samples, 16000)
        heard, rate = soundfile.read(tmp_path / "tone.wav", dtype="float32")
        assert classify({"raw": heard, "sampling_rate": rate})[0]["label"] == label
        inputs = extractor(heard, sampling_rate=rate, return_tensors="np")
        [logits] = session.run(None, {"input_values": inputs["input_values"]})
        assert labels[str(logits.argmax())] == label


def test_the_card_of_speakers_claims_no_test_split_and_tells_a_disturbed_time(exported):
    metrics = json.loads((exported / "metrics.json").read_text(encoding="utf-8")) | {"task": "speakers"}
    metrics["onnx"] |= {"disturbed": True, "machine": "box (Some CPU, 4 CPUs)"}
    model = AutoModelForAudioClassification.from_pretrained(exported)
    base = {"id": "some/base", "revision": None, "licence": None}
    data = {"corpus": "Speech Commands", "tested": "tested on a split of words", "datasets": None}
    data |= {"language": "en", "items": {"test": 2}}
    timed = {"full": {"median": 0.02}, "pruned": {"median": 0.0125}, "device": "Some GPU", "disturbed": False}
    extractor = make_feature_extractor("hubert")
    card = ModelCard(cards.describe_finetuned(model, extractor, metrics, base, data, timed))
    assert "| Full → pruned, one second | 20.0 → 12.5 ms by PyTorch on Some GPU, in turn |" in card.text
    [result] = card.data.eval_results
    assert result.dataset_split == "train"
    assert result.dataset_name == "Speech Commands, training recordings split anew"
    assert "on box (Some CPU, 4 CPUs) (other work ran beside it: measure it again)" in card.text


LATENCY = {"latency": {"median": 0.01}, "torch_latency": {"median": 0.01}}
METRICS = {"model": "tiny", "task": "words", "layers": 1, "full_layers": 3}
METRICS |= {"onnx": LATENCY | {"disturbed": None, "threads": 1, "machine": "box", "max_difference": 0}}
METRICS |= dict.fromkeys(("accuracy", "sigma", "validation_accuracy", "n_test", "parameters"), 1)
METRICS |= dict.fromkeys(("full_parameters", "steps", "learning_rate", "seed"), 1)
METRICS |= {"settings": {"padding": "zeros"}}


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ("paper", "Speech Commands v0.02, tested on its separate test archive"),
        ("standard", "Speech Commands v0.02, tested on its standard test split, the files of testing_list"),
    ],
)
def test_the_card_says_which_test_split_words_have(tmp_path, test, said):
    """Accuracies on the two cannot be compared."""
    text = "item,start,end,label,speaker,split\nyes/a.wav,0,1,yes,a,test\n"
    (tmp_path / "words.csv").write_text(text, encoding="utf-8")
    data = exporting.read_data(tmp_path / "words.csv", "speech_commands", test)
    model, extractor = make_encoder("hubert", head=True), make_feature_extractor("hubert")
    base = {"id": "some/base", "revision": None, "licence": None}
    card = ModelCard(cards.describe_finetuned(model, extractor, METRICS, base, data, None, 1))
    assert f"| Data | {said}" in card.text
    assert card.data.eval_results[0].dataset_name.startswith(said)


@pytest.mark.parametrize("padding", ["zeros", "mask"])
@pytest.mark.parametrize(
    ("family", "seconds"), [("hubert", 1), ("whisper", 2.5), ("wav2vec2-bert", 0.5), ("wav2vec2-bert", 2.5)]
)
def test_the_cards_python_labels_a_recording_by_the_onnx_file(
    tmp_path, monkeypatch, capsys, family, seconds, padding
):
    model, extractor = make_encoder(family, head=True), make_feature_extractor(family)
    told = {1: "one second of speech", 2.5: "2.5 seconds of speech", 0.5: "0.5 seconds of speech"}[seconds]
    model.config.id2label = {index: f"label {index}" for index in range(model.config.num_labels)}
    encoders.save_folder(tmp_path / "this/folder", model, extractor)
    exporting.write_onnx(tmp_path / "this/folder/model.onnx", model, extractor, seconds)
    base = {"id": "some/base", "revision": None, "licence": None}
    data = {"corpus": "mine", "tested": None, "datasets": None, "language": None, "items": {"test": 2}}
    metrics = METRICS | {"settings": {"padding": padding}}
    card = cards.describe_finetuned(model, extractor, metrics, base, data, None, seconds)
    alone = padding == "mask" and family != "whisper"  # which hears its whole window
    assert ("give the model one clip at a time" in card) == alone
    assert told in card and ("One second on a CPU" in card) == (seconds == 1)
    assert "Full → pruned" not in card
    audio = np.random.default_rng(0).normal(0, 0.1, 12_000).astype(np.float32)  # an odd number of spectra
    soundfile.write(tmp_path / "speech.wav", audio, 16000, subtype="FLOAT")
    monkeypatch.chdir(tmp_path)
    [_, code] = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    found: dict = {}
    exec(code, found)
    clip = np.pad(audio, (0, 0 if alone else 40_000))[None, : round(16_000 * seconds)]
    inputs = encoders.prepare(extractor, clip, np.array([clip.shape[1]]) if alone else None)
    with torch.no_grad():
        expected = model(**inputs).logits
    assert capsys.readouterr().out.strip() == f"label {expected.argmax().item()}"
    np.testing.assert_allclose(found["logits"], expected, atol=1e-5)


@pytest.mark.parametrize("family", ["hubert", "whisper"])
def test_the_docs_python_labels_a_recording_by_pytorch_and_by_the_onnx_file(
    tmp_path, monkeypatch, capsys, family, root
):
    """test_docs.py runs it with what a run exports; here it meets a model on spectra too."""
    model, extractor = make_encoder(family, head=True), make_feature_extractor(family)
    model.config.id2label = {index: f"label {index}" for index in range(model.config.num_labels)}
    folder = tmp_path / "results/recordings/exported/wav2vec2-base/words"
    encoders.save_folder(folder, model, extractor)
    exporting.write_onnx(folder / "model.onnx", model, extractor)
    audio = np.random.default_rng(0).normal(0, 0.1, 12_000).astype(np.float32)
    soundfile.write(tmp_path / "speech.wav", audio, 16000, subtype="FLOAT")
    (tmp_path / "recordings.csv").write_text("path,word\nspeech.wav,label 0\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    page = (root / "docs/your-data.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(code, {})
    by_pytorch, by_onnx = capsys.readouterr().out.strip().splitlines()
    assert f"'label': '{by_onnx}'" in by_pytorch


NAMES = [
    "some/base",
    "tiny",
    "my model (v2)",
    "a: 'b' \"c\"",
    "---",
    "{{ base }}",
    "Tětková/modèle",
    "12345",
    "null",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_valid_whatever_the_names_in_it(name):
    """By the checks that the hub's client makes on this machine; it refuses a base_model that is no id."""
    base = {"id": name, "revision": "1e5", "licence": name}
    model = make_encoder("hubert", head=True)
    model.config.id2label = {0: name, 1: "|", 2: "on"}
    metrics = METRICS | {"model": name, "onnx": METRICS["onnx"] | {"machine": name}}
    data = {"corpus": name, "tested": None, "datasets": None, "language": None, "items": {"test": 2}}
    for text in (
        cards.describe_pruned(model, base, 1, LAYERS),
        cards.describe_finetuned(model, make_feature_extractor("hubert"), metrics, base, data, None),
    ):
        card = ModelCard(text)
        assert f"\n# {name} with 1 of 3 transformer layers\n" in card.text
        assert (card.data.license, card.data.base_model_revision) == (name, "1e5")
        if card.data.base_model is not None:
            validate_repo_id(card.data.base_model)
        assert (card.data.base_model == name) == (name in ("some/base", "tiny", "12345", "null"))
    [result] = card.data.eval_results
    assert (result.dataset_type, result.dataset_name, result.metric_value) == ("own", name, 1)
    assert card.data.model_name == f"{name}-words-1"


def test_the_exported_folder_says_what_it_is(exported):
    card = ModelCard.load(exported / "README.md")
    data = card.data.to_dict()
    expected = {
        "license": "apache-2.0",
        "language": "en",
        "datasets": ["google/speech_commands"],
        "base_model": "some/base",
        "base_model_revision": "abc",
        "layers": 1,
        "base_model_layers": LAYERS,
        "library_name": "transformers",
        "pipeline_tag": "audio-classification",
    }
    assert {key: data[key] for key in expected} == expected
    [result] = card.data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_split) == ("accuracy", 0.9512, "test")
    assert {"pruning", "hubert"} <= set(data["tags"])
    for text in ("1 of 3 transformer layers", "3 train, 0 validation, 2 test", "95.12%", "low, middle, high"):
        assert text in card.text
    metrics = json.loads((exported / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["accuracy"] == 0.9512
    onnx = metrics["onnx"]
    assert 0 <= onnx["max_difference"] <= 1e-4
    assert 0 < onnx["latency"]["median"] < 1
    assert onnx["runs"] == 5
    assert onnx["disturbed"] in (True, False)
    assert onnx["versions"]["onnxruntime"] == onnxruntime.__version__


@pytest.mark.parametrize(
    ("family", "stable", "layers"),
    [*((*architecture, 2) for architecture in ARCHITECTURES), ("wavlm", True, 0), ("whisper", False, 0)],
)
def test_onnx_gives_the_logits_of_pytorch_for_any_batch_and_length(tmp_path, family, stable, layers):
    model, extractor = (
        prune(make_encoder(family, stable, head=True), layers),
        make_feature_extractor(family),
    )
    exporting.write_onnx(tmp_path / "model.onnx", model, extractor)
    session = runtimes.open_onnx(tmp_path / "model.onnx", threads=1)
    cases = [(4, 16000), (1, 16000)]
    if architectures.layout_of(model.config).any_length:
        cases += [(1, 7000), (2, 24000)]
    for clips, samples in cases:
        audio = np.random.default_rng(2).normal(size=(clips, samples)).astype(np.float32)
        [(name, values)] = encoders.prepare(extractor, audio).items()
        with torch.no_grad():
            expected = model(values).logits.numpy()
        [found] = session.run(None, {name: values.numpy()})
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert np.ptp(expected) > 1e-3


def test_an_onnx_file_that_differs_is_refused(tmp_path, fine_tuned):
    model, extractor = fine_tuned
    exporting.write_onnx(tmp_path / "model.onnx", model, extractor)
    session = runtimes.open_onnx(tmp_path / "model.onnx", threads=1)
    other = prune(model, 1)
    other.classifier.bias.data += 2e-4
    with pytest.raises(ValueError, match=r"differ from PyTorch's by 2\.\de-04, more than 0\.0001"):
        exporting.check_onnx(session, other, extractor)


def run(*arguments):
    command_line.main(["prune", *map(str, arguments)])


def test_the_command_prunes_a_classifier_with_its_labels(tmp_path, capsys):
    model = make_encoder("wavlm", head=True)
    model.config.id2label = LABELS
    encoders.save_folder(tmp_path / "in", model, make_feature_extractor())
    files.write_json(
        tmp_path / "in/metrics.json", {"base": {"id": "some/base", "revision": "abc", "fingerprint": "f"}}
    )
    run(tmp_path / "in", "--layers", 2, tmp_path / "new/out")
    assert "WavLMForSequenceClassification of 2 layers" in capsys.readouterr().out
    pruned = AutoModelForAudioClassification.from_pretrained(tmp_path / "new/out")
    clips = torch.randn(1, 3200)
    assert torch.equal(pruned.eval()(clips).logits, prune(model, 2)(clips).logits)
    assert pruned.config.id2label == LABELS
    data = ModelCard.load(tmp_path / "new/out/README.md").data
    assert (data.base_model, data.base_model_revision, data.layers) == ("some/base", "abc", 2)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["out"]


@pytest.mark.parametrize("layers", [0, LAYERS])
def test_the_command_leaves_other_heads_out(tmp_path, layers):
    encoder = make_encoder()
    encoder.config.vocab_size = 5
    model = Wav2Vec2ForCTC(encoder.config)
    encoders.save_folder(tmp_path / "asr", model, make_feature_extractor())
    config = json.loads((tmp_path / "asr/config.json").read_text(encoding="utf-8"))
    config["architectures"].append("Wav2Vec2Model")  # as many as one likes
    (tmp_path / "asr/config.json").write_text(json.dumps(config), encoding="utf-8")
    run(tmp_path / "asr", "--layers", layers, tmp_path / "out")
    pruned, _ = encoders.load_encoder(tmp_path / "out")
    clips = torch.randn(1, 3200)
    expected = prune(model.eval().wav2vec2, layers)(clips).last_hidden_state
    assert torch.equal(pruned(clips).last_hidden_state, expected)
    assert ModelCard.load(tmp_path / "out/README.md").data.pipeline_tag == "feature-extraction"


def test_the_command_says_what_is_wrong_and_leaves_nothing(tmp_path):
    encoders.save_folder(tmp_path / "in", make_encoder(), make_feature_extractor())
    out = tmp_path / "out"
    for model, layers, message in (
        (tmp_path / "in", LAYERS + 1, "cannot keep 4 layers of a Wav2Vec2Model that has 3"),
        (tmp_path / "nowhere", 1, "neither a folder nor an id"),
        (tmp_path, 1, "cannot be loaded as a speech model"),
    ):
        with pytest.raises(SystemExit, match=message):
            run(model, "--layers", layers, out)
    assert {file.name for file in tmp_path.iterdir()} == {"in"}
    out.mkdir()
    with pytest.raises(SystemExit, match="already there"):
        run(tmp_path / "in", "--layers", 1, out)


def test_the_command_names_a_hub_model_that_does_not_come(tmp_path, monkeypatch):
    def model_info(self, model_id, revision):
        raise ConnectionError("no route\nmore")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    with pytest.raises(
        SystemExit, match="cannot download model some/model at revision v1: no route"
    ) as caught:
        run("some/model", "--layers", 1, tmp_path / "out", "--revision", "v1")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
