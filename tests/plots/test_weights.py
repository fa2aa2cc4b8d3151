"""The histogram of dead weights draws the counts it is given, and covers none of them."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from recu_analysis.errors import InputError
from recu_analysis.figures.print.style import style
from recu_analysis.plots.palette import CORE, DEAD, TAIL
from recu_analysis.plots.weights import dead_weight_histogram


def steps(axes):
    """Heights and color of each part of the stack, by the first word of its label."""
    parts = {}
    for patch in axes.patches:
        if isinstance(patch, StepPatch):
            values, _, baseline = patch.get_data()
            parts[patch.get_label().rsplit(" ", 2)[0]] = (values - baseline, patch.get_facecolor())
    return parts


def frame(core, active, dead, reach=4.0):
    edges = np.linspace(-reach, reach, len(core) + 1)
    return pd.DataFrame({"left": edges[:-1], "right": edges[1:], "core": core, "tail_active": active, "dead": dead})


@pytest.mark.parametrize("where", ["axes", "inset"])
def test_bars_have_the_counts_and_the_colors(histogram, axes, where):
    dead_weight_histogram(histogram, ax=axes)
    drawn = steps(axes if where == "axes" else axes.child_axes[0])
    for label, column, color in (
        ("core", "core", CORE),
        ("tail, flipped", "tail_active", TAIL),
        ("tail and silent", "dead", DEAD),
    ):
        assert np.allclose(drawn[label][0], 100 * histogram[column] / 9216)
        assert drawn[label][1] == to_rgba(color)


def test_bars_stand_upon_each_other_without_gaps(histogram, axes):
    dead_weight_histogram(histogram, ax=axes)
    dead, active, core = (patch.get_data() for patch in axes.patches if isinstance(patch, StepPatch))
    assert (dead.baseline == 0).all()
    assert np.array_equal(active.baseline, dead.values)
    assert np.array_equal(core.baseline, active.values)
    assert np.allclose(core.values, histogram[["core", "tail_active", "dead"]].sum(axis=1) / 92.16)
    assert np.allclose(core.edges, np.append(histogram["left"], histogram["right"].iloc[-1]))


def test_legend_has_the_shares(axes):
    dead_weight_histogram(frame([0, 60, 0], [10, 0, 5], [15, 0, 10]), ax=axes)
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["core 60.0 %", "tail, flipped 15.0 %", "tail and silent 25.0 %"]


def test_labels_name_the_unit(histogram, axes):
    dead_weight_histogram(histogram, ax=axes)
    assert axes.get_xlabel() == "latent weight $z$ (standard deviations of its channel)"
    assert axes.get_ylabel() == "weights (%)"
    assert axes.get_title() == ""
    assert not axes.spines["top"].get_visible()


def test_inset_magnifies_the_upper_foot(histogram, axes):
    dead_weight_histogram(histogram, ax=axes)
    (inset,) = axes.child_axes
    left, right = inset.get_xlim()
    assert 1.04 < left < right <= 4.0
    assert inset.get_ylim()[0] == 0.0
    assert inset.get_ylim()[1] < 0.2 * axes.get_ylim()[1]


def test_inset_leaves_out_far_outliers(histogram, axes):
    last = histogram["right"].iloc[-1]
    far = pd.DataFrame({"left": [last, 7.8], "right": [7.8, 8.0], "core": 0, "tail_active": 0, "dead": [0, 1]})
    dead_weight_histogram(pd.concat([histogram, far]), ax=axes)
    assert axes.get_xlim()[1] == 8.0
    assert axes.child_axes[0].get_xlim()[1] < 4.0


def shapes():
    z = np.linspace(-1.0, 1.0, 61)
    return {
        "normal": np.exp(-8 * z**2),
        "laplace": np.exp(-6 * np.abs(z)),
        "heavy": 1 / (1 + 400 * z**2),
        "uniform": np.ones(61),
        "bumps": 0.5 + np.exp(-200 * (np.abs(z) - 0.9) ** 2),
    }


@pytest.mark.parametrize("width", [3.25, 3.44, 6.875])
@pytest.mark.parametrize("name", list(shapes()))
def test_inset_and_legend_cover_no_bar(name, width):
    counts = np.round(1000 * shapes()[name])
    with style(width):
        axes = Figure(figsize=(width, 2.2), layout="constrained").subplots()
        dead_weight_histogram(frame(counts, 0, 0), ax=axes)
    axes.figure.draw_without_rendering()
    core = next(p for p in axes.patches if isinstance(p, StepPatch) and p.get_label().startswith("core"))
    for artist in (axes.get_legend(), axes.child_axes[0]):
        box = artist.get_tightbbox()
        (x0, y0), (x1, _) = axes.transData.inverted().transform(box.get_points())
        values, edges, _ = core.get_data()
        assert (values[(edges[1:] > x0) & (edges[:-1] < x1)] <= y0).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 5000), min_size=1, max_size=30))
def test_any_counts_can_be_drawn(counts):
    axes = Figure().subplots()
    dead_weight_histogram(frame(counts, counts[::-1], 0), ax=axes)
    axes.figure.draw_without_rendering()


def test_no_weight_above_zero_has_no_inset(axes):
    dead_weight_histogram(frame([5, 0], 0, 0), ax=axes)
    assert axes.child_axes == []


def test_missing_count_is_drawn_as_none(histogram, axes):
    histogram = histogram.astype({"dead": float})
    histogram.loc[3, "dead"] = np.nan
    dead_weight_histogram(histogram, ax=axes)
    assert steps(axes)["tail and silent"][0][3] == 0


def test_current_axes_are_the_default(histogram):
    axes = plt.figure().subplots()
    assert dead_weight_histogram(histogram) is axes


def test_tables_that_cannot_be_drawn_are_refused(histogram, axes):
    with pytest.raises(InputError, match="columns core, dead"):
        dead_weight_histogram(histogram.drop(columns=["core", "dead"]), ax=axes)
    with pytest.raises(InputError, match="no rows"):
        dead_weight_histogram(histogram[:0], ax=axes)
    with pytest.raises(InputError, match="adjoin"):
        dead_weight_histogram(histogram.drop(index=7), ax=axes)
    with pytest.raises(InputError, match="adjoin"):
        dead_weight_histogram(histogram[::-1], ax=axes)
