"""The synthetic archives: their layout, their reproducibility, and that the voices can be heard."""

import io
import multiprocessing
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import synthesise_archives
from convexprune.data import synthesis

SETTINGS = {
    "words": ["yes", "go", "marvin"],
    "speakers": {"train": 3, "validation": 1, "test": 2},
    "takes": 2,
    "seed": 4,
}


def run(folder, threads=2, **changes):
    """Make both archives; return their paths."""
    output = SimpleNamespace(train=folder / "train.tar.gz", test=folder / "test.tar.gz")
    params = SimpleNamespace(settings=SETTINGS | changes)
    synthesise_archives.main(
        SimpleNamespace(output=output, params=params, threads=threads, log=[folder / "log.txt"])
    )
    return output.train, output.test


def members(path):
    """The files of an archive: {name: content}; every name must begin with `./`."""
    with tarfile.open(path) as archive:
        infos = archive.getmembers()
        assert all(info.name.startswith("./") for info in infos)
        return {info.name[2:]: archive.extractfile(info).read() for info in infos}


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    train, test = run(tmp_path_factory.mktemp("archives"))
    return members(train), members(test)


def clips(files):
    """{name: samples} of the words among `files`."""
    return {
        name: soundfile.read(io.BytesIO(content), dtype="int16")[0]
        for name, content in files.items()
        if "_nohash_" in name
    }


def test_train_archive_has_the_layout_of_speech_commands(archives):
    train, _ = archives
    names = {name for name in train if "_nohash_" in name}
    speakers = {name.split("/")[1].split("_")[0] for name in names}
    assert len(speakers) == 6
    assert all(len(speaker) == 8 and int(speaker, 16) >= 0 for speaker in speakers)
    assert names == {
        f"{word}/{speaker}_nohash_{take}.wav"
        for word in SETTINGS["words"]
        for speaker in speakers
        for take in range(2)
    }
    others = set(train) - names
    assert others == {
        "README.md",
        "validation_list.txt",
        "testing_list.txt",
        "_background_noise_/pink_noise.wav",
        "_background_noise_/white_noise.wav",
    }


def test_lists_name_whole_speakers_of_the_train_archive(archives):
    train, _ = archives
    listed = {split: train[f"{split}_list.txt"].decode().splitlines() for split in ("validation", "testing")}
    assert {split: len(names) for split, names in listed.items()} == {"validation": 6, "testing": 12}
    speakers = {}
    for name in (name for name in train if "_nohash_" in name):
        split = next((split for split, names in listed.items() if name in names), "train")
        speakers.setdefault(split, set()).add(name.split("/")[1].split("_")[0])
    assert {split: len(ids) for split, ids in speakers.items()} == {
        "train": 3,
        "validation": 1,
        "testing": 2,
    }
    assert len(set.union(*speakers.values())) == 6  # nobody in two splits


def test_test_archive_repeats_the_listed_files_in_its_own_layout(archives):
    train, test = archives
    listed = train["testing_list.txt"].decode().splitlines()
    expected = {
        "_unknown_/" + name.replace("/", "_") if name.startswith("marvin/") else name: train[name]
        for name in listed
    }
    expected |= {name: test[name] for name in ("_silence_/0.wav", "_silence_/1.wav")}
    assert test == expected


def test_clips_are_one_second_of_16_bit_mono_with_a_word_in_it(archives):
    for name, content in archives[0].items():
        if "_nohash_" not in name:
            continue
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            assert (file.samplerate, file.channels, file.subtype) == (16_000, 1, "PCM_16")
        samples = clips({name: content})[name] / 32768
        assert samples.shape == (16_000,)
        peak = np.abs(samples).max()
        assert 10 ** (-17 / 20) < peak < 10 ** (-2 / 20)
        frames = np.sqrt((samples.reshape(-1, 160) ** 2).mean(axis=1))
        assert 0.1 < 0.01 * (frames > 0.1 * frames.max()).sum() < 0.9  # seconds of speech
        assert frames.min() < 10 ** (-45 / 20)  # and of silence
        assert frames.min() > 0  # which is not digital


def test_takes_differ_in_length_a_little():
    """Also those of a voice that says a word twice in the same way."""
    speaker = synthesis.Speaker("00000000", "train", "klatt4", "en-us", pitch=50, rate=160, seed=1)
    takes = next(synthesis.speak_all([speaker], ["sheila"], 8, threads=1))
    lengths = {len(synthesis.trim(take.samples, 0.15)) for take in takes}
    assert len(lengths) > 4
    assert max(lengths) < 1.25 * min(lengths)


def test_same_seed_gives_the_same_bytes_whatever_the_threads(tmp_path):
    folders = [tmp_path / name for name in "abc"]
    small = {"speakers": {"train": 1, "validation": 1, "test": 1}, "words": ["yes", "marvin"]}
    first, again, other = (
        [path.read_bytes() for path in run(folder, threads=threads, seed=seed, **small)]
        for folder, threads, seed in zip(folders, (1, 2, 2), (4, 4, 5), strict=True)
    )
    assert first == again
    assert first[0] != other[0] and first[1] != other[1]


def test_a_speaker_does_not_depend_on_who_speaks_before():
    cast = synthesis.cast_speakers({"train": 3}, seed=1)
    alone = next(synthesis.speak_all(cast[2:], ["no"], 1, threads=1))
    third = list(synthesis.speak_all(cast, ["no"], 1, threads=1))[2]
    assert np.array_equal(alone[0].samples, third[0].samples)


def say_raw(seed):
    return synthesis.Espeak("en-us+f3", seed).say("no", pitch=50, rate=150).tobytes()


def test_the_seed_reaches_espeak():
    """A breathy voice breathes at random, whatever is drawn for gain, onset and noise."""
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        first, again, other = pool.map(say_raw, [1, 1, 2], chunksize=1)
    assert first == again != other


def test_speakers_are_spread_over_variants_and_accents():
    cast = synthesis.cast_speakers({"train": 60, "validation": 15, "test": 20}, seed=0)
    assert len({speaker.variant for speaker in cast}) == 95
    assert {speaker.accent for speaker in cast} == set(synthesis.ACCENTS)
    many = synthesis.cast_speakers({"train": 665}, seed=0)
    assert len({(speaker.variant, speaker.accent) for speaker in many}) == 665
    with pytest.raises(ValueError, match="666 asked for, at most 665"):
        synthesis.cast_speakers({"train": 666}, seed=0)


def test_pitch_and_rate_are_heard():
    low, high = (
        synthesis.Speaker("00000000", "train", "m1", "en-us", pitch, rate, seed=1)
        for pitch, rate in ((35, 185), (75, 140))
    )
    spoken = [
        synthesis.trim(takes[0].samples, 0.15)
        for takes in synthesis.speak_all([low, high], ["sheila"], 1, threads=1)
    ]
    assert len(spoken[1]) > 1.15 * len(spoken[0])
    assert 1.3 < fundamental(spoken[1]) / fundamental(spoken[0]) < 1.8


def fundamental(samples):
    """Fundamental frequency (Hz) at the loudest 50 ms, by autocorrelation."""
    samples = samples / 32768
    centre = np.convolve(samples**2, np.ones(800), "same").argmax()
    window = samples[max(0, centre - 400) : centre + 400]
    correlation = np.correlate(window, window, "full")[len(window) - 1 :]
    return 16_000 / (40 + correlation[40:270].argmax())


def test_trim_cuts_only_the_ends():
    samples = np.array([0, 0.001, 0.5, 0, -1, 0.02, 0.005])
    assert synthesis.trim(samples).tolist() == [0.5, 0, -1, 0.02]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"words": ["yes", "No"]}, "'No'"),
        ({"words": ["yes", "yes"]}, "twice"),
        ({"speakers": {"train": 1, "validation": 0, "test": 1}}, "at least one"),
        ({"speakers": {"train": 1, "test": 1}}, "validation"),
        ({"words": ["internationalisation"]}, "'internationalisation' takes 1."),
    ],
)
def test_bad_settings_are_named_and_leave_nothing_behind(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **changes)
    assert {path.name for path in tmp_path.iterdir()} == {"log.txt"}
