"""The ridge: one filled curve a window, the first on top, on one scale."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from recu_analysis.plots.ridge import ridge


def densities(epochs):
    edges = np.linspace(-4, 4, 41)
    rows = [
        pd.DataFrame({"window": at, "epoch": epoch, "left": edges[:-1], "right": edges[1:]}).assign(
            density=np.exp(-np.abs(edges[:-1] + 0.1)) * (1 + at)
        )
        for at, epoch in enumerate(epochs)
    ]
    return pd.concat(rows, ignore_index=True)


def test_curves_go_down_and_have_one_scale(axes):
    ridge(densities([np.nan, 3, 7]), ax=axes)
    curves = [curve.get_paths()[0].vertices[:, 1] for curve in axes.collections]
    assert [curve.min() for curve in curves] == [0, -1, -2]
    assert [np.ptp(curve) for curve in curves] == pytest.approx([0.6, 1.2, 1.8])
    assert all(np.diff([curve.get_zorder() for curve in axes.collections]) > 0)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["start", "3", "7"]
    assert axes.get_ylabel() == "end of epoch"
    assert [line.get_xdata()[0] for line in axes.get_lines()] == [-1, 0, 1]


def test_without_epochs_windows_are_counted(axes):
    ridge(densities([np.nan, np.nan]), ax=axes)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["start", "1"]
    assert axes.get_ylabel() == "end of window"
