"""The share of the shortest paths of a class that lies inside the class."""

from __future__ import annotations

import heapq

import numpy as np

from convexprune.kernels import compiled, run_threads
from convexprune.neighbours import Graph


def inside_shares(
    graph: Graph, members: np.ndarray, sources: np.ndarray, *, threads: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """For each of the `sources`: over all other `members` of its class, the sum of the shares of the paths.

    The share of a path is the part of its interior vertices that are members: 1 where it has none, 0 where
    there is no path. Of several shortest paths the one with the fewest vertices outside the class counts, and
    of those one with the fewest vertices. Returns the sums (float64) and the numbers of members out of reach.
    """
    inside = np.zeros(len(graph.starts) - 1, np.bool_)
    inside[members] = True
    results = run_threads(lambda source: _shares_from(graph, inside, members, source), sources, threads)
    shares, unreachable = zip(*results, strict=True)
    return np.array(shares), np.array(unreachable)


@compiled
def _shares_from(graph, inside, members, source):
    N = len(graph.starts) - 1
    length = np.full(N, np.inf)
    outside = np.zeros(N, np.int64)  # interior vertices of the path so far that are not members
    interior = np.zeros(N, np.int64)
    done = np.zeros(N, np.bool_)
    length[source] = 0.0
    heap = [(0.0, 0, 0, source)]
    while heap:
        distance, out, hops, v = heapq.heappop(heap)
        if done[v]:
            continue
        done[v] = True
        if v != source:
            hops += 1
            out += not inside[v]
        for e in range(graph.starts[v], graph.starts[v + 1]):
            u = graph.targets[e]
            new = (distance + graph.lengths[e], out, hops)
            if not done[u] and new < (length[u], outside[u], interior[u]):
                length[u], outside[u], interior[u] = new
                heapq.heappush(heap, (new[0], out, hops, np.int64(u)))
    total = 0.0
    unreachable = 0
    for v in members:
        if v == source:
            continue
        if not done[v]:
            unreachable += 1
        elif interior[v] == 0:
            total += 1.0
        else:
            total += 1.0 - outside[v] / interior[v]
    return total, unreachable
