"""Time and peak memory of all criteria for choosing layers, against those of graph convexity.

    python benchmarks/criteria.py                                  # 9,982 items, 13 layers: some 5 minutes
    python benchmarks/criteria.py --items 2000 --layers 4 --repeats 1    # a few seconds

Both score the same embeddings file, in turn, each time in a process of its own, which warms up on a small
file before. Writes criteria.csv beside this file, and prints the seconds of each criterion.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from convexity import NEIGHBOURS, describe_machine, make_points

HERE = Path(__file__).parent
SIDES = ("convexity", "criteria")
IDENTITY = {"model": "made up", "state": "pretrained", "dataset": "words"}


def make_embeddings(path, items, dimensions, layers, classes):
    """An embeddings file and its dataset. Each layer is the one before and some noise."""
    rng = np.random.default_rng(1)
    points, labels = make_points(items, dimensions, classes)
    names = [f"{item}.wav" for item in range(items)]
    with h5py.File(path, "w") as file:
        states = file.create_dataset(
            "hidden_states", (layers, items, dimensions), np.float32, fletcher32=True
        )
        for layer in range(layers):
            states[layer] = points
            points += 0.05 * rng.normal(size=points.shape).astype(np.float32)
        file["labels"], file["items"], file["starts"] = list(map(str, labels)), names, [0] * items
        file.attrs.update({"split": "test", "complete": True})
    dataset = {"item": names, "start": 0, "end": 1, "label": labels, "split": "test"}
    speakers = rng.integers(0, max(2, items // 10), items)  # ten items each
    pd.DataFrame(dataset).assign(speaker=speakers).to_csv(path.with_suffix(".csv"), index=False)


def score(side, path, threads):
    """The table of a side."""
    from convexprune.convexity.score import score_layers
    from convexprune.criteria import scoring
    from convexprune.jobs import csv_files

    dataset = csv_files.read(path.with_suffix(".csv"))
    settings = {"identity": IDENTITY, "n_neighbors": NEIGHBOURS, "threads": threads}
    if side == "convexity":
        return score_layers(path, dataset, **settings)[0]
    with h5py.File(path) as file:
        known = pd.Series(np.zeros(len(file["hidden_states"])))  # criteria do not compute it again
    return scoring.score_layers(path, dataset, known, **settings)[0]


def measure(side, path, threads):
    """Print seconds by the clock and of processors, memory (MB) above that before, seconds by criterion."""
    score(side, path.with_name("small.h5"), threads)
    with open("/proc/self/statm", encoding="utf-8") as file:
        before = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    clock, processors = time.perf_counter(), time.process_time()
    table = score(side, path, threads)
    row = {
        "side": side,
        "seconds": time.perf_counter() - clock,
        "processor_seconds": time.process_time() - processors,
        "memory_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / 1e6,
    }
    if side == "criteria":
        row["by_criterion"] = table.groupby("criterion", sort=False)["seconds"].mean().dropna().to_dict()
    print(json.dumps(row))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=9982)
    parser.add_argument("--dimensions", type=int, default=768)
    parser.add_argument("--layers", type=int, default=13, help="hidden states")
    parser.add_argument("--classes", type=int, default=35)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=HERE / "criteria.csv")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--embeddings", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        return measure(given.side, given.embeddings, given.threads)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "embeddings.h5")
        make_embeddings(path, given.items, given.dimensions, given.layers, given.classes)
        make_embeddings(path.with_name("small.h5"), 300, 8, 2, 3)
        for repeat in range(given.repeats):
            for side in SIDES:
                command = [sys.executable, __file__, "--side", side, "--embeddings", path]
                command += ["--threads", str(given.threads)]
                ran = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=True)
                rows.append({"repeat": repeat} | json.loads(ran.stdout.splitlines()[-1]))
                print({key: value for key, value in rows[-1].items() if key != "by_criterion"}, flush=True)
    print(describe_machine())
    by_criterion = pd.DataFrame([row.pop("by_criterion") for row in rows if row["side"] == "criteria"])
    print(by_criterion.median().round(2).to_string())
    table = pd.DataFrame(rows).assign(
        items=given.items, dimensions=given.dimensions, layers=given.layers, threads=given.threads
    )
    table.round(2).to_csv(given.output, index=False)
    for name in ("seconds", "processor_seconds", "memory_mb"):
        convexity, criteria = (statistics.median(table[table["side"] == side][name]) for side in SIDES)
        print(f"{name}: convexity {convexity:.1f}, criteria {criteria:.1f}, ratio {criteria / convexity:.2f}")


if __name__ == "__main__":
    main()
