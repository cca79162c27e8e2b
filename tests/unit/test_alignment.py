"""Forced alignment against the times at which espeak-ng says it spoke each phone."""

import ctypes
import itertools
import multiprocessing
from types import SimpleNamespace

import align_shard
import merge_alignments
import numpy as np
import pandas as pd
import pytest
from convexprune import alignment, corpus, progress, synthesis
from scipy.signal import resample_poly

VARIANTS = ["m1", "f2", "Reed", "linda", "klatt4", "max"]
WORDS = ["yes", "left", "stop", "seven", "marvin", "follow"]


class Event(ctypes.Structure):
    """espeak_EVENT of espeak-ng's speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("string", ctypes.c_char * 8),
    )


class TimedEspeak(synthesis.Espeak):
    """espeak-ng that remembers where each phone of a word begins, in samples at 16 kHz."""

    def receive(self, wave, count, events):
        phoneme, end = 7, 0
        event = ctypes.cast(events, ctypes.POINTER(Event))
        index = 0
        while event[index].type != end:
            if event[index].type == phoneme and not event[index].string.startswith(b"_"):  # not a pause
                self.starts.append(event[index].sample * 320 / 441)
            index += 1
        return super().receive(wave, count, events)

    def time(self, word):
        self.starts = []
        spoken = resample_poly(self.say(word, pitch=50, rate=150).astype(float), 320, 441)
        return spoken, self.starts


def speak(variant):
    """[(word, clip, start of each phone)] in one voice: each word after 0.3 s, in noise at -60 dB."""
    espeak = TimedEspeak(f"en-us+{variant}", seed=1)
    rng = np.random.default_rng(0)
    result = []
    for word in WORDS:
        spoken, starts = espeak.time(word)
        clip = rng.normal(0, 30, 16_000)
        clip[4_800 : 4_800 + len(spoken)] += spoken[:11_200]
        result.append((word, clip.clip(-32768, 32767).astype(np.int16), [4_800 + start for start in starts]))
    return result


@pytest.fixture(scope="module")
def spoken():
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        return [item for items in pool.map(speak, VARIANTS, chunksize=1) for item in items]


@pytest.fixture(scope="module")
def aligner():
    return alignment.PocketsphinxAligner()


def segments_of(aligner, clip, word):
    return aligner.parse(aligner.ask(clip, word), clip)


@pytest.fixture(scope="module")
def aligned(spoken, aligner):
    """The segments of each of `spoken`."""
    return [segments_of(aligner, clip, word) for word, clip, _ in spoken]


def test_boundaries_lie_where_espeak_put_them(spoken, aligned):
    errors = []
    for (_, _, starts), segments in zip(spoken, aligned, strict=True):
        if len(segments) == len(starts):  # else the two dictionaries pronounce the word differently
            errors += [segment.start - start for segment, start in zip(segments, starts, strict=True)][1:]
    errors = np.array(errors) / 16  # milliseconds
    assert len(errors) > 80
    assert np.median(np.abs(errors)) < 18
    assert np.mean(np.abs(errors) < 50) > 0.9
    assert np.median(np.abs(errors)) < np.median(np.abs(errors - 8))  # were frames counted from their start


def test_phones_are_in_x_sampa_and_in_order(spoken, aligned):
    phones = {
        "yes": "j E s",
        "left": "l E f t",
        "stop": "s t Q p",
        "seven": "s E v V n",
        "marvin": "m Q r v I n",
        "follow": "f Q l oU",
    }
    for (word, clip, _), segments in zip(spoken, aligned, strict=True):
        assert " ".join(segment.label for segment in segments) == phones[word]
        bounds = [bound for segment in segments for bound in (segment.start, segment.end)]
        assert bounds == sorted(bounds) and bounds[0] >= 0 and bounds[-1] <= len(clip)
        assert all(segment.end - segment.start >= 160 for segment in segments)


def test_an_alignment_does_not_depend_on_what_came_before(spoken, aligned, aligner):
    backwards = [segments_of(aligner, clip, word) for word, clip, _ in reversed(spoken[:18])]
    assert backwards[::-1] == aligned[:18]
    word, clip, _ = spoken[5]
    assert segments_of(alignment.PocketsphinxAligner(), clip, word) == aligned[5]


def test_difficult_voices_are_aligned_too(aligner):
    """With pocketsphinx' default beams some of these fail, or come back empty."""
    voices = [("grandpa", "en-gb-scotland"), ("Annie", "en-gb-x-gbcwmd"), ("kaukovalta", "en-gb-x-rp")]
    cast = [
        synthesis.Speaker("00000000", "train", variant, accent, pitch=55, rate=160, seed=1)
        for variant, accent in voices
    ]
    for takes in synthesis.speak_all(cast, ["nine", "down", "eight", "tree"], 2, threads=1):
        for take in takes:
            phones = set(aligner.ask(take.samples, take.word).split()[::3]) - {"SIL"}
            assert phones == {"nine": {"N", "AY"}, "down": {"D", "AW", "N"}, "eight": {"EY", "T"}}.get(
                take.word, {"T", "R", "IY"}
            )


def test_recordings_shorter_than_a_word_fail(aligner):
    with pytest.raises(alignment.AlignmentError, match="pocketsphinx"):
        aligner.ask(np.ones(1_000, np.int16), "yes")


@pytest.mark.parametrize("kind", ["white", "pink", "silence"])
def test_what_is_no_speech_is_implausible(aligner, kind):
    rng = np.random.default_rng(0)
    for word in ("yes", "up", "marvin", "go", "left"):
        clip = (
            np.zeros(16_000, np.int16)
            if kind == "silence"
            else synthesis.make_noise(kind, 1, rng) // (10 if word == "up" else 1)
        )
        with pytest.raises(alignment.AlignmentError):
            segments_of(aligner, clip, word)


def loud_between(start, end):
    """A clip that is quiet but between two samples."""
    clip = np.full(16_000, 100, np.int16)
    clip[start:end] = 5_000
    return clip


def phones(*bounds):
    return [alignment.Segment("a", start, end) for start, end in itertools.pairwise(bounds)]


@pytest.mark.parametrize(
    ("segments", "clip", "reason"),
    [
        (phones(4_000, 6_000, 9_000), loud_between(4_000, 9_000), None),
        (phones(4_000, 4_480, 4_960, 9_000), loud_between(4_000, 9_000), None),
        (phones(4_000, 4_480, 4_960, 5_440, 9_000), loud_between(4_000, 9_000), "squeezed"),
        (phones(4_000, 12_000), loud_between(4_000, 12_000), None),
        (phones(4_000, 12_160), loud_between(4_000, 12_160), "longer than half a second"),
        (phones(4_000, 6_000, 9_000), loud_between(10_000, 13_000), "no louder"),
        (phones(4_000, 6_000, 9_000), loud_between(0, 0), "no louder"),
        (phones(0, 6_000, 9_000), loud_between(0, 0)[:10_000], None),  # cut close around the word
        ([], loud_between(0, 0), "no phones"),
    ],
)
def test_limits_of_the_plausible(segments, clip, reason):
    if reason is None:
        alignment.check_plausible(segments, clip)
    else:
        with pytest.raises(alignment.AlignmentError, match=reason):
            alignment.check_plausible(segments, clip)


# A corpus


@pytest.fixture(scope="module")
def voices(spoken, tmp_path_factory):
    """A corpus of the first two voices in validation, with a clip of noise, silence, and another split."""
    folder = tmp_path_factory.mktemp("corpus")
    output = SimpleNamespace(samples=folder / "c.h5", table=folder / "c.csv", fingerprint=folder / "c.sha256")
    with corpus.write_corpus(output.samples, output.table, output.fingerprint) as writer:
        writer.add("s.wav", "_silence_", "", "validation", np.zeros(16_000, np.int16))
        for number, (word, clip, _) in enumerate(spoken[:12]):
            writer.add(f"{number}.wav", word, "007", "validation", clip[: 15_000 + number])
        writer.add(
            "noise.wav", "yes", "b", "validation", synthesis.make_noise("white", 1, np.random.default_rng(0))
        )
        writer.add("other.wav", "xyzzy", "c", "train", spoken[0][1])
    return output


def align(folder, voices, threads=1, shards=1, max_failed_share=0.1, **changes):
    """Run the scripts of all shards and of the merge, the shards in reverse order."""
    settings = {"aligner": "pocketsphinx", "split": "validation"} | changes
    log = [folder / "log"]
    parts = []
    for shard in range(shards, 0, -1):
        name = f"{shard}-of-{shards}"
        parts.append(SimpleNamespace(phones=folder / f"{name}.phones.csv", failures=folder / f"{name}.csv"))
        align_shard.main(
            SimpleNamespace(
                input=voices,
                output=parts[-1],
                wildcards=SimpleNamespace(shard=str(shard), shards=str(shards)),
                resources=SimpleNamespace(store=folder / "store", contact="", max_requests=1, timeout=1),
                params=SimpleNamespace(settings=settings),
                threads=threads,
                log=log,
            )
        )
    output = SimpleNamespace(phones=folder / "phones.csv", failures=folder / "failures.csv")
    merge_alignments.main(
        SimpleNamespace(
            input=SimpleNamespace(
                phones=[part.phones for part in parts],
                failures=[part.failures for part in parts],
                table=voices.table,
            ),
            output=output,
            params=SimpleNamespace(
                settings={"split": settings["split"], "max_failed_share": max_failed_share}
            ),
            log=log,
        )
    )
    return output


def test_a_split_is_aligned_in_the_order_of_the_corpus(
    tmp_path, voices, spoken, aligner, monkeypatch, capsys
):
    monkeypatch.setattr(progress, "EVERY", 0)
    output = align(tmp_path, voices)
    assert "progress: align 1 of 1: 0 of 13, " in capsys.readouterr().err
    table = corpus.read_table(voices.table).set_index("path")
    expected = []
    for number, (word, clip, _) in enumerate(spoken[:12]):
        item = f"{number}.wav"
        row = table.loc[item]
        for segment in segments_of(aligner, clip[: row.n_samples], word):
            span = (row.offset + segment.start, row.offset + segment.end)
            assert span[1] <= row.offset + row.n_samples
            expected.append((item, *span, segment.label, "007", "validation"))
    found = pd.read_csv(output.phones, dtype={"speaker": str}, keep_default_na=False)
    assert found.columns.tolist() == corpus.ITEM_COLUMNS
    assert list(found.itertuples(index=False, name=None)) == expected
    assert output.failures.read_text().splitlines()[0] == "item,word,reason"
    assert [line.split(",")[:2] for line in output.failures.read_text().splitlines()[1:]] == [
        ["noise.wav", "yes"]
    ]


def test_threads_and_shards_change_nothing(tmp_path, voices):
    results = []
    for threads, shards in ((1, 1), (2, 1), (1, 3)):
        folder = tmp_path / f"{threads}-{shards}"
        folder.mkdir()
        output = align(folder, voices, threads=threads, shards=shards)
        results.append((output.phones.read_bytes(), output.failures.read_bytes()))
    assert results[0] == results[1] == results[2]


def test_another_number_of_shards_aligns_nothing_again(tmp_path, voices, monkeypatch):
    first = align(tmp_path, voices, shards=2).phones.read_bytes()
    monkeypatch.setattr(
        alignment.PocketsphinxAligner, "ask", lambda *_: pytest.fail("asked for what was answered")
    )
    assert align(tmp_path, voices, shards=3).phones.read_bytes() == first


def test_shards_of_another_corpus_are_refused(tmp_path, voices):
    align(tmp_path, voices, shards=2)
    shards = [tmp_path / "1-of-2.phones.csv", tmp_path / "2-of-2.phones.csv"]
    failures = [tmp_path / "1-of-2.csv", tmp_path / "2-of-2.csv"]
    for lost_or_twice in (shards[:1], [*shards, shards[0]]):
        with pytest.raises(ValueError, match="shards are those of another corpus"):
            alignment.merge_shards(
                lost_or_twice, failures, voices.table, split="validation", max_failed_share=1
            )


def test_too_many_failures_are_fatal(tmp_path, voices):
    with pytest.raises(ValueError, match=r"1 of 13 .* more than max_failed_share = 0.05.* noise.wav"):
        align(tmp_path, voices, max_failed_share=0.05)


def test_words_that_are_not_in_the_dictionary_are_all_named(tmp_path, voices):
    table = corpus.read_table(voices.table)
    table.loc[table["path"] == "3.wav", "word"] = "qwertz"
    table.loc[table["path"] == "4.wav", "word"] = "xyzzy"
    table.to_csv(tmp_path / "c.csv", index=False)
    files = SimpleNamespace(samples=voices.samples, table=tmp_path / "c.csv", fingerprint=voices.fingerprint)
    with pytest.raises(ValueError, match="alignment: qwertz, xyzzy: not in the aligner's dictionary"):
        align(tmp_path, files)


def test_settings_that_name_nothing_are_refused(tmp_path, voices):
    with pytest.raises(ValueError, match="aligner 'mfa' is neither maus nor pocketsphinx"):
        align(tmp_path, voices, aligner="mfa")
    with pytest.raises(ValueError, match="no recordings in the test split"):
        align(tmp_path, voices, split="test")


def test_the_dictionarys_phones_are_all_mapped_to_symbols_of_maus():
    """X-SAMPA symbols seen in MAUS' English alignments."""
    seen = (
        "V n I t d s D R r i: l E m z h u: w 3` k v f { eI b Q O: aI p @U oU j g N aU dZ T S ? tS U h\\ 6 u "
        "4 @ OI l= Z m= I@ n="
    )
    assert set(alignment.ARPABET_TO_XSAMPA.values()) <= set(seen.split())
    assert len(set(alignment.ARPABET_TO_XSAMPA.values())) == len(alignment.ARPABET_TO_XSAMPA) == 39
    from pocketsphinx import get_model_path

    with open(f"{get_model_path()}/en-us/cmudict-en-us.dict") as file:
        assert {phone for line in file for phone in line.split()[1:]} == set(alignment.ARPABET_TO_XSAMPA)
