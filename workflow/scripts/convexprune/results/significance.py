"""Does the pruned model's accuracy differ from the full one's? McNemar's exact test on shared test items."""

from __future__ import annotations

import math

import pandas as pd
from scipy.stats import binomtest, norm


def compare_predictions(full: pd.DataFrame, pruned: pd.DataFrame) -> dict[str, float]:
    """Compare two runs' predictions (item, label, predicted) of one test split.

    Returns `n_items`; `most_frequent`, the share of the most frequent class in them; `only_full` and
    `only_pruned`, the numbers of items that only this run got right; the two-sided `p_value` of McNemar's
    exact test: if the runs were equally accurate, each of those items would belong to either run with
    probability 1/2; and `difference_low` and `difference_high`, the 95 % interval of pruned less full
    accuracy (`paired_interval`).

    Raises ValueError if the two were not tested on the same items in the same order.
    """
    names = ["item", "label"]
    if not full[names].reset_index(drop=True).equals(pruned[names].reset_index(drop=True)):
        raise ValueError("the two runs were not tested on the same items: train them again on one dataset")
    right = [(run["predicted"] == run["label"]).to_numpy() for run in (full, pruned)]
    only_full, only_pruned = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    n = only_full + only_pruned
    low, high = paired_interval(len(full), only_full, only_pruned)
    return {
        "n_items": len(full),
        "most_frequent": float(full["label"].value_counts(normalize=True).max()),
        "only_full": only_full,
        "only_pruned": only_pruned,
        "p_value": float(binomtest(only_full, n).pvalue) if n else 1.0,
        "difference_low": low,
        "difference_high": high,
    }


def paired_interval(
    n: int, only_full: int, only_pruned: int, confidence: float = 0.95
) -> tuple[float, float]:
    """An interval of the difference of two accuracies, pruned less full, on the same `n` items.

    Wald's interval with half an item added to each cell of the 2 x 2 table, as Agresti and Min (2005, Simple
    improved confidence intervals for comparing matched proportions) propose: it holds for few items, too.
    """
    full, pruned, n = only_full + 0.5, only_pruned + 0.5, n + 2
    difference = (pruned - full) / n
    stderr = math.sqrt(full + pruned - n * difference**2) / n
    margin = float(norm.ppf((1 + confidence) / 2)) * stderr
    return max(-1.0, difference - margin), min(1.0, difference + margin)
