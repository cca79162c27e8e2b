"""Table 1 of the paper: the costs and savings of pruning to the planned layers, per model and task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

PREFIXES = {"words": "word", "speakers": "speaker"}  # of the columns of the paper's tasks
PAPER = ("full", "pruned", "acc_diff", "train_time_diff", "inference_diff")
COSTS = ("parameters", "bytes", "multiply_adds")
TIMES = ("latency", "steps", "step_time")  # of inference, and of training
BOTH = tuple(f"{run}_{cost}" for cost in (*COSTS, *TIMES) for run in ("full", "pruned"))
BOUNDS = ("worse_at_most", "worse_at_most_by_speaker")
WORST = tuple(f"{run}_worst_{kind}" for kind in ("class", "speaker") for run in ("full", "pruned"))
TESTS = ("p_holm", *BOUNDS, *WORST)
ADDED = (
    *("layers", "full_layers", "parameter_reduction", "full_sigma", "pruned_sigma"),
    *("full_spread", "pruned_spread", "acc_outlier", "p_value", *TESTS, "cached"),
    *("train_time_stderr", "train_disturbed", "inference_stderr", "disturbed", *BOTH),
    *("onnx_latency", "onnx_disturbed", "cut", "folded", "folded_sigma", "folded_spread", "fold_seconds"),
)
AVERAGE = "average"

NEEDED = {
    "finetuning": ("model", "task", "layers", "accuracy", "sigma", "steps", "cached_features"),
    "timing": (
        *("model", "task", "layers", "ratio_median", "ratio_median_stderr", "disturbed"),
        *("full_median", "pruned_median"),
        *("step_full_median", "step_pruned_median", "step_ratio_median", "step_ratio_median_stderr"),
        "step_disturbed",
    ),
    "plan": ("model", "task", "layers", "full_layers"),
    "costs": ("model", "task", "layers", *COSTS),
    "significance": ("model", "task", "layers", "seed", "p_value", *TESTS),
    "exports": ("model", "task", "layers", "latency_median", "disturbed"),
    "folding": (
        *("model", "task", "layers", "accuracy", "cut_accuracy", "sigma"),
        *("pass_seconds", "fold_seconds"),
    ),
}


@dataclass(frozen=True)
class Asked:
    """What the table is of.

    Attributes:
        models, tasks: in their order.
        seed: of the predictions that are compared.
        data: paper; own, which the notes on the paper do not concern; or standard, the other test split.
    """

    models: Sequence[str]
    tasks: Sequence[str]
    seed: int
    data: str = "paper"

    @property
    def prefixes(self) -> dict[str, str]:
        """By task, what the names of its columns begin with: its own name, but for the paper's tasks."""
        paper = {task: prefix for task, prefix in PREFIXES.items() if prefix not in self.tasks}
        return {task: paper.get(task, task) for task in self.tasks}


def table1(
    finetuning: pd.DataFrame,
    timing: pd.DataFrame,
    plan: pd.DataFrame,
    costs: pd.DataFrame,
    significance: pd.DataFrame,
    exports: pd.DataFrame,
    folding: pd.DataFrame,
    asked: Asked,
) -> pd.DataFrame:
    """Table 1: a row for each of the models, in their order, and a last row of averages.

    The tables are those of results/README.md. Columns: `model`, then the paper's five of each task
    (`word_full` ... `speaker_inference_diff`), then those added here. Values that were not run are missing.

    Accuracies and their sigma and spread (standard deviation over seeds) are in %, differences are relative
    (`relative_change`), and accuracies and steps are means over seeds. Both p-values, the bounds (points)
    and the lowest accuracies in a class or on a speaker (%) are those of one seed: pooling seeds would count
    each test item several times. The inference difference comes from the
    ratio of the median times (`ratio_median`), which interruptions hardly change. The training time is the
    number of steps of the runs times the median time of a step, measured like inference: the runs' own times
    depend on other jobs that ran beside them. `cut` and `folded` are accuracies of the full model cut to the
    layers kept, without and with a folded projector; `fold_seconds` is the time that folding it took, with
    the passes over the clips of train and validation.

    As in the paper, the averages of the time differences are over all models. The average of the accuracy
    differences leaves out the outliers (`outliers`).

    Raises ValueError if a table lacks a column.
    """
    sources = {"finetuning": finetuning, "timing": timing, "plan": plan, "costs": costs, "exports": exports}
    sources |= {"significance": significance, "folding": folding}
    for name, columns in NEEDED.items():
        if missing := set(columns) - set(sources[name].columns):
            raise ValueError(f"the {name} table lacks the columns {sorted(missing)}: make it again")
    sources["significance"] = significance[significance["seed"] == asked.seed]
    tasks = {
        prefix: _task_columns(**{name: table[table["task"] == task] for name, table in sources.items()})
        for task, prefix in asked.prefixes.items()
    }
    rows = pd.concat([columns.add_prefix(f"{prefix}_") for prefix, columns in tasks.items()], axis=1)
    rows = rows.reindex(list(asked.models))
    average = {}
    for prefix in tasks:
        change, outlier = rows[f"{prefix}_acc_diff"], outliers(rows[f"{prefix}_acc_diff"])
        rows[f"{prefix}_acc_outlier"] = outlier.astype("boolean").where(change.notna())
        average[f"{prefix}_acc_diff"] = change[~outlier].mean()
        for kind in ("train_time_diff", "inference_diff"):
            average[f"{prefix}_{kind}"] = rows[f"{prefix}_{kind}"].mean()
    table = pd.concat([rows, pd.DataFrame([average], index=[AVERAGE])]).rename_axis("model").reset_index()
    order = [f"{prefix}_{name}" for names in (PAPER, ADDED) for prefix in tasks for name in names]
    whole = ("layers", "full_layers", *(f"{run}_{cost}" for cost in COSTS for run in ("full", "pruned")))
    marks = ("acc_outlier", "cached", "train_disturbed", "disturbed", "onnx_disturbed")
    kinds = {f"{prefix}_{name}": "Int64" for prefix in tasks for name in whole}
    kinds |= {f"{prefix}_{name}": "boolean" for prefix in tasks for name in marks}
    return table[["model", *order]].astype(kinds)


def relative_change(full: float | pd.Series, pruned: float | pd.Series) -> float | pd.Series:
    """100 (pruned - full) / full, the paper's "diff. (%)": 97.79 against 95.17 is +2.75."""
    return 100 * (pruned - full) / full


def outliers(values: pd.Series) -> pd.Series:
    """Mark values more than three interquartile ranges outside the quartiles (Tukey's outer fences).

    The paper stars one accuracy difference by eye; this rule stars the same one. Fewer than five values
    have no outliers, since their quartiles mean little; nor have values if most are equal. A missing value is
    no outlier.
    """
    low, high = values.quantile(0.25), values.quantile(0.75)
    if low == high:
        return pd.Series(False, index=values.index)
    outside = (values < low - 3 * (high - low)) | (values > high + 3 * (high - low))
    return outside & (values.count() >= 5)


def _task_columns(
    finetuning: pd.DataFrame,
    timing: pd.DataFrame,
    plan: pd.DataFrame,
    costs: pd.DataFrame,
    significance: pd.DataFrame,
    exports: pd.DataFrame,
    folding: pd.DataFrame,
) -> pd.DataFrame:
    """The columns of one task without the outlier mark, indexed by model; inputs hold only that task."""
    plan = plan.set_index("model")
    runs = finetuning.groupby(["model", "layers"]).agg(
        accuracy=("accuracy", "mean"),
        spread=("accuracy", "std"),
        sigma=("sigma", "mean"),  # the seeds share their test items, so more seeds do not shrink it
        steps=("steps", "mean"),
        cached=("cached_features", lambda kind: bool((kind != "none").any())),
    )
    folding = folding.groupby(["model", "layers"]).agg(
        accuracy=("accuracy", "mean"),
        cut=("cut_accuracy", "mean"),
        spread=("accuracy", "std"),
        sigma=("sigma", "mean"),
        passes=("pass_seconds", "mean"),
        seconds=("fold_seconds", "mean"),
    )
    timing, costs, significance, exports = (
        table.set_index(["model", "layers"]) for table in (timing, costs, significance, exports)
    )

    def at(table: pd.DataFrame, layers: pd.Series) -> pd.DataFrame:
        return table.reindex(pd.MultiIndex.from_arrays([layers.index, layers])).droplevel(1)

    full, full_costs = (at(table, plan["full_layers"]) for table in (runs, costs))
    pruned, pruned_costs, times, tests, exported, folded = (
        at(table, plan["layers"]) for table in (runs, costs, timing, significance, exports, folding)
    )
    steps = pruned["steps"] / full["steps"]
    return pd.DataFrame(
        {
            "full": 100 * full["accuracy"],
            "pruned": 100 * pruned["accuracy"],
            "acc_diff": relative_change(full["accuracy"], pruned["accuracy"]),
            "train_time_diff": 100 * (steps * times["step_ratio_median"] - 1),
            "inference_diff": 100 * (times["ratio_median"] - 1),
            "layers": plan["layers"],
            "full_layers": plan["full_layers"],
            "parameter_reduction": -relative_change(full_costs["parameters"], pruned_costs["parameters"]),
            "full_sigma": 100 * full["sigma"],
            "pruned_sigma": 100 * pruned["sigma"],
            "full_spread": 100 * full["spread"],
            "pruned_spread": 100 * pruned["spread"],
            "p_value": tests["p_value"],
            "p_holm": tests["p_holm"],
            **{name: 100 * tests[name] for name in (*BOUNDS, *WORST)},
            "cached": full["cached"].astype("boolean") | pruned["cached"].astype("boolean"),
            "train_time_stderr": 100 * steps * times["step_ratio_median_stderr"],
            "train_disturbed": times["step_disturbed"].astype("boolean"),
            "inference_stderr": 100 * times["ratio_median_stderr"],
            "disturbed": times["disturbed"].astype("boolean"),
            **{f"full_{cost}": full_costs[cost] for cost in COSTS},
            **{f"pruned_{cost}": pruned_costs[cost] for cost in COSTS},
            "full_latency": times["full_median"],
            "pruned_latency": times["pruned_median"],
            "onnx_latency": exported["latency_median"],
            "onnx_disturbed": exported["disturbed"].astype("boolean"),
            "cut": 100 * folded["cut"],
            "folded": 100 * folded["accuracy"],
            "folded_sigma": 100 * folded["sigma"],
            "folded_spread": 100 * folded["spread"],
            "fold_seconds": folded["passes"] + folded["seconds"],
            "full_steps": full["steps"],
            "pruned_steps": pruned["steps"],
            "full_step_time": times["step_full_median"],
            "pruned_step_time": times["step_pruned_median"],
        }
    )
