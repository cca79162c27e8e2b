"""Pretraining: small self-supervised encoders from scratch, for when no published checkpoint is available.

Two objectives, each on audio alone, no labels:

- `hubert`: predict the k-means clusters of MFCCs (HuBERT, Hsu et al. 2021), in masked frames and, weighted by
  SEEN_WEIGHT, in frames that are not masked: with minutes of audio the encoder must first learn to hear.
- `wav2vec2`: pick the quantised features of a masked frame out of those of other masked frames of the clip
  (wav2vec 2.0, Baevski et al. 2020), as Transformers computes it.

The result is a bare encoder folder like any downloaded one.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexprune.data import corpus
from convexprune.data.corpus import Corpus
from convexprune.jobs import memory
from convexprune.jobs.progress import Progress
from convexprune.models import encoders
from convexprune.setup.model_files import CONVOLUTIONS

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

log = logging.getLogger(__name__)

N_MFCC = 13
MFCC_WINDOW = 400  # samples, 25 ms
GUMBEL_TEMPERATURE = (2.0, 0.5)  # of the quantiser, first to last step
WARMUP_SHARE = 0.1
SEEN_WEIGHT = 1.0  # of hubert's loss in frames that are not masked
CONV_KERNEL, CONV_STRIDE = CONVOLUTIONS
POSITION_KERNEL = 16  # frames that the convolutional position embedding sees


@dataclass(frozen=True)
class Recipe:
    """How an encoder is pretrained: the `pretrain` entry of a model in the config, and its `layers`."""

    objective: str  # hubert or wav2vec2
    layers: int
    seed: int
    hidden_size: int
    attention_heads: int
    intermediate_size: int
    conv_dim: Sequence[int]  # channels of each convolution of the front end
    epochs: int
    batch_size: int
    learning_rate: float  # the peak
    mask_prob: float  # share of frames that are masked
    mask_length: int  # frames in a masked span
    clusters: int  # k-means clusters that hubert predicts
    codevectors: int  # in each of wav2vec2's two codebooks
    negatives: int  # wrong frames among which wav2vec2 must find a masked one
    seconds: float = 1  # of a clip


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


def build_config(recipe: Recipe) -> PretrainedConfig:
    """The encoder's configuration. Raises ValueError for shapes that cannot be built."""
    from transformers import AutoConfig

    width, heads = recipe.hidden_size, recipe.attention_heads
    if width % heads:
        raise ValueError(f"pretrain: hidden_size {width} is not a multiple of attention_heads {heads}")
    return AutoConfig.for_model(
        recipe.objective,
        num_hidden_layers=recipe.layers,
        hidden_size=width,
        num_attention_heads=heads,
        intermediate_size=recipe.intermediate_size,
        num_conv_pos_embeddings=POSITION_KERNEL,
        num_conv_pos_embedding_groups=heads,
        conv_dim=list(recipe.conv_dim),
        conv_kernel=list(CONV_KERNEL),
        conv_stride=list(CONV_STRIDE),
        num_feat_extract_layers=len(CONV_KERNEL),
        # Clips are few and seen a few times: the runs underfit, and dropout would only slow them.
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_quantizer_dropout=0.0,
        layerdrop=0.0,
        **(
            {
                "num_codevectors_per_group": recipe.codevectors,
                "num_negatives": recipe.negatives,
                "codevector_dim": width,
                "proj_codevector_dim": width,
            }
            if recipe.objective == "wav2vec2"
            else {}
        ),
    )


def draw_mask(shape: tuple[int, int], recipe: Recipe) -> np.ndarray:
    """Random spans of `mask_length` frames, about `mask_prob` of all frames in each clip: (B, T) booleans."""
    from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices

    # Two spans at least: contrast needs other masked frames.
    return _compute_mask_indices(shape, recipe.mask_prob, recipe.mask_length, min_masks=2)


def cluster_frames(waves: torch.Tensor, n_frames: int, hop: int, recipe: Recipe) -> torch.Tensor:
    """The target cluster of each frame: waves (N, samples) to (N, n_frames), integers below `clusters`.

    Features are MFCCs with their first and second differences. The MFCCs are normalised over each clip to
    remove speaker and channel. k-means runs over all frames.
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
        recipe.clusters, batch_size=4096, n_init=1, max_iter=20, random_state=recipe.seed
    )
    return torch.from_numpy(kmeans.fit_predict(frames)).long().view(len(waves), n_frames)


def count_frames(encoder: PreTrainedModel, waves: torch.Tensor) -> int:
    """How many frames the encoder makes of a clip."""
    return int(encoder._get_feat_extract_output_lengths(waves.shape[1]))


def masked_prediction(config: PretrainedConfig, waves: torch.Tensor, recipe: Recipe) -> Task:
    """HuBERT's objective: the cross-entropy of each frame's MFCC cluster."""
    import torch
    from transformers import HubertModel

    encoder = HubertModel(config)
    head = torch.nn.Linear(config.hidden_size, recipe.clusters)
    n_frames = count_frames(encoder, waves)
    targets = cluster_frames(waves, n_frames, int(np.prod(config.conv_stride)), recipe)

    def loss(clips: torch.Tensor, progress: float) -> Step:
        mask = torch.from_numpy(draw_mask((len(clips), n_frames), recipe))
        scores = head(encoder(waves[clips], mask_time_indices=mask).last_hidden_state)
        losses = torch.nn.functional.cross_entropy(scores.transpose(1, 2), targets[clips], reduction="none")
        masked, seen = losses[mask].mean(), losses[~mask].sum() / max(int((~mask).sum()), 1)
        right = (scores.argmax(dim=2) == targets[clips])[mask]
        return Step(masked + SEEN_WEIGHT * seen, int(right.sum()), len(right))

    return Task(encoder, torch.nn.ModuleList([encoder, head]), loss)


def contrast(config: PretrainedConfig, waves: torch.Tensor, recipe: Recipe) -> Task:
    """wav2vec 2.0's objective: pick the quantised features of a masked frame out of those of others.

    Equations 2 to 4 of its paper, with `negatives` other masked frames of the clip. The value is the loss of
    Wav2Vec2ForPreTraining divided by the number of masked frames, at half the cost: that class scores all
    frames.
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
        mask = draw_mask((len(clips), n_frames), recipe)
        negatives = torch.from_numpy(_sample_negative_indices(mask.shape, config.num_negatives, mask))
        mask = torch.from_numpy(mask)
        output = model.wav2vec2(waves[clips], mask_time_indices=mask)
        codes, perplexity = model.quantizer(output.extract_features, mask_time_indices=mask)
        quantised = model.project_q(codes)
        own, others = quantised[mask][:, None], quantised.flatten(0, 1)[negatives[mask].long()]
        predicted = model.project_hid(output.last_hidden_state[mask])[:, None]
        scores = torch.cosine_similarity(predicted, torch.cat([own, others], dim=1), dim=2)
        scores = scores / config.contrastive_logits_temperature  # (masked frames, 1 + negatives)
        # Another frame with the same codes as this one is no negative.
        scores[:, 1:][(others == own).all(dim=2)] = -torch.inf
        contrastive = torch.nn.functional.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long))
        diversity = (n_codes - perplexity) / n_codes
        right = scores.argmax(dim=1) == 0
        return Step(contrastive + config.diversity_loss_weight * diversity, int(right.sum()), len(right))

    return Task(model.wav2vec2, model, loss)


def train(task: Task, n_clips: int, recipe: Recipe) -> list[dict[str, float]]:
    """Train on `n_clips` clips; return each epoch's loss and its share of masked frames predicted right.

    AdamW; the learning rate rises over the first tenth of the steps, then falls to zero. Raises ValueError
    if the loss is no longer finite.
    """
    import torch
    from transformers import get_linear_schedule_with_warmup

    parameters = list(task.trained.parameters())
    n_batches = -(-n_clips // recipe.batch_size)
    n_steps = recipe.epochs * n_batches
    optimizer = torch.optim.AdamW(
        parameters, recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    schedule = get_linear_schedule_with_warmup(optimizer, round(WARMUP_SHARE * n_steps), n_steps)
    task.trained.train()
    history = []
    progress = Progress(desc=f"pretrain {recipe.objective}", total=n_steps, unit="step")
    for epoch in range(recipe.epochs):
        steps = []
        for batch, clips in enumerate(torch.randperm(n_clips).split(recipe.batch_size)):
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
                f"(now {recipe.learning_rate})"
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
    recordings: Corpus,
    recipe: Recipe,
    threads: int,
) -> None:
    """Train an encoder on the training split of the corpus `recordings` and write its folder.

    The same recipe, corpus and number of threads give the same weights on a CPU.
    """
    import torch
    from transformers import Wav2Vec2FeatureExtractor, set_seed

    memory.keep_memory("cpu")
    torch.set_num_threads(threads)
    set_seed(recipe.seed)
    rows = corpus.read_table(recordings.table).query("split == 'train'")
    ends = rows["offset"] + rows["n_samples"]
    clips = corpus.read_clips(recordings.samples, rows["offset"], ends, recipe.seconds)
    feature_extractor = Wav2Vec2FeatureExtractor(do_normalize=True)
    prepared = feature_extractor(list(clips), sampling_rate=corpus.SAMPLING_RATE, return_tensors="pt")
    waves = prepared["input_values"]
    task = OBJECTIVES[recipe.objective](build_config(recipe), waves, recipe)
    log.info("%s: %d clips, %d parameters", recipe.objective, len(waves), task.encoder.num_parameters())
    history = train(task, len(waves), recipe)
    origin = {
        "source": "pretrain",
        "id": recipe.objective,
        "revision": None,
        "licence": None,
        "settings": dataclasses.asdict(recipe),
        "history": history,
    }
    encoders.save_encoder(folder, task.encoder, feature_extractor, origin)
