"""The power for single weights, against a plain loop of weights that are pulled to places of their own."""

import numpy as np
import pytest
from scipy.stats import norm

from recu_analysis.errors import InputError
from recu_analysis.theory.power import least_decay_time, power, spread_of_t, typical_t


def t_values(decay_time, windows, share, place=None, weights=20_000, updates=600):
    """t = sum E / sqrt(sum V) of weights under decay, noise, and a mean gradient."""
    generator = np.random.default_rng(11)
    kappa = decay_time / updates
    pull = np.sqrt(share) * (generator.normal(size=weights) if place is None else place)
    size = np.sqrt((1.0 - share) * (1.0 - (1.0 - kappa) ** 2))
    w = pull + np.sqrt(1.0 - share) * generator.normal(size=weights)
    total, variance = np.zeros((2, weights))
    for _ in range(windows):
        start, known = w.copy(), np.zeros(weights)
        for _ in range(updates // windows):
            step = size * generator.normal(size=weights)
            w = (1.0 - kappa) * w + kappa * pull + step
            known = (1.0 - kappa) ** 2 * known + step**2
        total += w - (1.0 - kappa) ** (updates // windows) * start
        variance += known
    return total / np.sqrt(variance)


@pytest.mark.parametrize(
    ("decay_time", "windows", "share"), [(3.0, 1, 0.3), (6.0, 12, 0.3), (29.0, 60, 0.3), (6, 4, 0.0)]
)
def test_power_is_that_of_a_simulation(decay_time, windows, share):
    t = t_values(decay_time, windows, share)
    assert t.std() == pytest.approx(float(spread_of_t(decay_time, windows, share)), rel=0.03)
    assert np.mean(np.abs(t) > 1.96) == pytest.approx(float(power(decay_time, windows, share)), abs=0.012)


def test_many_windows_tell_most_and_noise_is_told_in_5_of_100():
    assert float(power(100.0, share=0.0)) == pytest.approx(0.05, abs=1e-4)
    tell = power(6.0, [1, 2, 8, 1e6, np.inf])
    assert (np.diff(tell) > 0).all()
    assert tell[-1] == pytest.approx(tell[-2], abs=1e-6)


def test_below_a_decay_time_of_13_a_typical_weight_is_missed_more_often_than_found():
    least = least_decay_time()
    assert 12.0 < least < 13.0
    t = t_values(least, 100, 0.3, place=1.0)
    assert np.mean(t > norm.ppf(0.95)) == pytest.approx(0.5, abs=0.02)
    assert t.mean() == pytest.approx(float(typical_t(least, 100)), rel=0.03)
    assert least_decay_time(0.0) == np.inf


def test_refusals():
    for wrong in ((-1.0,), (1.0, 0.5), (1.0, 1, 1.0)):
        with pytest.raises(InputError):
            power(*wrong)
    for wrong in ((1.2,), (0.3, 0.7)):
        with pytest.raises(InputError):
            least_decay_time(*wrong)
