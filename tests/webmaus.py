"""A stand-in for WebMAUS Basic: the protocol of the real service over a socket, alignments by pocketsphinx.

`python tests/webmaus.py --port 8080 --failures 0.2` serves it by hand (maus.url: http://127.0.0.1:8080).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import random
import select
import socket
import struct
import sys
import threading
import time
import wave
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "workflow/scripts"))

from convexprune.alignment.aligner import AlignmentError
from convexprune.alignment.pocketsphinx import PocketsphinxAligner

# On the way to the answer of a POST, in the answer, and in the TextGrid it links to.
POST_FAILURES = ("500", "hang", "reset", "false success", "truncated XML", "empty TextGrid", "wrong tiers")
GET_FAILURES = ("500", "hang", "reset", "truncated body")
LOAD_FAILURES = ("500", "reset", "truncated body")
FRAME = 0.01  # seconds
# What the real service calls the phones that pocketsphinx finds: labels in its TextGrids of American English,
# not taken from the library's own table, which the tests compare with this one.
LABELS = {
    **{"AA": "Q", "AE": "{", "AH": "V", "AO": "O:", "AW": "aU", "AY": "aI", "EH": "E", "ER": "3`"},  # vowels
    **{"EY": "eI", "IH": "I", "IY": "i:", "OW": "@U", "OY": "OI", "UH": "U", "UW": "u:"},
    **{
        "P": "p",
        "B": "b",
        "T": "t",
        "D": "d",
        "K": "k",
        "G": "g",
        "CH": "tS",
        "JH": "dZ",
    },  # stops, affricates
    **{"F": "f", "V": "v", "TH": "T", "DH": "D", "S": "s", "Z": "z", "SH": "S", "ZH": "Z", "HH": "h"},
    **{"M": "m", "N": "n", "NG": "N", "L": "l", "R": "R", "W": "w", "Y": "j"},
}
ENVELOPE = (
    "<WebServiceResponseLink><success>{success}</success><downloadLink>{link}</downloadLink>"
    "<output>{output}</output><warnings></warnings></WebServiceResponseLink>"
)


class WebMaus(ThreadingHTTPServer):
    """The service on a free port of this machine; what it saw is in its attributes.

    `failures` is the share of requests that fail, of each kind alike; which ones depends on `seed`, the
    recording and how often it was asked for, not on timing. With `load_failures` the load indicator fails
    too. `outage` is the HTTP status that all calls of one kind (POST, GET, LOAD) are answered with, by kind.
    """

    daemon_threads = True

    def __init__(self, *, failures: float = 0, seed: int = 0, latency: float = 0, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.failures, self.seed, self.latency = failures, seed, latency
        self.load_failures = False
        self.outage: dict[str, int] = {}
        self.loads: list[int] = []  # answers of the load indicator, the last of them for ever
        self.lock = threading.Lock()
        self.decoding = threading.Lock()
        self.aligner = PocketsphinxAligner()
        self.answers: dict[str, str] = {}  # of pocketsphinx, by recording
        self.files: dict[str, tuple[str, str, bool]] = {}  # by link: recording, TextGrid, whether it is good
        self.connections: set[socket.socket] = set()
        self.forget()

    def forget(self) -> None:
        """Start counting anew."""
        self.posts: list[str] = []  # the recording of each POST
        self.gets: list[str] = []
        self.injected = {"POST": 0, "GET": 0, "LOAD": 0}
        self.load_calls = 0
        self.kinds: set[str] = set()
        self.delivered: list[str] = []  # recordings whose good TextGrid was sent
        self.asked_again: list[str] = []  # requests for recordings that had been delivered
        self.given_up = {"POST": 0, "GET": 0}  # the client went before the answer came, on a busy machine
        self.max_in_flight = 0
        self.names: set[str] = set()
        self.errors: list[str] = []  # breaches of the protocol
        self.agents: set[str] = set()

    def start(self) -> WebMaus:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def handle_error(self, request, client_address) -> None:
        """A client that was killed is no news."""

    def draw(self, method: str, recording: str, count: int, kinds: tuple[str, ...]) -> str | None:
        """The failure of the `count`-th such request, or None."""
        rng = random.Random(f"{self.seed} {method} {recording} {count}")
        if rng.random() >= self.failures:
            return None
        kind = rng.choice(kinds)
        self.injected[method] += 1
        self.kinds.add(f"{method} {kind}")
        return kind

    def align(self, recording: str, samples: np.ndarray, word: str) -> str:
        """The TextGrid of a recording, in one of the two namings of the tiers."""
        with self.decoding:
            if recording not in self.answers:
                self.answers[recording] = self.aligner.ask(samples, word)
        phones = [line.split() for line in self.answers[recording].splitlines()]
        return make_textgrid(
            [(name, int(start) * FRAME, int(count) * FRAME) for name, start, count in phones],
            len(samples) / 16_000,
            word,
            suffix="-MAU" if int(recording[0], 16) % 2 else "",
        )


class Handler(BaseHTTPRequestHandler):
    server: WebMaus

    def log_message(self, *_) -> None:
        """Silence."""

    def handle_one_request(self) -> None:
        with self.server.lock:
            self.server.connections.add(self.connection)
            alive = sum(not is_closed(connection) for connection in self.server.connections)
            self.server.max_in_flight = max(self.server.max_in_flight, alive)
        try:
            super().handle_one_request()
        finally:
            with self.server.lock:
                self.server.connections.remove(self.connection)

    def do_GET(self) -> None:
        server = self.server
        if self.path == "/getLoadIndicator":
            with server.lock:
                server.load_calls += 1
                kinds = LOAD_FAILURES if server.load_failures else ()
                failure = kinds and server.draw("LOAD", "", server.load_calls, kinds)
                load = (
                    (server.loads.pop(0) if len(server.loads) > 1 else server.loads[0]) if server.loads else 0
                )
            if status := server.outage.get("LOAD"):
                return self.send(status, "not now")
            return self.fail(failure, "0") if failure else self.send(200, str(load))
        if self.path not in server.files:
            return self.send(404, "no such file")
        recording, textgrid, good = server.files[self.path]
        with server.lock:
            if recording in server.delivered:
                server.asked_again.append(recording)
            server.gets.append(recording)
            failure = server.draw("GET", recording, server.gets.count(recording), GET_FAILURES)
        if status := server.outage.get("GET"):
            return self.send(status, "not now")
        if failure:
            return self.fail(failure, textgrid)
        if self.deliver(textgrid) and good:
            with server.lock:
                server.delivered.append(recording)

    def do_POST(self) -> None:
        server = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/runMAUSBasic":
            return self.send(404, "no such service")
        try:
            name, samples, word = self.parse(body)
        except (KeyError, ValueError, wave.Error, EOFError) as error:
            server.errors.append(f"{type(error).__name__}: {error}")
            return self.send(200, ENVELOPE.format(success="false", link="", output=escape(str(error))))
        recording = name_recording(samples, word)
        with server.lock:
            if server.loads[:1] == [2]:
                server.errors.append("a call at full load")
            if name in server.names:
                server.errors.append(f"the name {name} was used before")
            server.names.add(name)
            server.agents.add(self.headers["User-Agent"])
            if recording in server.delivered:
                server.asked_again.append(recording)
            server.posts.append(recording)
            failure = server.draw("POST", recording, server.posts.count(recording), POST_FAILURES)
        if status := server.outage.get("POST"):
            return self.send(status, "not now")
        time.sleep(server.latency)
        if failure in ("500", "hang", "reset"):
            return self.fail(failure, "")
        if failure == "false success":
            output = "ERROR: the service could not process your request, please try again"
            return self.send(200, ENVELOPE.format(success="false", link="", output=output))
        try:
            textgrid = server.align(recording, samples, word)
        except AlignmentError as error:
            output = f"ERROR: the signal is too short ({error})"
            return self.send(200, ENVELOPE.format(success="false", link="", output=escape(output)))
        if failure == "empty TextGrid":
            textgrid = make_textgrid([], len(samples) / 16_000, word, "")
        elif failure == "wrong tiers":
            textgrid = textgrid.replace('"MAU"', '"PHONES"')
        link = f"/results/{name}.TextGrid"
        server.files[link] = (recording, textgrid, failure is None)
        answer = ENVELOPE.format(success="true", link=server.url + link, output="")
        if failure:
            return self.send(200, answer[: len(answer) // 2] if failure == "truncated XML" else answer)
        self.deliver(answer)

    def parse(self, body: bytes) -> tuple[str, np.ndarray, str]:
        """Name, samples and word of an upload."""
        content_type = self.headers["Content-Type"].encode()
        message = BytesParser().parsebytes(b"Content-Type: " + content_type + b"\r\n\r\n" + body)
        if not message.is_multipart():
            raise ValueError("no multipart/form-data")
        parts = {part.get_param("name", header="Content-Disposition"): part for part in message.get_payload()}
        fields = {name: part.get_payload(decode=True) for name, part in parts.items()}
        if (fields["LANGUAGE"], fields["OUTFORMAT"]) != (b"eng-US", b"TextGrid"):
            raise ValueError("unknown language or format")
        name, extension = parts["SIGNAL"].get_filename().rsplit(".", 1)
        if extension != "wav" or parts["TEXT"].get_filename() != f"{name}.txt":
            raise ValueError("SIGNAL and TEXT must be NAME.wav and NAME.txt")
        with wave.open(io.BytesIO(fields["SIGNAL"])) as file:
            if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, 16_000):
                raise ValueError("the sampling rate or format of the signal")
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return name, samples, fields["TEXT"].decode()

    def deliver(self, text: str) -> bool:
        """Send a good answer; whether the client read it. One that went away first is counted."""
        try:
            self.send(200, text)
            read = was_read(self.connection)
        except OSError:
            read = False
        if not read:
            with self.server.lock:
                self.server.given_up[self.command] += 1
        return read

    def send(self, status: int, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def fail(self, failure: str, content: str) -> None:
        """500; nothing until the client goes away; a reset; or half of the content."""
        if failure == "500":
            self.send(500, "internal error")
        elif failure == "hang":
            while not is_closed(self.connection):
                time.sleep(0.01)
        elif failure == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content.encode())))
            self.end_headers()
            self.wfile.write(content.encode()[: len(content) // 2])
        self.close_connection = True


def name_recording(samples: np.ndarray, word: str) -> str:
    return hashlib.sha256(word.encode() + samples.tobytes()).hexdigest()


def is_closed(connection: socket.socket) -> bool:
    """Whether the client has closed it: what was sent and read completely is no longer in flight."""
    try:
        readable = select.select([connection], [], [], 0)[0]
        return bool(readable) and connection.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):
        return True


def was_read(connection: socket.socket) -> bool:
    """Whether the client reads all that was sent before it goes: else its side answers with a reset."""
    connection.shutdown(socket.SHUT_WR)
    return connection.recv(1) == b"" and not connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def make_textgrid(phones: list[tuple[str, float, float]], duration: float, word: str, suffix: str) -> str:
    """A TextGrid as WebMAUS writes it, from (ARPAbet phone, start, duration) in seconds."""
    spans = [(LABELS[name], start, start + length) for name, start, length in phones if name in LABELS]
    words = [(word, spans[0][1], spans[-1][2])] if spans else []
    tiers = {f"ORT{suffix}": (words, ""), f"KAN{suffix}": (words, ""), "MAU": (spans, "<p:>")}
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {duration}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, (labelled, silence)) in enumerate(tiers.items(), 1):
        intervals, end = [], 0.0
        for label, first, last in labelled:
            if first > end + FRAME / 2:
                intervals.append((silence, end, first))
            intervals.append((label, max(first, end), min(last, duration)))
            end = intervals[-1][2]
        if end < duration:
            intervals.append((silence, end, duration))
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"']
        lines += [
            "        xmin = 0",
            f"        xmax = {duration}",
            f"        intervals: size = {len(intervals)}",
        ]
        for index, (label, first, last) in enumerate(intervals, 1):
            lines += [f"        intervals [{index}]:", f"            xmin = {first:.6f}"]
            lines += [f"            xmax = {last:.6f}", f'            text = "{label}"']
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--failures", type=float, default=0, help="share of requests that fail")
    parser.add_argument("--latency", type=float, default=0, help="seconds before an answer")
    options = parser.parse_args()
    server = WebMaus(**vars(options)).start()
    print(f"WebMAUS stand-in at {server.url}", flush=True)
    try:
        while True:
            time.sleep(10)
            print(json.dumps({"posts": len(server.posts), "delivered": len(server.delivered),
                              "max_in_flight": server.max_in_flight}), flush=True)  # fmt: skip
    except KeyboardInterrupt:
        server.shutdown()


if __name__ == "__main__":
    main()
