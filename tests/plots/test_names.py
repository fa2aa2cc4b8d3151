"""Names from runs in a figure: letter by letter, never mathematics, never hidden, never a missing letter."""

from __future__ import annotations

import warnings

import pytest
from matplotlib.figure import Figure

from recu_analysis.figures.print.style import style
from recu_analysis.plots.names import text_of


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("layer1.0.conv1", "layer1.0.conv1"),
        ("$x^2$", r"\$x^2\$"),
        ("_hidden", " _hidden"),
        ("a\nb\x1b[31m", r"a\nb\x1b[31m"),
        ("größe β", "größe β"),
        ("漢", r"\u6f22"),
        ("\udcff", r"\udcff"),
        (3, "3"),
    ],
)
@pytest.mark.parametrize("venue", ["iccv", "talk"])
def test_a_name_is_shown_as_it_is(name, shown, venue):
    with style(venue=venue), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert text_of(name) == shown
        figure = Figure()
        axes = figure.add_subplot(title=text_of(name))
        axes.plot([1, 2], label=text_of(name))
        axes.legend()
        figure.draw_without_rendering()
    assert [each.get_text() for each in axes.get_legend().get_texts()] == [shown]


def test_a_long_name_loses_its_middle():
    assert text_of("a" * 30 + "b" * 30, longest=11) == "aaaaa…bbbbb"
    assert text_of("a" * 11, longest=11) == "a" * 11
