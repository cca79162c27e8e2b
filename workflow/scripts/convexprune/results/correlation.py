"""After fine-tuning: where convexity stops rising, and whether it goes with accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import permutation_test, rankdata

from convexprune.convexity import averages, planning


def study_convergence(
    finetuning: pd.DataFrame, convexity: pd.DataFrame, average: str, tolerance: float, seed: int
) -> pd.DataFrame:
    """Fine-tuned convexity of each full model (paper, section 3.2): a row per task and model.

    The convexity is that of the task's own dataset in the full model fine-tuned to it with `seed`; the
    accuracy is that of the same run. `convexity` and `stderr` are the last layer's. `stops_rising` is the
    fewest layers, one or more, whose convexity is within `tolerance` of the highest; `convexity_there` is the
    convexity at these layers.
    """
    score, stderr, _ = averages.COLUMNS[average]
    runs = finetuning[(finetuning["layers"] == finetuning["full_layers"]) & (finetuning["seed"] == seed)]
    rows = []
    for run in runs.sort_values(["task", "model"], ascending=[False, True]).itertuples():
        own = convexity["dataset"].eq(run.task) & convexity["state"].eq(run.task)
        curve = convexity[own & (convexity["model"] == run.model)].set_index("layers").sort_index()
        last, scores = curve.loc[run.layers], curve[score].loc[1:]
        stops = planning.fewest_within(scores, tolerance)
        row = {"task": run.task, "model": run.model, "full_layers": run.layers, "stops_rising": stops}
        row |= {"convexity_there": scores[stops], "convexity": last[score], "stderr": last[stderr]}
        rows.append(row | {"accuracy": run.accuracy, "sigma": run.sigma})
    return pd.DataFrame(rows)


def correlate(convergence: pd.DataFrame) -> pd.DataFrame:
    """Rank correlations (`rho`, `p_value`) of last-layer convexity with test accuracy over the full models.

    `convergence` is the table of `study_convergence`. A row per task, with `n` models, and one over all tasks
    together (task `all`). That has no p-value: a permutation test needs points that can be exchanged for each
    other, and models of different tasks cannot.
    """
    rows = []
    for task in [*convergence["task"].unique(), "all"]:
        points = convergence if task == "all" else convergence[convergence["task"] == task]
        rho, p_value = rank_correlation(points["convexity"], points["accuracy"])
        rows.append((task, len(points), rho, np.nan if task == "all" else p_value))
    return pd.DataFrame(rows, columns=["task", "n", "rho", "p_value"])


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Spearman's rho of two sequences and its two-sided permutation p-value.

    Up to seven points, all orders are tried; beyond, 9,999 random ones. Both are missing for fewer than three
    points and if a sequence is constant.
    """
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan, np.nan
    ranks = [rankdata(values) - (len(x) + 1) / 2 for values in (x, y)]
    first, second = (values / np.linalg.norm(values) for values in ranks)
    tested = permutation_test(
        (second,),
        lambda values, axis: (first * values).sum(axis=axis),
        permutation_type="pairings",
        n_resamples=9999,
        vectorized=True,
        rng=0,
    )
    return float(tested.statistic), float(tested.pvalue)
