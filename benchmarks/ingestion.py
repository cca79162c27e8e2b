"""Speed of ingestion: an archive shaped like Speech Commands, against `gzip -dc | tar t` of the same file.

    python benchmarks/ingestion.py                 # 105,000 files: some minutes, 6 GB in a temporary folder
    python benchmarks/ingestion.py --files 5000

The two read the same archive in turn, in processes of their own. It holds synthesised speech: a few thousand
clips, repeated under other speakers' names until there are as many files as in the original. Beside the time
on the clock stands that of the processors, of a whole pipe together, which other jobs lengthen less.
Needs the package (pip install -e .) and soundfile, h5py, pandas, scipy, espeakng-loader.
"""

import argparse
import gzip
import os
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from pathlib import Path

from convexprune.data import corpus, ingestion, synthesis

WORDS = ["backward", "bed", "eight", "follow", "happy", "left", "marvin", "no", "six", "stop", "two", "yes"]
VOICES, TAKES = 60, 4  # 2,880 different clips
VALIDATION, TESTING = 0.094, 0.104  # shares of the files, as in the original


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=105_000, help="in the archive (105000, as the original)")
    parser.add_argument("--runs", type=int, default=3, help="of each program, in turn (3)")
    parser.add_argument("--folder", help="where the temporary folder is made")
    parser.add_argument("--ingest", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ingest:
        return ingest(*options.ingest)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        train, test = Path(folder, "train.tar.gz"), Path(folder, "test.tar.gz")
        size = write_archives(train, test, options.files) / 1e6
        print(f"{options.files} files, {size:.0f} MB, packed {train.stat().st_size / 1e6:.0f} MB")
        for _ in range(options.runs):
            for name, command in (
                ("gzip -dc | tar t", ["sh", "-c", f"gzip -dc '{train}' | tar t > '{folder}/list'"]),
                ("ingestion", [sys.executable, __file__, "--ingest", str(train), str(test)]),
            ):
                seconds, cpu = measure(command)
                print(
                    f"{name:16}  {seconds:6.1f} s  {size / seconds:4.0f} MB/s   processors "
                    f"{cpu:6.1f} s  {size / cpu:4.0f} MB/s",
                    flush=True,
                )


def write_archives(train: Path, test: Path, files: int) -> int:
    """Write the two archives; return the unpacked size of the first in bytes.

    Every clip is packed once, as the original at gzip's usual level, and copied from then on: a full flush
    makes packed pieces independent of what stands before them.
    """
    cast = synthesis.cast_speakers({"train": VOICES, "validation": 0, "test": 0}, seed=0)
    clips = []
    for spoken in synthesis.speak_all(cast, WORDS, TAKES, threads=2):
        for take in spoken:
            content = pad(corpus.encode_wav(take.samples))
            clips.append((take.word, content, pack(content)))
    names = [f"{clips[i % len(clips)][0]}/{i // 50:08x}_nohash_{i % 50}.wav" for i in range(files)]
    n_validation, n_testing = round(VALIDATION * files), round(TESTING * files)
    lists = {
        "validation_list.txt": names[:n_validation],
        "testing_list.txt": names[n_validation : n_validation + n_testing],
    }
    checksum = size = 0
    with open(train, "wb") as file:
        file.write(gzip.compress(b"")[:10])  # a gzip file's own header

        def add(content: bytes, packed: bytes) -> None:
            nonlocal checksum, size
            file.write(packed)
            checksum, size = zlib.crc32(content, checksum), size + len(content)

        for number, name in enumerate(names):
            _, content, packed = clips[number % len(clips)]
            entry = header(name, corpus.SAMPLING_RATE * 2 + 44)
            add(entry, pack(entry))
            add(content, packed)
        for name, part in lists.items():
            text = "".join(f"{line}\n" for line in part).encode()
            entry = header(name, len(text)) + pad(text)
            add(entry, pack(entry))
        add(bytes(1024), pack(bytes(1024)))
        file.write(zlib.compressobj(wbits=-15).flush() + struct.pack("<II", checksum, size % 2**32))
    with synthesis.write_archive(test) as archive:
        synthesis.add_file(archive, names[n_validation], clips[n_validation % len(clips)][1][:32_044])
    return size


def header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(f"./{name}")
    entry.size = size
    return entry.tobuf()


def pad(content: bytes) -> bytes:
    return content + bytes(-len(content) % tarfile.BLOCKSIZE)


def pack(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH)


def measure(command: list[str]) -> tuple[float, float]:
    """Seconds on the clock, and of all processors."""
    begin = time.perf_counter()
    _, status, usage = os.wait4(subprocess.Popen(command).pid, 0)
    seconds = time.perf_counter() - begin
    if status:
        raise subprocess.CalledProcessError(status, command)
    return seconds, usage.ru_utime + usage.ru_stime


def ingest(train: Path, test: Path) -> None:
    """Ingest the archives; tell the most memory that was held, which Linux knows."""
    with tempfile.TemporaryDirectory(dir=train.parent) as folder:
        outputs = (Path(folder, f"corpus.{kind}") for kind in ("h5", "csv", "sha256"))
        ingestion.ingest_archives(train, test, *outputs)
    peak = next(
        line for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines() if "VmHWM" in line
    )
    print(f"memory of ingestion at most {int(peak.split()[1]) / 1000:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
