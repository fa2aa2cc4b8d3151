"""Eq. 24 as the paper prints it, the other schedules as plain loops, and the ends of all."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recu_analysis.errors import InputError
from recu_analysis.theory.schedule import SHARES, schedule


@given(st.integers(1, 1000), st.data())
def test_equals_the_printed_form(epochs, data):
    i = data.draw(st.integers(0, epochs))
    low, high = sorted(data.draw(st.tuples(*[st.floats(0.51, 1.0)] * 2)))
    e = math.e
    printed = (high - low) / (e - 1) * math.exp(i / epochs) + (e * low - high) / (e - 1)
    assert schedule(i, epochs, low, high) == pytest.approx(printed, rel=1e-12)


def test_ends_and_last_epoch():
    assert schedule(0, 600) == 0.85
    assert schedule(600, 600) == pytest.approx(0.99, rel=1e-15)
    assert round(float(schedule(599, 600)), 5) == 0.98963
    np.testing.assert_array_equal(schedule(np.arange(5), 4, 0.9, 0.9), 0.9)


def by_hand(i, epochs, low, high, kind):
    """One level at a time, without the shares."""
    if kind == "constant":
        return low
    if kind == "linear":
        return ((epochs - i) * low + i * high) / epochs
    if kind == "cosine":
        return (low + high) / 2 - (high - low) / 2 * math.cos(math.pi * i / epochs)
    if kind == "step":
        return low if 3 * i < epochs else (low + high) / 2 if 3 * i < 2 * epochs else high
    return low + (high - low) * (math.exp(i / epochs) - 1) / (math.e - 1)


@pytest.mark.parametrize("kind", list(SHARES))
@given(st.integers(1, 2000), st.data())
def test_every_kind_equals_a_plain_formula(kind, epochs, data):
    i = data.draw(st.integers(0, epochs))
    low, high = sorted(data.draw(st.tuples(*[st.floats(0.51, 1.0)] * 2)))
    assert schedule(i, epochs, low, high, kind) == pytest.approx(by_hand(i, epochs, low, high, kind), rel=1e-12)


@pytest.mark.parametrize("kind", list(SHARES))
@given(st.integers(1, 400), st.tuples(*[st.floats(0.5, 1.0, exclude_min=True)] * 2))
def test_every_kind_starts_at_the_start_never_falls_and_stays_below_the_end(kind, epochs, ends):
    low, high = sorted(ends)
    levels = schedule(np.arange(epochs + 1), epochs, low, high, kind)
    assert levels[0] == low
    assert (np.diff(levels) >= 0).all()
    assert levels.max() <= high
    assert levels[-1] == (low if kind == "constant" else high)


def test_steps_are_a_third_of_the_epochs_each():
    for epochs in (3, 6, 30, 600):
        levels = schedule(np.arange(epochs), epochs, 0.8, 1.0, "step")
        expected = np.repeat([0.8, 0.9, 1.0], epochs // 3)
        np.testing.assert_allclose(levels, expected, rtol=1e-15)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0, 10, 0.99, 0.85), r"tau.*start 0.99.*end 0.85"),
        ((0, 0), r"schedule.*epoch, not 0"),
        ((11, 10), r"epoch.*0 and 10"),
        ((-1, 10), r"epoch.*0 and 10"),
        ((0, 10, 0.5, 0.9), r"tau.*\(0.5, 1\], not 0.5"),
        ((np.nan, 10), r"epoch.*0 and 10"),
        (("3", 10), r"epochs.*real.*not of type <U1"),
        ((3j, 10), r"epochs.*real.*not of type complex128"),
        (
            (0, 10, 0.8, 0.9, "root"),
            r"'root'.*exponential, linear, cosine, step, constant",
        ),
    ],
)
def test_bad_schedules_are_refused(arguments, text):
    with pytest.raises(InputError, match=text):
        schedule(*arguments)
