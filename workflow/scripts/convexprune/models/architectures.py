"""Architectures of speech encoders: where each keeps its parts, and what else is special about it.

An architecture not laid out like wav2vec 2.0 needs an entry in LAYOUTS, and a line in ARCHITECTURES of the
tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedConfig


class Frames(NamedTuple):
    """Where the frames of a clip are, in samples."""

    step: int  # from one frame to the next
    first: float  # the middle of what the first frame sees

    @property
    def field(self) -> int:
        """The samples that a frame sees."""
        return round(2 * self.first + 1)

    def count_in(self, samples: np.ndarray) -> np.ndarray:
        """The whole frames in so many samples."""
        return (samples - self.field) // self.step + 1


def frames_of_convolutions(config: PreTrainedConfig) -> Frames:
    """Frames after the convolutions on the waveform and, in SEW, the pooling of every few frames."""
    squeeze = getattr(config, "squeeze_factor", 1)
    field = step = 1
    for kernel, stride in zip([*config.conv_kernel, squeeze], [*config.conv_stride, squeeze], strict=True):
        field += (kernel - 1) * step
        step *= stride
    return Frames(step, (field - 1) / 2)


@dataclass(frozen=True)
class Layout:
    """Where an architecture keeps its parts: paths of attributes from its bare encoder.

    The defaults are those of wav2vec 2.0, which most architectures follow. `norm` comes before the layers in
    post-norm models (base) and after them in stable-layer-norm models (large); it does not count as a layer.
    """

    front_end: tuple[str, ...] = ("feature_extractor",)  # convolutions
    positions: tuple[str, ...] = ("encoder.pos_conv_embed",)
    layers: str = "encoder.layers"
    norm: tuple[str, ...] = ("encoder.layer_norm",)
    frames: Callable[[PreTrainedConfig], Frames] = frames_of_convolutions
    layerdrop: str = "layerdrop"  # its key in the config
    decoder: bool = False  # whether checkpoints also hold a decoder
    any_length: bool = True  # if not, an exported model takes only clips of one length
    masks: bool = True  # whether padding can be masked (`padding.py`)


# An architecture that is not listed must be laid out like wav2vec 2.0. (WavLM is; its relative positions are
# in its first layer.)
LAYOUTS = {
    # The front end is the filter bank of the feature extractor, which has no weights: two windows of 25 ms,
    # 10 ms apart, make a frame. Positions are in each layer, and so is the last norm.
    "wav2vec2-bert": Layout(
        front_end=(), positions=(), norm=(), frames=lambda config: Frames(320, (160 + 400 - 1) / 2)
    ),
    # Its code depends on the number of frames, which an export fixes.
    "sew": Layout(any_length=False),
    # Its layers are DeBERTa's: each holds its last norm. A table beside them holds relative positions.
    "sew-d": Layout(layers="encoder.encoder.layer", norm=(), any_length=False),
    # Its spectra are centred on every 10 ms, and every second one makes a frame. It pads clips to its window.
    "whisper": Layout(
        front_end=("conv1", "conv2"),
        positions=("embed_positions",),
        layers="layers",
        norm=("layer_norm",),
        frames=lambda config: Frames(320, 0.0),
        layerdrop="encoder_layerdrop",
        decoder=True,
        any_length=False,
        masks=False,
    ),
}


def layout_of(config: PreTrainedConfig) -> Layout:
    """The layout of the architecture that a model's config names."""
    return LAYOUTS.get(config.model_type, Layout())
