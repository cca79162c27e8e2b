"""One footing for all criteria: how the values of a criterion by layer become a number of layers to keep."""

from __future__ import annotations

import pandas as pd

from convexprune.convexity import planning

SHARE = 0.05  # of the range of a criterion over 1 to L layers: values that near the best one count as good


def fewest_near_best(goodness: pd.Series) -> int:
    """The fewest layers, one or more, whose value is within SHARE of its range of the best.

    `goodness` is a criterion by layers, times its sign, so that higher is better. Missing values and 0 layers
    do not count. Criteria have units of their own, so no tolerance in those units could serve them all.
    """
    goodness = goodness.loc[1:].dropna()
    return planning.fewest_within(goodness, SHARE * float(goodness.max() - goodness.min()))


def best(goodness: pd.Series) -> int:
    """The layers, one or more, with the best value; the fewest if equal. `goodness`: as above."""
    return int(goodness.loc[1:].idxmax())
