import itertools

import numpy as np
import pytest
from convexprune.data import batches
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 3), max_size=200), st.integers(1, 5), st.randoms(use_true_random=False))
def test_windows_hold_every_row_once_in_place_and_batches_go_by_length(
    monkeypatch, items, batch_size, random
):
    clip = np.repeat(np.arange(len(items)), items)
    lengths = np.array([random.randrange(9) for _ in items], int)[clip]
    seen = 0
    monkeypatch.setattr(batches, "ROWS", 40)
    for window in batches.sort_windows(clip, lengths, batch_size):
        assert len(window) == 1 or sum(map(len, window)) <= 40
        rows = np.sort(np.concatenate(window))
        assert rows.tolist() == list(range(seen, seen + len(rows)))
        seen += len(rows)
        for batch in window:
            assert (np.diff(batch) > 0).all()
            assert len(np.unique(clip[batch])) <= batch_size
        edges = [(lengths[batch].min(), lengths[batch].max()) for batch in window]
        assert all(last <= first for (_, last), (first, _) in itertools.pairwise(edges))
        clips = [set(clip[batch]) for batch in window]
        assert sum(map(len, clips)) == len(set().union(*clips))
    assert seen == len(clip)


@pytest.mark.parametrize("lengths", [None, np.ones(100)])
def test_clips_of_one_length_keep_their_order(lengths):
    [*windows] = batches.sort_windows(np.arange(100), lengths, 3)
    assert len(windows) == (34 if lengths is None else 1)
    assert [batch.tolist() for window in windows for batch in window] == [
        list(range(first, min(first + 3, 100))) for first in range(0, 100, 3)
    ]


@pytest.mark.parametrize("n", [1, 7, 64, 1003])
@pytest.mark.parametrize("batch_size", [1, 8, 32])
def test_an_order_has_every_clip_once_and_depends_on_the_generator_alone(n, batch_size):
    lengths = np.random.default_rng(0).integers(8000, 128000, n)
    one, again, other = (
        batches.shuffle(lengths, batch_size, np.random.default_rng(seed)).tolist() for seed in (1, 1, 2)
    )
    assert sorted(one) == list(range(n))
    assert one == again
    assert one != other or n < 8


@pytest.mark.parametrize(("n", "most"), [(150, 1.1), (1003, 1.05), (4000, 1.05)])
def test_a_batch_of_like_lengths_wastes_little(n, most):
    lengths = np.random.default_rng(0).integers(8000, 128000, n)
    order = batches.shuffle(lengths, 8, np.random.default_rng(0))
    parts = np.split(lengths[order], range(8, n, 8))
    assert sum(len(part) * part.max() for part in parts) < most * lengths.sum()
    firsts = [
        order[:8].tolist()
        for order in (batches.shuffle(lengths, 8, np.random.default_rng(s)) for s in range(9))
    ]
    assert len({tuple(sorted(first)) for first in firsts}) == 9
    assert lengths[order][::8][:20].std() > 10_000  # batches do not come in the order of length
