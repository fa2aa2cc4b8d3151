"""What the plots of ternary weights draw: the closed forms, the minima and the threshold of BitNet."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest

from recu_analysis import plot_ternary, ternary_tradeoff
from recu_analysis.errors import InputError
from recu_analysis.plots import ternary


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_errors_are_in_squares_of_the_mean(axes):
    table = ternary_tradeoff((0.0, 2.0), 3.0, 5)
    ternary.error_over_threshold(table, ax=axes)
    rows = table[table["distribution"] == "laplace"]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), rows["qe_ternary"] / 9.0)
    np.testing.assert_allclose(axes.lines[2].get_ydata(), [1.0] * 5)
    best = axes.lines[3]
    assert (float(best.get_xdata()[0]), float(best.get_ydata()[0])) == pytest.approx((1.0, 2 - 4 / math.e))


def test_a_minimum_outside_is_not_drawn(axes):
    ternary.error_over_threshold(ternary_tradeoff((0.0, 0.9), 1.0, 5), ax=axes)
    assert sum(line.get_marker() == "o" for line in axes.lines) == 1  # that of normal weights, at 0.767


def test_entropy_is_beside_that_of_signs(axes):
    ternary.entropy_over_threshold(ternary_tradeoff((0.0, 2.0), 1.0, 5), ax=axes)
    assert axes.lines[0].get_ydata()[0] == pytest.approx(math.log(2.0))
    assert axes.lines[2].get_ydata()[0] == pytest.approx(math.log(2.0))


def test_the_public_plot_takes_a_palette_and_refuses_others(axes):
    drawn = plot_ternary(ax=axes, palette={"laplace": "#ff0000", "normal": "k"}, threshold=(0.0, 1.0), alpha=0.5)
    assert (drawn.lines[0].get_color(), drawn.lines[0].get_alpha()) == ("#ff0000", 0.5)
    with pytest.raises(InputError, match="lacks the column b"):
        ternary.error_over_threshold(ternary_tradeoff().drop(columns="b"), ax=axes)
