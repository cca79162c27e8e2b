"""Padding that changes nothing (`clips.padding: mask`): a clip in a batch is what it is alone.

A batch is as long as its longest clip; zeros fill the others, and the attention mask says where. Some modules
mix frames and take no mask: a front end that normalises over time (the group norm of base models), data2vec's
positions, Conformer's convolutions. They run on the clips of one length together, without the zeros.

Whisper takes no mask at all. It always hears its whole window, so its batches are of one length anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from convexprune.models import encoders
from convexprune.models.architectures import Frames, layout_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from transformers import PreTrainedConfig, PreTrainedModel


def measure_heard(config: PreTrainedConfig, lengths: ArrayLike) -> np.ndarray:
    """Samples (B,) that a model hears of clips of `lengths` (B,): at least those of one frame.

    SEW merges frames. Its clips end with a whole merged frame, since it would merge the last ones with zeros.
    """
    frames = layout_of(config).frames(config)
    heard = np.maximum(lengths, frames.field)
    merges = getattr(config, "squeeze_factor", 1) > 1
    return heard - (heard - frames.field) % frames.step if merges else heard


def make_mask(heard: np.ndarray) -> torch.Tensor:
    """The attention mask (B, samples), 1 for the samples `heard` (B,) and 0 for padding."""
    return torch.as_tensor(np.arange(max(heard)) < np.asarray(heard)[:, None], dtype=torch.long)


@contextmanager
def ignored(model: PreTrainedModel) -> Iterator[None]:
    """Within the block, padding that an attention mask marks changes no state and no logits of `model`.

    The states of padding itself mean nothing. Calls without a mask are as always.
    """
    encoder, heard = encoders.base_encoder(model), Heard(encoders.find_parts(model).frames)
    modules = [(module, -1) for module in find_front_ends(model)]
    modules += [(module, 1) for module in find_mixing(model)]
    for module, axis in modules:
        module.forward = partial(forward_by_length, module.forward, heard, axis)
    hook = encoder.register_forward_pre_hook(heard.note, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
        for module, _ in modules:
            del module.forward  # the method of the class applies again


class Heard:
    """How much of each clip of the present call is heard, as its attention mask says."""

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self.samples: np.ndarray | None = None

    def note(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        mask = kwargs.get("attention_mask")
        self.samples = None if mask is None else mask.sum(dim=1).cpu().numpy()


def find_front_ends(model: PreTrainedModel) -> list[torch.nn.Module]:
    """The front end of `model`, if it normalises over time."""
    over_time = getattr(model.config, "feat_extract_norm", "layer") == "group"
    return encoders.find_parts(model).front_end if over_time else []


def find_mixing(model: PreTrainedModel) -> list[torch.nn.Module]:
    """The modules behind the front end that mix frames without a mask."""
    layout, parts = layout_of(model.config), encoders.find_parts(model)
    inside = [layer.get_submodule(path) for layer in parts.layers for path in layout.mixing]
    return [*(parts.positions if layout.mixing_positions else []), *inside]


def forward_by_length(
    forward: Callable[..., torch.Tensor], heard: Heard, axis: int, values: torch.Tensor, *args: object
) -> torch.Tensor:
    """`forward` of a module for values (B, samples) or (B, frames, D), as `run_by_length`."""
    if heard.samples is None:
        return forward(values, *args)
    lengths = heard.samples if values.ndim == 2 else heard.frames.count_in(heard.samples)
    return run_by_length(lambda part: forward(part, *args), values, lengths, axis)


def run_by_length(
    run: Callable[[torch.Tensor], torch.Tensor], values: torch.Tensor, lengths: np.ndarray, axis: int
) -> torch.Tensor:
    """`run` on values (B, T, ...) of `lengths` (B,), clips of one length together, without their padding.

    What it gives has time on `axis`. It comes back in one tensor, padded with zeros.
    """
    padded = None
    for length in np.unique(lengths)[::-1]:
        rows = torch.as_tensor(np.flatnonzero(lengths == length), device=values.device)
        found = run(values[rows, : int(length)]).movedim(axis, 1)
        if padded is None:
            padded = found.new_zeros(len(values), *found.shape[1:])
        padded[rows, : found.shape[1]] = found
    assert padded is not None
    return padded.movedim(1, axis)
