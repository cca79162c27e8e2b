"""The error of a difference is the spread of differences over new points."""

import numpy as np
import pytest
from convexprune import compare_convexity, graph_convexity
from convexprune.convexity.comparison import below_best

SIZES = [20, 40, 60, 80]
LABELS = np.repeat(np.arange(4), SIZES)
CENTRES = 0.7 * np.random.default_rng(7).normal(size=(4, 10))


def draw_layers(seed):
    """Two layers of the same points, drawn anew by each seed: the second has noise."""
    rng = np.random.default_rng(seed)
    points = CENTRES[LABELS] + rng.normal(size=(200, 10))
    return points, points + 0.5 * rng.normal(size=points.shape)


def test_the_error_is_the_spread_over_new_points_and_far_less_than_that_of_two_scores():
    pairs = [[graph_convexity(layer, LABELS, n_jobs=1) for layer in draw_layers(seed)] for seed in range(120)]
    differences = [compare_convexity(*pair) for pair in pairs]
    for score, stderr in (("score", "stderr"), ("class_score", "class_stderr")):
        assert [getattr(difference, score) for difference in differences] == [
            getattr(first, score) - getattr(second, score) for first, second in pairs
        ]
        spread = np.std([getattr(difference, score) for difference in differences], ddof=1)
        stated = np.sqrt(np.mean([getattr(difference, stderr) ** 2 for difference in differences]))
        apart = np.sqrt(np.mean([sum(getattr(one, stderr) ** 2 for one in pair) for pair in pairs]))
        assert 0.85 < stated / spread < 1.35
        assert apart > 1.5 * stated


def test_the_error_of_sampled_differences_has_both_parts():
    layers = draw_layers(0)
    exact = compare_convexity(*(graph_convexity(layer, LABELS) for layer in layers))
    samples = [
        compare_convexity(
            *(graph_convexity(layer, LABELS, n_sources=10, random_state=seed) for layer in layers)
        )
        for seed in range(60)
    ]
    stated = np.mean([sample.stderr**2 for sample in samples]) - exact.stderr**2  # the part of the sampling
    assert 0.6 < np.sqrt(stated) / np.std([sample.score for sample in samples]) < 1.6


def test_a_difference_has_a_direction_and_none_from_itself():
    first, second = (graph_convexity(layer, LABELS) for layer in draw_layers(0))
    forth, back = compare_convexity(first, second), compare_convexity(second, first)
    assert (forth.score, forth.class_score) == (-back.score, -back.class_score)
    assert (forth.stderr, forth.class_stderr) == pytest.approx((back.stderr, back.class_stderr))
    alone = compare_convexity(first, first)
    assert (alone.score, alone.stderr, alone.class_score, alone.class_stderr) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("labels", "options"),
    [(LABELS[::-1], {}), (LABELS + 1, {}), (np.roll(LABELS, 1), {}), (LABELS, {"random_state": 1})],
)
def test_scores_of_other_points_are_refused(labels, options):
    layer, _ = draw_layers(0)
    first = graph_convexity(layer, LABELS, n_sources=10)
    with pytest.raises(ValueError, match="not of the same points: score both with the same labels"):
        compare_convexity(first, graph_convexity(layer, labels, n_sources=10, **options))


def test_each_layer_is_compared_with_the_best_one_of_each_mean():
    points, blurred = draw_layers(1)
    noise = 2 * np.random.default_rng(0).normal(size=points.shape)
    last, first = (LABELS == 3)[:, None], (LABELS == 0)[:, None]
    layers = [points + noise * last, blurred, points + noise * first]
    scores = {layer: graph_convexity(points, LABELS) for layer, points in enumerate(layers)}
    found = below_best(scores)
    best = max(scores, key=lambda layer: scores[layer].score)
    best_by_class = max(scores, key=lambda layer: scores[layer].class_score)
    assert best != best_by_class
    for layer, below in found.items():
        expected = compare_convexity(scores[best], scores[layer])
        assert (below.score, below.stderr) == (expected.score, expected.stderr)
        assert below.score >= 0 and (below.stderr == 0) == (layer == best)
        expected = compare_convexity(scores[best_by_class], scores[layer])
        assert (below.class_score, below.class_stderr) == (expected.class_score, expected.class_stderr)
