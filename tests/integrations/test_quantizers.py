"""Layers of other libraries with more than two levels: recorded states are those of their own forward pass."""

import importlib.util
import itertools
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

import recu_analysis as ra

pytestmark = [pytest.mark.extras, pytest.mark.filterwarnings("ignore")]  # the libraries' warnings are not ours

UPDATES = 8


def checked(tmp_path, layer, quantize, adapter, example):
    """Train a layer, and compare the recorded states and flips with those of its own quantized weight."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.02, momentum=0.9)
    history = [quantize()]
    with ra.record(layer, optimizer, tmp_path / "run", example=example) as recorder:
        for number in range(UPDATES):
            generator = torch.Generator().manual_seed(number)
            optimizer.zero_grad()
            batch = torch.randn(example.shape, generator=generator).to(example)
            (layer(batch) * torch.randn(layer(batch).shape, generator=generator)).sum().backward()
            optimizer.step()
            history.append(quantize())
        recorder.mark()
    run = ra.open_run(tmp_path / "run")
    (spec,) = run.header.layers
    assert (spec.adapter, spec.verified, spec.differs) == (adapter, True, 0.0)
    changes = np.stack([now != before for before, now in itertools.pairwise(history)])
    assert changes.any(), "a test without flips would say nothing"
    record = run.window(1)[spec.name]
    np.testing.assert_array_equal(record.states, history[-1])
    np.testing.assert_array_equal(record.flips, changes.sum(axis=0))
    return spec


def test_bitnet_training_of_torchao(tmp_path):
    quantize_ = pytest.importorskip("torchao.quantization").quantize_
    bitnet = importlib.import_module("torchao.prototype.quantized_training.bitnet")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 24))
    quantize_(model, bitnet.BitNetTrainingConfig())

    def quantize():
        values = model[0].weight._data.detach()
        return bitnet.quantize_bitnet_weight(values, bitnet.get_bitnet_scale(values)).numpy()

    spec = checked(tmp_path, model, quantize, "torchao-bitnet", torch.randn(17, 32))
    assert spec.quantizer.levels == (-1, 0, 1)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("options", [{"group_size": 8}, {"granularity": "per_channel"}])
@pytest.mark.parametrize("kind", ["int4", "int8", "int2"])
def test_quantization_aware_training_of_torchao(tmp_path, kind, options, symmetric):
    qat = pytest.importorskip("torchao.quantization.qat")
    primitives = importlib.import_module("torchao.quantization.quant_primitives")
    linear = importlib.import_module("torchao.quantization.qat.linear")
    torch.manual_seed(0)
    config = qat.IntxFakeQuantizeConfig(getattr(torch, kind), is_symmetric=symmetric, **options)
    layer = linear.FakeQuantizedLinear(24, 16, weight_config=config)

    def quantize():
        layer.weight_fake_quantizer(layer.weight)
        scale, zero = layer.weight_fake_quantizer.scale, layer.weight_fake_quantizer.zero_point
        low, high = primitives._DTYPE_TO_QVALUE_BOUNDS[getattr(torch, kind)]
        block = (1, 24 // scale.shape[1])
        found = primitives._quantize_affine_no_dtype_cast(layer.weight, block, scale, zero, low, high)
        return found.detach().numpy().astype(int)

    checked(tmp_path, layer, quantize, "torchao-qat", torch.randn(5, 24))


def test_what_of_torchao_is_refused():
    qat = pytest.importorskip("torchao.quantization.qat")
    linear = importlib.import_module("torchao.quantization.qat.linear")
    config = qat.IntxFakeQuantizeConfig(torch.int4, group_size=8)
    off = linear.FakeQuantizedLinear(24, 16, weight_config=config)
    linear.disable_linear_fake_quant(off)
    configs = importlib.import_module("torchao.quantization.qat.fake_quantize_config")
    other = linear.FakeQuantizedLinear(24, 16, weight_config=configs.Int4WeightFakeQuantizeConfig(group_size=8))
    table = ra.find_binary_layers(nn.Sequential(off, other, linear.FakeQuantizedLinear(24, 16)))
    assert not table["binary"].any()
    assert "is off" in table["why"][0]
    assert "Int4WeightFakeQuantizer" in table["why"][1]


@pytest.mark.parametrize("kind", ["tensor", "channel", "4 bits", "learned", "ternary", "conv"])
def test_brevitas(tmp_path, kind):
    qnn, quant = pytest.importorskip("brevitas.nn"), pytest.importorskip("brevitas.quant")
    torch.manual_seed(0)
    options = {
        "tensor": {},
        "channel": {"weight_quant": quant.Int8WeightPerChannelFloat},
        "4 bits": {"weight_bit_width": 4},
        "learned": {"weight_bit_width": 3, "weight_scaling_impl_type": "parameter_from_stats"},
        "ternary": {"weight_quant": quant.SignedTernaryWeightPerTensorConst, "weight_scaling_const": 0.2},
        "conv": {"weight_quant": quant.Int8WeightPerChannelFloat, "weight_bit_width": 4},
    }[kind]
    layer = qnn.QuantConv2d(3, 8, 3, **options) if kind == "conv" else qnn.QuantLinear(12, 8, bias=False, **options)
    example = torch.randn(2, 3, 6, 6) if kind == "conv" else torch.randn(5, 12)

    def quantize():
        used, scale, zero, _ = layer.weight_quant.tensor_quant(layer.weight)
        return (used / scale + zero).round().detach().numpy().astype(int)

    checked(tmp_path, layer, quantize, "brevitas", example)


def test_signs_of_brevitas_and_what_is_refused():
    qnn, quant = pytest.importorskip("brevitas.nn"), pytest.importorskip("brevitas.quant")
    sign = qnn.QuantLinear(12, 8, bias=False, weight_quant=quant.SignedBinaryWeightPerTensorConst)
    shifted = qnn.QuantLinear(12, 8, bias=False, weight_quant=quant.ShiftedUint8WeightPerTensorFloat)
    real = qnn.QuantLinear(12, 8, bias=False, weight_quant=None)
    table = ra.find_binary_layers(nn.Sequential(sign, shifted, real))
    assert table["binary"].tolist() == [True, False, False]
    assert "zero points before rounding" in table["why"][1]


def test_bitnet_of_its_package_is_binary(tmp_path, monkeypatch):
    spec = importlib.util.find_spec("bitnet")
    if spec is None:
        pytest.skip("the package bitnet is not installed")
    # The package imports another one for its normalization, which needs much more.
    norm = ModuleType("zeta.nn.modules.simple_rmsnorm")
    norm.SimpleRMSNorm = lambda width: nn.RMSNorm(width, elementwise_affine=False)
    for name in ("zeta", "zeta.nn", "zeta.nn.modules"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, norm.__name__, norm)
    found = importlib.util.spec_from_file_location("bitlinear", f"{spec.submodule_search_locations[0]}/bitlinear.py")
    code = importlib.util.module_from_spec(found)
    found.loader.exec_module(code)
    torch.manual_seed(0)
    layer = code.BitLinear(12, 8)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.02)
    with ra.record(layer, optimizer, tmp_path / "run", example=torch.randn(2, 12)) as recorder:
        layer(torch.randn(2, 12)).sum().backward()
        optimizer.step()
        recorder.mark()
    (spec,) = ra.open_run(tmp_path / "run").header.layers
    assert (spec.adapter, spec.quantizer.binary, spec.verified) == ("bitnet", True, True)
