"""The numbers and formulas of the page of mathematics, against recu_analysis.theory, quadrature and autograd."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import ndtr

from recu_analysis.nn.functional import recu, standardize
from recu_analysis.theory.entropy import clamped_entropy
from recu_analysis.theory.intervals import RESAMPLES, Interval, difference
from recu_analysis.theory.laplace import quantile
from recu_analysis.theory.quantization import alpha, exact, latent, printed
from recu_analysis.theory.scale import scale_ratio
from recu_analysis.theory.schedule import schedule

PAGE = (Path(__file__).parents[2] / "docs" / "mathematics.md").read_text(encoding="utf-8")
TAU = np.array([0.55, 0.7, 0.82, 0.9, 0.99])
Q = 2.0 - 2.0 * TAU


def table():
    lines = PAGE.split("<!-- table:errors -->\n")[1].split("\n\n")[0].splitlines()[2:]
    return np.array([[float(cell) for cell in line.strip("| ").split("|")] for line in lines])


def test_the_table_of_errors():
    tau, *columns = table().T
    assert len(tau) == 7
    for column, error in zip(columns, (printed, exact, latent), strict=True):
        np.testing.assert_array_equal(column, np.round(error(tau, 2.0), 4))


def square(size, level):
    """Integrand of E (|w| - level)^2 for Laplace weights of scale 2."""
    return math.exp(-size / 2.0) / 2.0 * (size - level) ** 2


def test_the_table_agrees_with_quadrature():
    for tau, _, shown, before in table():
        bound, level = float(quantile(tau, 2.0)), float(alpha(tau, 2.0))
        inside = quad(square, 0, bound, args=(level,))[0]
        assert inside + 2 * (1 - tau) * (bound - level) ** 2 == pytest.approx(shown, abs=6e-5)
        unclamped = quad(square, 0, np.inf, args=(level,))[0]
        assert unclamped == pytest.approx(before, abs=6e-5)


@pytest.mark.parametrize("b", [0.5, 2.0, 3.0])
def test_the_closed_forms(b):
    np.testing.assert_allclose(exact(TAU, b), b**2 * (1 - Q**2 + 2 * Q * np.log(Q)), rtol=1e-12)
    np.testing.assert_allclose(printed(TAU, b) - exact(TAU, b), 16 * b**2 * (1 - TAU) ** 3, rtol=1e-9)
    np.testing.assert_allclose(latent(TAU, b), b**2 * (1 + Q**2), rtol=1e-12)
    np.testing.assert_allclose(clamped_entropy(TAU, b), math.log(2) + (2 * TAU - 1) * (math.log(b) + 1), rtol=1e-12)
    step = 1e-5
    slope = (exact(TAU - step, b) - exact(TAU + step, b)) / (-2 * step)
    np.testing.assert_allclose(slope, 4 * b**2 * (Q - 1 - np.log(Q)), rtol=1e-5)
    least = brentq(lambda tau: printed(tau + step, b) - printed(tau - step, b), 0.7, 0.95)
    assert f"{least:.4f}" == "0.8209"
    assert "0.8209" in PAGE


def quoted(value, digits):
    assert re.search(rf"(?<![\d.]){re.escape(f'{value:.{digits}f}')}(?!\d)", PAGE), value


def test_the_numbers_in_the_text():
    normal, uniform = float(scale_ratio(2.0)), float(scale_ratio(100.0))
    quoted(normal, 3)
    assert uniform == pytest.approx(math.sqrt(1.5), rel=1e-3)
    quoted(math.sqrt(1.5), 3)
    bound = float(quantile(0.99, normal)) / math.sqrt(2)  # in standard deviations of the normal weights
    quoted(100 * 2 * ndtr(-bound), 2)
    quoted(math.sqrt(2 * math.sqrt(2)), 3)
    quoted(1 / math.sqrt(2 * math.sqrt(2)), 3)
    quoted(float(schedule(599, 600)), 5)
    assert f"{RESAMPLES} resamples" in PAGE


def test_the_gradient_through_clamp_and_standardization():
    weight = torch.randn(3, 40, dtype=torch.float64, generator=torch.manual_seed(0), requires_grad=True)
    g = torch.randn(3, 40, dtype=torch.float64)
    scaled = standardize(weight, target=2.0, eps=0.0)
    clamped = recu(scaled, torch.tensor(0.8, dtype=torch.float64))
    (clamped * g).sum().backward()
    z, masked = (scaled / math.sqrt(8)).detach(), g * (clamped == scaled)
    assert 0 < (masked == 0).sum() < masked.numel()
    along = z * (masked * z).sum(dim=1, keepdim=True) / 39
    formula = math.sqrt(8) / weight.std(dim=1, keepdim=True) * (masked - masked.mean(dim=1, keepdim=True) - along)
    torch.testing.assert_close(weight.grad, formula.detach())
    assert torch.equal(clamped.sign(), (weight - weight.mean(dim=1, keepdim=True)).sign())


def descended(weight, target, steps=5):
    """Weights after some steps of SGD with momentum and decay on a loss of the signs of clamped weights."""
    weight = weight.clone().requires_grad_()
    optimizer = torch.optim.SGD([weight], lr=0.3, momentum=0.9, weight_decay=0.01)
    wanted = torch.randn(weight.shape, dtype=torch.float64, generator=torch.manual_seed(1))
    for _ in range(steps):
        clamped = recu(standardize(weight, target=target, eps=0.0), torch.tensor(0.8, dtype=torch.float64))
        signs = clamped + (clamped.sign() - clamped).detach()
        optimizer.zero_grad()
        ((signs - wanted) ** 2).sum().backward()
        optimizer.step()
    return weight.detach()


def test_a_target_is_an_initial_scale():
    start = torch.randn(4, 30, dtype=torch.float64, generator=torch.manual_seed(2))
    c = math.sqrt(2 * math.sqrt(2))
    one, other = descended(start, 2.0), descended(start / c, math.sqrt(0.5))
    torch.testing.assert_close(one, c * other, rtol=1e-9, atol=1e-12)
    assert (one - start).abs().max() > 0.1


def test_distance_and_independent_steps():
    rng = np.random.default_rng(0)
    start, d = rng.normal(size=400_000), 0.7
    end = start + d * rng.normal(size=start.size)
    z_end = end / end.std()
    r = (start * z_end).sum() / (start**2).sum()
    s = math.sqrt(((z_end - r * start) ** 2).mean())
    assert (r, s) == pytest.approx((1 / math.sqrt(1 + d**2), d / math.sqrt(1 + d**2)), abs=5e-3)
    tail = np.abs(start) > 1
    assert ndtr(-r * np.abs(start[tail]) / s).sum() / (start * end < 0)[tail].sum() == pytest.approx(1, abs=0.02)


def test_a_difference_of_intervals():
    found = difference(Interval(3.0, 2.0, 5.0), Interval(1.0, 0.5, 1.25))
    assert (found.low, found.high) == (2 - math.hypot(1.0, 0.25), 2 + math.hypot(2.0, 0.5))
