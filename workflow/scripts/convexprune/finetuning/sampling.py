"""The order of clips in training, if clips of like length share a batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from convexprune.data import batches


class LikeLengths(Sampler[int]):
    """A new order in each pass, by `seed` and the pass' number alone: a resumed training goes on in it."""

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Go to pass `epoch`, from 0. The Trainer calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng((self.seed, self.epoch))
        return iter(batches.shuffle(self.lengths, self.batch_size, rng).tolist())
