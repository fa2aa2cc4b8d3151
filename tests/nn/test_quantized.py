"""Ternary weights, learned steps and 8-bit activations: values and gradients against float64, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import recu_analysis as ra
from recu_analysis.capture.adapters import binary_layers
from recu_analysis.errors import InputError, NoBinaryLayersError
from recu_analysis.nn import build_network
from recu_analysis.nn.quantized import (
    QuantizedConv2d,
    TernaryLinear,
    absmean_ternary,
    bad_steps,
    eight_bits,
    latent_parameters,
    learned_steps,
    quantizer_of,
)
from recu_analysis.theory.levels import Quantizer


@pytest.fixture
def weight():
    return torch.randn(6, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()


def test_ternary_weights_are_states_times_the_mean_and_pass_every_gradient(weight):
    used = absmean_ternary(weight)
    values = weight.detach().double().numpy()
    scale = np.abs(values).mean()
    expected = [[max(-1, min(1, round(each / scale))) * scale for each in row] for row in values]
    np.testing.assert_allclose(used.detach(), expected, rtol=1e-6)
    passed = torch.randn_like(used)
    used.backward(passed)
    assert torch.equal(weight.grad, passed)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_learned_steps_have_the_values_and_gradients_of_the_paper(weight, bits):
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    step = torch.tensor(0.31, requires_grad=True)
    used = learned_steps(weight, step, low, high)
    passed = torch.randn_like(used)
    used.backward(passed)
    of_step = 0.0
    for index in np.ndindex(*weight.shape):
        v, s, upstream = weight[index].item(), step.item(), passed[index].item()
        state = max(low, min(high, round(v / s)))
        assert used[index].item() == pytest.approx(state * s, rel=1e-6)
        inside = low < v / s < high
        assert weight.grad[index].item() == pytest.approx(upstream if inside else 0.0)
        of_step += upstream * (state - v / s if inside else state)
    assert step.grad.item() == pytest.approx(of_step / math.sqrt(weight.numel() * high), rel=1e-4)


def test_activations_have_one_scale_a_token_and_pass_every_gradient():
    values = torch.randn(2, 3, 7).requires_grad_()
    used = eight_bits(values)
    for token, quantized in zip(values.detach().reshape(-1, 7), used.detach().reshape(-1, 7), strict=True):
        most = max(abs(each.item()) for each in token)
        expected = [round(each.item() * 127 / most) * most / 127 for each in token]
        np.testing.assert_allclose(quantized, expected, rtol=1e-5, atol=1e-6)
    used.sum().backward()
    assert torch.equal(values.grad, torch.ones_like(values))
    assert torch.equal(eight_bits(torch.zeros(1, 4)), torch.zeros(1, 4))


def network(levels, bits):
    torch.manual_seed(0)
    return build_network("resnet20", levels=levels, bits=bits)


@pytest.mark.parametrize(("levels", "bits", "count"), [(3, 1, 3), (2, 2, 4), (2, 4, 16)])
def test_recorded_states_are_those_of_the_forward_pass(tmp_path, levels, bits, count):
    model = network(levels, bits)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    with ra.record(model, optimizer, tmp_path / "run", layers=["layer1.0.*"]) as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            functional.cross_entropy(model(torch.randn(8, 3, 16, 16)), torch.randint(10, (8,))).backward()
            optimizer.step()
        recorder.mark()
    run = ra.open_run(tmp_path / "run")
    for spec in run.header.layers:
        assert (spec.verified, spec.differs, spec.quantizer.count) == (True, 0.0, count)
        layer = model.get_submodule(spec.name)
        used = layer.quantized_weight().detach().double()
        unit = layer.weight.detach().abs().mean().double() if layer.step is None else layer.step.detach().double()
        np.testing.assert_array_equal(run.window(1)[spec.name].states, (used / unit).round())


def test_every_layer_but_the_first_and_last_is_quantized_and_listed():
    model = network(3, 1)
    assert len(binary_layers(model)) == len(latent_parameters(model)) == 18
    text = build_network("ternary-lm", 256)
    assert len(binary_layers(text)) == len(latent_parameters(text)) == 16
    assert "head" not in [layer.name for layer in binary_layers(text)]
    assert latent_parameters(build_network("ternary-lm-real", 256)) == []


def test_a_step_begins_as_published_also_where_the_network_initializes_its_weights_itself():
    model = build_network("vgg_small", bits=3)
    assert model.conv1.step.item() == pytest.approx(2 * model.conv1.weight.abs().mean().item() / math.sqrt(3))
    assert bad_steps(model) == []
    with torch.no_grad():
        model.conv2.step.fill_(math.nan)
    assert bad_steps(model) == ["conv2.step"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": 4}, "2 levels.*3.*not 4"),
        ({"bits": 5}, "1 bit.*2 to 4.*not 5"),
        ({"levels": 3, "bits": 2}, "not both"),
        ({"levels": 3, "clamp": False}, "resnet20 with 3 levels.*clamp"),
        ({"name": "ternary-lm", "bits": 2}, "ternary-lm.*omit bits"),
        ({"name": "resnet20-real", "bits": 2}, "resnet20-real has real weights"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        build_network(**{"name": "resnet20"} | arguments)


def test_another_quantizer_and_a_wrong_text_are_refused():
    for other in (Quantizer(), Quantizer.twn(), Quantizer.of_bits(4, rule="maxabs")):
        with pytest.raises(InputError, match=r"Quantizer.bitnet\(\) or Quantizer.of_bits"):
            QuantizedConv2d(4, 4, 3, quantizer=other)
    assert quantizer_of(2, 1) is None
    for text in (torch.zeros(1, 129, dtype=torch.int64), torch.zeros(1, 8), torch.zeros(8, dtype=torch.int64)):
        with pytest.raises(InputError, match="ternary-lm takes bytes as int64"):
            build_network("ternary-lm", 256)(text)


def test_the_text_network_sees_no_byte_after_the_one_before():
    model = build_network("ternary-lm", 256).eval()
    text = torch.randint(256, (2, 20))
    other = text.clone()
    other[:, 12:] = 0
    assert torch.equal(model(text)[:, :, :12], model(other)[:, :, :12])
    assert not torch.equal(model(text)[:, :, 12], model(other)[:, :, 12])


def test_a_quantized_head_that_shares_the_weight_of_an_embedding_is_refused():
    model = nn.ModuleDict({"embedding": nn.Embedding(12, 8), "head": TernaryLinear(8, 12, bias=False)})
    model["head"].weight = model["embedding"].weight
    with pytest.raises(NoBinaryLayersError, match=r"head: its weight is also that of embedding.*tie_word_embeddings"):
        binary_layers(model)
    with pytest.raises(InputError, match=r"head: its weight is also that of embedding"):
        binary_layers(model, ["head"])
    model["body"], model["again"] = TernaryLinear(8, 8), TernaryLinear(8, 8)
    model["again"].weight = model["body"].weight
    assert [layer.name for layer in binary_layers(model)] == ["body"]
