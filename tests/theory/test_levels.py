"""Quantizers against plain float64 loops, PyTorch's own formulas, closed forms and hostile input."""

import math

import numpy as np
import pytest
import torch

from recu_analysis.errors import InputError
from recu_analysis.theory.levels import Quantizer
from recu_analysis.theory.ternary import ternary

SHAPE = (4, 3, 4)
QUANTIZERS = {
    "sign": Quantizer(),
    "bitnet": Quantizer.bitnet(),
    "bitnet of channels": Quantizer.bitnet("channel"),
    "bitnet of groups": Quantizer.bitnet(6),
    "twn": Quantizer.twn(),
    "fixed": Quantizer("ternary", group="tensor", step=0.4),
    "learned": Quantizer("uniform", -4, 3, step=[0.1, 0.2, 0.3, 0.7]),
    "maxabs": Quantizer.of_bits(4, rule="maxabs", group=4),
    "minmax": Quantizer.of_bits(2, signed=False, rule="minmax"),
    "8 bits": Quantizer("uniform", -128, 127, rule="maxabs", group="channel"),
}


def weights(seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(0.1, 0.5, SHAPE).astype(dtype)


def plain(quantizer, weight):
    """States and offsets of float64 weights by a loop over groups, weights and thresholds.

    The offset of a weight in the middle of two thresholds is NaN: rounding decides which of them is the nearest.
    """
    width = {"tensor": weight.size, "channel": weight.size // len(weight)}.get(quantizer.group, quantizer.group)
    rows = weight.reshape(-1, width)
    states, offsets = [], []
    for number, row in enumerate(rows):
        deviation, zero = math.sqrt(sum((w - sum(row) / len(row)) ** 2 for w in row) / (len(row) - 1)), 0
        if quantizer.kind == "sign":
            step = 0.0
        elif quantizer.rule == "absmean":
            step = max(sum(map(abs, row)) / len(row), quantizer.least) * quantizer.factor
        elif quantizer.rule == "maxabs":
            step = max(map(abs, row)) / quantizer.high
        elif quantizer.rule == "minmax":
            least = min(0.0, *row)
            step = (max(0.0, *row) - least) / (quantizer.high - quantizer.low)
            zero = quantizer.low - round(least / step)
        else:
            step = np.broadcast_to(quantizer.step, len(rows))[number]
        at = {"sign": [0.0], "ternary": [-step, step]}.get(quantizer.kind) or [
            step * (q + 0.5 - zero) for q in range(quantizer.low, quantizer.high)
        ]
        for w in row:
            states.append(quantizer.levels[sum(w > each for each in at)])
            near = sorted((w - each for each in at), key=abs)[:2]
            tied = len(near) == 2 and math.isclose(near[0], -near[1], rel_tol=1e-9)
            offsets.append(math.nan if tied else near[0] / deviation)
    return np.reshape(states, weight.shape), np.reshape(offsets, weight.shape)


@pytest.mark.parametrize("name", QUANTIZERS)
def test_a_plain_loop_agrees(name):
    quantizer, weight = QUANTIZERS[name], weights()
    states, offsets = plain(quantizer, weight)
    np.testing.assert_array_equal(quantizer.states(weight), states)
    apart, offset = ~np.isnan(offsets), quantizer.offset(weight)
    assert apart.mean() > 0.9
    np.testing.assert_allclose(offset[apart], offsets[apart], rtol=1e-9)
    np.testing.assert_array_equal(quantizer.distance(weight), np.abs(offset))
    assert set(np.unique(states)) <= set(quantizer.levels)
    assert len(quantizer.levels) == quantizer.count
    step, zero = quantizer.steps(weight)
    thresholds = quantizer.thresholds(step, zero)
    assert thresholds.shape == (quantizer.groups(SHAPE), quantizer.count - 1)
    assert (np.diff(thresholds, axis=1) > 0).all()
    if quantizer.kind == "uniform":  # no weight is farther than half a step from its value, inside the range
        inside = (states > quantizer.low) & (states < quantizer.high)
        off = np.abs(quantizer.values(weight) - weight).reshape(len(step), -1) / step[:, None]
        assert (off[inside.reshape(off.shape)] <= 0.5 + 1e-9).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ties_are_those_of_the_networks_own_formulas(dtype):
    generator = torch.Generator().manual_seed(1)
    # Multiples of a quarter, with a mean of 1/2: many weights are exactly at a threshold.
    weight = (torch.randint(-6, 7, (64, 64), generator=generator) / 4).to(dtype)
    scale = 1.0 / weight.abs().mean().clamp_(min=1e-5)
    bitnet = (weight * scale).round().clamp(-1, 1)
    step = float(weight.abs().mean())
    np.testing.assert_array_equal(Quantizer.bitnet().states(weight.numpy(), step), bitnet.numpy())
    lsq = (weight / 0.5).clamp(-4, 3).round()
    np.testing.assert_array_equal(Quantizer("uniform", -4, 3, step=0.5).states(weight.numpy()), lsq.numpy())
    threshold = 0.75
    twn = (weight > threshold).int() - (weight < -threshold).int()
    np.testing.assert_array_equal(Quantizer("ternary", step=threshold).states(weight.numpy()), twn.numpy())
    ties = ((weight / 0.5).frac().abs() == 0.5).sum()
    assert ties > 1000


def test_fake_quantization_of_pytorch_agrees():
    weight = torch.from_numpy(weights(3, np.float32)).reshape(4, 12)
    quantizer = Quantizer.of_bits(4, signed=False, rule="minmax", group="tensor")
    step, zero = quantizer.steps(weight.numpy())
    used = torch.fake_quantize_per_tensor_affine(weight, float(step[0]), int(zero[0]), 0, 15)
    found = Quantizer("uniform", 0, 15, group="tensor", inverse=True).values(weight.numpy(), step, zero)
    np.testing.assert_allclose(found, used.numpy(), rtol=1e-6)


def test_the_error_is_that_of_the_closed_form():
    sample = np.random.default_rng(2).laplace(scale=0.7, size=(1, 400_000))
    expected = ternary(0.7, 0.7)
    assert Quantizer.twn().error(sample) == pytest.approx(expected.error, rel=0.02)
    assert np.abs(Quantizer.twn().values(sample)).max() == pytest.approx(expected.scale, rel=0.01)
    assert Quantizer.bitnet().error(sample) == pytest.approx(ternary(0.5, 0.7).absmean_error, rel=0.02)
    assert Quantizer().error(sample) == pytest.approx(ternary(0.0, 0.7).error, rel=0.02)


def test_weights_that_are_not_numbers_and_groups_of_equal_weights():
    weight = np.array([[math.nan, 1.0, math.inf, -math.inf]], np.float32)
    assert Quantizer("uniform", -2, 1, step=0.5).states(weight).tolist() == [[1, 1, 1, -2]]
    assert Quantizer("ternary", step=0.5).states(weight).tolist() == [[0, 1, 1, -1]]
    assert Quantizer().states(weight).tolist() == [[1, 1, 1, -1]]
    assert Quantizer.bitnet().distance(np.ones((2, 4))).tolist() == [[0.0] * 4] * 2
    assert Quantizer.bitnet().states(np.zeros((2, 4))).tolist() == [[0] * 4] * 2


@pytest.mark.parametrize("name", QUANTIZERS)
def test_fields_survive_json(name):
    quantizer = QUANTIZERS[name]
    again = Quantizer.from_dict(quantizer.to_dict())
    assert again == quantizer
    assert again.step is None


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Quantizer("binary"), "kind of a quantizer.*'binary'.*sign, ternary, uniform"),
        (lambda: Quantizer("ternary", rule="max"), "rule of a quantizer.*'max'.*absmean"),
        (lambda: Quantizer.of_bits(9), "2 to 8 bits, not 9"),
        (lambda: Quantizer.of_bits(1), "not 1; for one bit, use the sign"),
        (lambda: Quantizer("uniform", 0, 256), "2 to 256 of them.*from 0 to 256"),
        (lambda: Quantizer("uniform", 1, 1), "from 1 to 1"),
        (lambda: Quantizer("ternary", -2, 1), "low=-1 and high=1, not -2 and 1"),
        (lambda: Quantizer("ternary", rule="minmax"), "absmean or given, not by minmax"),
        (lambda: Quantizer("uniform", -4, 0, "maxabs"), "at least 1, not 0"),
        (lambda: Quantizer.twn(math.nan), "factor.*positive number, not nan"),
        (lambda: Quantizer(least=-1.0), "least scale.*not -1"),
        (lambda: Quantizer.bitnet(0), "'tensor', 'channel' or a number of weights, not 0"),
        (lambda: Quantizer.bitnet(5).states(weights()), "5 weights do not divide the 12 weights"),
        (lambda: Quantizer.of_bits(2).states(weights()), "has none; give step="),
        (lambda: Quantizer("ternary", step=0.0).states(weights()), "positive number, not 0"),
        (lambda: Quantizer("ternary", step=[0.1, math.nan, 1, 1]).steps(weights()), r"not nan \(scale group 1\)"),
        (lambda: Quantizer("ternary", step=[0.1, 0.2]).steps(weights()), "2 steps for 4 scale groups"),
        (lambda: Quantizer("uniform", step=1.0, zero=0.5).steps(weights()), "whole numbers"),
        (lambda: Quantizer().states(["a"]), "weights must be real numbers"),
        (lambda: Quantizer().states(1.0), "need an output channel"),
        (lambda: Quantizer.from_dict({"kind": "ternary"}), "must have the fields kind, low"),
        (lambda: Quantizer.from_dict(Quantizer.bitnet().to_dict() | {"low": True}), "must have the fields"),
    ],
)
def test_what_is_refused(make, text):
    with pytest.raises(InputError, match=text):
        make()
