"""recu-analyze demo: whether it goes on with what is there."""

from __future__ import annotations

import pytest

import recu_analysis as ra
from recu_analysis.cli.demo import _drawn
from recu_analysis.errors import InputError
from recu_analysis.figures import FIGURES
from recu_analysis.figures.registry import OF_LEVELS
from recu_analysis.testing import synthetic_run
from tests.cli_runner import run_cli
from tests.messages import says


@pytest.mark.parametrize(("holds", "resumed"), [(None, False), ([], False), (["lock"], False), (["run.json"], True)])
def test_it_goes_on_with_a_run_and_takes_an_empty_folder_for_a_new_one(tmp_path, monkeypatch, holds, resumed):
    told = []

    def stopped(*_, resume, **__):
        told.append(resume)
        raise InputError("no further")

    monkeypatch.setattr("recu_analysis.cli.train.run_training", stopped)
    if holds is not None:
        (tmp_path / "recu").mkdir()
    for name in holds or []:
        (tmp_path / "recu" / name).touch()
    assert run_cli("demo", "--directory", tmp_path).exit_code == 1
    assert told == [resumed]


@pytest.mark.figures
def test_the_demo_draws_and_writes_what_it_says(tmp_path):
    """The first command of README, with fewer epochs."""
    result = run_cli("demo", "--directory", tmp_path / "demo", "--epochs", "2")
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "demo" / "report.html").stat().st_size > 10_000
    drawn = {path.stem for path in (tmp_path / "demo" / "figures").glob("*.pdf")}
    missing = {"causes", "initscale", "length", "mask", *OF_LEVELS}  # of other experiments or weights
    assert drawn == {name for name in FIGURES if not name.startswith("table")} - missing


def test_a_run_is_no_folder_for_the_demo(tmp_path):
    synthetic_run(tmp_path / "run")
    result = run_cli("demo", "--directory", tmp_path / "run")
    assert result.exit_code == 1
    says(result.stderr, "is a run itself", "give a folder")
    assert not (tmp_path / "run" / "recu").exists()


def test_a_figure_that_needs_what_was_not_recorded_does_not_stop_the_demo(tmp_path, monkeypatch):
    monkeypatch.setattr("recu_analysis.figures.registry.fitting", lambda runs: ["causes", "mask", "table1", "fig3"])
    runs = {"ReCU": ra.open_run(synthetic_run(tmp_path / "run").path)}
    assert _drawn(runs, tmp_path / "figures") == ["fig3"]
    assert (tmp_path / "figures" / "fig3.pdf").exists()
