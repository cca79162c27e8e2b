"""Pretraining: small self-supervised encoders from scratch, for where no published checkpoint can be had.

Two objectives, each on audio alone, no labels:

- `hubert`: predict the k-means clusters of MFCCs (HuBERT, Hsu et al. 2021), in masked frames and, with
  less weight, in those that can be seen: with minutes of audio the encoder must first learn to hear.
- `wav2vec2`: tell the quantised features of a masked frame from those of other masked frames of the clip
  (wav2vec 2.0, Baevski et al. 2020), as Transformers computes it.

The result is a bare encoder folder like any downloaded one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convexprune import corpus, encoders, memory
from convexprune.progress import Progress

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

log = logging.getLogger(__name__)

N_MFCC = 13
MFCC_WINDOW = 400  # samples, 25 ms
GUMBEL_TEMPERATURE = (2.0, 0.5)  # of the quantiser, first to last step
WARMUP_SHARE = 0.1


class Task(NamedTuple):
    """What is trained, and how: `loss` maps clip indices and progress (0..1) to a Step."""

    encoder: PreTrainedModel
    trained: torch.nn.Module  # the encoder and its head
    loss: Callable[[torch.Tensor, float], Step]


class Step(NamedTuple):
    """One batch: its mean loss, and how many of its masked frames were predicted right."""

    loss: torch.Tensor
    n_right: int
    n_masked: int


def build_config(settings: dict[str, Any]) -> PretrainedConfig:
    """The encoder's configuration. Raises ValueError for shapes that cannot be built."""
    from transformers import AutoConfig

    width, heads = settings["hidden_size"], settings["attention_heads"]
    if width % heads:
        raise ValueError(f"pretrain: hidden_size {width} is not a multiple of attention_heads {heads}")
    convolutions = {key: list(settings[key]) for key in ("conv_dim", "conv_kernel", "conv_stride")}
    if len({len(values) for values in convolutions.values()}) > 1:
        raise ValueError(f"pretrain: conv_dim, conv_kernel and conv_stride differ in length: {convolutions}")
    return AutoConfig.for_model(
        settings["objective"],
        num_hidden_layers=settings["layers"],
        hidden_size=width,
        num_attention_heads=heads,
        intermediate_size=settings["intermediate_size"],
        num_conv_pos_embeddings=settings["position_kernel"],
        num_conv_pos_embedding_groups=heads,
        **convolutions,
        num_feat_extract_layers=len(convolutions["conv_dim"]),
        # Clips are few and seen a few times: the runs underfit, and dropout would only slow them.
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_quantizer_dropout=0.0,
        layerdrop=0.0,
        **(
            {
                "num_codevectors_per_group": settings["codevectors"],
                "num_negatives": settings["negatives"],
                "codevector_dim": width,
                "proj_codevector_dim": width,
            }
            if settings["objective"] == "wav2vec2"
            else {}
        ),
    )


def draw_mask(shape: tuple[int, int], settings: dict[str, Any]) -> np.ndarray:
    """Random spans of `mask_length` frames, about `mask_prob` of all frames in each clip: (B, T) booleans."""
    from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices

    # Two spans at least: a contrastive frame needs others to be told from.
    return _compute_mask_indices(shape, settings["mask_prob"], settings["mask_length"], min_masks=2)


def cluster_frames(waves: torch.Tensor, n_frames: int, hop: int, settings: dict[str, Any]) -> torch.Tensor:
    """The target cluster of each frame: waves (N, samples) to (N, n_frames), integers below `clusters`.

    Features are MFCCs, normalised over each clip to take out speaker and channel, their first and second
    differences, and k-means over all frames.
    """
    import torch
    import torchaudio
    from sklearn.cluster import MiniBatchKMeans

    mfcc = torchaudio.transforms.MFCC(
        corpus.SAMPLING_RATE,
        N_MFCC,
        melkwargs={"n_fft": 512, "win_length": MFCC_WINDOW, "hop_length": hop, "n_mels": 40},
    )
    features = []
    for batch in waves.split(256):
        static = mfcc(batch)[:, :, :n_frames]
        static = (static - static.mean(dim=2, keepdim=True)) / (static.std(dim=2, keepdim=True) + 1e-3)
        delta = torchaudio.functional.compute_deltas(static)
        stacked = torch.cat([static, delta, torchaudio.functional.compute_deltas(delta)], dim=1)
        features.append(stacked.transpose(1, 2))
    frames = torch.cat(features).flatten(0, 1).numpy()
    frames /= frames.std(axis=0)
    kmeans = MiniBatchKMeans(
        settings["clusters"], batch_size=4096, n_init=1, max_iter=20, random_state=settings["seed"]
    )
    return torch.from_numpy(kmeans.fit_predict(frames)).long().view(len(waves), n_frames)


def count_frames(encoder: PreTrainedModel, waves: torch.Tensor) -> int:
    """How many frames the encoder makes of a clip."""
    return int(encoder._get_feat_extract_output_lengths(waves.shape[1]))


def masked_prediction(config: PretrainedConfig, waves: torch.Tensor, settings: dict[str, Any]) -> Task:
    """HuBERT's objective: cross-entropy of each frame's MFCC cluster."""
    import torch
    from transformers import HubertModel

    encoder = HubertModel(config)
    head = torch.nn.Linear(config.hidden_size, settings["clusters"])
    n_frames = count_frames(encoder, waves)
    targets = cluster_frames(waves, n_frames, int(np.prod(config.conv_stride)), settings)

    def loss(clips: torch.Tensor, progress: float) -> Step:
        mask = torch.from_numpy(draw_mask((len(clips), n_frames), settings))
        scores = head(encoder(waves[clips], mask_time_indices=mask).last_hidden_state)
        losses = torch.nn.functional.cross_entropy(scores.transpose(1, 2), targets[clips], reduction="none")
        masked, seen = losses[mask].mean(), losses[~mask].sum() / max(int((~mask).sum()), 1)
        right = (scores.argmax(dim=2) == targets[clips])[mask]
        return Step(masked + settings["unmasked_weight"] * seen, int(right.sum()), len(right))

    return Task(encoder, torch.nn.ModuleList([encoder, head]), loss)


def contrast(config: PretrainedConfig, waves: torch.Tensor, settings: dict[str, Any]) -> Task:
    """wav2vec 2.0's objective: tell the quantised features of a masked frame from those of others.

    Equations 2 to 4 of its paper, with `negatives` other masked frames of the clip. The same value as the
    loss of Wav2Vec2ForPreTraining divided by the masked frames, at half its cost: it scores all frames.
    """
    import torch
    from transformers import Wav2Vec2ForPreTraining
    from transformers.models.wav2vec2.modeling_wav2vec2 import _sample_negative_indices

    model = Wav2Vec2ForPreTraining(config)
    n_frames = count_frames(model.wav2vec2, waves)
    n_codes = config.num_codevectors_per_group * config.num_codevector_groups
    hottest, coldest = GUMBEL_TEMPERATURE

    def loss(clips: torch.Tensor, progress: float) -> Step:
        model.set_gumbel_temperature(hottest * (coldest / hottest) ** progress)
        mask = draw_mask((len(clips), n_frames), settings)
        negatives = torch.from_numpy(_sample_negative_indices(mask.shape, config.num_negatives, mask))
        mask = torch.from_numpy(mask)
        output = model.wav2vec2(waves[clips], mask_time_indices=mask)
        codes, perplexity = model.quantizer(output.extract_features, mask_time_indices=mask)
        quantised = model.project_q(codes)
        own, others = quantised[mask][:, None], quantised.flatten(0, 1)[negatives[mask].long()]
        predicted = model.project_hid(output.last_hidden_state[mask])[:, None]
        scores = torch.cosine_similarity(predicted, torch.cat([own, others], dim=1), dim=2)
        scores = scores / config.contrastive_logits_temperature  # (masked frames, 1 + negatives)
        # Another frame may have the very codes of this one: then it is no negative.
        scores[:, 1:][(others == own).all(dim=2)] = -torch.inf
        contrastive = torch.nn.functional.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long))
        diversity = (n_codes - perplexity) / n_codes
        right = scores.argmax(dim=1) == 0
        return Step(contrastive + config.diversity_loss_weight * diversity, int(right.sum()), len(right))

    return Task(model.wav2vec2, model, loss)


def train(task: Task, n_clips: int, settings: dict[str, Any]) -> list[dict[str, float]]:
    """Train on `n_clips` clips for `epochs`; the loss and the share of masked frames predicted right of each.

    AdamW; the learning rate rises over the first tenth of the steps and falls to nothing after. Raises
    ValueError where the loss stops being finite.
    """
    import torch
    from transformers import get_linear_schedule_with_warmup

    parameters = list(task.trained.parameters())
    n_batches = -(-n_clips // settings["batch_size"])
    n_steps = settings["epochs"] * n_batches
    optimizer = torch.optim.AdamW(
        parameters, settings["learning_rate"], betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    schedule = get_linear_schedule_with_warmup(optimizer, round(WARMUP_SHARE * n_steps), n_steps)
    task.trained.train()
    history = []
    progress = Progress(desc=f"pretrain {settings['objective']}", total=n_steps, unit="step")
    for epoch in range(settings["epochs"]):
        steps = []
        for batch, clips in enumerate(torch.randperm(n_clips).split(settings["batch_size"])):
            step = task.loss(clips, (epoch * n_batches + batch) / n_steps)
            optimizer.zero_grad()
            step.loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            steps.append(step._replace(loss=step.loss.item()))
            progress.update()
        losses, n_right, n_masked = np.array(steps).T
        if not np.isfinite(losses).all():
            raise ValueError(
                f"pretrain: the loss diverged in epoch {epoch + 1}; lower learning_rate "
                f"(now {settings['learning_rate']})"
            )
        record = {
            "epoch": epoch + 1,
            "loss": float(losses.mean()),
            "masked_accuracy": float(n_right.sum() / n_masked.sum()),
        }
        log.info("epoch %(epoch)d: loss %(loss).3f, masked accuracy %(masked_accuracy).3f", record)
        history.append(record)
    progress.close()
    return history


OBJECTIVES = {"hubert": masked_prediction, "wav2vec2": contrast}


def pretrain(
    folder: str | os.PathLike[str],
    samples: str | os.PathLike[str],
    table: str | os.PathLike[str],
    settings: dict[str, Any],
    threads: int,
) -> None:
    """Train an encoder on the training split of a corpus and write its folder.

    Settings: objective (hubert | wav2vec2), layers, seed; the shape hidden_size, attention_heads,
    intermediate_size, position_kernel, conv_dim, conv_kernel, conv_stride; the run epochs, batch_size,
    learning_rate, mask_prob, mask_length; for hubert clusters and unmasked_weight, for wav2vec2
    codevectors and negatives. The same settings, corpus and thread count give the same weights on a CPU.
    """
    import torch
    from transformers import Wav2Vec2FeatureExtractor, set_seed

    memory.keep_memory("cpu")
    torch.set_num_threads(threads)
    set_seed(settings["seed"])
    rows = corpus.read_table(table).query("split == 'train'")
    clips = corpus.read_clips(samples, rows["offset"], rows["offset"] + rows["n_samples"])
    feature_extractor = Wav2Vec2FeatureExtractor(do_normalize=True)
    prepared = feature_extractor(list(clips), sampling_rate=corpus.SAMPLING_RATE, return_tensors="pt")
    waves = prepared["input_values"]
    task = OBJECTIVES[settings["objective"]](build_config(settings), waves, settings)
    log.info("%s: %d clips, %d parameters", settings["objective"], len(waves), task.encoder.num_parameters())
    history = train(task, len(waves), settings)
    origin = {
        "source": "pretrain",
        "id": settings["objective"],
        "revision": None,
        "licence": None,
        "settings": settings,
        "history": history,
    }
    encoders.save_encoder(folder, task.encoder, feature_extractor, origin)
