"""Where models come from, through the workflow."""

import yaml


def test_models_that_do_not_come_are_named_in_a_line_each(workflow, root, monkeypatch):
    """Nothing listens at the hub's address: a machine without a network."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    config = yaml.safe_load((root / "config.yaml").read_text(encoding="utf-8"))
    names = ["wav2vec2-base", "hubert-base"]
    config["models"] = {name: config["models"][name] for name in names}
    config["sweep"] = {}
    target = [f"results/paper/models/{name}/model.safetensors" for name in names]
    path = workflow.write_config("two.yaml", config)
    result = workflow.run("--cores", "2", "--keep-going", "--configfile", path, "--", *target)
    assert result.returncode != 0
    told = result.stderr.splitlines()
    # Each is tried four times, and said once, at the end, where the eye is.
    lines = [line for line in told if "cannot download" in line]
    assert len(lines) == 2 and set(lines) <= set(told[-6:])
    for name in names:
        model = config["models"][name]
        [line] = [line for line in lines if model["id"] in line]
        assert line.startswith(f"results/paper/logs/download_model/{name}.log: ")
        assert model["revision"] in line
        assert f"hf download {model['id']}" in line
        assert "source: path" in line
    assert "Traceback" not in result.stderr
    log = workflow.directory / "results/paper/logs/download_model/hubert-base.log"
    assert "Traceback" in log.read_text(encoding="utf-8")
    assert not list((workflow.directory / "results/paper/models").rglob("*.*"))
