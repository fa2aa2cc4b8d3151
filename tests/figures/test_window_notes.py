"""Sentences of captions about windows: a caption names the runs for which noise alone is not known."""

from __future__ import annotations

import math

import pytest

import recu_analysis as ra
from recu_analysis.figures.registry import FIGURES, figure_query
from recu_analysis.figures.window_notes import unknown_noise
from recu_analysis.testing import synthetic_run

SENTENCE = "What noise alone would give is not known for unknown, and not shown."


@pytest.mark.parametrize("name", ["fig2", "silence", "layers", "lockin", "magnitude", "fliplaw"])
def test_a_caption_names_the_runs_without_noise_alone(name, tmp_path):
    for label in ("known", "unknown"):
        run = synthetic_run(tmp_path / label, exact=label == "known").path  # checkpoints hold no learning rates
        found = figure_query(name, {label: ra.open_run(run)}).run()
        assert (SENTENCE in FIGURES[name].note(found)) is (label == "unknown")


def test_the_caption_of_hazards_names_the_runs_without_noise_alone(tmp_path):
    found = figure_query("survival", {"unknown": ra.open_run(synthetic_run(tmp_path / "run").path)}).run()
    assert SENTENCE not in FIGURES["survival"].note(found)
    without = found._replace(tables={"unknown": found.tables["unknown"].assign(hazard_null=math.nan)})
    assert SENTENCE in FIGURES["survival"].note(without)


def test_a_run_of_which_a_part_is_known_is_not_named():
    assert unknown_noise({"a": [float("nan"), 0.5], "b": [0.5]}) == ""
    assert unknown_noise({"a": [float("nan")], "b": [0.5]}) == (
        "What noise alone would give is not known for a, and not shown."
    )
