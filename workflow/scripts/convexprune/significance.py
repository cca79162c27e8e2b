"""Is the pruned model's accuracy another than the full one's? McNemar's exact test on the same test items."""

from __future__ import annotations

import pandas as pd
from scipy.stats import binomtest


def compare_predictions(full: pd.DataFrame, pruned: pd.DataFrame) -> dict[str, float]:
    """Compare two runs' predictions (item, label, predicted) of one test split.

    Returns `n_items`; `only_full` and `only_pruned`, the items that this run alone got right; and the
    two-sided `p_value` of McNemar's exact test: were the runs equally accurate, each of those items would
    be either's with probability 1/2.

    Raises ValueError where the two were not tested on the same items in the same order.
    """
    names = ["item", "label"]
    if not full[names].reset_index(drop=True).equals(pruned[names].reset_index(drop=True)):
        raise ValueError("the two runs were not tested on the same items: train them again on one dataset")
    right = [(run["predicted"] == run["label"]).to_numpy() for run in (full, pruned)]
    only_full, only_pruned = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    n = only_full + only_pruned
    return {
        "n_items": len(full),
        "only_full": only_full,
        "only_pruned": only_pruned,
        "p_value": float(binomtest(only_full, n).pvalue) if n else 1.0,
    }
