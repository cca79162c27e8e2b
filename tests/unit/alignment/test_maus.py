"""The client of WebMAUS against a stand-in that speaks the protocol, aligns for real, and fails."""

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import convexprune
import httpx2
import numpy as np
import pytest
import webmaus
from convexprune.alignment import answers, maus
from convexprune.alignment import shards as alignment
from convexprune.alignment.aligner import AlignmentError, Segment, UnansweredError
from convexprune.alignment.service import ServiceError, parse_answer
from convexprune.alignment.textgrids import read_phones_tier
from convexprune.data import corpus, synthesis
from convexprune.jobs import web

WORDS = ["yes", "no", "stop", "go", "left", "seven", "marvin", "follow", "tree", "down"]
N_WORDS = 500
FORK = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    """A corpus of 500 spoken words in validation, all different."""
    folder = tmp_path_factory.mktemp("corpus")
    files = SimpleNamespace(samples=folder / "c.h5", table=folder / "c.csv", fingerprint=folder / "c.sha256")
    cast = [
        synthesis.Speaker(str(number), "train", variant, "en-us", pitch=45, rate=150, seed=number)
        for number, variant in enumerate(["m1", "f2", "Reed", "linda", "max"], 1)
    ]
    with corpus.write_corpus(files.samples, files.table, files.fingerprint) as writer:
        for takes in synthesis.speak_all(cast, WORDS, 10, threads=1):
            for take in takes:
                name = f"{take.word}/{len(writer.rows)}.wav"
                loud = np.flatnonzero(abs(take.samples) > 1_000)  # the word, not the silence around it
                start, end = max(0, loud[0] - 1_600), loud[-1] + 1_600
                writer.add(name, take.word, "s", "validation", take.samples[start:end])
    assert len(writer.rows) == N_WORDS
    return files


@pytest.fixture(scope="module")
def service():
    server = webmaus.WebMaus().start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def heard(service, voices):
    """The stand-in has aligned the corpus before: what it does next does not wait for pocketsphinx."""
    for samples, word in recordings(voices):
        service.align(webmaus.name_recording(samples, word), samples, word)


@pytest.fixture
def server(service):
    """The stand-in without failures, counting from zero."""
    service.failures, service.latency, service.loads = 0, 0, []
    service.load_failures, service.outage = False, {}
    service.forget()
    return service


def recordings(voices):
    table = corpus.read_table(voices.table)
    with corpus.open_samples(voices.samples) as samples:
        return [(samples[row.offset : row.offset + row.n_samples], row.word) for row in table.itertuples()]


def make_aligner(server, store, **changes):
    options = {"max_requests": 2, "timeout": 5, "tries": 10, "first_wait": 0.01, "longest_wait": 0.05}
    options |= {"contact": "me@example.org", "url": server.url, "language": "eng-US", "store": store}
    options["load_seconds"] = 0
    return maus.MausAligner(**options | changes)


def align_shard(server, voices, folder, shard, shards, max_requests):
    """What a job does: the phones and failures of one shard, in `folder`."""
    service = {"contact": "me@example.org", "max_requests": max_requests, "timeout": 2, "load_seconds": 0}
    service |= {"url": server.url, "language": "eng-US", "first_wait": 0.01, "longest_wait": 0.05}
    phones, failures = alignment.align_shard(
        corpus.Corpus(Path(voices.samples)),
        "validation",
        alignment.make_aligner("maus", folder / "store", **service),
        store=folder / "store",
        shard=shard,
        shards=shards,
        threads=1,
    )
    phones.to_csv(folder / f"{shard}-of-{shards}.phones.csv", index=False)
    failures.to_csv(folder / f"{shard}-of-{shards}.failures.csv", index=False)


def start_jobs(*arguments, shards):
    jobs = [
        FORK.Process(target=align_shard, args=(*arguments[:3], shard, shards, arguments[3]), daemon=True)
        for shard in range(1, shards + 1)
    ]
    for job in jobs:
        job.start()
    return jobs


def finish(jobs):
    for job in jobs:
        job.join(300)
    assert [job.exitcode for job in jobs] == [0] * len(jobs)


def check_result(server, voices, folder, shards):
    """The phones of all shards are those that pocketsphinx told the stand-in, each once, in order."""
    numbers = range(1, shards + 1)
    phones, failures = alignment.merge_shards(
        [folder / f"{shard}-of-{shards}.phones.csv" for shard in numbers],
        [folder / f"{shard}-of-{shards}.failures.csv" for shard in numbers],
        voices.table,
        split="validation",
    )
    table = corpus.read_table(voices.table)
    expected = []
    for row, (samples, word) in zip(table.itertuples(), recordings(voices), strict=True):
        for line in server.answers[webmaus.name_recording(samples, word)].splitlines():
            name, start, _ = line.split()
            if name in webmaus.LABELS:
                expected.append((row.path, row.offset + int(start) * 160, webmaus.LABELS[name]))
    assert list(phones[["item", "start", "label"]].itertuples(index=False, name=None)) == expected
    assert len(failures) == 0


# Five hundred words through a service that fails


def failed_posts(server):
    return server.injected["POST"] + server.given_up["POST"]


def failed_gets(server):
    return server.injected["GET"] + server.given_up["GET"]


@pytest.mark.usefixtures("heard")
def test_a_fifth_of_requests_failing_loses_and_repeats_nothing(server, voices, tmp_path):
    server.failures, server.load_failures = 0.2, True
    finish(start_jobs(server, voices, tmp_path, 3, shards=4))
    check_result(server, voices, tmp_path, 4)
    assert server.kinds == {
        *(f"POST {kind}" for kind in webmaus.POST_FAILURES),
        *(f"GET {kind}" for kind in webmaus.GET_FAILURES),
        *(f"LOAD {kind}" for kind in webmaus.LOAD_FAILURES),
    }
    assert server.injected["POST"] > 0.15 * N_WORDS and server.injected["GET"] > 0.15 * N_WORDS
    assert 0 <= len(server.posts) - N_WORDS - failed_posts(server) <= failed_gets(server) // maus.LINK_TRIES
    assert sorted(Counter(server.delivered).values()) == [1] * N_WORDS
    assert server.asked_again == []
    assert server.max_in_flight == 3  # four jobs wanted more
    assert server.errors == []


@pytest.mark.usefixtures("heard")
def test_killed_three_times_it_goes_on_where_it_was(server, voices, tmp_path):
    server.failures = 0.1
    rng = random.Random(0)
    for _ in range(3):
        jobs = start_jobs(server, voices, tmp_path, 2, shards=2)
        target = len(server.posts) + rng.randint(30, 150)
        while len(server.posts) < target:
            time.sleep(0.001)
        for job in jobs:
            os.kill(job.pid, signal.SIGKILL)
            job.join()
        assert not list(tmp_path.glob("*.csv"))
    finish(start_jobs(server, voices, tmp_path, 2, shards=2))
    check_result(server, voices, tmp_path, 2)
    most = N_WORDS + 3 * 2 + failed_posts(server) + failed_gets(server) // maus.LINK_TRIES
    assert len(server.posts) <= most
    assert len(server.asked_again) <= 3 * 2  # answers that were on their way
    assert server.max_in_flight <= 2
    # Nothing is left to ask, whatever the number of shards.
    posts = len(server.posts)
    finish(start_jobs(server, voices, tmp_path, 2, shards=1))
    assert len(server.posts) == posts
    check_result(server, voices, tmp_path, 1)


def test_two_runs_at_once_ask_for_each_word_once(server, voices, tmp_path):
    """Such as the job of a workflow that was killed, and that of the next."""
    server.latency = 0.01
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a/store").mkdir()
    (tmp_path / "b/store").symlink_to(tmp_path / "a/store")
    jobs = [
        FORK.Process(target=align_shard, args=(server, voices, tmp_path / name, 1, 10, 2), daemon=True)
        for name in "ab"
    ]
    for job in jobs:
        job.start()
    finish(jobs)
    assert len(server.posts) == N_WORDS // 10
    assert (tmp_path / "a/1-of-10.phones.csv").read_text(encoding="utf-8") == (
        tmp_path / "b/1-of-10.phones.csv"
    ).read_text(encoding="utf-8")


# One recording


@pytest.fixture
def word(voices):
    return recordings(voices)[0]


def ask(aligner, store, word):
    return alignment.align(aligner, answers.Answers(store, aligner.identity), *word)


def test_the_service_learns_who_asks(server, word, tmp_path):
    ask(make_aligner(server, tmp_path), tmp_path, word)
    assert server.agents == {f"convexprune/{convexprune.__version__} (me@example.org)"}
    with pytest.raises(ValueError, match=r"terms of use .* maus.accept_terms: true .* maus.contact"):
        make_aligner(server, tmp_path, contact="")


def test_full_load_is_waited_for(server, word, tmp_path):
    server.loads = [2, 2, 2, 1]
    ask(make_aligner(server, tmp_path), tmp_path, word)
    assert server.loads == [1] and len(server.posts) == 1 and server.errors == []
    server.loads = [2]
    with pytest.raises(ServiceError, match=r"full load. What was aligned is kept"):
        make_aligner(server, tmp_path, patience=0.1).ask(*word, tmp_path / "request")
    assert len(server.posts) == 1


def test_a_service_that_is_down_is_waited_for(word, tmp_path):
    server = webmaus.WebMaus()
    server.server_close()
    with pytest.raises(ServiceError, match=r"Connection refused.*What was aligned is kept"):
        make_aligner(server, tmp_path, patience=0.1).ask(*word, tmp_path / "request")


def test_a_failure_that_does_not_pass_is_given_up_after_three_runs(server, word, tmp_path):
    server.outage = {"POST": 500}
    for run in range(1, 5):
        with pytest.raises(UnansweredError, match=r"WebMAUS: 3 tries, the last one: .*500"):
            ask(make_aligner(server, tmp_path, tries=3), tmp_path, word)
        assert len(server.posts) == 3 * min(run, 3)
    server.outage = {}
    (record,) = (tmp_path / "unanswered").iterdir()
    record.unlink()
    assert ask(make_aligner(server, tmp_path), tmp_path, word)


def test_a_recording_that_is_answered_in_a_later_run_has_no_record(server, word, tmp_path):
    server.outage = {"POST": 503}
    with pytest.raises(UnansweredError):
        ask(make_aligner(server, tmp_path, tries=2), tmp_path, word)
    server.outage = {}
    ask(make_aligner(server, tmp_path), tmp_path, word)
    assert list((tmp_path / "unanswered").iterdir()) == []


def test_an_outage_that_stops_the_job_poisons_nothing(server, tmp_path):
    """At a good load indicator every POST is answered with 503, in more runs than a recording is given."""
    rng = np.random.default_rng(0)
    words = [(rng.integers(-99, 99, 1_000 + number).astype(np.int16), "yes") for number in range(25)]
    server.outage = {"POST": 503}
    for _ in range(maus.MAX_RUNS + 1):
        aligner = make_aligner(server, tmp_path, tries=2, first_wait=0.001, longest_wait=0.001)
        for number, recording in enumerate(words[: maus.MAX_FAILURES_IN_A_ROW], 1):
            last = number == maus.MAX_FAILURES_IN_A_ROW
            with pytest.raises(
                ServiceError if last else UnansweredError,
                match="20 recordings in a row, .*503" if last else "2 tries, .*503",
            ):
                ask(aligner, tmp_path, recording)
        assert list((tmp_path / "unanswered").iterdir()) == []
    server.outage = {}
    server.align = lambda *_: webmaus.make_textgrid([("AA", 0.01, 0.02)], 1_000 / 16_000, "yes", "")
    try:
        aligner = make_aligner(server, tmp_path)
        assert all(ask(aligner, tmp_path, recording) for recording in words)
    finally:
        del server.align
    assert not (tmp_path / "failures").exists()


def test_a_refused_load_indicator_is_not_the_fault_of_a_recording(server, word, tmp_path):
    for status in (400, 404, 422):
        server.outage = {"LOAD": status}
        with pytest.raises(ServiceError, match=f"{status}.*check maus.url"):
            ask(make_aligner(server, tmp_path), tmp_path, word)
    assert server.posts == [] and not (tmp_path / "failures").exists()


def test_a_good_load_indicator_is_believed_for_a_while(server, word, tmp_path):
    aligner = make_aligner(server, tmp_path, load_seconds=60)
    for number in range(3):
        aligner.ask(*word, tmp_path / f"request{number}")
    assert server.load_calls == 1
    server.outage = {"POST": 500}
    with pytest.raises(UnansweredError):
        make_aligner(server, tmp_path, load_seconds=60, tries=3).ask(*word, tmp_path / "another")
    assert server.load_calls == 1 + 3


def test_a_link_that_keeps_failing_is_given_up(server, word, tmp_path):
    server.outage = {"GET": 503}
    with pytest.raises(UnansweredError):
        ask(make_aligner(server, tmp_path, tries=7), tmp_path, word)
    assert (len(server.posts), len(server.gets)) == (3, 7)  # a POST for every three GETs


def test_a_fault_of_the_input_is_not_tried_again(server, tmp_path):
    aligner = make_aligner(server, tmp_path)
    short = (np.ones(1_000, np.int16), "yes")
    for _ in range(2):
        with pytest.raises(AlignmentError, match="WebMAUS: ERROR: the signal is too short"):
            ask(aligner, tmp_path, short)
    assert len(server.posts) == 1


def test_a_service_that_aligns_nothing_is_left_alone(server, tmp_path):
    aligner = make_aligner(server, tmp_path)
    for length in range(1_000, 1_019):
        with pytest.raises(AlignmentError):
            ask(aligner, tmp_path, (np.ones(length, np.int16), "yes"))
    with pytest.raises(ServiceError, match=r"no alignment of 20 recordings in a row.*too short"):
        ask(aligner, tmp_path, (np.ones(1_019, np.int16), "yes"))


def test_an_interrupted_download_needs_no_second_upload(server, word, tmp_path):
    aligner = make_aligner(server, tmp_path)
    request = tmp_path / "request"
    link = aligner._submit(*word, request)
    assert maus.read_link(request) == link
    first = aligner.ask(*word, request)
    assert len(server.posts) == 1
    # A link that is too old, or gone, is not followed, or forgotten.
    request.write_text(f"{time.time() - 24 * 3600:.0f} {link}", encoding="utf-8")
    assert aligner.ask(*word, request) == first
    assert len(server.posts) == 2
    request.write_text(f"{time.time():.0f} {server.url}/results/gone.TextGrid", encoding="utf-8")
    assert aligner.ask(*word, request) == first
    assert len(server.posts) == 3


class Slow(httpx2.SyncByteStream):
    """An answer that comes in blocks, each after some seconds."""

    def __init__(self, *blocks, seconds):
        self.blocks, self.seconds = blocks, seconds

    def __iter__(self):
        for block in self.blocks:
            time.sleep(self.seconds)
            yield block


def answering(aligner, **answer):
    """The aligner, with a service that answers so."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(**{"status_code": 200} | answer))
    aligner.client = httpx2.Client(transport=transport)
    return aligner


def test_a_byte_now_and_then_is_no_answer(server, tmp_path):
    aligner = make_aligner(server, tmp_path, timeout=0.1)
    with pytest.raises(web.PassingError, match="took too long"):
        answering(aligner, stream=Slow(*[b"x"] * 1_000, seconds=0.01)).call("http://x")


def test_an_answer_that_is_whole_is_kept_however_late_it_is(server, tmp_path):
    """A machine that stood still for a while has it asked for once, not twice."""
    aligner = make_aligner(server, tmp_path, timeout=0.01)
    assert answering(aligner, stream=Slow(b"whole", seconds=0.05)).call("http://x") == "whole"


@pytest.mark.parametrize(
    ("content", "reason"), [(b"x" * 1_000_001, "longer than 1000000 bytes"), (b"\xff", "invalid start byte")]
)
def test_answers_that_are_no_text_or_without_end(server, tmp_path, content, reason):
    with pytest.raises(web.PassingError, match=reason):
        answering(make_aligner(server, tmp_path), stream=Slow(content, seconds=0)).call("http://x")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, web.PassingError), (503, web.PassingError), (429, web.PassingError), (408, web.PassingError)]
    + [(status, ServiceError) for status in (302, 401, 403, 404)]
    + [(status, AlignmentError) for status in (400, 413, 415, 422)],
)
def test_what_an_http_status_means(server, tmp_path, status, kind):
    aligner = answering(make_aligner(server, tmp_path), status_code=status, headers={"Retry-After": "7"})
    with pytest.raises(kind, match=str(status)) as caught:
        aligner.call("http://x")
    assert type(caught.value) is kind
    assert getattr(caught.value, "wait", 7) == 7


def test_a_service_that_moved_gets_no_recording_but_is_asked_there_for_its_load(server, tmp_path):
    asked = []

    def answer(request):
        asked.append((request.method, request.url.host))
        if request.url.host == "new":
            return httpx2.Response(200, stream=Slow(b"0", seconds=0))
        return httpx2.Response(301, headers={"Location": str(request.url.copy_with(host="new"))})

    aligner = make_aligner(server, tmp_path, url="http://old")
    aligner.client = httpx2.Client(transport=httpx2.MockTransport(answer))
    aligner.check_load()
    with pytest.raises(ServiceError, match=r"301.*check maus.url"):
        aligner.submit(np.zeros(9, np.int16), "yes", "name")
    assert asked == [("GET", "old"), ("GET", "new"), ("POST", "old")]


BOMB = '<!DOCTYPE W [<!ENTITY a0 "lol">{}]><W><success>&a9;</success></W>'.format(
    "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
)


@pytest.mark.parametrize(
    "answer",
    [
        BOMB,
        '<?xml version="1.0"?>\n' + BOMB,
        '<!DOCTYPE W [<!ENTITY x SYSTEM "file:///etc/passwd">]><W>&x;</W>',
    ],
)
def test_an_answer_that_would_expand_is_not_read(answer):
    with pytest.raises(web.PassingError, match="no plain XML"):
        parse_answer(answer)


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        ("", web.PassingError, "no XML"),
        ("<html><body>Bad gateway</body></html>", web.PassingError, "no success"),
        ("true file:///etc/passwd", web.PassingError, "success without a link"),
        ("true ", web.PassingError, "success without a link"),
        ("false  out of memory", web.PassingError, "no success: out of memory"),
        ("false  sampling rate of 8 kHz", AlignmentError, "sampling rate of 8"),
    ],
)
def test_answers_without_a_link(answer, kind, reason):
    if answer.startswith(("true", "false")):
        success, link, output = [*answer.split(" ", 2), ""][:3]
        answer = webmaus.ENVELOPE.format(success=success, link=link, output=output)
    with pytest.raises(kind, match=reason):
        parse_answer(answer)


@pytest.mark.parametrize("contact", ["Jos\u00e9 <me@example.org>", "me@example.org\n", "a\nb@c", "me"])
def test_a_contact_that_is_no_header_is_refused(contact, tmp_path):
    with pytest.raises(ValueError, match=r"maus.contact: .* must be an e-mail address"):
        make_aligner(SimpleNamespace(url="http://x"), tmp_path, contact=contact)


# TextGrids

PHONES = [("SIL", 0.0, 0.1), ("HH", 0.1, 0.2), ("AA", 0.3, 0.25), ("R", 0.6, 0.1)]


@pytest.mark.parametrize("suffix", ["", "-MAU"])
def test_both_namings_of_the_tiers(suffix):
    text = webmaus.make_textgrid(PHONES, 1.0, "har", suffix)
    assert f'"KAN{suffix}"' in text
    assert read_phones_tier(text, 1.0) == [(0.1, 0.3, "h"), (0.3, 0.55, "Q"), (0.6, 0.7, "R")]


def test_symbols_are_kept_and_noise_is_dropped():
    text = webmaus.make_textgrid(PHONES, 1.0, "har", "")
    real = ["h\\", "n=", "l=", "m=", "3`", "{", "@U", "R", "r", "@", "6", "u", "?", "4", "I@"]
    for label in real:
        assert read_phones_tier(text.replace('"h"', f'"{label}"'), 1.0)[0][2] == label
    for noise in ("", "<p:>", "<usb>", "<nib>", " "):
        assert len(read_phones_tier(text.replace('"h"', f'"{noise}"'), 1.0)) == 2


def test_a_textgrid_cut_anywhere_is_broken():
    text = webmaus.make_textgrid(PHONES, 1.0, "har", "")
    for cut in range(0, len(text) - 2, 5):
        with pytest.raises(AlignmentError, match=r"broken|no tier|gaps"):
            read_phones_tier(text[:cut], 1.0)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"MAU"', '"PHONES"', "no tier MAU, only ORT, KAN, PHONES"),
        ("xmax = 0.300000", "xmax = 0.280000", "gaps"),
        ("0.300000", "0.050000", "broken"),
    ],
)
def test_broken_textgrids_are_refused(old, new, reason):
    text = webmaus.make_textgrid(PHONES, 1.0, "har", "")
    assert old in text
    with pytest.raises(AlignmentError, match=reason):
        read_phones_tier(text.replace(old, new), 1.0)


def test_rounded_times_are_no_fault():
    text = webmaus.make_textgrid(PHONES, 1.0004375, "har", "")
    assert "xmax = 1.0004375" in text and "xmax = 1.000438" in text
    assert len(read_phones_tier(text, 1.0004375)) == 3


def test_a_phone_behind_the_end_is_dropped(tmp_path):
    """The TextGrid may be a little longer than the recording."""
    aligner = make_aligner(SimpleNamespace(url="http://x"), tmp_path)
    text = webmaus.make_textgrid([("AA", 0.3, 0.7), ("R", 1.0, 0.015)], 1.015, "har", "")
    assert aligner.parse(text, np.zeros(16_000)) == [Segment("Q", 4_800, 16_000)]
    text = webmaus.make_textgrid([("R", 1.0, 0.015)], 1.015, "har", "")
    with pytest.raises(AlignmentError, match="behind the end"):
        aligner.parse(text, np.zeros(16_000))


def test_textgrids_without_phones_or_of_another_recording_are_refused():
    with pytest.raises(AlignmentError, match="no phones"):
        read_phones_tier(webmaus.make_textgrid([], 1.0, "har", ""), 1.0)
    with pytest.raises(AlignmentError, match="of another one"):
        read_phones_tier(webmaus.make_textgrid(PHONES, 1.0, "har", ""), 0.65)


# What is kept


def test_answers_are_named_by_all_they_depend_on(tmp_path):
    samples = np.arange(100, dtype=np.int16)
    store = answers.Answers(tmp_path, {"aligner": "a"})
    keys = {
        store.key(samples, "yes"),
        store.key(samples, "no"),
        store.key(samples + 1, "yes"),
        answers.Answers(tmp_path, {"aligner": "b"}).key(samples, "yes"),
    }
    assert len(keys) == 4
    assert store.key(samples.copy(), "yes") in keys


def test_a_kept_answer_leaves_nothing_else_behind(server, word, tmp_path):
    ask(make_aligner(server, tmp_path), tmp_path, word)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(path.parent.parent.name for path in files if path.parent != tmp_path) == ["answers"]
    assert sorted(path.name for path in files if path.parent == tmp_path) == ["slot-0"]
