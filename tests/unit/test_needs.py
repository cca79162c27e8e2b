"""What jobs ask for: more for larger models, the least that makes sense for small ones, all within a node."""

import re
from collections import Counter

import pytest
from convexprune import configuration, needs
from convexprune.needs import Job


@pytest.fixture(scope="module")
def paper(root):
    return configuration.read_config(root / "config.yaml")


@pytest.fixture(scope="module")
def demo(root):
    return configuration.read_config(root / "resources/demo.yaml")


def test_a_larger_model_asks_for_more(paper):
    for rule in ("embed", "finetune", "time_inference"):
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
    stored = paper | {"finetuning": paper["finetuning"] | {"cache_features": "float16"}}
    assert {job.rule for job in needs.list_jobs(stored) if needs.gpus(job, stored)} == set(needs.ON_GPU)
    assert not any(needs.gpus(job, demo) for job in needs.list_jobs(demo))


def test_every_submitted_job_has_its_needs(paper, demo):
    for config in (paper, demo):
        for job in needs.list_jobs(config):
            if job.rule in needs.MEMORY:
                assert 1_000 <= needs.memory(job, config) <= 40_000
                assert 10 < needs.time_limit(job, config) <= 24 * 60
                assert needs.time_limit(job, config) > 3 * needs.minutes(job, config)


def test_layers_left_to_the_plan_are_counted_as_all_of_them(demo):
    jobs = Counter(needs.list_jobs(demo))
    assert jobs[Job("finetune", "hubert-small", 6)] == 2 * 2  # two tasks, full and pruned
    assert jobs[Job("finetune", "hubert-small", 2)] == 1  # the sweep


def test_the_estimate_adds_up(paper):
    lines = needs.estimate(paper).splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:-1]}
    rules = [row for name, row in rows.items() if name != "submitted"]
    assert sum(int(row[0]) for row in rules) == int(rows["submitted"][0])
    assert sum(float(row[1]) for row in rules) == pytest.approx(float(rows["submitted"][1]), abs=0.3)
    assert float(rows["submitted"][1]) < float(rows["submitted"][2])


def test_the_cluster_page_has_the_estimate(paper, root):
    page = (root / "docs/cluster.md").read_text()
    assert all(line in page for line in needs.estimate(paper).splitlines()[:-1])


def test_exactly_the_rules_that_are_submitted_have_needs(root):
    submitted = set()
    for path in (root / "workflow/rules").glob("*.smk"):
        parts = re.split(r"^\s*(?:rule|checkpoint) (\w+):$", path.read_text(), flags=re.MULTILINE)
        for rule, body in zip(parts[1::2], parts[2::2], strict=True):
            if "localrule: True" not in body:
                submitted.add(rule)
                for need in ("mem_mb=get_memory", "runtime=get_runtime"):
                    assert f'{need}("{rule}")' in body, f"{rule} has no {need}"
                assert "benchmark:" in body, rule
    assert submitted == set(needs.MEMORY)


def test_only_the_profile_knows_slurm(root):
    for path in [root / "Snakefile", *(root / "workflow/rules").glob("*.smk")]:
        assert "slurm" not in path.read_text().lower(), path
