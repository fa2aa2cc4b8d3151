"""The kernels for a GPU against the operations that they stand for."""

import itertools

import pytest
import torch

from recu_analysis.nn import BinaryConv2d, build_network
from recu_analysis.nn import functional as plain
from recu_analysis.nn.signs import _ScaledPolynomial, sign_straight_through

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

#: How far a gradient may be off, in units of the largest.
CLOSE = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 1e-2}


def close(first, second):
    far = (first.double() - second.double()).abs().max() / first.double().abs().max()
    return float(far) < CLOSE[first.dtype]


@pytest.mark.parametrize(("centre", "clamp"), list(itertools.product([True, False], repeat=2)))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(64, 16, 3, 3), (7, 5000), (3, 9)])
@pytest.mark.parametrize("level", [0.6, 0.85, 1.0])
def test_signs_of_weights_and_their_gradient(shape, dtype, centre, clamp, level):
    from recu_analysis.nn import fused

    torch.manual_seed(0)
    first = (torch.randn(shape, dtype=dtype) + 0.1).cuda().requires_grad_()
    second = first.detach().clone().requires_grad_()
    tau = torch.tensor(level).cuda()
    values = plain.standardise(first, centre=centre, target=1.3)
    expected = sign_straight_through(plain.recu(values, tau) if clamp else values)
    found = fused.sign_of_weights(second, tau, centre=centre, target=1.3, eps=plain.EPS, clamp=clamp)
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_layer_at_once_is_its_activations_and_its_weights(dtype, layout):
    from recu_analysis.nn import fused

    torch.manual_seed(0)
    values = (torch.randn(5, 12, 31, 33) + 0.2).to(dtype).cuda().to(memory_format=layout)
    weight = (torch.randn(7, 12, 3, 3) + 0.1).to(torch.promote_types(dtype, torch.float32)).cuda()
    weight = weight.to(memory_format=layout)
    first, second = ((values.clone().requires_grad_(), weight.clone().requires_grad_()) for _ in range(2))
    tau, told = torch.tensor(0.8).cuda(), {"centre": True, "target": 2.0, "eps": plain.EPS, "clamp": True}
    expected = fused.sign_scaled(first[0]), fused.sign_of_weights(first[1], tau, **told)
    found = fused.layer_signs(*second, tau, **told)
    gradients = [torch.randn_like(signs).contiguous() for signs in expected]
    torch.autograd.backward(expected, gradients)
    torch.autograd.backward(found, gradients)
    for one, other, source, copy in zip(expected, found, first, second, strict=True):
        assert torch.equal(one, other)
        assert close(source.grad, copy.grad)


@pytest.mark.parametrize(
    "changed", [{}, {"clamp": False}, {"centre": False}, {"mask": "random"}, {"alpha": "analytic"}]
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
    kept = fused.layer_signs
    monkeypatch.setattr(fused, "layer_signs", lambda *a, **b: calls.append(1) or kept(*a, **b))
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
