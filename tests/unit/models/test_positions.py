"""Positions by Fourier transform are those of torch's own convolution, gradients too."""

import pytest
import torch
from convexprune.models import encoders, positions
from tones import train
from transformers import Wav2Vec2Config, Wav2Vec2Model


@pytest.mark.parametrize("frames", (1, 2, 49, 150))
@pytest.mark.parametrize("kernel", (2, 64, 65, 128))
def test_values_and_gradients_are_those_of_a_convolution(frames, kernel):
    generator = torch.Generator().manual_seed(frames)
    shapes = (3, 12, frames), (8, 3, kernel), (8,)
    given = [
        torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_() for shape in shapes
    ]
    expected = torch.nn.functional.conv1d(*given, padding=kernel // 2, groups=4)
    found = positions.convolve(*given, padding=kernel // 2, groups=4)
    torch.testing.assert_close(found, expected)
    upstream = torch.randn(expected.shape, dtype=torch.float64, generator=generator)
    for ours, theirs in zip(
        *(torch.autograd.grad(y, given, upstream) for y in (found, expected)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.fixture
def model():
    torch.manual_seed(0)
    small = {"hidden_size": 32, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    return Wav2Vec2Model(
        Wav2Vec2Config(**small, conv_dim=[8, 8], conv_kernel=[40, 8], conv_stride=[40, 8])
    ).eval()


def test_a_model_gives_the_same_within_the_block_and_is_left_as_it_was(model, monkeypatch):
    clip = torch.randn(2, 16000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model(clip).last_hidden_state
        calls = []
        convolve = positions.convolve
        monkeypatch.setattr(positions, "convolve", lambda *args: calls.append(1) or convolve(*args))
        with positions.by_fourier(model):
            torch.testing.assert_close(model(clip).last_hidden_state, expected, atol=1e-5, rtol=0)
        assert calls == [1]
        assert torch.equal(model(clip).last_hidden_state, expected)
        assert calls == [1]


def test_training_on_a_cpu_computes_them_so(tones, monkeypatch):
    """The tiny encoder's kernel is short: it is called a long one here."""
    monkeypatch.setattr(positions, "LONG", 1)
    calls = []
    convolve = positions.convolve
    monkeypatch.setattr(positions, "convolve", lambda *args: calls.append(1) or convolve(*args))
    run = train(tones, max_steps=2, eval_steps=2)
    assert calls
    assert "forward" not in vars(encoders.find_parts(run.model).positions[0].conv)
