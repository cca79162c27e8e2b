"""The discriminant against scikit-learn's, and what is made of it against plain loops."""

from itertools import pairwise

import numpy as np
import pytest
from convexprune.criteria import probes
from convexprune.criteria.registry import UnsuitableError
from scipy.special import log_softmax
from scipy.stats import multivariate_normal
from sklearn.covariance import oas
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler

N, D, K = 150, 12, 4


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    classes = rng.integers(0, K, N)
    points = rng.normal(size=(K, D))[classes] + rng.normal(size=(N, D)) * np.linspace(0.5, 3, D)
    points[:, 3] = 0  # a dimension that says nothing
    return points, classes


class Oracle:
    """The covariance within classes, and the discriminant that has it, by scikit-learn."""

    def __init__(self, points, classes):
        self.scaler = StandardScaler().fit(points)
        scaled = self.scaler.transform(points)
        within = np.concatenate([scaled[classes == c] - scaled[classes == c].mean(0) for c in set(classes)])
        covariance, _ = oas(within, assume_centered=True)
        self.present, self.scaled, self.single = np.unique(classes), scaled, not within.any()
        if self.single or len(self.present) == 1:  # scikit-learn wants more
            self.classes = classes
            return
        # scikit-learn is given the covariance: the same for every class
        fixed = type("Fixed", (), {"fit": lambda self, X: self, "covariance_": covariance})
        self.discriminant = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=fixed())
        self.discriminant.fit(scaled, classes)

    def log_probabilities(self, points):
        found = np.full((len(points), K), -np.inf)
        if len(self.present) == 1:
            found[:, self.present] = 0
            return found
        if self.single:  # items alone in their classes, equally likely: the density of each about its item
            asked = self.scaler.transform(points)
            for c, mean in zip(self.classes, self.scaled, strict=True):
                found[:, c] = multivariate_normal.logpdf(asked, mean)
            return log_softmax(found, axis=1)
        found[:, self.present] = self.discriminant.predict_log_proba(self.scaler.transform(points))
        return found


def trained(points, classes):
    return probes.fit(probes.find_moments(points, classes, K))


def test_the_discriminant_is_that_of_scikit_learn(data):
    points, classes = data
    singles = np.unique(classes, return_index=True)[1]
    for rows in (slice(N), slice(20), slice(D // 2), singles):  # with fewer points than dimensions too
        found = log_softmax(probes.score(trained(points[rows], classes[rows]), points), axis=1)
        expected = Oracle(points[rows], classes[rows]).log_probabilities(points)
        np.testing.assert_allclose(np.exp(found), np.exp(expected), atol=1e-6)


def test_accuracy_is_that_of_training_each_fold_by_itself(data):
    points, classes = data
    speakers = np.random.default_rng(1).integers(0, 9, N)
    folds = probes.make_folds(classes, speakers)
    assert len(folds) == 5 and sorted(np.concatenate(folds)) == list(range(N))
    assert sum(len({*speakers[fold]}) for fold in folds) == 9
    moments = [probes.find_moments(points[fold], classes[fold], K) for fold in folds]
    right = 0
    for fold in folds:
        train = np.setdiff1d(np.arange(N), fold)
        oracle = Oracle(points[train], classes[train])
        right += (oracle.log_probabilities(points[fold]).argmax(1) == classes[fold]).sum()
    accuracy = probes.probe_accuracy(points, classes, folds, moments)
    assert accuracy == pytest.approx(right / N, abs=1e-12) and 0.4 < accuracy < 1


def test_the_code_length_is_that_of_labels_sent_in_blocks(data):
    points, classes = data
    order = np.random.default_rng(2).permutation(N)
    points, classes = points[order], classes[order]
    # ends of blocks by the shares of Voita and Titov, rounded up: 0.1 % of 150 is a first item
    ends = [1, 2, 3, 5, 10, 19, 38, 75, 150]
    bits = 2.0  # the first label, of four classes
    for sent, end in pairwise(ends):
        for i in range(sent, end):
            p = np.exp(Oracle(points[:sent], classes[:sent]).log_probabilities(points[i : i + 1])[0])
            bits -= np.log2((sent * p[classes[i]] + 1) / (sent + K))
    assert probes.code_length(*data, K, order) == pytest.approx(bits / N, abs=1e-6)
    assert bits / N < 1.8 < probes.code_length(np.zeros((N, D)), data[1], K, order) < 2.2


def test_one_class_or_speaker_costs_what_it_should(data):
    points, classes = data
    with pytest.raises(UnsuitableError, match="no class has two items"):
        probes.make_folds(np.arange(N), None)
    assert len(probes.make_folds(np.repeat(np.arange(N // 3), 3), None)) == 3
    assert len(probes.make_folds(classes, np.arange(N) % 2)) == 2
    classes = np.array([0, 1, 1, 1])
    equal = probes.score(trained(np.ones((4, 2)), classes), np.ones((1, 2)))[0]  # shares are all it knows
    np.testing.assert_allclose(np.exp(equal), [1 / 4, 3 / 4, 0, 0])
    classes = data[1]
    # each speaker says one word, so that a probe never hears the word that it is asked for
    folds = probes.make_folds(classes, classes)
    moments = [probes.find_moments(points[fold], classes[fold], K) for fold in folds]
    assert probes.probe_accuracy(points, classes, folds, moments) == 0
