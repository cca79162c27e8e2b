"""Archives are read as a stream; what no archive of recordings needs is refused, nothing becomes a file."""

import gzip
import hashlib
import io
import os
import sys
import tarfile
import tracemalloc

import pytest
from convexprune.data import archives

TERABYTE = 1 << 40


def member(name, content=b"", size=None, **fields):
    """One tar entry: its header, which may claim another `size`, and its content."""
    entry = tarfile.TarInfo(name)
    entry.size = len(content) if size is None else size
    for field, value in fields.items():
        setattr(entry, field, value)
    header = entry.tobuf(tarfile.GNU_FORMAT)
    return header + content + bytes(-len(content) % 512)


def pack(path, *members, end=bytes(1024)):
    path.write_bytes(gzip.compress(b"".join(members) + end, 1))
    return path


def read(path):
    return dict(archives.read_members(path))


HONEST = member("./yes/a.wav", b"content")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("length", [10, 99, 100, 101, 155, 250])
def test_archives_of_every_format_come_back(tmp_path, form, length):
    """Names of ustar have at most 100 characters and a folder of 155; the others have long ones in front."""
    names = [f"{'d' * (length // 2)}/{letter * (length - length // 2 - 1)}" for letter in "aé"]
    contents = [os.urandom(size) for size in (0, 511, 512, 513, 100_000)]
    expected = {f"{name}{number}": content for name in names for number, content in enumerate(contents)}
    path = tmp_path / "a.tar.gz"
    try:
        with tarfile.open(path, "w:gz", format=form) as archive:
            for name, content in expected.items():
                entry = tarfile.TarInfo(f"./{name}")
                entry.size, entry.mtime = len(content), 1.5  # which needs a pax header
                archive.addfile(entry, io.BytesIO(content))
    except ValueError:
        assert form == tarfile.USTAR_FORMAT and length > 100
        return
    assert read(path) == expected


def test_folders_and_hidden_files_are_left_out(tmp_path):
    folder = member("./yes", type=tarfile.DIRTYPE)
    path = pack(tmp_path / "a.tar.gz", folder, member("./yes/._a.wav", b"?"), HONEST)
    assert read(path) == {"yes/a.wav": b"content"}


@pytest.mark.parametrize(
    "long",
    [
        member("././@LongLink", b"long.wav\0", type=tarfile.GNUTYPE_LONGNAME),
        member("p", b"17 path=long.wav\n", type=b"x"),
    ],
)
def test_a_long_name_is_that_of_the_next_entry_only(tmp_path, long):
    other = member("ignored", b"17 path=none.wav\n", type=tarfile.XGLTYPE)  # for a whole archive: of no use
    path = pack(tmp_path / "a.tar.gz", other, long, member("short", b"x"), HONEST)
    assert read(path) == {"long.wav": b"x", "yes/a.wav": b"content"}


LINK = {"type": tarfile.SYMTYPE, "linkname": "../../outside"}
PAX = {"type": tarfile.XHDTYPE}
MALICIOUS = {
    "absolute": ([member("/tmp/outside.wav", b"x")], "'/tmp/outside.wav' has an absolute path"),
    "upwards": ([member("../outside.wav", b"x")], r"'\.\./outside.wav' leads outside by '\.\.'"),
    "upwards inside": ([member("./yes/../../outside.wav", b"x")], "leads outside"),
    "upwards folder": ([member("../..", type=tarfile.DIRTYPE)], "leads outside"),
    "upwards, hidden": ([member("../.outside", b"x")], "leads outside"),
    "upwards, long": (
        [member("././@LongLink", b"../outside.wav\0", type=tarfile.GNUTYPE_LONGNAME), member("y", b"x")],
        "leads outside",
    ),
    "upwards, pax": ([member("p", b"23 path=../outside.wav\n", **PAX), member("y", b"x")], "leads outside"),
    "symbolic link": ([member("yes/b.wav", **LINK), member("yes/b.wav", b"x")], "'yes/b.wav' is a link"),
    "hard link": ([member("yes/b.wav", type=tarfile.LNKTYPE, linkname="/etc/passwd")], "is a link"),
    "long link": ([member("././@LongLink", b"l\0", type=tarfile.GNUTYPE_LONGLINK)], "is a link"),
    "device": ([member("yes/b.wav", type=tarfile.CHRTYPE, devmajor=1, devminor=5)], "is a device"),
    "disk": ([member("yes/b.wav", type=tarfile.BLKTYPE)], "is a device"),
    "pipe": ([member("yes/b.wav", type=tarfile.FIFOTYPE)], "is a pipe"),
    "sparse": ([member("yes/b.wav", b"x", type=tarfile.GNUTYPE_SPARSE)], "is of the unknown kind b'S'"),
    "terabyte": ([member("yes/b.wav", b"x", size=TERABYTE)], f"'yes/b.wav' claims {TERABYTE} bytes"),
    "terabyte of name": (
        [member("././@LongLink", b"x", size=TERABYTE, type=tarfile.GNUTYPE_LONGNAME)],
        "claims",
    ),
    "terabyte of pax": ([member("p", b"x", size=TERABYTE, **PAX)], "claims"),
    "megabyte of name": (
        [member("././@LongLink", b"x" * (1 << 20), type=tarfile.GNUTYPE_LONGNAME), member("y", b"x")],
        f"claims {1 << 20} bytes, more than {archives.LONGEST_NAME}",
    ),
    # Each record is cut off the front of what is left: the square of the length in time.
    "megabyte of pax": ([member("p", b"5 a=\n" * (1 << 18), **PAX), member("y", b"x")], "claims"),
    "terabyte by pax": (
        [member("p", b"22 size=1099511627776\n", **PAX), member("y.wav", b"x")],
        f"'y.wav' claims {TERABYTE}",
    ),
    "terabyte of folder": ([member("yes", size=TERABYTE, type=tarfile.DIRTYPE)], "claims"),
    "less than nothing": ([member("yes/b.wav", size=-1)], "claims -1 bytes"),
    "a little too large": ([member("yes/b.wav", bytes(archives.LARGEST + 1))], "claims"),
    "endless end": ([], "and more follow the end"),
}


@pytest.mark.parametrize("case", MALICIOUS)
def test_a_malicious_entry_is_refused_and_nothing_is_written(tmp_path, monkeypatch, case):
    members, message = MALICIOUS[case]
    home = tmp_path / "a" / "b"
    home.mkdir(parents=True)
    end = bytes(2 * archives.LARGEST if case == "endless end" else 1024)
    path = pack(home / "evil.tar.gz", HONEST, *members, end=end)
    monkeypatch.chdir(home)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"evil\.tar\.gz.*{message}"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 3 * archives.LARGEST
    finally:
        tracemalloc.stop()
    assert [found for found in tmp_path.rglob("*") if found.is_file() or found.is_symlink()] == [path]


DAMAGED = {
    "a header in the middle": [HONEST, b"x" * 512, HONEST],
    "a check sum": [HONEST, HONEST.replace(b"yes", b"yet", 1)],
    "cut in the content": [HONEST, member("b.wav", bytes(2000))[:1500]],
    "a pax header without a number": [member("p", b"path=x\n", **PAX), HONEST],
    "a pax header without an end": [member("p", b"0 path=x\n", **PAX), HONEST],
    "a pax size that is none": [member("p", b"14 size=large\n", **PAX), HONEST],
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_archive_is_no_shorter_archive(tmp_path, case):
    """The standard library takes a bad header for the end."""
    end = b"" if case.startswith("cut") else bytes(1024)
    path = pack(tmp_path / "a.tar.gz", *DAMAGED[case], end=end)
    with pytest.raises(ValueError, match=r"a\.tar\.gz is not a complete tar.gz archive"):
        read(path)


@pytest.mark.skipif(sys.version_info >= (3, 11, 10), reason="mended there")
def test_the_standard_library_passes_over_a_damaged_pax_header(tmp_path):
    """Why archives.py reads headers itself: the entry that follows loses its long name without a word."""
    path = pack(tmp_path / "a.tar.gz", *DAMAGED["a pax header without a number"])
    with tarfile.open(path) as archive:
        assert archive.getnames() == ["./yes/a.wav"]


def test_the_standard_library_lists_the_parts_of_a_sparse_file_without_limit(tmp_path):
    """The other reason: they follow the header, and are read before an entry can be refused."""
    parts = 20_000
    listed = f"{parts}\n" + "1\n" * 2 * parts
    records = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
    path = pack(tmp_path / "a.tar.gz", member("p", records, **PAX), member("y.wav", listed.encode()))

    class Entry(tarfile.TarInfo):
        @classmethod
        def fromtarfile(cls, archive):
            entry = super().fromtarfile(archive)
            seen.append(entry.sparse)
            return entry

    seen = []
    with pytest.raises(ValueError, match="refused"), tarfile.open(path, tarinfo=Entry) as archive:
        for _ in archive:
            raise ValueError("refused")
    assert len(seen[-1]) == parts
    assert read(path) == {"y.wav": listed.encode()}  # to us it is a file, which is no recording


def test_an_archive_without_its_end_is_cut(tmp_path):
    path = pack(tmp_path / "a.tar.gz", HONEST, end=b"")
    with pytest.raises(ValueError, match="ends too early"):
        read(path)


def test_headers_are_not_kept_in_memory(tmp_path):
    """An archive of a hundred thousand files must not cost a hundred thousand headers."""
    peaks = []
    for count in (500, 2000):
        path = pack(tmp_path / "many.tar.gz", *(member(f"{number}.txt", b"x") for number in range(count)))
        tracemalloc.start()
        assert sum(1 for _ in archives.read_members(path)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_the_recorded_sum_is_checked(tmp_path):
    path = pack(tmp_path / "a.tar.gz", HONEST)
    archives.check_sum(path)  # there is no record
    recorded = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "a.tar.gz.sha256").write_text(f"{recorded}  a.tar.gz\n", encoding="utf-8")
    archives.check_sum(path)
    pack(path, HONEST, HONEST)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(ValueError, match=rf"a\.tar\.gz: its SHA-256 is {found}, not {recorded}"):
        archives.check_sum(path)
