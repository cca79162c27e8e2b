"""The paper's config plans the paper's experiment; a wrong config is refused before any job starts."""

import copy
import datetime
import json
import math
import re
import resource
import shutil
import struct
import time
from collections import Counter

import pytest
import yaml
from convexprune.setup import configuration, needs, schema


@pytest.fixture
def paper(root):
    return yaml.safe_load((root / "config.yaml").read_text(encoding="utf-8"))


def job_counts(output: str) -> dict[str, int]:
    return {rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)$", output, flags=re.MULTILINE)}


@pytest.fixture(scope="module")
def planned(workflow):
    """Jobs by rule that a dry run of the paper's config plans."""
    start = time.monotonic()
    result = workflow.run("--dry-run", "--quiet", "rules")
    assert result.returncode == 0, result.stderr
    assert time.monotonic() - start < 30
    return job_counts(result.stdout + result.stderr)


def test_dry_run_plans_the_whole_paper(planned):
    # 7 models: full and pruned for 2 tasks = 28 runs; the sweep of 4 base models adds 8 - 2 points each.
    assert planned["finetune"] == 28 + 4 * 6
    assert planned["embed"] == planned["score_convexity"] == 7 * 3 * 3
    assert planned["export_model"] == 7 * 2
    assert planned["fold_layers"] == 7 * 2
    assert planned["time_models"] == 7 * 2 + 4 * 6  # the full models are what the others are timed against
    assert planned["download_model"] == 7
    assert planned["download_archive"] == 2
    assert planned["score_criteria"] == 7 * 2
    assert planned["total"] == sum(planned.values()) - planned["total"]


def test_the_standard_test_downloads_and_reads_one_archive(workflow, paper, planned):
    """The config does not name the other one. All other jobs are the same."""
    archives = paper["corpus"]["speech_commands"]
    archives["test"] = "standard"
    del archives["speech_commands_test_set_v0.02"]
    result = workflow.run("--dry-run", "--configfile", workflow.write_config("standard.yaml", paper))
    printed = result.stdout + result.stderr
    assert "speech_commands_v0.02.tar.gz" in printed and "test_set" not in printed
    fewer = {"download_archive": 1, "total": planned["total"] - 1}
    assert job_counts(printed) == planned | fewer


def test_the_estimate_counts_the_submitted_jobs_that_a_dry_run_plans(planned, root):
    counts = Counter(job.rule for job in needs.list_jobs(configuration.read_config(root / "config.yaml")))
    submitted = needs.MEMORY.keys() - {"align_shard"}  # MAUS is asked from the host
    assert counts == {rule: count for rule, count in planned.items() if rule in submitted}


def change(config, path, value):
    changed = copy.deepcopy(config)
    *parents, last = path
    place = changed
    for key in parents:
        place = place[key]
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return changed


GONE = object()
SPLITS = ("train", "validation", "test")
SYNTHETIC = {"words": ["yes", "up"], "speakers": dict.fromkeys(SPLITS, 1), "takes": 1}
ARCHIVE = ["corpus", "speech_commands", "speech_commands_v0.02"]
BASE = ["models", "wav2vec2-base"]

# What is changed in the paper's config, and the line that says so.
WRONG = [
    # Misspelt keys, at every level.
    (["corpsu"], {}, "corpsu: {}; no such key; allowed: pathvars, "),
    (
        ["convexity", "n_neighbours"],
        10,
        "convexity.n_neighbours: 10; no such key; allowed: n_neighbors, average",
    ),
    (
        ["datasets", "words", "split"],
        "test",
        'datasets.words.split: "test"; no such key; allowed: label, convexity_split',
    ),
    (["datasets", "phonemes", "min_counts"], 5, "datasets.phonemes.min_counts: 5; no such key"),
    (["datasets", "letters"], {}, "datasets.letters.label: missing; required here: label"),
    (
        ["datasets", "speaker"],
        {},
        "datasets.speaker.label: missing; required here: label. Did you mean speakers?",
    ),
    (
        ["datasets", "letters"],
        {"label": "letter"},
        'datasets.letters.label: "letter"; the archives of Speech',
    ),
    (["datasets", "my letters"], {"label": "word"}, 'datasets: "my letters"; allowed: A name of at most 64'),
    (["datasets", "untrained"], {"label": "word"}, 'datasets: "untrained"; allowed: A name of at most 64'),
    ([*BASE, "layer"], 12, "models.wav2vec2-base.layer: 12; no such key"),
    (
        [*BASE, "keep", "word"],
        3,
        "models.wav2vec2-base.keep.word: 3; no such dataset; there are words, speakers",
    ),
    (
        ["finetuning", "learning_rate", "words", "half"],
        1.0,
        "finetuning.learning_rate.words.half: 1.0; no such key",
    ),
    (["finetuning", "max_step"], 5, "Did you mean max_steps?"),
    (["sweep", "words", "layer"], [1], "sweep.words.layer: [1]; no such key; allowed: models, layers"),
    (["pathvars", "result"], "x", 'pathvars.result: "x"; no such key; allowed: results, resources'),
    (["timing", "run"], 5, "timing.run: 5; no such key; allowed: runs, warmup"),
    # Wrong types.
    (["threads"], "many", 'threads: "many"; must be a whole number'),
    (["threads"], 1.5, "threads: 1.5; must be a whole number"),
    (["threads"], True, "threads: true; must be a whole number"),
    (["tasks"], "words", 'tasks: "words"; must be a list'),
    (["models"], ["wav2vec2-base"], 'models: ["wav2vec2-base"]; must be a mapping'),
    (["convexity"], None, "convexity: null; must be a mapping"),
    (["finetuning", "spec_augment"], "no", 'finetuning.spec_augment: "no"; must be true or false'),
    (
        ["finetuning", "learning_rate", "words", "full"],
        "2e-5",
        'finetuning.learning_rate.words.full: "2e-5"; must be a number: YAML reads it as text; write 2.0e-05',
    ),
    (
        ["finetuning", "weight_decay"],
        math.nan,
        "finetuning.weight_decay: NaN; must be a number: write it as a finite number",
    ),
    (
        ["corpus"],
        {"synthetic": SYNTHETIC | {"words": [True, "up"]}},
        "corpus.synthetic.words.0: true; must be text: YAML reads yes, no, on and off so; write them",
    ),
    # Numbers and choices out of range.
    (["gpus"], -1, "gpus: -1; must be at least 0"),
    (["convexity", "n_neighbors"], 0, "convexity.n_neighbors: 0; must be at least 1"),
    (["finetuning", "learning_rate", "words", "full"], 0, "learning_rate.words.full: 0; must be above 0"),
    (["finetuning", "layerdrop"], 1.5, "finetuning.layerdrop: 1.5; must be below 1"),
    (["finetuning", "seeds"], [], "finetuning.seeds: []; must have at least 1 of them"),
    (["finetuning", "seeds"], [0, 0], "finetuning.seeds: [0, 0]; each may be given once"),
    (["datasets", "speakers", "test_share"], 1.0, "datasets.speakers.test_share: 1.0; must be below 1"),
    (
        ["datasets", "speakers", "test_share"],
        0.95,
        "datasets.speakers.test_share: 0.95; leaves nothing to train on",
    ),
    (
        ["finetuning"],
        {
            "learning_rate": {task: {"full": 1e-4, "pruned": 1e-4} for task in ("words", "speakers")},
            "cache_features": "float16",
            "freeze_feature_encoder": False,
        },
        'finetuning.cache_features: "float16"; a front end that is trained',
    ),
    (["convexity", "average"], "median", 'convexity.average: "median"; allowed: pair, class'),
    (
        ["datasets", "words", "convexity_split"],
        "dev",
        'convexity_split: "dev"; allowed: train, validation, test',
    ),
    (
        ["tasks"],
        ["phonemes"],
        'tasks.0: "phonemes"; allowed: A dataset of whole recordings: any but phonemes.',
    ),
    (
        ["models", "a/b"],
        {"source": "hub", "layers": 1},
        'models: "a/b"; allowed: A name of at most 64 letters',
    ),
    (["maus", "contact"], "José <me@example.org>", "Your e-mail address, on one line and without accents"),
    (["maus", "contact"], "me@example.org\n", "Your e-mail address, on one line and without accents"),
    *(
        (["models", key], {"source": "hub", "layers": 1}, f"models: {shown}; must be text: {advice}")
        for key, shown, advice in (
            (7, "7", "write it in quotes"),
            (1.5, "1.5", "write it in quotes"),
            (datetime.date(2024, 1, 2), '"2024-01-02"', "write it in quotes"),
            (True, "true", "YAML reads yes, no, on"),
            (None, "null", "YAML reads null, ~ and nothing at all so; write text in quotes"),
        )
    ),
    (["models"], {}, "models: {}; must have at least 1 of them"),
    ([*BASE, "source"], "web", 'models.wav2vec2-base.source: "web"; allowed: hub, path, pretrain'),
    # What is missing.
    (["finetuning"], GONE, "finetuning: missing; required here: corpus, datasets, tasks, models, finetuning"),
    ([*BASE, "layers"], GONE, "models.wav2vec2-base.layers: missing; required here: source, layers"),
    ([*BASE, "revision"], GONE, "models.wav2vec2-base.revision: missing; source hub takes id, revision"),
    (
        ["finetuning", "learning_rate", "speakers"],
        GONE,
        "finetuning.learning_rate.speakers: missing; required for the tasks words, speakers",
    ),
    # Keys that do not fit each other.
    (["corpus", "table"], {"csv": "mine.csv"}, "must have exactly one of speech_commands, synthetic, table"),
    (["corpus"], {}, "corpus: []; must have exactly one of speech_commands, synthetic, table"),
    (
        [*BASE, "path"],
        "somewhere",
        'models.wav2vec2-base.path: "somewhere"; not allowed; source hub takes id, rev',
    ),
    (
        [*BASE, "keep", "words"],
        12,
        "models.wav2vec2-base.keep.words: 12; must be below the model's 12 layers",
    ),
    (
        ["sweep", "words", "layers"],
        [0, 13],
        "sweep.words.layers: 13; must be at most the 12 layers of wav2vec2-base",
    ),
    (
        ["sweep", "words", "models"],
        ["wav2vec"],
        'sweep.words.models: "wav2vec"; no such model; allowed: wav2vec2-b',
    ),
    (["datasets", "speakers"], GONE, 'tasks: "speakers"; needs datasets.speakers; there are words, phonemes'),
    (
        ["convexity", "untrained"],
        ["letters"],
        'convexity.untrained: "letters"; allowed: words, speakers, phonemes',
    ),
    (["datasets", "phonemes", "aligner"], None, "datasets.phonemes.aligner: null; allowed: "),
    (["datasets", "phonemes", "aligner"], "mfa", 'datasets.phonemes.aligner: "mfa"; allowed: '),
    (
        ["models", "mine"],
        {"source": "path", "path": "no/where", "layers": 2},
        'models.mine.path: "no/where"; no such',
    ),
    (
        ["models", "tiny"],
        {"source": "pretrain", "layers": 2, "pretrain": {"objective": "hubert", "hidden_size": 15}},
        "models.tiny.pretrain.hidden_size: 15; must be a multiple of attention_heads, 4",
    ),
    (
        ["models", "tiny"],
        {"source": "pretrain", "layers": 2, "pretrain": {"objective": "hubert", "conv_dim": [8]}},
        "models.tiny.pretrain.conv_dim: [8]; must have at least 3 of them",
    ),
    (
        ["models", "tiny"],
        {"source": "pretrain", "layers": 2, "pretrain": {"objective": "hubert", "mask_length": 50}},
        "models.tiny.pretrain.mask_length: 50; must be at most 49",
    ),
    (["finetuning", "micro_batch_size"], 5, "finetuning.micro_batch_size: 5; must divide batch_size, 32"),
    # Where files go.
    *(
        (["pathvars", "results"], folder, f'pathvars.results: "{folder}"; allowed: A path of letters, digits')
        for folder in (
            "",
            ".",
            "/",
            "../x",
            "a/../b",
            "~/x",
            "my results",
            "results/",
            "./x",
            "a/{model}",
            "a*",
            "-x",
        )
    ),
    (["pathvars", "resources"], "<x>", 'pathvars.resources: "<x>"; allowed: A path of letters'),
    (
        ["pathvars", "results"],
        "resources",
        'pathvars.results: "resources"; must be another folder than resources',
    ),
    # Names, ids, addresses.
    *(
        (["models", name], {"source": "hub", "layers": 1}, f'models: "{name}"; allowed: A name of at most 64')
        for name in ("my model", "modèle", ".", "..", "-x", ".x", "", "average", "all", "x" * 65)
    ),
    (
        [*BASE, "id"],
        "https://huggingface.co/x/y",
        'id: "https://huggingface.co/x/y"; allowed: Hugging Face id',
    ),
    ([*BASE, "id"], "facebook/wav2vec2 base", 'id: "facebook/wav2vec2 base"; allowed: Hugging Face id'),
    (
        [*BASE, "revision"],
        1234567,
        "models.wav2vec2-base.revision: 1234567; must be text: write it in quotes",
    ),
    ([*BASE, "revision"], "", 'models.wav2vec2-base.revision: ""; allowed: Commit, tag or branch'),
    ([*ARCHIVE, "url"], "download.org/x.tar.gz", 'url: "download.org/x.tar.gz"; allowed: Where the archive'),
    ([*ARCHIVE, "url"], "http://", 'url: "http://"; allowed: Where the archive'),
    (
        [*ARCHIVE, "url"],
        None,
        "speech_commands_v0.02: required: its url or path, or a mirror",
    ),
    ([*ARCHIVE, "path"], "no.tar.gz", 'speech_commands_v0.02.path: "no.tar.gz"; no such file (seen from '),
    ([*ARCHIVE, "sha256"], "abc", 'sha256: "abc"; allowed: Expected SHA-256, of 64 hexadecimal digits'),
    ([*ARCHIVE, "size"], "2 GB", 'speech_commands_v0.02.size: "2 GB"; must be a whole number or null'),
    (
        [*ARCHIVE[:2], "mirror"],
        "ftp://x",
        'corpus.speech_commands.mirror: "ftp://x"; allowed: Where the archives',
    ),
    ([*ARCHIVE[:2], "test"], "own", 'speech_commands.test: "own"; allowed: paper, standard'),
    (
        [*ARCHIVE[:2], "speech_commands_test_set_v0.02"],
        GONE,
        "speech_commands_test_set_v0.02: missing; required, except with test: standard",
    ),
    (ARCHIVE, GONE, "speech_commands_v0.02: missing; required here: speech_commands_v0.02"),
    (["maus", "url"], "x", 'maus.url: "x"; allowed: Folder of the service'),
    (["maus", "language"], "English", 'maus.language: "English"; allowed: Language and variety'),
    (
        ["corpus"],
        {"synthetic": SYNTHETIC | {"words": ["up", "A/b"]}},
        'words.1: "A/b"; allowed: A word of lower',
    ),
    # Numbers that no run could use, or not as they are written.
    ([*BASE, "layers"], 12.0, "models.wav2vec2-base.layers: 12.0; must be a whole number: write 12"),
    (
        [*BASE, "layers"],
        "12",
        'models.wav2vec2-base.layers: "12"; must be a whole number: YAML reads it as text; write 12',
    ),
    ([*BASE, "layers"], 10**30, "must be at most 1000"),
    ([*BASE, "keep", "words"], None, "models.wav2vec2-base.keep.words: null; must be a whole number"),
    (["threads"], 10**30, "must be at most 1024"),
    (["threads"], math.inf, "threads: Infinity; must be a whole number"),
    (["finetuning", "seeds"], [2**32], "finetuning.seeds.0: 4294967296; must be at most 4294967295"),
    (["finetuning", "seeds"], [0, 1.5], "finetuning.seeds.1: 1.5; must be a whole number"),
    (["finetuning", "seeds"], 0, "finetuning.seeds: 0; must be a list"),
    (["finetuning", "learning_rate", "words", "full"], 2e5, "words.full: 200000.0; must be at most 1"),
    (["finetuning", "learning_rate", "words", "full"], "1e400", 'words.full: "1e400"; must be a number'),
    (
        ["finetuning", "learning_rate", "words", "pruned"],
        math.inf,
        "words.pruned: Infinity; must be a number",
    ),
    (["finetuning", "layerdrop"], 1, "finetuning.layerdrop: 1; must be below 1"),
    (
        ["datasets", "phonemes", "shards"],
        10**9,
        "datasets.phonemes.shards: 1000000000; must be at most 10000",
    ),
    (["datasets", "speakers", "test_share"], -0.1, "datasets.speakers.test_share: -0.1; must be above 0"),
    (["convexity", "untrained"], ["words", "words"], "each may be given once"),
    (["sweep", "words", "layers"], [], "sweep.words.layers: []; must have at least 1 of them"),
    (["sweep", "words", "models"], ["hubert-base"] * 2, "each may be given once"),
    (["tasks"], [], "tasks: []; must have at least 1 of them"),
    (["datasets"], {}, "datasets: {}; must have at least 1 of them"),
    # Nothing, everywhere.
    *(
        ([key], None, f"{key}: null; must be ")
        for key in ("threads", "corpus", "datasets", "tasks", "models", "timing")
    ),
    ([*BASE], None, "models.wav2vec2-base: null; must be a mapping"),
    (["sweep", "words"], None, "sweep.words: null; must be a mapping"),
    (["datasets", "words"], None, "datasets.words: null; must be a mapping"),
]


def problems(config: dict) -> list[str]:
    """What is wrong with a config, by the function that the Snakefile calls: a line each."""
    with pytest.raises(configuration.ConfigError) as error:
        configuration.complete(config)
    lines = str(error.value).splitlines()
    assert all(line.startswith("Config: ") for line in lines)
    return lines


@pytest.mark.parametrize(("path", "value", "said"), WRONG, ids=[said[:40] for *_, said in WRONG])
def test_a_wrong_config_is_named_in_one_line(paper, path, value, said):
    config = change(paper, path, value)
    lines = problems(config)
    assert said in "\n".join(lines)
    assert len(lines) == 1


def test_problems_come_in_the_order_of_the_file_and_what_is_missing_last(paper):
    """Since a misspelt key, above, is why another is missing."""
    config = {"gpus": "none", "modles": paper["models"]} | {
        key: paper[key] for key in ("corpus", "finetuning")
    }
    config |= {"datasets": paper["datasets"], "tasks": ["words", 5], "threads": 0}
    assert [line.partition(": ")[2].partition(":")[0] for line in problems(config)] == [
        "modles",
        "gpus",
        "tasks.1",
        "threads",
        "models",
    ]


# A user's table: what it holds (nothing: no file), and what is said of it.
TABLES = {
    "missing": (None, 'corpus.table.csv: "mine.csv"; no such file'),
    "empty": ("", 'corpus.table.csv: "mine.csv"; is not a CSV file'),
    "not in UTF-8": (b"path,word\ncaf\xe9.wav,yes\n", "is not a CSV file in UTF-8"),
    "from a spreadsheet": ("\ufeffpath;word\na.wav;yes\n", "required: path, word; it has path;word"),
    "a comma too many": ("path,word\na.wav,yes\nb.wav,no,x\n", "1 bad rows: row 2 (b.wav): has 3 fields"),
    "commas in the first row": (
        "path,word\na.wav,turn on, lamp\nb.wav,turn on, fan\n",
        "2 bad rows: row 1 (a.wav): has 3 fields where the header has 2 (put text with a comma in quotes",
    ),
    "without rows": ("path,word,speaker\n", "has no rows"),
    "without a column": ("path,label\na.wav,yes\n", "no column word; required: path, word; it has path"),
    "a row twice": (
        "path,word\na.wav,yes\nb.wav,no\n./a.wav,yes\nb.wav,no\n",
        "2 bad rows: row 3 (./a.wav): the path stands in an earlier row too, row 4 (b.wav): the path stands",
    ),
    "a row without a word": ("path,word\na.wav,\nb.wav,no\n", "row 1 (a.wav): no word"),
    "one class": ("path,word,speaker\na.wav,yes,ann\n", 'the classes ["yes"] of word; required: two or more'),
    "one class in a split": (
        "path,word,speaker,split\n"
        + "".join(f"{i}{word}.wav,{word},ann,{split}\n" for i, split in enumerate(("train", "validation"))
                  for word in ("yes", "no"))
        + "t.wav,no,bob,test\n",
        'its split test has the classes ["no"] of word; required: two or more',
    ),
    "a word that is not trained on": (
        "path,word,split\n"
        + "".join(f"{split}{word}.wav,{word},{split}\n" for split in SPLITS for word in ("yes", "no"))
        + "t.wav,up,test\n",
        'its split test has the classes ["up"] of word, which split train lacks',
    ),
    "a split in only some rows": (
        "path,word,split\na.wav,yes,train\nb.wav,no,\n",
        'corpus.table.csv: "mine.csv"; has no split in 1 of 2 rows, first in row 2 (b.wav): give every row',
    ),
    "classes of one recording": (
        "path,word\n" + "".join(f"{number}.wav,word {number}\n" for number in range(20)),
        'of word, which split train lacks: give more recordings of them, or leave their cells blank',
    ),
    "unknown split": (
        "path,word,speaker,split\na.wav,yes,ann,dev\n",
        "row 1 (a.wav): split 'dev' is none of train, validation, test",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_cannot_be_used_is_named(paper, tmp_path, monkeypatch, name):
    content, said = TABLES[name]
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "mine.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    config = paper | {"corpus": {"table": {"csv": "mine.csv"}}, "datasets": {"words": {}}, "tasks": ["words"]}
    [line] = problems(config)
    assert line.startswith("Config: corpus.table.csv: ")
    assert said in line


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (
            2,
            "convexity.n_neighbors: 10; must be below 10, the recordings of datasets.words in split valid",
        ),
        (10, 'datasets.words.convexity_split: "validation"; every class of word has fewer than 2 recordings'),
        (
            1,
            'corpus.table.csv: "mine.csv"; its table has the classes ["word 0"] of word; required: two',
        ),
    ],
)
def test_splits_that_convexity_cannot_be_measured_on_are_named(paper, tmp_path, monkeypatch, classes, said):
    """50 recordings, of which the run will draw 10 for validation."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{number}.wav,word {number % classes}\n" for number in range(50)]
    (tmp_path / "mine.csv").write_text("".join(["path,word\n", *rows]), encoding="utf-8")
    table = {"csv": "mine.csv", "validation_share": 0.2, "test_share": 0.2}
    config = paper | {"corpus": {"table": table}, "datasets": {"words": {}}, "tasks": ["words"]}
    [line] = problems(config)
    assert line.startswith(f"Config: {said}")
    if "n_neighbors" in said:
        configuration.complete(config | {"convexity": {"n_neighbors": 9}})


@pytest.mark.parametrize("split", [",train", ""])
def test_a_table_with_too_few_recordings_of_speakers_is_named(paper, tmp_path, monkeypatch, split):
    monkeypatch.chdir(tmp_path)
    rows = [
        f"{number}.wav,{word},{'ann' if number else 'bob'}{split}"
        for number, word in enumerate(["yes", "no", "no"])
    ]
    (tmp_path / "mine.csv").write_text(
        "\n".join([f"path,word,speaker{split and ',split'}", *rows]), encoding="utf-8"
    )
    datasets = {"speakers": {"min_files": 1}}
    config = paper | {
        "corpus": {"table": {"csv": "mine.csv"}},
        "datasets": datasets,
        "tasks": ["speakers"],
        "sweep": {},
    }
    [line] = problems(config)
    assert "datasets.speakers.min_files: 1; 1 speakers of mine.csv have more training recordings" in line
    datasets["speakers"]["min_files"] = 0
    configuration.complete(config)


EMPTY = struct.pack("<Q", 2) + b"{}"  # a safetensors file without weights
REST = {"preprocessor_config.json": b"{}", "model.safetensors": EMPTY}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {},
            'path: "."; has no config.json, no model.safetensors or pytorch_model.bin; required: a Hugging',
        ),
        (
            {"config.json": b"{}", "preprocessor_config.json": b""},
            "has no model.safetensors or pytorch_model.bin",
        ),
        ({"config.json": b"{", **REST}, 'path: "."; its config.json cannot be read'),
        ({"config.json": b"[1]", **REST}, "its config.json is no mapping"),
        (
            {"config.json": b"{}", "model.safetensors.index.json": b"{"},
            "index.json cannot be read (Expecting",
        ),
        ({"config.json": b"{}", "model.safetensors.index.json": b"{}"}, "index.json has no weight_map"),
        (
            {
                "config.json": b"{}",
                "pytorch_model.bin.index.json": b'{"weight_map": {"a": "1.bin", "b": "2.bin"}}',
                "1.bin": b"",
            },
            'path: "."; has no 2.bin, as its pytorch_model.bin.index.json says',
        ),
        ({"config.json": b"{}", **REST}, "its config.json has no model_type"),
        (
            {"config.json": b'{"model_type": "whisper", "encoder_layers": 7}', "model.safetensors": EMPTY},
            "has no preprocessor_config.json; required by whisper",
        ),
        (
            {
                "config.json": b'{"model_type": "wav2vec2"}',
                "preprocessor_config.json": b'{"sampling_rate": 8000}',
                "model.safetensors": EMPTY,
            },
            "its feature extractor has sampling_rate: 8000; required here of wav2vec2: 16000",
        ),
        (
            {
                "config.json": b'{"model_type": "wav2vec2"}',
                "model.safetensors": b"version https://git-lfs.github.com/spec/v1\noid sha256:a\nsize 9\n",
            },
            "its model.safetensors is a pointer of Git LFS",
        ),
        (
            {"config.json": b'{"model_type": "wav2vec2", "num_hidden_layers": 6}', **REST},
            "layers: 7; must be 6, as config.json",
        ),
        (  # Transformers takes the second
            {
                "config.json": b'{"model_type": "whisper", "encoder_layers": 7, "num_hidden_layers": 6}',
                **REST,
            },
            "must be 6",
        ),
        ({"config.json": b'{"model_type": "whisper", "encoder_layers": 6}', **REST}, "must be 6"),
    ],
)
def test_a_model_folder_that_cannot_be_used_is_named(paper, tmp_path, monkeypatch, files, said):
    monkeypatch.chdir(tmp_path)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    [line] = problems(change(paper, ["models", "mine"], {"source": "path", "path": ".", "layers": 7}))
    assert said in line


@pytest.mark.parametrize(
    ("kind", "preparation"),
    [
        ("wav2vec2", {}),
        ("wav2vec2", {"processor_config.json": {"processor_class": "AnyProcessor"}}),
        ("whisper", {"preprocessor_config.json": {}}),
        ("whisper", {"processor_config.json": {"feature_extractor": {"feature_size": 80}}}),
        ("wav2vec2-bert", {"processor_config.json": {"feature_extractor": {}}}),
    ],
)
def test_a_model_folder_may_say_how_clips_are_prepared_in_either_file(paper, tmp_path, kind, preparation):
    config = {"model_type": kind, "num_hidden_layers": 7}
    for name, content in {"config.json": config, **preparation}.items():
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(EMPTY)
    model = {"source": "path", "path": str(tmp_path), "layers": 7}
    configuration.complete(change(paper, ["models", "mine"], model))


def test_masks_that_do_not_fit_into_a_second_are_named(paper, tmp_path):
    convolutions = {"conv_kernel": [400], "conv_stride": [320]}
    config = {"model_type": "wav2vec2", "mask_time_length": 50, **convolutions}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(EMPTY)
    model = {"source": "path", "path": str(tmp_path), "layers": 7}
    [line] = problems(change(paper, ["models", "mine"], model))
    assert line == (
        "Config: finetuning.spec_augment: true; model mine has mask_time_length 50; "
        "must be 1 to 49 (frames of a clip); change that or take false"
    )
    paper["finetuning"]["spec_augment"] = False
    configuration.complete(change(paper, ["models", "mine"], model))


@pytest.mark.parametrize("seconds", [0.02, 2.5])
def test_clips_that_a_model_cannot_take_are_named(paper, tmp_path, seconds):
    """Too short for a frame, or beyond the positions."""
    short = {"model_type": "wav2vec2", "conv_kernel": [400], "conv_stride": [320]}
    long = {"model_type": "whisper", "max_source_positions": 100, "num_mel_bins": 80}
    paper["clips"] = {"seconds": seconds}
    paper["finetuning"]["spec_augment"] = True
    for name, config in (("short", short), ("long", long)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config), encoding="utf-8")
        preparation = {"chunk_length": 2} if name == "long" else {}
        (tmp_path / name / "preprocessor_config.json").write_text(json.dumps(preparation), encoding="utf-8")
        (tmp_path / name / "model.safetensors").write_bytes(EMPTY)
        paper["models"][name] = {"source": "path", "path": str(tmp_path / name), "layers": 7}
    [line] = problems(paper)
    told = {
        0.02: "model short has convolutions that make no frame of such clips",
        2.5: "model long has max_source_positions 100, of which these clips need 150",
    }
    assert line == f"Config: clips.seconds: {seconds}; {told[seconds]}"


def test_masks_of_a_pretraining_fit_into_a_clip(paper):
    paper["clips"] = {"seconds": 0.1}
    paper["finetuning"]["spec_augment"] = False
    pretrain = {"objective": "hubert", "mask_length": 8}
    paper["models"] = {"mine": {"source": "pretrain", "layers": 2, "pretrain": pretrain}}
    paper["sweep"] = {}
    assert problems(paper) == [
        "Config: models.mine.pretrain.mask_length: 8; must be at most 4, the frames of a clip"
    ]


@pytest.mark.parametrize("seconds", [0, -1, 31, "1"])
def test_clips_have_a_length(paper, seconds):
    paper["clips"] = {"seconds": seconds}
    [line] = problems(paper)
    assert line.startswith("Config: clips.seconds: ")


def test_speakers_that_are_made_must_say_enough(paper):
    paper["corpus"] = {"synthetic": SYNTHETIC | {"takes": 25}}
    [line] = problems(paper)
    assert "datasets.speakers.min_files: 50; must be below the 50 recordings that corpus.synthetic" in line
    paper["corpus"]["synthetic"]["takes"] = 26
    configuration.complete(paper)


def test_half_a_precision_needs_a_gpu(paper):
    paper["finetuning"]["precision"] = "float16"
    configuration.complete(copy.deepcopy(paper))
    [line] = problems(paper | {"gpus": 0})
    assert 'finetuning.precision: "float16"; needs a GPU (gpus: 0)' in line


def test_what_is_unusual_but_right_is_taken(paper):
    for path, value in (
        (["pathvars", "results"], "/scratch/josé/run.1"),
        ([*BASE, "id"], "gpt2"),
        (["models", "a..b_C-1"], paper["models"]["wav2vec2-base"]),
        (["maus", "language"], "gsw-CH-BE"),
        (["sweep", "words", "layers"], [12]),
    ):
        configuration.complete(change(paper, path, value))


def test_a_table_needs_no_speakers_where_no_dataset_does(paper, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"{word}/{number}.wav,{word}\n" for number in range(60) for word in ("yes", "no")]
    (tmp_path / "mine.csv").write_text("".join(["path,word\n", *rows]), encoding="utf-8")
    config = change(paper, ["corpus"], {"table": {"csv": "mine.csv"}}) | {"tasks": ["words"]}
    configuration.complete(change(config, ["datasets"], {"words": {}}))
    assert "has no column speaker" in problems(config)[0]


# Files that YAML loaders take, or that are none.
FILES = {
    "two models with one name": (
        "models:\n  a: {layers: 1}\n  b: {}\n  a: {layers: 2}\n",
        "models.a: given twice",
    ),
    "a key twice": ("threads: 1\nthreads: 2\n", "threads: given twice; allowed: once; see in lines 1 and 2"),
    "a key twice in a list": ("a: [{b: 1, b: 2}]\n", "a.0.b: given twice"),
    "not YAML": ("a: [1\n", "cannot be read as YAML"),
    "no mapping": ("- words\n", '["words"]; must be a mapping'),
    "nothing": ("", "an empty file; must be a mapping"),
    "comments": ("# to be written\n", "an empty file; must be a mapping"),
    "a number": ("7\n", "7; must be a mapping"),
    "text": ("config", '"config"; must be a mapping'),
    "a tab": ("tasks:\n\t- words\n", "YAML is indented by spaces, not by tabs"),
    "not in UTF-8": (
        b"# caf\xe9\n",
        "cannot be read as UTF-8 (invalid continuation byte at byte 5): save it",
    ),
    "in UTF-16": ("a: 1\n".encode("utf-16"), "cannot be read as UTF-8 (invalid start byte at byte 0)"),
    "two documents": ("a: 1\n---\na: 2\n", "expected a single document"),
    "an anchor twice": ("a: &x 1\nb: &x 2\n", "found duplicate anchor 'x'"),
    "an anchor that holds itself": ("a: &x {b: *x}\n", "cannot be read as YAML: Circular reference"),
    "no such date": ("a: 2024-99-99\n", "cannot be read as YAML: month must be in 1..12"),
    "a number too long": (f"a: {'9' * 5000}\n", "cannot be read as YAML: Exceeds the limit"),
    "thousands of brackets": ("[" * 3000, "cannot be read as YAML: maximum recursion depth exceeded"),
    "a list as a key": ("? [a]\n: 1\n", "found unhashable key"),
    "a tag that runs code": ("a: !!python/name:os.system\n", "could not determine a constructor"),
    "a control character": ("a: \x00\n", "cannot be read as YAML: unacceptable character"),
    "an unknown alias": ("a: *b\n", "cannot be read as YAML: found undefined alias"),
    "a folder": (None, "cannot be read (Is a directory; seen from "),
    "no file": (FileNotFoundError, "cannot be read (No such file or directory; seen from "),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_config_is_named(tmp_path, name):
    content, said = FILES[name]
    if content is None:
        (tmp_path / "mine.yaml").mkdir()
    elif content is not FileNotFoundError:
        (tmp_path / "mine.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(configuration.ConfigError) as error:
        configuration.read_yaml(tmp_path / "mine.yaml")
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_merged_mappings_and_aliases_are_no_repeats(tmp_path):
    (tmp_path / "mine.yaml").write_text("a: &a {x: 1}\nb: {<<: *a, x: 2}\nc: [*a, *a]\n", encoding="utf-8")
    assert configuration.read_yaml(tmp_path / "mine.yaml")["b"] == {"x": 2}


def test_what_a_pattern_allows_is_described():
    def parts(part):
        yield part
        for value in part.values():
            if isinstance(value, dict):
                yield from parts(value)

    patterns = [part for part in parts(schema.validator().schema) if "pattern" in part]
    assert len(patterns) > 5
    assert all("description" in part for part in patterns)


def test_defaults_are_those_of_the_schema(paper):
    configuration.complete(paper)
    assert paper["convexity"]["untrained"] == []
    assert paper["finetuning"]["eval_steps"] == 500
    assert paper["models"]["wav2vec2-large"]["keep"] == {"words": 16, "speakers": 5}
    assert paper["datasets"]["speakers"]["test_share"] == 0.1


SPEECH = {"words": ["yes", "no"], "speakers": {"train": 2, "validation": 2, "test": 2}, "takes": 2}
MADE = {"corpus": {"synthetic": SPEECH}}


@pytest.mark.parametrize(
    ("corpus", "given", "share"),
    [
        ({}, {}, 0.01),  # Speech Commands
        (MADE, {}, 0.05),
        (MADE, {"max_failed_share": 0}, 0),
        (MADE, {"max_failed_share": 0.01}, 0.01),
        ({}, {"max_failed_share": 0.3}, 0.3),
    ],
)
def test_recordings_that_may_fail_to_align_are_more_outside_speech_commands(paper, corpus, given, share):
    paper |= corpus
    paper["datasets"] = {"words": {}, "phonemes": given}
    paper["tasks"] = ["words"]
    del paper["sweep"]
    configuration.complete(paper)
    assert paper["datasets"]["phonemes"]["max_failed_share"] == share


@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["run", "dry run"])
@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            ("n_neighbors: 10", "n_neighbors: ten"),
            'Config: convexity.n_neighbors: "ten"; must be a whole number',
        ),
        (("wavlm-large:", "wavlm-base:"), "Config: models.wavlm-base: given twice; allowed: once"),
        (("models: [wav2vec2-base,", "models: [bert,"), 'Config: sweep.words.models: "bert"; no such model'),
    ],
)
def test_snakemake_says_that_line_and_nothing_else(workflow, root, edit, said, dry):
    content = (root / "config.yaml").read_text(encoding="utf-8")
    assert edit[0] in content
    (workflow.directory / "wrong.yaml").write_text(content.replace(*edit), encoding="utf-8")
    refused(workflow, said, "--configfile", "wrong.yaml", *dry)


def test_config_yaml_is_read_strictly_too(workflow, root):
    path = workflow.directory / "config.yaml"
    for content, said in (
        (b"threads: 1\n\tgpus: 0\n", "found character '\\t'"),
        (b"# caf\xe9\n", "invalid continuation byte"),
    ):
        path.write_bytes(content)
        assert said in refused(workflow, "Config: config.yaml: cannot be read as ")
    shutil.copy(root / "config.yaml", path)


def test_values_given_on_the_command_line_are_checked(workflow):
    result = workflow.run("--cores", "1", "--config", "gpus=none")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == 'Config: gpus: "none"; must be a whole number'


def refused(workflow, said: str, *arguments: str) -> str:
    """The one line that Snakemake says of a wrong config, which begins with what is `said`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = workflow.run("--cores", "1", *arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time: on a machine that does nothing else, that is how long the user waits.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith(said)
    assert len(result.stderr.splitlines()) == 1
    assert not (workflow.directory / "results").exists()
    return result.stderr


def test_config_given_on_the_command_line_replaces_config_yaml(workflow, paper):
    one = copy.deepcopy(paper)
    one["models"] = {"wav2vec2-base": paper["models"]["wav2vec2-base"]}
    one["sweep"] = {}
    config = workflow.write_config("one.yaml", one)
    result = workflow.run("--dry-run", "--quiet", "rules", "--configfile", config)
    assert result.returncode == 0, result.stderr
    counts = job_counts(result.stdout + result.stderr)
    assert counts["download_model"] == 1
    assert counts["finetune"] == 4
    assert not {"draw_accuracy_by_convexity", "draw_choices", "study_choices"} & set(counts)
    assert counts["correlate_convexity"] == 1 and "draw_last_layer" not in counts  # it compares models


def test_a_sweep_without_layers_takes_every_second_of_each_model(workflow, paper):
    some = copy.deepcopy(paper)
    some["models"] = {name: paper["models"][name] for name in ("wav2vec2-base", "wav2vec2-large")}
    some["sweep"] = {"words": {"models": list(some["models"])}}
    config = workflow.write_config("some.yaml", some)
    result = workflow.run("--dry-run", "--quiet", "rules", "--configfile", config)
    assert result.returncode == 0, result.stderr
    counts = job_counts(result.stdout + result.stderr)
    # words: 0, 1, 3, ... 11, 12 with the 9 kept among them; 0, 1, 3, ... 23, 24 and the 16 kept
    assert counts["finetune"] == 8 + (14 + 1) + 2 * 2
    estimated = needs.list_jobs(configuration.read_config(workflow.directory / config))
    assert sum(job.rule == "finetune" for job in estimated) == counts["finetune"]


@pytest.mark.parametrize(
    ("datasets", "split_by", "said"),
    [
        ({"moods": {"label": "mood"}}, "voice", ""),  # labels of every split need three voices
        (
            {"moods": {"label": "feeling"}},
            None,
            "has no column feeling; required: path, feeling; it has",
        ),
        ({"moods": {"label": "digest"}}, None, "the corpus has a column digest of its own: rename yours"),
        ({"moods": {"label": "split"}}, None, 'datasets.moods.label: "split"; allowed: The column'),
        ({"moods": {"label": "mood"}}, "town", 'split_by: "town"; the table has no such column'),
        (
            {"who": {"label": "speaker"}},
            "speaker",
            'who.label: "speaker"; split_by keeps each of',
        ),
        (
            {"sexes": {"label": "sex"}},
            "speaker",
            "must have three values of speaker each, one for",
        ),
        ({"alike": {"label": "alike"}}, None, 'its table has the classes ["x"] of alike; required: two'),
    ],
)
def test_labels_that_a_table_cannot_serve_are_named(paper, tmp_path, monkeypatch, datasets, split_by, said):
    monkeypatch.chdir(tmp_path)
    rows = [
        f"{number}.wav,{number % 2},ann{number % 4},v{number % 3},{'fm'[number % 4 > 1]},x,1"
        for number in range(36)
    ]
    header = "path,mood,speaker,voice,sex,alike,digest"
    rows = [row.replace(",0,ann", ",calm,ann").replace(",1,ann", ",angry,bob") for row in rows]
    (tmp_path / "mine.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    name = next(iter(datasets))
    rates = {name: {"full": 1.0e-4, "pruned": 1.0e-4}}
    config = paper | {
        "corpus": {"table": {"csv": "mine.csv", "split_by": split_by}},
        "datasets": datasets,
        "tasks": [name],
        "sweep": {},
        "finetuning": paper["finetuning"] | {"learning_rate": rates},
        "models": {"tiny": {"source": "pretrain", "layers": 2, "pretrain": {"objective": "hubert"}}},
    }
    if said:
        [line] = problems(config)
        assert said in line
    else:
        configuration.complete(config)


def test_tasks_whose_columns_table_1_cannot_tell_apart_are_refused(paper):
    config = paper | {
        "datasets": {"words": {}, "words_full": {"label": "word"}},
        "tasks": ["words", "words_full"],
    }
    assert any('tasks: "words_full"; begins with the task words and _' in line for line in problems(config))
