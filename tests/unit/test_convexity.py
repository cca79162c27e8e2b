"""Graph convexity against a brute-force oracle, the authors' package, and what must not change it."""

import dataclasses
import itertools
import json
import os
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
from convexprune import neighbours
from convexprune.__main__ import main
from convexprune.convexity import graph_convexity
from convexprune.paths import inside_shares
from hypothesis import given, settings
from hypothesis import strategies as st
from nnconvexity.graph import compute_graph_convexity

SLACK = 1e-9  # paths whose lengths differ by less tie, for the oracle


def joined(points, k):
    """Lengths of the edges of the graph (N, N), infinite where there is none. Ties by index."""
    points = np.asarray(points, dtype=np.float64)
    distances = np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1))
    lengths = np.full_like(distances, np.inf)
    for i, row in enumerate(distances):
        others = sorted((d, j) for j, d in enumerate(row) if j != i)
        for d, j in others[:k]:
            lengths[i, j] = lengths[j, i] = d
    return lengths


def oracle(points, labels, k):
    """The scores by pairs and by classes, and of each class, over the distances between all points.

    Of several shortest paths, the one with the fewest vertices outside, then that with the fewest vertices.
    """
    lengths = joined(points, k)
    n = len(lengths)
    shortest = lengths.copy()
    np.fill_diagonal(shortest, 0)
    for via in range(n):
        shortest = np.minimum(shortest, shortest[:, via, None] + shortest[None, via])

    shares = {}
    for source in range(n):
        # the edges that are the last of a shortest path from the source
        ways = shortest[source][:, None] + lengths
        last = np.argwhere((ways <= shortest[source] + SLACK) & np.isfinite(ways))
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
    result = graph_convexity(points, labels, k, threads=1)
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


@pytest.mark.parametrize("far", range(3, 110))
def test_whole_multiples_by_any_prime_tie(far):
    """From 0 to `far` directly or over 1: sqrt(2) far = sqrt(2) + sqrt(2) (far - 1)."""
    line = np.array([0, 1, far, far + 1])
    lengths = np.sqrt(2.0 * (line[:, None] - line[None]) ** 2)
    edges = [(0, 1), (1, 2), (0, 2), (2, 3)]
    starts, targets, values = [0], [], []
    for vertex in range(4):
        joined = sorted({a + b - vertex for a, b in edges if vertex in (a, b)})
        targets += joined
        values += [lengths[vertex, other] for other in joined]
        starts.append(len(targets))
    graph = neighbours.Graph(np.array(starts, np.int32), np.array(targets, np.int32), np.array(values))
    # over 2 alone the path has one vertex outside, over 1 and 2 one outside of two: fewer vertices count
    found = inside_shares(graph, np.array([0, 0, 1, 0]), np.array([0]), np.ones((1, 1)))
    assert found.sums.tolist() == [1.0 + 0.0]


def test_an_outlier_that_coarsens_the_lengths_is_warned_of(caplog):
    points, labels = clouds(0, n=30)
    graph_convexity(points, labels, 4)
    assert not caplog.text
    points[0, 0] = 1e14
    graph_convexity(points, labels, 4)
    assert "outliers" in caplog.text


@pytest.mark.parametrize("inside", [1, 2, 3])
def test_equal_lengths_of_different_edges_tie(inside):
    """From 0 to 4 over 1, 2 or 3: sqrt(2) + sqrt(18) = sqrt(8) + sqrt(8), but not in floating point."""
    graph = neighbours.Graph(
        np.array([0, 3, 5, 7, 9, 12], np.int32),
        np.array([1, 2, 3, 0, 4, 0, 4, 0, 4, 1, 2, 3], np.int32),
        np.sqrt([2, 8, 18, 2, 18, 8, 8, 18, 2, 18, 8, 2]),
    )
    classes = np.array([1, *(int(vertex == inside) for vertex in (1, 2, 3)), 1])
    found = inside_shares(graph, classes, np.array([0]), np.ones((1, 1)))
    assert found.sums.tolist() == [2.0]


def test_paths_of_more_vertices_than_their_bits_can_count():
    """On a line of whole numbers the path between two points takes all between them."""
    n = 700
    labels = np.arange(n) % 3
    result = graph_convexity(np.arange(n)[:, None], labels, 1, threads=2)
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


def close(a, b):
    """The same scores and errors up to rounding, counts exactly; labels aside."""
    numbers = [list(dataclasses.asdict(result).values())[:-1] for result in (a, b)]
    assert numbers[0] == pytest.approx(numbers[1], abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), k=st.integers(1, 12))
def test_order_names_place_direction_and_scale_do_not_matter(seed, k):
    points, labels = clouds(seed)
    result = graph_convexity(points, labels, k, threads=1)
    assert 0 <= result.score <= 1
    assert 0 <= result.class_score <= 1
    assert result.n_pairs == 3 * 20 * 19
    rng = np.random.default_rng(seed)

    order = rng.permutation(len(points))
    shuffled = graph_convexity(points[order], labels[order], k, threads=1)
    close(shuffled, result)
    for label, entry in result.per_class.items():
        assert shuffled.per_class[label].score == pytest.approx(entry.score, abs=1e-12)

    named = graph_convexity(points, [("class", str(label)) for label in labels], k, threads=1)
    assert {label: named.per_class["class", str(label)] for label in result.per_class} == result.per_class

    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    close(graph_convexity((points @ rotation) * 0.37 + 11.0, labels, k, threads=1), result)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), k=st.integers(1, 10))
def test_separated_classes_are_convex(seed, k):
    points, labels = clouds(seed)
    result = graph_convexity(points + 1e4 * labels[:, None], labels, k, threads=1)
    assert result.score == pytest.approx(1 - result.n_unreachable / result.n_pairs)
    assert k < 10 or result.score == 1


def test_no_structure_scores_chance_and_pairs_without_a_path_nothing():
    rng = np.random.default_rng(0)
    result = graph_convexity(rng.normal(size=(800, 8)), rng.integers(0, 4, 800), 10)
    assert result.chance == 0.25
    assert result.pair_chance == pytest.approx(0.25, abs=0.01)
    assert result.score == pytest.approx(0.25, abs=0.06)
    unbalanced = graph_convexity(rng.normal(size=(1000, 8)), np.repeat([0, 1], [900, 100]), 10)
    assert unbalanced.pair_chance == pytest.approx(
        (900**2 * 899 + 100**2 * 99) / (1000 * (900 * 899 + 100 * 99))
    )
    assert unbalanced.score == pytest.approx(unbalanced.pair_chance, abs=0.06)
    assert (unbalanced.chance, unbalanced.class_score) == (0.5, pytest.approx(0.5, abs=0.06))
    two = graph_convexity([[0.0], [1.0], [100.0], [101.0]], ["a", "a", "a", "a"], 1)
    assert (two.score, two.n_unreachable, two.n_pairs) == (4 / 12, 8, 12)


def test_a_class_of_one_member_is_left_out(caplog):
    points = np.random.default_rng(0).normal(size=(9, 2))
    result = graph_convexity(points, [*"aaaabbbb", "lonely"], 3)
    assert "lonely" in caplog.text
    assert (result.n_classes, result.chance, result.n_items) == (2, 0.5, 9)
    assert np.isnan(result.per_class["lonely"].score)


def test_no_bit_depends_on_threads_blocks_or_device(monkeypatch):
    points, labels = clouds(0, n=400, classes=7, dimensions=30)
    points = points.astype(np.float32)
    result = graph_convexity(points, labels, threads=1)
    assert result.stderr > 0
    for threads in (2, 4):
        assert graph_convexity(points, labels, threads=threads) == result
    for rows in (1, 7, 399):
        monkeypatch.setattr(neighbours, "BLOCK_BYTES", rows * 4 * len(points))
        assert graph_convexity(points, labels, threads=2) == result
    assert graph_convexity(points, labels, threads=1, device="cpu") == result


@pytest.mark.parametrize("device", [None, "cpu"])
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
def test_neighbours_are_those_of_float64(points, device):
    for data in (points, points.astype(np.float32)):
        indices, distances = neighbours.nearest_neighbours(data, 7, device=device)
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
    samples = [graph_convexity(points, labels, n_sources=20, seed=seed, threads=1) for seed in range(200)]
    for score, stderr in (("score", "sampling_stderr"), ("class_score", "class_sampling_stderr")):
        errors = np.array([getattr(sample, score) - getattr(exact, score) for sample in samples])
        stated = np.array([getattr(sample, stderr) for sample in samples])
        assert abs(errors.mean()) < 3 * errors.std() / np.sqrt(len(errors))
        assert np.mean(np.abs(errors) < 1.96 * stated) > 0.9
        assert np.sqrt(np.mean(stated**2)) == pytest.approx(errors.std(), rel=0.1)
    assert all(sample.n_unreachable == exact.n_unreachable for sample in samples)
    assert graph_convexity(points, labels, n_sources=200, threads=1) == exact


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
        results.append(graph_convexity(points, labels, threads=1))
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
        (np.eye(3), [0, 0, np.nan], {}, "1 labels are NaN"),
        (np.eye(3) * 1e-140, [0, 0, 0], {}, "multiply them"),
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
    (tmp_path / "empty.npy").touch()
    return tmp_path, graph_convexity(points, labels, 5)


@pytest.mark.parametrize("arguments", [["X.npy", "y.npy"], ["both.npz"], ["X.npy", "both.npz"]])
def test_command_line_reads_arrays(files, capsys, arguments):
    folder, expected = files
    main(["convexity", *(str(folder / name) for name in arguments), "--neighbors", "5", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["score"] == expected.score
    assert {entry["label"]: entry["score"] for entry in found["per_class"]} == {
        label: entry.score for label, entry in expected.per_class.items()
    }


def test_command_line_options_reach_the_score(files, capsys):
    folder, _ = files
    points, labels = np.load(folder / "X.npy"), np.load(folder / "y.npy")
    expected = graph_convexity(points, labels, 4, n_sources=3, seed=5)
    options = ["--neighbors", "4", "--sources", "3", "--seed", "5", "--threads", "1", "--device", "cpu"]
    main(["convexity", str(folder / "X.npy"), str(folder / "y.npy"), *options])
    text = capsys.readouterr().out
    assert f"{expected.score:.4f} ± {expected.stderr:.4f}" in text
    assert f"± {expected.sampling_stderr:.4f}" in text


def test_command_line_writes_valid_json_for_classes_without_pairs(tmp_path, capsys):
    np.savez(tmp_path / "both.npz", representations=np.eye(4), labels=np.array(["a", "a", "a", "alone"]))
    main(["convexity", str(tmp_path / "both.npz"), "--neighbors", "1", "--json"])
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert [entry["score"] for entry in found["per_class"] if entry["label"] == "alone"] == [None]


def test_command_line_reads_embeddings_and_prints_for_people(files, capsys):
    folder, expected = files
    main(["convexity", str(folder / "words.h5"), "--layer", "1", "--neighbors", "5"])
    text = capsys.readouterr().out
    assert f"{expected.score:.4f} ± {expected.stderr:.4f}" in text
    assert "yes" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["X.npy"], "labels"),
        (["words.h5"], "--layer"),
        (["missing.npy", "y.npy"], "missing.npy"),
        (["X.npy", "y.npy", "--neighbors", "60"], "n_neighbors is 60"),
        (["X.npy", "y.npy", "--layer", "1"], "--layer"),
        (["empty.npy", "y.npy"], "empty.npy is not a .npy or .npz file"),
        (["X.npy", "y.npy", "--device", "nothing"], "nothing"),
    ],
)
def test_command_line_names_what_is_wrong(files, arguments, message):
    folder, _ = files
    with pytest.raises(SystemExit, match=message):
        main(["convexity", *(str(folder / name) if "." in name else name for name in arguments)])


def test_no_writable_folder_for_compiled_code_is_no_error(root, tmp_path):
    package = tmp_path / "convexprune"
    shutil.copytree(
        root / "workflow/scripts/convexprune", package, ignore=shutil.ignore_patterns("__pycache__")
    )
    (package / "__pycache__").touch()  # a file: nothing can be written below it
    code = (
        "import numpy; from convexprune.neighbours import nearest_neighbours, _squared_distance as f;"
        "nearest_neighbours(numpy.eye(3), 1); assert 'Null' in type(f._cache).__name__"
    )
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null", "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-B", "-c", code], env=environment, cwd=tmp_path, check=True)
