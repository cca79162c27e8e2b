"""Forced alignment against the times at which espeak-ng says it spoke each phone."""

import itertools
import sys

import numpy as np
import pytest
import webmaus
from convexprune.alignment.aligner import AlignmentError, Segment
from convexprune.alignment.pocketsphinx import ARPABET_TO_XSAMPA, PocketsphinxAligner, check_plausible
from convexprune.data import synthesis


def segments_of(pocketsphinx, clip, word):
    return pocketsphinx.parse(pocketsphinx.ask(clip, word), clip)


@pytest.fixture(scope="module")
def aligned(spoken, pocketsphinx):
    """The segments of each of `spoken`."""
    return [segments_of(pocketsphinx, clip, word) for word, clip, _ in spoken]


def test_a_missing_aligner_is_named_with_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(ValueError, match=r"is not installed: run `pip install pocketsphinx` .*maus"):
        PocketsphinxAligner()


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
        "marvin": "m Q R v I n",
        "follow": "f Q l @U",
    }
    for (word, clip, _), segments in zip(spoken, aligned, strict=True):
        assert " ".join(segment.label for segment in segments) == phones[word]
        bounds = [bound for segment in segments for bound in (segment.start, segment.end)]
        assert bounds == sorted(bounds) and bounds[0] >= 0 and bounds[-1] <= len(clip)
        assert all(segment.end - segment.start >= 160 for segment in segments)


def test_an_alignment_does_not_depend_on_what_came_before(spoken, aligned, pocketsphinx):
    backwards = [segments_of(pocketsphinx, clip, word) for word, clip, _ in reversed(spoken[:18])]
    assert backwards[::-1] == aligned[:18]
    word, clip, _ = spoken[5]
    assert segments_of(PocketsphinxAligner(), clip, word) == aligned[5]


def test_difficult_voices_are_aligned_too(pocketsphinx):
    """With pocketsphinx' default beams some of these fail, or come back empty."""
    voices = [("grandpa", "en-gb-scotland"), ("Annie", "en-gb-x-gbcwmd"), ("kaukovalta", "en-gb-x-rp")]
    cast = [
        synthesis.Speaker("00000000", "train", variant, accent, pitch=55, rate=160, seed=1)
        for variant, accent in voices
    ]
    for takes in synthesis.speak_all(cast, ["nine", "down", "eight", "tree"], 2, threads=1):
        for take in takes:
            phones = set(pocketsphinx.ask(take.samples, take.word).split()[::3]) - {"SIL"}
            assert phones == {"nine": {"N", "AY"}, "down": {"D", "AW", "N"}, "eight": {"EY", "T"}}.get(
                take.word, {"T", "R", "IY"}
            )


def test_recordings_shorter_than_a_word_fail(pocketsphinx):
    with pytest.raises(AlignmentError, match="pocketsphinx"):
        pocketsphinx.ask(np.ones(1_000, np.int16), "yes")


@pytest.mark.parametrize("kind", ["white", "pink", "silence"])
def test_what_is_no_speech_is_implausible(pocketsphinx, kind):
    rng = np.random.default_rng(0)
    for word in ("yes", "up", "marvin", "go", "left"):
        clip = (
            np.zeros(16_000, np.int16)
            if kind == "silence"
            else synthesis.make_noise(kind, 1, rng) // (10 if word == "up" else 1)
        )
        with pytest.raises(AlignmentError):
            segments_of(pocketsphinx, clip, word)


def loud_between(start, end):
    """A clip that is quiet but between two samples."""
    clip = np.full(16_000, 100, np.int16)
    clip[start:end] = 5_000
    return clip


def phones(*bounds):
    return [Segment("a", start, end) for start, end in itertools.pairwise(bounds)]


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
        check_plausible(segments, clip)
    else:
        with pytest.raises(AlignmentError, match=reason):
            check_plausible(segments, clip)


def test_the_dictionarys_phones_have_the_names_that_maus_gives_them():
    """Of 5,666 phones in its TextGrids of English 81 were @U and 158 R, none oU and one r."""
    assert webmaus.LABELS == ARPABET_TO_XSAMPA
    assert len(set(webmaus.LABELS.values())) == len(webmaus.LABELS) == 39
    assert webmaus.LABELS["OW"] == "@U" and webmaus.LABELS["R"] == "R"
    from pocketsphinx import get_model_path

    with open(f"{get_model_path()}/en-us/cmudict-en-us.dict", encoding="utf-8") as file:
        assert {phone for line in file for phone in line.split()[1:]} == set(webmaus.LABELS)
