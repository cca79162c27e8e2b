"""Which layers to keep: a plan for each model and task, from the config or from convexity scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from convexprune.convexity import averages, stability
from convexprune.convexity.stability import Scores

if TYPE_CHECKING:
    import pandas as pd

Choice: TypeAlias = Mapping[str, Any]
COLUMNS = ["model", "task", "layers", "full_layers", "rule", "stability", "fewest", "most", "reason"]
FEW_SPEAKERS = 10  # recordings of fewer voices say little of others


def plan_layers(
    models: Mapping[str, Mapping[str, Choice]],
    convexity: pd.DataFrame,
    covariances: pd.DataFrame,
    average: str,
) -> pd.DataFrame:
    """The number of layers to keep for each model and task.

    models: for each model and task a dict with `layers` (of the full model), `rule` and what it needs:
        explicit keeps `keep` layers, as given; the others, RULES, keep one or more.
    convexity: the table of convexity scores (empty where every rule is explicit). The scores of the
        pretrained model on the dataset of the task's own name decide.
    covariances: the table of their covariances.
    average: `pair` or `class`: the mean of the convexity that decides.

    Returns a table of model, task, layers, full_layers, rule, stability (the share of simulated samples that
    choose as many layers), fewest and most (the range of 95 % of their choices), and reason (a sentence with
    the numbers). Raises ValueError if scores are missing or if the model does not have the number of layers
    to keep.
    """
    import pandas as pd

    rows = []
    for model, tasks in models.items():
        for task, choice in tasks.items():
            full, sure = choice["layers"], (np.nan, pd.NA, pd.NA)
            if choice["rule"] == "explicit":
                layers, reason = (
                    choice["keep"],
                    f"The configuration says to keep {choice['keep']} of {full} layers.",
                )
            else:
                scores = _find_scores(convexity, covariances, model, task, full, average)
                layers, sure, reason = choose(scores, choice, task)
                reason += f" Measured on the {choice['split']} split"
                reason += ", on which the accuracy is reported too." if choice["split"] == "test" else "."
                reason += warn_of_few(count_groups(convexity, model, task))
            if not 0 <= layers <= full:
                raise ValueError(f"cannot keep {layers} layers of {model} for {task}: it has {full}")
            rows.append((model, task, layers, full, choice["rule"], *sure, reason))
    return pd.DataFrame(rows, columns=COLUMNS).astype({"fewest": "Int64", "most": "Int64"})


def warn_of_few(n_speakers: int | None) -> str:
    """A sentence, after a space, where the recordings that are scored come from few speakers."""
    if n_speakers is None or n_speakers >= FEW_SPEAKERS:
        return ""
    return (
        f" The recordings are of {n_speakers} speakers, which is few: classes may be convex within a voice "
        "and not across voices. Look at the convexity across speakers too (criteria.csv)."
    )


def count_groups(convexity: pd.DataFrame, model: str, task: str) -> int | None:
    """The speakers of a task's own dataset that were scored; None if they are not known."""
    found = convexity[(convexity["model"] == model) & (convexity["dataset"] == task)]["n_groups"].dropna()
    return int(found.iloc[0]) if len(found) else None


def _find_scores(
    convexity: pd.DataFrame,
    covariances: pd.DataFrame,
    model: str,
    task: str,
    full: int,
    average: str,
) -> Scores:
    """The convexity of 1..full layers of the pretrained model on the task's own dataset."""
    mine = "model == @model and dataset == @task and state == 'pretrained'"
    column = averages.COLUMNS[average].score
    table = convexity.query(mine)
    kept = range(1, full + 1)
    if missing := sorted(set(kept) - set(table["layers"])):
        raise ValueError(
            f"no convexity of {model} on {task} for layers {missing}: score them before planning"
        )
    table = table.set_index("layers").loc[kept]
    cells = covariances.query(f"{mine} and average == @average")
    square = cells.pivot(index="layers", columns="other_layers", values="covariance").loc[kept, kept]
    freedom = cells.pivot(index="layers", columns="other_layers", values="freedom").loc[kept, kept]
    return Scores(
        table[column].to_numpy(), square.to_numpy(), stability.pool_freedom(freedom.to_numpy(float))
    )


def fewest_within(scores: pd.Series, tolerance: float) -> int:
    """The fewest layers (ascending index of `scores`) that score at most `tolerance` below the highest."""
    return int(scores.index[scores >= scores.max() - tolerance][0])


def choose(scores: Scores, choice: Choice, dataset: str) -> tuple[int, tuple[float, int, int], str]:
    """The layers that the rule of `choice` keeps, how sure that is (`measure_stability`), and why.

    Raises ValueError if there is no such rule.
    """
    if choice["rule"] not in RULES:
        told = f"use explicit, {' or '.join(RULES)}"
        raise ValueError(f"unknown rule {choice['rule']!r} for choosing layers: {told}")
    described = RULES[choice["rule"]]
    rule = described.make(choice)
    layers, best = int(rule(scores.values[None], scores)[0]), int(scores.values.argmax()) + 1
    reason = f"The convexity of {dataset} is highest after {_count(best)} ({scores.values.max():.4f})."
    if layers != best:
        near = f"{described.near.format(**choice)} ({scores.values[layers - 1]:.4f})"
        reason += f" After {_count(layers)}, and no fewer, {near}."
    elif described.none_near and best > 1:
        reason += f" No fewer layers {described.none_near.format(**choice)}."
    sure = stability.measure_stability(scores, rule)
    share, fewest, most = sure
    reason += f" Of simulated samples, {100 * share:.0f} % choose {_count(layers)} too"
    reason += "." if fewest == most else f", and 95 % choose {fewest} to {most}."
    return layers, sure, reason


def _count(layers: int) -> str:
    return f"{layers} layer" if layers == 1 else f"{layers} layers"


# The rules. Each is made from the settings of the choice, and takes convexity scores (N, L) of N samples by
# layers, from 1 on. It returns the layers to keep (N,).


def keep_within(choice: Choice) -> stability.Rule:
    """The fewest layers whose convexity is at most `tolerance` below the highest."""
    return lambda values, scores: 1 + _find_near(values, choice["tolerance"]).argmax(axis=1)


def keep_highest(choice: Choice) -> stability.Rule:
    """The layers with the highest convexity, the fewest if equal."""
    return lambda values, scores: 1 + values.argmax(axis=1)


def keep_significant(choice: Choice) -> stability.Rule:
    """The fewest layers whose convexity is not significantly below the highest, or at most `margin` below it.

    The paper's sentence ("the layer after which the convexity is not significantly increasing"), made exact:
    `stability.find_criticals` tests each layer against the best one, so that the error over all layers is
    `alpha`. The margin keeps large data from making crumbs significant.
    """

    def rule(values: np.ndarray, scores: Scores) -> np.ndarray:
        criticals = stability.find_criticals(scores, choice["alpha"])
        level = stability.measure_gaps(values, scores.covariance) <= criticals
        return 1 + (level | _find_near(values, choice["margin"])).argmax(axis=1)

    return rule


def _find_near(values: np.ndarray, tolerance: float | np.ndarray) -> np.ndarray:
    return values >= values.max(axis=1, keepdims=True) - tolerance


class RuleOfPlan(NamedTuple):
    make: Callable[[Choice], stability.Rule]
    near: str  # what is true of the layers kept, if they are fewer than the best
    none_near: str  # what is true of no fewer layers than the best


RULES = {
    "tolerance": RuleOfPlan(
        keep_within, "it is within {tolerance:g} of that", "come within {tolerance:g} of that"
    ),
    "highest": RuleOfPlan(keep_highest, "", ""),
    "significant": RuleOfPlan(
        keep_significant,
        "it is not significantly below that, or by at most {margin:g}",
        "are as good: all are significantly below that, and by more than {margin:g}",
    ),
}
