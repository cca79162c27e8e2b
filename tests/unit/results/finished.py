"""The files of a finished run, as far as a crate reads them; the contents stand for results."""

from pathlib import Path

from convexprune.results import crate
from convexprune.setup import configuration

VERSIONS = "python 3.11.7, convexprune 0.2.0, torch 2.14.1+cpu, numpy 2.4.6"
LOGS = {
    "embed/b.log": f"2026-11-28T02:00:09 INFO convexprune: {VERSIONS}\n2026-11-28T02:59:59 INFO x: 1 s\n",
    "plan.log": "2026-11-28T01:10:00 INFO convexprune: python 3.12.1, convexprune 0.2.0\n  trace 9.9\n",
}
RESULTS = [
    "summary.md",
    "table1.csv",
    "figures/a plot.pdf",
    "exported/m/words/model.onnx",
    "datasets/words.csv",
]
RESULTS += ["corpus/corpus.sha256", ".hidden.csv", "embeddings/m/pretrained/words.h5"]


def finish_run(folder: Path, config_path: Path):
    """The config of `config_path`, completed, and a finished run of it in `folder`/results."""
    config = configuration.read_config(config_path)
    config["pathvars"] = {"results": str(folder / "results"), "resources": str(folder / "resources")}
    contents = {f"results/{name}": f"content of {name}" for name in RESULTS}
    contents |= {f"results/models/{name}/model.safetensors": name for name in config["models"]}
    contents |= {f"results/logs/{name}": text for name, text in LOGS.items()}
    for name in config["corpus"].get("speech_commands", {}):
        contents[f"resources/speech_commands/{name}.tar.gz.sha256"] = f"{'ab' * 32}\n"
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return config


def write(folder: Path, config_path: Path) -> Path:
    """The crate of such a run: its folder."""
    agent = crate.Agent("Ada Lovelace", "https://orcid.org/0000-0002-1825-0097")
    config = finish_run(folder, config_path)
    return crate.write_crate(config, config_path, agent, "https://spdx.org/licenses/CC-BY-4.0").parent
