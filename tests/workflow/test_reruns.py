"""What runs again after one edit: exactly these jobs. The table of workflow/README.md is checked against it.

Which jobs run depends on settings, times and contents of files, not on what was computed: files that stand in
for results are recorded as the workflow's own by `--touch`. Where `keep` gives all numbers of layers a dry
run shows the jobs. What lies behind the checkpoint is run: the plan by its own script, all else by one that
just writes its outputs.
"""

import base64
import copy
import itertools
import json
import multiprocessing
import os
import re
import shutil
from concurrent.futures import ProcessPoolExecutor
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
import yaml
from convexprune.data import downloaded
from convexprune.setup import leftovers
from plans import expand, read_jobs, read_outputs, run
from safetensors.numpy import save_file

H, W = "hubert-tiny", "wav2vec2-tiny"
RESULTS = "results/small"
ARCHIVE = "archives/speech_commands_v0.02.tar.gz"
DOWNLOADED = "resources/small/speech_commands/speech_commands_test_set_v0.02.tar.gz"
SHARDS = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
LIBRARY = "workflow/scripts/convexprune"
URL = "https://a.invalid/test.tar.gz"
# Sources of every kind: a local archive and a downloaded one, a model of the hub and a folder, a web service.
CONFIG = f"""
pathvars: {{results: {RESULTS}, resources: resources/small}}
gpus: 0
threads: 1
corpus:
  speech_commands:
    speech_commands_v0.02: {{path: {ARCHIVE}}}
    speech_commands_test_set_v0.02: {{url: {URL}}}
datasets:
  words: {{}}
  speakers: {{min_files: 4}}
  phonemes: {{min_count: 10, aligner: maus, shards: 1}}
maus: {{accept_terms: true, contact: me@example.org}}
tasks: [words, speakers]
models:
  {H}: {{source: hub, id: a/b, revision: {"a" * 40}, layers: 3, keep: {{words: 2, speakers: 2}}}}
  {W}: {{source: path, path: encoder, layers: 3, keep: {{words: 2, speakers: 2}}}}
sweep:
  words: {{models: [{H}], layers: [0, 3]}}
convexity: {{n_neighbors: 5, untrained: [words]}}
plan: {{tolerance: 0.2}}
finetuning:
  cache_features: float32
  learning_rate:
    words: {{full: 1.0e-3, pruned: 1.0e-3}}
    speakers: {{full: 1.0e-3, pruned: 1.0e-3}}
timing: {{runs: 5, warmup: 1, steps: 2}}
"""
# Scripts that stand in for a stage's own. By these scores the plan keeps 2 of 3 layers at a tolerance of 0.2.
STAND_IN = """
from pathlib import Path

assert not Path("broken").exists()
for path in snakemake.output:
    Path(path).write_text(path)
"""
SCORES = "model,state,dataset,layers,score,n_groups\n" + "".join(
    f"{H},pretrained,{{dataset}},{layers},{score},\n" for layers, score in enumerate((0.1, 0.5, 0.8, 0.9))
)
# Errors by which 0.8 is not significantly below 0.9, and 0.5 is.
COVARIANCES = "model,state,dataset,layers,average,other_layers,covariance,freedom\n" + "".join(
    f"{H},pretrained,{{dataset}},{layers},pair,{other},{0.01 * (layers == other)},\n"
    for layers in range(4)
    for other in range(4)
)
SCORE = f"""{STAND_IN}
tables = {{"scores": {SCORES!r}, "covariances": {COVARIANCES!r}}}
for name, table in tables.items():
    Path(getattr(snakemake.output, name)).write_text(table.format(dataset=snakemake.wildcards.dataset))
"""


# One edit, of the config or of a file: functions of the folder and the config.


def key(path: str, value):
    """Another value for a key of the config."""

    def change(folder, config):
        *parents, last = path.split("/")
        for parent in parents:
            config = config.setdefault(parent, {})
        assert config.get(last) != value
        config[last] = value

    return change


def keys(values: dict):
    """Other values for several keys."""

    def change(folder, config):
        for path, value in values.items():
            key(path, value)(folder, config)

    return change


def content(name: str, edit):
    """Another content of a file. It may be a hard link: written anew, the other names keep theirs."""

    def change(folder, config):
        path = folder / name
        before = path.read_bytes()
        path.unlink()
        path.write_bytes(edit(before))

    return change


def appended(name: str):
    return content(name, lambda before: before + b"\n# edited\n")


def rewritten(*names: str):
    def change(folder, config):
        for name in names:
            content(name, bytes)(folder, config)

    return change


def older(name: str):
    """Another file in place of one, as large and with the time of long ago, as `cp -p` leaves it."""

    def change(folder, config):
        content(name, lambda before: before[:-1] + b"x")(folder, config)
        os.utime(folder / name, (10**9, 10**9))

    return change


def deleted(name: str):
    return lambda folder, config: (folder / name).unlink()


def moved_archive(folder, config):
    (folder / "archives/other.tar.gz").write_text("other", encoding="utf-8")
    key("corpus/speech_commands/speech_commands_v0.02/path", "archives/other.tar.gz")(folder, config)


def standard_test(folder, config):
    """Without the test archive, which is then neither named nor read."""
    key("corpus/speech_commands/test", "standard")(folder, config)
    del config["corpus"]["speech_commands"]["speech_commands_test_set_v0.02"]


def new_url(folder, config):
    """Another URL, with the sum of the archive that is there."""
    archive = config["corpus"]["speech_commands"]["speech_commands_test_set_v0.02"]
    archive["url"] = archive["url"].replace("a.invalid", "b.invalid")
    archive["sha256"] = (folder / f"{DOWNLOADED}.sha256").read_text(encoding="utf-8").split()[0]


def reordered(folder, config):
    """All keys by the alphabet. The models stay in their order, in which tables show them."""
    ordered = yaml.safe_load(yaml.safe_dump(config, sort_keys=True))
    config.clear()
    config.update(ordered)


def another_model(folder, config):
    config["models"]["another"] = config["models"][W]


# Jobs, as plans.expand reads them. What follows in tables, figures and pages:

VERDICT = "study_choices draw_{criteria,choices} write_summary accept_phonemes show_{verdict,choices}"
CONVERGENCE = (
    "correlate_convexity draw_last_layer write_summary accept_phonemes show_{correlations,convergence}"
)
CORRELATED = f"{CONVERGENCE} draw_groups"
CONVEXITY = f"""merge_convexity {CORRELATED} draw_{{convexity_by_layer,accuracy_by_convexity,projections}}
    show_convexity"""
PLAN = f"""plan_layers project_embeddings make_table1 {VERDICT} show_{{plan,table1}}
    draw_{{convexity_by_layer,similarities,classes,tradeoffs,training,projections}}"""
TRAINING = f"""merge_finetuning make_table1 {VERDICT} {CORRELATED} show_table1
    draw_{{accuracy_by_convexity,tradeoffs,training}}"""
TIMING = f"merge_timing make_table1 {VERDICT} draw_tradeoffs show_{{table1,timing}}"
COSTS = f"count_costs make_table1 {VERDICT} draw_tradeoffs show_{{table1,costs}}"
FOLDING = f"""merge_folding make_table1 {VERDICT} draw_{{accuracy_by_convexity,tradeoffs}}
    show_{{table1,folding}}"""
COMPARED = "compare_predictions compare_groups"
COUNTS = "summarise_datasets write_summary accept_phonemes show_counts"


def scored(cells: str) -> str:
    """The embeddings and the convexity of model/state/dataset."""
    return f"{{embed,score_convexity}}:{cells} {CONVEXITY}"


def judged(cells: str) -> str:
    """All criteria of model/dataset."""
    return f"score_criteria:{cells} merge_criteria merge_similarities draw_similarities {VERDICT}"


def model_jobs(models: str) -> str:
    """All that is computed with encoders: embeddings, convexity, two sizes for two tasks; and the costs."""
    return f"{computed_jobs(models)} {COSTS}"


def computed_jobs(models: str) -> str:
    return f"""
        {scored(f"{models}/{{pretrained,words,speakers}}/{{words,speakers,phonemes}}")}
        {scored(f"{models}/untrained/words")} draw_classes project_embeddings
        {judged(f"{models}/{{words,speakers}}")}
        cache_features:{models}/{{words,speakers}} finetune:{models}/{{words,speakers}}/{{2,3}}/0
        time_models:{models}/{{words,speakers}}/2 export_model:{models}/{{words,speakers}}
        fold_layers:{models}/{{words,speakers}}/0 {FOLDING}
        merge_exports {TRAINING} {TIMING} {COMPARED}
    """


BOTH = f"{{{H},{W}}}"
SWEPT = f"finetune:{H}/words/0/0 time_models:{H}/words/0"
PHONEMES = f"{scored(f'{BOTH}/{{pretrained,words,speakers}}/phonemes')} draw_classes"
ALIGNED = f"merge_alignments build_phonemes {COUNTS} {PHONEMES}"
TIMED = f"time_models:{BOTH}/{{words,speakers}}/2 time_models:{H}/words/0 {TIMING}"
FOLDED = f"fold_layers:{BOTH}/{{words,speakers}}/0 {FOLDING}"
EXPORTED = f"""export_model:{BOTH}/{{words,speakers}} merge_exports make_table1 show_table1 write_summary
    accept_phonemes"""
NEW_CORPUS = f"""
    ingest_archives build_labelled:words build_speakers align_shard:1/1 {ALIGNED} {model_jobs(BOTH)} {SWEPT}
"""

# The edit, as the table calls it: what is edited, and the jobs.
PLANNED = {
    "a comment, keys in another order": (reordered, ""),
    "`plan.tolerance`, where `keep` has all layers": (key("plan/tolerance", 0.5), CORRELATED),
    "`plan.alpha`, `plan.margin`, where another rule plans": (
        keys({"plan/alpha": 0.1, "plan/margin": 0.02}),
        "",
    ),
    "`convexity.average`": (
        key("convexity/average", "class"),
        f"{PLAN} {judged(f'{BOTH}/{{words,speakers}}')} {CORRELATED} draw_accuracy_by_convexity",
    ),
    "a labelled dataset added": (
        key("datasets/again", {"label": "word"}),
        f"build_labelled:again {COUNTS} score_convexity:{BOTH}/{{pretrained,words,speakers}}/again "
        f"{CONVEXITY} draw_classes",
    ),
    "a model added": (
        another_model,
        f"import_model:another {model_jobs('another')} {PLAN}",
    ),
    "`revision` of a hub model": (
        key(f"models/{H}/revision", "b" * 40),
        f"download_model:{H} {model_jobs(H)} {SWEPT}",
    ),
    "the files of a `path` model": (
        older(f"encoder/{SHARDS[1]}"),
        f"import_model:{W} {model_jobs(W)}",
    ),
    "a full learning rate": (
        key("finetuning/learning_rate/words/full", 2e-3),
        f"""finetune:{BOTH}/words/3/0 {scored(f"{BOTH}/words/{{words,speakers,phonemes}}")}
        time_models:{BOTH}/words/2 time_models:{H}/words/0 export_model:{BOTH}/words merge_exports
        fold_layers:{BOTH}/words/0 {FOLDING} {COMPARED} {TRAINING} {TIMING}""",
    ),
    "a pruned learning rate": (
        key("finetuning/learning_rate/words/pruned", 2e-3),
        f"""finetune:{BOTH}/words/2/0 finetune:{H}/words/0/0 time_models:{BOTH}/words/2
        time_models:{H}/words/0 export_model:{BOTH}/words merge_exports {COMPARED}
        {TRAINING} {TIMING}""",
    ),
    "`finetuning.start`": (
        key("finetuning/start", "folded"),
        f"""{{fold_model,finetune}}:{BOTH}/{{words,speakers}}/2/0 {{fold_model,finetune}}:{H}/words/0/0
        {TIMED} {EXPORTED} {COMPARED} {TRAINING}""",
    ),
    "`finetuning.precision`": (
        key("finetuning/precision", "float32"),
        f"""cache_features:{BOTH}/{{words,speakers}} finetune:{BOTH}/{{words,speakers}}/{{2,3}}/0
        finetune:{H}/words/0/0 {TIMED} {EXPORTED} {FOLDED} {COMPARED}
        {scored(f"{BOTH}/{{words,speakers}}/{{words,speakers,phonemes}}")} {TRAINING}""",
    ),
    "`finetuning.cache_features`": (
        key("finetuning/cache_features", "float16"),
        f"""cache_features:{BOTH}/{{words,speakers}} finetune:{BOTH}/{{words,speakers}}/{{2,3}}/0
        finetune:{H}/words/0/0 {TIMED} {EXPORTED} {FOLDED} {COMPARED}
        {scored(f"{BOTH}/{{words,speakers}}/{{words,speakers,phonemes}}")} {TRAINING}""",
    ),
    "`finetuning.projector_size`": (
        key("finetuning/projector_size", 16),
        f"""finetune:{BOTH}/{{words,speakers}}/{{2,3}}/0 finetune:{H}/words/0/0 {TIMED} {EXPORTED}
        {FOLDED} {COMPARED}
        {scored(f"{BOTH}/{{words,speakers}}/{{words,speakers,phonemes}}")} {TRAINING} {COSTS}""",
    ),
    "a sweep point added": (
        key("sweep/words/layers", [0, 1, 3]),
        f"finetune:{H}/words/1/0 time_models:{H}/words/1 {TRAINING} {TIMING}",
    ),
    "`timing.runs`": (key("timing/runs", 6), f"{TIMED} {EXPORTED}"),
    "`timing.steps`": (key("timing/steps", 3), f"{TIMED} {EXPORTED}"),
    "`threads`": (key("threads", 2), f"{TIMED} {EXPORTED}"),
    "`clips.seconds`": (key("clips/seconds", 2.5), f"{model_jobs(BOTH)} {SWEPT} {COUNTS}"),
    "`clips.padding`": (key("clips/padding", "mask"), f"{computed_jobs(BOTH)} {SWEPT}"),
    "`speakers.min_files`": (
        key("datasets/speakers/min_files", 5),
        f"""build_speakers {COUNTS} cache_features:{BOTH}/speakers finetune:{BOTH}/speakers/{{2,3}}/0
        {scored(f"{BOTH}/{{pretrained,words}}/speakers")} draw_classes project_embeddings
        {judged(f"{BOTH}/speakers")}
        {scored(f"{BOTH}/speakers/{{words,speakers,phonemes}}")}
        time_models:{BOTH}/speakers/2 export_model:{BOTH}/speakers merge_exports
        fold_layers:{BOTH}/speakers/0 {FOLDING} {COMPARED} {TRAINING} {TIMING} {COSTS}""",
    ),
    "`phonemes.min_count`": (
        key("datasets/phonemes/min_count", 11),
        f"build_phonemes {COUNTS} {PHONEMES}",
    ),
    "`phonemes.context`": (key("datasets/phonemes/context", "word"), f"build_phonemes {COUNTS} {PHONEMES}"),
    "`phonemes.max_failed_share`": (
        key("datasets/phonemes/max_failed_share", 0.3),
        f"build_phonemes {COUNTS} {PHONEMES}",
    ),
    "`phonemes.shards`": (key("datasets/phonemes/shards", 2), f"align_shard:{{1,2}}/2 {ALIGNED}"),
    "`phonemes.aligner`": (
        key("datasets/phonemes/aligner", "pocketsphinx"),
        f"align_shard:1/1 {ALIGNED}",
    ),
    "`maus.url`, `maus.language`": (
        key("maus/language", "eng-GB"),
        f"align_shard:1/1 {ALIGNED}",
    ),
    "`path` of an archive or a folder as `mirror`": (moved_archive, NEW_CORPUS),
    "the archive that `path` names": (older(ARCHIVE), NEW_CORPUS),
    "`speech_commands.test`": (standard_test, NEW_CORPUS),
    "`speech_commands.test: paper`, the default, written down": (
        key("corpus/speech_commands/test", "paper"),
        "",
    ),
    "`url` or `mirror` (a URL), `size`, `sha256` of an archive": (new_url, ""),
    "`gpus`, `embeddings.batch_size`, `finetuning.micro_batch_size`, `finetuning.gradient_checkpointing`, "
    "`finetuning.report_to`, `maus.max_requests`, `maus.timeout`, `maus.contact`": (
        keys(
            {
                "gpus": 1,
                "embeddings/batch_size": 7,
                "finetuning/micro_batch_size": 4,
                "finetuning/gradient_checkpointing": True,
                "finetuning/report_to": ["tensorboard"],
                "maus/max_requests": 1,
                "maus/timeout": 7,
                "maus/contact": "you@example.org",
            }
        ),
        "",
    ),
    "how figures look (`figures/style.py`)": (
        appended(f"{LIBRARY}/results/figures/style.py"),
        """draw_{convexity_by_layer,accuracy_by_convexity,criteria,similarities,choices,last_layer}
        draw_{classes,groups,tradeoffs,training,projections} write_summary accept_phonemes""",
    ),
    "a library module, such as `probes.py`": (
        appended(f"{LIBRARY}/criteria/probes.py"),
        judged(f"{BOTH}/{{words,speakers}}"),
    ),
    "a script, such as `score_criteria.py`, if only touched": (
        rewritten("workflow/scripts/score_criteria.py"),
        judged(f"{BOTH}/{{words,speakers}}"),
    ),
    "the corpus (`corpus.h5`, `corpus.csv`) or a library module written again with the same content": (
        rewritten(
            f"{RESULTS}/corpus/corpus.h5",
            f"{RESULTS}/corpus/corpus.csv",
            f"{RESULTS}/corpus/corpus.sha256",
            f"{LIBRARY}/data/corpus.py",
        ),
        "",
    ),
    "a result deleted, such as `table1.csv`": (
        deleted(f"{RESULTS}/table1.csv"),
        "make_table1 write_summary accept_phonemes show_table1",
    ),
    "a file between deleted, such as an embeddings file": (
        deleted(f"{RESULTS}/embeddings/{H}/words/phonemes.h5"),
        scored(f"{H}/words/phonemes"),
    ),
    "stored features deleted": (deleted(f"{RESULTS}/features/{H}/words-1s-zeros-float32-auto.h5"), ""),
    "a file between truncated or edited, such as an embeddings file": (
        content(f"{RESULTS}/embeddings/{H}/words/phonemes.h5", lambda before: before[: len(before) // 2]),
        f"score_convexity:{H}/words/phonemes {CONVEXITY}",
    ),
}

# Some that do not read the plan, but tables whose inputs are not known before it: Snakemake runs them again.
RULED = f"{PLAN} {CORRELATED} draw_accuracy_by_convexity show_timing"
RUN = {
    "a recording that a table names": (appended("yes-ann-0.wav"), ""),
    "`plan.tolerance`, if the plan then picks the same layers": (key("plan/tolerance", 0.15), RULED),
    "`plan.tolerance`, if the plan then picks other layers": (
        key("plan/tolerance", 0.5),
        f"""finetune:{H}/{{words,speakers}}/1/0 time_models:{H}/{{words,speakers}}/1
        export_model:{H}/{{words,speakers}} merge_exports {COMPARED} {RULED} {TRAINING} {TIMING}""",
    ),
    "`plan.rule`, if the plan then picks the same layers": (key("plan/rule", "significant"), RULED),
    "`convexity.n_neighbors`, if the plan then picks the same layers": (
        key("convexity/n_neighbors", 4),
        f"""score_convexity:{BOTH}/{{pretrained,words,speakers}}/{{words,speakers,phonemes}}
        score_convexity:{BOTH}/untrained/words {CONVEXITY} draw_classes {RULED}
        {judged(f"{BOTH}/{{words,speakers}}")}""",  # and compare_groups, if stand-ins changed the scores
    ),
}


@pytest.fixture(scope="module")
def pool():
    """Processes for `run`. Snakemake is imported once, and each process is a fork of the one that did."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["snakemake.cli", "pandas"])
    pool = ProcessPoolExecutor(2, mp_context=context, max_tasks_per_child=1)
    yield pool
    pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def given(workflow, pool):
    """The folder of a finished run, and its config. `keep` gives all numbers of layers."""
    folder, config = workflow.directory, yaml.safe_load(CONFIG)
    for script in (folder / "workflow/scripts").glob("*.py"):
        if script.name != "plan_layers.py":
            ours = re.findall(r"^from convexprune.*", script.read_text(encoding="utf-8"), re.MULTILINE)
            stand_in = SCORE if script.name == "score_convexity.py" else STAND_IN
            # `code=` reads what a script imports: nothing here is run.
            script.write_text("\n    ".join([f"{stand_in}\nif False:", *ours, "pass\n"]), encoding="utf-8")
    encoder = {
        "config.json": {"model_type": "wav2vec2"},
        "preprocessor_config.json": {},
        "model.safetensors.index.json": {"weight_map": dict(enumerate(SHARDS))},
    }
    files = {f"encoder/{name}": content for name, content in encoder.items()}
    for name, content in ({ARCHIVE: {}, DOWNLOADED: {}} | files).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    for name, size in zip(SHARDS, (1, 2**20), strict=True):
        save_file({"weights": np.zeros(size, np.uint8)}, folder / "encoder" / name)
    downloaded.write_sum(folder / DOWNLOADED, "0" * 64)
    downloaded.write_source(folder / DOWNLOADED, URL)
    options = ("--configfile", workflow.write_config("given.yaml", config))
    for name in read_outputs(pool.submit(run, folder, "--dry-run", *options).result()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
        if name.endswith((".h5", ".safetensors")):
            os.truncate(folder / name, 2**20)  # too large for Snakemake to compare the content
    for task in ("words", "speakers"):
        for table, name in ((SCORES, f"{task}.csv"), (COVARIANCES, f"{task}.covariances.csv")):
            scores = folder / RESULTS / f"convexity/{H}/pretrained/{name}"
            scores.write_text(table.format(dataset=task), encoding="utf-8")
    (folder / RESULTS / "plan.csv").write_text(
        f"model,task,layers\n{H},words,2\n{H},speakers,2\n", encoding="utf-8"
    )
    pool.submit(run, folder, "--touch", "--forceall", "--cores", "1", *options).result()
    return folder, config


@pytest.fixture(scope="module")
def ruled(given, pool, tmp_path_factory):
    """The same with the layers of one model left to the plan, and the user's table as the corpus."""
    folder = tmp_path_factory.mktemp("ruled") / "copy"
    shutil.copytree(given[0], folder)
    config = copy.deepcopy(given[1])
    del config["models"][H]["keep"]
    config["corpus"] = {"table": {"csv": "words.csv", "validation_share": 0.4}}
    table = ["path,word,speaker"]
    for word, speaker, take in itertools.product(("yes", "no"), ("ann", "bob"), range(9)):
        table.append(f"{word}-{speaker}-{take}.wav,{word},{speaker}")
        (folder / f"{word}-{speaker}-{take}.wav").write_text("a recording", encoding="utf-8")
    (folder / "words.csv").write_text("\n".join(table), encoding="utf-8")
    (folder / "ruled.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    pool.submit(run, folder, "--touch", "--forceall", "--cores", "1", "--configfile", "ruled.yaml").result()
    return folder, config


@pytest.fixture(scope="module")
def printed(given, ruled, pool, tmp_path_factory):
    """What Snakemake prints after each edit, in the making: each in a folder of its own."""
    prints = {}

    def submit(rows, folder, config, copy_file, *options):
        for edit, (change, _) in rows.items():
            edited = tmp_path_factory.mktemp("edited") / "copy"
            shutil.copytree(folder, edited, copy_function=copy_file)
            edited_config = copy.deepcopy(config)
            change(edited, edited_config)
            text = f"# {edit}\n{yaml.safe_dump(edited_config, sort_keys=False)}"
            (edited / "edited.yaml").write_text(text, encoding="utf-8")
            prints[edit] = pool.submit(run, edited, *options, "--configfile", "edited.yaml")

    submit(PLANNED, *given, os.link, "--dry-run")  # no file of it is written to
    submit(RUN, *ruled, shutil.copy2, "--cores", "2")
    return prints


@pytest.mark.parametrize("edit", [*PLANNED, *RUN])
def test_an_edit_runs_these_jobs_and_no_others(printed, edit):
    assert set(read_jobs(printed[edit].result())) == expand((PLANNED | RUN)[edit][1])


def test_what_failed_after_an_edit_is_not_forgotten(given, pool, tmp_path):
    """Snakemake deletes what a failed job was to make. Results of before the edit must not hide that."""
    folder = shutil.copytree(given[0], tmp_path / "copy")
    config = copy.deepcopy(given[1])
    key("datasets/speakers/min_files", 5)(folder, config)
    (folder / "edited.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    options = ("--configfile", "edited.yaml")
    planned = read_jobs(pool.submit(run, folder, "--dry-run", *options).result())
    (folder / "broken").touch()
    with pytest.raises(AssertionError, match="Error in rule build_speakers"):
        pool.submit(run, folder, "--cores", "2", *options).result()
    (folder / "broken").unlink()
    again = read_jobs(pool.submit(run, folder, "--dry-run", *options).result())
    assert set(again) == set(planned)


def test_a_job_behind_the_checkpoint_whose_end_was_not_seen_runs_again(ruled, pool, tmp_path):
    """Snakemake's own search for what is incomplete ends at the checkpoint."""
    folder = shutil.copytree(ruled[0], tmp_path / "copy")
    options = ("--dry-run", "--rerun-incomplete", "--configfile", "ruled.yaml")
    assert read_jobs(pool.submit(run, folder, *options).result()) == []
    output = f"{RESULTS}/timing/{H}/words/2.json"
    mark = base64.urlsafe_b64encode(output.encode()).decode()
    (folder / leftovers.MARKS / mark).write_text('{"external_jobid": null}', encoding="utf-8")
    assert leftovers.discard(folder) == [Path(output)]
    jobs = set(read_jobs(pool.submit(run, folder, *options).result()))
    assert jobs == expand(f"time_models:{H}/words/2 export_model:{H}/words merge_exports {TIMING}")


def test_the_table_of_the_map_is_these_rows(root):
    """Each edit is there and names the rules that run, if only by the phrase that stands for them."""
    text = (root / "workflow/README.md").read_text(encoding="utf-8").partition("## Edit X, Y runs again\n")[2]
    introduction, _, rows = text.partition("|---|---|\n")
    items = re.findall(r"^- \*(.*?)\* are (.*?)[;.]\n", introduction, re.MULTILINE | re.DOTALL)
    phrases = {phrase: re.findall(r"`(\S+)`", names) for phrase, names in items}
    rule = re.compile(r"^ *(?:rule|checkpoint) (\w+):", re.MULTILINE)
    names = {
        name
        for file in (root / "workflow/rules").glob("*.smk")
        for name in rule.findall(file.read_text(encoding="utf-8"))
    }
    table = dict(re.findall(r"^\| (.+) \| (.+) \|$", rows.partition("\n\n")[0], re.MULTILINE))
    matrix = PLANNED | RUN
    assert set(table) == set(matrix)
    for edit, (_, jobs) in matrix.items():
        rules = {job.partition(":")[0] for job in expand(jobs)}
        short = {rule for rule in rules if any(fnmatch(rule, name) for name in phrases["tables and figures"])}
        told = set(re.findall(r"`(\w+)`", table[edit])) & names
        if "the model's jobs" in table[edit]:
            told |= set(phrases["the model's jobs"])
        assert told == rules - short, edit
        assert ("tables and figures" in table[edit]) == bool(short), edit
        assert (table[edit] == "nothing") == (not rules), edit
