"""The figure of the mask, from real short trainings with recorded gradients."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from matplotlib.figure import Figure

import recu_analysis as ra
from recu_analysis.errors import InputError, NotRecordedError
from recu_analysis.figures import FIGURES, draw_figure, figure_query
from recu_analysis.figures.spec import Asked
from recu_analysis.plots.mask import mask
from recu_analysis.testing import synthetic_run
from tests.analysis.test_mask import trained


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mask")
    arms = {"clamp": {}, "none": {"clamp": False}, "random": {"mask": "random"}}
    return {name: trained(folder / name, **options)[0] for name, options in arms.items()}


def test_its_files_are_the_same_each_time(runs, tmp_path):
    first, second = (draw_figure("mask", runs, directory=tmp_path / name) for name in "ab")
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()
    data = pd.read_csv(tmp_path / "a" / "mask.csv")
    assert data["run"].unique().tolist() == ["clamp", "none", "random"]
    assert json.loads((tmp_path / "a" / "mask.json").read_text())["runs"]["clamp"]["id"] == runs["clamp"].id


def test_it_counts_the_signs_of_all_runs(runs):
    axes = Figure().subplots()
    assert ra.plot_mask(runs, ax=axes) is axes
    assert axes.texts[0].get_text() == f"signs changed by the clamp:\n0 of {3 * 8 * 16 * 60:,}"
    data = pd.DataFrame({"run": "a", "bin": [0, 1], "abs_z": [0.1, 1.0], "gradient": [1.0, 0.5]})
    mask(data.assign(signs_changed=7, signs=1000), ax=axes)
    assert axes.texts[-1].get_text().endswith("7 of 1,000")
    with pytest.raises(InputError, match="lacks the columns signs_changed, signs"):
        mask(data, ax=axes)


def test_windows_are_chosen_and_told(runs):
    last, first = (figure_query("mask", runs, Asked(windows=each)).run() for each in (None, 1))
    assert FIGURES["mask"].note(last) != FIGURES["mask"].note(first)
    assert FIGURES["mask"].note(first).startswith("Window 1")
    assert not last.table["gradient"].equals(first.table["gradient"])
    assert last.table["signs"].equals(first.table["signs"])


def test_runs_without_gradients_say_how_to_record_them(tmp_path):
    run = ra.open_run(synthetic_run(tmp_path / "run").path)
    with pytest.raises(NotRecordedError, match="record them with train --record grad"):
        draw_figure("mask", {"mine": run}, directory=tmp_path / "out")
