"""Heat maps: colors that can be read, cells where the windows are, hatches where a window is too short."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from recu_analysis.errors import InputError
from recu_analysis.plots.heat_map import binned, heat_map, limits_of


@pytest.mark.parametrize(("low", "scale"), [(0.004, "linear"), (0.001, "linear"), (0.0005, "log"), (0.00001, "log")])
def test_the_color_bar_has_numbers_and_is_logarithmic_only_over_a_decade(axes, low, scale):
    data = pd.DataFrame({"layer": ["a", "b"], "epoch": [1, 1], "mobility": [low, 0.009]})
    heat_map(data, quantity="mobility", ax=axes)
    axes.figure.draw_without_rendering()
    bar = axes.figure.axes[-1]
    assert bar.get_yscale() == scale
    least, most = bar.get_ylim()
    seen = [label for label in bar.get_yticklabels() if label.get_text() and least <= label.get_position()[1] <= most]
    assert len(seen) >= 2


def table(**columns):
    return pd.DataFrame({"layer": ["a", "a", "b", "b"], "epoch": [3, 7, 3, 7], **columns})


def test_a_window_reaches_back_to_the_one_before(axes):
    heat_map(table(dead_fraction=0.1), quantity="dead_fraction", ax=axes)
    assert axes.get_xlim() == (-0.5, 7.5)
    assert axes.collections[0].get_coordinates()[0, :, 0].tolist() == [-0.5, 3.5, 7.5]


def test_the_range_of_colors():
    """Shares have all of it, and a rounding difference does not fill it."""
    data = table(dead_fraction=[0.286, 0.3, 0.29, 0.3], b_hat=[1.41, 1.42, 1.41, 1.41], gennorm_shape=[1, 2, 3, np.nan])
    assert limits_of(data, "dead_fraction") == (0, 1)
    low, high = limits_of(data, "b_hat")
    assert high - low == pytest.approx(0.05 * 1.42)
    assert limits_of(data, "gennorm_shape") == (1, 3)
    assert limits_of(table(mobility=np.nan), "mobility") == (0, 1)
    with pytest.raises(InputError, match=r"'speed'; known are .*b_hat"):
        limits_of(data, "speed")


def test_what_cannot_be_told_is_hatched(axes):
    known = {"autocorrelation_null": [0.4, 0.6, 0.7, 0.8], "dead_fraction": 0.1, "mobility": 0.1}
    heat_map(table(**known), quantity="dead_fraction", ax=axes)
    _, hatched = axes.collections
    assert [path.get_extents().bounds for path in hatched.get_paths()] == [(3.5, 0, 4, 1), (-0.5, 1, 8, 1)]
    axes.clear()
    heat_map(table(**known), quantity="mobility", ax=axes)
    assert len(axes.collections) == 1


def test_neighboring_layers_are_binned():
    data = pd.DataFrame({"layer": list("abcde"), "epoch": 1, "mobility": [1.0, 2, 3, 4, 5]})
    assert binned(data, ["mobility"], 5)[1] == 1
    means, size = binned(data, ["mobility"], 3)
    assert (size, means["layer"].tolist(), means["mobility"].tolist()) == (2, ["a", "c", "e"], [1.5, 3.5, 5])
