"""What jobs ask for: more for larger models, the least that makes sense for small ones, all within a node."""

import json
import re
from collections import Counter

import pytest
from convexprune.setup import configuration, needs
from convexprune.setup.needs import Job


@pytest.fixture(scope="module")
def paper(root):
    return configuration.read_config(root / "config.yaml")


@pytest.fixture(scope="module")
def demo(root):
    return configuration.read_config(root / "resources/demo.yaml")


def test_a_larger_model_asks_for_more(paper):
    for rule in ("embed", "finetune", "time_models"):
        base, large = Job(rule, "hubert-base", 12), Job(rule, "hubert-large", 24)
        assert needs.memory(large, paper) > needs.memory(base, paper)
        assert needs.minutes(large, paper) > 1.3 * needs.minutes(base, paper)
    pruned, full = Job("finetune", "hubert-large", 5), Job("finetune", "hubert-large", 24)
    assert needs.minutes(pruned, paper) < needs.minutes(full, paper) / 2


def test_what_a_model_needs_at_least_is_granted(paper):
    # 316 million weights in float32, with gradients and AdamW's two moments.
    assert needs.memory(Job("finetune", "hubert-large", 24), paper) > 4 * 316 * 4
    # One layer of a base model on a second of audio: 12 x 768^2 weights, 50 frames, two operations each.
    assert pytest.approx(12 * 768**2 * 50 * 2 / 1e9, rel=0.05) == needs.LAYER


def test_only_work_for_a_gpu_asks_for_one(paper, demo):
    stored = paper | {"finetuning": paper["finetuning"] | {"cache_features": "float16", "start": "folded"}}
    assert {job.rule for job in needs.list_jobs(stored) if needs.gpus(job, stored)} == set(needs.ON_GPU)
    assert not any(needs.gpus(job, demo) for job in needs.list_jobs(demo))


def test_every_submitted_job_has_its_needs(paper, demo):
    for config in (paper, demo):
        for job in needs.list_jobs(config):
            assert 1_000 <= needs.memory(job, config) <= 40_000
            assert 10 < needs.time_limit(job, config) <= 24 * 60
            assert needs.time_limit(job, config) > 3 * needs.minutes(job, config)


def test_layers_left_to_the_plan_are_counted_as_all_but_one(demo):
    jobs = Counter(needs.list_jobs(demo))
    assert jobs[Job("finetune", "hubert-small", 6)] == jobs[Job("finetune", "hubert-small", 5)] == 2  # tasks
    assert jobs[Job("finetune", "hubert-small", 2)] == 1  # the sweep


def test_the_estimate_adds_up(paper):
    lines = needs.estimate(paper).splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:-3]}
    rules = [row for name, row in rows.items() if name != "submitted"]
    assert sum(int(row[0]) for row in rules) == int(rows["submitted"][0])
    assert sum(float(row[1]) for row in rules) == pytest.approx(float(rows["submitted"][1]), abs=0.3)
    assert float(rows["submitted"][1]) < float(rows["submitted"][2])


def test_the_cluster_page_has_the_estimate(paper, root):
    page = (root / "docs/cluster.md").read_text(encoding="utf-8")
    assert all(
        line in page for line in needs.estimate(paper).splitlines()[:-1]
    )  # the last is of this machine


def test_the_time_here_is_that_of_jobs_side_by_side(demo):
    alone = sum(needs.minutes(job, demo) for job in needs.list_jobs(demo) if job.rule in needs.ALONE)
    one, four = (needs.wall_minutes(demo, cores) for cores in (1, 4))
    assert four - alone == pytest.approx((one - alone) / 4)
    # Measured with two cores, without other work: 9.7 minutes, and 0.16 GB.
    assert 9.7 / 3 < needs.wall_minutes(demo, 2) < 9.7 * 3
    assert 0.16 / 3 < needs.disk(demo) < 0.16 * 3


@pytest.mark.parametrize(("seconds", "window"), [(1, 1), (2.5, 3), (30, 30)])
def test_work_grows_with_the_clips_and_whisper_computes_whole_seconds(paper, tmp_path, seconds, window):
    minutes = []
    paper = paper | {"clips": {"seconds": seconds}}
    for kind in ("wav2vec2-bert", "whisper"):
        config = {"hidden_size": 384, "model_type": kind, "max_source_positions": 1500}
        (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
        model = {"source": "path", "path": str(tmp_path), "layers": 4}
        minutes.append(
            needs.minutes(Job("embed", "mine", 4), paper | {"models": {"mine": model}}) - needs.START
        )
    assert minutes[1] == pytest.approx(window / seconds * minutes[0])
    one = needs.minutes(Job("embed", "hubert-base", 12), paper | {"clips": {"seconds": 1}}) - needs.START
    found = needs.minutes(Job("embed", "hubert-base", 12), paper) - needs.START
    assert found == pytest.approx(seconds * one)


def test_longer_clips_take_more_memory(paper):
    """wav2vec2-base, with 2 threads: 16 clips embedded, 8 in training; MB beyond those of one second."""
    measured = {("embed", 2): 308, ("embed", 4): 922, ("finetune", 2): 197, ("finetune", 4): 1000}
    for (rule, seconds), more in measured.items():
        changes = {"clips": {"seconds": seconds}, "embeddings": paper["embeddings"] | {"batch_size": 16}}
        changes["finetuning"] = paper["finetuning"] | {"micro_batch_size": 8}
        found = needs.memory_of_longer(Job(rule, "wav2vec2-base", 12), paper | changes)
        assert more <= found < 2.5 * more
    for job in needs.list_jobs(paper):
        assert needs.memory(job, paper | {"clips": {"seconds": 30}}) >= needs.memory(job, paper)
        assert needs.memory_of_longer(job, paper) == 0


def test_exactly_the_rules_that_are_submitted_have_needs(root):
    submitted = set()
    for path in (root / "workflow/rules").glob("*.smk"):
        parts = re.split(
            r"^\s*(?:rule|checkpoint) (\w+):$", path.read_text(encoding="utf-8"), flags=re.MULTILINE
        )
        for rule, rest in zip(parts[1::2], parts[2::2], strict=True):
            body = rest.partition("\nfor ")[0]  # not the rules that a loop makes
            if "localrule: True" not in body:
                submitted.add(rule)
                for need in ("mem_mb=get_memory", "runtime=get_runtime"):
                    assert f'{need}("{rule}")' in body, f"{rule} has no {need}"
                assert "benchmark:" in body, rule
    assert submitted == set(needs.MEMORY)


def test_only_the_profile_knows_slurm(root):
    for path in [root / "Snakefile", *(root / "workflow/rules").glob("*.smk")]:
        assert "slurm" not in path.read_text(encoding="utf-8").lower(), path


def test_jobs_on_a_users_recordings_need_what_so_many_need(paper, tmp_path):
    """A tenth of the rows: a tenth of the time of jobs that see each once, a hundredth of the score's."""
    minutes = {}
    for rows in (1_000, 10_000):
        table = tmp_path / f"{rows}.csv"
        table.write_text("path,word\n" + f"{tmp_path}/a.wav,yes\n" * rows, encoding="utf-8")
        mine = paper | {"corpus": {"table": {"csv": str(table)}}}
        minutes[rows] = {
            rule: needs.minutes(Job(rule, "hubert-base", 12), mine) - needs.START
            for rule in ("embed", "score_convexity", "ingest_table")
        }
    ratios = {rule: minutes[10_000][rule] / minutes[1_000][rule] for rule in minutes[1_000]}
    assert ratios == pytest.approx({"embed": 10, "score_convexity": 100, "ingest_table": 10})
