"""Tiny random encoders of every supported architecture, shared by the tests of what uses them."""

import torch
from convexprune.models import encoders
from transformers import (
    AutoConfig,
    AutoModelForAudioClassification,
    SeamlessM4TFeatureExtractor,
    SequenceFeatureExtractor,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

LAYERS = 3
# family, stable layer norm (the large variants) where the family has both
ARCHITECTURES = [
    *((family, stable) for family in ("wav2vec2", "hubert", "wavlm") for stable in (False, True)),
    *((family, stable) for family in ("unispeech", "unispeech-sat") for stable in (False, True)),
    *((family, False) for family in ("data2vec-audio", "sew", "sew-d", "wav2vec2-conformer")),
    *((family, False) for family in ("wav2vec2-bert", "whisper")),
]
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
WHISPER_SECONDS = 3  # what tiny Whisper pads to, instead of 30
TINY_WHISPER = {
    "d_model": 16,
    "encoder_layers": LAYERS,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 24,
    "max_source_positions": 50 * WHISPER_SECONDS,
    "vocab_size": 5,
    "pad_token_id": 0,
    "classifier_proj_size": 8,
}


def make_encoder(family: str = "wav2vec2", stable: bool = False, head: bool = False, **changes):
    """A random encoder in eval mode, with a classification head of 3 labels if `head`."""
    torch.manual_seed(0)
    norm = {"do_stable_layer_norm": stable, "feat_extract_norm": "layer" if stable else "group"}
    tiny = TINY_WHISPER if family == "whisper" else TINY | norm
    config = AutoConfig.for_model(family, **(tiny | changes), num_labels=3)
    model = AutoModelForAudioClassification.from_config(config).eval()
    # Norms start as the identity and WavLM's relative positions near zero: move them, so that a
    # skipped norm or a lost table shows.
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.1 * torch.randn_like(weights))
    return model if head else encoders.base_encoder(model)


def make_feature_extractor(family: str = "wav2vec2", do_normalize: bool = True) -> SequenceFeatureExtractor:
    if family == "whisper":
        return WhisperFeatureExtractor(chunk_length=WHISPER_SECONDS)
    if family == "wav2vec2-bert":
        return SeamlessM4TFeatureExtractor()
    return Wav2Vec2FeatureExtractor(do_normalize=do_normalize)
