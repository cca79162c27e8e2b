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


def correlate(convergence: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """Rank correlations (`rho`, `p_value`) of convexity with accuracy: a row per relation.

    - last-layer convexity with test accuracy, over the full models of a task (`study_convergence`, model
      `all`), and over all tasks together (task `all`);
    - class convexity: over the classes of a task, the convexity of a class in the pretrained model at the
      layers kept, with its recall in the pruned model (`groups`, the table of results/README.md).

    A permutation test needs points that can be exchanged for each other. Classes can, and models of one task,
    but not models of different tasks: these have no p-value.
    """
    rows = []

    def add(relation: str, task: str, model: str, judge: pd.Series, accuracy: pd.Series) -> None:
        rho, p_value = rank_correlation(judge, accuracy)
        rows.append((relation, task, model, len(judge), rho, np.nan if task == "all" else p_value))

    for task in [*convergence["task"].unique(), "all"]:
        points = convergence if task == "all" else convergence[convergence["task"] == task]
        add("last-layer convexity", task, "all", points["convexity"], points["accuracy"])
    scored = groups[(groups["kind"] == "class") & groups["convexity"].notna()]
    for (task, model), classes in scored.groupby(["task", "model"], sort=False):
        add("class convexity", task, model, classes["convexity"], classes["pruned"])
    return pd.DataFrame(rows, columns=["relation", "task", "model", "n", "rho", "p_value"])


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
