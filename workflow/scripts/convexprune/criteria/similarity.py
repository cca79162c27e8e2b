"""How much two layers have in common, by the same N items in both."""

from __future__ import annotations

import numpy as np

from convexprune.criteria.registry import UnsuitableError


def cosines(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The cosine (N,) between each of the `points` (N, D) and the same row of `others` (N, D), -1 to 1."""
    products, *squares = (
        np.einsum("nd,nd->n", a, b, dtype=np.float64)
        for a, b in ((points, others), (points, points), (others, others))
    )
    sizes = np.sqrt(squares[0] * squares[1])
    if not sizes.all():
        raise UnsuitableError("a state is zero and has no direction")
    return np.clip(products / sizes, -1, 1)


def angular_distance(points: np.ndarray, others: np.ndarray) -> float:
    """The mean angle between the rows of two layers (N, D), as a share of a half-turn, 0 to 1 (Gromov et al.
    2024; there the states of the last token, here means over frames)."""
    return float(np.arccos(cosines(points, others)).mean() / np.pi)


def linear_cka(points: np.ndarray, others: np.ndarray, size: float, other_size: float) -> float:
    """The linear centred kernel alignment of two layers, 0 to 1 (Kornblith et al. 2019, section 3):
    |Y^T X|^2 / (|X^T X| |Y^T Y|), with Frobenius norms.

    `points` (N, D) and `others` (N, E) are centred; the sizes are |X^T X| and |Y^T Y|.
    """
    if not size or not other_size:
        raise UnsuitableError("all items are equal")
    cross = points.T @ others
    return float(np.square(cross, dtype=np.float64).sum() / (size * other_size))


def mutual_neighbours(neighbours: np.ndarray, others: np.ndarray) -> float:
    """The mean share of the nearest neighbours (N, k) of an item that it has in both layers, 0 to 1 (Huh et
    al. 2024, appendix A)."""
    return float((neighbours[:, :, None] == others[:, None, :]).any(axis=2).mean())
