"""Who pays for the pruning: accuracy of full and pruned model by class and by speaker."""

from __future__ import annotations

import math

import pandas as pd

from convexprune.results import significance

COLUMNS = (
    *("kind", "group", "n_items", "full", "pruned", "change", "only_full", "only_pruned"),
    *("p_value", "p_holm", "convexity"),
)


def compare_groups(pairs: pd.DataFrame, convexity: pd.Series) -> pd.DataFrame:
    """A row for each class and each speaker of the test items `pairs` (`significance.pair_predictions`).

    `convexity`: that of the classes in the pretrained model at the layers kept, by label.

    Columns: `kind`, class or speaker; `group`, which one; `n_items`; `full` and `pruned`, the share of them
    that each model got right (of a class, its recall); `change`, pruned less full; `only_full` and
    `only_pruned`, the numbers of items that only one got right; `p_value`, of McNemar's exact test; `p_holm`,
    the same corrected for all groups of this kind; and `convexity` of a class. If the speakers are not known
    or are the labels, there are classes only.
    """
    kinds = [("class", "label"), *([("speaker", "speaker")] if (pairs["speaker"] != "").all() else [])]
    tables = []
    for kind, column in kinds:
        rows = []
        for group, items in pairs.groupby(column):
            only_full, only_pruned = significance.count_differences(items)
            full, pruned = items["full"].mean(), items["pruned"].mean()
            row = {"kind": kind, "group": group, "n_items": len(items), "full": full, "pruned": pruned}
            row |= {"change": pruned - full, "only_full": only_full, "only_pruned": only_pruned}
            row |= {"p_value": significance.mcnemar(only_full, only_pruned)}
            known = kind == "class"
            rows.append(row | {"convexity": convexity.get(group, math.nan) if known else math.nan})
        table = pd.DataFrame(rows)
        tables.append(table.assign(p_holm=significance.holm(table["p_value"])))
    return pd.concat(tables, ignore_index=True)[list(COLUMNS)]
