"""The forest of claims: intervals against thresholds, each row on its own scale."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from recu_analysis.errors import InputError
from recu_analysis.plots.claims import forest

NAN, INF = math.nan, math.inf
ROWS = pd.DataFrame(
    [
        ("C1", "small", 0.2, 0.1, 0.3, "supported", -INF, 0.5, NAN, 0.8),
        ("C2", "held", 1.2, 1.15, 1.25, "contradicted", 0.95, 1.05, 0.9, 1.1),
        ("C3", "unknown", NAN, NAN, NAN, "cannot tell", -INF, 0.0, NAN, 0.0),
        ("C4", "algebra", 3.0, 2.0, 4.0, "by construction", NAN, NAN, NAN, NAN),
    ],
    columns=[
        "id", "claim", "estimate", "low", "high", "verdict",
        "supports_low", "supports_high", "refutes_below", "refutes_above",
    ],
)  # fmt: skip


def test_an_estimate_lies_on_the_side_of_the_threshold_that_it_is_on(axes):
    forest(ROWS, ax=axes)
    bars = {round(bar.get_y() + bar.get_height() / 2): [] for bar in axes.patches}
    for bar in axes.patches:
        bars[round(bar.get_y() + bar.get_height() / 2)].append((bar.get_x(), bar.get_x() + bar.get_width()))
    assert {row: len(found) for row, found in bars.items()} == {0: 2, 1: 3}
    interval, small, _, held = (line for line in axes.get_lines() if line.get_zorder() >= 3)
    supports, refutes = bars[0]
    assert supports[0] == 0.0
    assert refutes[1] == 1.0
    assert max(interval.get_xdata()) < supports[1] < refutes[0]
    assert small.get_xdata()[0] == pytest.approx(sum(interval.get_xdata()) / 2)
    assert bars[1][2][0] < held.get_xdata()[0] < 1.0


def test_verdicts_and_thresholds_stand_as_text(axes):
    axes.figure.set_figwidth(9.0)
    forest(ROWS, ax=axes)
    texts = [text.get_text() for text in axes.texts]
    assert "supported\n0.2 (0.1 to 0.3)" in texts
    assert "cannot tell" in texts
    assert "by construction\n3 (2 to 4)" in texts
    assert {"0.5", "0.8", "0.9", "1.1"} <= set(texts)
    assert axes.get_yticklabels()[0].get_text() == "C1  small"


def test_unusable_tables_are_refused(axes):
    with pytest.raises(InputError, match="lacks the column verdict"):
        forest(ROWS.drop(columns="verdict"), ax=axes)
