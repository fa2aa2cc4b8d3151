"""Scores of a layer at a moment, with three distributions."""

from __future__ import annotations

from matplotlib.figure import Figure

import recu_analysis as ra
from recu_analysis.testing import synthetic_run


def test_scores_are_drawn_with_the_last_window_unless_told(tmp_path):
    run = ra.open_run(synthetic_run(tmp_path / "run").path)
    axes = ra.plot_scores(run, layer="second", ax=Figure().subplots())
    first = ra.plot_scores(run, layer="second", windows=0, ax=Figure().subplots())
    assert axes.texts[0].get_text() != first.texts[0].get_text()
    assert [line.get_label() for line in axes.get_lines()] == ["Laplace", "normal", "generalized normal"]
