"""Figures at other widths: broken labels, outer labels, legends that fit."""

from __future__ import annotations

import pytest
from matplotlib.lines import Line2D

from recu_analysis.figures.print.fitting import (
    fit_labels,
    legend_above,
    outer_labels,
    share_x_label,
    shared_legend,
)
from recu_analysis.figures.print.style import panels, style


def test_long_labels_are_broken_outside_of_mathematics():
    with style(every=2.0):
        figure, (axes,) = panels(1)
        axes.set_xlabel("a label with $x = 1 + 2 + 3 + 4$ in it and far more words than fit")
        axes.set_ylabel("short")
        fit_labels(figure)
        first, second = axes.get_xlabel().split("\n")
        assert first.count("$") % 2 == second.count("$") % 2 == 0
        assert axes.get_ylabel() == "short"


def test_labels_that_fit_stay():
    with style("page"):
        figure, (axes,) = panels(1)
        axes.set_xlabel("a label with $x = 1$ in it and a few more words")
        fit_labels(figure)
    assert "\n" not in axes.get_xlabel()


def test_a_unit_stands_on_a_line_of_its_own():
    with style(every=1.6):
        figure, (axes,) = panels(1)
        figure.set_figheight(1.5)
        axes.set_ylabel("mobility ($10^{-3}$ std per update)")
        axes.set_xlabel("a rather long distance from the threshold (std)")
        fit_labels(figure)
    assert axes.get_ylabel() == "mobility\n($10^{-3}$ std per update)"
    # What stands before the unit is too long for one line.
    assert axes.get_xlabel() == "a rather long distance\nfrom the threshold (std)"


@pytest.mark.parametrize(("width", "shown", "ticks"), [("page", [], [True] * 3), ("column", [2], [False, False, True])])
def test_a_label_that_panels_share_stands_once(width, shown, ticks):
    with style(every=width):
        figure, axes = panels(3, together=3)
        for ax in axes:
            ax.set_xlabel("x")
        share_x_label(figure, axes)
    assert [at for at, ax in enumerate(axes) if ax.xaxis.label.get_visible()] == shown
    assert (figure.get_supxlabel() == "x") == (not shown)
    assert [ax.xaxis.get_tick_params()["labelbottom"] for ax in axes] == ticks


def test_labels_stay_where_no_panel_is_below_or_left():
    with style("page"):
        _, axes = panels(5, together=5, width=3.6)
        for ax in axes:
            ax.set(xlabel="x", ylabel="y")
        outer_labels(axes)
    assert [ax.get_subplotspec().colspan.start for ax in axes] == [0, 1, 0, 1, 0]
    assert [ax.xaxis.label.get_visible() for ax in axes] == [False, False, False, True, True]
    assert [ax.yaxis.label.get_visible() for ax in axes] == [True, False, True, False, True]


def test_panels_that_belong_together_begin_a_row():
    with style(every=3.6):
        _, axes = panels(6, together=3)
    rows = [ax.get_subplotspec().rowspan.start for ax in axes]
    assert rows == [0, 0, 1, 2, 2, 3]


@pytest.mark.parametrize(("width", "columns"), [(6.875, 3), (3.25, 2), (1.8, 1)])
def test_a_legend_has_as_many_columns_as_fit(width, columns):
    with style(every=width):
        figure, _ = panels(1)
        legend_above(figure, [Line2D([], [], label=f"an arm with a longer name {number}") for number in range(3)])
        assert figure.legends[0]._ncols == columns
        figure.draw_without_rendering()
        assert figure.legends[0].get_window_extent().width <= figure.bbox.width


def test_a_legend_of_many_runs_makes_the_figure_higher_and_its_labels_shorter():
    with style(every=3.25):
        figure, _ = panels(1)
        before = figure.get_figheight()
        legend_above(figure, [Line2D([], [], label=f"{at} {'letters ' * 8}{at}") for at in range(8)])
        figure.draw_without_rendering()
        assert figure.legends[0].get_window_extent().width <= figure.bbox.width
    (legend,) = figure.legends
    assert legend._ncols == 2
    labels = [text.get_text() for text in legend.get_texts()]
    assert [(label[0], label[-1]) for label in labels] == [(str(at), str(at)) for at in range(8)]
    assert before < figure.get_figheight() < before + 0.5


def test_one_legend_replaces_those_of_the_panels():
    with style():
        figure, axes = panels(2)
        for ax in axes:
            ax.plot([0, 1], label="a")
            ax.legend()
        shared_legend(figure, axes)
    assert [ax.get_legend() for ax in axes] == [None, None]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a"]
