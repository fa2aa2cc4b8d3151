"""Estimates and intervals as they are written: an interval that is missing is not."""

import math

import pytest

from recu_analysis.analysis.written import of_claim, with_interval


@pytest.mark.parametrize(
    ("value", "written", "claim"),
    [
        ((0.5, 0.25, 0.75), "0.5 (0.25 to 0.75)", "0.5 (0.25 to 0.75)"),
        ((0.5, math.nan, math.nan), "0.5", "0.5"),
        ((0.5, 0.25, math.nan), "0.5", "0.5"),
        ((2.0, 2.0, 2.0), "2 (2 to 2)", "2"),
        ((math.nan, math.nan, math.nan), "-", ""),
    ],
)
def test_a_missing_interval_is_not_written(value, written, claim):
    assert with_interval(*value) == written
    assert of_claim(*value) == claim
