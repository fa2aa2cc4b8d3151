"""Every known codebase: the recorded sign is the one that its own forward pass uses."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import recu_analysis as ra
from recu_analysis import find_binary_layers
from recu_analysis.capture.adapters import binary_layers
from recu_analysis.errors import InputError, NoBinaryLayersError
from recu_analysis.nn import BinaryConv2d
from recu_analysis.theory.standardize import WeightTransform
from tests.capture import codebase_layers as codebases
from tests.capture.plain_loops import shake
from tests.messages import says

UPDATES = 12


def used_signs(layer, monkeypatch):
    """Signs, True for +1, of the weight that the layer's own forward pass gives to its convolution or product."""
    seen = []
    with monkeypatch.context() as patch:
        for name in ("conv2d", "linear"):
            original = getattr(F, name)

            def spy(values, weight, *others, _original=original):
                seen.append(weight.detach().numpy().copy())
                return _original(values, weight, *others)

            patch.setattr(F, name, spy)
        binarized = layer.binarize() if isinstance(layer, codebases.BinConv2d) else None
        width = next(p for p in layer.parameters() if p.ndim >= 2).shape
        layer(torch.randn(1, 6) if len(width) == 2 and width[1] == 6 else torch.randn(1, 2, 4, 4))
        if binarized:
            binarized[0].data.copy_(binarized[1])
    assert len(seen) == 1
    return seen[0] >= 0


@pytest.mark.parametrize("codebase", codebases.LAYERS)
def test_recorded_signs_and_flips_are_those_of_the_forward_pass(codebase, tmp_path, monkeypatch):
    adapter, make = codebases.LAYERS[codebase]
    torch.manual_seed(1)
    layer = make()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    with ra.record(layer, optimizer, tmp_path / "run") as recorder:
        history = [used_signs(layer, monkeypatch)]
        for update in range(1, UPDATES + 1):
            shake(layer, optimizer, update)
            history.append(used_signs(layer, monkeypatch))
            if update in {5, UPDATES}:
                recorder.mark()
    run = ra.open_run(tmp_path / "run")
    (spec,) = run.header.layers
    assert (spec.adapter, spec.shape) == (adapter, history[0].shape)
    changes = np.stack([now != before for before, now in itertools.pairwise(history)])
    assert changes.any(), "a test without flips would say nothing"
    for window, (first, last) in zip(list(run.windows)[1:], ((0, 5), (5, UPDATES)), strict=True):
        record = window[spec.name]
        np.testing.assert_array_equal(spec.signs(record.operand), history[last])
        np.testing.assert_array_equal(record.flips, changes[first:last].sum(axis=0))
    assert (run.windows[1][spec.name].effective is None) == (spec.transform is not None)


def test_the_transform_says_what_the_layer_standardizes():
    layer = codebases.ir_net()
    (found,) = binary_layers(layer)
    rows = layer.weight.detach().double().flatten(1)
    expected = (rows - rows.mean(1, keepdim=True)) / rows.std(1, keepdim=True)
    np.testing.assert_allclose(
        found.transform.standardized(layer.weight.detach().numpy()).reshape(4, -1), expected.numpy(), rtol=1e-5
    )
    assert binary_layers(codebases.recu())[0].transform == WeightTransform(center=True, target=2.0, clamp=True)
    assert binary_layers(codebases.recu())[0].tau == pytest.approx(0.9)


def test_explicit_effective_weights_reach_the_tables(tmp_path, monkeypatch):
    torch.manual_seed(0)
    layer = codebases.rbnn()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    before = used_signs(layer, monkeypatch)
    with ra.record(layer, optimizer, tmp_path / "run") as recorder:
        for update in range(4):
            shake(layer, optimizer, update)
        recorder.mark()
    run = ra.open_run(tmp_path / "run")
    table = ra.layer_table(run)
    effective = run.windows[1][""].effective
    assert table["b_hat"].iloc[-1] == pytest.approx(np.abs(effective.astype(np.float64)).mean())
    assert table["c2i"].iloc[-1] == pytest.approx(1 - (used_signs(layer, monkeypatch) != before).mean())
    assert len(ra.dead_weights(run)) == len(ra.fit_table(run)) == 1


def test_one_name_several_meanings():
    model = nn.Sequential(
        codebases.recu(),
        codebases.rbnn(),
        codebases.reste(),
        codebases.bi_real(),
        codebases.reactnet(),
        codebases.bnext(),
    )
    table = find_binary_layers(model)
    assert table["adapter"].tolist() == ["recu", "rbnn", "binarize", "bi-real-flat", "reactnet", "bnext"]
    says(table["why"][2], "BinarizeConv2d of ReSTE or BinaryNet.pytorch", "sign of w")


def test_a_known_name_with_unknown_tensors_is_not_guessed():
    layer = codebases.plain_sign("BinarizeConv2d", gamma=torch.ones(1))(2, 4, 3)
    table = find_binary_layers(nn.Sequential(layer, codebases.recu()))
    assert table["binary"].tolist() == [False, True]
    says(table["why"][0], "BinarizeConv2d with bias, gamma, weight", "(binarize, rbnn, recu)")


def test_weights_that_were_quantized_before_are_refused_with_the_reason():
    model = nn.Sequential(codebases.autobit(online=False), codebases.packed(), codebases.bitnet())
    table = find_binary_layers(model)
    assert table["binary"].tolist() == [False, False, True]
    says(table["why"][0], "offline", "no latent weights", "online_quant=True")
    says(table["why"][1], "ternary", "packed", "no latent weights")
    with pytest.raises(NoBinaryLayersError, match=r"Sequential.*0: .*offline"):
        binary_layers(model[:2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bitnet_of_transformers_has_the_states_of_its_forward_pass(tmp_path, dtype):
    torch.manual_seed(1)
    layer = codebases.autobit().to(dtype)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)

    def states():
        weight = layer.weight.detach().float()
        return (weight * (1.0 / weight.abs().mean().clamp_(min=1e-5))).round().clamp(-1, 1).numpy()

    history = [states()]
    with ra.record(layer, optimizer, tmp_path / "run", example=torch.randn(2, 6).to(dtype)) as recorder:
        for update in range(1, UPDATES + 1):
            shake(layer, optimizer, update)
            history.append(states())
        recorder.mark()
    run = ra.open_run(tmp_path / "run")
    (spec,) = run.header.layers
    assert (spec.adapter, spec.verified, spec.differs) == ("bitnet-ternary", True, 0.0)
    changes = np.stack([now != before for before, now in itertools.pairwise(history)])
    assert changes.any()
    np.testing.assert_array_equal(run.window(1)[spec.name].states, history[-1])
    np.testing.assert_array_equal(run.window(1)[spec.name].flips, changes.sum(axis=0))


@pytest.mark.parametrize("scaled", [False, True])
def test_weights_that_were_already_binarised_are_refused(scaled):
    layer = codebases.reactnet()
    scale = torch.rand(4, 1, 1, 1) + 0.1 if scaled else 1.0
    layer.weight.data = layer.weight.data.sign() * scale
    with pytest.raises(NoBinaryLayersError, match="two values per channel"):
        binary_layers(nn.Sequential(layer))
    with pytest.raises(InputError, match=r"0: .*two values"):
        binary_layers(nn.Sequential(layer), ["0"])


def test_signs_that_a_forward_pass_left_are_told_from_what_is_lost():
    layer = codebases.binarynet_in_place()
    layer(torch.randn(1, 2, 4, 4))
    with pytest.raises(NoBinaryLayersError, match=r"weight\.org"):
        binary_layers(nn.Sequential(layer))
    layer.weight.data.copy_(layer.weight.org)
    assert len(binary_layers(nn.Sequential(layer))) == 1


def test_other_quantizers_of_bitorch_are_refused():
    class DoReFa(nn.Module):
        pass

    table = find_binary_layers(nn.Sequential(codebases.bitorch(quantizer=DoReFa()), BinaryConv2d(2, 4, 3)))
    says(table["why"][0], "DoReFa", "-1 and +1")


def test_zero_is_plus_one():
    layer = codebases.bitorch()
    layer.weight.data[0, 0, 0, 0] = 0.0
    (found,) = binary_layers(layer)
    assert found.spec.signs(layer.weight.detach().numpy())[0, 0, 0, 0]
    assert layer._weight_quantize(layer.weight)[0, 0, 0, 0] == 1.0
