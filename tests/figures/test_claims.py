"""The figure of the claims: which runs are tested, their thresholds, and the room that it needs."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

import recu_analysis as ra
from recu_analysis.errors import InputError
from recu_analysis.figures import FIGURES, figure_query
from recu_analysis.figures.claims import query
from recu_analysis.figures.print.style import style
from recu_analysis.figures.spec import OWN_CHOICE, Asked
from tests.messages import facts


def test_claims_are_tested_on_the_first_arm_that_clamps(trained):
    runs = {"baseline": trained("baseline", recu=False), "a": trained("a"), "b": trained("b", seed=1)}
    data = query(runs).run()
    assert set(data["runs"]) == {"a b"}
    assert set(data["baseline"]) == {"baseline"}
    assert data["id"].tolist() == ra.claims([runs["a"], runs["b"]], baseline=runs["baseline"])["id"].tolist()
    thresholds = ["supports_low", "supports_high", "refutes_above"]
    assert data.set_index("id").loc["C2", thresholds].tolist() == [0.8, 1.25, 1.6]
    axes = ra.plot_claims(runs, ax=Figure().subplots())
    assert len(axes.get_yticks()) == len(data)
    with pytest.raises(InputError, match=facts("claims", "at least one run")):
        query({})


def test_words_stand_above_their_row_in_a_column_and_beside_it_on_a_page(trained):
    data = figure_query("claims", {"a": trained("a")}).run()
    for width, beside in (("page", True), ("column", False)):
        with style("page", every=width):
            figure, _ = FIGURES["claims"].draw(data, OWN_CHOICE)
        (axes,) = figure.axes
        assert bool(axes.get_yticklabels()) == beside, width


def test_windows_are_chosen_and_told(trained):
    run = trained("a")
    data = figure_query("claims", {"a": run}, Asked(windows="3:")).run()
    columns = ["id", "estimate", "low", "high", "verdict"]
    assert data[columns].equals(ra.claims(run, windows="3:")[columns])
    assert "Movement is measured over windows 3 to 4, and" in FIGURES["claims"].note(data)
