"""The style: sizes of the venue, restored settings, panels that nothing has to close."""

from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from recu_analysis.errors import InputError
from recu_analysis.figures.print.style import VENUES, current_venue, figure_size, panels, style


@pytest.mark.parametrize(("width", "inches"), [("column", 3.25), ("page", 6.875), (4.0, 4.0)])
def test_width_is_that_of_the_venue_or_in_inches(width, inches):
    assert figure_size(width)[0] == inches


def test_height_suits_the_panels_unless_given():
    assert figure_size("page", panels=2)[1] == pytest.approx(figure_size("page")[1] / 2)
    assert figure_size("page", 2.0, panels=2) == (6.875, 2.0)


def test_other_venues_have_other_widths():
    assert figure_size("page", venue="thesis")[0] != figure_size("page")[0]


@pytest.mark.parametrize("name", VENUES)
def test_every_venue_has_a_column_within_its_page_and_legible_text(name):
    venue = VENUES[name]
    assert 2.5 < venue.column <= venue.page < 8.3
    assert 8 <= venue.font_size <= 11


def test_venues_are_those_of_tueplots_and_of_the_templates():
    assert (VENUES["iccv"].column, VENUES["iccv"].page) == (3.25, 6.875)
    assert VENUES["neurips"].column == VENUES["neurips"].page == 5.5
    assert VENUES["icml"].page == 6.75
    assert VENUES["ieee"].column == pytest.approx(252 / 72.27, abs=1e-4)
    assert VENUES["springer"].page == pytest.approx(122 / 25.4, abs=0.01)


def test_the_style_s_venue_and_width_reach_every_figure():
    with style(venue="neurips"):
        assert panels(2)[0].get_figwidth() == 5.5
        assert current_venue() is VENUES["neurips"]
        with style(every=4.0):
            assert panels(1, "column")[0].get_figwidth() == 4.0
        assert panels(1, "column")[0].get_figwidth() == 5.5
    assert panels(2)[0].get_figwidth() == 6.875


def test_panels_too_narrow_for_a_row_stand_below_each_other():
    with style(every="column"):
        figure, axes = panels(3, "page", 0.5)
    assert len(axes) == len(figure.axes) == 3
    assert len({ax.get_subplotspec().rowspan.start for ax in axes}) == 3
    assert figure.get_figheight() == pytest.approx(3 * 1.5), "rows are lower than half the width"
    assert [ax.get_subplotspec().rowspan.start for ax in panels(5)[1]] == [0, 0, 0, 1, 1]
    assert [ax.get_subplotspec().rowspan.start for ax in panels(6, together=3)[1]] == [0, 0, 0, 1, 1, 1]


def test_rows_that_a_page_cannot_hold_are_refused():
    with style(venue="talk", every="column"), pytest.raises(InputError, match="3 rows of panels do not fit"):
        panels(3, together=3)
    with style(venue="talk", every="page"):
        assert panels(3, together=3)[0].get_figheight() <= VENUES["talk"].height


def test_slides_have_no_serifs():
    with style(venue="talk"):
        assert mpl.rcParams["font.family"] == ["sans-serif"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"venue": "nature"}, "nature.*iccv"),
        ({"venue": "neurip"}, "no venue is called 'neurip'; did you mean neurips"),
        ({"width": "half"}, "column, page"),
        ({"width": 0.0}, "positive"),
        ({"height": -1.0}, "positive"),
    ],
)
def test_unusable_sizes_are_refused(arguments, says):
    with pytest.raises(InputError, match=says):
        figure_size(**arguments)


def fail():
    raise RuntimeError


def test_style_restores_every_setting_even_after_an_error():
    before = dict(mpl.rcParams)
    with pytest.raises(RuntimeError), style("page"):
        fail()
    assert dict(mpl.rcParams) == before


def test_style_sets_what_publishers_ask_for():
    with style("page"):
        assert mpl.rcParams["pdf.fonttype"] == mpl.rcParams["ps.fonttype"] == 42
        assert mpl.rcParams["svg.fonttype"] == "none"
        assert mpl.rcParams["figure.figsize"] == [6.875, pytest.approx(6.875 * 0.66)]


def test_text_is_7_to_9_points_in_print():
    for venue in ("iccv", "thesis"):
        with style(venue=venue):
            sizes = [mpl.rcParams[name] for name in ("axes.labelsize", "xtick.labelsize", "legend.fontsize")]
        assert all(7 <= size <= 9 for size in sizes)


def test_style_opens_no_figure():
    before = plt.get_fignums()
    with style():
        panels(2)
    assert plt.get_fignums() == before


def test_panels_stand_side_by_side():
    with style("page"):
        figure, axes = panels(2)
    figure.draw_without_rendering()
    assert tuple(figure.get_size_inches()) == figure_size("page", panels=2)
    assert axes[0].get_position().x1 < axes[1].get_position().x0
    assert axes[0].get_position().height == pytest.approx(axes[1].get_position().height)


@pytest.mark.parametrize("width", [0, -1, 101, float("inf"), float("nan")])
def test_sizes_that_cannot_be_drawn_are_refused(width):
    with pytest.raises(InputError, match="must be positive and at most 100 inches"):
        figure_size(width)
