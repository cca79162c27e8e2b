"""What a run recommends: for each model and task the folder to use, how accurate it is, and what it saves."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd
from scipy.stats import binomtest

SIGNIFICANT = 0.05
WIDE = 10  # points: a difference that is known no better than this is not known


class Tables(NamedTuple):
    """The tables of results/README.md that the answer is read from."""

    plan: pd.DataFrame
    finetuning: pd.DataFrame
    timing: pd.DataFrame
    costs: pd.DataFrame
    significance: pd.DataFrame
    groups: pd.DataFrame


def answer(tables: Tables, folder: str, seed: int) -> str:
    """Markdown: three sentences for each model and task.

    `folder` has the results. `seed` is that of the exported models.
    """
    entries = []
    for row in tables.plan.itertuples():
        name = f"**{row.model}, {row.task}**"
        if row.layers == row.full_layers:
            entries.append(f"- {name}: keep all {row.full_layers} layers. Nothing was pruned.")
            continue
        run = {"model": row.model, "task": row.task}
        full, pruned = (
            _find(tables.finetuning, **run, layers=layers, seed=seed)["accuracy"]
            for layers in (row.full_layers, row.layers)
        )
        full_bytes, pruned_bytes = (
            _find(tables.costs, **run, layers=layers)["bytes"] for layers in (row.full_layers, row.layers)
        )
        compared = _find(tables.significance, **run, seed=seed)
        groups = tables.groups[(tables.groups["model"] == row.model) & (tables.groups["task"] == row.task)]
        timed = _find(tables.timing, **run, layers=row.layers)
        exported = f"`{folder}/exported/{row.model}/{row.task}/` ({row.layers} of {row.full_layers} layers)"
        whole = f"`{folder}/finetuned/{row.model}/{row.task}/{row.full_layers}/{seed}/`"
        loses = compared["p_value"] < SIGNIFICANT and pruned < full
        sentences = (
            f"- {name}: {exported} loses accuracy.\nWhere that matters, use the full model, {whole}."
            if loses
            else f"- {name}: use {exported}.",
            f"{describe_accuracy(full, pruned, compared)}{describe_payers(groups)}",
            describe_savings(timed, full_bytes, pruned_bytes),
        )
        entries.append("\n".join(sentences).replace("\n", "\n  "))
    return "\n".join(entries)


def _find(table: pd.DataFrame, **names: Any) -> pd.Series:
    """The one row of a table with these values."""
    chosen = pd.Series(True, index=table.index)
    for name, value in names.items():
        chosen &= table[name] == value
    [position] = chosen.to_numpy().nonzero()[0]
    return table.iloc[position]


def describe_accuracy(full: float, pruned: float, compared: pd.Series) -> str:
    """Sentences: whether the pruned model is as accurate as the full one on the same test items."""
    low, high = 100 * compared["difference_low"], 100 * compared["difference_high"]
    if compared["p_value"] < SIGNIFICANT:
        verdict = f"It is {'less' if pruned < full else 'more'} accurate"
    elif low <= 0 <= high and high - low > WIDE:
        verdict = "The test items are too few to tell whether accuracy differs"
    elif low <= 0 <= high:
        verdict = "No difference in accuracy was found"
    else:
        verdict = "A difference in accuracy is likely, not certain"
    p = "p < 0.001" if compared["p_value"] < 0.001 else f"p = {compared['p_value']:.3f}"
    return (
        f"{verdict}: {100 * pruned:.1f} % against the full model's {100 * full:.1f} % on "
        f"{compared['n_items']:,} test items\n"
        f"({100 * (pruned - full):+.1f} points, 95 % interval {low:+.1f} to {high:+.1f}, {p}).\n"
        f"{describe_bound(compared)}{describe_guess(pruned, compared)}"
    )


def describe_bound(compared: pd.Series) -> str:
    """A sentence: how much worse the pruned model is at most; over speakers where there is such a bound."""
    by_speaker = pd.notna(compared["worse_at_most_by_speaker"])
    bound = 100 * compared["worse_at_most_by_speaker" if by_speaker else "worse_at_most"]
    said = f"at most {bound:.1f} points worse" if bound > 0 else f"at least {-bound:.1f} points better"
    over = f" (over its {compared['n_speakers']:.0f} speakers)" if by_speaker else ""
    return f"It is {said}, at 95 %{over}."


def describe_payers(groups: pd.DataFrame) -> str:
    """A sentence if groups of a model and task (`groups.csv`) lose significantly: which loses most."""
    worse = groups[(groups["p_holm"] < SIGNIFICANT) & (groups["change"] < 0)].sort_values("change")
    if worse.empty:
        return ""
    worst = worse.iloc[0]
    change = f"{100 * worst['full']:.0f} → {100 * worst['pruned']:.0f} %, p = {worst['p_holm']:.2g} by Holm"
    lose = f"and {len(worse) - 1} more lose" if len(worse) > 1 else "loses"
    return f"\nThe {worst['kind']} {worst['group']} ({change}) {lose} accuracy: see `groups.csv`."


def describe_guess(pruned: float, compared: pd.Series) -> str:
    """A sentence if the pruned model may be no better than a guess, by a binomial test; else nothing."""
    n, guess = int(compared["n_items"]), compared["most_frequent"]
    if binomtest(round(pruned * n), n, guess, alternative="greater").pvalue < SIGNIFICANT:
        return ""
    told = f"That is not clearly better than always the most frequent class, {100 * guess:.1f} %"
    return f"\n{told}: do not use it."


def describe_savings(timed: pd.Series, full_bytes: int, pruned_bytes: int) -> str:
    """A sentence: how much faster and smaller the pruned model is."""
    full, pruned = 1000 * timed["full_median"], 1000 * timed["pruned_median"]
    faster = 100 * (1 - timed["ratio_median"])
    speed = f"{faster:.0f} % faster" if faster >= 1 else "not faster"
    again = "; other work ran beside it: measure again" if timed["disturbed"] in (True,) else ""
    clip = "a second" if timed["seconds"] == 1 else f"{timed['seconds']:g} s"
    smaller = 100 * (1 - pruned_bytes / full_bytes)
    return (
        f"It is {speed} ({full:.1f} → {pruned:.1f} ms for {clip} of audio{again})\n"
        f"and {smaller:.0f} % smaller ({full_bytes / 1e6:.3g} → {pruned_bytes / 1e6:.3g} MB)."
    )
