"""Where models come from, through the workflow."""

import yaml


def test_models_that_do_not_come_are_named_in_a_line_each(workflow, root, monkeypatch):
    """Nothing listens at the hub's address: a machine without a network."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    config = yaml.safe_load((root / "config.yaml").read_text())
    names = ["wav2vec2-base", "hubert-base"]
    config["models"] = {name: config["models"][name] for name in names}
    config["sweep"] = {}
    target = [f"results/paper/models/{name}/model.safetensors" for name in names]
    path = workflow.write_config("two.yaml", config)
    result = workflow.run("--cores", "2", "--keep-going", "--configfile", path, "--", *target)
    assert result.returncode != 0
    told = result.stderr.splitlines()
    # Each is tried four times, and says the same each time.
    lines = {line.partition("ValueError: ")[2] for line in told if "ValueError: cannot download" in line}
    assert len(lines) == 2
    for name in names:
        model = config["models"][name]
        [line] = [line for line in lines if model["id"] in line]
        assert model["revision"] in line
        assert f"hf download {model['id']}" in line
        assert "source: path" in line
        # Each is said once more at the end, where the eye is.
        log = f"results/paper/logs/download_model/{name}.log"
        assert any(f"{log}: {line}" in last for last in told[-8:])
    assert "Traceback" not in result.stderr
    log = workflow.directory / "results/paper/logs/download_model/hubert-base.log"
    assert "Traceback" in log.read_text()
    assert not list((workflow.directory / "results/paper/models").rglob("*.*"))
