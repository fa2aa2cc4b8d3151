"""The claims over the length of trainings: runs by their T, verdicts as of each length alone."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from matplotlib.figure import Figure

import recu_analysis as ra
from recu_analysis.analysis.selection import decay_time
from recu_analysis.errors import InputError
from recu_analysis.figures import FIGURES, figure_query
from recu_analysis.figures.claims import with_thresholds
from recu_analysis.figures.print.style import style
from recu_analysis.figures.spec import OWN_CHOICE
from tests.messages import facts

NUMBERS = ["id", "estimate", "low", "high", "verdict", "why"]


def test_claims_of_each_length_are_those_of_its_runs_alone(trained):
    # Another learning rate is another experiment; T of 8.4 and 8.6 is about one length.
    times = {"short-recu": 0.1, "short-baseline": 0.1, "long-recu": 1.05, "long-baseline": 1.075}
    runs = {name: trained(name, decay_time=time, lr=time, recu="recu" in name) for name, time in times.items()}
    data = figure_query("length", runs).run()
    assert data["decay_time"].unique() == pytest.approx([0.8, 8.4])
    for length, found in zip(("short", "long"), (group for _, group in data.groupby("decay_time")), strict=True):
        tested, other = (runs[f"{length}-{arm}"] for arm in ("recu", "baseline"))
        assert decay_time(tested) == pytest.approx(found["decay_time"].iloc[0])
        assert found.reset_index(drop=True)[NUMBERS].equals(ra.claims(tested, baseline=other)[NUMBERS])


def table():
    """Claims at two lengths: C1b decides at the longer one, C6 at none, and C5 has no estimate."""
    rows = [
        (0.8, "C1b", 0.9, 0.7, 1.1, "undecided"),
        (8.4, "C1b", 1.0, 0.95, 1.05, "contradicted"),
        (0.8, "C5", math.nan, math.nan, math.nan, "cannot tell"),
        (8.4, "C5", math.nan, math.nan, math.nan, "cannot tell"),
        (0.8, "C6", math.nan, math.nan, math.nan, "cannot tell"),
        (8.4, "C6", 1.05, 1.0, 1.2, "undecided"),
    ]
    found = pd.DataFrame(rows, columns=["decay_time", "id", "estimate", "low", "high", "verdict"])
    return found.assign(claim=found["id"].map({"C1b": "one", "C5": "two", "C6": "three"}))


def test_a_panel_shows_each_estimate_and_whether_it_decides():
    axes = ra.plot_length(table(), claim="C1b", ax=Figure().subplots(), markersize=7)
    filled, hollow = axes.get_lines()
    assert [*zip(*filled.get_data(), strict=True)] == [(8.4, 1.0)]
    assert [*zip(*hollow.get_data(), strict=True)] == [(0.8, 0.9)]
    assert filled.get_markersize() == hollow.get_markersize() == 7
    assert hollow.get_markerfacecolor() == "white" != filled.get_markerfacecolor()
    assert axes.get_xscale() == "log"
    bottom, top = axes.get_ylim()
    assert bottom < 0.5  # the threshold below which the claim is supported
    assert top > 1.1


def test_panels_are_the_claims_that_have_an_estimate():
    data = FIGURES["length"]
    with style("page"):
        figure, _ = data.draw(with_thresholds(table()), OWN_CHOICE)
    assert [axes.get_title().split(":")[0] for axes in figure.axes] == ["C1b", "C6"]
    assert "C1b, one; C5, two; C6, three" in data.note(table())
    nothing = with_thresholds(table()).assign(estimate=math.nan)
    with style("page"), pytest.raises(InputError, match=facts("no claim", "estimate")):
        data.draw(nothing, OWN_CHOICE)


def test_one_length_or_an_unknown_one_is_refused(trained):
    one = {"a": trained("a"), "b": trained("b", recu=False)}
    unknown = one | {"c": trained("c", decay_time=float("nan"), lr=0.2)}
    for runs, words in ((one, ("length", "two lengths", "0.8")), (unknown, ("T of c", "not known"))):
        with pytest.raises(InputError, match=facts(*words)):
            ra.plot_length(runs)
        assert isinstance(figure_query("length", runs).run(), InputError)
    with pytest.raises(InputError, match=facts("claim", "C99", "C1b")):
        ra.plot_length(one, claim="C99")
