"""What a config asks for, and that the settings of its jobs are those that the library takes."""

import dataclasses
import json

import pytest
from convexprune.finetuning.recipe import Recipe
from convexprune.models.extraction import Choice
from convexprune.models.pretraining import Recipe as Pretraining
from convexprune.setup import configuration, experiment
from convexprune.setup.experiment import Run


@pytest.fixture(scope="module", params=["config.yaml", "resources/demo.yaml", "tests/workflow/small.yaml"])
def config(request, root):
    return configuration.read_config(root / request.param)


def test_settings_are_those_that_the_library_takes(config):
    """No more and no less: a key that nothing reads, or one that is missing, is an error."""
    for model, state, dataset in experiment.list_scored(config):
        choice = Choice(**experiment.embedding_settings(config, model, state, dataset))
        assert (choice.seed is not None) == (state == "untrained")
    for run in experiment.list_runs(config, lambda model, task: 1):
        recipe = Recipe(**experiment.finetuning_settings(config, run.model, run.task, run.layers))
        size = "full" if run.layers == recipe.full_layers else "pruned"
        assert recipe.learning_rate == config["finetuning"]["learning_rate"][run.task][size]
    for name, model in config["models"].items():
        if model["source"] == "pretrain":
            assert Pretraining(**experiment.pretraining_settings(config, name)).epochs > 0


def test_only_models_with_fewer_layers_start_from_a_folded_one(config):
    asked = config | {"finetuning": config["finetuning"] | {"start": "folded"}}
    for run in experiment.list_runs(asked, lambda model, task: 1):
        pruned = run.layers < config["models"][run.model]["layers"]
        settings = experiment.finetuning_settings(asked, run.model, run.task, run.layers)
        assert settings["start"] == ("folded" if pruned else "pretrained")
        usual = experiment.finetuning_settings(config, run.model, run.task, run.layers)
        assert usual["start"] == "pretrained" and (pruned or settings == usual)


def test_runs_are_full_pruned_and_swept_models_of_every_seed(config):
    config = {**config, "finetuning": config["finetuning"] | {"seeds": [0, 7]}}
    runs = experiment.list_runs(config, lambda model, task: 1)
    assert len(runs) == len(set(runs)) and {run.seed for run in runs} == {0, 7}
    for model, described in config["models"].items():
        for task in config["tasks"]:
            depths = {run.layers for run in runs if (run.model, run.task) == (model, task)}
            assert depths == {1, described["layers"], *experiment.swept_layers(config, model, task)}
            timed = experiment.timed_layers(config, model, task, 1)
            assert timed == sorted(depths - {described["layers"]})


def test_a_model_that_keeps_all_layers_is_timed_against_itself(config):
    """So that there is a time where nothing is pruned."""
    model, task = next(iter(config["models"])), config["tasks"][0]
    full = config["models"][model]["layers"]
    assert experiment.timed_layers(config | {"sweep": {}}, model, task, full) == [full]


def test_the_standard_test_needs_one_archive_and_is_told_to_jobs(root):
    """The paper's, the default, is not, as another setting would run older results again."""
    config = configuration.read_config(root / "config.yaml")
    archives = config["corpus"]["speech_commands"]
    assert experiment.list_archives(archives) == [experiment.MAIN_ARCHIVE, experiment.TEST_ARCHIVE]
    assert experiment.test_settings(config) == {}
    archives["test"] = "standard"
    assert experiment.list_archives(archives) == [experiment.MAIN_ARCHIVE]
    assert experiment.test_settings(config) == {"test": "standard"}
    demo = configuration.read_config(root / "resources/demo.yaml")
    assert experiment.test_settings(demo) == {}


def test_a_run_names_its_columns():
    assert dataclasses.asdict(Run("m", "words", 3, 0)) == {
        "model": "m",
        "task": "words",
        "layers": 3,
        "seed": 0,
    }


def test_only_whisper_is_imported_for_a_length_of_clips(config, tmp_path):
    """By its id on the hub or its config.json; what else is imported stays when the length changes."""
    hub = {"source": "hub", "revision": "main", "layers": 2, "keep": {}}
    models = {"hub": hub | {"id": "a/b"}, "hub whisper": hub | {"id": "a/Whisper-tiny"}}
    for kind in ("wav2vec2", "whisper"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "config.json").write_text(json.dumps({"model_type": kind}), encoding="utf-8")
        models[kind] = {"source": "path", "path": str(tmp_path / kind), "layers": 2, "keep": {}}
    config = {**config, "models": models, "clips": {"seconds": 2.5}}
    settings = {name: experiment.source_settings(config, name) for name in models}
    assert [name for name in models if "seconds" in settings[name]] == ["hub whisper", "whisper"]
    assert settings["whisper"] == {"path": str(tmp_path / "whisper"), "layers": 2, "seconds": 2.5}
    assert settings["hub"] == {"id": "a/b", "revision": "main", "layers": 2}


def test_phonemes_depend_on_the_length_of_clips_only_within_their_word(config):
    for context in ("segment", "word"):
        phonemes = {"context": context, "max_failed_share": 0.1, "min_count": 1}
        settings = experiment.phoneme_settings({**config, "datasets": {"phonemes": phonemes}})
        assert ("seconds" in settings) == (context == "word")
