"""Measured quantization and entropies against plain formulas, known entropies and scipy."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recu_analysis.errors import InputError
from recu_analysis.theory import blocks, empirical, quantization
from recu_analysis.theory.empirical import clamped_entropy, differential_entropy, quantized
from recu_analysis.theory.entropy import clamped_entropy as eq_17
from recu_analysis.theory.laplace import quantile

WEIGHT = np.random.default_rng(0).laplace(0.1, 1.5, size=(12, 5, 3, 3)) * np.linspace(0.5, 2, 12).reshape(-1, 1, 1, 1)
NAMES = ("b_hat", "bound", "clamped_fraction", "alpha", "error", "latent_error", "channel_alpha", "channel_error")


def by_hand(weights, tau):
    """The fields of Quantized, one plain numpy expression each."""
    w = np.asarray(weights, dtype=np.float64)
    b = np.mean(np.abs(w))
    bound = np.inf if tau == 1 else -b * np.log(2 - 2 * tau)
    c = np.clip(w, -bound, bound)
    signs = np.where(w < 0, -1.0, 1.0)
    alpha = np.mean(np.abs(c))
    rows = np.abs(c).reshape(len(c), -1)
    return {
        "b_hat": b,
        "bound": bound,
        "clamped_fraction": np.mean(np.abs(w) > bound),
        "alpha": alpha,
        "error": np.mean((c - alpha * signs) ** 2),
        "latent_error": np.mean((w - alpha * signs) ** 2),
        "channel_alpha": np.array([np.mean(row) for row in rows]),
        "channel_error": np.array([np.mean((row - np.mean(row)) ** 2) for row in rows]),
    }


@given(st.floats(0.5, 1.0, exclude_min=True), st.floats(1e-3, 1e3))
def test_equals_a_plain_formula_by_layer_and_by_channel(tau, unit):
    found, expected = quantized(WEIGHT * unit, tau), by_hand(WEIGHT * unit, tau)
    for name in NAMES:
        np.testing.assert_allclose(getattr(found, name), expected[name], rtol=1e-9, atol=1e-13 * unit**2, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8])
@pytest.mark.parametrize("layout", [lambda v: v, np.asfortranarray, lambda v: v[::-1, :, ::-1], lambda v: v.ravel()])
def test_any_dtype_and_layout(dtype, layout):
    weights = (WEIGHT * 20).astype(dtype)
    weights.flat[0] = -128
    found, expected = quantized(layout(weights), 0.85), by_hand(layout(weights), 0.85)
    for name in NAMES:
        np.testing.assert_allclose(getattr(found, name), expected[name], rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("size", [1, 45, 100, 10_000])
def test_it_does_not_matter_how_the_weights_are_cut(monkeypatch, size):
    monkeypatch.setattr(blocks, "_BLOCK", size)
    cut = list(blocks.blocks(WEIGHT.reshape(12, -1)))
    assert [start for start, _ in cut] == list(range(0, 12, max(1, size // 45)))
    np.testing.assert_array_equal(np.concatenate([block for _, block in cut]), WEIGHT.reshape(12, -1))
    found, expected = quantized(WEIGHT, 0.9), by_hand(WEIGHT, 0.9)
    for name in NAMES:
        np.testing.assert_allclose(getattr(found, name), expected[name], rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("tau", [0.6, 0.85, 0.99])
def test_laplace_weights_have_what_the_closed_forms_say(tau):
    weights = np.random.default_rng(1).laplace(scale=2.0, size=(100, 4000))
    found = quantized(weights, tau)
    assert found.clamped_fraction == pytest.approx(2 * (1 - tau), abs=0.004)
    assert found.alpha == pytest.approx(float(quantization.alpha(tau, 2.0)), rel=0.01)
    assert found.error == pytest.approx(float(quantization.exact(tau, 2.0)), rel=0.03)
    assert found.latent_error == pytest.approx(float(quantization.latent(tau, 2.0)), rel=0.03)
    entropy = clamped_entropy(np.sort(weights, axis=None), found.bound)
    assert entropy == pytest.approx(float(eq_17(tau, 2.0)), abs=0.01)


def test_weights_that_are_all_0():
    found = quantized(np.zeros((2, 3)), 0.9)
    assert (found.b_hat, found.bound, found.alpha, found.error, found.clamped_fraction) == (0, 0, 0, 0, 0)


KNOWN = [stats.norm(scale=0.3), stats.laplace(scale=2.0), stats.uniform(-1, 5), stats.gennorm(1.3)]


@pytest.mark.parametrize(("n", "bias"), [(2_000, 0.005), (40_000, 0.002)])
@pytest.mark.parametrize("law", KNOWN)
def test_entropy_of_known_distributions_within_the_bias_it_states(law, n, bias):
    samples = np.sort(law.rvs((20, n), random_state=7), axis=1)
    found = np.array([differential_entropy(row) for row in samples])
    standard_error = found.std(ddof=1) / math.sqrt(len(found))
    assert abs(found.mean() - law.entropy()) < bias + 4 * standard_error


@pytest.mark.parametrize("law", KNOWN)
def test_entropy_is_near_scipys(law):
    values = np.sort(law.rvs(5000, random_state=1))
    assert differential_entropy(values) == pytest.approx(stats.differential_entropy(values), abs=0.03)


def test_entropy_is_the_plain_sum_however_it_is_cut(monkeypatch):
    values = np.sort(np.random.default_rng(3).normal(size=500))
    m, n = 8, 500
    total = 0.0
    for i in range(n):
        low, high = max(i - m, 0), min(i + m, n - 1)
        digamma = sum(1 / k for k in range(1, high - low)) - np.euler_gamma
        total += math.log(values[high] - values[low]) - digamma + math.log(n + 1)
    assert differential_entropy(values) == pytest.approx(total / n, rel=1e-12)
    monkeypatch.setattr(empirical, "_SPACINGS", 7)
    assert differential_entropy(values) == pytest.approx(total / n, rel=1e-12)


def test_entropy_scales_and_shifts():
    values = np.sort(np.random.default_rng(3).normal(size=500))
    change = differential_entropy(100 * values - 7) - differential_entropy(values)
    assert change == pytest.approx(math.log(100), rel=1e-9)
    assert differential_entropy(values.astype(np.float32)) == pytest.approx(differential_entropy(values), abs=1e-3)


def test_ties_have_no_density():
    values = np.sort(np.random.default_rng(3).normal(size=500))
    values[100:117] = values[100]  # 2 * 8 + 1
    assert differential_entropy(values) == -math.inf
    ends = np.arange(500.0)
    ends[:9] = 0.0
    assert differential_entropy(ends) == -math.inf
    ends[8] = 1e-3
    assert math.isfinite(differential_entropy(ends))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("tau", [0.55, 0.85, 0.99, 1.0])
def test_clamped_entropy_is_masses_and_density(tau, dtype):
    values = np.sort(np.random.default_rng(4).normal(size=3000)).astype(dtype)
    bound = float(quantile(tau, np.abs(values.astype(np.float64)).mean()))
    low, high = np.mean(values <= -bound), np.mean(values >= bound)
    between = values[np.abs(values) < bound]
    inside = len(between) / len(values)
    expected = stats.entropy([low, high, inside]) + inside * differential_entropy(between)
    assert clamped_entropy(values, bound) == pytest.approx(expected, rel=1e-12)


def test_weights_on_the_bounds_belong_to_the_masses():
    values = np.sort(np.random.default_rng(4).normal(size=3000))
    for bound in (1.0, 1.5):
        clamped = np.clip(values, -bound, bound)
        assert clamped_entropy(clamped, bound) == pytest.approx(clamped_entropy(values, bound), rel=1e-12)


def test_few_weights_between_the_bounds_have_no_entropy_of_their_own():
    values = np.array([-5.0, -4.0, 0.0, 0.1, 4.0, 5.0])
    assert clamped_entropy(values, 1.0) == pytest.approx(stats.entropy([1 / 3] * 3))


def test_entropy_copies_no_float32_array():
    values = np.sort(np.random.default_rng(0).normal(size=1_000_000).astype(np.float32))
    tracemalloc.start()
    clamped_entropy(values, 1.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12e6  # blocks of 2^17 float64, a few at a time


ROW = np.arange(10.0)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: quantized([], 0.9), r"weights.*one element.*shape \(0,\)"),
        (lambda: quantized(1.0, 0.9), r"weights.*one axis.*shape \(\)"),
        (lambda: quantized([[1.0, np.nan]], 0.9), r"1 of 2 weights.*NaN"),
        (lambda: quantized([1j], 0.9), r"weights.*real.*not of type complex128"),
        (lambda: quantized(["a"], 0.9), r"weights.*real.*not of type <U1"),
        (lambda: quantized([[1.0], [1.0, 2.0]], 0.9), r"array.*different"),
        (lambda: quantized([1.0], 0.5), r"tau.*\(0\.5, 1\], not 0\.5"),
        (lambda: differential_entropy(ROW[:7]), r"entropy.*8.*not 7"),
        (lambda: differential_entropy(ROW.reshape(2, 5)), r"one-dimensional, not of shape \(2, 5\)"),
        (lambda: differential_entropy(ROW[::-1]), r"ascending.*sort"),
        (lambda: differential_entropy([*ROW, np.nan]), r"1 of 11 weights.*NaN"),
        (lambda: differential_entropy([*ROW, np.inf]), r"1 of 11 weights.*NaN"),
        (lambda: differential_entropy([1j] * 9), r"weights.*real.*not of type complex128"),
        (lambda: clamped_entropy([], 1.0), "weights.*one element"),
        (lambda: clamped_entropy([1.0, np.nan], 1.0), "1 of 2 weights are NaN or infinite"),
        (lambda: clamped_entropy(ROW.reshape(2, 5), 1.0), r"one-dimensional, not of shape \(2, 5\)"),
        (lambda: clamped_entropy(ROW, 0.0), r"bound of the clamp.*positive, not 0"),
        (lambda: clamped_entropy(ROW, math.nan), r"bound of the clamp.*positive, not nan"),
    ],
)
def test_what_is_refused(call, text):
    with pytest.raises(InputError, match=text):
        call()
