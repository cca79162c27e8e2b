"""Two runtimes are timed so that neither has to share the cores with what the other leaves spinning."""

import sys
from itertools import groupby, pairwise

import pytest
from convexprune.models import encoders, exporting, runtimes, timing
from encoder_factory import make_encoder, make_feature_extractor

# A program whose passes leave their times in a file.
PASS = """
import time
from convexprune.models.runtimes import serve
file = open({log!r}, "a", buffering=1, encoding="utf-8")
serve(lambda: print(time.time(), file=file) or time.sleep(0.002))
"""


def program(tmp_path, name, code=PASS):
    """A command that runs `code`, and the file of its passes."""
    path, log = tmp_path / f"{name}.py", tmp_path / f"{name}.log"
    path.write_text(code.format(log=str(log)), encoding="utf-8")
    return [sys.executable, str(path)], log


def test_a_pass_is_measured_only_when_the_others_threads_have_come_to_rest(tmp_path):
    commands, logs = zip(*(program(tmp_path, name) for name in "ab"), strict=True)
    runtimes.time_in_turn(commands, runs=2 * runtimes.BLOCK, warmup=runtimes.BLOCK)
    passes = sorted((float(line), log.stem) for log in logs for line in log.read_text("utf-8").splitlines())
    turns = [(name, [moment for moment, _ in turn]) for name, turn in groupby(passes, key=lambda it: it[1])]
    assert [name for name, _ in turns] == ["a", "b"] * 3
    for (_, before), (_, turn) in pairwise(turns):
        measured = turn[-runtimes.BLOCK :]
        assert len(turn) > runtimes.BLOCK
        assert measured[0] - before[-1] >= runtimes.SETTLE


def test_passes_are_counted(tmp_path):
    command, _ = program(tmp_path, "a")
    (first, second), others = runtimes.time_in_turn([command, command], runs=23, warmup=0)
    assert len(first) == len(second) == 23 and (first > 0.002).all()
    assert others >= 0


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("raise SystemExit(3)", RuntimeError, r"ends\.py ended with status 3: it says nothing"),
        ("raise OSError('no library')", RuntimeError, r"ended with status 1: OSError: no library"),
        ("import os; os.kill(os.getpid(), 9)", MemoryError, r"ends\.py was killed"),
    ],
)
def test_a_program_that_ends_is_named_with_its_reason(tmp_path, code, error, message):
    """Whether it ends before or after it is asked: the first program takes its time."""
    first, _ = program(tmp_path, "a")
    last, _ = program(tmp_path, "ends", code)
    for commands in ([last], [first, last]):
        with pytest.raises(error, match=message):
            runtimes.time_in_turn(commands, runs=2, warmup=200)


def test_the_library_is_found_without_an_installed_package(tmp_path, monkeypatch):
    """In a conda environment Snakemake clears PYTHONPATH."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    code = "import sys; assert {library!r} in sys.path; input(); print('[0.1]', flush=True); sys.stdin.read()"
    with runtimes.serving([sys.executable, "-c", code.format(library=str(runtimes.LIBRARY))]) as ask:
        assert ask(1) == [0.1]


def test_both_runtimes_are_timed_whatever_lies_in_the_users_folder(tmp_path, monkeypatch):
    model, extractor = make_encoder("hubert", head=True), make_feature_extractor("hubert")
    encoders.save_folder(tmp_path / "model", model, extractor)
    exporting.write_onnx(tmp_path / "model.onnx", model, extractor)
    (tmp_path / "queue.py").write_text("raise SystemExit('shadowed')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    passes = timing.Passes(runs=3, warmup=1, seconds=0.5)
    found = runtimes.compare_runtimes(tmp_path / "model", tmp_path / "model.onnx", passes, threads=1)
    assert 0 < found["latency"]["median"] < 1 and 0 < found["torch_latency"]["median"] < 1
    assert found["runs"] == 3 and found["disturbed"] in (True, False)
