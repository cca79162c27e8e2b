"""Locks among processes: whoever holds them, on whichever file system, they end with the process."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from convexprune.jobs import locks

HOLDER = """
import fcntl, pathlib, sys
sys.path.insert(0, {library!r})
from convexprune.jobs import locks
{before}
lock = locks.take(pathlib.Path({path!r}))
print(lock is not None, flush=True)
sys.stdin.read()
"""
WITHOUT = "def refuse(*_): raise OSError({number}, 'no locks')\nfcntl.flock = refuse"


@pytest.fixture(
    params=[None, *sorted(locks.NO_LOCKS)], ids=lambda number: errno.errorcode.get(number, "locks")
)
def file_system(request, monkeypatch):
    """One that has locks, or tells in one of three ways that it has none; as code for another process."""
    if request.param is None:
        return ""

    def refuse(*_):
        raise OSError(request.param, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    return WITHOUT.format(number=request.param)


@pytest.fixture
def start(root, tmp_path):
    """Start a process that takes the lock of a file; whether it has it, and the process."""
    started = []

    def start(path, before=""):
        code = HOLDER.format(library=str(root / "workflow/scripts"), before=before, path=str(path))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        started.append(subprocess.Popen([sys.executable, "-c", code], encoding="utf-8", **pipes))
        return started[-1].stdout.readline() == "True\n", started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_lock_is_had_by_one_process_and_ends_with_it(tmp_path, file_system, start):
    path = tmp_path / "folder/lock"
    had, holder = start(path, file_system)
    assert had and locks.take(path) is None
    with pytest.raises(locks.HeldError), locks.hold(path):
        pass
    holder.kill()
    holder.wait()
    with locks.hold(path):
        assert not start(path, file_system)[0]
    assert start(path, file_system)[0]


def test_what_stands_for_the_lock_of_another_machines_process_is_left(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / "lock.held").write_text("123\nelsewhere\n456\n", encoding="utf-8")
    assert locks.take(tmp_path / "lock") is None
    assert "lock.held, stands for the lock" in caplog.text
    (tmp_path / "lock.held").unlink()
    assert locks.take(tmp_path / "lock")


def test_another_failure_of_the_file_system_is_an_error(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "damaged")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="damaged"):
        locks.take(tmp_path / "lock")


def test_a_file_that_may_not_be_written_is_named_as_it_was_given(tmp_path, monkeypatch):
    (tmp_path / "lock").symlink_to("elsewhere")  # which filelock does not follow
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError) as caught:
        locks.take(Path("lock"))
    assert caught.value.filename == "lock"


def test_other_users_may_lock_the_file_too(tmp_path):
    before = os.umask(0o077)
    try:
        with locks.hold(tmp_path / "lock"):
            assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o666
    finally:
        os.umask(before)


def test_who_waits_has_the_lock_once_it_is_released(tmp_path, start):
    path = tmp_path / "lock"
    _, holder = start(path)
    holder.kill()
    with locks.hold(path, wait=True):
        assert holder.wait(10)


@pytest.mark.parametrize("name", ["gpu-MIG-1/2", "/dev/pts/0", "../../etc"])
def test_a_lock_of_the_machine_is_a_file_of_this_user(name, tmp_path, monkeypatch):
    monkeypatch.setattr(locks.tempfile, "gettempdir", lambda: str(tmp_path))
    path = locks.make_path(name)
    assert path.parent == tmp_path and path.name.startswith("convexprune-")
    with locks.hold(path):
        assert path.exists()
