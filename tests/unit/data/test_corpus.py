"""The corpus: archives and tables in, samples, splits and clips out."""

import gzip
import io
import re
import tarfile
import time
import unicodedata
from types import SimpleNamespace

import h5py
import ingest_archives
import ingest_table
import numpy as np
import pandas as pd
import pytest
import soundfile
from convexprune.data import corpus, datasets, ingestion, synthesis
from convexprune.data.splits import draw_splits
from convexprune.jobs import provenance
from hypothesis import given
from hypothesis import strategies as st


def noise(seed, n_samples=16_000):
    return np.random.default_rng(seed).integers(-3000, 3000, n_samples).astype(np.int16)


def wav(samples, rate=16_000, **options):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", **options)
    return file.getvalue()


def write_tar(path, files):
    """A tar.gz of {name: content} in the order given; returns `path`."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def lists(validation, testing):
    return {
        "./validation_list.txt": "".join(f"{name}\n" for name in validation).encode(),
        "./testing_list.txt": "".join(f"{name}\n" for name in testing).encode(),
    }


# A small Speech Commands: two training files, one for validation, one for test, and what lies around them.
AUDIO = {
    "bed/aaaaaaaa_nohash_0.wav": noise(1),
    "bed/bbbbbbbb_nohash_0.wav": noise(2),
    "yes/aaaaaaaa_nohash_1.wav": noise(3, 12_345),
    "yes/cccccccc_nohash_0.wav": noise(4),
}
VALIDATION, TESTING = ["bed/bbbbbbbb_nohash_0.wav"], ["yes/cccccccc_nohash_0.wav"]
TEST_AUDIO = {
    "./yes/cccccccc_nohash_0.wav": noise(4),
    "./_unknown_/bed_cccccccc_nohash_2.wav": noise(5),
    "./_unknown_/visual_cccccccc_nohash_0.wav.wav": noise(7),  # as most of the original's
    "./_silence_/7.wav": noise(6),
}
EXPECTED = {  # path: word, speaker, split, samples
    "bed/aaaaaaaa_nohash_0.wav": ("bed", "aaaaaaaa", "train", noise(1)),
    "bed/bbbbbbbb_nohash_0.wav": ("bed", "bbbbbbbb", "validation", noise(2)),
    "yes/aaaaaaaa_nohash_1.wav": ("yes", "aaaaaaaa", "train", noise(3, 12_345)),
    "yes/cccccccc_nohash_0.wav": ("yes", "cccccccc", "test", noise(4)),
    "_unknown_/bed_cccccccc_nohash_2.wav": ("bed", "cccccccc", "test", noise(5)),
    "_unknown_/visual_cccccccc_nohash_0.wav.wav": ("visual", "cccccccc", "test", noise(7)),
    "_silence_/7.wav": ("", "", "test", noise(6)),
}


def train_files():
    others = {
        "./README.md": b"read me",
        "./_background_noise_/pink.wav": wav(noise(9, 90_000)),
        "./_background_noise_/README.md": b"noise",
        "./bed/._aaaaaaaa_nohash_0.wav": b"a file system's leavings",
    }
    return others | {f"./{name}": wav(samples) for name, samples in AUDIO.items()}


@pytest.fixture
def test_archive(tmp_path):
    return write_tar(tmp_path / "test.tar.gz", {name: wav(samples) for name, samples in TEST_AUDIO.items()})


def outputs(folder):
    return SimpleNamespace(
        samples=folder / "corpus.h5", table=folder / "corpus.csv", fingerprint=folder / "corpus.sha256"
    )


def ingest(folder, train, test, **sums):
    output = outputs(folder)
    files = SimpleNamespace(train=train, test=test)
    params = SimpleNamespace(settings=sums)
    ingest_archives.main(SimpleNamespace(input=files, output=output, params=params, log=[folder / "log"]))
    return output


def stored(output):
    """The corpus as {path: (word, speaker, split, samples)}."""
    table = corpus.read_table(output.table)
    assert table["path"].is_unique
    with h5py.File(output.samples) as file:
        samples = file["samples"][:]
        assert file["samples"].attrs["sampling_rate"] == 16_000
    return {
        row.path: (row.word, row.speaker, row.split, samples[row.offset : row.offset + row.n_samples])
        for row in table.itertuples()
    }


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for path, (*labels, samples) in expected.items():
        assert list(found[path][:3]) == labels, path
        assert np.array_equal(found[path][3], samples), path


# Archives


@pytest.mark.parametrize("lists_first", [True, False])
def test_archives_give_the_splits_of_speech_commands(tmp_path, test_archive, lists_first):
    named = lists(VALIDATION, TESTING)
    files = named | train_files() if lists_first else train_files() | named
    output = ingest(tmp_path, write_tar(tmp_path / "train.tar.gz", files), test_archive)
    assert_same(stored(output), EXPECTED)


def ingest_standard(folder, files):
    """With the standard test split. The workflow then gives the rule no test archive, as an empty list."""
    return ingest(folder, write_tar(folder / "train.tar.gz", files), [])


@pytest.mark.parametrize("lists_first", [True, False])
def test_the_standard_test_split_is_what_the_list_names(tmp_path, lists_first):
    """Under its own names and words: only the test archive has `_silence_` and `_unknown_`."""
    named = lists(VALIDATION, TESTING)
    output = ingest_standard(tmp_path, named | train_files() if lists_first else train_files() | named)
    assert_same(stored(output), {path: row for path, row in EXPECTED.items() if path in AUDIO})


def test_a_file_in_both_lists_is_for_the_standard_test(tmp_path):
    """Results on it are compared with others', so that none of its files may be missing."""
    both = "yes/aaaaaaaa_nohash_1.wav"
    output = ingest_standard(tmp_path, train_files() | lists([*VALIDATION, both], [*TESTING, both]))
    splits = {path: row[2] for path, row in stored(output).items()}
    assert splits == {path: EXPECTED[path][2] for path in AUDIO} | {both: "test"}
    told = "1 files are in both lists; they are used for test"
    assert told in (tmp_path / "log").read_text(encoding="utf-8")


def test_a_standard_test_without_files_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"train.tar.gz: testing_list.txt names no files"):
        ingest_standard(tmp_path, train_files() | lists(VALIDATION, []))
    assert not (tmp_path / "corpus.h5").exists()


def test_an_archive_as_large_as_the_original_gives_the_counts_of_35_words(tmp_path):
    """84,843, 9,981 and 11,005: the counts that are published with accuracies on V2-35."""
    counts = {"validation": 9_981, "test": 11_005, "train": 84_843}
    clip = wav(noise(1, 1))
    numbers = range(sum(counts.values()))
    names = [f"word{number % 35}/{number:08x}_nohash_0.wav" for number in numbers]
    files = dict.fromkeys(names, clip) | {"_background_noise_/pink_noise.wav": clip}
    files |= lists(names[:9_981], names[9_981 : 9_981 + 11_005])
    words = datasets.build_labelled(
        "words", corpus.read_table(ingest_standard(tmp_path, files).table), "word"
    )
    assert words["split"].value_counts().to_dict() == counts
    assert words.groupby("split")["label"].nunique().to_dict() == dict.fromkeys(counts, 35)


def test_a_word_in_two_spellings_of_unicode_is_one_and_told(tmp_path, test_archive):
    words = [unicodedata.normalize(form, "né") for form in ("NFC", "NFD")]
    spelt = {f"./{word}/dddddddd_nohash_{n}.wav": wav(noise(20 + n)) for n, word in enumerate(words)}
    train = write_tar(tmp_path / "train.tar.gz", train_files() | lists(VALIDATION, TESTING) | spelt)
    table = corpus.read_table(ingest(tmp_path, train, test_archive).table)
    assert table["word"].value_counts()["né"] == 2
    told = f"{train}: 1 names are in decomposed Unicode, such as 'ne\\u0301/dddddddd_nohash_1.wav'"
    assert told in (tmp_path / "log").read_text(encoding="utf-8")


def test_names_without_a_leading_dot_are_the_same(tmp_path, test_archive):
    files = {name.removeprefix("./"): content for name, content in train_files().items()}
    files |= {name.removeprefix("./"): content for name, content in lists(VALIDATION, TESTING).items()}
    output = ingest(tmp_path, write_tar(tmp_path / "train.tar.gz", files), test_archive)
    assert_same(stored(output), EXPECTED)


def test_a_file_in_both_lists_is_for_validation(tmp_path, test_archive):
    both = "yes/aaaaaaaa_nohash_1.wav"
    files = train_files() | lists([*VALIDATION, both], [*TESTING, both])
    output = ingest(tmp_path, write_tar(tmp_path / "train.tar.gz", files), test_archive)
    assert_same(stored(output), EXPECTED | {both: ("yes", "aaaaaaaa", "validation", noise(3, 12_345))})
    assert "1 files are in both lists" in (tmp_path / "log").read_text(encoding="utf-8")


@pytest.mark.parametrize("validation", [VALIDATION, [*VALIDATION, *TESTING]])
def test_a_recording_of_the_test_archive_is_for_test_only(tmp_path, test_archive, validation):
    """Also where the lists leave it for training or put it into validation."""
    files = train_files() | lists(validation, [])
    output = ingest(tmp_path, write_tar(tmp_path / "train.tar.gz", files), test_archive)
    assert_same(stored(output), EXPECTED)
    assert "1 recordings of" in (tmp_path / "log").read_text(encoding="utf-8")


def test_a_recording_of_the_test_archive_is_known_by_any_of_its_names(tmp_path, test_archive):
    """25 of the 35 words are in `_unknown_` there, most with the ending twice."""
    files = train_files() | lists(VALIDATION, TESTING)
    files |= {"./bed/cccccccc_nohash_2.wav": wav(noise(5)), "./visual/cccccccc_nohash_0.wav": wav(noise(7))}
    output = ingest(tmp_path, write_tar(tmp_path / "train.tar.gz", files), test_archive)
    assert_same(stored(output), EXPECTED)
    assert "2 recordings of" in (tmp_path / "log").read_text(encoding="utf-8")


def test_the_papers_split_rules_on_an_archive_with_every_oddity(tmp_path):
    """Words by the lists, speakers with more than `min_files` of what is left for training, 90/10."""
    clip = wav(noise(1, 100))
    names = {  # speaker: recordings in the train and validation archive
        "aaaaaaaa": [f"bed/aaaaaaaa_nohash_{n}.wav" for n in range(30)]  # 51 for training: in
        + [f"yes/aaaaaaaa_nohash_{n}.wav" for n in range(21)],
        "bbbbbbbb": [f"yes/bbbbbbbb_nohash_{n}.wav" for n in range(50)],  # 50: not more than 50
        "cccccccc": [f"bed/cccccccc_nohash_{n}.wav" for n in range(60)],  # 60, 50 of them for training
        "dddddddd": [f"yes/dddddddd_nohash_{n}.wav" for n in range(71)],  # 71, 60 of them for training: in
    }
    validation = [*names["cccccccc"][:5], *names["dddddddd"][:4]]
    testing = [*names["cccccccc"][3:10], *names["dddddddd"][4:11]]  # two of them in both lists
    files = {f"./{name}": clip for speaker in names.values() for name in speaker}
    files |= lists(validation, testing)
    files |= {f"./_background_noise_/{kind}.wav": wav(noise(9)) for kind in ("pink_noise", "running_tap")}
    files |= {"./LICENSE": b"free", "./bed/._cccccccc_nohash_0.wav": b"?"}
    test = {f"./yes/dddddddd_nohash_{n}.wav": clip for n in range(4, 11)}
    test |= {"./_unknown_/bed_cccccccc_nohash_5.wav": clip, "./_unknown_/bed_cccccccc_nohash_6.wav.wav": clip}
    test |= {"./_silence_/0.wav": clip, "./_silence_/1.wav": clip}
    output = ingest(
        tmp_path, write_tar(tmp_path / "train.tar.gz", files), write_tar(tmp_path / "test.tar.gz", test)
    )
    table = corpus.read_table(output.table)

    by_split = table.groupby("split")["path"].agg(set).to_dict()
    everything = {name for speaker in names.values() for name in speaker}
    assert by_split == {
        "validation": set(validation),
        "train": everything - set(validation) - set(testing),
        "test": {name.removeprefix("./") for name in test},
    }
    words = datasets.build_labelled("words", table, "word")
    assert set(words["label"]) == {"bed", "yes"}
    assert words["split"].value_counts().to_dict() == {"train": 211, "test": 9, "validation": 9}
    speakers = datasets.build_speakers(table, min_files=50, test_share=0.1, validation_share=0.1, seed=0)
    assert speakers["label"].value_counts().to_dict() == {"aaaaaaaa": 51, "dddddddd": 60}
    assert set(speakers["item"]) <= by_split["train"]
    tested = speakers[speakers["split"] == "test"]["label"].value_counts()
    assert tested.to_dict() == {
        "aaaaaaaa": 6,
        "dddddddd": 6,
    }  # a tenth of 111 rounded up, 5.1 and 6.0 of each


def test_lists_as_long_as_the_originals_are_compared_once():
    """Not once a recording, which takes a minute."""
    names = [f"yes/{number:08x}_nohash_0.wav" for number in range(105_000)]
    rows = [{"path": name, "split": "train"} for name in names]
    named = {"validation_list.txt": set(names[:10_000]), "testing_list.txt": set(names[10_000:21_000])}
    begin = time.process_time()
    splits = [row["split"] for row in ingestion.split_by_lists(rows, named, "train.tar.gz")]
    assert time.process_time() - begin < 5
    assert splits.count("validation") == 10_000 and splits.count("train") == 84_000


def test_the_fingerprint_changes_with_samples_and_with_labels(tmp_path, test_archive):
    def fingerprint(name, files):
        folder = tmp_path / name
        folder.mkdir()
        output = ingest(folder, write_tar(folder / "train.tar.gz", files), test_archive)
        return output.fingerprint.read_text(encoding="utf-8")

    files = train_files() | lists(VALIDATION, TESTING)
    first = fingerprint("first", files)
    assert first == fingerprint("again", files)
    other = files | {"./bed/aaaaaaaa_nohash_0.wav": wav(noise(99))}
    assert fingerprint("samples", other) != first
    assert fingerprint("labels", files | lists([], TESTING)) != first
    assert len(first) == 65 and int(first, 16)


def test_a_synthetic_corpus_comes_back(tmp_path):
    speakers = {"train": 2, "validation": 1, "test": 1}
    train, test = tmp_path / "train.tar.gz", tmp_path / "test.tar.gz"
    words = ["yes", "marvin"]
    synthesis.synthesise(train, test, words=words, speakers=speakers, takes=2, seed=0, threads=2)
    table = corpus.read_table(ingest(tmp_path, train, test).table)
    counts = table.groupby(["split", "word"]).size().to_dict()
    assert counts == {
        ("train", "yes"): 4,
        ("train", "marvin"): 4,
        ("validation", "yes"): 2,
        ("validation", "marvin"): 2,
        ("test", "yes"): 2,
        ("test", "marvin"): 2,
        ("test", ""): 1,
    }
    cast = {speaker.identifier: speaker.split for speaker in synthesis.cast_speakers(speakers, seed=0)}
    spoken = table[table["word"] != ""]
    assert (spoken["speaker"].map(cast) == spoken["split"]).all()


GOOD = train_files() | lists(VALIDATION, TESTING)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({k: v for k, v in GOOD.items() if "testing" not in k}, "train.tar.gz has no testing_list.txt"),
        ({k: v for k, v in GOOD.items() if "validation" not in k}, "train.tar.gz has no validation_list.txt"),
        (
            GOOD | lists(["bed/dddddddd_nohash_0.wav"], TESTING),
            "validation_list.txt names 1 files .* bed/dddddddd",
        ),
        (GOOD | {"./bed/no speaker.wav": wav(noise(1))}, "bed/no speaker.wav': is not named"),
        (GOOD | {"./b\x1bed/dddddddd_nohash_0.wav": wav(noise(1))}, "is not named"),
        (GOOD | {"/bed/dddddddd_nohash_0.wav": wav(noise(1))}, "has an absolute path"),
        (
            GOOD | {"bed/bbbbbbbb_nohash_0.wav": wav(noise(2))},
            "train.tar.gz: 1 recordings come twice, such as bed/bbbbbbbb_nohash_0.wav",
        ),
    ],
)
def test_a_bad_train_archive_is_named(tmp_path, test_archive, files, message):
    train = write_tar(tmp_path / "train.tar.gz", files)
    with pytest.raises(ValueError, match=message):
        ingest(tmp_path, train, test_archive)
    assert not {"corpus.h5", "corpus.csv", "corpus.sha256"} & {path.name for path in tmp_path.iterdir()}


def test_all_bad_recordings_come_in_one_report(tmp_path):
    bad = {
        "./bed/dddddddd_nohash_0.wav": b"RIFF broken",
        "./bed/dddddddd_nohash_1.wav": wav(noise(1)[:0]),
        "./bed/dddddddd_nohash_2.wav": wav(noise(1))[:-2],
        "./bed/nobody.wav": wav(noise(1)),
    }
    train = write_tar(tmp_path / "train.tar.gz", GOOD | bad)
    test = write_tar(tmp_path / "test.tar.gz", {"./_unknown_/dddddddd_nohash_0.wav": wav(noise(1))})
    with pytest.raises(ValueError) as caught:
        ingest(tmp_path, train, test)
    first, *others = str(caught.value).splitlines()
    assert first == "5 recordings are bad, so there is no corpus:"
    named = "word/speaker_nohash_n.wav (or _unknown_/word_speaker_nohash_n.wav)"
    assert others == [
        f"  {train}: 'bed/dddddddd_nohash_0.wav': is not a readable audio file (Format not recognised.)",
        f"  {train}: 'bed/dddddddd_nohash_1.wav': holds no samples",
        f"  {train}: 'bed/dddddddd_nohash_2.wav': is cut: its header promises 32000 bytes, 31998 are there",
        f"  {train}: 'bed/nobody.wav': is not named {named}",
        f"  {test}: '_unknown_/dddddddd_nohash_0.wav': is not named {named}",
    ]
    assert not (tmp_path / "corpus.h5").exists()


@pytest.mark.parametrize("n", [0, 40])
def test_an_archive_with_a_folder_on_top_is_told_once(tmp_path, test_archive, n):
    files = {f"./top/{name.removeprefix('./')}": content for name, content in GOOD.items()}
    files |= {f"./top/bed/{number:08x}_nohash_9.wav": wav(noise(1)) for number in range(n)}
    with pytest.raises(ValueError) as caught:
        ingest(tmp_path, write_tar(tmp_path / "train.tar.gz", files), test_archive)
    first, *lines = str(caught.value).splitlines()
    assert first.startswith(f"{n + 5} recordings are bad") and len(lines) == (1 if n else 5)
    assert "lies below a folder on top, top/ (pack what is in it, as by tar -C top .)" in lines[0]
    assert "'top/bed/aaaaaaaa_nohash_0.wav'" in "".join(lines)


def test_a_cause_that_many_recordings_share_is_told_once(tmp_path, test_archive):
    bad = {f"./yes/{number:08x}_nohash_0.wav": wav(noise(1))[: 1000 + number] for number in range(30)}
    with pytest.raises(ValueError) as caught:
        ingest(tmp_path, write_tar(tmp_path / "train.tar.gz", GOOD | bad), test_archive)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2 and "30 times: is cut: 'yes/00000000_nohash_0.wav', " in lines[1]
    assert lines[1].endswith(" and 25 more")
    rows = "".join(f"{number}.wav,yes\n" for number in range(30))
    with pytest.raises(ValueError) as caught:
        ingest_csv(tmp_path, f"path,word\n{rows}there.wav,\n")
    assert str(caught.value).splitlines() == [
        f"{tmp_path / 'mine.csv'}: 31 of 31 rows are bad",
        "  31 times: no such file: row 1 (0.wav), row 2 (1.wav), row 3 (2.wav), row 4 (3.wav), row 5 (4.wav) "
        "and 26 more",
        "  row 31 (there.wav): no word",
    ]


def test_an_archive_that_changed_since_its_download_is_refused(tmp_path, test_archive):
    train = write_tar(tmp_path / "train.tar.gz", GOOD)
    (tmp_path / "train.tar.gz.sha256").write_text(f"{'0' * 64}  train.tar.gz\n", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"train\.tar\.gz: its SHA-256 is [0-9a-f]{{64}}, not {'0' * 64}"):
        ingest(tmp_path, train, test_archive)


@pytest.mark.parametrize("which", ["train", "test"])
def test_an_archive_with_another_sum_than_the_configs_is_refused(tmp_path, test_archive, which):
    archives = {"train": write_tar(tmp_path / "train.tar.gz", GOOD), "test": test_archive}
    found = provenance.fingerprint(archives[which])
    with pytest.raises(
        ValueError, match=rf"{which}\.tar\.gz: its SHA-256 is {found}, not f{{64}} as the config"
    ):
        ingest(tmp_path, **archives, **{f"{which}_sum": "F" * 64})
    ingest(tmp_path, **archives, **{f"{which}_sum": found.upper()})


def test_a_test_archive_without_recordings_is_named(tmp_path):
    train = write_tar(tmp_path / "train.tar.gz", GOOD)
    with pytest.raises(ValueError, match=r"empty.tar.gz holds no recordings"):
        ingest(tmp_path, train, write_tar(tmp_path / "empty.tar.gz", {"README": b""}))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.9999])
def test_an_archive_cut_short_is_named(tmp_path, test_archive, share):
    train = write_tar(tmp_path / "train.tar.gz", GOOD)
    content = train.read_bytes()
    train.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"train.tar.gz is not a complete tar.gz archive .* delete it"):
        ingest(tmp_path, train, test_archive)


def test_an_archive_cut_between_its_members_is_named(tmp_path, test_archive):
    """Where tarfile alone would take the end for the end of the archive."""
    train = write_tar(tmp_path / "train.tar.gz", GOOD)
    plain = gzip.decompress(train.read_bytes())
    cut = gzip.compress(plain[:-20_000])
    train.write_bytes(cut[:-8])  # without the check sum and length that end a gzip file
    with pytest.raises(ValueError, match=r"not a complete tar.gz archive"):
        ingest(tmp_path, train, test_archive)


def test_a_flipped_byte_is_noticed(tmp_path, test_archive):
    train = write_tar(tmp_path / "train.tar.gz", GOOD)
    content = bytearray(train.read_bytes())
    content[-8] ^= 1  # in the check sum
    train.write_bytes(content)
    with pytest.raises(ValueError, match=r"not a complete tar.gz archive"):
        ingest(tmp_path, train, test_archive)


LOUD = wav((30.0 * noise(1)).clip(-32768, 32767).astype(np.int16))


@pytest.mark.parametrize("n", [2, 20])
def test_odd_recordings_are_used_told_and_marked(tmp_path, test_archive, n):
    """Real recordings of Speech Commands are clipped, and all but silent."""
    odd = {f"./bed/{number:08x}_nohash_0.wav": LOUD for number in range(n)}
    odd["./bed/eeeeeeee_nohash_0.wav"] = wav(np.zeros(16_000, np.int16))
    odd["./bed/ffffffff_nohash_0.wav"] = wav(noise(1, 8_000), 8_000)
    odd["./bed/cccccccc_nohash_7.wav"] = LOUD  # left out by the list, and so not told
    files = train_files() | lists(VALIDATION, [*TESTING, "bed/cccccccc_nohash_7.wav"]) | odd
    output = ingest(tmp_path, write_tar(tmp_path / "train.tar.gz", files), test_archive)
    remarks = corpus.read_table(output.table).set_index("path")["remarks"]
    assert (remarks == "clipped").sum() == n
    assert remarks["bed/eeeeeeee_nohash_0.wav"] == "silent"
    assert remarks["bed/ffffffff_nohash_0.wav"] == "converted"
    assert (remarks == "").sum() == len(EXPECTED)
    log = (tmp_path / "log").read_text(encoding="utf-8")
    told = f"{n} recordings are clipped (more than 0.1 % of the samples are at full scale): bed/00000000"
    [clipped] = [line for line in log.splitlines() if told in line]
    assert clipped.count("bed/0000") == min(n, 5)
    assert "1 recordings are silent" in log and "bed/ffffffff_nohash_0.wav (8000 Hz, 1 channels" in log


# Tables


SETTINGS = {"labels": ["word"], "group": None, "seed": 0, "validation_share": 0.1, "test_share": 0.1}


def ingest_csv(folder, text, **changes):
    (folder / "mine.csv").write_text(text, encoding="utf-8")
    output = outputs(folder)
    drawing = None if "split" in text.partition("\n")[0] else SETTINGS | changes
    ingest_table.main(
        SimpleNamespace(
            input=SimpleNamespace(csv=str(folder / "mine.csv")),  # as Snakemake gives it
            output=output,
            params=SimpleNamespace(settings=drawing),
            log=[folder / "log"],
        )
    )
    return output


def test_a_table_becomes_a_corpus(tmp_path):
    (tmp_path / "audio").mkdir()
    soundfile.write(tmp_path / "audio/one.wav", noise(1), 16_000)
    soundfile.write(tmp_path / "two.flac", noise(2, 20_000), 16_000)
    soundfile.write(tmp_path / "three.wav", noise(3), 16_000)
    output = ingest_csv(
        tmp_path,
        "\ufeffspeaker, word, path, split, remark\n"  # a byte order mark, spaces, another order, one more
        '007, null, audio/one.wav, train, "a, b"\n'
        "010,NaN,two.flac,validation,\n"
        f"1.0,go back ,{tmp_path / 'three.wav'},test,\n",
    )
    assert_same(
        stored(output),
        {
            "audio/one.wav": ("null", "007", "train", noise(1)),
            "two.flac": ("NaN", "010", "validation", noise(2, 20_000)),
            str(tmp_path / "three.wav"): ("go back", "1.0", "test", noise(3)),
        },
    )


def test_every_bad_row_is_named_in_one_error(tmp_path):
    soundfile.write(tmp_path / "good.wav", noise(1), 16_000)
    soundfile.write(tmp_path / "empty.wav", noise(1)[:0], 16_000)
    (tmp_path / "text.wav").write_text("not audio", encoding="utf-8")
    with pytest.raises(ValueError) as caught:
        ingest_csv(
            tmp_path,
            "path,word,speaker,split\n"
            "good.wav,yes,a,train\n"
            "missing.wav,yes,a,train\n"
            "text.wav,yes,a,train\n"
            "empty.wav,yes,a,train\n"
            f"{tmp_path}/good.wav,yes,a,train\n"
            "./good.wav,,,training\n"
            ",yes,a,test\n"
            ",yes,a,test\n",
        )
    assert str(caught.value).splitlines() == [
        f"{tmp_path / 'mine.csv'}: 7 of 8 rows are bad",
        "  row 2 (missing.wav): no such file",
        "  row 3 (text.wav): is not a readable audio file (Format not recognised.)",
        "  row 4 (empty.wav): holds no samples",
        f"  row 5 ({tmp_path}/good.wav): the path stands in an earlier row too",
        "  row 6 (./good.wav): no word; no speaker; split 'training' is none of train, validation, test; "
        "the path stands in an earlier row too",
        "  row 7 (): no path",
        "  row 8 (): no path",
    ]
    assert not (tmp_path / "corpus.h5").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a CSV file"),
        ("path,word,speaker\n", "has no rows"),
        (
            "path,label\na.wav,yes\n",
            "has no column word; required: path, word; it has path, label",
        ),
        ('path,word\na.wav,"yes\n', r"is not a CSV file \(the row in line 2: .*; is a quote not closed"),
    ],
)
def test_a_bad_table_is_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=f"mine.csv {message}"):
        ingest_csv(tmp_path, text)


def test_a_table_without_speakers_is_a_corpus_without_speakers(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(1), 16_000)
    output = ingest_csv(tmp_path, "path,word,split\na.wav,yes,train\n")
    assert_same(stored(output), {"a.wav": ("yes", "", "train", noise(1))})


def test_splits_are_drawn_by_seed_where_there_are_none(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(1, 100), 16_000)
    rows = []
    for number in range(40):
        (tmp_path / f"{number}.wav").write_bytes((tmp_path / "a.wav").read_bytes())
        rows.append(f"{number}.wav,{'yes' if number % 2 else 'no'},a\n")
    text = "path,word,speaker\n" + "".join(rows)
    first = corpus.read_table(ingest_csv(tmp_path, text).table)
    again = corpus.read_table(ingest_csv(tmp_path, text).table)
    other = corpus.read_table(ingest_csv(tmp_path, text, seed=1).table)
    assert first.groupby(["split", "word"]).size().to_dict() == {
        **dict.fromkeys([("train", "no"), ("train", "yes")], 16),
        **dict.fromkeys([("test", "no"), ("test", "yes"), ("validation", "no"), ("validation", "yes")], 2),
    }
    assert first.equals(again) and not first.equals(other)


@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=8),
    test_share=st.floats(0.05, 0.4),
    validation_share=st.floats(0.05, 0.4),
    seed=st.integers(0, 2**32),
)
def test_drawn_splits_hold_their_shares_overall_and_for_every_word(
    counts, test_share, validation_share, seed
):
    words = pd.Series([f"w{index}" for index, count in enumerate(counts) for _ in range(count)])
    words = words.sample(frac=1, random_state=1)
    splits = pd.Series(draw_splits(words.to_frame(), validation_share, test_share, seed))
    for group in [splits, *(splits[(words == word).to_numpy()] for word in words.unique())]:
        for split, share in (("test", test_share), ("validation", validation_share)):
            # of validation one more: its share is taken from what test leaves, which is off by one itself
            assert abs((group == split).sum() - share * len(group)) < (1 if split == "test" else 2)


# Copies


SPLIT, LABEL = "one in another split", "one with another label"
OWN = "another one of their split and label"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["a train yes 1", "b test no 2", "c train yes 3"], []),
        (
            ["a train yes 1", "b train yes 2", "c test yes 2"],
            [(2, SPLIT, "b (train, yes) and c (test, yes)")],
        ),
        (["a train yes 1", "b train no 1"], [(2, LABEL, "a (train, yes) and b (train, no)")]),
        (["a test yes 1", "b test yes 1", "c test yes 1"], [(3, OWN, "a (test, yes) and b (test, yes)")]),
        (
            ["a train yes 1", "b train yes 1", "c test no 1", "d test up 2"],
            [
                (3, SPLIT, "a (train, yes) and c (test, no)"),
                (3, LABEL, "a (train, yes) and c (test, no)"),
                (2, OWN, "a (train, yes) and b (train, yes)"),
            ],
        ),
    ],
)
def test_copies_are_counted_with_a_first_pair(rows, told):
    items = pd.DataFrame([row.split() for row in rows], columns=["item", "split", "label", "digest"])
    assert corpus.find_copies(items) == [
        f"{count} recordings have the samples of {what}, such as {pair}" for count, what, pair in told
    ]


def test_copies_in_a_table_are_told_and_used(tmp_path):
    """Under another name, as a link, in another format; but not what sounds a little different."""
    soundfile.write(tmp_path / "a.wav", noise(1), 16_000)
    soundfile.write(tmp_path / "b.flac", noise(1), 16_000)
    (tmp_path / "c.wav").symlink_to(tmp_path / "a.wav")
    soundfile.write(tmp_path / "d.wav", noise(1)[:-1], 16_000)
    output = ingest_csv(
        tmp_path,
        "path,word,split\na.wav,yes,train\nb.flac,yes,test\nc.wav,yes,validation\nd.wav,yes,train\n",
    )
    assert len(corpus.read_table(output.table)) == 4
    told = "WARNING.*: 3 recordings have the samples of one in another split, such as a.wav .train, yes. and"
    assert re.search(told, (tmp_path / "log").read_text(encoding="utf-8"))


def test_copies_in_archives_are_told_by_the_splits_of_the_lists(tmp_path, test_archive):
    copies = {"./no/dddddddd_nohash_0.wav": wav(noise(1)), "./bed/dddddddd_nohash_1.wav": wav(noise(5))}
    train = write_tar(tmp_path / "train.tar.gz", train_files() | lists(VALIDATION, TESTING) | copies)
    output = ingest(tmp_path, train, test_archive)
    assert len(corpus.read_table(output.table)) == len(EXPECTED) + 2
    log = (tmp_path / "log").read_text(encoding="utf-8")
    splits = "bed/dddddddd_nohash_1.wav (train, bed) and _unknown_/bed_cccccccc_nohash_2.wav (test, bed)"
    labels = "bed/aaaaaaaa_nohash_0.wav (train, bed) and no/dddddddd_nohash_0.wav (train, no)"
    # Of yes/cccccccc_nohash_0.wav, in both archives, there is one.
    assert f"2 recordings have the samples of {SPLIT}, such as {splits}" in log
    assert f"2 recordings have the samples of {LABEL}, such as {labels}" in log


def test_a_corpus_without_copies_says_nothing_of_them(tmp_path, test_archive):
    ingest(tmp_path, write_tar(tmp_path / "train.tar.gz", GOOD), test_archive)
    assert "have the samples of" not in (tmp_path / "log").read_text(encoding="utf-8")


# Clips


@pytest.fixture
def finished(tmp_path):
    """A corpus of three recordings: half a second, two seconds, one second."""
    output = outputs(tmp_path)
    recordings = [noise(1, 8_000), noise(2, 32_000), noise(3, 16_000)]
    with corpus.write_corpus(output.samples, output.table, output.fingerprint) as writer:
        for number, samples in enumerate(recordings):
            writer.add(f"{number}.wav", "yes", "a", "train", samples)
    return output, recordings


def test_clips_last_one_second(finished):
    output, (short, long, exact) = finished
    clips = corpus.read_clips(output.samples, np.array([40_000, 0, 8_000]), np.array([56_000, 8_000, 40_000]))
    assert clips.dtype == np.float32 and clips.shape == (3, 16_000)
    assert np.array_equal(clips[0], exact / np.float32(32768))
    assert np.array_equal(clips[1, :8_000], short / np.float32(32768)) and not clips[1, 8_000:].any()
    assert np.array_equal(clips[2], long[:16_000] / np.float32(32768))
    single = corpus.read_clips(output.samples, 100, 260)
    assert np.array_equal(single[0, :160], short[100:260] / np.float32(32768))
    assert single.shape == (1, 16_000) and not single[0, 160:].any()
    assert corpus.read_clips(output.samples, [], []).shape == (0, 16_000)


def test_clips_span_minus_one_to_one(tmp_path):
    output = outputs(tmp_path)
    with corpus.write_corpus(output.samples, output.table, output.fingerprint) as writer:
        writer.add("a", "yes", "a", "train", np.array([-32768, 32767, 1], np.int16))
    assert corpus.read_clips(output.samples, 0, 3)[0, :3].tolist() == [-1, 32767 / 32768, 1 / 32768]


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (5, 5), (55_000, 56_001)])
def test_clips_of_another_corpus_are_refused(finished, start, end):
    with pytest.raises(ValueError, match=r"corpus.h5 does not hold the clips"):
        corpus.read_clips(finished[0].samples, start, end)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_corpus_cut_short_is_named(finished, share):
    path = finished[0].samples
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"corpus.h5 is damaged .*delete it"):
        corpus.read_clips(path, 0, 10)


def test_a_corpus_that_was_never_finished_is_named(finished):
    with h5py.File(finished[0].samples, "a") as file:
        del file.attrs["complete"]
    with pytest.raises(ValueError, match=r"corpus.h5 is not complete; .*delete it"):
        corpus.read_clips(finished[0].samples, 0, 10)


def test_a_failed_ingest_leaves_no_corpus(tmp_path):
    output = outputs(tmp_path)
    with (
        pytest.raises(KeyboardInterrupt),
        corpus.write_corpus(output.samples, output.table, output.fingerprint) as writer,
    ):
        writer.add("a", "yes", "a", "train", noise(1))
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_table_may_have_labels_of_any_name(tmp_path):
    """Also of the names that our own tables have; what the corpus has itself is left out."""
    soundfile.write(tmp_path / "a.wav", noise(1), 16_000)
    soundfile.write(tmp_path / "b.wav", noise(2), 16_000)
    header = "path,label,item,start,end,dataset,split,digest"
    output = ingest_csv(tmp_path, f"{header}\na.wav,x,i,1,2,d,train,no\nb.wav,y,,3,4,e,test,no\n")
    table = corpus.read_table(output.table)
    assert table[["label", "item", "start", "end", "dataset"]].to_numpy().tolist() == [
        ["x", "i", "1", "2", "d"],
        ["y", "", "3", "4", "e"],
    ]
    assert "no" not in set(table["digest"]) and set(table["word"]) == {""}
