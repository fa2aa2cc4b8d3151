"""Lines of mobility, flips and silence have the data, its unit, and a look that tells them apart."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import same_color

from recu_analysis.errors import InputError
from recu_analysis.plots.dynamics import by_magnitude, silence
from recu_analysis.plots.palette import DEAD


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def runs_of(axes):
    """The lines of runs, those of noise alone left out."""
    return [line for line in axes.get_lines() if line.get_linestyle() == "-"]


@pytest.mark.parametrize(("quantity", "factor"), [("mobility", 1e3), ("flip_probability", 1.0)])
def test_one_line_a_run(magnitude, axes, quantity, factor):
    by_magnitude(magnitude, quantity=quantity, ax=axes)
    assert labels(axes) == ["ReCU", "baseline"]
    for line in runs_of(axes):
        rows = magnitude[magnitude["run"] == line.get_label()]
        assert np.allclose(line.get_xdata(), rows["abs_z"])
        assert np.allclose(line.get_ydata(), factor * rows[quantity])


def test_runs_differ_in_color_and_marker(magnitude, axes):
    by_magnitude(magnitude, quantity="mobility", ax=axes)
    first, second = runs_of(axes)
    assert first.get_marker() != second.get_marker()
    assert not same_color(first.get_color(), second.get_color())


def test_dashed_is_noise_alone_where_it_is_known(magnitude, axes):
    known = magnitude.assign(mobility_null=np.where(magnitude["run"] == "ReCU", np.nan, 0.002))
    by_magnitude(known, quantity="mobility", ax=axes)
    (dashed,) = [line for line in axes.get_lines() if line.get_linestyle() != "-"]
    assert np.allclose(dashed.get_ydata(), 2.0)
    assert same_color(dashed.get_color(), runs_of(axes)[1].get_color())
    assert labels(axes) == ["ReCU", "baseline", "noise alone"]


def test_intervals_become_bands(magnitude, axes):
    by_magnitude(magnitude.assign(mobility_low=0.001, mobility_high=0.003), quantity="mobility", ax=axes)
    (first, _) = axes.collections
    assert first.get_paths()[0].vertices[:, 1].min() == pytest.approx(1.0)
    assert first.get_paths()[0].vertices[:, 1].max() == pytest.approx(3.0)


def test_magnitudes_start_at_zero_and_have_units(magnitude, axes):
    by_magnitude(magnitude, quantity="mobility", ax=axes)
    assert axes.get_ylim()[0] == 0.0
    assert axes.get_ylabel() == "mobility ($10^{-3}$ std per update)"
    assert "std" in axes.get_xlabel()


def test_bins_are_drawn_in_order(magnitude, axes):
    by_magnitude(magnitude.sample(frac=1.0, random_state=0), quantity="mobility", ax=axes)
    assert all((np.diff(line.get_xdata()) > 0).all() for line in axes.get_lines())


def test_missing_bin_is_a_gap(magnitude, axes):
    magnitude.loc[magnitude["bin"] == 4, "mobility"] = np.nan
    by_magnitude(magnitude, quantity="mobility", ax=axes)
    axes.figure.draw_without_rendering()
    assert np.isnan(axes.get_lines()[0].get_ydata()[4])


def test_nothing_measured_is_drawn_empty(magnitude, axes):
    magnitude["mobility"] = np.nan
    by_magnitude(magnitude, quantity="mobility", ax=axes)
    axes.figure.draw_without_rendering()


def test_unusable_magnitudes_are_refused(magnitude, axes):
    with pytest.raises(InputError, match=r"'speed'.*mobility, flip_probability"):
        by_magnitude(magnitude, quantity="speed", ax=axes)
    with pytest.raises(InputError, match="column abs_z"):
        by_magnitude(magnitude.drop(columns="abs_z"), quantity="mobility", ax=axes)
    with pytest.raises(InputError, match="no rows"):
        by_magnitude(magnitude[:0], quantity="mobility", ax=axes)


def test_silence_has_a_thin_line_a_layer_and_thick_medians(silent, axes):
    silence(silent, ax=axes)
    thin = [line for line in axes.get_lines() if line.get_linewidth() < 1]
    thick = [line for line in axes.get_lines() if line.get_linewidth() > 1]
    assert (len(thin), len(thick)) == (10, 2)
    assert labels(axes) == [line.get_label() for line in thick] == ["tail", "core"]
    assert axes.get_legend().get_title().get_text() == "thick: median over layers"
    assert same_color(thick[0].get_color(), DEAD)
    assert thick[0].get_linestyle() != thick[1].get_linestyle()


def test_silence_has_its_null_beside_it(silent, axes):
    nulls = {"silent_fraction_tail_null": 0.1 * silent["epoch"], "silent_fraction_core_null": np.nan}
    silence(silent.assign(**nulls), ax=axes)
    (dashed,) = [line for line in axes.get_lines() if line.get_label().startswith("_") and line.get_linewidth() > 0.5]
    assert np.allclose(dashed.get_ydata(), 10.0 * np.arange(6))
    assert same_color(dashed.get_color(), DEAD)
    assert labels(axes) == ["tail", "core", "noise alone"]


def test_silence_is_in_percent_with_gaps(silent, axes):
    silence(silent, ax=axes)
    axes.figure.draw_without_rendering()
    tail = next(line for line in axes.get_lines() if line.get_label() == "tail")
    assert axes.get_ylim() == (0.0, 100.0)
    assert axes.get_ylabel() == "silent weights (%)"
    assert np.isnan(tail.get_ydata()[0])
    assert np.allclose(tail.get_ydata()[1:], 72 + 2 * np.arange(1, 6))


def test_unusable_silence_is_refused(silent, axes):
    with pytest.raises(InputError, match="silent_fraction_core"):
        silence(silent.drop(columns="silent_fraction_core"), ax=axes)
    with pytest.raises(InputError, match="no rows"):
        silence(silent[:0], ax=axes)
