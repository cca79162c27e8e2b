"""Does convexity predict accuracy? Rank correlations, and where fine-tuned convexity stops rising."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def correlate(
    finetuning: pd.DataFrame,
    convexity: pd.DataFrame,
    criteria: pd.DataFrame,
    convergence: pd.DataFrame,
    models: Mapping[str, Sequence[str]],
    average: str,
) -> pd.DataFrame:
    """Rank correlations (`rho`, `p_value`) of test accuracy with its predictors: a row per relation.

    - pretrained convexity and linear probe: over the depths of a swept model, 0 layers included, and over the
      depths of all swept models together (model `all`); accuracies are means over seeds;
    - last-layer convexity: over the full models of a task (`study_convergence`, model `all`), and over both
      tasks together (task `all`).

    A permutation test needs points that can be exchanged for each other. Only those of the last-layer
    relation within a task can: depths of a model are alike, models and tasks differ. The other relations have
    no p-value.
    """
    score = averages.COLUMNS[average].score
    pretrained = convexity[convexity["state"] == "pretrained"].rename(columns={"dataset": "task"})
    judges = {"pretrained convexity": pretrained.assign(judge=pretrained[score])}
    probes = criteria[criteria["criterion"] == "linear probe"].rename(columns={"dataset": "task"})
    judges["linear probe"] = probes.assign(judge=probes["value"])
    means = finetuning.groupby(["task", "model", "layers"], as_index=False)["accuracy"].mean()
    rows = []

    def add(relation: str, task: str, model: str, judge: pd.Series, accuracy: pd.Series) -> None:
        rho, p_value = rank_correlation(judge, accuracy)
        testable = relation == "last-layer convexity" and task != "all"
        rows.append((relation, task, model, len(judge), rho, p_value if testable else np.nan))

    for relation, judge in judges.items():
        points = means.merge(judge[["task", "model", "layers", "judge"]], on=["task", "model", "layers"])
        for task, names in models.items():
            swept = points[(points["task"] == task) & points["model"].isin(names)]
            for model in names:
                of_model = swept[swept["model"] == model]
                add(relation, task, model, of_model["judge"], of_model["accuracy"])
            add(relation, task, "all", swept["judge"], swept["accuracy"])
    for task in [*convergence["task"].unique(), "all"]:
        points = convergence if task == "all" else convergence[convergence["task"] == task]
        add("last-layer convexity", task, "all", points["convexity"], points["accuracy"])
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
