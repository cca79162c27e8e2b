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


def runnable(root: psutil.Process) -> tuple[int, int]:
    """Threads that are running or waiting for a core: of the workflow's scripts, and of Snakemake itself."""
    counts = {True: 0, False: 0}
    for process in [root, *root.children(recursive=True)]:
        try:
            is_script = any("/.snakemake/scripts/" in argument for argument in process.cmdline())
            for thread in process.threads():
                with open(f"/proc/{process.pid}/task/{thread.id}/stat", encoding="utf-8") as file:
                    counts[is_script] += file.read().rsplit(")", 1)[1].split()[0] == "R"
        except (psutil.Error, OSError):  # it has just ended
            continue
    return counts[True], counts[False]


def main() -> None:
    run = subprocess.Popen([sys.executable, "-m", "snakemake", *sys.argv[1:]])
    root = psutil.Process(run.pid)
    looks, started = [], time.monotonic()
    while run.poll() is None:
        looks.append(runnable(root))
        time.sleep(STEP)
    seconds = time.monotonic() - started
    window = np.ones(min(len(looks), round(WINDOW * len(looks) / seconds)))
    scripts, snakemake = np.transpose(looks)
    for name, counts in {"scripts": scripts, "Snakemake": snakemake, "both": scripts + snakemake}.items():
        busiest = np.convolve(counts, window / len(window), mode="valid").max()
        print(f"{name}: load {np.mean(counts):.2f} in the mean, {busiest:.2f} in the busiest {WINDOW} s")
    print(f"in {seconds:.0f} s")
    sys.exit(run.returncode)


if __name__ == "__main__":
    main()
