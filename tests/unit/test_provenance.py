"""Logs tell where a result comes from and, where a job fails, what to do."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from convexprune import provenance


def run_job(tmp_path, root, work: str) -> tuple[subprocess.CompletedProcess, list[str]]:
    """A job of its own process, as Snakemake runs it: what it printed, and the lines of its log file."""
    code = (
        f"import sys; sys.path.insert(0, {str(root / 'workflow/scripts')!r})\n"
        "from convexprune import provenance\n"
        f"provenance.start_log({str(tmp_path / 'logs/job.log')!r}, seed=7)\n{work}\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return result, (tmp_path / "logs/job.log").read_text().splitlines()


def test_a_log_has_time_versions_seed_device_and_peak_memory(tmp_path, root):
    import numpy

    ballast = bytearray(800_000_000)  # of the process that starts the job: not the job's
    result, lines = run_job(tmp_path, root, "block = bytearray(300_000_000)")
    del ballast
    assert result.returncode == 0
    assert result.stderr.splitlines() == lines
    assert f"numpy {numpy.__version__}" in lines[0]
    assert f"python {sys.version.split()[0]}" in lines[0]
    assert lines[1].endswith("seed: 7")
    assert "device: CPU; peak memory: " in lines[-1]
    peak = float(lines[-1].split("peak memory: ")[1].split(" MB")[0])
    assert 300 < peak < 700
    assert all(line[:4].isdigit() and line[10] == "T" for line in lines)


def test_an_error_ends_with_one_line_that_says_what_to_do(tmp_path, root):
    result, lines = run_job(tmp_path, root, "raise ValueError('mine.csv has no rows\\nat all')")
    assert result.returncode == 1
    assert set(result.stderr.splitlines()) < set(lines)
    assert "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1] == lines[-1]
    assert lines[-1].endswith("CRITICAL convexprune: What to do: mine.csv has no rows; then run again")
    assert "Traceback (most recent call last):" in lines
    assert "peak memory" in lines[-2]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "lower this stage's batch_size"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), "lower this stage's batch_size"),
        (OSError(errno.ENOSPC, "full", "a/b.h5"), "free space for a/b.h5"),
        (PermissionError(errno.EACCES, "no", "a/b.h5"), "allow writing to a/b.h5"),
        (ModuleNotFoundError("No module named 'torch'"), "make install"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.wav"), "put a.wav back"),
        (OSError(errno.EROFS, "read-only", "a/b.h5"), "allow writing to a/b.h5"),
        (KeyboardInterrupt(), "run again to go on"),
        (KeyError("word"), "report it with logs/job.log"),
    ],
)
def test_advice_fits_the_error(error, said):
    advice = provenance.advise(error, "logs/job.log")
    assert said in advice
    assert "\n" not in advice


def test_advice_is_that_of_the_error_in_a_process_that_reads_clips():
    from torch.utils.data import DataLoader

    class Damaged:
        def __len__(self):
            return 1

        def __getitems__(self, indices):
            raise ValueError("corpus.h5 is damaged; delete it and run again")

    with pytest.raises(ValueError, match="Original Traceback") as caught:
        list(DataLoader(Damaged(), num_workers=1))
    assert provenance.advise(caught.value, "job.log") == "corpus.h5 is damaged; delete it and run again"


@pytest.mark.parametrize(
    ("durable", "expected"), [(True, ["fsync", "replace", "fsync"]), (False, ["replace"])]
)
def test_a_durable_file_is_on_the_disk_before_and_after_it_has_its_name(
    tmp_path, monkeypatch, durable, expected
):
    calls = []
    for name in ("fsync", "replace"):
        function = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *args, name=name, function=function: calls.append(name) or function(*args)
        )
    with provenance.atomic(tmp_path / "file", durable=durable) as temporary:
        temporary.write_text("content")
    assert calls == expected
    assert (tmp_path / "file").read_text() == "content"


def test_what_a_kill_left_is_gone_with_the_next_try(tmp_path):
    with provenance.scratch_folder(tmp_path / "model") as scratch:
        left = scratch / "left"
    left.parent.mkdir()
    left.touch()
    with provenance.scratch_folder(tmp_path / "model") as again:
        assert again == scratch and not left.exists()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_helpers_end_with_the_process_that_forked_them(root):
    code = (
        f"import sys; sys.path.insert(0, {str(root / 'workflow/scripts')!r})\n"
        "import concurrent.futures, json, multiprocessing, time\n"
        "from convexprune import provenance\n"
        "fork = multiprocessing.get_context('fork')\n"
        "pool = concurrent.futures.ProcessPoolExecutor(2, fork, provenance.end_with_parent)\n"
        "list(pool.map(abs, range(9)))\n"
        "print(json.dumps(list(pool._processes)), flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        helpers = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(is_running(pid) for pid in helpers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Whether the process is there, and not only as an entry that its parent has not read yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def test_what_to_do_is_read_from_the_log_of_a_job_that_failed(tmp_path, root):
    run_job(tmp_path, root, "raise ValueError('mine.csv has no rows')")
    assert provenance.read_advice(tmp_path / "logs/job.log") == "mine.csv has no rows; then run again"
    (tmp_path / "logs/job.log").write_text("all went well")
    assert provenance.read_advice(tmp_path / "logs/job.log") is None
