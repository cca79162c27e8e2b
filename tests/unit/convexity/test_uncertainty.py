"""Standard errors against brute force: every path followed one by one, every point's effect added by hand."""

import networkx
import numpy as np
import pytest
from convexprune import compare_convexity, graph_convexity
from convexprune.convexity.uncertainty import class_weights


def find_paths(points, labels, k):
    """The share of the path of every ordered pair of a class, and the vertices' surprises on it.

    A surprise is how much more the vertex belongs to the class than its neighbours do, over the vertices of
    the path.
    """
    distances = np.linalg.norm(points[:, None] - points, axis=-1)
    graph = networkx.Graph()
    for i, row in enumerate(distances):
        graph.add_weighted_edges_from((i, j, row[j]) for j in np.argsort(row)[1 : k + 1])
    shares, surprises = {}, {}
    for i in graph:
        for j, path in networkx.single_source_dijkstra_path(graph, i).items():
            if i != j and labels[i] == labels[j]:
                interior = path[1:-1]
                shares[i, j] = np.mean([labels[v] == labels[i] for v in interior] or [1])
                surprises[i, j] = {
                    v: ((labels[v] == labels[i]) - np.mean([labels[w] == labels[i] for w in graph[v]]))
                    / len(interior)
                    for v in interior
                }
    return shares, surprises


def effects(points, labels, k, weight, of=None):
    """What each point moves of the mean over pairs in which each pair weighs `weight[class]`: as one of the
    two ends, and as a vertex between. With `of`, that class is alone in having points drawn anew."""
    shares, surprises = find_paths(points, labels, k)
    moves = np.zeros(len(points))
    for c in weight:
        mine = {pair: share for pair, share in shares.items() if labels[pair[0]] == c}
        n = np.sum(labels == c)
        for i in np.flatnonzero(labels == c):
            from_i = np.mean([share for pair, share in mine.items() if pair[0] == i])
            moves[i] += 2 * (from_i - np.mean([*mine.values()])) * weight[c] * (n - 1)
        for pair in mine:
            for v, surprise in surprises[pair].items():
                if of is None or labels[v] == of:
                    moves[v] += weight[c] * surprise
    return moves


def error(moves, labels):
    return np.sqrt(sum(np.sum(labels == c) * moves[labels == c].var(ddof=1) for c in np.unique(labels)))


@pytest.mark.parametrize("seed", range(4))
def test_errors_are_those_of_brute_force(seed):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1, 2], [8, 14, 20]))
    layers = [rng.normal(size=(42, 3)) + 0.8 * labels[:, None] for _ in range(2)]
    first, second = (graph_convexity(points, labels, 4) for points in layers)
    assert first.n_unreachable == second.n_unreachable == 0
    sizes = dict(zip(*np.unique(labels, return_counts=True), strict=True))

    by_pair = dict.fromkeys(sizes, 1 / first.n_pairs)
    by_class = {c: 1 / (3 * n * (n - 1)) for c, n in sizes.items()}
    difference = compare_convexity(first, second)
    for weight, name in ((by_pair, "stderr"), (by_class, "class_stderr")):
        ours, theirs = (effects(points, labels, 4, weight) for points in layers)
        assert getattr(first, name) == pytest.approx(error(ours, labels), rel=1e-9)
        assert getattr(difference, name) == pytest.approx(error(ours - theirs, labels), rel=1e-9)
    for c, n in sizes.items():
        moves = effects(layers[0], labels, 4, {c: 1 / (n * (n - 1))}, of=c)
        assert first.per_class[c].stderr == pytest.approx(error(moves, labels), rel=1e-9)


def test_the_error_of_a_class_is_the_spread_over_new_points_of_it_among_the_same_others():
    labels = np.repeat(np.arange(4), [20, 40, 60, 80])
    centres = 0.7 * np.random.default_rng(7).normal(size=(4, 10))
    points = centres[labels] + np.random.default_rng(0).normal(size=(200, 10))
    for c in (0, 2):
        found = []
        for seed in range(100):
            new = centres[c] + np.random.default_rng(seed + 1).normal(size=(np.sum(labels == c), 10))
            points[labels == c] = new
            found.append(graph_convexity(points, labels, n_jobs=1).per_class[c])
        spread = np.std([entry.score for entry in found], ddof=1)
        stated = np.sqrt(np.mean([entry.stderr**2 for entry in found]))
        assert 0.85 < stated / spread < 1.35


def test_a_class_of_one_member_has_no_weight():
    weights = class_weights(np.array([3, 1, 2]))
    assert weights.tolist() == [[6 / 8, 0.5, 1], [0, 0, 0], [2 / 8, 0.5, 1]]
