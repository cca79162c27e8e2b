"""How a run is fine-tuned: the config's `finetuning`, for one run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """The recipe of a run. In brackets: the paper's value, or our choice if the paper gives none."""

    full_layers: int  # transformer layers of the encoder; another number is an error
    learning_rate: float  # AdamW's peak rate (paper: by task, full or pruned)
    batch_size: int  # clips per step (paper: 32)
    max_steps: int  # steps at most (paper: 18,000)
    eval_steps: int  # steps between evaluations on the validation split (ours: 500)
    patience: int  # training stops after so many evaluations without a better accuracy (ours: 5)
    warmup_ratio: float  # share of max_steps in which the rate rises from 0 (ours: 0.1)
    lr_scheduler: str  # linear, cosine or constant_with_warmup (ours: linear)
    weight_decay: float  # of AdamW (ours: 0)
    max_grad_norm: float  # longer gradients are cut to this length (ours: 1)
    freeze_feature_encoder: bool  # keep the convolutional front end as pretrained (ours: true)
    spec_augment: bool  # mask spans of frames in training, as the checkpoint's config says (ours: true)
    layerdrop: float  # probability of skipping a layer (ours: 0, so that every kept layer is trained)
    projector_size: int  # width of the projector (paper, by its parameter counts: 256)
    precision: str  # auto (by device), float32, bfloat16 or float16
    cache_features: str  # none, or the precision of the stored features of the front end
    seconds: float = 1  # of a clip (paper: 1)
    padding: str = "zeros"  # of shorter clips: zeros that the model hears (paper), or a mask
    start: str = "pretrained"  # or folded: the full model, folded to the run's layers (paper: pretrained)
