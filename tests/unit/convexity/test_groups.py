"""Scores across groups of points, such as speakers, against brute force."""

import networkx
import numpy as np
import pytest
from convexprune import compare_convexity, graph_convexity


def score_pairs(points, labels, groups, k):
    """By class, the shares of the paths between its points of different groups; 0 without a path."""
    distances = np.linalg.norm(points[:, None] - points, axis=-1)
    graph = networkx.Graph()
    for i, row in enumerate(distances):
        graph.add_weighted_edges_from((i, j, row[j]) for j in np.argsort(row)[1 : k + 1])
    shares, lost = {c: [] for c in np.unique(labels)}, 0
    for i in graph:
        paths = networkx.single_source_dijkstra_path(graph, i)
        for j in np.flatnonzero((labels == labels[i]) & (groups != groups[i])):
            inside = [labels[v] == labels[i] for v in paths[j][1:-1]] if j in paths else [0]
            shares[labels[i]].append(np.mean(inside or [1]))
            lost += j not in paths
    return shares, lost


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("seed", range(3))
def test_across_groups_only_pairs_of_different_groups_count(seed, k):
    rng = np.random.default_rng(seed)
    labels, groups = rng.integers(0, 3, 60), rng.integers(0, 5, 60)
    points = rng.normal(size=(60, 3)) + labels[:, None] + rng.normal(size=(5, 3))[groups]
    found = graph_convexity(points, labels, k, groups=groups, across=True)
    shares, lost = score_pairs(points, labels, groups, k)
    assert found.score == pytest.approx(np.mean(np.concatenate([*shares.values()])))
    assert found.class_score == pytest.approx(np.mean([np.mean(of_class) for of_class in shares.values()]))
    assert (found.n_pairs, found.n_unreachable) == (sum(map(len, shares.values())), lost)
    for c, of_class in shares.items():
        assert found.per_class[c].score == pytest.approx(np.mean(of_class))
        assert found.per_class[c].n_pairs == len(of_class)


def test_the_score_across_groups_stands_beside_that_of_all_pairs():
    rng = np.random.default_rng(3)
    labels, groups = rng.integers(0, 3, 60), rng.integers(0, 5, 60)
    points = rng.normal(size=(60, 3)) + labels[:, None] + rng.normal(size=(5, 3))[groups]
    both, across = (
        graph_convexity(points, labels, 4, groups=groups, across=across) for across in (False, True)
    )
    assert both.across_score == across.score == across.across_score != both.score
    assert both.class_across_score == across.class_score != both.class_score
    assert (
        both.score
        == graph_convexity(points, labels, 4).score
        == graph_convexity(points, labels, 4).across_score
    )


def test_a_voice_apart_is_seen_across_voices_alone():
    """Each voice has a region of its own: within a voice the words are convex, across voices they are not."""
    rng = np.random.default_rng(0)
    words, voices = np.tile(np.repeat([0, 1], 20), 4), np.repeat(np.arange(4), 40)
    points = (
        rng.normal(size=(160, 8)) + 4 * rng.normal(size=(2, 8))[words] + 40 * rng.normal(size=(4, 8))[voices]
    )
    within = [graph_convexity(points[voices == voice], words[voices == voice]).score for voice in range(4)]
    across = graph_convexity(points, words, 45, groups=voices, across=True).score
    assert min(within) > 0.95 and across < 0.7


def test_without_groups_or_with_one_point_in_each_nothing_changes():
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(50, 3)), rng.integers(0, 3, 50)
    plain = graph_convexity(points, labels)
    alone = graph_convexity(points, labels, groups=range(50))
    across = graph_convexity(points, labels, groups=range(50), across=True)
    assert plain.score == alone.score == across.score
    assert plain.n_groups is None and alone.n_groups == 50
    assert alone.stderr == pytest.approx(plain.stderr, rel=0.05)  # classes are no strata of groups


def test_an_error_over_groups_is_the_spread_over_new_groups():
    """Voices shift all that they say; errors that take recordings as independent are too small."""
    labels, voices = np.repeat(np.arange(3), 60), np.tile(np.repeat(np.arange(20), 3), 3)
    centres = 0.8 * np.random.default_rng(7).normal(size=(3, 10))
    found = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        points = centres[labels] + rng.normal(size=(20, 3, 10))[voices, labels] + rng.normal(size=(180, 10))
        by_voice, by_point = (
            graph_convexity(points, labels, groups=groups, n_jobs=1) for groups in (voices, None)
        )
        found.append((by_voice.score, by_voice.stderr, by_point.stderr))
    score, by_voice, by_point = np.array(found).T
    spread = score.std(ddof=1)
    assert 0.82 < np.sqrt(np.mean(by_voice**2)) / spread < 1.2
    assert np.sqrt(np.mean(by_point**2)) / spread < 0.85


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (["a", "b"], "4 representations, but 2 groups"),
        (["a", None, "b", "a"], "1 groups are missing"),
        (["a", "a", "a", "a"], "every class lies in one group"),
        (["a", "a", "b", "b"], "every class lies in one group"),
    ],
)
def test_groups_that_tell_nothing_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        graph_convexity(np.eye(4), [0, 0, 1, 1], 2, groups=groups)


def test_scores_by_other_groups_are_not_compared():
    points, labels = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    first, second = (graph_convexity(points, labels, groups=groups) for groups in (np.arange(40) % 5, None))
    with pytest.raises(ValueError, match="the same labels, groups"):
        compare_convexity(first, second)
