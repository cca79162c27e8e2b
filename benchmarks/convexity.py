"""Time and peak memory of graph convexity, against nnconvexity and against shortest paths by SciPy.

    python benchmarks/convexity.py                     # all sizes: about 40 minutes on two cores
    python benchmarks/convexity.py --largest 5000 --nnconvexity 2000    # two minutes

Writes convexity.csv and convexity.png beside this file. Each measurement has a process of its own, which
makes the seeded data, warms up on a few points (compiled code comes from its cache on disk), and measures.
Needs nnconvexity, matplotlib and the package (pip install -e . nnconvexity matplotlib).
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
# points, dimensions, classes: 9,982 are the paper's words, 25,463 its phonemes
SIZES = [(1000, 768, 35), (2000, 768, 35), (5000, 768, 35), (9982, 768, 35), (25463, 1024, 17)]
SAMPLED = (100_000, 768, 35)
SOURCES = 30  # of each class, where they are sampled
NEIGHBOURS = 10


def make_points(N, D, classes):
    """Overlapping classes on a curved manifold of 12 dimensions: the score of 9,982 points is near 0.45."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, N)
    inner = 0.75 * rng.normal(size=(classes, 12))[labels] + rng.normal(size=(N, 12))
    outer = rng.normal(size=(12, D)) / 12
    points = np.empty((N, D), np.float32)
    for start in range(0, N, 1000):  # in blocks, so that making the data is no peak of memory
        points[start : start + 1000] = np.tanh(inner[start : start + 1000] @ outer)
    return points, labels


def run_convexprune(points, labels, threads):
    from convexprune.convexity.score import graph_convexity

    yield "neighbours and paths", lambda: graph_convexity(points, labels, NEIGHBOURS, n_jobs=threads)


def run_sampled(points, labels, threads):
    from convexprune.convexity.score import graph_convexity

    yield (
        "neighbours and paths",
        lambda: graph_convexity(points, labels, NEIGHBOURS, n_sources=SOURCES, n_jobs=threads),
    )


def run_stages(points, labels, threads):
    """The parts of convexprune, the matrix product that a neighbour search contains, and SciPy's paths."""
    from convexprune.convexity.neighbours import BLOCK_BYTES, nearest_neighbours, neighbour_graph
    from convexprune.convexity.paths import inside_shares
    from scipy.sparse import csgraph, csr_array
    from threadpoolctl import threadpool_limits

    def multiply():
        rows = BLOCK_BYTES // (4 * len(points))
        with threadpool_limits(threads, user_api="blas"):
            for start in range(0, len(points), rows):
                points[start : start + rows] @ points.T

    graph = None

    def find_neighbours():
        nonlocal graph
        graph = neighbour_graph(*nearest_neighbours(points, NEIGHBOURS, threads=threads))

    def find_paths():
        everyone = np.arange(len(points))
        inside_shares(points, graph, labels, everyone, np.ones((len(points), 3)), threads=threads)

    def find_paths_by_scipy():
        matrix = csr_array((graph.lengths, graph.targets, graph.starts), shape=(len(points),) * 2)
        for start in range(0, len(points), 500):  # all at once would take 12 N^2 bytes
            sources = np.arange(start, min(start + 500, len(points)))
            csgraph.dijkstra(matrix, indices=sources, return_predecessors=True)

    yield "matrix product", multiply
    yield "neighbours", find_neighbours
    yield "paths", find_paths
    yield "paths by SciPy", find_paths_by_scipy


def run_nnconvexity(points, labels, threads):
    from nnconvexity.graph import compute_graph_convexity

    yield (
        "neighbours and paths",
        lambda: compute_graph_convexity(points, labels, NEIGHBOURS, n_parallel=threads),
    )


METHODS = {
    "convexprune": run_convexprune,
    "convexprune, stages": run_stages,
    "nnconvexity": run_nnconvexity,
    "convexprune, sampled sources": run_sampled,
}


def measure(method, size, threads):
    """Print the seconds, memory above the data (MB) and result of each stage of a method, as JSON."""
    for _, work in METHODS[method](*make_points(200, 8, 3), threads):
        work()
    points, labels = make_points(*size)
    with open("/proc/self/statm", encoding="utf-8") as file:
        before = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    rows = []
    for stage, work in METHODS[method](points, labels, threads):
        start = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        score = result[0] / 100 if isinstance(result, tuple) else getattr(result, "score", None)
        rows.append(
            {
                "method": method,
                "stage": stage,
                "N": size[0],
                "D": size[1],
                "classes": size[2],
                "threads": 1 if "SciPy" in stage else threads,
                "seconds": round(seconds, 3),
                "memory_mb": round((peak - before) / 1e6),
                "score": score,
            }
        )
    print(json.dumps(rows))


def describe_machine():
    from threadpoolctl import threadpool_info

    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = {line.split(":")[1].strip() for line in file if line.startswith("model name")}
    blas = threadpool_info()[0]
    return (
        f"{', '.join(names)}, {os.cpu_count()} cores, {platform.system()}; "
        f"Python {platform.python_version()}, numpy {np.__version__}, "
        f"{blas['internal_api']} {blas['version']} ({blas['architecture']})"
    )


def draw(table, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (times, memory) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    lines = table[table["stage"] != "matrix product"].groupby(["method", "stage"])
    for (method, stage), rows in lines:
        whole = stage == "neighbours and paths"
        label = method if whole else stage
        times.loglog(rows["N"], rows["seconds"], marker="o", label=label, linestyle="-" if whole else ":")
        if whole:
            memory.loglog(rows["N"], rows["memory_mb"], marker="o", label=label)
    times.set(xlabel="points", ylabel="seconds")
    memory.set(xlabel="points", ylabel="peak memory above the data, MB")
    times.legend(fontsize="small")
    memory.legend(fontsize="small")
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--largest", type=int, default=SAMPLED[0], help="leave out sizes above this")
    parser.add_argument("--nnconvexity", type=int, default=9982, help="its largest size: 9,982 takes 10 GB")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        method, *size = options.measure
        return measure(method, [int(number) for number in size], options.threads)

    import pandas as pd

    print(describe_machine())
    plan = [(method, size) for size in SIZES for method in list(METHODS)[:3]]
    plan.append(("convexprune, sampled sources", SAMPLED))
    rows = []
    for method, size in plan:
        if size[0] > (options.nnconvexity if method == "nnconvexity" else options.largest):
            continue
        command = [sys.executable, __file__, "--threads", str(options.threads), "--measure", method]
        output = subprocess.run(
            [*command, *map(str, size)], check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        ).stdout
        for row in json.loads(output.splitlines()[-1]):
            print(row, flush=True)
            rows.append(row)
    table = pd.DataFrame(rows)
    table.to_csv(HERE / "convexity.csv", index=False)
    draw(table, HERE / "convexity.png")


if __name__ == "__main__":
    main()
