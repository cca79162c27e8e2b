"""The config and the table that follow from a user's recordings, and what is printed."""

import os
import re
import shutil
import unicodedata
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pandas as pd
import pytest
import yaml
from convexprune.__main__ import main
from convexprune.data.corpus import SPLITS
from convexprune.data.ingestion import read_user_table
from convexprune.data.splits import Drawing, draw, draw_splits
from convexprune.models import encoders
from convexprune.setup import configuration, experiment, init
from convexprune.setup.survey import survey
from encoder_factory import LAYERS, make_encoder, make_feature_extractor
from written import record, takes

APART = "drawn by speaker: nobody in validation or test is in train"


@pytest.mark.parametrize(
    ("folders", "drawn"),
    [
        (["train", "val", "test"], []),
        (["Training", "DEV", "Evaluation"], []),
        (["train", "test"], ["validation"]),
        (["train", "eval"], ["validation"]),
        (["train", "dev"], ["test"]),
        (["tr", "valid", "TEST"], []),
        (["TRAINING", "Validation", "Eval"], []),
        (["Tr", "VALID", "eval"], []),
    ],
)
@pytest.mark.parametrize("pattern", ["{split}/{label}", "{label}/{split}"])
def test_splits_in_folders_are_neither_labels_nor_speakers(recordings, folders, drawn, pattern):
    for split, label in product(folders, ("yes", "no", "stop")):
        folder = pattern.format(split=split, label=label)
        record(recordings.parent / "rec", *(f"{folder}/{number}.wav" for number in range(20)))
    printed = init.init(recordings.parent / "rec")
    assert "labels        3: " in printed and "speakers      unknown" in printed
    assert f"layout        {pattern.format(split='split', label='label')}/file.wav" in printed
    table = read_user_table(recordings.parent / "rec.csv").rows
    assert set(table.word) == {"yes", "no", "stop"} and set(table.split) == set(SPLITS)
    counts = table.split.value_counts()
    for split in drawn:
        assert f"{split} 12" in printed and f"; {split} drawn from train by seed)" in printed
    assert ("drawn" in printed) == bool(drawn)
    assert counts["train"] == (60 if not drawn else 48)
    config = yaml.safe_load((recordings.parent / "rec.yaml").read_text(encoding="utf-8"))
    assert config["corpus"]["table"] == {"csv": "rec.csv"}
    configuration.complete(config)


def test_splits_that_are_not_clear_are_refused_before_anything_is_written(recordings):
    record(recordings.parent / "rec", *(f"{split}/{n}.wav" for split in ("train", "test") for n in range(9)))
    with pytest.raises(SystemExit, match="rec: the folders test, train are splits, and hold files but"):
        main(["init", "rec"])
    assert not list(recordings.parent.glob("rec.*"))


def test_the_splits_foreseen_are_those_that_the_run_draws(recordings):
    found = survey(recordings)
    config = yaml.safe_load(init.make_config(found, "mine", "mine.csv", init.DEFAULT, 0))["corpus"]["table"]
    shares = config["validation_share"], config["test_share"]
    drawn = draw_splits(found.table[["word"]], *shares, config["seed"])
    assert found.splits.tolist() == drawn
    assert {split: found.count(split) for split in SPLITS} == {split: drawn.count(split) for split in SPLITS}


def test_files_of_any_name_and_links_to_folders_are_found(recordings, tmp_path):
    record(tmp_path, *(f"far/tak,e {number} é日.wav" for number in range(6)))
    (recordings / "linked, label").symlink_to(tmp_path / "far")
    record(recordings, "yes/.hidden_nohash_0.wav", "yes/UPPER_nohash_0.WAV")
    os.rename(recordings / "no/ann_nohash_0.wav", os.fsencode(recordings) + b"/no/\xff_nohash_0.wav")
    init.init(recordings)
    table = read_user_table(tmp_path / "mine.csv").rows
    assert table.word.value_counts().to_dict() == {"yes": 11, "no": 9, "linked, label": 6}
    assert all((tmp_path / path).is_file() for path in table.path)
    (recordings / "yes/loop").symlink_to(recordings)
    assert len(survey(recordings).table) == len(table)
    (recordings / "yes/loop").unlink()
    assert (
        "1 files left out, whose names are not text: 'no/\\udcff_nohash_0.wav'" in survey(recordings).problems
    )


def test_a_csv_is_looked_at_and_left_alone(recordings, tmp_path):
    rows = [(f"mine/{path}", path.split("/")[0]) for path in survey(recordings).table.path]
    text = "path,word\n" + "".join(f"{path},{word}\n" for path, word in rows) + "mine/none.wav,yes\n"
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    found = survey(tmp_path / "list.csv")
    assert len(found.table) == 20 and not found.has_speakers
    text_of_problems = "\n".join(found.problems)
    assert "; the run will refuse them" in found.problems[0]
    assert "row 21 (mine/none.wav): no such file" in text_of_problems
    assert "list.yaml" in init.init(tmp_path / "list.csv")
    assert (tmp_path / "list.csv").read_text(encoding="utf-8") == text
    assert (
        yaml.safe_load((tmp_path / "list.yaml").read_text(encoding="utf-8"))["corpus"]["table"]["csv"]
        == "list.csv"
    )


def test_init_writes_config_and_table_and_says_what_is_next(recordings, tmp_path, capsys):
    main(["init", "mine"])
    printed = capsys.readouterr().out
    assert printed.rstrip().endswith("snakemake --cores all --configfile mine.yaml")
    assert "20, 0.00 hours, one channel" in printed
    table = pd.read_csv(tmp_path / "mine.csv")
    assert table.columns.tolist() == ["path", "word", "speaker"]
    assert all((tmp_path / path).is_file() for path in table.path)
    assert table.path.str.startswith("mine/").all()


def save_model(folder):
    encoders.save_folder(folder, make_encoder("wav2vec2"), make_feature_extractor("wav2vec2"))


def test_init_takes_a_model_folder(recordings, tmp_path):
    save_model(tmp_path / "my models/small (v2)")
    init.init(recordings, model="my models/small (v2)")
    [(name, entry)] = configuration.read_config("mine.yaml")["models"].items()
    assert name == "small-v2"
    assert (entry["source"], entry["path"], entry["layers"]) == ("path", "my models/small (v2)", LAYERS)


def test_init_takes_a_model_of_the_hub(recordings, tmp_path, monkeypatch):
    save_model(tmp_path / "tiny")
    info = SimpleNamespace(sha="abc123")
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda self, model_id: info)

    def download(model_id, name, revision, local_dir):
        assert (model_id, revision) == ("some/tiny", "abc123")
        shutil.copy(tmp_path / "tiny" / name, local_dir)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    init.init(recordings, model="some/tiny")
    [(name, entry)] = configuration.read_config("mine.yaml")["models"].items()
    assert (name, entry["id"], entry["revision"], entry["layers"]) == ("tiny", "some/tiny", "abc123", LAYERS)


def test_a_model_that_cannot_be_used_is_refused_before_anything_is_written(recordings, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"--model empty: .*config\.json"):
        init.init(recordings, model="empty")
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_: raise_error(OSError("no network")))
    with pytest.raises(ValueError, match=r"--model some/tiny: no such folder here, and the hub .*: no net"):
        init.init(recordings, model="some/tiny")
    assert not (tmp_path / "mine.yaml").exists() and not (tmp_path / "mine.csv").exists()


def raise_error(error):
    raise error


def test_recordings_elsewhere_are_named_absolutely(recordings, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    init.init(recordings.parent / "work/../mine", "other")
    assert pd.read_csv("other.csv").path.str.startswith(f"{tmp_path}/mine/").all()


def test_away_from_the_workflow_the_next_command_names_its_snakefile(recordings, tmp_path, monkeypatch):
    folder = tmp_path / "the workflow"
    folder.mkdir()
    (folder / "Snakefile").touch()
    for place, told in ((folder, "'the workflow/Snakefile'"), (tmp_path, None)):
        monkeypatch.setattr(init, "WORKFLOW", place)
        printed = init.init(recordings, f"new{bool(told)}")
        pattern = r"^  \S*snakemake(?: --snakefile (.*))? --cores all --configfile new\w+.yaml$"
        assert re.findall(pattern, printed, re.MULTILINE) == [told or ""]
        config = yaml.safe_load((tmp_path / f"new{bool(told)}.yaml").read_text(encoding="utf-8"))
        assert config["corpus"]["table"]["csv"] == f"new{bool(told)}.csv"


@pytest.mark.parametrize("existing", ["mine.yaml", "mine.csv"])
def test_init_overwrites_nothing(recordings, tmp_path, existing):
    (tmp_path / existing).write_text("precious", encoding="utf-8")
    with pytest.raises(SystemExit, match=f"{existing} exists already"):
        main(["init", "mine"])
    assert (tmp_path / existing).read_text(encoding="utf-8") == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["mine", existing])


@pytest.mark.parametrize("gpus", [0, 2])
@pytest.mark.parametrize("speakers", [False, True])
@pytest.mark.parametrize("split", [False, True])
def test_every_config_is_valid_and_commented(recordings, monkeypatch, gpus, speakers, split):
    monkeypatch.setattr(init, "count_gpus", lambda: gpus)
    if speakers:
        record(recordings, *takes("yes", "ann", 40), *takes("yes", "bob", 40))
    if split:
        held_out = [f"{word}/{name}_nohash_1.wav\n" for word in ("yes", "no") for name in ("ann", "bob")]
        (recordings / "validation_list.txt").write_text("".join(held_out), encoding="utf-8")
        (recordings / "testing_list.txt").write_text(
            "yes/bob_nohash_0.wav\nno/bob_nohash_0.wav\n", encoding="utf-8"
        )
    folder = recordings.rename(recordings.with_name("my 'odd': näme"))
    init.init(folder, "odd")
    config = yaml.safe_load((folder.parent / "odd.yaml").read_text(encoding="utf-8"))
    assert config["tasks"] == ["words", *(["speakers"] if speakers else [])]
    assert set(config["datasets"]) == set(config["finetuning"]["learning_rate"]) == set(config["tasks"])
    assert config["gpus"] == gpus
    assert ("seed" in config["corpus"]["table"]) == (not split)
    assert config["finetuning"]["max_steps"] % config["finetuning"]["eval_steps"] == 0
    configuration.complete(config)
    text = (folder.parent / "odd.yaml").read_text(encoding="utf-8")
    assert "workflow/schemas/config.schema.yaml" in text and max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize(
    "name",
    ["p{q}", "<x>", "a b", "it's", 'say "hi"', "-x", "null", "yes", "2024", "#1", "a: b", "日本", "e\u0301"],
)
@pytest.mark.parametrize("what", ["folder", "label", "file", "speaker"])
def test_names_of_any_kind_are_written_so_that_they_are_read(recordings, name, what):
    names = {"folder": "rec", "label": "up", "file": "take", "speaker": "ann"} | {what: name}
    paths = [
        f"{label}/{names['speaker']}/{names['file']}{n}.wav"
        for label in (names["label"], "no")
        for n in range(9)
    ]
    record(recordings.parent / names["folder"], *paths)
    init.init(recordings.parent / names["folder"], "new")
    listed = read_user_table(recordings.parent / "new.csv")
    spelt = unicodedata.normalize("NFC", name)
    assert listed.problems == [[]] * 18 and all(
        (recordings.parent / path).is_file() for path in listed.rows.path
    )
    assert set(listed.rows.word) == {spelt if what == "label" else "up", "no"}
    assert set(listed.rows.speaker) == {spelt if what == "speaker" else "ann"}
    configuration.complete(yaml.safe_load((recordings.parent / "new.yaml").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", ["p{q}", "<x>", "a\nb"])
def test_a_csv_whose_path_snakemake_cannot_take_is_refused(recordings, monkeypatch, name):
    folder = recordings.parent / name
    folder.mkdir()
    rows = "".join(f"../mine/{path},{path.split('/')[0]}\n" for path in survey(recordings).table.path)
    (folder / "list.csv").write_text("path,word\n" + rows, encoding="utf-8")
    with pytest.raises(ValueError, match=r"mean something to Snakemake, or.*in the folder of the file"):
        init.init(folder / "list.csv")
    assert not (recordings.parent / "list.yaml").exists()
    monkeypatch.chdir(folder)
    init.init(Path("list.csv"))
    configuration.complete(yaml.safe_load(Path("list.yaml").read_text(encoding="utf-8")))


def test_spaces_at_the_ends_of_a_path_are_kept(recordings, monkeypatch):
    recordings.rename(recordings.with_name(" mine"))
    init.init(recordings.with_name(" mine"), "new")
    listed = read_user_table(recordings.parent / "new.csv").rows
    assert all((recordings.parent / path).is_file() for path in listed.path)


def test_neighbours_are_fewer_than_the_recordings_that_are_scored(recordings):
    init.init(recordings)
    config = yaml.safe_load((recordings.parent / "mine.yaml").read_text(encoding="utf-8"))
    assert 1 <= config["convexity"]["n_neighbors"] < 20 * config["corpus"]["table"]["validation_share"]


def test_neighbours_are_fewer_than_the_recordings_of_frequent_speakers_that_are_scored(recordings):
    """Most recordings here are of speakers who have too few."""
    record(recordings, *takes("yes", "ann", 40), *takes("yes", "bob", 40))
    for number in range(60):
        record(recordings, *takes("no", f"s{number}", 5))
    init.init(recordings)
    config = yaml.safe_load((recordings.parent / "mine.yaml").read_text(encoding="utf-8"))
    assert "speakers" in config["tasks"]
    scored = 90 * config["datasets"]["speakers"]["validation_share"]
    assert 1 <= config["convexity"]["n_neighbors"] <= scored / 5


def test_a_name_that_is_no_file_name_is_refused(recordings):
    with pytest.raises(ValueError, match="--name a/b"):
        init.init(recordings, "a/b")


@pytest.fixture
def many(tmp_path, monkeypatch):
    """A folder, in the current directory, of forty recordings by each of six speakers, named speaker_n."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(init, "count_gpus", lambda: 0)
    names = product(("yes", "no"), ("ann", "bob", "cid", "dan", "eva", "fay"), range(20))
    record(tmp_path / "many", *(f"{label}/{speaker}_{n}.wav" for label, speaker, n in names))
    return tmp_path / "many"


@pytest.fixture
def listed(many):
    """The same in a CSV."""
    rows = [(f"many/{row.path}", row.word, row.speaker) for row in survey(many).table.itertuples()]
    pd.DataFrame(rows, columns=["path", "word", "speaker"]).to_csv("list.csv", index=False)
    return Path("list.csv")


@pytest.mark.parametrize(
    ("asked", "tasks"),
    [
        ("words", ["words"]),
        ("speakers", ["speakers"]),
        ("words,speakers", ["words", "speakers"]),
        ("speakers, words", ["words", "speakers"]),
        ("", ["words", "speakers"]),
    ],
)
def test_tasks_are_those_asked_for(many, asked, tasks):
    printed = init.init(many, tasks=asked)
    assert f"tasks         {', '.join(tasks)}\n" in printed
    text = Path("many.yaml").read_text(encoding="utf-8")
    assert f"# keep: {{{tasks[0]}: 9}}" in text
    config = yaml.safe_load(text)
    assert config["tasks"] == list(config["datasets"]) == list(config["finetuning"]["learning_rate"]) == tasks
    configuration.complete(config)


@pytest.mark.parametrize("asked", ["word", "words;speakers", "words,", "phonemes"])
def test_a_task_that_is_none_is_refused_with_those_there_are(recordings, asked):
    with pytest.raises(SystemExit, match=f"--tasks {asked}: there is no task .*; there are words, speakers"):
        main(["init", "mine", "--tasks", asked])
    assert not Path("mine.yaml").exists()


def test_the_task_speakers_is_refused_where_too_few_are_known(recordings):
    with pytest.raises(ValueError, match=r"--tasks: 0 speakers of .*mine are known to have more than 20 tr"):
        init.init(recordings, tasks="speakers")
    assert not Path("mine.yaml").exists()


@pytest.mark.parametrize("source", ["many", "list.csv"])
def test_unseen_speakers_are_in_the_table_that_is_written(many, listed, source):
    printed = init.init(Path(source), "new", unseen_speakers=True)
    assert f"train 160, validation 40, test 40 ({APART}; 4, 1, 1 speakers)" in printed
    table = read_user_table("new.csv").rows
    assert all(Path(path).is_file() for path in table.path)
    assert (table.groupby("speaker").split.nunique() == 1).all()
    assert table.groupby("split").word.nunique().to_dict() == dict.fromkeys(SPLITS, 2)
    config = yaml.safe_load(Path("new.yaml").read_text(encoding="utf-8"))
    assert config["corpus"]["table"] == {"csv": "new.csv"}
    assert config["tasks"] == ["words", "speakers"]  # of the four who are trained on
    configuration.complete(config)
    config["corpus"]["table"] = {"csv": "new.csv"} | read_table_keys(Path(source))
    assert table.split.tolist() == draw_as_the_run(config, table.drop(columns="split"))
    again = init.init(Path(source), "again", unseen_speakers=True)
    assert again.partition("Wrote")[0] == printed.partition("Wrote")[0]
    assert read_user_table("again.csv").rows.equals(table)


def read_table_keys(source):
    """`corpus.table` of the config that is written without options, but for its CSV."""
    init.init(source, "plain")
    table = yaml.safe_load(Path("plain.yaml").read_text(encoding="utf-8"))["corpus"]["table"]
    return {key: value for key, value in table.items() if key != "csv"}


def draw_as_the_run(config, table):
    configuration.complete(config)
    return draw(table, Drawing(**experiment.drawing_settings(config)))


@pytest.mark.parametrize("asked", ["", "words"])
def test_where_three_speakers_are_known_the_run_draws_by_speaker(many, asked):
    printed = init.init(many, tasks=asked)
    table = read_user_table("many.csv").rows
    assert "split" not in table
    config = configuration.read_config("many.yaml")
    assert config["corpus"]["table"]["split_by"] == "speaker"
    drawn = pd.Series(draw_as_the_run(config, table))
    assert (drawn.groupby(table.speaker).nunique() == 1).all()
    counts = ", ".join(f"{split} {(drawn == split).sum()}" for split in SPLITS)
    assert f"splits        {counts} ({APART}; 4, 1, 1 speakers)\n" in printed
    assert "a speaker may be in train and test" not in printed
    text = Path("many.yaml").read_text(encoding="utf-8")
    assert "split_by: speaker  # nobody in validation or test is in train\n" in text


def test_the_task_speakers_alone_has_splits_drawn_by_recording(many):
    printed = init.init(many, tasks="speakers")
    config = configuration.read_config("many.yaml")
    assert config["corpus"]["table"]["split_by"] is None
    drawn = draw_as_the_run(config, read_user_table("many.csv").rows)
    counts = ", ".join(f"{split} {drawn.count(split)}" for split in SPLITS)
    assert f"splits        {counts} (drawn by recording)\n" in printed


def test_two_speakers_are_too_few_to_draw_by(recordings):
    printed = init.init(recordings)
    assert "(drawn by recording)" in printed
    told = "splits cannot be drawn by speaker (that takes three): they are drawn by recording, and a speaker"
    assert f"- {told} may be in train and test" in printed
    assert configuration.read_config("mine.yaml")["corpus"]["table"]["split_by"] is None


def test_splits_are_drawn_by_recording_where_each_speaker_says_one_word(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    speakers = {"ann": "yes", "bob": "no", "cid": "yes", "dan": "no"}
    for speaker, word in speakers.items():
        record(tmp_path / "rec", *takes(word, speaker, 20))
    printed = init.init(Path("rec"))
    assert "by speaker (words: validation and test would have fewer than 2 of its classes): they" in printed
    assert configuration.read_config("rec.yaml")["corpus"]["table"]["split_by"] is None


def test_the_task_speakers_beside_words_needs_two_speakers_in_train(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for speaker, word in product(("ann", "bob", "cid"), ("yes", "no")):
        record(tmp_path / "rec", *takes(word, speaker, 40))
    told = "1 speakers of rec are known to have more than 20 training recordings if splits are drawn by "
    told += r"speaker \(--tasks speakers, alone, has them drawn by recording\)"
    with pytest.raises(ValueError, match=f"--tasks: {told}; the task speakers needs two"):
        init.init(Path("rec"), tasks="words,speakers")
    assert re.search(f"- {told}: too few for the task speakers", init.init(Path("rec")))
    assert "tasks         speakers\n" in init.init(Path("rec"), "alone", tasks="speakers")
    configuration.read_config("alone.yaml")


def test_a_given_split_that_speakers_cross_is_told(many, listed):
    table = pd.read_csv(listed)
    table["split"] = (["train"] * 3 + ["validation", "test"]) * (len(table) // 5)
    table.loc[table.speaker == "ann", "split"] = "train"
    table.to_csv(listed, index=False)
    printed = init.init(listed)
    assert "(as given)" in printed
    told = "5 of 6 speakers are in more than one split (bob, cid, dan, eva, fay): accuracy is not that for"
    assert f"- {told} new speakers" in printed
    assert configuration.read_config("list.yaml")["corpus"]["table"]["split_by"] is None


@pytest.mark.parametrize(
    ("lengths", "seconds", "longer"),
    [
        ([0.2] * 18 + [0.9] * 2, 1, 0),
        ([0.5] * 10 + [1.2] * 9 + [3.1], 1.5, 1),
        ([2.0] * 20, 2, 0),
        ([2.01] * 20, 2.5, 0),
        ([0.5] * 18 + [31.0] * 2, 30, 2),
    ],
)
def test_a_clip_is_as_long_as_nearly_all_recordings(tmp_path, monkeypatch, lengths, seconds, longer):
    monkeypatch.chdir(tmp_path)
    for number, length in enumerate(lengths):
        record(tmp_path / "rec", f"{number % 2}/{number}.wav", seconds=length, rate=1000)
    printed = init.init(Path("rec"))
    text = Path("rec.yaml").read_text(encoding="utf-8")
    assert ("clips:\n" in text) == (seconds != 1)
    assert configuration.read_config("rec.yaml")["clips"]["seconds"] == seconds
    assert f"clips         {seconds} s\n" in printed
    cut = f"{longer} of 20 recordings are longer than {seconds} s and are cut: only the first {seconds} s is"
    assert (cut in printed) == bool(longer) == ("are cut" in printed)


def test_a_table_elsewhere_is_written_here_with_the_paths_from_here(listed, monkeypatch):
    Path("below").mkdir()
    monkeypatch.chdir("below")
    init.init(Path("../list.csv"), unseen_speakers=True)
    assert all(Path(path).is_file() for path in read_user_table("list.csv").rows.path)


def test_a_csv_is_not_overwritten_by_the_table_with_its_splits(listed):
    with pytest.raises(ValueError, match=r"list\.csv is the table itself: choose another --name for the one"):
        init.init(listed, unseen_speakers=True)
    assert not Path("list.yaml").exists()


@pytest.mark.parametrize(
    ("header", "of_yes", "of_no", "message"),
    [
        ("path,word", "", "", "the speakers of list.csv are unknown"),
        (
            "path,word,speaker",
            ",ann",
            ",bob",
            "list.csv: there are 2 speakers; train, validation and test need",
        ),
        ("path,word,speaker,split", ",ann,train", ",bob,test", "list.csv has splits already"),
        (
            "path,word,speaker",
            ",ann",
            ",",
            r"list.csv has 20 bad rows: row 21 \(many/no/ann_0.wav\): no speake",
        ),
    ],
)
def test_speakers_that_cannot_be_unseen_are_refused_in_a_line(many, header, of_yes, of_no, message):
    rows = [f"many/yes/ann_{n}.wav,yes{of_yes}" for n in range(20)]
    rows += [f"many/no/ann_{n}.wav,no{of_no}" for n in range(20)]
    Path("list.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    with pytest.raises(ValueError, match=f"--unseen-speakers: {message}") as caught:
        init.init(Path("list.csv"), "new", unseen_speakers=True)
    assert len(str(caught.value).splitlines()) == 1
    assert not Path("new.yaml").exists() and not Path("new.csv").exists()


def test_a_flat_folder_needs_a_pattern_unless_it_is_clear(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digits, speakers = range(3), ("nicolas", "theo", "george")
    record(
        Path("flat"), *(f"{d}_{speaker}_{n}.wav" for d in digits for speaker in speakers for n in range(9))
    )
    hint = r"0_george_0\.wav name them, say so by --pattern label_speaker_n \(3 labels, 3 speakers\)$"
    with pytest.raises(SystemExit, match=rf"flat: no recordings in .*; if file names such as {hint}"):
        main(["init", "flat"])
    record(Path("flat"), "odd.wav")
    printed = init.init(Path("flat"), pattern="label_speaker_n")
    assert "layout        label_speaker_n.wav\n" in printed
    assert "labels        3: 0 27, 1 27, 2 27\n" in printed
    assert "speakers      3 (from file names, label_speaker_n.wav)\n" in printed
    assert "- 1 files left out, not named label_speaker_n.wav: odd.wav\n" in printed
    record(Path("clear"), *(f"{label}_{n}.wav" for label in ("yes", "no") for n in range(20)))
    printed = init.init(Path("clear"))
    assert "layout        label_n.wav\n" in printed and "speakers      unknown\n" in printed
    assert set(read_user_table("clear.csv").rows.word) == {"yes", "no"}


def test_a_pattern_goes_before_folders_but_for_splits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for split, speaker in (("train", "01"), ("test", "02")):
        record(Path("rec"), *(f"{split}/{speaker}/{d}_{speaker}_{n}.wav" for d in "ab" for n in range(30)))
    printed = init.init(Path("rec"), pattern="label_speaker_n")
    assert "layout        split/folder/label_speaker_n.wav\n" in printed
    table = read_user_table("rec.csv").rows
    assert set(table.word) == {"a", "b"} and set(table.speaker) == {"01", "02"}
    assert set(table.split) == set(SPLITS)


def test_what_was_taken_for_the_speaker_is_told_and_can_be_said_otherwise(many):
    told = "speakers      6 (from file names, speaker_n.wav: ann_0.wav is ann; if not, see --pattern)"
    assert told in init.init(many)
    assert "speakers      unknown" in init.init(many, "none", pattern="n_n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--pattern", "word_n"], "--pattern word_n: there is no field 'word'"),
        (["nowhere", "--model", "some/model"], "nowhere does not exist"),
        (
            ["mine", "--pattern", "label-n"],
            "mine: --pattern label-n: no file is named so; the first is no/ann_",
        ),
        (
            ["list.csv", "--pattern", "label_n"],
            "--pattern label_n is for the file names of a folder, and list.c",
        ),
    ],
)
def test_the_first_thing_wrong_is_the_one_that_is_told(recordings, arguments, message):
    Path("list.csv").write_text("path,word\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=message):
        main(["init", *arguments])
    assert not list(recordings.parent.glob("*.yaml"))
