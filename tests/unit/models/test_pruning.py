import copy

import numpy as np
import pytest
import torch
from convexprune.models import encoders
from convexprune.models.pruning import prune
from encoder_factory import LAYERS, make_encoder, make_feature_extractor
from transformers import (
    Wav2Vec2Config,
    Wav2Vec2ForSequenceClassification,
    WhisperForConditionalGeneration,
    WhisperModel,
)

CLIPS = torch.randn(2, 3200, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat"])
@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("layers", range(LAYERS + 1))
def test_the_last_hidden_state_is_the_full_models_at_that_layer(family, stable, layers):
    model = make_encoder(family, stable)
    expected = model(CLIPS, output_hidden_states=True).hidden_states[layers]
    if stable:
        expected = model.encoder.layer_norm(expected)
    assert torch.equal(prune(model, layers)(CLIPS).last_hidden_state, expected)


@pytest.mark.parametrize("layers", [-1, LAYERS + 1])
def test_a_depth_the_model_does_not_have_is_refused(layers):
    with pytest.raises(ValueError, match=f"cannot keep {layers} layers of a Wav2Vec2Model that has {LAYERS}"):
        prune(make_encoder(), layers)


def test_a_number_of_layers_is_a_whole_one(tmp_path):
    pruned = prune(make_encoder(), np.int64(2))
    encoders.save_folder(tmp_path, pruned, make_feature_extractor())
    assert encoders.count_layers(encoders.load_encoder(tmp_path)[0]) == 2
    for layers in (2.0, True, "2", None):
        with pytest.raises(TypeError, match=f"layers must be a whole number, not {layers!r}"):
            prune(make_encoder(), layers)


def test_the_model_given_is_left_as_it_is_and_the_pruned_one_is_like_it():
    model = make_encoder("wavlm", head=True).to(torch.bfloat16).train()
    config, weights = model.config.to_dict(), copy.deepcopy(model.state_dict())
    pruned = prune(model, 1)
    assert (pruned.dtype, pruned.training) == (torch.bfloat16, True)
    assert model.config.to_dict() == config
    assert all(torch.equal(values, weights[name]) for name, values in model.state_dict().items())


def test_a_head_that_weighs_layers_keeps_the_weights_of_those_left(tmp_path):
    model = make_encoder(head=True, use_weighted_layer_sum=True)
    pruned = prune(model, 1)
    assert torch.equal(pruned.layer_weights, model.layer_weights[:2])
    assert len(model.layer_weights) == LAYERS + 1
    encoders.save_folder(tmp_path, pruned, make_feature_extractor())
    assert torch.equal(type(model).from_pretrained(tmp_path)(CLIPS).logits, pruned(CLIPS).logits)
    with pytest.raises(ValueError, match="use_weighted_layer_sum"):
        prune(model, 0)


@pytest.mark.parametrize("head", [WhisperModel, WhisperForConditionalGeneration])
def test_whisper_is_pruned_below_its_decoder(head):
    model = head(make_encoder("whisper").config)
    pruned = prune(model, 1)
    assert (pruned.config.encoder_layers, pruned.config.decoder_layers) == (1, 1)
    assert len(pruned.get_encoder().layers) == 1


@pytest.mark.parametrize(
    ("full", "stable", "kept", "labels", "reductions"),
    [
        (12, False, 9, 35, [22.48]),
        (12, False, 3, 388, [67.38]),
        *((24, stable, 16, 35, [31.91, 31.92]) for stable in (False, True)),
        *((24, stable, 5, 388, [75.78, 75.79]) for stable in (False, True)),
    ],
)
def test_layers_kept_give_the_papers_parameter_reductions(full, stable, kept, labels, reductions):
    """wav2vec2-large and -lv60 (stable) differ in the last digit."""
    large = {"hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096}
    config = Wav2Vec2Config(
        num_hidden_layers=full,
        num_labels=labels,
        do_stable_layer_norm=stable,
        feat_extract_norm="layer" if stable else "group",
        conv_bias=stable,
        **(large if full == 24 else {}),
    )
    with torch.device("meta"):
        model = Wav2Vec2ForSequenceClassification(config)
    remaining = prune(model, kept).num_parameters() / model.num_parameters()
    assert round(100 * (1 - remaining), 2) in reductions
