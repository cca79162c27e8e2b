"""Table 1 as text: in Markdown, to be read in a terminal too, and in LaTeX."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from convexprune.results import markdown_tables
from convexprune.results.table1 import ADDED, BOUNDS, PAPER, Asked, relative_change

# The headings of a task in Markdown and LaTeX, in the paper's order.
HEADINGS = ("model", "layers", "full %", "pruned %", "diff. %", "p", "train time %", "inference %")
TITLES = {"words": "Word classification", "speakers": "Speaker identification"}  # of the paper's tasks
# In the tables below: a cost of both models -> its column, the unit, and whether its change is printed.
SIZES = {
    "parameters": ("parameters (M)", 1e6, True),
    "bytes": ("size (MB)", 1e6, False),
    "multiply_adds": ("multiply-adds (G)", 1e9, True),
}
TRAINING = {"steps": ("training steps", 1, False), "step_time": ("step (ms)", 1e-3, False)}
FOLDED = ("cut %", "folded %", "seconds")
LATENCIES = ("inference (ms)", "by ONNX (ms)")
TESTED = ("p (Holm)", "worse at most", "by speaker", "worst class %", "worst speaker %")
# Below the table: a mark and its note, which is printed if a cell has the mark, or with these data.
PAPERS, STANDARD = "the paper's data", "the standard test split"
COMPARED, FOLDS = "Pruned against full", "Without training"  # titles of blocks
NOTES = (
    ("", "Layers: transformer layers kept / of the full model."),
    (
        PAPERS,
        "The paper counts layers from 0, so its label is one less: what it calls pruned to layer 8 keeps 9.",
    ),
    (STANDARD, "Words are tested on the standard test split: do not compare with the paper's accuracies."),
    ("", "Full and pruned: test accuracy ± σ, the binomial standard error sqrt(p (1 - p) / n)."),
    ("[", "Of several seeds the mean; [in brackets] the standard deviation over seeds."),
    ("", "Differences are relative: 100 (pruned - full) / full."),
    (
        "",
        "p: McNemar's exact test of full against pruned on the same test items, first seed, two-sided, not "
        "corrected for the number of models.",
    ),
    (
        "",
        "Pruned against full: first seed. p (Holm): corrected for the models of the task. Worse at most: the "
        "one-sided 95 % bound of full less pruned accuracy in points, exact; below zero, the pruned model is "
        "better. By speaker: where recordings of one speaker may be alike; empty for fewer than three known "
        "speakers, and where speakers are the classes. Worst class, worst speaker: the lowest accuracy in "
        "one of them, of the full and of the pruned model.",
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
    (
        FOLDS,
        "Without training: the full model cut to the layers kept, and folded: with a projector that makes up "
        "for the others. Seconds: those of folding it to every depth, by the clock, without loading it.",
    ),
    ("", "Size: model.safetensors in float32. Multiply-adds of a clip: convolutions and matrix products."),
)


def _number(value: float, form: str = ".2f") -> str:
    return "" if pd.isna(value) else format(value, form)


def _probability(p: float) -> str:
    return "<0.001" if p < 0.001 else _number(p, ".3f")


def _accuracy_cells(model: str, values: pd.Series) -> list[str]:
    """A row under HEADINGS; a missing value is empty."""

    def joined(value: str, error: str, spread: str = "") -> str:
        return value + (f" ± {error}" if error else "") + (f" [{spread}]" if spread else "")

    def timed(name: str, marks: dict[str, str]) -> str:
        cell = joined(_number(values[f"{name}_diff"], "+.1f"), _number(values[f"{name}_stderr"], ".1f"))
        return cell + "".join(mark for column, mark in marks.items() if values[column] is True)

    return [
        model,
        "" if pd.isna(values["layers"]) else f"{values['layers']}/{values['full_layers']}",
        *(
            joined(*(_number(values[f"{run}{kind}"]) for kind in ("", "_sigma", "_spread")))
            for run in ("full", "pruned")
        ),
        _number(values["acc_diff"], "+.2f") + ("*" if values["acc_outlier"] is True else ""),
        _probability(values["p_value"]),
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


def _tested_cells(values: pd.Series) -> list[str]:
    """A row under TESTED."""

    def worst(kind: str) -> str:
        full, pruned = (_number(values[f"{run}_worst_{kind}"], ".1f") for run in ("full", "pruned"))
        return f"{full} → {pruned}" if full and pruned else ""

    bounds = (_number(values[name]) for name in BOUNDS)
    return [_probability(values["p_holm"]), *bounds, worst("class"), worst("speaker")]


def _folded_cells(values: pd.Series) -> list[str]:
    """A row under FOLDED."""
    error, spread = _number(values["folded_sigma"]), _number(values["folded_spread"])
    folded = f"{_number(values['folded'])} ± {error}" + (f" [{spread}]" if spread else "")
    return [_number(values["cut"]), folded, _number(values["fold_seconds"], ".1f")]


def _rounded(value: float) -> str:
    """`value` to three significant digits, without an exponent; a whole number as such."""
    digits = 0 if float(value).is_integer() else max(0, 2 - math.floor(math.log10(value)))
    return format(value, f".{digits}f")


def title_of(task: str) -> str:
    """The heading of a task's part of a table."""
    return TITLES.get(task, f"Classification of {task}")


def _blocks(table: pd.DataFrame, asked: Asked) -> list[tuple[str, Sequence[str], list[list[str]]]]:
    """Title, headings and rows to print: a block per task that has any accuracy, then the companions."""
    blocks: list[tuple[str, Sequence[str], list[list[str]]]] = []
    tests: list[list[str]] = []
    sizes: list[list[str]] = []
    times: list[list[str]] = []
    folds: list[list[str]] = []
    for task, prefix in asked.prefixes.items():
        values = table[[f"{prefix}_{name}" for name in (*PAPER, *ADDED)]].astype(object)
        values = values.set_axis([*PAPER, *ADDED], axis=1).set_axis(table["model"])
        if values[["full", "pruned"]].isna().all(axis=None):
            continue
        shown = values if len(values) > 2 else values.iloc[:1]  # one model has no average
        blocks.append((title_of(task), HEADINGS, [_accuracy_cells(*row) for row in shown.iterrows()]))
        for model, row in values[values["pruned_parameters"].notna()].iterrows():
            tests.append([model, task, *_tested_cells(row)])
            sizes.append([model, task, *_companion_cells(row, SIZES)])
            times.append([model, task, *_latency_cells(row), *_companion_cells(row, TRAINING)])
            if pd.notna(row["folded"]):
                folds.append([model, task, *_folded_cells(row)])
    size_headings, training_headings = (
        [heading for heading, *_ in named.values()] for named in (SIZES, TRAINING)
    )
    blocks.append((COMPARED, ("model", "task", *TESTED), tests))
    blocks.append(("Parameters, size and compute", ("model", "task", *size_headings), sizes))
    blocks.append(("Times", ("model", "task", *LATENCIES, *training_headings), times))
    return [*blocks, *([(FOLDS, ("model", "task", *FOLDED), folds)] if folds else [])]


def _notes(blocks: Sequence[tuple[str, Sequence[str], list[list[str]]]], data: str) -> list[str]:
    """The notes that the printed cells and the `data` need."""
    marks = "".join(cell for _, _, rows in blocks for _, *cells in rows for cell in cells)
    marks += "" if data == "own" else PAPERS
    marks += FOLDS if blocks[-1][0] == FOLDS else ""
    marks += STANDARD if data == "standard" and any(title == TITLES["words"] for title, *_ in blocks) else ""
    return [note for mark, note in NOTES if mark in marks]


def markdown(table: pd.DataFrame, asked: Asked) -> str:
    """Table 1 as Markdown to read in a terminal: aligned, a table per task, sizes and times, notes below."""
    lines = ["# Table 1. Full and pruned models", ""]
    blocks = _blocks(table, asked)
    for title, headings, rows in blocks:
        lines += [f"## {title}", "", markdown_tables.render(headings, rows), ""]
    notes = (markdown_tables.item(note) for note in _notes(blocks, asked.data))
    return "\n".join([*lines, *notes]) + "\n"


def latex(table: pd.DataFrame, asked: Asked) -> str:
    r"""Table 1 as a LaTeX `table*` (needs booktabs): a tabular per block, the notes as its caption."""
    marks = {"±": r"\pm", "*": r"^{*}", "→": r"\to", "%": r"\%"}
    marks |= {"‡†": r"^{\ddagger\dagger}", "†": r"^{\dagger}", "‡": r"^{\ddagger}"}

    def cell(text: str) -> str:
        for mark, command in marks.items():
            text = text.replace(mark, command)
        return f"${text}$" if any(c.isdigit() for c in text) else text

    lines = [r"\begin{table*}", r"\centering", r"\footnotesize", r"\setlength{\tabcolsep}{4pt}"]
    blocks = _blocks(table, asked)
    for title, headings, rows in blocks:
        lines += [r"\begin{tabular}{@{}l" + "r" * (len(headings) - 1) + r"@{}}", r"\toprule"]
        lines += [rf"\multicolumn{{{len(headings)}}}{{@{{}}l}}{{\emph{{{_escaped(title)}}}}} \\"]
        lines += [" & ".join(map(_escaped, headings)) + r" \\", r"\midrule"]
        lines += [" & ".join([_escaped(name), *map(cell, cells)]) + r" \\" for name, *cells in rows]
        lines += [r"\bottomrule", r"\end{tabular}", r"\medskip", ""]
    caption = (
        " ".join(map(_escaped, _notes(blocks, asked.data))).replace("±", r"$\pm$").replace("σ", r"$\sigma$")
    )
    caption = caption.replace("†", r"$\dagger$").replace("‡", r"$\ddagger$")
    lines += [rf"\caption{{Full and pruned models. {caption}}}", r"\label{tab:pruning}", r"\end{table*}"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """`text` with LaTeX's special characters escaped."""
    special = {c: rf"\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}"}
    special |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(character, character) for character in text)
