"""The verdict over a sweep: which criteria choose as well as the best one, with intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from convexprune.results.choices import BEST, FEWEST, FOLDED, JUDGES

# With fewer cells, even a difference of one sign in all of them is no evidence: the two-sided sign test of
# five gives p = 2 / 2^5 = 0.06. A bootstrap of so few would claim more than they show.
FEWEST_CELLS = 6
DRAWS = 9999
CELL = ["task", "model", "seed"]
NEEDS = {"plan": "", FOLDED.name: "full model", "best on test": "test labels", "whole sweep": "every model"}
COLUMNS = ["choice", "rule", "needs", "cells", "lost", "lost_low", "lost_high", "behind", "behind_low"]
COLUMNS += ["behind_high", "rho", "rho_low", "rho_high", "kept", "seconds"]


def judge(runs: pd.DataFrame) -> pd.DataFrame:
    """The mean over all cells (task, model and seed) for each choice and rule, best first.

    `runs` is the table of `choices.study_runs`. Columns, of accuracies from 0 to 1:

    - `needs`: what a choice needs beside embeddings; `cells`: how many could be judged;
    - `lost`: the accuracy lost against the best trained depth; `behind`: what it loses more than the best
      criterion does in the same cells; `rho`: the rank correlation with accuracy;
    - `…_low`, `…_high`: their 95 % intervals (`find_interval`);
    - `kept`: the share of layers; `seconds`: until the layers are known, mean over tasks and models.

    The best criterion is the one by the rule `fewest` that loses least, and of these keeps least, among those
    that were judged in every cell. A row of the rule `best` is left out where it picks the same everywhere.
    """
    keys = ["choice", "rule"]
    cells = {name: runs.pivot(index=CELL, columns=keys, values=name) for name in ("lost", "rho", "layers")}
    kept = runs.assign(kept=runs["layers"] / runs["full_layers"]).groupby(keys, sort=False)["kept"].mean()
    once = runs.drop_duplicates(["task", "model", *keys])
    seconds = once.groupby(keys, sort=False)["seconds"].mean()
    best = find_best(cells["lost"], kept)
    rows = []
    for choice, rule in kept.index:
        lost = cells["lost"][choice, rule]
        if rule == BEST and cells["layers"][choice, rule].equals(cells["layers"][choice, FEWEST]):
            continue
        row = {"choice": choice, "rule": rule, "needs": name_needs(choice), "cells": lost.count()}
        measures = {"lost": lost, "behind": lost - cells["lost"][best], "rho": cells["rho"][choice, rule]}
        for name, values in measures.items():
            low, high = find_interval(values)
            row |= {name: values.mean(), f"{name}_low": low, f"{name}_high": high}
        rows.append(row | {"kept": kept[choice, rule], "seconds": seconds[choice, rule]})
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(["lost", "kept"], ignore_index=True)


def find_best(lost: pd.DataFrame, kept: pd.Series) -> tuple[str, str]:
    """The choice and rule, of criteria by the rule `fewest`, with the least mean loss, then the least kept.

    `lost` is by cell (rows) and choice and rule (columns). Criteria with the most cells are compared.
    """
    of_criteria = lost.loc[:, [key for key in lost if key[1] == FEWEST]]
    counts = of_criteria.count()
    means = of_criteria.loc[:, counts == counts.max()].mean()
    return (
        pd.DataFrame({"lost": means, "kept": kept.reindex(means.index)})
        .sort_values(["lost", "kept"])
        .index[0]
    )


def find_interval(values: pd.Series) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of `values` by cell, by a seeded bootstrap of two stages.

    Pairs of a task and a model are drawn, then seeds within each pair drawn, both with replacement: seeds of
    one pair share the layers picked, so they are no independent evidence. Missing below FEWEST_CELLS values.
    With one pair, the interval is about other seeds of it alone.
    """
    by_pair = values.unstack("seed").dropna().to_numpy()
    if by_pair.size < FEWEST_CELLS:
        return np.nan, np.nan
    rng, (pairs, seeds) = np.random.default_rng(0), by_pair.shape
    drawn_pairs = rng.integers(pairs, size=(DRAWS, pairs, 1))
    drawn_seeds = rng.integers(seeds, size=(DRAWS, pairs, seeds))
    low, high = np.percentile(by_pair[drawn_pairs, drawn_seeds].mean(axis=(1, 2)), [2.5, 97.5])
    return float(low), float(high)


def name_needs(choice: str) -> str:
    """What a choice needs beside the embeddings and time of its computation."""
    needs_labels = choice in JUDGES and JUDGES[choice].labels
    return NEEDS.get(choice, "labels" if needs_labels else "nothing")


def conclude(verdict: pd.DataFrame) -> str:
    """The sentence that says which criteria are indistinguishable from the best, and which lose more.

    `verdict` is that of `judge`. A choice is indistinguishable if the interval of what it loses more than the
    best criterion includes 0. The plan and the baselines that cost nothing are named too.
    """
    baselines = ["plan", "middle layer", "no pruning"]
    shown = verdict[(verdict["rule"] == FEWEST) | verdict["choice"].isin(baselines)]
    criteria = shown[shown["rule"] == FEWEST]
    n = criteria["cells"].max()
    best = criteria[criteria["cells"] == n].iloc[0]
    over = f"Over {n} {'cell' if n == 1 else 'cells'} (a model, task and seed)"
    least = f"the least test accuracy of {len(criteria)} criteria: {100 * best['lost']:.2f} points"
    if n < FEWEST_CELLS:
        equal = criteria[(criteria["cells"] == n) & np.isclose(criteria["lost"], best["lost"])]["choice"]
        names = f"{', '.join(map(title_of, equal))} {'loses' if len(equal) == 1 else 'lose'}"
        return (
            f"{over}, {names} {least}; fewer than {FEWEST_CELLS} cells cannot show that any choice is better."
        )
    others = shown.drop(best.name)
    groups = {
        "indistinguishable from it": others["behind_low"] <= 0,
        "losing more": others["behind_low"] > 0,
        f"judged in fewer than {FEWEST_CELLS} cells": others["behind_low"].isna(),
    }
    told = [
        f"{group}: {', '.join(map(title_of, others['choice'][members]))}"
        for group, members in groups.items()
        if members.any()
    ]
    interval = f"95 % interval {100 * best['lost_low']:.2f} to {100 * best['lost_high']:.2f}"
    kept = f"keeping {100 * best['kept']:.0f} % of the layers"
    found = f"{over}, {title_of(best['choice'])} loses {least} ({interval}), {kept}"
    return f"{'; '.join([found, *told])}."


def title_of(choice: str, rule: str = "") -> str:
    """The name of a choice in texts and figures; that of the rule `best` says so."""
    title = JUDGES[choice].title if choice in JUDGES else choice
    return f"{title}, best" if rule == BEST else title
