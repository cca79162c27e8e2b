"""Table 1 of the paper: what pruning to the planned layers costs and saves, per model and task."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import pandas as pd

PREFIXES = {"words": "word", "speakers": "speaker"}  # task -> how the paper's columns begin
PAPER = ("full", "pruned", "acc_diff", "train_time_diff", "inference_diff")
ADDED = (
    *("layers", "full_layers", "parameter_reduction", "full_sigma", "pruned_sigma"),
    *("full_spread", "pruned_spread", "acc_outlier", "inference_stderr"),
)
AVERAGE = "average"

FINETUNING = ("model", "task", "layers", "accuracy", "sigma", "training_time", "parameters")
TIMING = ("model", "task", "layers", "ratio_median", "ratio_median_stderr")
PLAN = ("model", "task", "layers", "full_layers")


def table1(
    finetuning: pd.DataFrame, timing: pd.DataFrame, plan: pd.DataFrame, models: Sequence[str]
) -> pd.DataFrame:
    """Table 1: a row for each of `models`, in that order, and a last row of averages.

    The tables are those of results/README.md. Columns: `model`, then the paper's five of each task
    (`word_full` ... `speaker_inference_diff`), then those added here. Accuracies and their sigma and
    spread (standard deviation over seeds) are in %, differences are relative (`relative_change`), and
    accuracies and training times are means over seeds. The inference difference comes from the ratio of
    the median times (`ratio_median`), which shrugs off interruptions. What was not run is missing.

    As in the paper, the averages of the time differences are over all models, that of the accuracy
    differences leaves out the outliers (`outliers`).

    Raises ValueError if a table lacks a column.
    """
    for name, table, columns in (
        ("fine-tuning", finetuning, FINETUNING),
        ("timing", timing, TIMING),
        ("plan", plan, PLAN),
    ):
        if missing := set(columns) - set(table.columns):
            raise ValueError(f"the {name} table lacks the columns {sorted(missing)}: make it again")
    tasks = {
        prefix: _task_columns(*(table[table["task"] == task] for table in (finetuning, timing, plan)))
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
    counts = {f"{prefix}_{name}": "Int64" for prefix in tasks for name in ("layers", "full_layers")}
    return table[["model", *order]].astype(counts)


def relative_change(full, pruned):
    """100 (pruned - full) / full, the paper's "diff. (%)": 97.79 against 95.17 is +2.75."""
    return 100 * (pruned - full) / full


def outliers(values: pd.Series) -> pd.Series:
    """Mark values more than three interquartile ranges outside the quartiles (Tukey's outer fences).

    The paper stars one accuracy difference by eye; this rule stars the same one. Fewer than five values
    have no outliers, as they have no quartiles to speak of. A missing value is none.
    """
    low, high = values.quantile(0.25), values.quantile(0.75)
    outside = (values < low - 3 * (high - low)) | (values > high + 3 * (high - low))
    return outside & (values.count() >= 5)


def _task_columns(finetuning: pd.DataFrame, timing: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """The columns of one task but for the outlier mark, indexed by model; inputs hold that task only."""
    plan = plan.set_index("model")
    runs = finetuning.groupby(["model", "layers"]).agg(
        accuracy=("accuracy", "mean"),
        spread=("accuracy", "std"),
        sigma=("sigma", "mean"),  # the seeds share their test items: a mean over seeds does not shrink it
        training_time=("training_time", "mean"),
        parameters=("parameters", "mean"),
    )
    timing = timing.set_index(["model", "layers"])

    def at(table: pd.DataFrame, layers: pd.Series) -> pd.DataFrame:
        return table.reindex(pd.MultiIndex.from_arrays([layers.index, layers])).droplevel(1)

    full, pruned, times = at(runs, plan["full_layers"]), at(runs, plan["layers"]), at(timing, plan["layers"])
    return pd.DataFrame(
        {
            "full": 100 * full["accuracy"],
            "pruned": 100 * pruned["accuracy"],
            "acc_diff": relative_change(full["accuracy"], pruned["accuracy"]),
            "train_time_diff": relative_change(full["training_time"], pruned["training_time"]),
            "inference_diff": 100 * (times["ratio_median"] - 1),
            "layers": plan["layers"],
            "full_layers": plan["full_layers"],
            "parameter_reduction": -relative_change(full["parameters"], pruned["parameters"]),
            "full_sigma": 100 * full["sigma"],
            "pruned_sigma": 100 * pruned["sigma"],
            "full_spread": 100 * full["spread"],
            "pruned_spread": 100 * pruned["spread"],
            "inference_stderr": 100 * times["ratio_median_stderr"],
        }
    )


# How both readable forms print a task: a heading and the cells below it, in the paper's order.
HEADINGS = ("model", "layers", "full", "pruned", "acc. diff.", "parameters", "train time", "inference")
TITLES = {"words": "Word classification", "speakers": "Speaker identification"}
NOTES = (
    "Layers: transformer layers kept / of the full model. The paper counts them from 0, so its label is "
    "one less: what it calls pruned to layer 8 keeps 9.",
    "Full and pruned: test accuracy in % ± σ, the binomial standard error sqrt(p (1 - p) / n). With "
    "several seeds, their mean, and [in brackets] the standard deviation over seeds.",
    "Differences, of parameters too, are relative and in %: 100 (pruned - full) / full.",
    "Train time: wall time of trainer.train(), on a machine that may have run other jobs beside it; early "
    "stopping counts.",
    "Inference: the change of the median time for a random 1 s input ± its standard error.",
    "* is an outlier, left out of the average: of five or more accuracy differences, one more than three "
    "interquartile ranges outside the quartiles.",
)


def _cells(table: pd.DataFrame, prefix: str) -> list[list[str]]:
    """The printed cells of one task, a list a row, in the order of HEADINGS; a missing value is empty."""

    def number(value: float, form: str = ".2f") -> str:
        return "" if pd.isna(value) else format(value, form)

    def joined(value: str, error: str, spread: str = "") -> str:
        return value + (f" ± {error}" if error else "") + (f" [{spread}]" if spread else "")

    def row(values: pd.Series) -> list[str]:
        accuracies = [
            joined(*(number(values[f"{run}{kind}"]) for kind in ("", "_sigma", "_spread")))
            for run in ("full", "pruned")
        ]
        return [
            "" if pd.isna(values["layers"]) else f"{values['layers']}/{values['full_layers']}",
            *accuracies,
            number(values["acc_diff"], "+.2f") + ("*" if values["acc_outlier"] is True else ""),
            number(-values["parameter_reduction"], "+.2f"),
            number(values["train_time_diff"], "+.2f"),
            joined(number(values["inference_diff"], "+.2f"), number(values["inference_stderr"])),
        ]

    task = table[[f"{prefix}_{name}" for name in (*PAPER, *ADDED)]].astype(object)
    task.columns = [*PAPER, *ADDED]
    return [[model, *row(values)] for model, (_, values) in zip(table["model"], task.iterrows(), strict=True)]


def _printed(table: pd.DataFrame) -> dict[str, list[list[str]]]:
    """Title and cells of each task that has any."""
    return {
        TITLES[task]: _cells(table, prefix)
        for task, prefix in PREFIXES.items()
        if table[[f"{prefix}_full", f"{prefix}_pruned"]].notna().any(axis=None)
    }


def markdown(table: pd.DataFrame) -> str:
    """Table 1 as Markdown to read in a terminal: aligned, one table a task, notes below."""
    lines = ["# Table 1. Full and pruned models", ""]
    for title, rows in _printed(table).items():
        widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]

        def line(cells: Sequence[str], widths: list[int] = widths) -> str:
            first, *rest = (
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
            )
            return "| " + " | ".join([first, *rest]) + " |"

        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        lines += [f"## {title}", "", line(HEADINGS), line(rule), *map(line, rows), ""]
    notes = (textwrap.fill(f"- {note}", width=104, subsequent_indent="  ") for note in NOTES)
    return "\n".join([*lines, *notes]) + "\n"


def latex(table: pd.DataFrame) -> str:
    r"""Table 1 as a LaTeX `table*` (needs booktabs): a block a task, the notes as its caption."""

    def cell(text: str) -> str:
        return "$" + text.replace("±", r"\pm").replace("*", r"^{*}") + "$" if text else ""

    lines = [r"\begin{table*}", r"\centering", r"\footnotesize", r"\setlength{\tabcolsep}{4pt}"]
    lines += [r"\begin{tabular}{@{}l" + "r" * (len(HEADINGS) - 1) + r"@{}}", r"\toprule"]
    lines += [" & ".join(HEADINGS) + r" \\"]
    for title, rows in _printed(table).items():
        lines += [r"\midrule", rf"\multicolumn{{{len(HEADINGS)}}}{{@{{}}l}}{{\emph{{{title}}}}} \\"]
        lines += [" & ".join([_escaped(name), *map(cell, cells)]) + r" \\" for name, *cells in rows]
    caption = " ".join(map(_escaped, NOTES)).replace("±", r"$\pm$").replace("σ", r"$\sigma$")
    lines += [r"\bottomrule", r"\end{tabular}", rf"\caption{{Full and pruned models. {caption}}}"]
    return "\n".join([*lines, r"\label{tab:pruning}", r"\end{table*}"]) + "\n"


def _escaped(text: str) -> str:
    """`text` with LaTeX's special characters escaped."""
    special = {c: rf"\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}"}
    return text.translate(str.maketrans(special | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}))
