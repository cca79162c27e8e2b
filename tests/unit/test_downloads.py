"""Downloads: checked, retried, whole or not at all."""

import hashlib
import http.server
import threading
from types import SimpleNamespace

import download_archive
import pytest
from convexprune import downloads


@pytest.fixture
def server():
    """A web server on this machine: `replies` are given in turn as (status, promised length, content)."""
    replies, requests = [], []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            status, length, content = replies.pop(0)
            self.send_response(status)
            if length is not None:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    httpd = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield SimpleNamespace(
        url=f"http://127.0.0.1:{httpd.server_port}/a.tar.gz", replies=replies, requests=requests
    )
    httpd.shutdown()
    thread.join()
    httpd.server_close()


CONTENT = bytes(range(256)) * 10_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def download(folder, url, sha256):
    path = folder / "a.tar.gz"
    download_archive.main(
        SimpleNamespace(
            output=SimpleNamespace(archive=path),
            params=SimpleNamespace(settings={"url": url, "sha256": sha256}),
            log=[folder / "log"],
        )
    )
    return path


@pytest.fixture
def no_waiting(monkeypatch):
    monkeypatch.setattr(downloads, "WAITS", (0, 0))


def test_download_checks_the_sum(tmp_path, server):
    server.replies.append((200, len(CONTENT), CONTENT))
    assert download(tmp_path, server.url, DIGEST.upper()).read_bytes() == CONTENT
    assert not (tmp_path / "a.tar.gz.sha256").exists()


def test_download_records_the_sum_where_none_is_given(tmp_path, server):
    server.replies.append((200, None, CONTENT))
    assert download(tmp_path, server.url, None).read_bytes() == CONTENT
    assert (tmp_path / "a.tar.gz.sha256").read_text() == f"{DIGEST}  a.tar.gz\n"


def test_download_with_another_sum_is_refused(tmp_path, server):
    server.replies.append((200, len(CONTENT), CONTENT))
    with pytest.raises(ValueError, match=f"SHA-256 is {DIGEST}, not {'0' * 64}"):
        download(tmp_path, server.url, "0" * 64)
    assert {path.name for path in tmp_path.iterdir()} == {"log"}


def test_download_tries_again_after_errors_and_half_answers(tmp_path, server, no_waiting):
    server.replies += [
        (503, 0, b""),
        (200, len(CONTENT), CONTENT[:100_000]),
        (200, len(CONTENT), CONTENT),
    ]
    assert download(tmp_path, server.url, DIGEST).read_bytes() == CONTENT
    log = (tmp_path / "log").read_text()
    assert "503" in log and f"100000 of {len(CONTENT)} bytes came" in log


def test_download_gives_up(tmp_path, server, no_waiting):
    server.replies += [(500, 0, b"")] * 3
    with pytest.raises(ConnectionError, match=r"not downloaded.*500"):
        download(tmp_path, server.url, None)
    assert {path.name for path in tmp_path.iterdir()} == {"log"}


def test_download_of_what_is_not_there_is_not_repeated(tmp_path, server, no_waiting):
    server.replies.append((404, 0, b""))
    with pytest.raises(ValueError, match=r"404.*check the corpus' url"):
        download(tmp_path, server.url, None)
    assert len(server.requests) == 1
