"""Table 1 of the paper: what pruning to the planned layers costs and saves, per model and task."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import pandas as pd

from convexprune import markdown_tables

PREFIXES = {"words": "word", "speakers": "speaker"}  # task -> how the paper's columns begin
PAPER = ("full", "pruned", "acc_diff", "train_time_diff", "inference_diff")
COSTS = ("parameters", "bytes", "multiply_adds")
ADDED = (
    *("layers", "full_layers", "parameter_reduction", "full_sigma", "pruned_sigma"),
    *("full_spread", "pruned_spread", "acc_outlier", "p_value", "cached", "inference_stderr", "disturbed"),
    *(f"{run}_{cost}" for cost in COSTS for run in ("full", "pruned")),
)
AVERAGE = "average"

NEEDED = {
    "finetuning": ("model", "task", "layers", "accuracy", "sigma", "training_time", "cached_features"),
    "timing": ("model", "task", "layers", "ratio_median", "ratio_median_stderr", "disturbed"),
    "plan": ("model", "task", "layers", "full_layers"),
    "costs": ("model", "task", "layers", *COSTS),
    "significance": ("model", "task", "layers", "seed", "p_value"),
}


def table1(
    finetuning: pd.DataFrame,
    timing: pd.DataFrame,
    plan: pd.DataFrame,
    costs: pd.DataFrame,
    significance: pd.DataFrame,
    models: Sequence[str],
    seed: int,
) -> pd.DataFrame:
    """Table 1: a row for each of `models`, in that order, and a last row of averages.

    The tables are those of results/README.md. Columns: `model`, then the paper's five of each task
    (`word_full` ... `speaker_inference_diff`), then those added here. Accuracies and their sigma and
    spread (standard deviation over seeds) are in %, differences are relative (`relative_change`), and
    accuracies and training times are means over seeds. The p-value is that of one seed, `seed`: pooling
    seeds would count each test item several times. The inference difference comes from the ratio of
    the median times (`ratio_median`), which shrugs off interruptions. What was not run is missing.

    As in the paper, the averages of the time differences are over all models, that of the accuracy
    differences leaves out the outliers (`outliers`).

    Raises ValueError if a table lacks a column.
    """
    sources = {"finetuning": finetuning, "timing": timing, "plan": plan, "costs": costs}
    sources["significance"] = significance
    for name, columns in NEEDED.items():
        if missing := set(columns) - set(sources[name].columns):
            raise ValueError(f"the {name} table lacks the columns {sorted(missing)}: make it again")
    sources["significance"] = significance[significance["seed"] == seed]
    tasks = {
        prefix: _task_columns(**{name: table[table["task"] == task] for name, table in sources.items()})
        for task, prefix in PREFIXES.items()
    }
    rows = pd.concat([columns.add_prefix(f"{prefix}_") for prefix, columns in tasks.items()], axis=1)
    rows = rows.reindex(list(models))
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
    kinds = {f"{prefix}_{name}": "Int64" for prefix in tasks for name in whole}
    kinds |= {
        f"{prefix}_{name}": "boolean" for prefix in tasks for name in ("acc_outlier", "cached", "disturbed")
    }
    return table[["model", *order]].astype(kinds)


def relative_change(full: float | pd.Series, pruned: float | pd.Series) -> float | pd.Series:
    """100 (pruned - full) / full, the paper's "diff. (%)": 97.79 against 95.17 is +2.75."""
    return 100 * (pruned - full) / full


def outliers(values: pd.Series) -> pd.Series:
    """Mark values more than three interquartile ranges outside the quartiles (Tukey's outer fences).

    The paper stars one accuracy difference by eye; this rule stars the same one. Fewer than five values
    have no outliers, as they have no quartiles to speak of; nor have values most of which are the same. A
    missing value is none.
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
) -> pd.DataFrame:
    """The columns of one task but for the outlier mark, indexed by model; inputs hold that task only."""
    plan = plan.set_index("model")
    # Who feeds it numbers from elsewhere, such as the paper's, need not tell the devices.
    runs = finetuning.assign(device=finetuning.get("device", "")).groupby(["model", "layers"])
    runs = runs.agg(
        accuracy=("accuracy", "mean"),
        spread=("accuracy", "std"),
        sigma=("sigma", "mean"),  # the seeds share their test items: a mean over seeds does not shrink it
        training_time=("training_time", "mean"),
        cached=("cached_features", lambda kind: bool((kind != "none").any())),
        devices=("device", lambda names: ", ".join(sorted(set(names)))),
    )
    timing, costs, significance = (
        table.set_index(["model", "layers"]) for table in (timing, costs, significance)
    )

    def at(table: pd.DataFrame, layers: pd.Series) -> pd.DataFrame:
        return table.reindex(pd.MultiIndex.from_arrays([layers.index, layers])).droplevel(1)

    full, full_costs = (at(table, plan["full_layers"]) for table in (runs, costs))
    pruned, pruned_costs, times, tests = (
        at(table, plan["layers"]) for table in (runs, costs, timing, significance)
    )
    same = full["devices"] == pruned["devices"]
    return pd.DataFrame(
        {
            "full": 100 * full["accuracy"],
            "pruned": 100 * pruned["accuracy"],
            "acc_diff": relative_change(full["accuracy"], pruned["accuracy"]),
            "train_time_diff": relative_change(full["training_time"].where(same), pruned["training_time"]),
            "inference_diff": 100 * (times["ratio_median"] - 1),
            "layers": plan["layers"],
            "full_layers": plan["full_layers"],
            "parameter_reduction": -relative_change(full_costs["parameters"], pruned_costs["parameters"]),
            "full_sigma": 100 * full["sigma"],
            "pruned_sigma": 100 * pruned["sigma"],
            "full_spread": 100 * full["spread"],
            "pruned_spread": 100 * pruned["spread"],
            "p_value": tests["p_value"],
            "cached": full["cached"].astype("boolean") | pruned["cached"].astype("boolean"),
            "inference_stderr": 100 * times["ratio_median_stderr"],
            "disturbed": times["disturbed"].astype("boolean"),
            **{f"full_{cost}": full_costs[cost] for cost in COSTS},
            **{f"pruned_{cost}": pruned_costs[cost] for cost in COSTS},
        }
    )


# How both readable forms print a task: a heading and the cells below it, in the paper's order.
HEADINGS = ("model", "layers", "full", "pruned", "acc. diff.", "p", "train time", "inference")
TITLES = {"words": "Word classification", "speakers": "Speaker identification"}
SIZES = ("model", "task", "parameters (M)", "size (MB)", "multiply-adds (G)")
SIZES_TITLE = "Parameters, size and compute"
NOTES = (
    "Layers: transformer layers kept / of the full model. The paper counts them from 0, so its label is "
    "one less: what it calls pruned to layer 8 keeps 9.",
    "Full and pruned: test accuracy in % ± σ, the binomial standard error sqrt(p (1 - p) / n). With "
    "several seeds, their mean, and [in brackets] the standard deviation over seeds.",
    "Differences are relative and in %: 100 (pruned - full) / full.",
    "p: McNemar's exact test of full against pruned on the same test items, first seed, two-sided, not "
    "corrected for the number of models.",
    "* is an outlier, left out of the average: of five or more accuracy differences, one more than three "
    "interquartile ranges outside the quartiles.",
    "Train time: wall time of the training loop, on a machine that may have run other jobs beside it; early "
    "stopping counts. Empty where full and pruned ran on other devices. ‡ read the stored features of the "
    "front end, which the paper's times do not.",
    "Inference: the change of the median time for a random 1 s input ± its standard error. † was measured "
    "while other work ran on the machine: measure it again before you quote it.",
    "Size: model.safetensors in float32. Multiply-adds: of the convolutions and matrix products for 1 s of "
    "audio.",
)


def _number(value: float, form: str = ".2f") -> str:
    return "" if pd.isna(value) else format(value, form)


def _accuracy_cells(model: str, values: pd.Series) -> list[str]:
    """A row under HEADINGS; a missing value is empty."""

    def joined(value: str, error: str, spread: str = "") -> str:
        return value + (f" ± {error}" if error else "") + (f" [{spread}]" if spread else "")

    p, inference = (
        values["p_value"],
        joined(_number(values["inference_diff"], "+.2f"), _number(values["inference_stderr"])),
    )
    return [
        model,
        "" if pd.isna(values["layers"]) else f"{values['layers']}/{values['full_layers']}",
        *(
            joined(*(_number(values[f"{run}{kind}"]) for kind in ("", "_sigma", "_spread")))
            for run in ("full", "pruned")
        ),
        _number(values["acc_diff"], "+.2f") + ("*" if values["acc_outlier"] is True else ""),
        "<0.001" if p < 0.001 else _number(p, ".3f"),
        _number(values["train_time_diff"], "+.2f") + ("‡" if values["cached"] is True else ""),
        inference + ("†" if values["disturbed"] is True else ""),
    ]


def _size_cells(model: str, task: str, values: pd.Series) -> list[str]:
    """A row under SIZES: full → pruned (relative change in %)."""
    cells = [model, task]
    for cost, unit in zip(COSTS, (1e6, 1e6, 1e9), strict=True):
        full, pruned = values[f"full_{cost}"], values[f"pruned_{cost}"]
        change = relative_change(full, pruned)
        cells.append(f"{_rounded(full / unit)} → {_rounded(pruned / unit)} ({change:+.2f} %)")
    return cells


def _rounded(value: float) -> str:
    """`value` to three significant digits, without an exponent."""
    return format(value, f".{max(0, 2 - math.floor(math.log10(value)))}f")


def _blocks(table: pd.DataFrame) -> list[tuple[str, Sequence[str], list[list[str]]]]:
    """Title, headings and rows of what is printed: a block a task that has any accuracy, then the sizes."""
    blocks, sizes = [], []
    for task, prefix in PREFIXES.items():
        values = table[[f"{prefix}_{name}" for name in (*PAPER, *ADDED)]].astype(object)
        values = values.set_axis([*PAPER, *ADDED], axis=1).set_axis(table["model"])
        if values[["full", "pruned"]].isna().all(axis=None):
            continue
        blocks.append((TITLES[task], HEADINGS, [_accuracy_cells(*row) for row in values.iterrows()]))
        counted = values[values["pruned_parameters"].notna()]
        sizes += [_size_cells(model, task, row) for model, row in counted.iterrows()]
    return [*blocks, (SIZES_TITLE, SIZES, sizes)]


def markdown(table: pd.DataFrame) -> str:
    """Table 1 as Markdown to read in a terminal: aligned, one table a task, sizes, notes below."""
    lines = ["# Table 1. Full and pruned models", ""]
    for title, headings, rows in _blocks(table):
        lines += [f"## {title}", "", markdown_tables.render(headings, rows), ""]
    notes = (textwrap.fill(f"- {note}", width=104, subsequent_indent="  ") for note in NOTES)
    return "\n".join([*lines, *notes]) + "\n"


def latex(table: pd.DataFrame) -> str:
    r"""Table 1 as a LaTeX `table*` (needs booktabs): a tabular a block, the notes as its caption."""
    marks = {"±": r"\pm", "*": r"^{*}", "†": r"^{\dagger}", "‡": r"^{\ddagger}", "→": r"\to", "%": r"\%"}

    def cell(text: str) -> str:
        for mark, command in marks.items():
            text = text.replace(mark, command)
        return f"${text}$" if any(c.isdigit() for c in text) else text

    lines = [r"\begin{table*}", r"\centering", r"\footnotesize", r"\setlength{\tabcolsep}{4pt}"]
    for title, headings, rows in _blocks(table):
        lines += [r"\begin{tabular}{@{}l" + "r" * (len(headings) - 1) + r"@{}}", r"\toprule"]
        lines += [rf"\multicolumn{{{len(headings)}}}{{@{{}}l}}{{\emph{{{title}}}}} \\"]
        lines += [" & ".join(headings) + r" \\", r"\midrule"]
        lines += [" & ".join([_escaped(name), *map(cell, cells)]) + r" \\" for name, *cells in rows]
        lines += [r"\bottomrule", r"\end{tabular}", r"\medskip", ""]
    caption = " ".join(map(_escaped, NOTES)).replace("±", r"$\pm$").replace("σ", r"$\sigma$")
    caption = caption.replace("†", r"$\dagger$").replace("‡", r"$\ddagger$")
    lines += [rf"\caption{{Full and pruned models. {caption}}}", r"\label{tab:pruning}", r"\end{table*}"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """`text` with LaTeX's special characters escaped."""
    special = {c: rf"\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}"}
    special |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(character, character) for character in text)
