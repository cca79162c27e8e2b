"""How long one model takes in PyTorch and in ONNX Runtime, each in a process of its own.

The threads of a runtime spin for some milliseconds after a pass. In one process they would take the cores
from the other runtime's next pass: PyTorch then seemed twice as slow as it is.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convexprune.models import devices, encoders, timing

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

log = logging.getLogger(__name__)

LIBRARY = Path(__file__).resolve().parents[2]  # the folder that the package is in
BLOCK = 10  # passes that a runtime makes before it is the other's turn
SETTLE = 0.02  # seconds of passes before those, which are not measured: the other's threads may still spin


def open_onnx(path: str | Path, threads: int) -> InferenceSession:
    """The ONNX file in a session of ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def compare_runtimes(folder: Path, onnx: Path, passes: timing.Passes, *, threads: int) -> dict[str, Any]:
    """Seconds of a forward pass on a random clip on the CPU, by ONNX Runtime and by PyTorch.

    `folder` has the classifier, `onnx` is the same as an ONNX file.
    """
    # -P: a file queue.py where the user runs is not Python's.
    commands = [
        [
            sys.executable,
            "-P",
            "-m",
            __name__,
            kind,
            str(folder),
            str(onnx),
            str(threads),
            str(passes.seconds),
        ]
        for kind in ("torch", "onnx")
    ]
    (torch_seconds, onnx_seconds), others = time_in_turn(commands, runs=passes.runs, warmup=passes.warmup)
    return {
        "latency": timing.summarise(onnx_seconds),
        "torch_latency": timing.summarise(torch_seconds),
        "machine": devices.name_machine(),
        "runs": passes.runs,
        **timing.judge_others(others),
    }


def time_in_turn(
    commands: Sequence[Sequence[str]], *, runs: int, warmup: int
) -> tuple[list[np.ndarray], float]:
    """Seconds (runs,) of each of several programs that `serve` passes, blocks of them in turn.

    Before that each makes `warmup` passes. Also returns the CPUs that other processes kept busy meanwhile.
    Raises RuntimeError for a program that ends early, MemoryError for one that was killed.
    """
    seconds: list[list[float]] = [[] for _ in commands]
    with ExitStack() as stack:
        asked = [stack.enter_context(serving(command)) for command in commands]
        for ask in asked:
            ask(max(1, warmup))
        started = timing.read_clocks()
        for first in range(0, runs, BLOCK):
            for ask, known in zip(asked, seconds, strict=True):
                known += ask(min(BLOCK, runs - first))
        others = timing.measure_others(started, timing.read_clocks())
    return [np.array(known) for known in seconds], others


@contextmanager
def serving(command: Sequence[str]) -> Iterator[Callable[[int], list[float]]]:
    """A function that asks a program which `serve`s passes for so many, and returns their seconds."""
    # Snakemake clears PYTHONPATH of jobs in conda environments: their script finds the library by itself.
    paths = [str(LIBRARY), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            encoding="utf-8",
        ) as process,
    ):
        assert process.stdin and process.stdout
        asks, answers = process.stdin, process.stdout

        def ask(passes: int) -> list[float]:
            with suppress(BrokenPipeError):  # of a program that has ended: that is told below
                print(passes, file=asks, flush=True)
            if answer := answers.readline():
                return json.loads(answer)
            status = process.wait()
            errors.seek(0)
            log.error("%s", said := errors.read().strip())
            if status == -signal.SIGKILL:
                raise MemoryError(f"{' '.join(command)} was killed")
            reason = said.splitlines()[-1] if said else "it says nothing"
            raise RuntimeError(f"{' '.join(command)} ended with status {status}: {reason}")

        try:
            yield ask
        finally:
            process.kill()
            with suppress(BrokenPipeError):
                asks.close()


def serve(infer: Callable[[], Any]) -> None:
    """Read numbers of passes from the standard input; make them, and print their seconds."""
    for line in sys.stdin:
        settled = time.perf_counter() + SETTLE
        while time.perf_counter() < settled:
            infer()
        seconds = []
        for _ in range(int(line)):
            started = time.perf_counter()
            infer()
            seconds.append(time.perf_counter() - started)
        print(json.dumps(seconds), flush=True)


def make_pass(kind: str, folder: str, onnx: str, threads: str, seconds: str) -> Callable[[], Any]:
    """A function that makes one forward pass over a clip in the runtime `kind`, torch or onnx."""
    import torch

    name, values = timing.make_input(folder, float(seconds))
    if kind == "onnx":
        return partial(open_onnx(onnx, int(threads)).run, ["logits"], {name: values.numpy()})
    torch.set_num_threads(int(threads))
    torch.set_grad_enabled(False)
    return partial(encoders.load_classifier(folder), values)


if __name__ == "__main__":
    serve(make_pass(*sys.argv[1:]))
