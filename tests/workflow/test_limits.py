"""Under plain `--cores`, without `--resources`: no more GPU jobs or threads at once than the config says."""

import pytest
import yaml

MODELS = [f"model{index}" for index in range(4)]
# Stands in for a stage's script: says when and with how many threads it ran, and leaves empty outputs.
SCRIPT = """
import os
import time
from pathlib import Path

import torch
from threadpoolctl import threadpool_info

started = time.time()
threads = {pool["num_threads"] for pool in threadpool_info()} | {int(os.environ["OMP_NUM_THREADS"])}
threads.add(torch.get_num_threads())
time.sleep(1.5)
for path in snakemake.output:
    Path(path).touch()
with open("ran.txt", "a") as file:
    file.write(f"{started} {time.time()} {min(threads)} {max(threads)}\\n")
"""


def most_at_once(jobs: list[list[float]]) -> int:
    """The most of the jobs (start, end, ...) that share a moment."""
    return max(sum(start <= moment < end for start, end, *_ in jobs) for moment, *_ in jobs)


def run_stage(
    workflow, rule: str, script: str, config: dict, made: list[str], targets: list[str]
) -> list[list[float]]:
    """Run the jobs of one rule, what comes before it being `made`: start, end, fewest and most threads."""
    (workflow.directory / "workflow/scripts" / script).write_text(SCRIPT, encoding="utf-8")
    for name in made:
        path = workflow.directory / "results/limits" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    ran = workflow.directory / "ran.txt"
    ran.unlink(missing_ok=True)
    targets = [f"results/limits/{target}" for target in targets]
    command = ("--cores", "6", "--configfile", workflow.write_config("limits.yaml", config))
    result = workflow.run(*command, "--allowed-rules", rule, "--", *targets)
    assert result.returncode == 0, result.stderr[-3000:]
    assert f"{len(targets)} of {len(targets)} steps" in result.stderr  # of no other rule
    jobs = [
        [float(number) for number in line.split()] for line in ran.read_text(encoding="utf-8").splitlines()
    ]
    assert len(jobs) == len(targets)
    return jobs


@pytest.fixture
def config(root):
    config = yaml.safe_load((root / "tests/workflow/small.yaml").read_text(encoding="utf-8"))
    config["pathvars"]["results"] = "results/limits"
    model = config["models"]["hubert-tiny"]
    config["models"] = dict.fromkeys(MODELS, model)
    config["sweep"] = {}
    return config


@pytest.mark.parametrize("gpus", [1, 2])
def test_gpu_jobs_are_as_many_as_gpus_and_threads_those_of_the_config(workflow, config, gpus):
    made = [f"corpus/corpus.{end}" for end in ("h5", "csv", "sha256")] + ["datasets/words.csv"]
    for model in MODELS:
        files = ("model.safetensors", "config.json", "preprocessor_config.json", "provenance.json")
        made += [f"models/{model}/{file}" for file in files]
    targets = [f"embeddings/{model}/pretrained/words.h5" for model in MODELS[: gpus + 2]]
    for target in targets:
        (workflow.directory / "results/limits" / target).unlink(missing_ok=True)
    jobs = run_stage(workflow, "embed", "embed.py", config | {"gpus": gpus, "threads": 1}, made, targets)
    assert most_at_once(jobs) == gpus
    # Of OpenMP, BLAS and PyTorch; numba's kernels run in threads of the workflow's own.
    assert {threads for *_, fewest, most in jobs for threads in (fewest, most)} == {1}
