"""The split of the autocorrelation: bars that add up to the marker, means over layers by weights."""

import pandas as pd
import pytest

from recu_analysis.plots.split import split


def test_parts_stack_on_their_side_of_the_axis_and_add_up(axes):
    table = pd.DataFrame(
        {
            "layer": ["one", "two"] * 2,
            "epoch": [0, 0, 1, 1],
            "group": "all",
            "weights": [100, 300] * 2,
            "inherited": [0.4, 0.8, 0.5, 0.5],
            "momentum": [-0.1, -0.1, 0.1, 0.1],
            "restored": [0.2, 0.2, float("nan"), 0.2],
        }
    )
    split(table, ax=axes, palette=["red", "green", "blue"])
    tops = [[(bar.get_y(), bar.get_height()) for bar in bars] for bars in axes.containers]
    assert tops[0] == [pytest.approx((0.0, 0.7)), pytest.approx((0.0, 0.5))]
    assert tops[1] == [pytest.approx((0.0, -0.1)), pytest.approx((0.5, 0.1))]
    assert tops[2] == [pytest.approx((0.7, 0.2)), pytest.approx((0.6, 0.2))]
    assert axes.get_lines()[0].get_ydata().tolist() == pytest.approx([0.8, 0.8])
