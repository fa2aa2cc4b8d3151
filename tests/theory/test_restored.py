"""The restored fraction against a plain loop of updates, and its interval over windows of noise."""

import math

import numpy as np
import pytest

from benchmarks.causes import coverage
from recu_analysis.errors import InputError
from recu_analysis.theory.restored import autocorrelation_parts, restored


def test_layers_are_joined_by_a_bound():
    generator = np.random.default_rng(3)
    w, made = generator.normal(size=(2, 30))
    found = restored(w, made, 0.4, 25.0)
    assert found.rho == pytest.approx((w @ made) / (0.6 * (w @ w)))
    assert found.interval().high - found.rho == pytest.approx(1.96 * 5.0 / (0.6 * (w @ w)), rel=1e-4)
    both = restored(w[:11], made[:11], 0.4, 9.0) + restored(w[11:], made[11:], 0.4, 16.0)
    assert [both.rho, both.spread] == pytest.approx([found.rho, 7.0])


def test_rho_is_one_for_what_is_held_and_unknown_where_nothing_decays():
    w = np.arange(-3.0, 4.0)
    assert restored(w, 0.7 * w, 0.3).rho == pytest.approx(1.0)
    assert math.isnan(restored(w, w, 1.0).rho)
    assert math.isnan(restored(w, 0.7 * w, 0.3).interval().low), "no interval if the noise is not known"


def test_refusals():
    with pytest.raises(InputError):
        restored([1.0, 2.0], [1.0], 0.5)


def test_the_parts_add_up_to_the_cosine():
    generator = np.random.default_rng(4)
    z, pushed, made = generator.normal(size=(3, 5, 40))
    kept = generator.uniform(0.2, 0.6, size=(5, 1))
    end = kept * z + 0.1 * pushed + made
    found = autocorrelation_parts(z, kept, 0.1 * pushed, made)
    cosine = (z * end).sum() / np.sqrt((z**2).sum() * (end**2).sum())
    assert sum(found.cosines()) == pytest.approx(cosine)
    assert found.cosines()[0] == pytest.approx((kept * z**2).sum() / np.sqrt((z**2).sum() * (end**2).sum()))
    halves = [autocorrelation_parts(z[at], kept[at], 0.1 * pushed[at], made[at]) for at in (slice(2), slice(2, 5))]
    assert (halves[0] + halves[1]).cosines() == pytest.approx(found.cosines())
    assert math.isnan(autocorrelation_parts([0.0], 0.5, 0.0, 1.0).cosines()[2])


@pytest.mark.parametrize("falling", [False, True])
def test_the_interval_holds_0_in_95_of_100_windows_of_noise(falling):
    found = coverage(1000, falling=falling, weights=32)
    assert 0.93 <= found.held <= 0.97
    assert abs(found.mean) < 4.0 * found.spread / math.sqrt(1000)
