import pytest
import torch
from convexprune import encoders
from convexprune.pruning import prune
from encoder_factory import ARCHITECTURES, LAYERS, make_encoder, make_feature_extractor
from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

CLIPS = torch.randn(2, 3200, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("family", "stable"), ARCHITECTURES)
@pytest.mark.parametrize("layers", range(LAYERS + 1))
def test_the_last_hidden_state_is_the_full_models_at_that_layer(family, stable, layers):
    model = make_encoder(family, stable)
    expected = model(CLIPS, output_hidden_states=True).hidden_states[layers]
    if stable:
        expected = model.encoder.layer_norm(expected)
    pruned = prune(model, layers)
    assert torch.equal(pruned(CLIPS).last_hidden_state, expected)
    assert encoders.count_layers(pruned) == pruned.config.num_hidden_layers == layers


@pytest.mark.parametrize(("family", "stable"), ARCHITECTURES)
def test_the_given_model_is_untouched(family, stable):
    model = make_encoder(family, stable)
    before = model(CLIPS).last_hidden_state
    pruned = prune(model, 1)
    with torch.no_grad():
        for weights in pruned.parameters():
            weights.zero_()
    assert torch.equal(model(CLIPS).last_hidden_state, before)
    assert encoders.count_layers(model) == model.config.num_hidden_layers == LAYERS


@pytest.mark.parametrize(("family", "stable"), ARCHITECTURES)
@pytest.mark.parametrize("layers", [0, 2])
def test_a_classifier_is_pruned_below_its_head_and_reloads(tmp_path, family, stable, layers):
    model = make_encoder(family, stable, head=True)
    pruned = prune(model, layers)
    states = prune(model.base_model, layers)(CLIPS).last_hidden_state
    expected = model.classifier(model.projector(states).mean(dim=1))
    torch.testing.assert_close(pruned(CLIPS).logits, expected)
    encoders.save_folder(tmp_path, pruned, make_feature_extractor())
    reloaded = type(model).from_pretrained(tmp_path)
    assert torch.equal(reloaded(CLIPS).logits, pruned(CLIPS).logits)


@pytest.mark.parametrize("layers", [-1, LAYERS + 1])
def test_a_depth_the_model_does_not_have_is_refused(layers):
    with pytest.raises(ValueError, match=f"cannot keep {layers} layers of a Wav2Vec2Model that has {LAYERS}"):
        prune(make_encoder(), layers)


def test_a_head_over_all_layers_is_refused():
    with pytest.raises(ValueError, match="use_weighted_layer_sum"):
        prune(make_encoder(head=True, use_weighted_layer_sum=True), 1)


@pytest.mark.parametrize(
    ("full", "kept", "labels", "reduction"),
    [(12, 9, 35, 22.48), (24, 16, 35, 31.92), (12, 3, 388, 67.38), (24, 5, 388, 75.78)],
)
def test_layers_kept_give_the_papers_parameter_reductions(full, kept, labels, reduction):
    large = {"hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096}
    config = Wav2Vec2Config(
        num_hidden_layers=full,
        num_labels=labels,
        do_stable_layer_norm=full == 24,
        feat_extract_norm="layer" if full == 24 else "group",
        conv_bias=full == 24,
        **(large if full == 24 else {}),
    )
    with torch.device("meta"):
        model = Wav2Vec2ForSequenceClassification(config)
    remaining = prune(model, kept).num_parameters() / model.num_parameters()
    assert 100 * (1 - remaining) == pytest.approx(reduction, abs=0.01)
