"""Criteria with labels against scikit-learn, SciPy and plain loops."""

from collections import Counter

import numpy as np
import pytest
from convexprune.convexity.neighbours import nearest_neighbours, nearest_of_other_groups
from convexprune.criteria import classes as criteria
from convexprune.criteria import probes
from convexprune.criteria.registry import UnsuitableError
from scipy.optimize import minimize
from scipy.stats import norm
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier

N, D, K = 120, 6, 5


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    classes = rng.integers(0, K, N)
    return 1.5 * rng.normal(size=(K, D))[classes] + rng.normal(size=(N, D)), classes


def test_the_silhouette_is_that_of_scikit_learn(data):
    points, classes = data
    classes[3] = K  # alone in its class
    points[5] = points[4]
    found = criteria.silhouette(points, classes, K + 1, threads=2)
    assert found == pytest.approx(silhouette_score(points, classes), abs=1e-6)
    assert found == pytest.approx(criteria.silhouette(points.astype(np.float32), classes, K + 1), abs=1e-5)
    with pytest.raises(UnsuitableError, match="one class"):
        criteria.silhouette(points, np.zeros(N, int), 1)


def test_fishers_ratio_is_that_of_the_scatter_matrices(data):
    points, classes = data
    mean, between, within = points.mean(0), 0, 0
    for c in range(K):
        of_class = points[classes == c]
        away, spread = of_class.mean(0) - mean, of_class - of_class.mean(0)
        between = between + len(of_class) * np.outer(away, away)
        within = within + spread.T @ spread
    found = criteria.fisher_ratio(probes.find_moments(points - mean, classes, K))
    assert found == pytest.approx(np.trace(between) / np.trace(within), abs=1e-6)
    with pytest.raises(UnsuitableError):
        criteria.fisher_ratio(probes.find_moments(np.eye(K), np.arange(K), K))


def logme(points, classes):
    moments = probes.find_moments(points, classes, K)
    return criteria.logme(*np.linalg.eigh(moments.products), moments.sums, moments.counts)


@pytest.mark.parametrize("dimensions", [D, 200])
def test_logme_is_the_greatest_evidence(data, dimensions):
    """The evidence of each class is a normal density, here on the axes of X X^T, at its maximum."""
    points, classes = data
    if dimensions > N:
        points = points @ np.random.default_rng(1).normal(size=(D, dimensions))
        points += 0.1 * np.random.default_rng(2).normal(size=points.shape)
    greatest = []
    variances, axes = np.linalg.eigh(points @ points.T)
    for c in range(K):
        target = axes.T @ (classes == c).astype(float)

        def loss(logs, target=target):
            weights, noise = np.exp(logs)
            return -norm.logpdf(target, scale=np.sqrt(weights * np.maximum(variances, 0) + noise)).sum()

        best = min(
            minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10}).fun
            for start in ((-5, -2), (-2, -4))
        )
        greatest.append(-best / N)
    assert logme(points, classes) == pytest.approx(np.mean(greatest), abs=1e-6)


def test_logme_of_points_that_say_nothing_is_that_of_noise_alone():
    classes = np.repeat(np.arange(K), 24)
    points = np.random.default_rng(0).normal(size=(N // 2, D))
    points = np.stack([points, -points], axis=1).reshape(N, D)  # those of each class add up to zero
    noise = -(np.log(2 * np.pi / K) + 1) / 2  # the likeliest variance of a label about 0 is its share
    assert logme(points, classes) == pytest.approx(noise, abs=1e-6)
    with pytest.raises(UnsuitableError, match="zero"):
        logme(np.zeros((N, 2)), classes)
    with pytest.raises(UnsuitableError, match="one class"):
        logme(np.ones((N, 2)), np.zeros(N, int))


@pytest.mark.parametrize("n_speakers", [N, 7])
def test_neighbours_of_other_speakers_vote_as_in_scikit_learn(data, n_speakers):
    points, classes = data
    speakers = np.arange(N) % n_speakers
    right = []
    for i in range(N):
        others = speakers != speakers[i]
        judge = KNeighborsClassifier(10).fit(points[others], classes[others])
        right.append(judge.predict(points[i : i + 1])[0] == classes[i])
    both = [np.arange(N) // 2, speakers]
    _, (neighbours, distances) = nearest_of_other_groups(points, 10, both, threads=2)
    assert criteria.neighbour_accuracy(neighbours, classes, K) == pytest.approx(np.mean(right), abs=1e-12)
    assert (speakers[neighbours] != speakers[:, None]).all()
    if n_speakers == N:
        np.testing.assert_array_equal(neighbours, nearest_neighbours(points, 10)[0])
    assert (np.diff(distances) >= 0).all()


def test_neighbours_of_other_groups_are_exact_where_float64_is_not():
    """Points that differ in the last digits, by whole numbers beyond what float64 squares exactly."""
    rng = np.random.default_rng(0)
    points = 1e9 + rng.integers(-3, 4, (40, 3)) * 2.0**-22
    groups = np.arange(40) % 4
    [(neighbours, _)] = nearest_of_other_groups(points, 5, [groups])
    whole = [[int(v) for v in row] for row in ((points - 1e9) * 2**22).tolist()]
    for i in range(40):
        far = [
            (sum((a - b) ** 2 for a, b in zip(whole[i], whole[j], strict=True)), j)
            for j in range(40)
            if groups[j] != groups[i]
        ]
        assert sorted(neighbours[i]) == sorted(j for _, j in sorted(far)[:5])


def test_pairs_are_drawn_evenly_from_all_of_one_class():
    classes = np.array([0, 0, 0, 1, 1, 2])
    pairs = criteria.draw_pairs(classes, 8000)
    counts = Counter(map(tuple, pairs.tolist()))
    assert set(counts) == {(a, b) for a in range(5) for b in range(5) if a != b and classes[a] == classes[b]}
    assert max(abs(count - 1000) for count in counts.values()) < 4 * 1000**0.5
    with pytest.raises(UnsuitableError, match="no class has two items"):
        criteria.draw_pairs(np.arange(4), 10)


def test_points_on_segments_are_classified_by_all_but_their_ends(data):
    points, classes = data
    pairs = criteria.draw_pairs(classes, 40)
    right = []
    for a, b in pairs:
        others = np.setdiff1d(np.arange(N), [a, b])
        judge = KNeighborsClassifier(7).fit(points[others], classes[others])
        between = [points[a] + j / 11 * (points[b] - points[a]) for j in range(1, 11)]
        right += (judge.predict(between) == classes[a]).tolist()
    found = criteria.euclidean_convexity(points, classes, pairs, 7, threads=2)
    assert found == pytest.approx(np.mean(right), abs=1e-12) and 0.3 < found < 1
    with pytest.raises(UnsuitableError, match="8 items"):
        criteria.euclidean_convexity(points[:8], classes[:8], pairs, 7)
