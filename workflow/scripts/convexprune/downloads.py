"""Downloads of archives: checked, retried, and under their final name only when whole."""

from __future__ import annotations

import hashlib
import http.client
import logging
import time
import urllib.request
from pathlib import Path

from convexprune import provenance

WAITS = (1, 5, 30, 120)  # seconds after each failed attempt

logger = logging.getLogger(__name__)


def download_archive(url: str, path: Path, sha256: str | None) -> None:
    """Download `url` to `path`, which appears when it is complete; try again where that can help.

    Raises ValueError if the server refuses or the content's SHA-256 is not `sha256`. Without a `sha256` to
    compare with, the one found is recorded in `{path}.sha256`. Raises ConnectionError when it gives up.
    """
    with provenance.atomic(path) as temporary:
        for wait in (*WAITS, None):
            try:
                found = _download(url, temporary)
                break
            except (OSError, http.client.HTTPException) as error:
                status = getattr(error, "code", 500)
                if status < 500 and status not in (408, 429):
                    raise ValueError(f"{url}: {error}; check the corpus' url in the config") from error
                if wait is None:
                    attempts = len(WAITS) + 1
                    raise ConnectionError(
                        f"{url}: not downloaded in {attempts} attempts ({error})"
                    ) from error
                logger.warning("%s: %s; trying again in %g s", url, error, wait)
                time.sleep(wait)
        if sha256 is None:
            Path(f"{path}.sha256").write_text(f"{found}  {Path(path).name}\n")
        elif found != sha256.lower():
            raise ValueError(f"{url}: SHA-256 is {found}, not {sha256} as the config says")
    logger.info("%s: SHA-256 %s", url, found)


def _download(url: str, path: Path) -> str:
    """Stream `url` to `path` once; return the SHA-256 of what came."""
    from tqdm import tqdm

    digest = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=60) as response, open(path, "wb") as file:
        expected = int(response.headers.get("Content-Length", 0))
        with tqdm(total=expected or None, unit="B", unit_scale=True, mininterval=5) as progress:
            while block := response.read(1 << 20):
                file.write(block)
                digest.update(block)
                progress.update(len(block))
        if expected and file.tell() != expected:
            raise ConnectionError(f"{file.tell()} of {expected} bytes came")
    return digest.hexdigest()
