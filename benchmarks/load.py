"""The load that a run of the workflow puts on the machine: threads that run or wait for a core, over time.

    python benchmarks/load.py --cores 2 --configfile resources/demo.yaml

runs Snakemake with these arguments and looks at its processes ten times a second. Processor time could not
show too many threads: it ends at the machine's cores.
"""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import psutil

STEP = 0.1  # s between two looks
WINDOW = 10  # s over which the load is averaged


def runnable(root: psutil.Process) -> int:
    """Threads of `root` and all that it started that are running or waiting for a core."""
    count = 0
    for process in [root, *root.children(recursive=True)]:
        try:
            for thread in process.threads():
                with open(f"/proc/{process.pid}/task/{thread.id}/stat") as file:
                    count += file.read().rsplit(")", 1)[1].split()[0] == "R"
        except (psutil.Error, OSError):  # it has just ended
            continue
    return count


def main() -> None:
    run = subprocess.Popen([sys.executable, "-m", "snakemake", *sys.argv[1:]])
    root = psutil.Process(run.pid)
    counts, started = [], time.monotonic()
    while run.poll() is None:
        counts.append(runnable(root))
        time.sleep(STEP)
    seconds = time.monotonic() - started
    window = min(len(counts), round(WINDOW * len(counts) / seconds))
    busiest = np.convolve(counts, np.ones(window) / window, mode="valid").max()
    print(f"{seconds:.0f} s; load {np.mean(counts):.2f} in the mean, {busiest:.2f} in the busiest {WINDOW} s")
    sys.exit(run.returncode)


if __name__ == "__main__":
    main()
