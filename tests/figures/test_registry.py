"""What figures ask of runs, by their names: several together, errors as values."""

from __future__ import annotations

import pandas as pd
import pytest

import recu_analysis as ra
from recu_analysis.analysis.query import gathered
from recu_analysis.errors import InputError, NotRecordedError
from recu_analysis.figures import figure_query
from recu_analysis.figures.drawing import OWN_PAGE, write_figure
from recu_analysis.figures.spec import OWN_CHOICE
from recu_analysis.testing import synthetic_run


@pytest.fixture
def unlabeled(tmp_path):
    """Runs without the paper's layer, and without gradients."""
    return {"mine": ra.open_run(synthetic_run(tmp_path / "run").path)}


def test_what_runs_cannot_give_is_an_error_beside_what_they_can(unlabeled, tmp_path):
    found = gathered({name: figure_query(name, unlabeled) for name in ("fliplaw", "mask", "table1")}).run()
    assert isinstance(found["mask"], NotRecordedError)
    alone = ra.flip_table(unlabeled["mine"]).assign(run="mine")
    pd.testing.assert_frame_equal(found["fliplaw"].table, alone, check_exact=True, check_like=True)
    pd.testing.assert_frame_equal(found["table1"], ra.paper_table(1, unlabeled))
    with pytest.raises(NotRecordedError):
        write_figure(
            "mask", unlabeled, found["mask"], OWN_CHOICE, OWN_PAGE, directory=tmp_path, formats=("png",), command="test"
        )
    assert isinstance(figure_query("fig2", {}).run(), InputError)


def test_an_unknown_figure_is_refused_at_once(unlabeled):
    with pytest.raises(InputError, match="'figg3'; did you mean fig3"):
        figure_query("figg3", unlabeled)
    with pytest.raises(InputError, match="'histogram'; known are fig2, ridge"):
        figure_query("histogram", unlabeled)
