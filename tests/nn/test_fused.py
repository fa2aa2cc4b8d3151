"""The kernels for a GPU against the operations that they stand for."""

import itertools

import pytest
import torch

from recu_analysis.nn import BinaryConv2d, BinaryLinear, build_network
from recu_analysis.nn import functional as plain
from recu_analysis.nn.binarizer import Binarizer
from recu_analysis.nn.signs import _ScaledPolynomial, sign_straight_through
from tests.nn.outcomes import apart, gradients_given, outcome

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]

#: How far a gradient may be off, in units of the largest.
CLOSE = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 1e-2}


def close(first, second):
    far = (first.double() - second.double()).abs().max() / first.double().abs().max()
    return float(far) < CLOSE[first.dtype]


@pytest.mark.parametrize(("center", "clamp"), list(itertools.product([True, False], repeat=2)))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(64, 16, 3, 3), (7, 5000), (3, 9)])
@pytest.mark.parametrize("level", [0.6, 0.85, 1.0])
def test_signs_of_weights_and_their_gradient(shape, dtype, center, clamp, level):
    from recu_analysis.nn import fused

    torch.manual_seed(0)
    first = (torch.randn(shape, dtype=dtype) + 0.1).cuda().requires_grad_()
    second = first.detach().clone().requires_grad_()
    tau = torch.tensor(level).cuda()
    values = plain.standardize(first, center=center, target=1.3)
    expected = sign_straight_through(plain.recu(values, tau) if clamp else values)
    found = fused.sign_of_weights(second, tau, Binarizer(center=center, scale=1.3, clamp=clamp))
    tau.fill_(0.7)  # the gradient is that of the forward pass
    gradient = torch.randn_like(expected)
    expected.backward(gradient)
    found.backward(gradient)
    assert torch.equal(expected, found)
    assert close(first.grad, second.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_signs_of_activations_and_their_gradient(dtype, layout):
    from recu_analysis.nn import fused

    torch.manual_seed(0)
    values = (torch.randn(5, 12, 31, 33) + 0.2).to(dtype).cuda().to(memory_format=layout)
    first, second = values.clone().requires_grad_(), values.clone().requires_grad_()
    expected, found = _ScaledPolynomial.apply(first), fused.sign_scaled(second)
    gradient = torch.randn_like(expected).contiguous()
    expected.backward(gradient)
    found.backward(gradient)
    assert torch.equal(expected, found)
    assert close(first.grad, second.grad)


def gradients_of(layer, values, gradient, *, fused, monkeypatch):
    """Outcome of a layer, by the kernels or by the operations that they stand for."""
    with monkeypatch.context() as patch:
        if not fused:
            patch.setattr("recu_analysis.nn.layers.fused_for", lambda _: None)
            patch.setattr("recu_analysis.nn.signs.fused_for", lambda _: None)
        return outcome(layer, values, gradient)


@pytest.mark.parametrize("changed", [{}, {"alpha": "none"}, {"clamp": False}, {"center": False}, {"scale": 0.7}])
@pytest.mark.parametrize(
    "geometry", [{"padding": 1}, {"stride": 2, "padding": 1}, {"groups": 4}, {"dilation": 2, "padding": 2}]
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_convolution_at_once_is_its_parts(changed, geometry, layout, dtype, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    torch.manual_seed(0)
    layer = BinaryConv2d(12, 8, 3, **geometry, **changed).to("cuda", dtype).to(memory_format=layout)
    values = (torch.randn(5, 12, 15, 17) + 0.2).to("cuda", dtype).to(memory_format=layout)
    gradient = torch.randn_like(layer(values))
    expected, found = (gradients_of(layer, values, gradient, fused=on, monkeypatch=monkeypatch) for on in (False, True))
    for one, other in zip(expected, found, strict=True):
        assert apart(one, other) < CLOSE[dtype]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_convolution_under_autocast_is_its_parts(dtype, monkeypatch):
    torch.manual_seed(0)
    layer = BinaryConv2d(16, 32, 3, padding=1).cuda()
    values, gradient = (torch.randn(8, channels, 14, 14).to("cuda", dtype) for channels in (16, 32))
    with torch.autocast("cuda", torch.bfloat16):
        expected, found = (
            gradients_of(layer, values, gradient, fused=on, monkeypatch=monkeypatch) for on in (False, True)
        )
    assert torch.equal(expected[0], found[0])
    for one, other in zip(expected, found, strict=True):
        assert one.dtype == other.dtype
        assert apart(one, other) < CLOSE[torch.bfloat16]


def test_activations_that_start_anywhere():
    torch.manual_seed(0)
    layer = BinaryConv2d(4, 8, 3).cuda()
    aligned = torch.randn(2, 4, 6, 6).cuda()
    odd = torch.empty(aligned.numel() + 1, device="cuda")[1:].view(aligned.shape).copy_(aligned)
    assert odd.data_ptr() % 16
    expected, *others = (layer(values) for values in (aligned, odd, aligned, odd))
    assert all(torch.equal(expected, other) for other in others)


def test_a_level_may_stay_on_the_cpu():
    torch.manual_seed(0)
    layer = BinaryConv2d(4, 8, 3).cuda()
    values, gradient = torch.randn(2, 4, 6, 6).cuda(), torch.randn(2, 8, 4, 4).cuda()
    expected = outcome(layer, values, gradient)
    layer.tau = layer.tau.cpu()
    assert all(torch.equal(*pair) for pair in zip(expected, outcome(layer, values, gradient), strict=True))


def test_the_kernels_follow_a_layer_to_another_dtype():
    torch.manual_seed(0)
    layer = BinaryConv2d(4, 8, 3).cuda()
    values = torch.randn(2, 4, 6, 6).cuda()
    first = layer(values)
    again = layer.double()(values.double())
    torch.testing.assert_close(first.double(), again, rtol=1e-5, atol=1e-5)
    assert torch.equal(first, layer.float()(values))


@pytest.mark.parametrize("wanted", list(itertools.product([True, False], repeat=3)))
def test_only_the_gradients_that_are_asked_for(wanted):
    assert gradients_given(wanted, "cuda") == wanted


def test_a_linear_layer_is_that_on_a_cpu():
    torch.manual_seed(0)
    there, here = BinaryLinear(40, 8), BinaryLinear(40, 8).cuda()
    here.load_state_dict(there.state_dict())
    values = torch.randn(6, 40)
    outputs = there(values), here(values.cuda())
    torch.testing.assert_close(outputs[0], outputs[1].cpu(), rtol=1e-5, atol=1e-5)
    for output in outputs:
        output.square().sum().backward()
    assert close(there.weight.grad, here.weight.grad.cpu())


@pytest.mark.parametrize(
    "changed", [{}, {"clamp": False}, {"center": False}, {"mask": "random"}, {"alpha": "analytic"}]
)
def test_a_layer_on_a_gpu_is_that_on_a_cpu(changed):
    torch.manual_seed(0)
    there = BinaryConv2d(8, 16, 3, padding=1, **changed)
    here = BinaryConv2d(8, 16, 3, padding=1, **changed).cuda()
    here.load_state_dict(there.state_dict())
    values = torch.randn(4, 8, 9, 9)
    outputs = there(values), here(values.cuda())
    torch.testing.assert_close(outputs[0], outputs[1].cpu(), rtol=1e-5, atol=1e-5)
    for output in outputs:
        output.square().sum().backward()
    if changed.get("mask") != "random":
        assert close(there.weight.grad, here.weight.grad.cpu())


def test_a_network_takes_the_kernels_under_autocast_and_compiles_without(monkeypatch):
    from recu_analysis.nn import fused

    calls = []
    kept = fused.convolve
    monkeypatch.setattr(fused, "convolve", lambda *a, **b: calls.append(1) or kept(*a, **b))
    torch.manual_seed(0)
    model = build_network("resnet20").cuda()
    images = torch.randn(8, 3, 32, 32).cuda()
    with torch.autocast("cuda", torch.bfloat16):
        model(images).float().square().sum().backward()
    assert len(calls) == 18
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    eager = model(images)
    calls.clear()
    compiled = torch.compile(model, dynamic=False, backend="aot_eager")(images)
    assert not calls
    torch.testing.assert_close(eager, compiled, rtol=1e-3, atol=1e-3)
