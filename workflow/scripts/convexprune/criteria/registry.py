"""The criteria by which a layer can be chosen: their names, what they need, and which direction is good."""

from __future__ import annotations

from typing import NamedTuple


class UnsuitableError(ValueError):
    """Data that a criterion cannot judge; the message is the reason."""


class Criterion(NamedTuple):
    """A number for each layer of an encoder, from its embeddings."""

    name: str  # as in criteria.csv
    title: str  # as in figures
    labels: bool  # needs labels
    sign: int  # +1: the higher the better the depth; -1: the lower
    source: str
    meaning: str


ALL = [
    Criterion(
        "graph convexity",
        "graph convexity",
        labels=True,
        sign=1,
        source="Tětková et al. 2025, arXiv 2305.17154, graph convexity",
        meaning="mean share of the shortest path between two items of a class that stays in the class",
    ),
    Criterion(
        "convexity across speakers",
        "convexity across speakers",
        labels=True,
        sign=1,
        source="as graph convexity",
        meaning="the same, over pairs of items of a class from different speakers",
    ),
    Criterion(
        "euclidean convexity",
        "Euclidean convexity",
        labels=True,
        sign=1,
        source="Tětková et al. 2025, arXiv 2305.17154, Euclidean convexity",
        meaning="share of points on segments between two items of a class that their nearest neighbours, "
        "without the two items, put in that class",
    ),
    Criterion(
        "linear probe",
        "linear probe",
        labels=True,
        sign=1,
        source="Alain and Bengio 2016, arXiv 1610.01644",
        meaning="cross-validated accuracy of a linear classifier, no speaker in two folds",
    ),
    Criterion(
        "k-nearest neighbours",
        "k-nearest neighbours",
        labels=True,
        sign=1,
        source="Cover and Hart 1967, IEEE Transactions on Information Theory 13",
        meaning="share of items that their nearest neighbours, of other speakers, put in the right class",
    ),
    Criterion(
        "silhouette",
        "silhouette",
        labels=True,
        sign=1,
        source="Rousseeuw 1987, Journal of Computational and Applied Mathematics 20",
        meaning="how much closer an item is to its own class than to the nearest other one, -1 to 1",
    ),
    Criterion(
        "logme",
        "LogME",
        labels=True,
        sign=1,
        source="You et al. 2021, arXiv 2102.11005, algorithm 1",
        meaning="logarithm of the greatest evidence of Bayesian linear regression on the labels, per item, "
        "mean over classes",
    ),
    Criterion(
        "description length",
        "description length (MDL)",
        labels=True,
        sign=-1,
        source="Voita and Titov 2020, arXiv 2003.12298, online code",
        meaning="bits per label that it takes to send the labels by a probe trained on those already sent",
    ),
    Criterion(
        "fisher ratio",
        "Fisher's ratio",
        labels=True,
        sign=1,
        source="Fisher 1936, Annals of Eugenics 7",
        meaning="trace of the scatter between classes over that of the scatter within classes",
    ),
    Criterion(
        "block influence",
        "block influence",
        labels=False,
        sign=-1,
        source="Men et al. 2024 (ShortGPT), arXiv 2403.03853, block influence",
        meaning="1 minus the mean cosine between a state and that of the next layer",
    ),
    Criterion(
        "angular distance",
        "angular distance to the last",
        labels=False,
        sign=-1,
        source="Gromov et al. 2024, arXiv 2403.17887, angular distance",
        meaning="mean angle, as a share of a half-turn, between a state and that of the last layer",
    ),
    Criterion(
        "cosine similarity",
        "cosine similarity with the last",
        labels=False,
        sign=1,
        source="as angular distance",
        meaning="mean cosine between a state and that of the last layer",
    ),
    Criterion(
        "cka with the last",
        "linear CKA with the last",
        labels=False,
        sign=1,
        source="Kornblith et al. 2019, arXiv 1905.00414, section 3",
        meaning="linear centred kernel alignment of the layer with the last, 0 to 1",
    ),
    Criterion(
        "cka with the next",
        "linear CKA with the next",
        labels=False,
        sign=1,
        source="Kornblith et al. 2019, arXiv 1905.00414, section 3",
        meaning="linear centred kernel alignment of the layer with the next, 0 to 1",
    ),
    Criterion(
        "mutual neighbours with the last",
        "mutual neighbours with the last",
        labels=False,
        sign=1,
        source="Huh et al. 2024, arXiv 2405.07987, appendix A",
        meaning="mean share of an item's nearest neighbours that the layer has in common with the last",
    ),
    Criterion(
        "mutual neighbours with the next",
        "mutual neighbours with the next",
        labels=False,
        sign=1,
        source="Huh et al. 2024, arXiv 2405.07987, appendix A",
        meaning="mean share of an item's nearest neighbours that the layer has in common with the next",
    ),
    Criterion(
        "effective rank",
        "effective rank (RankMe)",
        labels=False,
        sign=1,
        source="Garrido et al. 2023 (RankMe), arXiv 2210.02885",
        meaning="exponential of the entropy of the singular values, divided by their sum",
    ),
    Criterion(
        "intrinsic dimension",
        "intrinsic dimension (TwoNN)",
        labels=False,
        sign=-1,
        source="Facco et al. 2017 (TwoNN), Scientific Reports 7:12140",
        meaning="dimension that the distances to the nearest two neighbours tell of",
    ),
]
CRITERIA = {criterion.name: criterion for criterion in ALL}
