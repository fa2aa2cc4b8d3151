"""The kernels for a GPU in Triton's interpreter, where there is none: against the operations that they stand for."""

import contextlib
import itertools
import math
import os

import numpy as np
import pytest
import torch

from recu_analysis.capture.accumulate import CpuAccumulator
from recu_analysis.capture.kernel import FOLD_EVERY
from recu_analysis.nn import BinaryConv2d, BinaryLinear
from recu_analysis.nn import functional as plain
from recu_analysis.nn.binarizer import Binarizer
from recu_analysis.nn.signs import sign_scaled, sign_straight_through
from tests.nn.outcomes import apart, gradients_given, outcome

pytestmark = [
    pytest.mark.extras,
    pytest.mark.skipif(
        os.environ.get("TRITON_INTERPRET") != "1", reason="Triton interprets where TRITON_INTERPRET=1 is set beforehand"
    ),
    pytest.mark.filterwarnings("ignore"),  # the interpreter's warnings are not ours
]

CLOSE = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 2e-2}


@pytest.fixture
def fused(monkeypatch):
    """`recu_analysis.nn.fused` on the CPU, a few values at a time."""
    pytest.importorskip("triton")
    from recu_analysis.nn import fused

    monkeypatch.setattr(torch.cuda, "current_device", lambda: None)
    monkeypatch.setattr(torch.cuda, "device", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(fused, "MOST_AT_ONCE", 64)
    return fused


def assert_near(first, second):
    """Equal to rounding, in units of the largest value."""
    assert first.dtype == second.dtype
    far = (first.double() - second.double()).abs().max()
    assert float(far) < CLOSE[first.dtype] * (0.3 + float(first.double().abs().max()))


@pytest.mark.parametrize(("center", "clamp"), list(itertools.product([True, False], repeat=2)))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(5, 3, 3, 3), (7, 130), (1, 2)])
@pytest.mark.parametrize("level", [0.6, 0.85, 1.0])
def test_signs_of_weights_and_their_gradient(shape, dtype, center, clamp, level, fused):
    torch.manual_seed(0)
    first = (torch.randn(shape, dtype=dtype) + 0.1).requires_grad_()
    second = first.detach().clone().requires_grad_()
    tau, gradient = torch.tensor(level), torch.randn(shape, dtype=dtype)
    values = plain.standardize(first, center=center, target=1.3)
    expected = sign_straight_through(plain.recu(values, tau) if clamp else values)
    found = fused.sign_of_weights(second, tau, Binarizer(center=center, scale=1.3, clamp=clamp))
    tau.fill_(0.7)  # the gradient is that of the forward pass
    for signs in (expected, found):
        signs.backward(gradient)
    assert torch.equal(expected, found)
    assert_near(first.grad, second.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(4, 3, 5, 5), (2, 130), (3, 2)])
def test_signs_of_activations_and_their_gradient(shape, dtype, fused):
    torch.manual_seed(0)
    first = (torch.randn(shape) + 0.2).to(dtype).requires_grad_()
    second, gradient = first.detach().clone().requires_grad_(), torch.randn(shape).to(dtype)
    expected, found = sign_scaled(first), fused.sign_scaled(second)
    for signs in (expected, found):
        signs.backward(gradient)
    assert torch.equal(expected, found)
    assert_near(first.grad, second.grad)


def both(layer, values, gradient, fused, monkeypatch, context=contextlib.nullcontext):
    """Outcomes of a layer by plain operations and by the kernels."""
    with context():
        expected = outcome(layer, values, gradient)
        monkeypatch.setattr("recu_analysis.nn.layers.fused_for", lambda _: fused)
        monkeypatch.setattr("recu_analysis.nn.signs.fused_for", lambda _: fused)
        return expected, outcome(layer, values, gradient)


@pytest.mark.parametrize("changed", [{}, {"alpha": "none"}, {"clamp": False}, {"center": False}, {"scale": 0.7}])
@pytest.mark.parametrize(
    "geometry", [{"stride": (2, 1), "padding": (0, 1)}, {"groups": 3}, {"dilation": 2, "padding": 2}]
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_convolution(changed, geometry, layout, dtype, fused, monkeypatch):
    torch.manual_seed(0)
    layer = BinaryConv2d(3, 6, 3, **geometry, **changed).to(dtype).to(memory_format=layout)
    values = torch.randn(4, 3, 7, 6, dtype=dtype).to(memory_format=layout)
    gradient = torch.randn_like(layer(values))
    convolve, calls = fused.convolve, []
    monkeypatch.setattr(fused, "convolve", lambda *arguments: calls.append(1) or convolve(*arguments))
    for one, other in zip(*both(layer, values, gradient, fused, monkeypatch), strict=True):
        assert_near(one, other)
    assert calls


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("changed", [{}, {"alpha": "none"}])
def test_a_convolution_under_autocast(changed, dtype, fused, monkeypatch):
    torch.manual_seed(0)
    layer = BinaryConv2d(8, 16, 3, padding=1, **changed)
    values, gradient = torch.randn(4, 8, 9, 9).to(dtype), torch.randn(4, 16, 9, 9)
    monkeypatch.setattr(fused, "_autocast", lambda _: torch.bfloat16)
    outcomes = both(layer, values, gradient, fused, monkeypatch, lambda: torch.autocast("cpu", torch.bfloat16))
    assert torch.equal(outcomes[0][0], outcomes[1][0])
    for one, other in zip(*outcomes, strict=True):
        assert one.dtype == other.dtype
        assert apart(one, other) < 1e-2


@pytest.mark.parametrize("wanted", list(itertools.product([True, False], repeat=3)))
def test_only_the_gradients_that_are_asked_for(wanted, fused, monkeypatch):
    monkeypatch.setattr("recu_analysis.nn.layers.fused_for", lambda _: fused)
    assert gradients_given(wanted, "cpu") == wanted


def test_a_convolution_that_the_kernel_cannot_do_at_once(fused, monkeypatch):
    monkeypatch.setattr(fused, "convolve", None)
    values, gradient = torch.randn(2, 3, 6, 6), torch.randn(2, 6, 6, 6)
    for options in ({"padding": "same"}, {"padding": 1, "padding_mode": "circular"}, {"padding": 1, "zero": "authors"}):
        layer = BinaryConv2d(3, 6, 3, **options)
        with monkeypatch.context() as patch:
            for one, other in zip(*both(layer, values, gradient, fused, patch), strict=True):
                assert_near(one, other)


def test_a_linear_layer(fused, monkeypatch):
    torch.manual_seed(0)
    outcomes = both(BinaryLinear(40, 8), torch.randn(6, 40), torch.randn(6, 8), fused, monkeypatch)
    for one, other in zip(*outcomes, strict=True):
        assert_near(one, other)


@pytest.mark.parametrize(("shape", "center"), [((6, 4, 3, 3), True), ((4, 150), False), ((6, 1), True)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.usefixtures("fused")
def test_recording(shape, center, dtype):
    from recu_analysis.capture.cuda import CudaAccumulator

    torch.manual_seed(0)
    weight = torch.randn(shape, dtype=dtype)
    weight[1] = 0.5
    sums = [kind(weight, center=center) for kind in (CpuAccumulator, CudaAccumulator)]
    for update in range(1, 2 * FOLD_EVERY):
        weight = weight + 0.2 * torch.randn(shape, dtype=dtype)
        weight[1] = 0.1 * update
        weight[2] *= update != 7
        for each in sums:
            each.advance(weight, update)
    first, second = (each.take() for each in sums)
    for name in ("weight", "flipped", "flips", "first_flip", "last_flip"):
        np.testing.assert_array_equal(first[name], second[name])
    for name in ("path", "zpath"):
        np.testing.assert_allclose(first[name], second[name], rtol=1e-6)
    assert not second["zpath"][1].any() or not center


@pytest.mark.usefixtures("fused")
def test_small_steps_after_a_large_one_are_not_lost():
    from recu_analysis.capture.cuda import CudaAccumulator

    small = 2.0**-25
    rest, moved = torch.zeros(2, 4), torch.zeros(2, 4)
    moved[:, 1] = small
    sums = CudaAccumulator(rest + 1.0, center=True)
    for update in range(1, 102):
        sums.advance(rest if update % 2 else moved, update)
    np.testing.assert_allclose(sums.take()["path"][:, 1], math.fsum([1.0, *[small] * 100]), rtol=1e-6)


@pytest.mark.usefixtures("fused")
def test_recording_goes_on_from_its_state():
    from recu_analysis.capture.cuda import CudaAccumulator

    generator = torch.Generator().manual_seed(0)
    states = [torch.randn(3, 5, generator=generator) for _ in range(FOLD_EVERY + 8)]
    whole = CudaAccumulator(states[0], center=True)
    resumed = {}
    for update, weight in enumerate(states[1:], start=1):
        if update % 4 == 0:
            resumed[update] = CudaAccumulator(states[update - 1], center=True)
            resumed[update].load(whole.state())
        for sums in (whole, *resumed.values()):
            sums.advance(weight, update)
    taken = whole.take()
    for sums in resumed.values():
        for name, array in sums.take().items():
            assert array.tobytes() == taken[name].tobytes(), name
