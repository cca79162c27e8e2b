"""Tables to draw figures of, made up: `layers` are the models with their numbers of layers."""

from itertools import combinations, product

import numpy as np
import pandas as pd
from convexprune.criteria.registry import CRITERIA

BOTH = ("words", "speakers")
FIVE = ("words", "speakers", "emotion", "language", "accent")
STATES = ("pretrained", "words", "speakers", "untrained")
COUNTS = {"words": 5, "speakers": 41, "phonemes": 3}  # classes of a dataset: one more than is labelled
STEPS = np.arange(600, 18_001, 600)


def convexity_of(layers, states=STATES, datasets=("words", "speakers", "phonemes")) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        [
            {
                "model": model,
                "state": state,
                "dataset": dataset,
                "layers": k,
                "chance": 0.2,
                "class_chance": 0.2,
            }
            for (model, full), state, dataset in product(layers.items(), states, datasets)
            for k in range(full + 1)
        ]
    )
    for column, top in (("score", 1), ("class_score", 1), ("stderr", 0.05), ("class_stderr", 0.05)):
        table[column] = top * rng.random(len(table))
    return table.sample(frac=1, random_state=0)


def plan_of(layers, tasks=BOTH, divisors=(2, 4)) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "model": model,
                "task": task,
                "layers": full // divisor,
                "full_layers": full,
                "fewest": full // divisor - 1,
                "most": full // divisor + 1,
            }
            for model, full in layers.items()
            for task, divisor in zip(tasks, divisors, strict=False)
        ]
    )


def finetuning_of(layers, task="words", step=2, seeds=(0,)) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = [
        {"model": model, "task": task, "layers": k, "full_layers": full, "seed": seed}
        for model, full in layers.items()
        for k in sorted({*range(0, full, step), full})
        for seed in seeds
    ]
    return pd.DataFrame(rows).assign(accuracy=rng.uniform(0.7, 0.99, len(rows)), sigma=0.002)


def folding_of(layers, tasks=("words",), seeds=(0,)) -> pd.DataFrame:
    rng = np.random.default_rng(10)
    rows = [
        {"model": model, "task": task, "layers": k, "full_layers": full, "seed": seed}
        for (model, full), task, seed in product(layers.items(), tasks, seeds)
        for k in range(full + 1)
    ]
    accuracy = rng.uniform(0.7, 0.9, len(rows))
    return pd.DataFrame(rows).assign(accuracy=accuracy, validation_accuracy=accuracy, sigma=0.002)


def choices_of(models, tasks=("words",), seconds=1e5) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    rules = {"plan": ("",), **dict.fromkeys(CRITERIA, ("fewest", "best"))}
    rules |= dict.fromkeys(("middle layer", "no pruning", "whole sweep", "best on test"), ("",))
    rows = [
        {"task": task, "model": model, "choice": choice, "rule": rule, "layers": 2}
        for task, model, choice in product(tasks, models, rules)
        for rule in rules[choice]
    ]
    table = pd.DataFrame(rows).assign(lost=rng.uniform(0, 0.02, len(rows)))
    times = {"middle layer": 0, "no pruning": 0, "whole sweep": seconds, "best on test": seconds}
    return table.assign(
        seconds=table["choice"].map(times).fillna(seconds / 100) * rng.uniform(1, 2, len(rows))
    )


def convergence_of(layers, tasks=BOTH) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    rows = [
        {"task": task, "model": model, "full_layers": full, "stops_rising": full // 2}
        for task, (model, full) in product(tasks, layers.items())
    ]
    table = pd.DataFrame(rows).assign(stderr=0.004, sigma=0.002, convexity=rng.uniform(0.9, 0.99, len(rows)))
    table.loc[len(rows) - 1, "convexity"] = 0.5  # far from the others, at the edge
    return table.assign(accuracy=table["convexity"] - rng.uniform(0, 0.01, len(rows)))


def correlations_of(tasks=BOTH, rho=0.875) -> pd.DataFrame:
    last = pd.DataFrame(
        {"relation": "last-layer convexity", "task": [*tasks, "all"], "model": "all", "n": 7, "rho": rho}
    )
    return pd.concat([last, last.assign(relation="class convexity", rho=0.25)])


def classes_of(layers, counts=COUNTS, state="pretrained") -> pd.DataFrame:
    rng = np.random.default_rng(6)
    rows = [
        {"model": model, "state": state, "dataset": dataset, "layers": k, "label": f"{dataset}-{i}"}
        for (model, full), (dataset, n) in product(layers.items(), counts.items())
        for k, i in product(range(full + 1), range(n))
    ]
    return pd.DataFrame(rows).assign(score=rng.uniform(0.31, 0.79, len(rows)), n_items=9)


def groups_of(layers, tasks=BOTH, classes=12, speakers=8, n=40) -> pd.DataFrame:
    """Groups of `n` items; every tenth has lost much. Speakers who are the classes are no groups."""
    rng = np.random.default_rng(11)
    rows = [
        {"model": model, "task": task, "layers": full // 2, "seed": 0, "kind": kind, "group": f"{kind}-{i}"}
        for (model, full), task in product(layers.items(), tasks)
        for kind, count in (("class", classes), ("speaker", 0 if task == "speakers" else speakers))
        for i in range(count)
    ]
    table = pd.DataFrame(rows)
    right = rng.binomial(n, 0.9, len(table))
    lost = np.where(np.arange(len(table)) % 10 == 3, 12, 0) + rng.integers(-2, 4, len(table))
    table = table.assign(n_items=n, full=right / n, pruned=np.clip(right - lost, 0, n) / n)
    table["change"] = table["pruned"] - table["full"]
    table["p_value"] = np.where(lost >= 10, 1e-4, 0.6)
    convexity = np.where(table["kind"] == "class", rng.uniform(0.3, 1, len(table)), np.nan)
    return table.assign(
        only_full=3, only_pruned=1, p_holm=10 * table["p_value"].clip(0, 0.1), convexity=convexity
    )


def costs_of(layers, tasks=BOTH, seeds=(0,), swept=()) -> dict[str, pd.DataFrame]:
    """Models that keep a third of their layers, with a sweep of every second one."""
    rng = np.random.default_rng(7)
    finetuning, costs, timing, plan = [], [], [], []
    for model, full in layers.items():
        for task in tasks:
            at = {"model": model, "task": task, "full_layers": full}
            plan.append(at | {"layers": full // 3, "fewest": full // 3, "most": full})
            depths = {*(range(0, full, 2) if model in swept and task == "words" else ()), full // 3}
            for k in sorted(depths | {full}):
                runs = at | {"layers": k, "sigma": 0.003}
                finetuning += [
                    runs | {"seed": seed, "accuracy": 0.7 + 0.25 * k / full + rng.uniform(0, 0.03)}
                    for seed in seeds
                ]
            for k in sorted(depths):
                times = {
                    "full_median": 0.01 * full + rng.uniform(0, 0.001),
                    "ratio_median": 0.2 + 0.8 * k / full,
                }
                timing.append(at | times | {"layers": k, "disturbed": k == 0})
            for k in range(full + 1):
                costs.append(
                    at | {"layers": k, "bytes": 10**6 * (20 + k), "multiply_adds": 10**8 * (30 + 7 * k)}
                )
    tables = {"finetuning": finetuning, "costs": costs, "timing": timing, "plan": plan}
    made = {name: pd.DataFrame(rows) for name, rows in tables.items()}
    return made | {"folding": folding_of(layers, tasks, seeds)}


def logs_of(layers, tasks=BOTH, seeds=(0,), swept=()) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    logs = []
    for (model, full), task, seed in product(layers.items(), tasks, seeds):
        sweep = range(0, full, 2) if model in swept and task == "words" else ()
        for k in sorted({*sweep, full // 2, full}):
            log = {"step": STEPS, "loss": 3 * np.exp(-STEPS / 3000) + 0.01 + 0.01 * rng.random(len(STEPS))}
            log |= {"eval_accuracy": 0.95 - np.exp(-STEPS / 2000) + 0.01 * rng.random(len(STEPS))}
            logs.append(pd.DataFrame(log).assign(model=model, task=task, layers=k, seed=seed))
    return pd.concat(logs).sample(frac=1, random_state=0)


def views_of(layers, datasets=BOTH, classes=30, n=40) -> pd.DataFrame:
    rng = np.random.default_rng(9)
    views = []
    for (model, full), dataset in product(layers.items(), datasets):
        labels = rng.integers(classes, size=n)
        for k in sorted({0, full // 2, full}):
            view = {
                "model": model,
                "dataset": dataset,
                "layers": k,
                "kept": k == full // 2,
                "item": range(n),
            }
            view |= {"label": [f"{dataset}{label:08x}" for label in labels], "coloured": labels < 7}
            views.append(pd.DataFrame(view | {"x": rng.normal(size=n), "y": rng.normal(size=n)}))
    return pd.concat(views)


def criteria_of(layers, tasks=BOTH, state="pretrained") -> pd.DataFrame:
    """Curves of every criterion; those of the next layer have no value at the last."""
    rng = np.random.default_rng(11)
    rows = [
        {"model": model, "state": state, "dataset": task, "layers": k, "criterion": name}
        | {"value": np.nan if name.endswith("next") and k == full else rng.normal(np.sin(k / full * 2), 0.1)}
        for (model, full), task, name in product(layers.items(), tasks, CRITERIA)
        for k in range(full + 1)
    ]
    return pd.DataFrame(rows)


def similarities_of(layers, tasks=BOTH, state="pretrained") -> pd.DataFrame:
    """Each pair of layers once, the less similar the further apart."""
    rows = [
        {"model": model, "state": state, "dataset": task, "layers": k, "other_layers": other}
        | {"measure": measure, "value": 1 - (other - k) / (full + 1)}
        for (model, full), task, measure in product(
            layers.items(), tasks, ("linear cka", "mutual neighbours")
        )
        for k, other in combinations(range(full + 1), 2)
    ]
    return pd.DataFrame(rows)
