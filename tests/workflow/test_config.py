"""The paper's config plans the paper's experiment; a wrong config is refused before any job starts."""

import copy
import re
import time

import pytest
import yaml


@pytest.fixture(scope="module")
def paper(root):
    return yaml.safe_load((root / "config.yaml").read_text())


def job_counts(output: str) -> dict[str, int]:
    return {rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)$", output, flags=re.MULTILINE)}


def test_dry_run_plans_the_whole_paper(workflow):
    start = time.monotonic()
    result = workflow.run("--dry-run", "--quiet", "rules")
    assert result.returncode == 0, result.stderr
    assert time.monotonic() - start < 30
    counts = job_counts(result.stdout + result.stderr)
    # 7 models: full and pruned for 2 tasks = 28 runs; the sweep of 4 base models adds 8 - 2 points each.
    assert counts["finetune"] == 28 + 4 * 6
    assert counts["embed"] == counts["score_convexity"] == 7 * 3 * 3
    assert counts["time_inference"] == counts["export_model"] == 7 * 2
    assert counts["download_model"] == 7
    assert counts["download_archive"] == 2
    assert counts["total"] == sum(counts.values()) - counts["total"]


def change(config, path, value):
    changed = copy.deepcopy(config)
    *parents, last = path
    place = changed
    for key in parents:
        place = place[key]
    place[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (["corpsu"], {}, "corpsu"),
        (["convexity", "neighbours"], 10, "neighbours"),
        (["datasets", "words", "split"], "test", "'split' was unexpected"),
        (["models", "wav2vec2-base", "layer"], 12, "'layer' was unexpected"),
        (["finetuning", "learning_rate", "words", "half"], 1.0, "half"),
        (["convexity", "n_neighbors"], 0, "less than the minimum"),
        (["threads"], "many", "many"),
        (["models", "wav2vec2-base", "keep", "words"], 12, "models.wav2vec2-base.keep.words"),
        (["sweep", "words", "layers"], [0, 13], "sweep.words.layers"),
        (["sweep", "words", "models"], ["wav2vec"], "sweep.words.models"),
        (["corpus", "table"], {"csv": "mine.csv"}, "give one of speech_commands"),
        (["models", "wav2vec2-base", "path"], "somewhere", "models.wav2vec2-base"),
        (["datasets"], {"words": {}}, "tasks: speakers needs datasets.speakers"),
        (["datasets", "speakers", "test_share"], 0.95, "leave nothing to train on"),
        (["finetuning", "learning_rate"], {"words": {"full": 1.0e-4, "pruned": 1.0e-4}}, "speakers"),
    ],
)
def test_a_wrong_config_is_refused_and_named(workflow, paper, path, value, named):
    config = workflow.write_config("wrong.yaml", change(paper, path, value))
    result = workflow.run("--dry-run", "--configfile", config)
    assert result.returncode != 0
    assert named in result.stdout + result.stderr


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
    assert "draw_figure2" not in counts
