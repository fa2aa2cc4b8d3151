"""Every known codebase with more than two levels: recorded states are those that its own forward pass uses."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import recu_analysis as ra
from recu_analysis import find_binary_layers
from recu_analysis.capture.adapters import registry
from recu_analysis.errors import RecorderError
from tests.capture import codebase_layers, codebase_quantizers
from tests.capture.plain_loops import shake
from tests.messages import says

UPDATES = 8


def used_states(layer, monkeypatch):
    """The states of the weight that the layer's own forward pass gives to its convolution or product."""
    seen = []
    with monkeypatch.context() as patch:
        for place, name in ((F, "conv2d"), (F, "linear"), (torch, "mm")):
            original = getattr(place, name)

            def spy(values, weight, *others, _original=original):
                if not isinstance(weight, codebase_quantizers.BitNetTrainingLinearWeight):
                    seen.append(weight.detach())
                return _original(values, weight, *others)

            patch.setattr(place, name, spy)
        layer(torch.randn(1, 6) if layer.weight.ndim == 2 else torch.randn(1, 2, 4, 4))
    (used,) = seen
    used = used.T if used.shape != layer.weight.shape else used
    quantizer = getattr(layer, "quan_w_fn", None)
    step = getattr(layer, "alpha", None)
    if quantizer is not None:
        step = quantizer.states(layer.weight)[1]
    return (used / (used.abs().max() if step is None else step)).round().detach().numpy().astype(int)


@pytest.mark.parametrize("codebase", codebase_quantizers.LAYERS)
def test_recorded_states_and_flips_are_those_of_the_forward_pass(codebase, tmp_path, monkeypatch):
    adapter, make = codebase_quantizers.LAYERS[codebase]
    torch.manual_seed(1)
    layer = make()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.3)
    example = torch.randn(1, 6) if layer.weight.ndim == 2 else torch.randn(1, 2, 4, 4)
    with ra.record(layer, optimizer, tmp_path / "run", layers=[""], example=example) as recorder:
        history = [used_states(layer, monkeypatch)]
        for update in range(1, UPDATES + 1):
            shake(layer, optimizer, update)
            history.append(used_states(layer, monkeypatch))
        recorder.mark()
    run = ra.open_run(tmp_path / "run")
    (spec,) = run.header.layers
    assert (spec.adapter, spec.verified, spec.differs) == (adapter, True, 0.0)
    changes = np.stack([now != before for before, now in itertools.pairwise(history)])
    assert changes.any(), "a test without flips would say nothing"
    record = run.window(1)[spec.name]
    np.testing.assert_array_equal(record.states, history[-1])
    np.testing.assert_array_equal(record.flips, changes.sum(axis=0))


def test_one_name_two_meanings():
    table = find_binary_layers(nn.Sequential(codebase_layers.bitnet(), codebase_quantizers.bitnet_b158()))
    assert table["adapter"].tolist() == ["bitnet", "bitnet-b158"]
    says(table["why"][1], "BitLinear of BitNet b1.58 as published", "rounded to -1, 0 or +1")


def test_layers_without_steps_are_not_guessed():
    real = codebase_quantizers.lsq()
    real.quan_w_fn = nn.Identity()
    table = find_binary_layers(nn.Sequential(real, codebase_quantizers.lsq_alpha(ready=False), nn.Linear(6, 4)))
    assert not table["binary"].any()
    says(table["why"][0], "QuanConv2d with weight", "(lsq)")
    says(table["why"][1], "pass one batch through the model first")
    assert table["why"][2] == "no adapter knows Linear"


def test_weights_that_no_plain_tensor_holds_are_refused():
    class Hidden(torch.Tensor):
        @staticmethod
        def __new__(cls, data):
            return torch.Tensor._make_wrapper_subclass(cls, data.shape, dtype=data.dtype)

        @classmethod
        def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
            return args[0]

    layer = nn.Linear(6, 4, bias=False)
    layer.weight = nn.Parameter(Hidden(torch.randn(4, 6)))
    table = find_binary_layers(nn.Sequential(layer), layers="0")
    says(table["why"][0], "a Hidden, whose values are not those of one plain tensor")


def with_ties(dtype):
    """Weights with mean abs(w) 1, many of them at the thresholds of 1 / 2 and -1 / 2, or next to them in 16 bits."""
    values = torch.tensor([0.5, -0.5, 1.5, -1.5, 0.50390625, -0.498046875, 1.498046875, -1.50390625]).to(dtype)
    return values.repeat(64).reshape(16, 32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_ties_are_those_of_the_layer(tmp_path, dtype):
    layer = codebase_layers.autobit().to(dtype)
    layer.weight = nn.Parameter(with_ties(dtype))
    with torch.no_grad():
        scale = 1.0 / layer.weight.float().abs().mean().clamp_(min=1e-5)
        expected = (layer.weight.float() * scale).round().clamp(-1, 1).numpy()
    with ra.record(layer, torch.optim.SGD(layer.parameters(), lr=0.1), tmp_path / "run"):
        layer(torch.randn(2, 32).to(dtype))
    np.testing.assert_array_equal(ra.open_run(tmp_path / "run").window(0)[""].states, expected)
    assert sorted(set(expected.ravel())) == [-1, 0, 1]


@pytest.mark.parametrize(
    "make", [codebase_quantizers.bitnet_b158, codebase_quantizers.lsq, codebase_quantizers.lsq_alpha]
)
def test_layers_that_compute_in_16_bits_are_refused(make):
    table = find_binary_layers(nn.Sequential(make(), make().to(torch.bfloat16)))
    assert table["binary"].tolist()[0]
    assert not table["binary"].tolist()[-1]
    says(table["why"].iloc[-1], "computes its states in 16 bits", "weight.float()")


def test_the_forward_pass_tells_layers_that_compute_in_16_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_registered", list(registry._registered))

    class Own(codebase_quantizers.BitLinear):
        pass

    @ra.adapter("own", Own)
    def own(module):
        return ra.Quantizer.bitnet()

    torch.manual_seed(0)
    layer = Own(256, 64).to(torch.bfloat16)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    with pytest.raises(RecorderError, match=r"of them differ in the forward pass.*16 bits.*quantize weight\.float\(\)"):
        ra.record(layer, optimizer, tmp_path / "run", example=torch.randn(2, 256).to(torch.bfloat16))
    assert not (tmp_path / "run").exists()
