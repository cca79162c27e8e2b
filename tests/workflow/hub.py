"""A stand-in for the network: a Hugging Face hub, as its client asks for it, and plain files."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Hub(BaseHTTPRequestHandler):
    """Serves `models`, folders by id, at any revision, and the files in the folder `data` under /data/."""

    models: dict[str, Path]
    data: Path

    def do_GET(self):
        path, _, _ = self.path.partition("?")
        if path.startswith("/data/"):
            return self.answer((self.data / path.removeprefix("/data/")).read_bytes())
        for model, folder in self.models.items():
            files = {file.name: file for file in folder.iterdir()}
            api, resolve = f"/api/models/{model}/", f"/{model}/resolve/"
            if path.startswith(f"{api}revision/"):
                return self.answer(
                    {
                        "id": model,
                        "sha": path.rpartition("/")[2],
                        "siblings": [{"rfilename": name} for name in files],
                        "cardData": {"license": "apache-2.0"},
                    }
                )
            if path.startswith(f"{api}tree/"):
                return self.answer(
                    [
                        {"type": "file", "path": name, "size": file.stat().st_size, "oid": "0" * 40}
                        for name, file in files.items()
                    ]
                )
            if path.startswith(resolve):
                revision, _, name = path.removeprefix(resolve).partition("/")
                if name in files:
                    return self.answer(files[name].read_bytes(), {"X-Repo-Commit": revision})
        self.send_error(404)

    do_HEAD = do_GET  # noqa: N815

    def answer(self, content, headers=None):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serve(models: dict[str, Path], data: Path) -> Iterator[str]:
    """The address of a hub with `models` (folders by id) and the files of `data`, while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Filled", (Hub,), {"models": models, "data": data}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
