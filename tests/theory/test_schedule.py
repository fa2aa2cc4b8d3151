"""Eq. 24 as the paper prints it, and its ends."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recu_analysis.errors import InputError
from recu_analysis.theory.schedule import schedule


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


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0, 10, 0.99, 0.85), "tau must not fall: its start 0.99 is above its end 0.85"),
        ((0, 0), "a schedule needs at least one epoch, not 0"),
        ((11, 10), "the epoch must lie between 0 and 10"),
        ((-1, 10), "the epoch must lie between 0 and 10"),
        ((0, 10, 0.5, 0.9), r"tau must lie in \(0.5, 1\], not 0.5"),
    ],
)
def test_bad_schedules_are_refused(arguments, text):
    with pytest.raises(InputError, match=text):
        schedule(*arguments)
