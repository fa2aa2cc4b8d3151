"""The flip law and the lock-in of signs: what is drawn and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from recu_analysis.errors import InputError
from recu_analysis.plots.flips import flip_law, lock_in


@pytest.fixture
def law() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "run": ["a", "a", "b", "b"],
            "flip_ratio": [1e-3, 2e-3, 4e-3, 0.0],
            "flip_ratio_predicted": [1e-3, 1e-3, 5e-3, 1e-3],
        }
    )


@pytest.fixture
def locked() -> pd.DataFrame:
    rows = [
        {"layer": name, "epoch": epoch, "locked_fraction": 0.1 * (epoch + at), "autocorrelation_to_end": 0.2 * epoch}
        | {"autocorrelation_to_end_null": 0.2 * epoch}
        for at, name in enumerate(("one", "two", "three"))
        for epoch in range(4)
    ]
    return pd.DataFrame(rows)


def test_points_are_per_1000_and_those_without_flips_are_left_out(law, axes):
    flip_law(law, ax=axes)
    identity, first, second = axes.get_lines()
    assert identity.get_xdata().tolist() == identity.get_ydata().tolist()
    assert first.get_xydata().tolist() == [[1.0, 1.0], [1.0, 2.0]]
    assert second.get_xydata().tolist() == [[5.0, 4.0]]
    assert axes.get_xlim() == axes.get_ylim()
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "linear")


def test_ratios_that_span_a_decade_are_on_logarithmic_axes(law, axes):
    flip_law(law.assign(flip_ratio_predicted=[1e-3, 1e-3, 11e-3, 1e-3]), ax=axes)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    (low, high), points = axes.get_xlim(), axes.get_lines()[2].get_xydata()
    assert low < points.min()
    assert points.max() < high


def test_no_flip_at_all_can_be_drawn(law, axes):
    flip_law(law.assign(flip_ratio=0.0), ax=axes)
    axes.figure.draw_without_rendering()


def test_lock_in_has_a_line_a_layer_their_median_and_the_autocorrelation(locked, axes):
    lock_in(locked, ax=axes)
    *layers, pale, middle, autocorrelation, null = axes.get_lines()
    assert len(layers) == 3
    assert pale.get_ydata().tolist() == pytest.approx([10, 20, 30, 40])
    assert middle.get_ydata().tolist() == pytest.approx([10, 20, 30, np.nan], nan_ok=True)
    assert autocorrelation.get_ydata().tolist() == pytest.approx([0, 20, 40, 60])
    assert null.get_ydata().tolist() == pytest.approx([0, 20, 40, 60])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "never flips again",
        "autocorrelation to the end",
        "noise alone",
        "too short to tell",
    ]


def test_the_null_of_the_locked_share_is_dashed_in_its_color(locked, axes):
    lock_in(locked.assign(locked_fraction_null=0.05 * locked["epoch"]), ax=axes)
    *_, share, null, autocorrelation, _ = axes.get_lines()
    assert null.get_ydata().tolist() == pytest.approx([0, 5, 10, 15])
    assert null.get_color() == share.get_color()
    assert autocorrelation.get_color() != share.get_color()


@pytest.mark.parametrize("plot", [flip_law, lock_in])
def test_unusable_tables_are_refused(plot, law, locked, axes):
    with pytest.raises(InputError, match="lacks the column"):
        plot(pd.DataFrame({"x": [1]}), ax=axes)
    with pytest.raises(InputError, match="no rows"):
        plot((law if plot is flip_law else locked)[:0], ax=axes)
