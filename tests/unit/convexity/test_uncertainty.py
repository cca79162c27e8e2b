"""Standard errors against brute force: every path followed one by one, every point's effect added by hand."""

import networkx
import numpy as np
import pytest
from convexprune import compare_convexity, graph_convexity
from convexprune.convexity.comparison import find_freedom
from convexprune.convexity.uncertainty import toss_coins, weigh_classes


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


def effects(points, labels, k, weight, of=None, units=None):
    """What each point moves of the mean over pairs in which each pair weighs `weight[class]`: as one of the
    two ends, and as a vertex between; then the same by coins. With `of`, that class alone is drawn anew."""
    units = np.arange(len(points)) if units is None else units
    coins = toss_coins(units, labels)
    shares, surprises = find_paths(points, labels, k)
    moves, between, ends = np.zeros((3, len(points)))
    for c in weight:
        mine = {pair: share for pair, share in shares.items() if labels[pair[0]] == c}
        n = np.sum(labels == c)
        for i in np.flatnonzero(labels == c):
            from_i = {pair: share for pair, share in mine.items() if pair[0] == i}
            above = np.mean([*from_i.values()]) - np.mean([*mine.values()])
            moves[i] += 2 * above * weight[c] * (n - 1)
            ends[i] += 2 * weight[c] * sum(share * coins[pair[1]] for pair, share in from_i.items())
        for pair in mine:
            for v, surprise in surprises[pair].items():
                if of is None or labels[v] == of:
                    moves[v] += weight[c] * surprise
                    between[v] += 2 * weight[c] * surprise * coins[pair[0]]
    return np.stack([moves, between, ends])


def error(found, labels, units=None):
    """The root of the spread of what units move, less the joint part, which is at most half of it."""

    def spread(values):
        if units is None:
            return sum(np.sum(labels == c) * values[labels == c].var(ddof=1) for c in np.unique(labels))
        rest = np.array([value - values[labels == c].mean() for value, c in zip(values, labels, strict=True)])
        sums = [rest[units == unit].sum() for unit in np.unique(units)]
        return len(sums) / (len(sums) - 1) * np.sum(np.square(sums))

    full, between, ends = map(spread, found)
    return np.sqrt(max(full - between - ends / 2, full / 2))


@pytest.mark.parametrize("groups", [None, np.arange(42) % 7])
@pytest.mark.parametrize("seed", range(4))
def test_errors_are_those_of_brute_force(seed, groups):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1, 2], [8, 14, 20]))
    layers = [rng.normal(size=(42, 3)) + 0.8 * labels[:, None] for _ in range(2)]
    first, second = (graph_convexity(points, labels, 4, groups=groups) for points in layers)
    assert first.n_unreachable == second.n_unreachable == 0
    assert first.n_groups == (None if groups is None else 7)
    sizes = dict(zip(*np.unique(labels, return_counts=True), strict=True))

    by_pair = dict.fromkeys(sizes, 1 / first.n_pairs)
    by_class = {c: 1 / (3 * n * (n - 1)) for c, n in sizes.items()}
    difference = compare_convexity(first, second)
    for weight, name in ((by_pair, "stderr"), (by_class, "class_stderr")):
        ours, theirs = (effects(points, labels, 4, weight, units=groups) for points in layers)
        assert getattr(first, name) == pytest.approx(error(ours, labels, groups), rel=1e-9)
        assert getattr(difference, name) == pytest.approx(error(ours - theirs, labels, groups), rel=1e-9)
    for c, n in sizes.items():
        moves = effects(layers[0], labels, 4, {c: 1 / (n * (n - 1))}, of=c, units=groups)[:, labels == c]
        of_class = error(moves, labels[labels == c], None if groups is None else groups[labels == c])
        assert first.per_class[c].stderr == pytest.approx(of_class, rel=1e-9)


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
    weights = weigh_classes(np.array([6, 0, 2]))
    assert weights.tolist() == [[6 / 8, 0.5, 1], [0, 0, 0], [2 / 8, 0.5, 1]]


@pytest.mark.parametrize("groups", [None, np.arange(400) % 40])
def test_degrees_of_freedom_are_those_of_the_spread_of_a_variance(groups):
    """Normal effects have about as many as there are units less one; heavy tails have far fewer."""
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(400, 6)), np.repeat([0, 1], 200)
    first, second = (
        graph_convexity(points + 0.5 * rng.normal(size=points.shape), labels, groups=groups) for _ in range(2)
    )
    found = find_freedom([first, second])[0]
    ours = first.effects.moves[:, 0] - second.effects.moves[:, 0]
    rest = ours - np.repeat([ours[:200].mean(), ours[200:].mean()], 200)
    units = first.effects.points if groups is None else groups[first.effects.points]
    squares = np.bincount(units, rest) ** 2
    expected = 2 * squares.sum() ** 2 / (len(squares) * squares.var())
    assert found[0, 1] == found[1, 0] == pytest.approx(min(expected, len(squares) - 1))
    assert np.isnan(np.diag(found)).all()
    assert 15 < found[0, 1] < len(squares)
