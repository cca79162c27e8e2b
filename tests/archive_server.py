"""A web server on this machine that has one archive, and every fault that a test asks of it."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Fault:
    """How one request is answered: by default as a good server would."""

    status: int | None = None  # answer so, without content
    headers: dict = field(default_factory=dict)  # further ones, which replace those of the answer
    cut: int | None = None  # close the connection after so many bytes of content
    ranges: bool = True  # or ignore Range and answer 200
    shift: int = 0  # send a part that begins so many bytes too late
    chunked: bool = False  # or Content-Length


class ArchiveServer(http.server.ThreadingHTTPServer):
    """Serves `content`, also in parts; `faults` are used up in turn, one a request."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.validators = {"ETag": '"first"'}
        self.faults: list[Fault] = []
        self.requests: list[dict] = []  # headers of every request, and its `path`
        self.sent = 0  # bytes of content

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/a.tar.gz"

    def handle_error(self, request, client_address) -> None:
        """Clients that close a connection are part of the tests."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ArchiveServer

    def do_GET(self) -> None:
        self.server.requests.append(dict(self.headers) | {"path": self.path})
        fault = self.server.faults.pop(0) if self.server.faults else Fault()
        self.close_connection = True
        content, validators = self.server.content, self.server.validators
        status, headers, first = 200, {"Connection": "close", **validators}, self.first_byte()
        if fault.status is not None:
            status, content = fault.status, b""
        elif fault.ranges and first is not None:
            if first >= len(content):
                status, headers["Content-Range"], content = 416, f"bytes */{len(content)}", b""
            else:
                status, first = 206, first + fault.shift
                headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
                content = content[first:]
        headers |= (
            {"Transfer-Encoding": "chunked"} if fault.chunked else {"Content-Length": str(len(content))}
        )
        self.send_response(status)
        for name, value in (headers | fault.headers).items():
            self.send_header(name, value)
        self.end_headers()
        content = content[: fault.cut]
        self.server.sent += len(content)
        if fault.chunked:
            content = b"%x\r\n%s\r\n" % (len(content), content) + (b"0\r\n\r\n" if fault.cut is None else b"")
        self.wfile.write(content)

    def first_byte(self) -> int | None:
        """Where the part begins that is asked for, unless If-Range names another version."""
        condition = self.headers.get("If-Range")
        if "Range" not in self.headers or condition not in (None, *self.server.validators.values()):
            return None
        return int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))

    def log_message(self, *args) -> None:
        pass


@contextmanager
def serve(content: bytes) -> Iterator[ArchiveServer]:
    with ArchiveServer(content) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
