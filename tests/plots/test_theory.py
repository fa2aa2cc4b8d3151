"""The closed forms drawn: what each line shows, what is marked, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color
from scipy import optimize

from recu_analysis import tradeoff
from recu_analysis.errors import InputError
from recu_analysis.plots import entropy, theory
from recu_analysis.theory import quantization
from recu_analysis.theory.schedule import SHARES, schedule


@pytest.fixture
def curves() -> pd.DataFrame:
    return tradeoff((0.55, 1.0), (1.5, 3.0), 51)


@pytest.fixture
def measured() -> pd.DataFrame:
    rows = {"tau": [0.9, 0.95], "qe_measured": [1.0, 1.5], "entropy_measured": [2.0, 2.2]}
    return pd.concat([pd.DataFrame(rows).assign(layer=name) for name in ("a", "b")])


def test_error_curves_are_exact_and_printed_in_the_color_of_their_scale(curves, axes):
    theory.quantization_error(curves, ax=axes)
    lines = axes.get_lines()
    assert len(lines) == 5  # two scales, two forms, and the vertical line
    for number, b in enumerate((1.5, 3.0)):
        rows = curves[curves["b"] == b]
        exact, printed = lines[2 * number : 2 * number + 2]
        np.testing.assert_array_equal(exact.get_ydata(), rows["qe_exact"])
        np.testing.assert_array_equal(printed.get_ydata(), rows["qe_printed"])
        assert exact.get_linestyle() == "-" != printed.get_linestyle()
        assert same_color(exact.get_color(), printed.get_color())
    assert [text.get_text() for text in axes.texts] == ["$b = 1.5$", "$b = 3$"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "exact",
        "printed (Eq. 14)",
        r"$\tau = 0.82$",
    ]


def test_the_vertical_line_is_the_minimum_of_the_printed_form():
    root = optimize.brentq(lambda tau: float(quantization.printed_slope(tau, 1.0)), 0.6, 0.95)
    assert pytest.approx(root, abs=5e-5) == entropy.PRINTED_MINIMUM


def test_the_three_panels_show_curves_points_and_epochs(curves, measured, axes):
    theory.error_over_tau(curves, ax=axes, measured=measured)
    *lines, points, minimum = axes.get_lines()
    assert len(lines) == 6
    assert points.get_xydata().tolist() == measured[["tau", "qe_measured"]].to_numpy().tolist()
    assert set(minimum.get_xdata()) == {entropy.PRINTED_MINIMUM}


def test_the_minimum_is_not_drawn_where_the_levels_do_not_reach(axes):
    theory.error_over_tau(tradeoff((0.85, 0.99), 2.0, 5), ax=axes)
    assert len(axes.get_lines()) == 3


def test_entropy_over_tau_is_eq_17(curves, measured, axes):
    theory.entropy_over_tau(curves, ax=axes, measured=measured)
    np.testing.assert_array_equal(axes.get_lines()[1].get_ydata(), curves.loc[curves["b"] == 3.0, "entropy"])
    assert axes.get_lines()[2].get_ydata().tolist() == [2.0, 2.2, 2.0, 2.2]


def test_error_over_entropy_marks_some_epochs_with_the_first_and_the_last_number(curves, axes):
    epochs = tradeoff(b=(1.5, 3.0), epochs=600)
    theory.error_over_entropy(curves, ax=axes, epochs=epochs)
    marks = [line for line in axes.get_lines() if line.get_marker() == "D"]
    assert [len(line.get_xdata()) for line in marks] == [7, 7]
    first = epochs[(epochs["epoch"] == 0) & (epochs["b"] == 1.5)].iloc[0]
    assert marks[0].get_xydata()[0].tolist() == [first["entropy"], first["qe_exact"]]
    last = epochs[(epochs["epoch"] == 599) & (epochs["b"] == 3.0)].iloc[0]
    assert [text.get_text() for text in axes.texts] == ["0", "599"]  # once, on the curve of the largest scale
    assert axes.texts[1].xy == (last["entropy"], last["qe_exact"])


@pytest.mark.parametrize(("tau", "side"), [((0.55, 0.99), "bottom"), ((0.9, 0.99), "top")])
def test_the_first_number_stands_above_its_mark_where_the_axis_is_near(axes, tau, side):
    theory.error_over_entropy(tradeoff(tau, 2.0, 51), ax=axes, epochs=tradeoff(tau, 2.0, epochs=10))
    assert [text.get_va() for text in axes.texts] == [side, "top"]


def test_one_epoch_has_one_mark(curves, axes):
    theory.error_over_entropy(curves, ax=axes, epochs=tradeoff(b=2.0, epochs=1))
    assert len(next(line for line in axes.get_lines() if line.get_marker() == "D").get_xdata()) == 1


def test_legend_names_what_is_there(curves, measured):
    labels = [handle.get_label() for handle in theory.tradeoff_legend(curves, measured, curves)]
    assert labels[:2] == ["$b = 1.5$", "$b = 3$"]
    assert labels[-2:] == ["epochs", "measured (2 layers)"]
    alone = theory.tradeoff_legend(tradeoff(points=3), None, None)
    assert [handle.get_label() for handle in alone] == ["exact", "printed (Eq. 14)", "against unclamped weights"]


def test_entropy_map_marks_the_critical_scale(axes):
    entropy.entropy_map(tradeoff((0.51, 1.0), np.linspace(0.1, 5, 20).tolist(), 10), ax=axes)
    assert set(axes.get_lines()[0].get_ydata()) == {math.exp(-1)}
    assert (axes.get_xlim(), axes.get_ylim()[0]) == ((0.5, 1.0), 0.0)
    assert axes.figure.axes[1].get_ylabel() == "entropy (nats)"
    assert [text.get_text() for text in axes.texts] == ["$b = 1/e$", r"$\tau = 0.82$"]


def test_the_strip_shows_entropy_less_ln_2(axes):
    entropy.entropy_strip(tradeoff((0.51, 1.0), np.linspace(0.32, 0.42, 20).tolist(), 30), ax=axes)
    axes.figure.draw_without_rendering()
    labels = {text.get_text() for text in axes.texts}
    assert "$b = 1/e$" in labels
    assert {"$+0.04$", "$-0.04$"} <= labels


def test_every_schedule_has_a_line(axes):
    tables = [
        pd.DataFrame({"schedule": k, "epoch": range(7), "tau": schedule(np.arange(7), 6, kind=k)}) for k in SHARES
    ]
    theory.schedules(pd.concat(tables), ax=axes)
    names = ["exponential (Eq. 24)", "linear", "cosine", "step", "constant"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == names
    assert len({line.get_linestyle() for line in axes.get_lines()} | {"x"}) > 2


def test_scales_are_written_as_in_the_paper():
    assert theory.scale_label(math.sqrt(0.5)) == theory.scale_label(0.7071) == r"$b = \sqrt{2}/2$"
    assert theory.scale_label(2.0) == "$b = 2$"


@pytest.mark.parametrize(
    "plot",
    [
        theory.quantization_error,
        theory.error_over_tau,
        theory.entropy_over_tau,
        theory.error_over_entropy,
        entropy.entropy_map,
        entropy.entropy_strip,
        theory.schedules,
    ],
)
def test_unusable_tables_are_refused(plot, curves, axes):
    with pytest.raises(InputError, match="lacks the column"):
        plot(curves.drop(columns=["tau"]), ax=axes)
    with pytest.raises(InputError, match="no rows"):
        plot(curves.assign(schedule="x", epoch=0)[:0], ax=axes)
