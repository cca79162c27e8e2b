"""Padding that changes nothing (`clips.padding: mask`): a clip in a batch is what it is alone.

A batch is as long as its longest clip; zeros fill the others, and the attention mask says where. Not all that
mixes frames takes the mask:

- a front end that normalises over time (the group norm of base models) runs on the clips of one length
  together, without the zeros;
- convolutions over frames (data2vec's positions, Conformer's layers) get zeros for padding, as at the end of
  a clip alone;
- batch norms (Conformer, some HuBERT) see no padding.

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
from convexprune.models.architectures import layout_of

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
    encoder, call = encoders.base_encoder(model), Call(model)
    front_ends = encoders.find_parts(model).front_end
    over_time = getattr(model.config, "feat_extract_norm", "layer") == "group"
    inside = {module for part in front_ends for module in part.modules()}
    behind = [module for module in encoder.modules() if module not in inside]
    changed = {module: partial(run_front_end, module.forward, call) for module in front_ends if over_time}
    changed |= {
        module: partial(normalise, module.forward, call)
        for module in behind
        if isinstance(module, torch.nn.BatchNorm1d)
    }
    hooks = [module.register_forward_pre_hook(call.hush) for module in behind if mixes_frames(module)]
    hooks += [encoder.register_forward_pre_hook(call.begin, with_kwargs=True)]
    for module, forward in changed.items():
        module.forward = forward
    try:
        yield
    finally:
        call.end()
        for hook in hooks:
            hook.remove()
        for module in changed:
            del module.forward  # the method of the class applies again


def mixes_frames(module: torch.nn.Module) -> bool:
    return isinstance(module, torch.nn.Conv1d) and module.kernel_size[0] > 1


class Call:
    """The present call of `model`: how much of each clip is heard, as its attention mask says."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.config = model.config
        self.frames = encoders.find_parts(model).frames
        self.longest_mask = getattr(model.config, "mask_time_length", None)
        self.samples: np.ndarray | None = None

    def begin(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note the call's attention mask. In a batch of short clips, SpecAugment's masks are as short."""
        mask = kwargs.get("attention_mask")
        self.samples = None if mask is None else mask.sum(dim=1).cpu().numpy()
        if self.longest_mask is not None and self.samples is not None:
            frames = int(self.frames.count_in(self.samples).max())
            self.config.mask_time_length = max(1, min(self.longest_mask, frames))

    def end(self) -> None:
        if self.longest_mask is not None:
            self.config.mask_time_length = self.longest_mask

    def find_real(self, values: torch.Tensor) -> torch.Tensor | None:
        """Which frames (B, T) of values (B, C, T) are no padding; None if all are, or if T is another rate.

        The latter are of modules that pad by themselves, or that the model gives zeros for padding.
        """
        if self.samples is None or values.ndim != 3:
            return None
        counts = self.frames.count_in(self.samples)
        if values.shape[-1] != counts.max() or counts.min() == counts.max():
            return None
        ends = torch.as_tensor(counts, device=values.device)
        return torch.arange(values.shape[-1], device=values.device) < ends[:, None]

    def hush(self, module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """Make the frames of padding zero, as at the end of a clip alone."""
        values, *others = args
        real = self.find_real(values)
        return args if real is None else (values * real[:, None].to(values.dtype), *others)


def run_front_end(
    forward: Callable[[torch.Tensor], torch.Tensor], call: Call, waves: torch.Tensor
) -> torch.Tensor:
    """`forward` of a front end for waves (B, samples), clips of one length together."""
    return forward(waves) if call.samples is None else run_by_length(forward, waves, call.samples, -1)


def normalise(
    forward: Callable[[torch.Tensor], torch.Tensor], call: Call, values: torch.Tensor
) -> torch.Tensor:
    """`forward` of a batch norm for values (B, C, T): over frames that are no padding, which is then zero."""
    real = call.find_real(values)
    if real is None:
        return forward(values)
    by_frame = values.movedim(1, 2)
    found = forward(by_frame[real])
    padded = found.new_zeros(by_frame.shape)
    padded[real] = found
    return padded.movedim(2, 1)


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
