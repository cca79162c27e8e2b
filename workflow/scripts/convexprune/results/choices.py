"""Which layers would each criterion keep, and what does that cost? Judged over a sweep.

A choice is judged by the test accuracy of the model fine-tuned with that many layers. Only trained depths
(those of the sweep, the planned and the full one) can be judged. A choice between two of them is judged at
the deeper one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from convexprune.criteria import footing
from convexprune.criteria.registry import CRITERIA, Criterion
from convexprune.results import benchmarks

FOLDED = Criterion(
    "folded model",
    "folded model",
    labels=True,
    sign=1,
    source="docs/folding.md",
    meaning="validation accuracy of the fine-tuned full model, cut to the depth and folded",
)
JUDGES = CRITERIA | {FOLDED.name: FOLDED}
BASELINES = ("middle layer", "no pruning", "whole sweep", "best on test")
CHOICES = ("plan", *JUDGES, *BASELINES)
FEWEST, BEST = "fewest", "best"  # the rules of a criterion; other choices have none
KEYS = ["task", "model", "choice", "rule"]
CHOICE_COLUMNS = [*KEYS, "picked", "layers", "full_layers", "accuracy", "sigma", "spread", "lost", "rho"]
CHOICE_COLUMNS += ["seconds", "multiply_adds"]
SOURCES = ("finetuning", "criteria", "plan", "costs", "timing", "folding")
JOBS = ("embed", "score_convexity")  # rules whose time counts for a choice


def collect_goodness(criteria: pd.DataFrame, folding: pd.DataFrame) -> pd.DataFrame:
    """The values of JUDGES in the pretrained models, times their sign: higher is better.

    A row per task, model, choice and layers, without missing values. Those of the folded model are means over
    seeds.
    """
    found = criteria[(criteria["state"] == "pretrained") & criteria["criterion"].isin(list(CRITERIA))]
    found = found.rename(columns={"dataset": "task", "criterion": "choice"})
    signs = found["choice"].map({name: criterion.sign for name, criterion in CRITERIA.items()})
    folded = folding.groupby(["task", "model", "layers"], as_index=False)["validation_accuracy"].mean()
    folded = folded.rename(columns={"validation_accuracy": "goodness"}).assign(choice=FOLDED.name)
    columns = ["task", "model", "choice", "layers", "goodness"]
    table = pd.concat([found.assign(goodness=signs * found["value"])[columns], folded[columns]])
    return table.dropna(subset="goodness", ignore_index=True)


def pick_layers(
    trained: pd.DataFrame, goodness: Mapping[str, pd.Series], planned: int, full: int
) -> dict[tuple[str, str], int]:
    """The layers of each of CHOICES, by (choice, rule), for one model and task.

    `trained`: means over seeds by trained depth of one layer or more; `goodness`: that of each criterion by
    layers (`collect_goodness`). Criteria without values pick nothing.

    - plan: the `planned` layers, which the pruned model of Table 1 keeps;
    - a criterion, by the rule `fewest`: the fewest layers near the best value (`footing.fewest_near_best`);
      by the rule `best`: the best value;
    - middle layer: the trained depth nearest half of the layers, the lower of two;
    - no pruning: all `full` layers;
    - whole sweep: the most accurate on the validation split;
    - best on test: the upper bound, not a valid choice, since it uses test labels.
    """
    picks = {("plan", ""): planned}
    for name, of_layers in goodness.items():
        picks[name, FEWEST] = footing.fewest_near_best(of_layers)
        picks[name, BEST] = footing.best(of_layers)
    return picks | {
        ("middle layer", ""): int(trained.index[np.abs(2 * trained.index - full).argmin()]),
        ("no pruning", ""): full,
        ("whole sweep", ""): int(trained["validation_accuracy"].idxmax()),
        ("best on test", ""): int(trained["accuracy"].idxmax()),
    }


def study_runs(
    sources: Mapping[str, pd.DataFrame], seconds: pd.DataFrame, models: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """What each of CHOICES (`pick_layers`) costs: a row per task, model, choice, rule and seed.

    `models` are the swept models of each task, `sources` the tables SOURCES of results/README.md, and
    `seconds` is that of `read_seconds`. Columns:

    - `picked`: the layers that the choice picks; `layers`: the trained depth at which it is judged, the
      nearest that is not fewer; `accuracy` and `sigma`: those of the run with these layers;
    - `lost`: the accuracy of `best on test` less this one, 0 to 1. The best depth is that of the mean over
      seeds, so a seed may lose less than nothing;
    - `rho`: Spearman's correlation of the criterion, times its sign, with accuracy, over the trained
      depths of one layer or more that have a value. Missing below three depths, and where either is constant;
    - `seconds`: the time until the layers are known (`time_choices`); `multiply_adds` of the chosen model.
    """
    goodness = collect_goodness(sources["criteria"], sources["folding"])
    goodness = goodness.set_index(["task", "model", "layers"]).sort_index()
    rows = []
    for task, model in [(task, model) for task, names in models.items() for model in names]:
        runs, plan, costs = (
            table[(table["task"] == task) & (table["model"] == model)].set_index("layers").sort_index()
            for table in (sources[name] for name in ("finetuning", "plan", "costs"))
        )
        full = int(costs.index.max())
        means = runs.groupby("layers")[["accuracy", "validation_accuracy"]].mean()
        by_seed = runs.set_index("seed", append=True)[["accuracy", "sigma"]].unstack("seed")
        own = goodness.loc[(task, model)]
        judged = {
            name: own["goodness"][own["choice"] == name] for name in JUDGES if name in set(own["choice"])
        }
        picks = pick_layers(means.loc[1:], judged, int(plan.index[0]), full)
        time = time_choices(sources, seconds.loc[(model, task)], task, model)
        best = by_seed["accuracy"].loc[picks["best on test", ""]]
        for (choice, rule), picked in picks.items():
            layers = int(means.index[means.index >= picked][0])
            rho = correlate_ranks(judged.get(choice), by_seed["accuracy"].loc[1:])
            chosen = by_seed.loc[layers].unstack(0)
            table = chosen.assign(lost=best - chosen["accuracy"], rho=rho, picked=picked, layers=layers)
            table = table.assign(task=task, model=model, choice=choice, rule=rule, full_layers=full)
            counted = costs.loc[layers, "multiply_adds"]
            rows.append(table.assign(seconds=time.get(choice, np.nan), multiply_adds=counted))
    return pd.concat(rows).reset_index()


def correlate_ranks(goodness: pd.Series | None, accuracy: pd.DataFrame) -> pd.Series | float:
    """Spearman's correlation of `goodness` by layers with each column (seed) of `accuracy` by layers."""
    if goodness is None:
        return np.nan
    judged = goodness.reindex(accuracy.index).dropna()
    if len(judged) < 3 or judged.nunique() == 1:
        return np.nan
    return accuracy.loc[judged.index].rank().corrwith(judged.rank())


def average_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """The table of `study_runs` by choice: means over seeds; `spread` is the deviation of the accuracy."""
    same = ["picked", "layers", "full_layers", "seconds", "multiply_adds"]
    table = runs.groupby(KEYS, sort=False, as_index=False).agg(
        **{name: (name, "first") for name in same},
        **{name: (name, "mean") for name in ("accuracy", "sigma", "lost", "rho")},
        spread=("accuracy", "std"),
    )
    return table[CHOICE_COLUMNS]


def time_choices(
    sources: Mapping[str, pd.DataFrame], seconds: pd.Series, task: str, model: str
) -> dict[str, float]:
    """Seconds until the layers of each of CHOICES are known, for one model and task.

    A criterion takes the embedding and its own computation at all layers; the plan takes as long as graph
    convexity. A sweep takes its training steps (`time_training`) at each depth of 1 or more, with every seed.
    The folded model takes those of the full one, and its folding, with every seed. `seconds`: those of JOBS.
    """
    finetuning, timing, folding = (
        table[(table["task"] == task) & (table["model"] == model)].set_index("layers").sort_index()
        for table in (sources[name] for name in ("finetuning", "timing", "folding"))
    )
    criteria = sources["criteria"].query("state == 'pretrained' and dataset == @task and model == @model")
    training = time_training(finetuning["steps"], timing)
    full = finetuning["full_layers"].iloc[0]
    folded = folding.loc[[full], ["pass_seconds", "fold_seconds"]].sum(axis=None)
    time = seconds["embed"] + criteria.groupby("criterion")["seconds"].sum(min_count=1)
    time["graph convexity"] = seconds["embed"] + seconds["score_convexity"]
    trained = training.loc[1:].sum()
    return time.to_dict() | {
        "plan": time["graph convexity"],
        FOLDED.name: training.loc[[full]].sum() + folded,
        "middle layer": 0.0,
        "no pruning": 0.0,
        "whole sweep": trained,
        "best on test": trained,
    }


def time_training(steps: pd.Series, timing: pd.DataFrame) -> pd.Series:
    """Seconds of training runs by layers: the `steps` of each times the measured seconds of a step.

    `timing` is that of one model and task, by layers. The seconds of a step are the full model's (the median
    over its measurements) times the ratio measured for these layers, like the latency in the figure of
    trade-offs.
    """
    ratios = timing["step_ratio_median"].copy()
    ratios[timing["full_layers"].iloc[0]] = 1.0
    return steps * timing["step_full_median"].median() * ratios.reindex(steps.index)


def read_seconds(
    folder: str | os.PathLike[str], models: Mapping[str, Sequence[str]], embedded: Mapping[str, str]
) -> pd.DataFrame:
    """Wall time of JOBS for each swept (model, task), from the benchmark files in `folder`.

    `embedded` names the dataset whose embeddings a task has.
    """

    def read(rule: str, model: str, task: str) -> float:
        name = embedded[task] if rule == "embed" else task
        path = Path(folder) / rule / model / "pretrained" / f"{name}.tsv"
        return benchmarks.read_benchmark(path)["s"].iloc[-1] if path.exists() else np.nan

    pairs = [(model, task) for task, names in models.items() for model in names]
    return pd.DataFrame(
        [[read(rule, *pair) for rule in JOBS] for pair in pairs],
        index=pd.MultiIndex.from_tuples(pairs),
        columns=JOBS,
    )
