"""Under plain `--cores`, without `--resources`, no more GPU jobs run at once than the config says."""

from pathlib import Path

import pytest
import yaml

MODELS = [f"model{index}" for index in range(6)]
# Stands in for a stage's script: says when it ran, and leaves empty outputs.
SCRIPT = """
import time
from pathlib import Path

started = time.time()
time.sleep(1.5)
for path in snakemake.output:
    Path(path).touch()
with open("ran.txt", "a") as file:
    file.write(f"{started} {time.time()}\\n")
"""


def most_at_once(times: Path) -> int:
    """The most of the intervals (a line each: start, end) that share a moment."""
    intervals = [tuple(map(float, line.split())) for line in times.read_text().splitlines()]
    return max(sum(start <= moment < end for start, end in intervals) for moment, _ in intervals)


def run_stage(workflow, rule: str, script: str, config: dict, made: list[str], targets: list[str]) -> int:
    """Run the jobs of one rule, all that comes before it being `made`; how many ran at once."""
    (workflow.directory / "workflow/scripts" / script).write_text(SCRIPT)
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
    assert len(ran.read_text().splitlines()) == len(targets)
    return most_at_once(ran)


@pytest.fixture
def config(root):
    config = yaml.safe_load((root / "tests/workflow/small.yaml").read_text())
    config["pathvars"]["results"] = "results/limits"
    model = config["models"]["hubert-tiny"]
    config["models"] = dict.fromkeys(MODELS, model)
    config["sweep"] = {}
    return config


@pytest.mark.parametrize("gpus", [1, 2])
def test_gpu_jobs_are_as_many_as_gpus(workflow, config, gpus):
    made = ["corpus/corpus.h5", "corpus/corpus.sha256", "datasets/words.csv"]
    for model in MODELS:
        files = ("model.safetensors", "config.json", "preprocessor_config.json", "provenance.json")
        made += [f"models/{model}/{file}" for file in files]
    targets = [f"embeddings/{model}/pretrained/words.h5" for model in MODELS[: 2 + 2 * gpus]]
    for target in targets:
        (workflow.directory / "results/limits" / target).unlink(missing_ok=True)
    assert run_stage(workflow, "embed", "embed.py", config | {"gpus": gpus}, made, targets) == gpus
