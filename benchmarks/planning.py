"""Are the errors of differences, and the plans made from them, what they say they are? Simulations.

    python benchmarks/planning.py                 # 2,000 samples of each case: some 35 minutes on a core
    python benchmarks/planning.py --samples 100   # to try it

Classes are normal clouds in 12 dimensions. A layer scales their centres by a number of its own and adds noise
of its own. With speakers, each speaker shifts all that it says, and each of its classes anew. A sample draws
all points again; the true error is the spread over samples. Every case has a fixed seed.

- errors: the stated standard error of a difference between two layers over the true one, for scores up to
  0.95 and beyond, with points and with speakers as the independent units;
- plateau: layers that are truly equal. How often does `significant` keep more than the first of them?
- knee: layers that rise up to one and are equal from there. How often does `significant` keep that one?
- stability: the mean share of simulated samples that choose as many layers, against the share of pairs of
  real samples that do, for each rule.

Writes planning.csv beside this file.
"""

import argparse
import functools
import itertools
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from convexprune.convexity import comparison, planning, stability
from convexprune.convexity.score import graph_convexity
from convexprune.jobs import csv_files

HERE = Path(__file__).parent
CLASSES, PER_CLASS, D, SPEAKERS = 6, 40, 12, 20
LABELS = np.repeat(np.arange(CLASSES), PER_CLASS)
VOICES = np.tile(np.repeat(np.arange(SPEAKERS), PER_CLASS // SPEAKERS), CLASSES)
CENTRES = np.random.default_rng(7).normal(size=(CLASSES, D))
RULES = {
    "significant": {"rule": "significant", "alpha": 0.05, "margin": 0.01},
    "tolerance": {"rule": "tolerance", "tolerance": 0.05},
    "highest": {"rule": "highest"},
}
# By layer, how far apart classes are.
PLATEAUS = {"all equal": [0.8] * 6, "equal from the third": [0.3, 0.55, 0.8, 0.8, 0.8, 0.8]}
KNEES = {"after 3 of 6": [0.3, 0.5, 0.9, 0.9, 0.9, 0.9], "after 5 of 6": [0.2, 0.4, 0.5, 0.6, 0.9, 0.9]}


def draw_layers(apart, noise, voices, seed):
    """Points (N, D) at each layer."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(len(LABELS), D))
    if voices:
        shared += 0.5 * (rng.normal(size=(SPEAKERS, D))[VOICES])
        shared += 0.5 * rng.normal(size=(SPEAKERS, CLASSES, D))[VOICES, LABELS]
    return [scale * CENTRES[LABELS] + shared + noise * rng.normal(size=shared.shape) for scale in apart]


def score(apart, noise, voices, seed):
    """The scores of the layers of one sample, with their covariances."""
    groups = VOICES if voices else None
    layers = draw_layers(apart, noise, voices, seed)
    results = [graph_convexity(points, LABELS, groups=groups, n_jobs=1) for points in layers]
    covariance = comparison.find_covariances(results)[0]
    values = np.array([result.score for result in results])
    freedom = stability.pool_freedom(comparison.find_freedom(results)[0])
    return stability.Scores(values, covariance, freedom)


def compare(apart, noise, voices, seed):
    """The scores of two layers, their difference, and the stated error of it."""
    groups = VOICES if voices else None
    # the second layer is the first one with noise: paired, as layers of a model are
    rng = np.random.default_rng([seed, 1])
    first = draw_layers([apart], 0, voices, seed)[0]
    second = first + noise * rng.normal(size=first.shape)
    results = [graph_convexity(points, LABELS, groups=groups, n_jobs=1) for points in (first, second)]
    difference = comparison.compare_convexity(*results)
    return results[0].score, results[1].score, difference.score, difference.stderr


def choose(apart, noise, voices, seed):
    """By rule: the layers chosen, and the stated stability of the choice."""
    scores = score(apart, noise, voices, seed)
    found = {}
    for name, choice in RULES.items():
        rule = planning.RULES[choice["rule"]].make(choice)
        layers = int(rule(scores.values[None], scores)[0])
        found[name] = layers, stability.measure_stability(scores, rule)[0]
    return found


def study_errors(pool, samples):
    for apart, noise, voices in itertools.product((0.5, 0.8, 1.0, 1.2, 1.5), (0.4, 1.0), (False, True)):
        work = functools.partial(compare, apart, noise, voices)
        first, second, difference, stated = np.array([*pool.map(work, range(samples), chunksize=20)]).T
        true = difference.std(ddof=1)
        yield {
            "study": "errors",
            "case": f"classes {apart:g} apart, noise {noise:g}",
            "speakers": voices,
            "score": first.mean(),
            "other_score": second.mean(),
            "stated": np.sqrt(np.mean(stated**2)),
            "true": true,
            "ratio": np.sqrt(np.mean(stated**2)) / true,
        }


def study_choices(pool, samples):
    cases = [("plateau", *case) for case in PLATEAUS.items()] + [("knee", *case) for case in KNEES.items()]
    for (study, case, apart), voices in itertools.product(cases, (False, True)):
        work = functools.partial(choose, apart, 0.4, voices)
        found = [*pool.map(work, range(samples), chunksize=20)]
        truth = apart.index(max(apart)) + 1
        for rule in RULES:
            layers, stated = np.array([sample[rule] for sample in found]).T
            shares = np.bincount(layers.astype(int)) / samples
            yield {
                "study": study,
                "case": case,
                "speakers": voices,
                "rule": rule,
                "fewer": np.mean(layers < truth),
                "right": np.mean(layers == truth),
                "more": np.mean(layers > truth),
                "stability": stated.mean(),
                "agreement": np.sum(shares**2),
            }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=HERE / "planning.csv")
    options = parser.parse_args()
    rows = []
    with ProcessPoolExecutor(options.threads) as pool:
        for row in itertools.chain(study_errors(pool, options.samples), study_choices(pool, options.samples)):
            rows.append(row | {"samples": options.samples})
            print(
                {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()},
                flush=True,
            )
    csv_files.write(options.output, pd.DataFrame(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
