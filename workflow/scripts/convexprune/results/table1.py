"""Table 1 of the paper: the costs and savings of pruning to the planned layers, per model and task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from convexprune.results import markdown_tables

PREFIXES = {"words": "word", "speakers": "speaker"}  # task -> prefix of the paper's columns
PAPER = ("full", "pruned", "acc_diff", "train_time_diff", "inference_diff")
COSTS = ("parameters", "bytes", "multiply_adds")
TIMES = ("latency", "steps", "step_time")  # of inference, and of training
BOTH = tuple(f"{run}_{cost}" for cost in (*COSTS, *TIMES) for run in ("full", "pruned"))
ADDED = (
    *("layers", "full_layers", "parameter_reduction", "full_sigma", "pruned_sigma"),
    *("full_spread", "pruned_spread", "acc_outlier", "p_value", "cached"),
    *("train_time_stderr", "train_disturbed", "inference_stderr", "disturbed", *BOTH),
    *("onnx_latency", "onnx_disturbed"),
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
    "significance": ("model", "task", "layers", "seed", "p_value"),
    "exports": ("model", "task", "layers", "latency_median", "disturbed"),
}


def table1(
    finetuning: pd.DataFrame,
    timing: pd.DataFrame,
    plan: pd.DataFrame,
    costs: pd.DataFrame,
    significance: pd.DataFrame,
    exports: pd.DataFrame,
    models: Sequence[str],
    seed: int,
) -> pd.DataFrame:
    """Table 1: a row for each of `models`, in that order, and a last row of averages.

    The tables are those of results/README.md. Columns: `model`, then the paper's five of each task
    (`word_full` ... `speaker_inference_diff`), then those added here. Values that were not run are missing.

    Accuracies and their sigma and spread (standard deviation over seeds) are in %, differences are relative
    (`relative_change`), and accuracies and steps are means over seeds. The p-value is that of one seed,
    `seed`: pooling seeds would count each test item several times. The inference difference comes from the
    ratio of the median times (`ratio_median`), which interruptions hardly change. The training time is the
    number of steps of the runs times the median time of a step, measured like inference: the runs' own times
    depend on other jobs that ran beside them.

    As in the paper, the averages of the time differences are over all models. The average of the accuracy
    differences leaves out the outliers (`outliers`).

    Raises ValueError if a table lacks a column.
    """
    sources = {"finetuning": finetuning, "timing": timing, "plan": plan, "costs": costs, "exports": exports}
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
    timing, costs, significance, exports = (
        table.set_index(["model", "layers"]) for table in (timing, costs, significance, exports)
    )

    def at(table: pd.DataFrame, layers: pd.Series) -> pd.DataFrame:
        return table.reindex(pd.MultiIndex.from_arrays([layers.index, layers])).droplevel(1)

    full, full_costs = (at(table, plan["full_layers"]) for table in (runs, costs))
    pruned, pruned_costs, times, tests, exported = (
        at(table, plan["layers"]) for table in (runs, costs, timing, significance, exports)
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
            "full_steps": full["steps"],
            "pruned_steps": pruned["steps"],
            "full_step_time": times["step_full_median"],
            "pruned_step_time": times["step_pruned_median"],
        }
    )


# The headings of a task in Markdown and LaTeX, in the paper's order.
HEADINGS = ("model", "layers", "full %", "pruned %", "diff. %", "p", "train time %", "inference %")
TITLES = {"words": "Word classification", "speakers": "Speaker identification"}
# In the tables below: a cost of both models -> its column, the unit, and whether its change is printed.
SIZES = {
    "parameters": ("parameters (M)", 1e6, True),
    "bytes": ("size (MB)", 1e6, False),
    "multiply_adds": ("multiply-adds (G)", 1e9, True),
}
TRAINING = {"steps": ("training steps", 1, False), "step_time": ("step (ms)", 1e-3, False)}
LATENCIES = ("inference (ms)", "by ONNX (ms)")
# Below the table: a mark and its note, which is printed if a cell has the mark, or with the paper's data.
PAPERS = "the paper's data"
NOTES = (
    ("", "Layers: transformer layers kept / of the full model."),
    (
        PAPERS,
        "The paper counts layers from 0, so its label is one less: what it calls pruned to layer 8 keeps 9.",
    ),
    ("", "Full and pruned: test accuracy ± σ, the binomial standard error sqrt(p (1 - p) / n)."),
    ("[", "Of several seeds the mean; [in brackets] the standard deviation over seeds."),
    ("", "Differences are relative: 100 (pruned - full) / full."),
    (
        "",
        "p: McNemar's exact test of full against pruned on the same test items, first seed, two-sided, not "
        "corrected for the number of models.",
    ),
    (
        "*",
        "* is an outlier, left out of the average: of five or more accuracy differences, one more than three "
        "interquartile ranges outside the quartiles.",
    ),
    (
        "",
        "Train time: the change of steps x step, ± the standard error of the step. Steps: those that "
        "training took until it was stopped early, a mean over seeds. Step: the median time of one, of full "
        "and pruned model in turn; evaluations are not counted.",
    ),
    ("‡", "‡ read the stored features of the front end, which the paper's times do not."),
    (
        "",
        "Inference: the median time for a random clip, and its change ± its standard error, in PyTorch. "
        "By ONNX: of the exported, pruned model in ONNX Runtime on the CPU.",
    ),
    ("†", "† was measured while other work ran on the machine: measure it again before you quote it."),
    ("", "Size: model.safetensors in float32. Multiply-adds of a clip: convolutions and matrix products."),
)


def _number(value: float, form: str = ".2f") -> str:
    return "" if pd.isna(value) else format(value, form)


def _accuracy_cells(model: str, values: pd.Series) -> list[str]:
    """A row under HEADINGS; a missing value is empty."""

    def joined(value: str, error: str, spread: str = "") -> str:
        return value + (f" ± {error}" if error else "") + (f" [{spread}]" if spread else "")

    def timed(name: str, marks: dict[str, str]) -> str:
        cell = joined(_number(values[f"{name}_diff"], "+.1f"), _number(values[f"{name}_stderr"], ".1f"))
        return cell + "".join(mark for column, mark in marks.items() if values[column] is True)

    p = values["p_value"]
    return [
        model,
        "" if pd.isna(values["layers"]) else f"{values['layers']}/{values['full_layers']}",
        *(
            joined(*(_number(values[f"{run}{kind}"]) for kind in ("", "_sigma", "_spread")))
            for run in ("full", "pruned")
        ),
        _number(values["acc_diff"], "+.2f") + ("*" if values["acc_outlier"] is True else ""),
        "<0.001" if p < 0.001 else _number(p, ".3f"),
        timed("train_time", {"cached": "‡", "train_disturbed": "†"}),
        timed("inference", {"disturbed": "†"}),
    ]


def _companion_cells(values: pd.Series, columns: Mapping[str, tuple[str, float, bool]]) -> list[str]:
    """A row of a companion: full → pruned (relative change in %); empty where one is missing."""

    def cell(cost: str, unit: float, changes: bool) -> str:
        full, pruned = values[f"full_{cost}"], values[f"pruned_{cost}"]
        if pd.isna(full) or pd.isna(pruned):
            return ""
        change = f" ({relative_change(full, pruned):+.0f} %)" if changes else ""
        return f"{_rounded(full / unit)} → {_rounded(pruned / unit)}{change}"

    return [cell(cost, unit, changes) for cost, (_, unit, changes) in columns.items()]


def _latency_cells(values: pd.Series) -> list[str]:
    """A row under LATENCIES: full → pruned, and the exported model by ONNX Runtime."""
    [both] = _companion_cells(values, {"latency": ("", 1e-3, False)})
    onnx = "" if pd.isna(values["onnx_latency"]) else _rounded(1000 * values["onnx_latency"])
    cells = ((both, "disturbed"), (onnx, "onnx_disturbed"))
    return [cell + ("†" if cell and values[mark] is True else "") for cell, mark in cells]


def _rounded(value: float) -> str:
    """`value` to three significant digits, without an exponent; a whole number as such."""
    digits = 0 if float(value).is_integer() else max(0, 2 - math.floor(math.log10(value)))
    return format(value, f".{digits}f")


def _blocks(table: pd.DataFrame) -> list[tuple[str, Sequence[str], list[list[str]]]]:
    """Title, headings and rows to print: a block per task that has any accuracy, then sizes and times."""
    blocks: list[tuple[str, Sequence[str], list[list[str]]]] = []
    sizes: list[list[str]] = []
    times: list[list[str]] = []
    for task, prefix in PREFIXES.items():
        values = table[[f"{prefix}_{name}" for name in (*PAPER, *ADDED)]].astype(object)
        values = values.set_axis([*PAPER, *ADDED], axis=1).set_axis(table["model"])
        if values[["full", "pruned"]].isna().all(axis=None):
            continue
        shown = values if len(values) > 2 else values.iloc[:1]  # one model has no average
        blocks.append((TITLES[task], HEADINGS, [_accuracy_cells(*row) for row in shown.iterrows()]))
        for model, row in values[values["pruned_parameters"].notna()].iterrows():
            sizes.append([model, task, *_companion_cells(row, SIZES)])
            times.append([model, task, *_latency_cells(row), *_companion_cells(row, TRAINING)])
    size_headings, training_headings = (
        [heading for heading, *_ in named.values()] for named in (SIZES, TRAINING)
    )
    blocks.append(("Parameters, size and compute", ("model", "task", *size_headings), sizes))
    return [*blocks, ("Times", ("model", "task", *LATENCIES, *training_headings), times)]


def _notes(blocks: Sequence[tuple[str, Sequence[str], list[list[str]]]], own_data: bool) -> list[str]:
    """The notes that the printed cells need. With one's own data, not that of the paper's way to count."""
    cells = "".join(cell for _, _, rows in blocks for _, *cells in rows for cell in cells)
    return [note for mark, note in NOTES if (not own_data if mark == PAPERS else mark in cells)]


def markdown(table: pd.DataFrame, own_data: bool = False) -> str:
    """Table 1 as Markdown to read in a terminal: aligned, a table per task, sizes and times, notes below."""
    lines = ["# Table 1. Full and pruned models", ""]
    blocks = _blocks(table)
    for title, headings, rows in blocks:
        lines += [f"## {title}", "", markdown_tables.render(headings, rows), ""]
    notes = (markdown_tables.item(note) for note in _notes(blocks, own_data))
    return "\n".join([*lines, *notes]) + "\n"


def latex(table: pd.DataFrame, own_data: bool = False) -> str:
    r"""Table 1 as a LaTeX `table*` (needs booktabs): a tabular per block, the notes as its caption."""
    marks = {"±": r"\pm", "*": r"^{*}", "→": r"\to", "%": r"\%"}
    marks |= {"‡†": r"^{\ddagger\dagger}", "†": r"^{\dagger}", "‡": r"^{\ddagger}"}

    def cell(text: str) -> str:
        for mark, command in marks.items():
            text = text.replace(mark, command)
        return f"${text}$" if any(c.isdigit() for c in text) else text

    lines = [r"\begin{table*}", r"\centering", r"\footnotesize", r"\setlength{\tabcolsep}{4pt}"]
    blocks = _blocks(table)
    for title, headings, rows in blocks:
        lines += [r"\begin{tabular}{@{}l" + "r" * (len(headings) - 1) + r"@{}}", r"\toprule"]
        lines += [rf"\multicolumn{{{len(headings)}}}{{@{{}}l}}{{\emph{{{title}}}}} \\"]
        lines += [" & ".join(map(_escaped, headings)) + r" \\", r"\midrule"]
        lines += [" & ".join([_escaped(name), *map(cell, cells)]) + r" \\" for name, *cells in rows]
        lines += [r"\bottomrule", r"\end{tabular}", r"\medskip", ""]
    caption = (
        " ".join(map(_escaped, _notes(blocks, own_data))).replace("±", r"$\pm$").replace("σ", r"$\sigma$")
    )
    caption = caption.replace("†", r"$\dagger$").replace("‡", r"$\ddagger$")
    lines += [rf"\caption{{Full and pruned models. {caption}}}", r"\label{tab:pruning}", r"\end{table*}"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """`text` with LaTeX's special characters escaped."""
    special = {c: rf"\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}"}
    special |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(character, character) for character in text)
