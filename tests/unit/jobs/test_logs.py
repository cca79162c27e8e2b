"""Logs tell where a result comes from and, where a job fails, what to do."""

import errno
import os
import subprocess
import sys

import pytest
from convexprune.jobs import files, logs


def run_job(tmp_path, root, work: str) -> tuple[subprocess.CompletedProcess, list[str]]:
    """A job of its own process, as Snakemake runs it: what it printed, and the lines of its log file."""
    code = (
        f"import sys; sys.path.insert(0, {str(root / 'workflow/scripts')!r})\n"
        "from convexprune.jobs import logs\n"
        f"logs.start_log({str(tmp_path / 'logs/job.log')!r}, seed=7)\n{work}\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, encoding="utf-8"
    )
    return result, (tmp_path / "logs/job.log").read_text(encoding="utf-8").splitlines()


def test_a_log_has_time_versions_seed_device_and_peak_memory(tmp_path, root):
    import numpy

    ballast = bytearray(800_000_000)  # of the process that starts the job: not the job's
    result, lines = run_job(tmp_path, root, "block = bytearray(300_000_000)")
    del ballast
    assert result.returncode == 0
    assert result.stderr == ""
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
    assert result.stderr == ""  # the run prints it, at its end
    assert lines[-1].endswith("CRITICAL convexprune: What to do: mine.csv has no rows; then run again")
    assert "Traceback (most recent call last):" in lines
    assert "peak memory" in lines[-2]


def test_stderr_gets_warnings_and_what_the_file_has_no_room_for(tmp_path, root):
    full = (
        "import errno\n"
        "class Full:\n"
        "    def write(self, text): raise OSError(errno.ENOSPC, 'full')\n"
        "    def flush(self): pass\n"
        "logs.log.warning('look here')\n"
        "[file] = [h for h in logs.logging.getLogger().handlers if isinstance(h, logs.LogFile)]\n"
        "file.stream = Full()\n"
        "raise ValueError('no rows')\n"
    )
    result, lines = run_job(tmp_path, root, full)
    assert lines[-1].endswith("WARNING convexprune: look here")
    told = result.stderr.splitlines()
    assert told[0] == lines[-1]
    assert told[1].endswith("CRITICAL convexprune: ValueError: no rows")
    assert told[-1].endswith("What to do: no rows; then run again")


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
        (
            ValueError("2 of 3 rows are bad\n  a: broken\n  b: empty"),
            "are bad: a: broken (1 more here); then",
        ),
    ],
)
def test_advice_fits_the_error(error, said):
    advice = logs.advise(error, "logs/job.log")
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
    assert logs.advise(caught.value, "job.log") == "corpus.h5 is damaged; delete it and run again"


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
    with files.atomic(tmp_path / "file", durable=durable) as temporary:
        temporary.write_text("content", encoding="utf-8")
    assert calls == expected
    assert (tmp_path / "file").read_text(encoding="utf-8") == "content"


def test_what_a_kill_left_is_gone_with_the_next_try(tmp_path):
    with files.scratch_folder(tmp_path / "model") as scratch:
        left = scratch / "left"
    left.parent.mkdir()
    left.touch()
    with files.scratch_folder(tmp_path / "model") as again:
        assert again == scratch and not left.exists()
    assert not list(tmp_path.iterdir())


def test_what_to_do_is_read_from_the_log_of_a_job_that_failed(tmp_path, root):
    run_job(tmp_path, root, "raise ValueError('mine.csv has no rows')")
    assert logs.read_advice(tmp_path / "logs/job.log") == "mine.csv has no rows; then run again"
    (tmp_path / "logs/job.log").write_text("all went well", encoding="utf-8")
    assert logs.read_advice(tmp_path / "logs/job.log") is None
