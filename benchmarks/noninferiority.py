"""How often the bounds of the accuracy lost hold: on items alike, and on speakers who differ.

    python benchmarks/noninferiority.py [--samples 1000]

It varies the numbers of speakers and of items of each, the chances that an item is right in the full model
alone and in the pruned one alone, and the correlation of the items of a speaker (Dirichlet chances). It
prints the share of samples in which a bound is not below the true loss, and how far it is above the loss
seen.
"""

import argparse
from functools import cache
from itertools import product

import numpy as np
from convexprune.results import noninferiority

SPEAKERS, ITEMS = (3, 5, 8, 20), (12, 36)
CHANCES = ((0.03, 0.01), (0.1, 0.05), (0.2, 0.1))
CORRELATIONS = (0, 0.05, 0.2)

exact_bound = cache(noninferiority.exact_bound)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=1000)
    samples = parser.parse_args().samples
    noninferiority.exact_bound = exact_bound  # the same counts come again and again
    print("speakers items  full pruned correlation   exact  by speaker   above the loss seen, points")
    for cell in product(SPEAKERS, ITEMS, CHANCES, CORRELATIONS):
        print_cell(*cell, samples)


def print_cell(
    speakers: int, items: int, chances: tuple[float, float], correlation: float, samples: int
) -> None:
    """Print a line: the coverage of both bounds, and their mean distance from the loss that was seen."""
    rng = np.random.default_rng(0)
    every = np.array([*chances, 1 - sum(chances)])
    who = np.repeat(np.arange(speakers), items)
    bounds, seen = [], []
    for _ in range(samples):
        own = rng.dirichlet(every * (1 / correlation - 1), speakers) if correlation else [every] * speakers
        lost = np.concatenate([rng.choice([1, -1, 0], size=items, p=chance) for chance in own])
        counts = len(lost), int((lost == 1).sum()), int((lost == -1).sum())
        bounds.append((exact_bound(*counts), noninferiority.clustered_bound(lost, who)))
        seen.append(lost.mean())
    held = np.mean(np.array(bounds) >= chances[0] - chances[1], axis=0)
    above = 100 * np.mean(np.array(bounds) - np.array(seen)[:, None], axis=0)
    print(
        f"{speakers:8} {items:5} {chances[0]:5} {chances[1]:6} {correlation:11} "
        f"{held[0]:7.3f} {held[1]:11.3f}   {above[0]:5.1f} {above[1]:5.1f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
