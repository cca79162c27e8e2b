"""Folding: an audio classifier is cut to fewer layers and its projector made up for them, without training.

Behind its encoder, Transformers' audio classifier is linear: projector P, p, then the mean over frames, then
the classes. So only the mean over frames of what the encoder returns counts. If x is that of the model cut to
k layers and y that of the full one, and y is about A x + b, then the projector P A, P b + p follows the cut
encoder as P, p follows the full one: not a parameter more, and no step of training (docs/folding.md).

A and b come from moments of x and y over clips, by ridge regression that shrinks A towards the identity:
A = I + (S_yx - S_xx) (S_xx + r s I)^-1 and b = E y - A E x, where S are covariances, s is the mean variance
of x and r the strength. After all layers this is the identity, whatever the strength.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from convexprune.models import devices, encoders, pruning

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)

Batches: TypeAlias = Iterable[Mapping[str, Tensor]]
Heads: TypeAlias = tuple[Tensor, Tensor]

STRENGTHS = tuple(10.0**power for power in range(-6, 3))  # of the ridge, the weakest first


def check_head(model: PreTrainedModel) -> None:
    """Raise ValueError, with the model's name, unless its head is linear behind the last layer."""
    name = type(model).__name__
    if hasattr(model, "layer_weights"):
        raise ValueError(
            f"this {name} has a head that weighs the hidden states of all layers (use_weighted_layer_sum): "
            "it cannot be folded, for what its dropped layers gave is not in its last one"
        )
    encoder = encoders.base_encoder(model)
    head = {key: part for key, part in model.named_children() if part is not encoder}
    if encoder is model or set(head) != {"projector", "classifier"}:
        found = "no head" if encoder is model else ", ".join(head)
        raise ValueError(
            f"a {name} cannot be folded: behind its encoder it has {found}, not a projector and a "
            "classifier; give an audio classifier of Transformers"
        )
    if curved := [key for key, part in head.items() if not isinstance(part, torch.nn.Linear)]:
        raise ValueError(f"this {name} cannot be folded: its {' and '.join(curved)} is not linear")


@contextmanager
def joining_depths(model: PreTrainedModel) -> Iterator[None]:
    """Within the block, what follows the layers of `model` gets the states of all depths, joined as a batch.

    A batch of B clips leaves the encoder as one of (L + 1) B: the first B are what the encoder cut to 0
    layers would return, the last B what it returns. So a final norm, or what else an architecture has behind
    its layers, is applied to every depth by the model's own code.
    """
    layers, states = encoders.find_parts(model).layers, list[Tensor]()

    def keep(layer: torch.nn.Module, args: tuple[Any, ...]) -> None:
        states.append(args[0])

    def join(layer: torch.nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        several = isinstance(output, tuple)
        joined = torch.cat([*states, output[0] if several else output])
        states.clear()
        return (joined, *output[1:]) if several else joined

    hooks = [layer.register_forward_pre_hook(keep) for layer in layers]
    hooks += [layer.register_forward_hook(join) for layer in layers[-1:]]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def run_depths(model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> Tensor:
    """What the encoder of `model` returns for clips when cut to every depth: (L + 1, B, frames, D).

    `inputs` are those of `encoders.prepare`. Entry k is that of the encoder cut to k layers
    (`pruning.prune`), after its final norm if it has one. One forward pass.
    """
    depths = encoders.count_layers(model) + 1
    with torch.inference_mode(), joining_depths(model):
        inputs = {name: values.to(model.device) for name, values in inputs.items()}
        states = encoders.base_encoder(model)(**inputs).last_hidden_state
    return states.unflatten(0, (depths, -1))


def pool_depths(model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> Tensor:
    """What the head of `model` sees of clips at every depth: the mean of `run_depths` over frames.

    Over all frames, or over those that an attention mask counts.
    """
    states, mask = run_depths(model, inputs), inputs.get("attention_mask")
    if mask is None:
        return states.mean(dim=2)
    counted = model._get_feature_vector_attention_mask(states.shape[2], mask.to(model.device))
    return (states * counted[:, :, None]).sum(dim=2) / counted.sum(dim=1, keepdim=True)


@dataclass
class Moments:
    """Moments of the pooled states of all depths over clips, float64 on the model's device.

    Attributes:
        clips: how many there were.
        means: (L + 1, D).
        within: (L + 1, D, D), sums over clips of products with themselves, about the means.
        across: (L + 1, D, D), the same of each depth (rows) with the last (columns).
    """

    clips: int
    means: Tensor
    within: Tensor
    across: Tensor

    def add(self, states: Tensor) -> None:
        """Count in the states (L + 1, B, D) of more clips (Chan, Golub and LeVeque, 1979)."""
        states = states.double()
        batch = states.shape[1]
        total = self.clips + batch
        means = states.mean(dim=1)
        centred, moved = states - means[:, None], means - self.means
        shared = self.clips * batch / total
        self.within += centred.mT @ centred + shared * moved[:, :, None] * moved[:, None, :]
        self.across += centred.mT @ centred[-1] + shared * moved[:, :, None] * moved[-1]
        self.means += moved * batch / total
        self.clips = total


def start_moments(model: PreTrainedModel) -> Moments:
    """Moments of `model` over no clips."""
    depths, width = encoders.count_layers(model) + 1, model.config.hidden_size
    means = torch.zeros(depths, width, dtype=torch.float64, device=model.device)
    square = means.new_zeros(depths, width, width)
    return Moments(0, means, square, square.clone())


def gather(model: PreTrainedModel, batches: Batches) -> Moments:
    """The moments of `model` over batches of clips, in one pass; memory does not grow with their number."""
    moments = start_moments(model)
    for inputs in batches:
        moments.add(pool_depths(model, inputs))
    return moments


def follow(
    moments: Moments, layers: int, strength: float, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """A linear layer `weight` (O, D), `bias` (O,) on the last state, as one on the state after `layers`.

    Float64, on the moments' device. `strength` is that of the ridge, in mean variances of a dimension.
    """
    weight, bias = weight.detach().to(moments.means), bias.detach().to(moments.means)
    within = moments.within[layers]
    spread = within.diagonal().mean().clamp(min=torch.finfo(within.dtype).tiny)
    ridge = strength * spread * torch.eye(len(within)).to(within)
    missing = (moments.across[layers] - within) @ weight.T
    slope = weight + torch.cholesky_solve(missing, torch.linalg.cholesky(within + ridge)).T
    return slope, bias + weight @ moments.means[-1] - slope @ moments.means[layers]


def fold(model: PreTrainedModel, layers: int, moments: Moments, strength: float) -> PreTrainedModel:
    """A copy of `model` cut to `layers` layers, whose projector makes up for the others.

    Raises ValueError for a head that is not linear (`check_head`) and for layers that the model lacks.
    """
    check_head(model)
    folded = pruning.prune(model, layers)
    weight, bias = follow(moments, layers, strength, folded.projector.weight, folded.projector.bias)
    with torch.no_grad():
        folded.projector.weight.copy_(weight)
        folded.projector.bias.copy_(bias)
    return folded


def whole_head(model: PreTrainedModel) -> tuple[Tensor, Tensor]:
    """The head of `model` as one linear layer from the pooled state to class scores: (C, D) and (C,)."""
    projector, classifier = model.projector, model.classifier
    weight, scores = projector.weight.double(), classifier.weight.double()
    bias = scores @ projector.bias.double() + classifier.bias.double()
    return (scores @ weight).detach(), bias.detach()


def measure(model: PreTrainedModel, batches: Batches, heads: Heads) -> dict[str, np.ndarray]:
    """How each of M heads serves `model` cut to every depth, over batches of clips: (M, L + 1) each.

    `heads` are weights (M, L + 1, C, D) and biases (M, L + 1, C) of linear layers to class scores.

    - error: the mean square of the differences from the class scores of the full model;
    - agreement: the share of clips to which the full model gives the same class;
    - accuracy: the share of clips whose class is their label; missing unless each batch has "labels".
    """
    weights, biases = heads
    full_weight, full_bias = (values.float() for values in whole_head(model))
    sums = torch.zeros(3, *weights.shape[:2], dtype=torch.float64, device=model.device)
    clips = 0
    for batch in batches:
        inputs = dict(batch)
        labels = inputs.pop("labels", None)
        states = pool_depths(model, inputs)
        scores = states @ weights.mT + biases[:, :, None]  # (M, L + 1, B, C)
        expected = states[-1] @ full_weight.T + full_bias
        found = scores.argmax(dim=-1)
        sums[0] += (scores - expected).square().mean(dim=-1).sum(dim=-1)
        sums[1] += (found == expected.argmax(dim=-1)).sum(dim=-1)
        sums[2] += torch.nan if labels is None else (found == labels.to(found.device)).sum(dim=-1)
        clips += states.shape[1]
    return dict(zip(("error", "agreement", "accuracy"), (sums / clips).cpu().numpy(), strict=True))


@dataclass(frozen=True)
class Folding:
    """What it takes to fold a model to any depth, and how it then does.

    Attributes:
        moments: over the training clips.
        depths: a row for each number of layers, 0 to L, which is the index. `strength`: of the ridge.
            `accuracy` and `validation_accuracy` (0 to 1) of the folded model on test and validation, missing
            for clips without labels; `agreement` and `validation_agreement`: the share of clips to which it
            gives the class that the full model gives. With `cut_` before these names: of the model that is
            cut only.
        pass_seconds: of the passes over train and validation.
        fold_seconds: of what is computed beside these passes, for all depths.
    """

    moments: Moments
    depths: pd.DataFrame
    pass_seconds: float
    fold_seconds: float


def fold_depths(model: PreTrainedModel, splits: Mapping[str, Batches]) -> Folding:
    """Fold `model` to every depth: one pass over each of train, validation and test.

    The moments come from train. The strength of each depth is the one of STRENGTHS whose class scores are
    nearest to the full model's on validation (`error` of `measure`): neither needs labels. Batches hold the
    model's inputs and, if the clips have labels, "labels" (B,). Warns if there are fewer clips than
    dimensions. Raises ValueError for a head that is not linear.
    """
    check_head(model)
    clock = Clock(model.device)
    moments = gather(model, splits["train"])
    passed = clock.read()
    width, head = model.config.hidden_size, whole_head(model)
    if moments.clips <= width:
        log.warning(
            "%d clips for maps between %d dimensions: with %d or more, folding is safer",
            *(moments.clips, width, 10 * width),
        )
    depths = range(len(moments.means))
    tried = [[follow(moments, k, strength, *head) for k in depths] for strength in STRENGTHS]
    cut = [head for _ in depths]
    folded = clock.read()
    on_validation = measure(model, splits["validation"], stack([cut, *tried]))
    passed += clock.read()
    best = on_validation["error"][1:].argmin(axis=0)
    on_test = measure(model, splits["test"], stack([cut, [tried[best[k]][k] for k in depths]]))
    table = pd.DataFrame(
        {"strength": np.take(STRENGTHS, best)}, index=pd.RangeIndex(len(best), name="layers")
    )
    chosen = (("validation_", on_validation, best + 1), ("", on_test, np.ones_like(best)))
    for split, measured, row in chosen:
        table[f"{split}accuracy"] = measured["accuracy"][row, depths]
        table[f"cut_{split}accuracy"] = measured["accuracy"][0]
        table[f"{split}agreement"] = measured["agreement"][row, depths]
        table[f"cut_{split}agreement"] = measured["agreement"][0]
    return Folding(moments, table, passed, folded)


def stack(heads: Sequence[Sequence[tuple[Tensor, Tensor]]]) -> Heads:
    """Heads by number and depth, in float32, as `measure` takes them."""
    weights, biases = (
        torch.stack([torch.stack([head[part].float() for head in row]) for row in heads]) for part in (0, 1)
    )
    return weights, biases


class Clock:
    """Seconds of work on a device between one `read` and the next."""

    def __init__(self, device: torch.device) -> None:
        self.wait = devices.find_wait(device.type)
        self.last = time.perf_counter()

    def read(self) -> float:
        self.wait()
        last, self.last = self.last, time.perf_counter()
        return self.last - last
