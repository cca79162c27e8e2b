"""Convolutional positions by Fourier transform, on a CPU: the same values, four times as fast.

Models such as wav2vec 2.0 encode a frame's position by a grouped convolution over 128 frames. Done directly,
it takes a quarter of a training step of 3 layers on stored features (benchmarks/README.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch

from convexprune.models import encoders

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LONG = 64  # frames: for kernels at least this long, the transform is faster


@contextmanager
def by_fourier(model: PreTrainedModel) -> Iterator[None]:
    """Within the block, `convolve` computes the long position convolutions of `model`."""
    convolutions = [
        module
        for positions in encoders.find_parts(model).positions
        for module in positions.modules()
        if isinstance(module, torch.nn.Conv1d) and module.kernel_size[0] >= LONG and module.stride == (1,)
    ]
    for module in convolutions:
        module.forward = partial(_forward, module)
    try:
        yield
    finally:
        for module in convolutions:
            del module.forward  # the method of the class applies again


def _forward(module: torch.nn.Conv1d, values: torch.Tensor) -> torch.Tensor:
    return convolve(values, module.weight, module.bias, module.padding[0], module.groups)


def convolve(
    values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, padding: int, groups: int
) -> torch.Tensor:
    """Torch's conv1d, up to rounding: values (B, C, T), weight (C', C / groups, K), bias (C',).

    The correlation of zero-padded values with a kernel is a product of their spectra. With T + padding points
    it does not wrap around: a tap further away meets only padding. Needs padding < K.
    """
    frames = values.shape[-1]
    points = 1 << (frames + padding - 1).bit_length()  # a power of 2 is fast
    spectra = torch.fft.rfft(values, points).unflatten(1, (groups, -1))
    kernels = torch.fft.rfft(weight, points).conj().unflatten(0, (groups, -1))
    products = torch.einsum("bgif,goif->bgof", spectra, kernels)
    found = torch.fft.irfft(products, points).flatten(1, 2).roll(padding, -1)
    return found[..., : frames + 2 * padding - weight.shape[-1] + 1] + bias[:, None]
