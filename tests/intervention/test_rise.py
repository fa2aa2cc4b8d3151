"""The interval of a rise holds the true rise as often as it says, whatever varies: images, draws, or neither alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import stdtrit

from benchmarks.interventions import PARTS, coverage
from recu_analysis.errors import InputError
from recu_analysis.intervention.rise import rise


@pytest.mark.parametrize("name", PARTS)
def test_coverage(name):
    found = coverage(np.random.default_rng(1), PARTS[name], draws=5, repetitions=600)
    error = math.sqrt(0.05 * 0.95 / 600)
    assert 0.93 - 2.0 * error < found < 0.97 + 2.0 * error


def test_images_are_counted_once_however_often_they_are_drawn():
    images = np.random.default_rng(0).normal(1.0, 1.0, size=50)
    one, many = rise(images[None]), rise(np.tile(images, (20, 1)))
    assert one["rise"] == pytest.approx(many["rise"])
    half = stdtrit(49, 0.975) * images.std(ddof=1) / math.sqrt(50)
    for found in (one, many):
        assert found["rise_high"] - found["rise"] == pytest.approx(half), "draws of the same weights tell nothing new"
        assert found["image_error"] == pytest.approx(images.std(ddof=1) / math.sqrt(50))
    assert math.isnan(one["draw_error"])
    assert many["draw_error"] == pytest.approx(0.0, abs=1e-12)


def test_what_images_and_draws_share_is_counted_once():
    differences = np.random.default_rng(0).normal(size=(400, 300))
    found = rise(differences)
    half = (found["rise_high"] - found["rise_low"]) / 2.0
    assert half == pytest.approx(1.96 / math.sqrt(400 * 300), rel=0.1), "not the root of 2 times as wide"
    with pytest.raises(InputError):
        rise(differences, level=1.0)


def test_draws_that_agree_on_every_image_vary_by_their_number_alone():
    draws = np.array([0.0, 1.0, 2.0, 3.0])
    found = rise(np.tile(draws[:, None], (1, 30)))
    half = stdtrit(3, 0.975) * draws.std(ddof=1) / 2.0
    assert found["rise_high"] - found["rise"] == pytest.approx(half)
    assert found["image_error"] == 0.0


def test_nothing_that_varies_has_no_width():
    found = rise(np.zeros((3, 4)))
    assert [found[name] for name in ("rise", "rise_low", "rise_high", "image_error", "draw_error")] == [0.0] * 5
