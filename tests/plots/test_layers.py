"""Maps of layers: a colour bar that can be read, and ticks where there are windows."""

import pandas as pd
import pytest

from recu_analysis.plots.heat_map import heat_map


@pytest.mark.parametrize(("low", "scale"), [(0.004, "linear"), (0.001, "linear"), (0.0005, "log"), (0.00001, "log")])
def test_the_colour_bar_has_numbers_and_is_logarithmic_only_over_a_decade(axes, low, scale):
    data = pd.DataFrame({"layer": ["a", "b"], "epoch": [1, 1], "mobility": [low, 0.009]})
    heat_map(data, quantity="mobility", ax=axes)
    axes.figure.draw_without_rendering()
    bar = axes.figure.axes[-1]
    assert bar.get_yscale() == scale
    least, most = bar.get_ylim()
    seen = [label for label in bar.get_yticklabels() if label.get_text() and least <= label.get_position()[1] <= most]
    assert len(seen) >= 2


def test_a_thinned_run_has_ticks_at_its_windows(axes):
    data = pd.DataFrame({"layer": "a", "epoch": [3, 7, 11], "dead_fraction": [0.1, 0.2, 0.3]})
    heat_map(data, quantity="dead_fraction", ax=axes)
    assert axes.get_xticks().tolist() == [3, 7, 11]
    assert axes.get_xlim() == (1, 13)
