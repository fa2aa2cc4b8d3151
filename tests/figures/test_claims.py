"""The figure of the claims: which runs are tested, their thresholds, and the room that it needs."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

import recu_analysis as ra
from recu_analysis.errors import InputError
from recu_analysis.figures import draw_figure
from recu_analysis.figures.claims import query
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


def test_the_claims_need_room(trained, tmp_path):
    with pytest.raises(InputError, match=r"needs 4\.8 inches; give --width page"):
        draw_figure("claims", {"a": trained("a")}, directory=tmp_path, width="column")
