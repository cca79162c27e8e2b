"""Graph convexity against a brute-force oracle, the authors' package, and what must not change it."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from decimal import Decimal, localcontext

import h5py
import numpy as np
import pandas as pd
import pytest
from convexprune.__main__ import main
from convexprune.convexity import neighbours
from convexprune.convexity.paths import inside_shares
from convexprune.convexity.score import graph_convexity
from hypothesis import given, settings
from hypothesis import strategies as st
from nnconvexity.graph import compute_graph_convexity

SLACK = Decimal(f"1.{1:0250}")  # of two paths that tie one is longer by this factor at most


def joined(points, k):
    """Lengths of the edges of the graph (N, N) to 400 digits, infinite where there is none. Ties by index."""
    points = [[Decimal(float(value)) for value in point] for point in np.asarray(points)]
    distances = [
        [sum((a - b) ** 2 for a, b in zip(p, q, strict=True)).sqrt() for q in points] for p in points
    ]
    lengths = np.full((len(points),) * 2, Decimal("inf"))
    for i, row in enumerate(distances):
        others = sorted((d, j) for j, d in enumerate(row) if j != i)
        for d, j in others[:k]:
            lengths[i, j] = lengths[j, i] = d
    return lengths


def oracle(points, labels, k):
    """The scores by pairs and by classes, and of each class, over the distances between all points.

    Of several shortest paths, the one with the fewest vertices outside, then that with the fewest vertices.
    """
    with localcontext(prec=400):
        return _oracle(points, labels, k)


def _oracle(points, labels, k):
    lengths = joined(points, k)
    n = len(lengths)
    shortest = lengths.copy()
    np.fill_diagonal(shortest, Decimal(0))
    for via in range(n):
        shortest = np.minimum(shortest, shortest[:, via, None] + shortest[None, via])

    shares = {}
    for source in range(n):
        # the edges that are the last of a shortest path from the source
        ways = shortest[source][:, None] + lengths
        last = np.argwhere((ways <= shortest[source] * SLACK) & (ways < Decimal("inf")))
        best = dict.fromkeys(range(n), (np.inf, np.inf))  # vertices outside and in all, before the end
        best[source] = (0, -1)
        for _ in range(n):
            for u, v in last:
                outside, interior = best[u]
                through = u != source and labels[u] != labels[source]
                if v != source:
                    best[v] = min(best[v], (outside + through, interior + 1))
        for end in range(n):
            if end != source and labels[end] == labels[source]:
                outside, interior = best[end]
                share = 0.0 if np.isinf(interior) else 1 - outside / interior if interior else 1.0
                shares.setdefault(labels[end], []).append(share)
    per_class = {label: np.mean(values) for label, values in shares.items()}
    every = np.mean(list(itertools.chain.from_iterable(shares.values())))
    return every, np.mean(list(per_class.values())), per_class


def assert_equals_oracle(points, labels, k):
    result = graph_convexity(points, labels, k, n_jobs=1)
    score, class_score, per_class = oracle(points, labels, k)
    assert result.score == pytest.approx(score, abs=1e-12)
    assert result.class_score == pytest.approx(class_score, abs=1e-12)
    scored = {label: entry.score for label, entry in result.per_class.items() if entry.n_pairs}
    assert scored == pytest.approx(per_class, abs=1e-12)
    return result


def random_labels(rng, n):
    """Unbalanced classes, often some of one member."""
    labels = rng.choice(["a", "b", "c", "d"], n, p=[0.55, 0.3, 0.1, 0.05])
    labels[:2] = "a"
    return labels


@pytest.mark.parametrize("seed", range(60))
def test_equals_the_oracle(seed):
    rng = np.random.default_rng(seed)
    n = rng.integers(3, 26)
    k = n - 1 if seed % 10 == 0 else rng.integers(1, max(2, min(n, 8)))
    points = rng.normal(size=(n, rng.integers(2, 5))) * 10.0 ** rng.integers(-3, 4)
    points += 1e3 * rng.integers(0, 1 + seed % 3, (n, 1)) * np.abs(points).max()  # components
    points[rng.integers(0, n, seed % 4)] = points[0]  # duplicates
    assert_equals_oracle(points, random_labels(rng, n), k)


@pytest.mark.parametrize("seed", range(40))
def test_equals_the_oracle_on_whole_coordinates_full_of_ties(seed):
    rng = np.random.default_rng(seed)
    n, dimensions, side = [(20, 2, 4), (18, 1, 12), (16, 3, 3), (20, 2, 6)][seed % 4]
    points = rng.integers(0, side, (n, dimensions)) * rng.choice([1, 0.5, 3])
    assert_equals_oracle(points, random_labels(rng, n), int(rng.integers(1, 7)))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("k", [2, 5, 19])
def test_equals_the_oracle_on_a_line_of_any_numbers(seed, k):
    """Every way along the line ties, in other than whole numbers only up to rounding."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(20, 1)) * 10.0 ** rng.integers(-3, 4)
    if seed % 3 == 0:
        points = points.astype(np.float32)
    points[rng.integers(0, 20, seed % 4)] = points[0]
    assert_equals_oracle(points, random_labels(rng, 20), k)


def test_an_edge_is_a_shortest_path_whatever_rounding_makes_of_a_detour():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, 1)) * rng.normal(size=(1, 3))
    labels = rng.integers(0, 2, 40)
    assert graph_convexity(points, labels, 39).score == 1


def graph_of(points, edges):
    """The graph of the `points` (N, D) with these edges."""
    graph = {
        vertex: sorted({a + b - vertex for a, b in edges if vertex in (a, b)})
        for vertex in range(len(points))
    }
    starts = np.cumsum([0, *map(len, graph.values())])
    targets = np.concatenate(list(graph.values()))
    lengths = np.linalg.norm(
        points[np.repeat(np.arange(len(points)), np.diff(starts))] - points[targets], axis=1
    )
    return neighbours.Graph(starts.astype(np.int32), targets.astype(np.int32), lengths)


@pytest.mark.parametrize("far", range(3, 110))
@pytest.mark.parametrize("direction", [(1, 1), (0.3, 7), (1e9, 1e-9)])
def test_points_on_a_line_in_the_plane_tie(far, direction):
    """From 0 to `far` directly or over 1, and on to one more: in floating point these differ."""
    points = np.array([0, 1, far, far + 1])[:, None] * np.array(direction)
    graph = graph_of(points, [(0, 1), (1, 2), (0, 2), (2, 3)])
    # over 2 alone the path has one vertex outside, over 1 and 2 one outside of two: fewer vertices count
    found = inside_shares(points, graph, np.array([0, 0, 1, 0]), np.array([0]), np.ones((1, 3)))
    assert found.sums[:, 0].tolist() == [1.0 + 0.0]


@pytest.mark.parametrize("inside", [1, 2, 3])
@pytest.mark.parametrize("scale", [1, 0.1, 1e100])
def test_equal_lengths_of_different_edges_tie(inside, scale):
    """From 0 to 4 over 1, 2 or 3: sqrt(2) + sqrt(18) = sqrt(8) + sqrt(8), but not in floating point."""
    points = np.ldexp(np.array([0, 1, 2, 3, 4])[:, None] * [1.0, 1.0], round(np.log2(scale)))
    graph = graph_of(points, [(0, via) for via in (1, 2, 3)] + [(via, 4) for via in (1, 2, 3)])
    classes = np.array([1, *(int(vertex == inside) for vertex in (1, 2, 3)), 1])
    found = inside_shares(points, graph, classes, np.array([0]), np.ones((1, 3)))
    assert found.sums[:, 0].tolist() == [2.0]


def scaled(dtype=np.float64, n=24, **scales):
    """`n` random points in four dimensions: normal ones, to the power of e, times and plus something."""
    rng = np.random.default_rng(3)
    points = rng.normal(size=(n, 4))
    if "power" in scales:
        points = np.exp(scales["power"] * points)
    points = points * scales.get("times", 1) + scales.get("plus", 0)
    return points.astype(dtype)


def wide(width, dtype=np.float64):
    return scaled(dtype, times=np.array([width, 1, 1, 1]))


def repeated(points, share=0.0):
    """Points of which half stand there twice, or nearly so: a `share` of their size away."""
    half = points[: len(points) // 2]
    return np.concatenate([half, half * (1 + share)]).astype(points.dtype)


def names_as_a_dimension(width, n=24):
    """Ten kinds of points, with numbers of kinds as wide a dimension."""
    points = scaled(n=n)
    points[:, 0] = width * (np.arange(n) % 10)
    return points


KINDS = {
    **{f"one dimension {width:g} wide": wide(width) for width in (1e3, 1e6, 1e8, 1e10, 1e12, 1e15, 1e30)},
    **{f"one dimension {width:g} wide in float32": wide(width, np.float32) for width in (1e4, 1e6, 1e8)},
    **{f"lognormal {s}": scaled(power=s) for s in (3, 8, 12, 20)},
    "lognormal 12 in float32": scaled(np.float32, power=12),
    "heavy tails": np.random.default_rng(0).standard_cauchy((24, 3)) ** 3,
    "a scale for each dimension": scaled(times=10.0 ** np.array([-30, 0, 15, 30])),
    "far scales, near points": scaled(times=10.0 ** np.array([0, -1, -8, -16])),
    "an outlier": scaled(times=np.where(np.arange(24) == 7, 1e14, 1)[:, None]),
    "far from the origin": scaled(plus=1e8),
    "far from the origin in float32": scaled(np.float32, times=100, plus=1e8),
    "float16": scaled(np.float16),
    "float16, subnormal": scaled(np.float16, times=1e-6),
    "float32, subnormal": scaled(np.float32, times=1e-41),
    "float32, near its maximum": scaled(np.float32, times=5e37),
    "float64, nearly too small": scaled(times=1e-125),
    "float64, nearly too large": scaled(times=2e149),
    "duplicates": repeated(scaled()),
    "duplicates and a wide dimension": repeated(wide(1e9)),
    **{f"duplicates but for {share:g}": repeated(scaled(), share) for share in (1e-7, 1e-12, 1e-15)},
    **{f"names {width:g} apart": names_as_a_dimension(width) for width in (1.0, 1e6, 1e9, 1e12)},
    "whole numbers up to 2^50": np.random.default_rng(1).integers(-(2**50), 2**50, (24, 3)),
    "whole numbers, many bytes": np.random.default_rng(1).integers(0, 200, (24, 3)).astype(np.uint8),
    "tenths": np.random.default_rng(2).integers(0, 5, (24, 2)) * 0.1,
    "true and false": np.random.default_rng(2).integers(0, 2, (24, 6)).astype(bool),
    "a line in space": np.random.default_rng(4).normal(size=(24, 1)) * [1.0, 2.0, 4.0],
    "a line in one of two dimensions": np.random.default_rng(4).normal(size=(24, 1)) * [1.0, 0.0],
    "all equal": np.full((24, 3), 0.1),
    "all equally far": 0.1 * np.eye(24),
}


@pytest.mark.parametrize("k", [4, 9])
@pytest.mark.parametrize("kind", KINDS)
def test_the_score_is_exact_whatever_the_scales(kind, k, caplog):
    points = KINDS[kind]
    result = assert_equals_oracle(points, random_labels(np.random.default_rng(k), len(points)), k)
    assert (
        graph_convexity(points, random_labels(np.random.default_rng(k), len(points)), k, n_jobs=3) == result
    )
    for record in caplog.records:
        assert "equally far" in record.message or "one member" in record.message


@pytest.mark.parametrize("width", [1e6, 1e8, 1e10, 1e12])
def test_a_dimension_wider_and_wider_comes_to_an_end(width):
    """What remains of the others when one decides alone: not ties, of which the best would count."""
    labels = np.random.default_rng(0).integers(0, 4, 500)
    points = np.random.default_rng(1).normal(size=(500, 8))
    scores = [
        graph_convexity(points * np.array([scale, *[1.0] * 7]), labels).score for scale in (width, 2.0**50)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=2e-3)


@pytest.mark.parametrize("points", [np.full((30, 2), 0.1), np.eye(30), -0.7 * np.eye(30)])
def test_that_the_order_of_the_points_decides_is_warned_of(points, caplog):
    graph_convexity(points, np.arange(30) % 3, 4)
    assert "30 of 30 points have more than 4 nearest neighbours" in caplog.text
    caplog.clear()
    graph_convexity(clouds(0)[0][:30], np.arange(30) % 3, 4)
    assert not caplog.text


def test_paths_of_many_vertices_that_all_tie():
    """On a line of whole numbers the path between two points takes all between them."""
    n = 700
    labels = np.arange(n) % 3
    result = graph_convexity(np.arange(n)[:, None], labels, 1, n_jobs=2)
    expected = []
    for i in range(n):  # by symmetry, one direction
        for j in range(i + 3, n, 3):
            expected.append((j - i) // 3 - 1)
    interior = [3 * inside + 2 for inside in expected]
    assert result.score == pytest.approx(np.mean(np.array(expected) / interior), abs=1e-12)


@pytest.mark.parametrize("k", [1, 3, 10, 49])
def test_equals_nnconvexity_where_that_is_exact(k):
    rng = np.random.default_rng(k)
    labels = np.repeat(np.arange(4), [5, 15, 20, 60])
    points = rng.normal(size=(100, 6)) + np.eye(6)[labels]
    expected, per_class = compute_graph_convexity(points, labels, k)
    result = graph_convexity(points, labels, k)
    assert round(100 * result.score, 2) == expected
    assert {label: round(100 * entry.score, 2) for label, entry in result.per_class.items()} == per_class


def clouds(seed, n=60, dimensions=5, classes=3, apart=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % classes)
    return rng.normal(size=(n, dimensions)) + apart * rng.normal(size=(classes, dimensions))[labels], labels


def close(a, b, errors=1e-9):
    """The same scores up to rounding, counts exactly, and errors up to a share of them. Labels and effects
    of points may differ."""
    numbers, others = ({**vars(result), "per_class": 0, "effects": 0} for result in (a, b))
    for name, number in numbers.items():
        tolerance = {"rel": errors} if "stderr" in name else {"abs": 1e-9}
        assert number == pytest.approx(others[name], **tolerance), name


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), k=st.integers(1, 12))
def test_order_names_place_direction_and_scale_do_not_matter(seed, k):
    points, labels = clouds(seed)
    result = graph_convexity(points, labels, k, n_jobs=1)
    assert 0 <= result.score <= 1
    assert 0 <= result.class_score <= 1
    assert result.n_pairs == 3 * 20 * 19
    rng = np.random.default_rng(seed)

    order = rng.permutation(len(points))
    shuffled = graph_convexity(points[order], labels[order], k, n_jobs=1)
    close(shuffled, result, errors=0.4)  # points toss other coins
    for label, entry in result.per_class.items():
        assert shuffled.per_class[label].score == pytest.approx(entry.score, abs=1e-12)

    named = graph_convexity(points, [("class", str(label)) for label in labels], k, n_jobs=1)
    assert {label: named.per_class["class", str(label)] for label in result.per_class} == result.per_class

    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    close(graph_convexity((points @ rotation) * 0.37 + 11.0, labels, k, n_jobs=1), result)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), k=st.integers(1, 10))
def test_separated_classes_are_convex(seed, k):
    points, labels = clouds(seed)
    result = graph_convexity(points + 1e4 * labels[:, None], labels, k, n_jobs=1)
    assert result.score == pytest.approx(1 - result.n_unreachable / result.n_pairs)
    assert k < 10 or result.score == 1


def test_no_structure_scores_chance_and_pairs_without_a_path_nothing():
    rng = np.random.default_rng(0)
    result = graph_convexity(rng.normal(size=(800, 8)), rng.integers(0, 4, 800), 10)
    assert result.class_chance == 0.25
    assert result.chance == pytest.approx(0.25, abs=0.01)
    assert result.score == pytest.approx(0.25, abs=0.06)
    unbalanced = graph_convexity(rng.normal(size=(1000, 8)), np.repeat([0, 1], [900, 100]), 10)
    assert unbalanced.chance == pytest.approx((900**2 * 899 + 100**2 * 99) / (1000 * (900 * 899 + 100 * 99)))
    assert unbalanced.score == pytest.approx(unbalanced.chance, abs=0.06)
    assert (unbalanced.class_chance, unbalanced.class_score) == (0.5, pytest.approx(0.5, abs=0.06))
    two = graph_convexity([[0.0], [1.0], [100.0], [101.0]], ["a", "a", "a", "a"], 1)
    assert (two.score, two.n_unreachable, two.n_pairs) == (4 / 12, 8, 12)


def test_a_class_of_one_member_is_left_out(caplog):
    points = np.random.default_rng(0).normal(size=(9, 2))
    result = graph_convexity(points, [*"aaaabbbb", "lonely"], 3)
    assert "lonely" in caplog.text
    assert (result.n_classes, result.class_chance, result.n_items) == (2, 0.5, 9)
    assert np.isnan(result.per_class["lonely"].score)


def test_no_bit_depends_on_threads_or_blocks(monkeypatch):
    points, labels = clouds(0, n=400, classes=7, dimensions=30)
    points = points.astype(np.float32)
    result = graph_convexity(points, labels, n_jobs=1)
    assert result.stderr > 0
    for threads in (2, 4):
        assert graph_convexity(points, labels, n_jobs=threads) == result
    for rows in (1, 7, 399):
        monkeypatch.setattr(neighbours, "BLOCK_BYTES", rows * 4 * len(points))
        assert graph_convexity(points, labels, n_jobs=2) == result


@pytest.mark.parametrize(
    "points",
    [
        np.random.default_rng(0).normal(size=(300, 40)),
        1e4 + 1e-3 * np.random.default_rng(1).normal(size=(300, 5)),  # near each other, far from the origin
        np.random.default_rng(2).normal(size=(300, 5)) + 1e5 * np.arange(3)[np.arange(300) % 3, None],
        np.random.default_rng(3).integers(0, 3, (300, 4)).astype(np.float64),  # ties and duplicates
        np.random.default_rng(4).normal(size=(300, 3))
        * 10.0 ** np.random.default_rng(5).uniform(-30, 30, (300, 1)),
        np.zeros((30, 2)),
    ],
    ids=["plain", "far", "clusters", "ties", "scales", "equal"],
)
def test_neighbours_are_those_of_float64(points):
    for data in (points, points.astype(np.float32)):
        indices, distances = neighbours.nearest_neighbours(data, 7)
        exact = np.sqrt(((data[:, None].astype(np.float64) - data[None]) ** 2).sum(-1))
        np.fill_diagonal(exact, np.inf)
        assert np.array_equal(np.sort(exact, axis=1)[:, :7], distances) or np.allclose(
            np.sort(exact, axis=1)[:, :7], distances, rtol=1e-14, atol=0
        )
        assert np.array_equal(np.argsort(exact, axis=1, kind="stable")[:, :7], indices)


def test_sampled_sources_are_unbiased_and_their_interval_covers():
    points, labels = clouds(3, n=600, classes=3, apart=0.6)
    kept = (labels < 2) | (np.arange(600) < 150)  # unbalanced: pairs and classes weigh differently
    points, labels = points[kept], labels[kept]
    exact = graph_convexity(points, labels)
    assert exact.sampling_stderr == 0
    samples = [
        graph_convexity(points, labels, n_sources=20, random_state=seed, n_jobs=1) for seed in range(200)
    ]
    for score, stderr in (("score", "sampling_stderr"), ("class_score", "class_sampling_stderr")):
        errors = np.array([getattr(sample, score) - getattr(exact, score) for sample in samples])
        stated = np.array([getattr(sample, stderr) for sample in samples])
        assert abs(errors.mean()) < 3 * errors.std() / np.sqrt(len(errors))
        assert np.mean(np.abs(errors) < 1.96 * stated) > 0.9
        assert np.sqrt(np.mean(stated**2)) == pytest.approx(errors.std(), rel=0.1)
    assert all(sample.n_unreachable == exact.n_unreachable for sample in samples)
    assert graph_convexity(points, labels, n_sources=200, n_jobs=1) == exact


def test_the_standard_error_of_sampled_sources_has_both_parts():
    points, labels = clouds(3, n=600, classes=3, apart=0.6)
    exact = graph_convexity(points, labels)
    sample = graph_convexity(points, labels, n_sources=3)
    for stderr, sampling in (("stderr", "sampling_stderr"), ("class_stderr", "class_sampling_stderr")):
        assert getattr(sample, stderr) > getattr(sample, sampling) > 2 * getattr(exact, stderr)


def test_labels_may_be_a_tensor():
    torch = pytest.importorskip("torch")
    points, labels = clouds(0)
    assert graph_convexity(points, torch.from_numpy(labels)) == graph_convexity(points, labels)


def test_whole_numbers_and_half_precision_are_taken_as_they_are():
    points = np.random.default_rng(0).integers(-(2**30), 2**30, (60, 3))
    labels = np.arange(60) % 3
    assert graph_convexity(points, labels) == graph_convexity(points.astype(np.float64), labels)
    halves = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float16)
    assert graph_convexity(halves, labels) == graph_convexity(halves.astype(np.float64), labels)


def test_standard_error_is_the_spread_over_new_points():
    centres = np.random.default_rng(7).normal(size=(4, 10)) * 0.7
    results = []
    for seed in range(120):
        labels = np.repeat(np.arange(4), [20, 40, 60, 80])
        points = centres[labels] + np.random.default_rng(seed).normal(size=(200, 10))
        results.append(graph_convexity(points, labels, n_jobs=1))
    for score, stderr in (("score", "stderr"), ("class_score", "class_stderr")):
        spread = np.std([getattr(result, score) for result in results], ddof=1)
        stated = np.sqrt(np.mean([getattr(result, stderr) ** 2 for result in results]))
        assert 0.8 < stated / spread < 1.25


@pytest.mark.parametrize(
    ("points", "labels", "options", "message"),
    [
        (np.zeros((4, 2)), [0, 0, 1], {}, "4 representations, but 3 labels"),
        (np.zeros(4), [0] * 4, {}, r"must be real numbers of shape \(points, dimensions\)"),
        (np.array([["a"], ["b"]]), [0, 0], {}, "must be real numbers"),
        (np.zeros((3, 2), complex), [0] * 3, {}, "must be real numbers"),
        (np.array([[0.0], [np.nan], [2], [np.inf]]), [0] * 4, {}, "2 of 4 .* first in row 1"),
        (np.array([[0.0], [1e200], [2]]), [0] * 3, {}, "1 of 3 .* first in row 1"),
        (np.zeros((5, 2)), [0] * 5, {"n_neighbors": 5}, "n_neighbors is 5, but must be from 1 to 4"),
        (np.zeros((5, 2)), [0] * 5, {"n_neighbors": 0}, "n_neighbors is 0"),
        (np.zeros((5, 2)), [0] * 5, {"n_sources": 1}, "n_sources is 1"),
        (np.eye(3), [0, 1, 2], {}, "every class has one member"),
        (np.eye(3), np.eye(3), {}, "labels must be one-dimensional"),
        (np.eye(0), [], {}, "representations must be real numbers"),
        (np.zeros((0, 2)), [], {}, "there are 0 points"),
        (np.zeros((1, 2)), [0], {}, "there are 1 points"),
        *(
            (np.eye(3), [0, 0, no], {}, "1 labels are missing")
            for no in (np.nan, None, pd.NA, pd.NaT, np.float32("nan"))
        ),
        (np.eye(3), np.array(["2020", "2020", "NaT"], "M8[D]"), {}, "1 labels are missing"),
        (np.eye(3), [0, 0, [0]], {}, r"that of row 2 is \[0\]"),
        (np.eye(3) * 1e-140, [0, 0, 0], {}, "row 0 and its nearest one differ by less than 1e-130"),
        (np.eye(3) * 5e-324, [0, 0, 0], {}, "multiply all points"),
        (
            np.array([[1.0], [2], [3], [3 + 1e-200], [1e-200], [0]]),
            [0] * 6,
            {},
            "row 4 .* make these two equal",
        ),
        (np.array([[0], [2**53 + 1], [5]]), [0] * 3, {}, "beyond 2\\^53"),
        (np.array([[0], [2**63 + 5], [5]], np.uint64), [0] * 3, {}, "beyond 2\\^53"),
    ],
)
def test_bad_input_is_named(points, labels, options, message):
    with pytest.raises(ValueError, match=message):
        graph_convexity(points, labels, **({"n_neighbors": 1} | options))


@pytest.fixture
def files(tmp_path):
    points, labels = clouds(0)
    labels = np.array(["yes", "no", "up"])[labels]
    np.save(tmp_path / "X.npy", points)
    np.save(tmp_path / "y.npy", labels)
    np.savez(tmp_path / "both.npz", representations=points, labels=labels)
    with h5py.File(tmp_path / "words.h5", "w") as file:
        file["hidden_states"] = np.stack([points * 0, points]).astype(np.float32)
        file["labels"] = labels.astype(object)
        file.attrs["complete"] = True
    return tmp_path, graph_convexity(points, labels, 5)


@pytest.mark.parametrize(
    "arguments", [["X.npy", "--labels", "y.npy"], ["both.npz"], ["X.npy", "--labels", "both.npz"]]
)
def test_command_line_reads_arrays(files, capsys, monkeypatch, arguments):
    folder, expected = files
    monkeypatch.chdir(folder)
    main(["convexity", *arguments, "--n-neighbors", "5", "--json"])
    [found] = json.loads(capsys.readouterr().out)["layers"]
    assert found["score"] == expected.score
    assert {entry["label"]: entry["score"] for entry in found["per_class"]} == {
        label: entry.score for label, entry in expected.per_class.items()
    }


def test_command_line_options_reach_the_score(files, capsys):
    folder, _ = files
    points, labels = np.load(folder / "X.npy"), np.load(folder / "y.npy")
    expected = graph_convexity(points, labels, 4, n_sources=3, random_state=5)
    options = ["--n-neighbors", "4", "--n-sources", "3", "--random-state", "5", "--n-jobs", "1"]
    main(["convexity", str(folder / "X.npy"), "--labels", str(folder / "y.npy"), *options])
    assert f"{expected.score:.4f} ± {expected.stderr:.4f}" in capsys.readouterr().out


def test_command_line_scores_all_layers_or_one(files, capsys):
    folder, expected = files
    told = f"{expected.score:.4f} ± {expected.stderr:.4f}"
    main(["convexity", str(folder / "words.h5"), "--n-neighbors", "5"])
    table = capsys.readouterr().out
    assert re.findall(r"^\d ", table, flags=re.MULTILINE) == ["0 ", "1 "]
    assert told in table and "yes" not in table
    main(["convexity", str(folder / "words.h5"), "--layer", "1", "--n-neighbors", "5", "--classes"])
    table = capsys.readouterr().out
    assert re.findall(r"^\d ", table, flags=re.MULTILINE) == ["1 "] * 4
    assert told in table and "yes" in table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["X.npy"], "labels"),
        (["missing.npy", "--labels", "y.npy"], "missing.npy"),
        (["both.npz", "--n-neighbors", "60"], "both.npz: n_neighbors is 60"),
        (["both.npz", "--n-jobs", "0"], "n_jobs is 0, but must be"),
        (["both.npz", "--random-state", "-1"], "random_state is -1, but must be a whole number from 0 on"),
    ],
)
def test_command_line_names_what_is_wrong(files, monkeypatch, arguments, message):
    folder, _ = files
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit, match=message):
        main(["convexity", *arguments])


def test_random_states_are_those_of_scikit_learn():
    points, labels = clouds(3, n=300, classes=3, apart=0.6)

    def score(random_state):
        return graph_convexity(points, labels, n_sources=5, random_state=random_state).score

    assert score(1) == score(np.int64(1)) == score(np.random.default_rng(1)) != score(2)
    assert score(np.random.RandomState(1)) == score(np.random.RandomState(1))
    assert len({score(None) for _ in range(3)}) > 1
    for wrong in ("a", 1.5, -1):
        with pytest.raises(ValueError, match=f"random_state is {wrong!r}, but must be a whole number"):
            score(wrong)


def test_no_writable_folder_for_compiled_code_is_no_error(root, tmp_path):
    package = tmp_path / "convexprune"
    shutil.copytree(
        root / "workflow/scripts/convexprune", package, ignore=shutil.ignore_patterns("__pycache__")
    )
    (package / "convexity/__pycache__").touch()  # a file: nothing can be written below it
    code = (
        "import numpy; from convexprune.convexity.neighbours import nearest_neighbours;"
        "from convexprune.convexity.neighbours import _squared_distance as f;"
        "nearest_neighbours(numpy.eye(3), 1); assert 'Null' in type(f._cache).__name__"
    )
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null", "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-B", "-c", code], env=environment, cwd=tmp_path, check=True)
