"""Full against pruned model on the same test items: is one more accurate, and by how much?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import binomtest, norm

from convexprune.results import noninferiority


def pair_predictions(full: pd.DataFrame, pruned: pd.DataFrame, dataset: pd.DataFrame) -> pd.DataFrame:
    """Which of their test items two runs got right: a row per item: `label`, `speaker`, `full`, `pruned`.

    `full` and `pruned` are the runs' predictions (item, label, predicted), `dataset` the table of all items.
    `speaker` is empty in all rows if an item has none, or if the speakers are the labels.

    Raises ValueError if the two were not tested on the same items in the same order.
    """
    names = ["item", "label"]
    if not full[names].reset_index(drop=True).equals(pruned[names].reset_index(drop=True)):
        raise ValueError("the two runs were not tested on the same items: train them again on one dataset")
    speakers = dataset.set_index("item").loc[full["item"], "speaker"].to_numpy()
    known = (speakers != "").all() and (speakers != full["label"].to_numpy()).any()
    right = {
        name: (run["predicted"] == run["label"]).to_numpy()
        for name, run in (("full", full), ("pruned", pruned))
    }
    return full[["label"]].assign(speaker=speakers if known else "", **right)


def compare_predictions(
    full: pd.DataFrame, pruned: pd.DataFrame, dataset: pd.DataFrame
) -> dict[str, float | int]:
    """Compare two runs' predictions of one test split (`pair_predictions`).

    Returns `n_items`; `most_frequent`, the share of the most frequent class in them; `only_full` and
    `only_pruned`, the numbers of items that only this run got right; the two-sided `p_value` (`mcnemar`);
    `difference_low` and `difference_high`, the 95 % interval of pruned less full accuracy
    (`paired_interval`); `worse_at_most`, the one-sided 95 % bound of full less pruned accuracy
    (`noninferiority.exact_bound`), and `worse_at_most_by_speaker` (`noninferiority.clustered_bound`);
    `n_speakers`; and the accuracy of each run in the class, and on the speaker, where it is lowest
    (`full_worst_class` ...). What concerns speakers is missing if they are not known or are the labels.
    """
    pairs = pair_predictions(full, pruned, dataset)
    n, only_full, only_pruned = len(pairs), *count_differences(pairs)
    low, high = paired_interval(n, only_full, only_pruned)
    known = (pairs["speaker"] != "").all()
    speakers = pairs["speaker"].nunique() if known else math.nan
    lost = pairs["full"].astype(int) - pairs["pruned"].astype(int)
    by_speaker = noninferiority.clustered_bound(lost, pairs["speaker"])
    worst = {
        f"{run}_worst_{kind}": pairs.groupby(column)[run].mean().min() if shown else math.nan
        for kind, column, shown in (("class", "label", True), ("speaker", "speaker", known))
        for run in ("full", "pruned")
    }
    return {
        "n_items": n,
        "n_speakers": speakers,
        "most_frequent": float(pairs["label"].value_counts(normalize=True).max()),
        "only_full": only_full,
        "only_pruned": only_pruned,
        "p_value": mcnemar(only_full, only_pruned),
        "difference_low": low,
        "difference_high": high,
        "worse_at_most": noninferiority.exact_bound(n, only_full, only_pruned),
        "worse_at_most_by_speaker": by_speaker,
        **worst,
    }


def correct_for_models(compared: pd.DataFrame) -> pd.DataFrame:
    """Add `p_holm` to comparisons (a row per model, task and seed): over the models of a task and seed.

    A model that keeps all of its `full_layers` is compared with itself: it does not count, and its `p_holm`
    and its bounds are missing.
    """
    pruned = compared["layers"] < compared["full_layers"]
    tested = compared["p_value"].where(pruned)
    p_holm = tested.groupby([compared["task"], compared["seed"]]).transform(holm)
    bounds = ["worse_at_most", "worse_at_most_by_speaker"]
    table = compared.assign(**{name: compared[name].where(pruned) for name in bounds})
    table.insert(table.columns.get_loc("p_value") + 1, "p_holm", p_holm)
    return table


def count_differences(pairs: pd.DataFrame) -> tuple[int, int]:
    """The numbers of items that only the full and only the pruned model got right."""
    return int((pairs["full"] & ~pairs["pruned"]).sum()), int((pairs["pruned"] & ~pairs["full"]).sum())


def mcnemar(only_full: int, only_pruned: int) -> float:
    """The two-sided p-value of McNemar's exact test.

    If the models were equally accurate, each item that only one got right would belong to either with
    probability 1/2.
    """
    n = only_full + only_pruned
    return float(binomtest(only_full, n).pvalue) if n else 1.0


def holm(p_values: Sequence[float] | pd.Series) -> np.ndarray:
    """Holm's step-down correction (1979, A simple sequentially rejective multiple test procedure).

    Those of p_values up to 0.05 are the hypotheses that it rejects with a family error of 0.05. A missing
    value stays missing, and does not count.
    """
    given = np.asarray(p_values, float)
    order = np.argsort(given)[: int(np.isfinite(given).sum())]  # the missing ones come last
    factors = len(order) - np.arange(len(order))
    corrected = np.full(len(given), math.nan)
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * given[order]))
    return corrected


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
