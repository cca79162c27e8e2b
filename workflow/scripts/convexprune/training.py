"""The training loop: cross-entropy, early stopping on validation accuracy, checkpoints to resume from.

It knows models and clips, not tasks or files of the workflow. The order of the clips and the randomness of a
step (dropout, masks, skipped layers) depend on the seed and the number of the step alone, so a run that was
cut off and resumed takes the same steps as one that was not.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from convexprune import provenance

if TYPE_CHECKING:
    import torch
    from numpy.typing import ArrayLike
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)


class Clips(Protocol):
    """What is trained on: indexed by an array of positions, it gives a batch as the model takes it.

    A batch holds the model's inputs, (B, ...) each, and "labels" (B,), as arrays or tensors.
    """

    labels: np.ndarray  # (N,)

    def __len__(self) -> int: ...

    def __getitem__(self, indices: np.ndarray) -> dict[str, ArrayLike]: ...


@dataclass(frozen=True)
class Machine:
    """Where and how a model computes. Nothing here changes results but for rounding and dropout masks."""

    device: str  # cuda or cpu
    precision: str = "float32"  # of autocast: float32, bfloat16, float16
    workers: int = 0  # processes that read clips ahead
    micro_batch_size: int | None = None  # clips in a forward pass, where the whole batch does not fit

    def autocast(self) -> torch.autocast:
        import torch

        dtype = getattr(torch, self.precision)
        return torch.autocast(self.device, dtype if dtype != torch.float32 else None, dtype != torch.float32)


def choose_precision(wanted: str, device: str) -> str:
    """The precision of training: `auto` is bfloat16 on a GPU that has it, else float16; float32 on the CPU.

    Raises ValueError for float16 on the CPU, whose gradients would need a GPU's scaling to be of use.
    """
    import torch

    if wanted == "auto":
        if device == "cpu":
            return "float32"
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    if (wanted, device) == ("float16", "cpu"):
        raise ValueError("finetuning.precision: float16 needs a GPU; give auto, float32 or bfloat16")
    return wanted


@dataclass
class Progress:
    """How far a run has come."""

    step: int = 0
    stale: int = 0  # evaluations since the best one
    best_step: int = 0
    best_accuracy: float = -1.0
    seconds: float = 0.0  # of training and evaluating, the parts of a resumed run together; no checkpoints
    history: list[dict[str, float]] = field(default_factory=list)  # an entry an evaluation


class Checkpoints:
    """The last state of a run and its best weights, in a folder of their own.

    `last.pt` holds all that the next step depends on and the `key` of the run: a digest of everything that
    determines its result. A checkpoint of another key is never resumed. The best weights are named by their
    step, so that `last.pt` always finds those that it speaks of, whenever the process is killed.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = Path(folder), key

    def best(self, step: int) -> Path:
        return self.folder / f"best-{step}.pt"

    def save_best(self, step: int, weights: dict[str, torch.Tensor]) -> None:
        write_state(self.best(step), weights)

    def load_best(self, step: int) -> dict[str, torch.Tensor]:
        return read_state(self.best(step))

    def save(self, progress: Progress, **states: Any) -> None:
        """Replace the last state; then drop best weights that it no longer speaks of."""
        content = {"key": self.key, "progress": dataclasses.asdict(progress), **states}
        write_state(self.folder / "last.pt", content)
        for path in self.folder.glob("best-*.pt"):
            if path != self.best(progress.best_step):
                path.unlink()

    def load(self) -> dict[str, Any] | None:
        """The last state of this run, or None where there is none; that of another run is removed."""
        path = self.folder / "last.pt"
        found = read_state(path) if path.exists() else {}
        if found.get("key") == self.key:
            return found
        if found:
            log.info("the checkpoint in %s is of other settings, inputs or versions: starting again", path)
        self.discard()
        return None

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def write_state(path: Path, content: Any) -> None:
    import torch

    with provenance.atomic(path) as temporary:
        torch.save(content, temporary)


def read_state(path: Path) -> Any:
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def order_batches(n: int, batch_size: int, seed: int, first: int = 0) -> Iterator[np.ndarray]:
    """Positions of the clips of each step, without end, from step `first` (0-based) on.

    Every pass over the `n` clips has an order of its own; its last batch may be smaller.
    """
    steps = math.ceil(n / batch_size)
    for epoch in itertools.count(first // steps):
        order = np.random.default_rng([seed, epoch]).permutation(n)
        skipped = max(0, first - epoch * steps)
        for start in range(skipped * batch_size, n, batch_size):
            yield order[start : start + batch_size]


def seed_step(seed: int, step: int) -> None:
    """Seed all generators that a training step may draw from."""
    from transformers import set_seed

    set_seed(int(np.random.SeedSequence([seed, step]).generate_state(1)[0]))


def rate_at(step: int, settings: dict[str, Any]) -> float:
    """The learning rate of step `step` (0-based): a linear rise, then the schedule's course to max_steps."""
    warmup = round(settings["warmup_ratio"] * settings["max_steps"])
    if step < warmup:
        return settings["learning_rate"] * step / warmup
    progress = (step - warmup) / max(1, settings["max_steps"] - warmup)
    course = {
        "linear": 1 - progress,
        "cosine": (1 + math.cos(math.pi * progress)) / 2,
        "constant_with_warmup": 1.0,
    }
    return settings["learning_rate"] * course[settings["lr_scheduler"]]


def build_optimizer(model: PreTrainedModel, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW over the weights that are trained. Biases and norms (one dimension) do not decay."""
    import torch

    trained = [weights for weights in model.parameters() if weights.requires_grad]
    groups = [
        {"params": [weights for weights in trained if weights.ndim > 1], "weight_decay": weight_decay},
        {"params": [weights for weights in trained if weights.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, fused=True)


def load_batches(
    clips: Clips, order: Iterator[np.ndarray] | list[np.ndarray], machine: Machine
) -> Iterator[dict[str, torch.Tensor]]:
    """The batches of clips that `order` names, as tensors, read ahead where the machine has workers."""
    from torch.utils.data import DataLoader

    loader = DataLoader(
        clips,
        batch_size=None,
        sampler=order,
        num_workers=machine.workers,
        pin_memory=machine.device == "cuda",
    )
    return iter(loader)


def split_batch(batch: dict[str, torch.Tensor], machine: Machine) -> Iterator[dict[str, torch.Tensor]]:
    """The parts of a batch that go through the model one at a time, on its device."""
    n = len(batch["labels"])
    size = machine.micro_batch_size or n
    for start in range(0, n, size):
        yield {
            name: values[start : start + size].to(machine.device, non_blocking=True)
            for name, values in batch.items()
        }


def step_gradients(
    model: PreTrainedModel, batch: dict[str, torch.Tensor], machine: Machine, scaler: torch.amp.GradScaler
) -> torch.Tensor:
    """Add the gradients of the batch's mean cross-entropy, however it is split; returns that loss."""
    import torch
    from torch.nn.functional import cross_entropy

    total = torch.zeros((), device=machine.device)
    for part in split_batch(batch, machine):
        labels = part.pop("labels")
        with machine.autocast():
            logits = model(**part).logits
        loss = cross_entropy(logits.float(), labels, reduction="sum") / len(batch["labels"])
        scaler.scale(loss).backward()
        total += loss.detach()
    return total


def predict(model: PreTrainedModel, clips: Clips, batch_size: int, machine: Machine) -> np.ndarray:
    """Logits of all clips in their order, (N, classes) float32, in eval mode."""
    import torch

    order = [
        np.arange(start, min(start + batch_size, len(clips))) for start in range(0, len(clips), batch_size)
    ]
    logits = []
    model.eval()
    with torch.inference_mode():
        for batch in load_batches(clips, order, machine):
            for part in split_batch(batch, machine):
                part.pop("labels")
                with machine.autocast():
                    logits.append(model(**part).logits.float().cpu())
    return torch.cat(logits).numpy()


def evaluate(model: PreTrainedModel, clips: Clips, batch_size: int, machine: Machine) -> tuple[float, float]:
    """Accuracy (0 to 1) and mean cross-entropy on `clips`."""
    import torch
    from torch.nn.functional import cross_entropy

    logits = torch.from_numpy(predict(model, clips, batch_size, machine))
    labels = torch.as_tensor(clips.labels)
    accuracy = (logits.argmax(-1) == labels).double().mean().item()
    return accuracy, cross_entropy(logits, labels).item()


def train(
    model: PreTrainedModel,
    training: Clips,
    validation: Clips,
    settings: dict[str, Any],
    *,
    seed: int,
    machine: Machine,
    checkpoints: Checkpoints,
) -> Progress:
    """Train `model` in place until validation accuracy stays or max_steps are taken; keep the best weights.

    Settings: those of `finetuning.finetune`. The run is evaluated and saved every eval_steps and at the end,
    and goes on from its checkpoint where it has one. Raises ValueError where the loss is not finite.
    """
    import torch
    from torch.nn.utils import clip_grad_norm_

    batch_size = settings["batch_size"]
    steps_per_epoch = math.ceil(len(training) / batch_size)
    optimizer = build_optimizer(model, settings["weight_decay"])
    scaler = torch.amp.GradScaler(machine.device, enabled=machine.precision == "float16")
    progress = Progress()
    if saved := checkpoints.load():
        progress = Progress(**saved["progress"])
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        scaler.load_state_dict(saved["scaler"])
        log.info("resumed after step %d", progress.step)

    order = order_batches(len(training), batch_size, seed, progress.step)
    batches = load_batches(training, order, machine)
    losses: list[torch.Tensor] = []  # since the last evaluation
    started = time.perf_counter()
    while progress.step < settings["max_steps"] and progress.stale < settings["patience"]:
        model.train()
        seed_step(seed, progress.step)
        rate = rate_at(progress.step, settings)
        for group in optimizer.param_groups:
            group["lr"] = rate
        losses.append(step_gradients(model, next(batches), machine, scaler))
        scaler.unscale_(optimizer)
        clip_grad_norm_(model.parameters(), settings["max_grad_norm"])
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        progress.step += 1
        if progress.step % settings["eval_steps"] and progress.step < settings["max_steps"]:
            continue

        loss = torch.stack(losses).mean().item()
        losses.clear()
        if not math.isfinite(loss):
            raise ValueError(
                f"training diverged before step {progress.step}, where its loss is {loss}: "
                "give a smaller learning rate"
            )
        accuracy, eval_loss = evaluate(model, validation, batch_size, machine)
        improved = accuracy > progress.best_accuracy
        progress.stale = 0 if improved else progress.stale + 1
        entry = {
            "step": progress.step,
            "epoch": progress.step / steps_per_epoch,
            "loss": loss,
            "learning_rate": rate,
            "eval_accuracy": accuracy,
            "eval_loss": eval_loss,
        }
        progress.history.append(entry)
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in list(entry.items())[1:])
        log.info("step %d of %d: %s", progress.step, settings["max_steps"], numbers)

        progress.seconds += time.perf_counter() - started
        if improved:
            progress.best_step, progress.best_accuracy = progress.step, accuracy
            checkpoints.save_best(progress.step, model.state_dict())
        checkpoints.save(
            progress,
            model=model.state_dict(),
            optimizer=optimizer.state_dict(),
            scaler=scaler.state_dict(),
        )
        started = time.perf_counter()

    model.load_state_dict(checkpoints.load_best(progress.best_step))
    return progress
