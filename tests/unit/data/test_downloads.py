"""Downloads: resumed, retried, checked, whole or not at all."""

import hashlib
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from email.utils import formatdate
from types import SimpleNamespace

import download_archive
import numpy as np
import pytest
from archive_server import Fault, serve
from convexprune.data import downloads, transfers
from convexprune.jobs import progress, web

CONTENT = np.random.default_rng(0).bytes(3_000_000)
OTHER = np.random.default_rng(1).bytes(len(CONTENT))
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OTHER_DIGEST = hashlib.sha256(OTHER).hexdigest()


@pytest.fixture
def server():
    with serve(CONTENT) as server:
        yield server


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """The waits between attempts, which are not waited for."""
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


def download(folder, source, sha256=None, size=None):
    path = folder / "a.tar.gz"
    download_archive.main(
        SimpleNamespace(
            output=SimpleNamespace(archive=path),
            params=SimpleNamespace(settings={"source": str(source), "sha256": sha256, "size": size}),
            log=[folder / "log"],
        )
    )
    return path


def files(folder):
    return {path.name for path in folder.iterdir()}


WHOLE = {"a.tar.gz", "a.tar.gz.sha256", "a.tar.gz.source", ".a.tar.gz.kept", "log"}
REJECTED = {"a.tar.gz.rejected", "a.tar.gz.rejected.sha256", "a.tar.gz.rejected.source"}


# What comes


def test_download_checks_size_and_sum_and_records_the_sum(tmp_path, server):
    path = download(tmp_path, server.url, DIGEST.upper(), len(CONTENT))
    assert path.read_bytes() == CONTENT
    assert (tmp_path / "a.tar.gz.sha256").read_text(encoding="utf-8") == f"{DIGEST}  a.tar.gz\n"
    assert (tmp_path / "a.tar.gz.source").read_text(encoding="utf-8") == f"{server.url}\n"
    assert files(tmp_path) == WHOLE
    assert server.requests[0]["User-Agent"].startswith("convexprune/")


@pytest.mark.parametrize("cut_at", [[], [1_000_000]])
def test_a_corrupted_archive_is_refused_with_its_name_and_both_sums(tmp_path, server, cut_at):
    server.content = OTHER
    server.faults += [Fault(cut=cut) for cut in cut_at]
    with pytest.raises(ValueError, match=rf"http.*a\.tar\.gz: .* {OTHER_DIGEST}, not {DIGEST} as the config"):
        download(tmp_path, server.url, DIGEST)
    assert files(tmp_path) == REJECTED | {"log"}


def test_a_rejected_archive_is_kept_and_not_fetched_again(tmp_path, server):
    told = (
        rf"{DIGEST}, not {'0' * 64} as the config.* kept as .*a\.tar\.gz\.rejected .*write sha256: {DIGEST}"
    )
    for _ in range(2):
        with pytest.raises(ValueError, match=told):
            download(tmp_path, server.url, "0" * 64)
        assert files(tmp_path) == REJECTED | {"log"}
    assert (tmp_path / "a.tar.gz.rejected").read_bytes() == CONTENT
    assert (tmp_path / "a.tar.gz.rejected.sha256").read_text(encoding="utf-8").startswith(DIGEST)
    assert download(tmp_path, server.url, DIGEST).read_bytes() == CONTENT  # the config is corrected
    assert len(server.requests) == 1
    assert files(tmp_path) == WHOLE


@pytest.mark.parametrize("remedy", ["another url", "deleted"])
def test_after_a_rejection_another_archive_can_be_had(tmp_path, server, remedy):
    server.content = OTHER
    with pytest.raises(ValueError, match="rejected"):
        download(tmp_path, server.url, DIGEST)
    server.content = CONTENT
    if remedy == "deleted":
        (tmp_path / "a.tar.gz.rejected").unlink()
    url = server.url + "?other" * (remedy == "another url")
    assert download(tmp_path, url, DIGEST).read_bytes() == CONTENT
    assert files(tmp_path) == WHOLE


def test_another_size_that_shows_at_the_end_is_a_rejection_too(tmp_path, server):
    """A server that tells no size, and says that there is nothing more."""
    server.faults += [Fault(chunked=True), Fault(), Fault(chunked=True)]
    for _ in range(2):
        with pytest.raises(ValueError, match=f"{len(CONTENT)} bytes, not {len(CONTENT) + 1} as the config"):
            download(tmp_path, server.url, size=len(CONTENT) + 1)
    assert len(server.requests) == 4
    assert files(tmp_path) == REJECTED | {"log"}


# Run again


def test_an_archive_that_is_deleted_is_taken_from_what_is_kept(tmp_path, server):
    download(tmp_path, server.url).unlink()
    path = download(tmp_path, server.url, size=len(CONTENT))
    assert path.read_bytes() == CONTENT
    assert path.samefile(tmp_path / ".a.tar.gz.kept")  # no second copy on the disk
    path.unlink()
    download(tmp_path, "http://elsewhere.invalid/", DIGEST)
    assert len(server.requests) == 1
    assert files(tmp_path) == WHOLE


def test_what_is_kept_serves_no_other_source_or_sum_and_not_when_damaged(tmp_path, server):
    path = download(tmp_path, server.url)
    path.unlink()
    download(tmp_path, server.url + "?other")
    assert len(server.requests) == 2
    path.write_bytes(OTHER)  # of both names
    path.unlink()
    assert download(tmp_path, server.url + "?other").read_bytes() == CONTENT
    assert len(server.requests) == 3
    path.unlink()
    (tmp_path / "a.tar.gz.sha256").unlink()  # to accept another one
    server.content, server.validators = OTHER, {"ETag": '"second"'}
    assert download(tmp_path, server.url + "?other").read_bytes() == OTHER


def test_without_hard_links_a_copy_is_kept(tmp_path, server, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(downloads.os, "link", refuse)
    download(tmp_path, server.url).unlink()
    assert download(tmp_path, server.url).read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_a_later_download_must_be_what_the_first_one_recorded(tmp_path, server):
    download(tmp_path, server.url).unlink()
    (tmp_path / ".a.tar.gz.kept").unlink()
    server.content, server.validators = OTHER, {"ETag": '"second"'}
    with pytest.raises(ValueError, match=rf"{OTHER_DIGEST}, not {DIGEST} as the record .*a\.tar\.gz\.sha256"):
        download(tmp_path, server.url)
    assert files(tmp_path) == REJECTED | {"a.tar.gz.sha256", "a.tar.gz.source", "log"}
    assert download(tmp_path, server.url, OTHER_DIGEST).read_bytes() == OTHER  # the config outranks it
    assert (tmp_path / "a.tar.gz.sha256").read_text(encoding="utf-8").startswith(OTHER_DIGEST)


def test_another_size_than_the_configs_is_refused_before_anything_comes(tmp_path, server):
    with pytest.raises(ValueError, match=f"the server has {len(CONTENT)} bytes, not 5 as the config says"):
        download(tmp_path, server.url, size=5)
    assert "a.tar.gz" not in files(tmp_path)


def test_more_than_the_size_is_not_taken(tmp_path, server):
    """A server that tells no size may send without end."""
    server.faults.append(Fault(chunked=True))
    with pytest.raises(ValueError, match="more than the 1000 bytes"):
        download(tmp_path, server.url, size=1000)
    assert (tmp_path / ".a.tar.gz.part").stat().st_size <= 1000 + (1 << 18)


# Cuts


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("validators", [{"ETag": '"v"'}, {"Last-Modified": formatdate(0, usegmt=True)}, {}])
def test_cut_ten_times_it_ends_byte_identical(tmp_path, server, waits, seed, validators):
    server.validators = validators
    draw = random.Random(seed)
    server.faults += [Fault(cut=draw.randrange(len(CONTENT) // 10)) for _ in range(10)]
    cuts = [fault.cut for fault in server.faults]
    assert download(tmp_path, server.url).read_bytes() == CONTENT
    assert server.sent == len(CONTENT)  # no byte twice
    starts = np.cumsum([0, *cuts])
    assert [request.get("Range") for request in server.requests] == [
        f"bytes={start}-" if start else None for start in starts
    ]
    assert {request.get("If-Range") for request in server.requests[1:]} <= {*validators.values(), None}
    assert len(waits) == 10 and max(waits) < 1  # each attempt brought something: no need to wait long
    assert files(tmp_path) == WHOLE


def test_a_cut_without_a_promised_length_is_noticed(tmp_path, server):
    server.faults += [Fault(cut=1_000_000, chunked=True), Fault(cut=500_000, chunked=True)]
    assert download(tmp_path, server.url).read_bytes() == CONTENT
    assert server.sent == len(CONTENT)


def test_a_server_without_ranges_sends_all_again(tmp_path, server):
    server.faults += [Fault(cut=1_000_000), Fault(ranges=False)]
    assert download(tmp_path, server.url).read_bytes() == CONTENT
    assert server.sent == len(CONTENT) + 1_000_000


@pytest.mark.parametrize("obeys", [True, False])
def test_a_file_that_changes_between_attempts_is_not_pieced_together(tmp_path, server, monkeypatch, obeys):
    """`obeys`: the server heeds If-Range and sends the whole; another sends the part, with its new ETag."""

    def change(_):
        server.content, server.validators = OTHER, {"ETag": '"second"'}

    monkeypatch.setattr(time, "sleep", change)
    if not obeys:
        monkeypatch.setattr(
            transfers, "ask_from", lambda have, validator, ask=transfers.ask_from: ask(have, None)
        )
    server.faults.append(Fault(cut=1_000_000))
    assert download(tmp_path, server.url).read_bytes() == OTHER
    assert [request["If-Range"] for request in server.requests if "If-Range" in request] == [
        '"first"'
    ] * obeys


def test_pieces_of_two_versions_that_no_header_tells_apart_are_noticed_by_the_sum(
    tmp_path, server, monkeypatch
):
    server.validators = {}
    monkeypatch.setattr(time, "sleep", lambda _: setattr(server, "content", OTHER))
    server.faults.append(Fault(cut=1_000_000))
    assert download(tmp_path, server.url, OTHER_DIGEST).read_bytes() == OTHER
    assert "once more from the start" in (tmp_path / "log").read_text(encoding="utf-8")


@pytest.mark.parametrize("length", [len(CONTENT) - 1000, len(CONTENT) + 1000])
def test_a_server_that_lies_about_the_size(tmp_path, server, length):
    server.faults.append(Fault(headers={"Content-Length": str(length)}))
    if length < len(CONTENT):
        with pytest.raises(ValueError, match=f"not {DIGEST}"):
            download(tmp_path, server.url, DIGEST)
    else:
        assert download(tmp_path, server.url, DIGEST).read_bytes() == CONTENT


def test_a_part_that_is_larger_than_the_file_is_begun_anew(tmp_path, server, monkeypatch):
    server.faults.append(Fault(cut=1_000_000))
    server.validators = {}
    monkeypatch.setattr(time, "sleep", lambda _: setattr(server, "content", CONTENT[:10_000]))
    assert download(tmp_path, server.url).read_bytes() == CONTENT[:10_000]


def test_another_part_than_asked_for_is_not_taken(tmp_path, server):
    server.faults += [Fault(cut=1_000_000), Fault(shift=5)]
    assert download(tmp_path, server.url).read_bytes() == CONTENT


# Killed and run again


KILLED = """
import sys
from convexprune.data import downloads
from convexprune.jobs import progress
downloads.fetch_archive(sys.argv[1], sys.argv[2], None, None)
"""


def test_a_killed_download_goes_on_where_it_was(tmp_path, server, root):
    path = tmp_path / "a.tar.gz"
    server.faults += [Fault(cut=900_000, headers={"Retry-After": "600"}), Fault(status=503)]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, path, server.url],
        env={"PYTHONPATH": str(root / "workflow/scripts")},
        stderr=subprocess.DEVNULL,
    )
    part = tmp_path / ".a.tar.gz.part"
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size == 900_000) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    with pytest.raises(ValueError, match="another process is downloading it"):
        download(tmp_path, server.url)
    process.send_signal(signal.SIGKILL)
    process.wait()
    server.faults.clear()
    assert download(tmp_path, server.url).read_bytes() == path.read_bytes() == CONTENT
    assert server.sent == len(CONTENT)


def test_a_part_of_another_url_is_not_gone_on_with(tmp_path, server, monkeypatch):
    monkeypatch.setattr(transfers, "ATTEMPTS", 1)
    server.faults += [Fault(cut=1_000_000), Fault(status=500)]
    with pytest.raises(ConnectionError):
        download(tmp_path, server.url)
    server.content = OTHER
    server.faults += [Fault(cut=1000)] * 5  # each of them brings something new of this one
    assert download(tmp_path, server.url + "?other").read_bytes() == OTHER


def test_the_archive_that_another_process_finished_meanwhile_is_left_alone(tmp_path, server, monkeypatch):
    """It ends just before we lock, so that its part is gone and the archive there."""
    hold = downloads.locks.hold

    def finish(path):
        monkeypatch.setattr(downloads.locks, "hold", hold)
        download(tmp_path, server.url)
        return hold(path)

    monkeypatch.setattr(downloads.locks, "hold", finish)
    assert download(tmp_path, server.url).read_bytes() == CONTENT
    assert len(server.requests) == 1
    assert files(tmp_path) == WHOLE


def test_killed_between_the_last_byte_and_the_new_name_nothing_comes_again(tmp_path, server, monkeypatch):
    with monkeypatch.context() as context:
        context.setattr(downloads.downloaded, "write_sum", None)
        with pytest.raises(TypeError):
            download(tmp_path, server.url)
    assert download(tmp_path, server.url).read_bytes() == CONTENT
    assert len(server.requests) == 1


# Failures


def test_passing_failures_are_waited_out_longer_each_time(tmp_path, server, waits):
    server.faults += [Fault(status=status) for status in (500, 502, 503, 504, 408, 429)]
    assert download(tmp_path, server.url).read_bytes() == CONTENT
    assert all(0.75 * 2**n <= wait <= 1.25 * 2**n for n, wait in enumerate(waits)) and len(waits) == 6
    assert "503" in (tmp_path / "log").read_text(encoding="utf-8")


def test_a_server_says_how_long_to_wait(tmp_path, server, waits):
    later = formatdate(time.time() + 50, usegmt=True)
    asked = ("40", later, "soon", "99999999")
    server.faults += [Fault(status=503, headers={"Retry-After": value}) for value in asked]
    assert download(tmp_path, server.url).read_bytes() == CONTENT
    assert waits[0] == 40 and 45 < waits[1] <= 50 and waits[2] < 6
    assert waits[3] == web.LONGEST_RETRY_AFTER


def test_it_gives_up_after_attempts_without_progress_and_keeps_what_came(tmp_path, server, monkeypatch):
    monkeypatch.setattr(transfers, "ATTEMPTS", 4)
    down = [Fault(status=500)] * 3
    server.faults += [*down, Fault(cut=1000), *down, Fault(cut=1000), *down, Fault(cut=0)]
    with pytest.raises(ConnectionError, match=r"nothing new in 4 attempts .*; 2000 bytes are kept"):
        download(tmp_path, server.url)
    assert len(server.requests) == 12
    assert (tmp_path / ".a.tar.gz.part").read_bytes() == CONTENT[:2000]
    assert "a.tar.gz" not in files(tmp_path)
    server.faults.clear()
    assert download(tmp_path, server.url).read_bytes() == CONTENT


def test_the_same_bytes_again_are_no_progress(tmp_path, server, monkeypatch):
    monkeypatch.setattr(transfers, "ATTEMPTS", 5)
    server.faults += [Fault(cut=1000, ranges=False), Fault(cut=500, ranges=False)] * 10
    with pytest.raises(ConnectionError):
        download(tmp_path, server.url)
    assert len(server.requests) == 6


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_not_asked_again(tmp_path, server, status):
    server.faults.append(Fault(status=status))
    with pytest.raises(ValueError, match=rf"{status}.*check the archive's url"):
        download(tmp_path, server.url)
    assert len(server.requests) == 1


def test_it_goes_where_the_server_sends_it(tmp_path, server):
    server.faults += [
        Fault(status=status, headers={"Location": "/b"}) for status in (301, 302, 303, 307, 308)
    ]
    server.faults += [Fault(cut=1_000_000), Fault(status=302, headers={"Location": "/b"})]
    assert download(tmp_path, server.url).read_bytes() == CONTENT
    assert [request["path"] for request in server.requests] == ["/a.tar.gz", *["/b"] * 5, "/a.tar.gz", "/b"]
    assert server.requests[-1]["Range"] == "bytes=1000000-"
    assert server.sent == len(CONTENT)


def test_a_server_that_sends_it_in_circles_is_left_alone(tmp_path, server):
    server.faults += [Fault(status=302, headers={"Location": "/a.tar.gz"})] * 30
    with pytest.raises(ValueError, match=r"redirects.*check the archive's url"):
        download(tmp_path, server.url)
    assert len(server.requests) == web.MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:port/a", "http://[::1/a", "ftp://127.0.0.1/a", "http:///a", "a"]
)
def test_an_address_that_is_none_is_not_tried_again(tmp_path, waits, url):
    with pytest.raises(ValueError, match="check the archive's url"):
        download(tmp_path, url)
    assert waits == []


def test_an_archive_is_kept_as_it_is_sent(tmp_path, server):
    """A server may call a tar.gz a tar, packed for the way; then it is not unpacked."""
    server.faults.append(Fault(headers={"Content-Encoding": "gzip"}))
    assert download(tmp_path, server.url, DIGEST).read_bytes() == CONTENT
    assert server.requests[0]["Accept-Encoding"] == "identity"


def test_nobody_listens(tmp_path, waits, monkeypatch):
    monkeypatch.setattr(transfers, "ATTEMPTS", 3)
    with serve(CONTENT) as server:
        url = server.url
    with pytest.raises(ConnectionError, match="refused"):
        download(tmp_path, url)
    assert len(waits) == 2


def test_a_host_that_cannot_be_found_is_soon_given_up_but_not_what_has_begun(
    tmp_path, server, waits, monkeypatch
):
    find, lost = socket.getaddrinfo, set(range(100))  # questions that are not answered

    def getaddrinfo(*args, **kwargs):
        asked.append(args)
        if len(asked) in lost:
            raise socket.gaierror(-2, "Name or service not known")
        return find(*args, **kwargs)

    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(ConnectionError, match=r"not known.*Without a network, .* its path, or a mirror"):
        download(tmp_path, server.url)
    assert sum(waits) < 60
    asked, lost = [], set(range(2, 12))
    server.faults.append(Fault(cut=1000))
    assert download(tmp_path, server.url).read_bytes() == CONTENT
    assert len(asked) == 12


def test_a_full_disk_is_no_network_failure(tmp_path, server):
    """Played by a limit of the size of files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(ValueError, match=r"is kept in .*a\.tar\.gz\.part: run again when its disk"):
            download(tmp_path, server.url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert download(tmp_path, server.url).read_bytes() == CONTENT
    assert server.requests[-1]["Range"] == "bytes=1000000-"


# Proxies


def test_the_proxy_of_the_environment_is_used(tmp_path, server, monkeypatch):
    """A proxy is asked for whole URLs: this one answers for a host that does not exist."""
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/a.tar.gz"))
    monkeypatch.setenv("no_proxy", "")
    server.faults.append(Fault(cut=1_000_000))
    assert download(tmp_path, "http://archives.invalid/a.tar.gz").read_bytes() == CONTENT
    assert [request["path"] for request in server.requests] == ["http://archives.invalid/a.tar.gz"] * 2


# Progress


def test_without_a_terminal_progress_is_told_in_lines(tmp_path, server, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0)
    download(tmp_path, server.url)
    lines = re.findall(r"progress: (a\.tar\.gz: .*)", (tmp_path / "log").read_text(encoding="utf-8"))
    assert lines and all(re.fullmatch(r".*: [\d.]+M? of 3\.00M, .*B/s, .* left", line) for line in lines)
