"""The footing of all criteria, by hand."""

import numpy as np
import pandas as pd
import pytest
from convexprune.criteria import footing


@pytest.mark.parametrize("scale", [1, 1e-3, 700])
@pytest.mark.parametrize("offset", [0, -50, 3])
def test_the_fewest_layers_within_a_share_of_the_range_whatever_the_unit(scale, offset):
    goodness = pd.Series([99, 0, 94, 95.5, 100, 97, 80], dtype=float)  # 0 layers do not count
    assert footing.fewest_near_best(offset + scale * goodness) == 3
    assert footing.best(offset + scale * goodness) == 4


def test_missing_values_are_nobodys_choice():
    goodness = pd.Series([5, 1, np.nan, 3, np.nan])
    assert footing.fewest_near_best(goodness) == footing.best(goodness) == 3


def test_a_criterion_without_a_range_keeps_one_layer():
    assert footing.fewest_near_best(pd.Series([0.0, 0.7, 0.7, 0.7])) == 1
