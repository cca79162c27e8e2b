"""The user's files are known again, whatever their names and times."""

import os

import pytest
from convexprune.jobs import provenance


@pytest.mark.parametrize("size", [10, provenance.LARGE])
def test_another_file_of_the_same_name_is_known_by_content_or_by_time(tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(b"a" * size)
    known = provenance.identify([str(path)])
    assert provenance.identify([str(path)]) == known
    for content, moved in ((b"b", -1000), (b"aa", 0)):
        path.write_bytes(content * size)
        os.utime(path, (path.stat().st_mtime + moved,) * 2)
        assert provenance.identify([str(path)]) != known
    path.write_bytes(b"a" * 10)
    os.utime(path, (1, 1))
    assert (provenance.identify([str(path)]) == known) == (size == 10)  # a touch of a small one is no change
