"""Graph convexity against a brute-force oracle, the authors' package and cases known by hand."""

import itertools

import networkx
import numpy as np
import pytest
from convexprune.convexity import graph_convexity
from nnconvexity.graph import compute_graph_convexity


def oracle(points, labels, k):
    """The score over all ordered pairs of all classes and of each class, from all shortest paths listed."""
    points = np.asarray(points, dtype=np.float64)
    distances = np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1))
    graph = networkx.Graph()
    graph.add_nodes_from(range(len(points)))
    for i, row in enumerate(distances):
        others = sorted((d, j) for j, d in enumerate(row) if j != i)
        graph.add_weighted_edges_from((i, j, d) for d, j in others[:k])
    shares = {}
    for i, j in itertools.permutations(range(len(points)), 2):
        if labels[i] != labels[j]:
            continue
        if not networkx.has_path(graph, i, j):
            share = 0.0
        else:
            paths = [
                [labels[v] == labels[i] for v in path[1:-1]]
                for path in networkx.all_shortest_paths(graph, i, j, weight="weight")
            ]
            best = min(paths, key=lambda path: (path.count(False), len(path)))
            share = np.mean(best) if best else 1.0
        shares.setdefault(labels[i], []).append(share)
    score = np.mean(list(itertools.chain.from_iterable(shares.values())))
    return score, {label: np.mean(values) for label, values in shares.items()}


@pytest.mark.parametrize("k", [1, 2, 3, 5, 10, 29])
@pytest.mark.parametrize("seed", range(5))
def test_equals_the_oracle(k, seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(30, 3)) + 100 * rng.integers(0, 2, (30, 1))
    labels = rng.choice(["a", "b", "c"], 30, p=[0.6, 0.3, 0.1])
    result = graph_convexity(points, labels, k)
    score, per_class = oracle(points, labels, k)
    assert result.score == pytest.approx(score, abs=1e-12)
    assert {
        label: entry.score for label, entry in result.per_class.items() if entry.n_pairs
    } == pytest.approx(per_class, abs=1e-12)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_equals_nnconvexity_where_that_is_exact(k):
    rng = np.random.default_rng(k)
    labels = rng.integers(0, 4, 150)
    points = rng.normal(size=(150, 6)) + np.eye(6)[labels]
    expected, per_class = compute_graph_convexity(points, labels, k)
    result = graph_convexity(points.astype(np.float64), labels, k)
    assert round(100 * result.score, 2) == expected
    assert {label: round(100 * entry.score, 2) for label, entry in result.per_class.items()} == per_class
