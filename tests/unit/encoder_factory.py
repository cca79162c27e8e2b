"""Tiny random encoders of every supported architecture, shared by the tests of what uses them."""

import torch
from transformers import AutoConfig, AutoModel, AutoModelForAudioClassification, Wav2Vec2FeatureExtractor

LAYERS = 3
# family, stable layer norm (the large variants)
ARCHITECTURES = [(family, stable) for family in ("wav2vec2", "hubert", "wavlm") for stable in (False, True)]
TINY = {
    "hidden_size": 16,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": [8, 8],
    "conv_kernel": [20, 16],
    "conv_stride": [20, 16],
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 8,
}


def make_encoder(family: str = "wav2vec2", stable: bool = False, head: bool = False, **changes):
    """A random encoder in eval mode, with a classification head of 3 labels if `head`."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        family,
        **(
            TINY
            | {"do_stable_layer_norm": stable, "feat_extract_norm": "layer" if stable else "group"}
            | changes
        ),
        **({"num_labels": 3} if head else {}),
    )
    model = (AutoModelForAudioClassification if head else AutoModel).from_config(config).eval()
    # Norms start as the identity and WavLM's relative positions near zero: move them, so that a
    # skipped norm or a lost table shows.
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.1 * torch.randn_like(weights))
    return model


def make_feature_extractor(do_normalize: bool = True) -> Wav2Vec2FeatureExtractor:
    return Wav2Vec2FeatureExtractor(do_normalize=do_normalize)
