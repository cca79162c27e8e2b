"""The commands of the documentation run as they are written, on small stand-ins for what they need.

What stands in: a tiny random model is served as the hub's, under the hub's name and revision, and the real
Whisper tiny.en where it is there; `config.yaml` is the paper's with one model, one task and four training
steps, `resources/digits.yaml` has 20 steps; the recordings are seconds of noise and, where they are there, a
few of the real digits. `make install` finds the environment that runs the tests. The commands and the Python
are those of the pages, unchanged.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import h5py
import hub
import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from convexprune.setup import configuration

PAGES = ["your-data.md", "digits.md", "your-embeddings.md", "models.md", "folding.md", "reproduce.md"]
DRY_RUN = "snakemake --workflow-profile workflow/profiles/slurm --dry-run"  # of cluster.md
# What else a reader may copy. Targets of make that .ci/run makes:
CI = {"make demo", "make docs", "make lint", "make test", "make test-cluster", "make test-docs"}
CI |= {"make test-runs", "make test-faults", "make test-install"}
# And those that nothing runs as they stand, and why:
NOT_RUN = {
    "$EDITOR workflow/profiles/slurm/config.yaml": "an editor",
    ".venv/bin/python -m convexprune compare-alignments A.csv B.csv": "see test_comparison.py",
    ".venv/bin/python -m convexprune discard": "make resume runs it; see test_resume.py",
    ".venv/bin/python -m convexprune init": "without a source; your-data.md gives one",
    ".venv/bin/python -m convexprune init utterances.csv": "see test_a_table_of_utterances_…",
    ".venv/bin/snakemake --cores all --configfile utterances.yaml": "see test_a_table_of_utterances_…",
    ".venv/bin/python -m pytest tests/unit/convexity/test_planning.py": "see test_recipes.py",
    ".venv/bin/python -m pytest tests/unit/results/figures/test_gains.py": "see test_recipes.py",
    ".venv/bin/snakemake --dry-run --configfile resources/demo.yaml": "see test_recipes.py",
    ".venv/bin/snakemake --dry-run --configfile resources/demo.yaml --config plan='{rule: rise}'": (
        "see test_recipes.py"
    ),
    ".venv/bin/python tests/webmaus.py --port 8080 --failures 0.2": "serves for ever; see test_maus.py",
    ".venv/bin/snakemake --cores all --forcerun align_shard": "asks the web service; see test_service.py",
    "cp results/demo/figures/convexity_by_layer.png docs/convexity_by_layer.png": "needs the demo",
    "git clone … && cd convexprune": "the network",
    "git clone https://github.com/Jakobovski/free-spoken-digit-dataset": "the network",
    "make format": "rewrites the sources; make lint has the same tools check them",
    "git switch": "is spoken of",
    "make estimate CONFIG=mine.yaml": "make estimate, which reproduce.md runs, with another config",
    "make install TORCH_INDEX=https://download.pytorch.org/whl/cpu": "the network; see test_conventions.py",
    "make codemeta": "the network; see tests/install",
    "make crate CONFIG=my.yaml": "make crate, which reproduce.md runs, with another config",
    '.venv/bin/python -m convexprune crate my.yaml --agent "Ada Lovelace"': "see test_crate.py",
    "make install PYTHON=python3.13": "make install with another Python",
    "make lock": "asks the index for versions; see test_envs.py",
    "make resume CONFIG=my.yaml": "make resume with another config",
    "make resume CONFIG=recordings.yaml": "make resume with another config",
    "make summary RESULTS=results/paper": "make summary, whose default that is",
    "make test-kills": "minutes of kills, by hand",
    "pip install snakemake-executor-plugin-kubernetes": "the network",
    "pre-commit install": "the hooks of this clone; they run make lint",
    "python benchmarks/criteria.py": "minutes",
    "python benchmarks/convexity.py": "40 minutes",
    "python benchmarks/convexity.py --nnconvexity 2000": "9 minutes",
    "python -m convexprune discard": "make resume runs it; see test_resume.py",
    "python benchmarks/embeddings.py --threads 2": "minutes",
    "python benchmarks/finetuning.py": "an hour",
    "python benchmarks/folding.py MODEL RECORDINGS": "hours, a real model",
    "python benchmarks/healing.py results/demo": "hours, the demo",
    "python benchmarks/float16.py results/demo resources/demo.yaml hubert-small words": "reads the demo",
    "python benchmarks/ingestion.py": "minutes, 6 GB",
    "python benchmarks/load.py --cores 2 --configfile tests/workflow/small.yaml": "minutes",
    "python benchmarks/noninferiority.py": "half an hour",
    "python benchmarks/planning.py": "half an hour",
    "python benchmarks/timing.py": "minutes",
    "python benchmarks/padding.py --threads 1 --audio 256 --batch-size 8 --repeats 1": "minutes",
    "python benchmarks/whisper.py MODEL RECORDINGS --batch-size 30": "minutes, a real model",
    "rm -rf resources/alignments/maus/failures resources/alignments/maus/unanswered": "deletes",
    "scancel JOBID": "a running Slurm",
    "snakemake --workflow-profile workflow/profiles/slurm": "a running Slurm; see tests/cluster",
    "source .venv/bin/activate": "the tests name the programs of .venv",
    'squeue --me --format "%i %T %M %l %k"': "a running Slurm",
    "tail -f results/paper/logs/finetune/wavlm-base/words/9/0.log": "reads until it is stopped",
    "tmux": "a terminal",
}
PROGRAM = r"(\.venv/bin/)?(make|python|pip|snakemake|pre-commit|git|hf|rm|cp|tail|cat)"


def code(page: Path, language: str) -> list[str]:
    """The page's blocks of code in `language`, in order."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )


@pytest.fixture(scope="module")
def shared(root):
    """Real recordings and weights, which are not part of the repository."""
    return root.parent / "shared"


@pytest.fixture(scope="module")
def network(tmp_path_factory, shared):
    """A hub that serves a tiny model as wav2vec2-base, and small archives of Speech Commands' layout."""
    from convexprune.data import synthesis
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    folder = tmp_path_factory.mktemp("network")
    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=12,
        num_attention_heads=2,
        intermediate_size=24,
        conv_dim=[8, 8],
        conv_kernel=[20, 16],
        conv_stride=[20, 16],
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    Wav2Vec2Model(config).save_pretrained(folder / "model")
    Wav2Vec2FeatureExtractor().save_pretrained(folder / "model")
    (folder / "data").mkdir()
    synthesis.synthesise(
        train_path=folder / "data/train.tar.gz",
        test_path=folder / "data/test.tar.gz",
        words=["yes", "no"],
        speakers={"train": 6, "validation": 6, "test": 2},
        takes=2,
        seed=0,
        threads=1,
    )
    models = {
        "facebook/wav2vec2-base": folder / "model",
        "openai/whisper-tiny.en": shared / "models/whisper-tiny.en",
    }
    with hub.serve(
        {name: path for name, path in models.items() if path.is_dir()}, folder / "data"
    ) as address:
        yield address


class Reader:
    """Somebody who follows a page in a private copy of the repository."""

    def __init__(self, workflow, root: Path, address: str):
        self.root, self.folder = root, workflow.directory
        workflow.be_quiet()
        for name in (
            "Makefile",
            "requirements.lock",
            "pyproject.toml",
            "README.md",
            "LICENSE",
            "CITATION.cff",
        ):
            shutil.copy(root / name, self.folder)
        (self.folder / ".venv").mkdir()
        for path in Path(sys.prefix).iterdir():
            (self.folder / ".venv" / path.name).symlink_to(path)
        (self.folder / ".venv/installed").unlink(missing_ok=True)
        (self.folder / ".venv/installed").touch()
        self.environment = os.environ | {
            "HF_ENDPOINT": address,
            "HF_HOME": str(self.folder / "hub"),
            "HF_HUB_OFFLINE": "0",
            "OMP_WAIT_POLICY": "passive",  # or tiny models burn the other cores of a busy machine
            "PYTHONPATH": str(self.folder / "workflow/scripts"),
        }

    def run(self, *command: str) -> str:
        result = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=1800,
            encoding="utf-8",
        )
        assert result.returncode == 0, f"{command[-1]}\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
        return result.stdout

    def follow(self, page: str, interpreter: str = ".venv/bin/python") -> str:
        """Run the page's shell, then its Python as one script. Returns what they printed."""
        printed = [self.run("bash", "-euo", "pipefail", "-c", block) for block in self.shell(page)]
        if python := "".join(code(self.root / "docs" / page, "python")):
            printed.append(self.run(interpreter, "-c", python))
        return "".join(printed)

    def shell(self, page: str) -> list[str]:
        return code(self.root / "docs" / page, "bash")


@pytest.fixture(scope="module")
def reader(workflow, root, network):
    return Reader(workflow, root, network)


def test_a_folder_of_recordings_becomes_a_pruned_model_in_three_commands(reader):
    rng = np.random.default_rng(0)
    for label, frequency in (("yes", 400), ("no", 1500)):
        (reader.folder / "recordings" / label).mkdir(parents=True)
        for number in range(30):
            tone = np.sin(2 * np.pi * frequency * np.arange(8000) / 16_000)
            path = reader.folder / f"recordings/{label}/ann{number % 3}_nohash_{number}.wav"
            soundfile.write(path, 0.2 * tone + 0.02 * rng.standard_normal(8000), 16_000)
    assert len(reader.shell("your-data.md")[0].strip().splitlines()) == 3
    printed = reader.follow("your-data.md")
    assert "2: no 30, yes 30" in printed
    assert ".venv/bin/snakemake --cores all --configfile recordings.yaml" in printed
    assert printed.count("## Layers kept") == 2  # at the end of the run, and in the summary
    assert "recordings/no/ann0_nohash_0.wav: {" in printed  # the pruned model's answer

    results = reader.folder / "results/recordings"
    plan = pd.read_csv(results / "plan.csv").iloc[0]
    assert plan.model == "wav2vec2-base" and 1 <= plan.layers <= 12
    pruned = json.loads((results / "exported/wav2vec2-base/words/config.json").read_text(encoding="utf-8"))
    assert pruned["num_hidden_layers"] == plan.layers
    assert (results / "report.html").stat().st_size > 100_000


def test_a_table_of_utterances_becomes_a_pruned_model(reader, root):
    """With a header as the page shows it, at 3 s. Nothing is edited between the two commands."""
    rng = np.random.default_rng(0)
    (reader.folder / "clips").mkdir()
    emotions, sentences = ("angry", "calm", "glad"), ("Dogs sit", "Kids talk", "Stop, please", "It is late")
    rows = []
    for number, (speaker, emotion, sentence) in enumerate(product(range(6), emotions, sentences)):
        path, seconds = f"clips/{number:04}.wav", rng.uniform(0.5, 3.0)
        soundfile.write(reader.folder / path, 0.1 * rng.standard_normal(int(8000 * seconds)), 8000)
        rows.append((path, f"p{speaker}", emotion, sentence))
    page = root / "docs/your-data.md"
    [header] = [block.split("\n")[0] for block in code(page, "text") if block.startswith("path,")]
    pd.DataFrame(rows, columns=header.split(",")).to_csv(reader.folder / "utterances.csv", index=False)

    init, run = (command for command in commands(page) if "utterances" in command)
    printed = reader.run(*init.split())
    assert run in printed and "drawn by speaker: nobody in validation or test is in train" in printed
    config = configuration.read_yaml(reader.folder / "utterances.yaml")
    assert config["tasks"] == ["emotion", "sentence"]
    assert config["clips"] == {"seconds": 3, "padding": "mask"}
    printed = reader.run(*run.split())

    results = reader.folder / "results/utterances"
    plan = pd.read_csv(results / "plan.csv").set_index("task")
    table = pd.read_csv(results / "table1.csv").set_index("model").loc["wav2vec2-base"]
    for task in config["tasks"]:
        folder = results / f"exported/wav2vec2-base/{task}"
        exported = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        assert exported["num_hidden_layers"] == plan.layers[task]
        assert table[[f"{task}_full", f"{task}_pruned"]].notna().all()
        assert str(folder.relative_to(reader.folder)) in printed  # the answer
        assert (folder / "model.onnx").exists()


def test_real_digits_are_measured_and_whisper_is_pruned(reader, root, shared):
    """On three of the fifty takes of a digit and speaker, with 20 training steps."""
    if not all((shared / folder).is_dir() for folder in ("data/spoken_digits", "models/whisper-tiny.en")):
        pytest.skip("needs whisper-tiny.en and the spoken digits")
    recordings = reader.folder / "free-spoken-digit-dataset/recordings"
    recordings.mkdir(parents=True)
    for path in (shared / "data/spoken_digits").glob("*_[0-2].wav"):
        (recordings / path.name).symlink_to(path)
    config = configuration.read_yaml(root / "resources/digits.yaml")
    config["finetuning"] |= {"max_steps": 20, "eval_steps": 10}
    config["timing"] |= {"runs": 5, "warmup": 1, "steps": 2}
    (reader.folder / "resources").mkdir(exist_ok=True)
    text = yaml.safe_dump(config, sort_keys=False)
    (reader.folder / "resources/digits.yaml").write_text(text, encoding="utf-8")
    assert "files         180" in reader.follow("digits.md")

    results = reader.folder / "results/digits"
    [plan] = pd.read_csv(results / "plan.csv").itertuples()
    exported = results / "exported/whisper-tiny.en/words/config.json"
    pruned = json.loads(exported.read_text(encoding="utf-8"))
    assert pruned["encoder_layers"] == plan.layers and pruned["max_source_positions"] == 50  # a second
    scores = pd.read_csv(results / "convexity.csv").set_index(["dataset", "state"])
    best = {state: scores.loc[("words", state), "score"].max() for state in ("pretrained", "untrained")}
    assert best["pretrained"] - best["untrained"] > 0.2
    table = pd.read_csv(results / "table1.csv").set_index("model")
    assert table.word_pruned["whisper-tiny.en"] > 20  # twice chance, on a voice that it has not heard


def test_a_model_is_only_cut(reader):
    reader.follow("models.md")
    config = json.loads((reader.folder / "pruned/wav2vec2-base/config.json").read_text(encoding="utf-8"))
    assert config["num_hidden_layers"] == 9


def test_the_classifier_of_the_run_is_folded(reader):
    """The one that the commands of your-data.md trained, on the CSV that they wrote."""
    printed = reader.follow("folding.md")
    assert "Wav2Vec2ForSequenceClassification of 9 of 12 layers" in printed and "accuracy in %" in printed
    config = json.loads((reader.folder / "folded/config.json").read_text(encoding="utf-8"))
    assert config["num_hidden_layers"] == 9 and set(config["label2id"]) == {"no", "yes"}


def test_my_own_embeddings_are_scored(reader, root):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), 40)
    np.save(reader.folder / "embeddings.npy", rng.normal(size=(200, 16)) + 3 * np.eye(5, 16)[labels])
    np.save(reader.folder / "labels.npy", labels)
    with h5py.File(reader.folder / "words.h5", "w") as file:
        file["hidden_states"] = np.stack([np.load(reader.folder / "embeddings.npy").astype(np.float32)] * 6)
        file["labels"] = labels.astype(str).astype(object)
    printed = reader.follow("your-embeddings.md", ".venv-score/bin/python")
    assert not list((reader.folder / ".venv-score").glob("lib/*/site-packages/torch"))
    [shown] = code(root / "docs/your-embeddings.md", "text")
    assert shown in printed  # the page's own example
    score = float(re.findall(r"^0 +(0\.\d+) ±", shown, flags=re.MULTILINE)[0])
    layers = re.findall(r"^\d +(0\.\d+) ± \S+  (?:best|0\.\d+ ±)", printed, flags=re.MULTILINE)
    # of a file, then of six, twice
    assert [float(layer) for layer in layers] == pytest.approx([score] * 13, abs=1e-3)
    assert "Keep 1 of 5 layers. The convexity of the labels is highest after 1 layer" in printed
    assert f"over pairs   {score:.3f} ± " in printed  # from Python
    assert re.search(r"^difference   0\.\d+ ± 0\.\d+$", printed, flags=re.MULTILINE)
    assert json.loads((reader.folder / "score.json").read_text(encoding="utf-8"))["layers"][0]["per_class"]


def test_the_cluster_page_plans(reader):
    # Before config.yaml is made small, below, and all of it is there.
    planned = reader.run("bash", "-c", f'PATH="$PWD/.venv/bin:$PATH" {DRY_RUN}')
    assert re.search(r"^finetune +52 ", planned, flags=re.MULTILINE)


def test_the_papers_experiment_runs(reader, root, network):
    config = yaml.safe_load((root / "config.yaml").read_text(encoding="utf-8"))
    for archive, name in (("speech_commands_v0.02", "train"), ("speech_commands_test_set_v0.02", "test")):
        config["corpus"]["speech_commands"][archive]["url"] = f"{network}/data/{name}.tar.gz"
    config |= {
        "gpus": 0,
        "threads": 1,
        "datasets": {"words": config["datasets"]["words"]},
        "tasks": ["words"],
        "models": {"wav2vec2-base": config["models"]["wav2vec2-base"]},
        "sweep": {},
        "timing": {"runs": 2, "warmup": 0},
    }
    config["finetuning"] |= {"max_steps": 4, "eval_steps": 2, "batch_size": 4}
    (reader.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    printed = reader.follow("reproduce.md")
    assert re.search(r"^finetune +2 ", printed, flags=re.MULTILINE)  # the dry run
    assert "9 of 12" in printed
    results = reader.folder / "results/paper"
    assert pd.read_csv(results / "table1.csv").word_pruned.notna().any()
    assert (results / "report.html").exists()
    assert "speech_commands_v0.02.tar.gz" in (results / "ro-crate-metadata.json").read_text(encoding="utf-8")


def test_a_model_that_is_downloaded_tells_how_far_it_is(reader):
    """Not a page's command: here, since the hub is."""
    told = reader.run(
        ".venv/bin/python",
        "-c",
        "import logging, sys, pathlib\nfrom convexprune.jobs import progress\n"
        "from convexprune.models import sources\n"
        "progress.EVERY = 0; logging.basicConfig(level='INFO', stream=sys.stdout)\n"
        "with sources.downloaded('facebook/wav2vec2-base', 'main', pathlib.Path('fetched')): pass",
    )
    assert re.search(r"progress:.*: [\d.]+k of [\d.]+k, [\d.]+[kM]B/s, \d\d:\d\d left", told)


def documents(root) -> list[Path]:
    """Every page from which somebody may copy a command."""
    folders = ("workflow", "results", "resources", "benchmarks")
    readmes = [root / "README.md", root / "CONTRIBUTING.md", *(root / name / "README.md" for name in folders)]
    return [*readmes, *sorted((root / "docs").glob("*.md"))]


def shell_lines(page: Path) -> list[str]:
    """The lines of its shell, without comments."""
    lines = [line.partition("  #")[0] for block in code(page, "bash") for line in block.splitlines()]
    return [" ".join(line.split()) for line in lines]


def commands(page: Path) -> list[str]:
    """What a page gives to copy: its shell, and code within the text that calls a program."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]
    return shell_lines(page) + [span for span in spans if re.match(rf"{PROGRAM} \S", span)]


def test_every_command_is_run_or_it_is_said_why_not(root):
    followed = {DRY_RUN, *(line for page in PAGES for line in shell_lines(root / "docs" / page))}
    found = {command: page.relative_to(root) for page in documents(root) for command in commands(page)}
    listed = {*CI, *NOT_RUN}
    unknown = {command: str(page) for command, page in found.items() if command not in followed | listed}
    assert not unknown, "run these in a test, or list them with the reason why not"
    assert listed <= found.keys() - followed, "these are listed for nothing"
    [targets] = re.findall(
        r"^targets=\((.*)\)$", (root / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {f"make {target}" for target in targets.split()} == set(CI)


def test_no_block_hides_its_language(root):
    for page in documents(root):
        opening = re.findall(r"^ *```(\w*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[::2]
        assert all(opening), page


def test_every_page_with_commands_is_followed(root):
    pages = {path.name for path in (root / "docs").glob("*.md") if code(path, "bash")}
    assert pages - set(PAGES) == {"index.md", "cluster.md"}  # whose commands are in the lists above


def test_table_1_takes_one_command_and_a_pruned_model_three(root):
    assert shell_lines(root / "README.md") == ["make demo", "make test"]
    assert len(code(root / "docs/your-data.md", "bash")[0].splitlines()) == 3
