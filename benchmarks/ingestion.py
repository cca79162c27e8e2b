"""Speed of ingestion: an archive shaped like Speech Commands, against `gzip -dc | tar t` of the same file.

Both read the whole archive in a process of their own, in turn, several times. It holds synthesised speech: a
few thousand clips, repeated under other speakers' names until there are as many files as in the original.
It lies in a temporary folder (some 6 GB in all) that is deleted at the end.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from convexprune import ingestion, synthesis

WORDS = ["backward", "bed", "eight", "follow", "happy", "left", "marvin", "no", "six", "stop", "two", "yes"]
VOICES, TAKES = 60, 4  # 2,880 different clips
SHARES = {"validation_list.txt": 0.094, "testing_list.txt": 0.104}  # of the files, as in the original


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=105_000, help="in the archive (105000, as the original)")
    parser.add_argument("--runs", type=int, default=3, help="of each program, in turn (3)")
    parser.add_argument("--folder", help="where the temporary folder is made")
    parser.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(ingest(*options.measure)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        train, test = Path(folder, "train.tar.gz"), Path(folder, "test.tar.gz")
        size = write_archives(train, test, options.files)
        print(f"{options.files} files, {size / 1e6:.0f} MB, packed {train.stat().st_size / 1e6:.0f} MB")
        for _ in range(options.runs):
            listing = list_archive(train)
            command = [sys.executable, __file__, "--measure", str(train), str(test)]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            print(
                f"gzip -dc | tar t: {listing:.1f} s, {size / 1e6 / listing:.0f} MB/s;  "
                f"ingestion: {found['seconds']:.1f} s, {size / 1e6 / found['seconds']:.0f} MB/s, "
                f"{listing / found['seconds']:.2f} of that speed; memory {found['memory'] / 1e6:.0f} MB"
            )


def write_archives(train_path: Path, test_path: Path, files: int) -> int:
    """Write the two archives; return the unpacked size of the first in bytes."""
    cast = synthesis.cast_speakers({"train": VOICES, "validation": 0, "test": 0}, seed=0)
    takes = [take for spoken in synthesis.speak_all(cast, WORDS, TAKES, threads=2) for take in spoken]
    clips = [(take.word, synthesis.encode_wav(take.samples)) for take in takes]
    names, size = [], 0
    with synthesis.write_archive(train_path) as archive:
        for number, (word, content) in enumerate(itertools.islice(itertools.cycle(clips), files)):
            names.append(f"{word}/{number // len(WORDS):08x}_nohash_{number % len(WORDS)}.wav")
            synthesis.add_file(archive, names[-1], content)
        validation = round(SHARES["validation_list.txt"] * files)
        testing = round(SHARES["testing_list.txt"] * files)
        for list_name, part in (
            ("validation_list.txt", names[:validation]),
            ("testing_list.txt", names[validation : validation + testing]),
        ):
            synthesis.add_file(archive, list_name, "".join(f"{name}\n" for name in part).encode())
        size = archive.offset
    with synthesis.write_archive(test_path) as archive:
        synthesis.add_file(archive, names[validation], clips[validation % len(clips)][1])
    return size


def list_archive(path: Path) -> float:
    """Seconds that `gzip -dc | tar t` takes."""
    begin = time.perf_counter()
    subprocess.run(f"gzip -dc '{path}' | tar t > /dev/null", shell=True, check=True)
    return time.perf_counter() - begin


def ingest(train: Path, test: Path) -> dict[str, float]:
    """Seconds that ingestion takes, and the most memory that this process held, in bytes."""
    with tempfile.TemporaryDirectory(dir=train.parent) as folder:
        outputs = (Path(folder, f"corpus.{kind}") for kind in ("h5", "csv", "sha256"))
        begin = time.perf_counter()
        ingestion.ingest_archives(train, test, *outputs)
        seconds = time.perf_counter() - begin
    return {"seconds": seconds, "memory": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}


if __name__ == "__main__":
    main()
