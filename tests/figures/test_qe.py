"""Errors of layers are measured, and closed forms beside them."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

import recu_analysis as ra
from recu_analysis.testing import synthetic_run


def test_errors_of_layers_are_in_units_of_their_scale(tmp_path):
    run = ra.open_run(synthetic_run(tmp_path / "run").path)
    axes = ra.plot_layer_errors(run, ax=Figure().subplots(), layers="second")
    measured, exact, printed, _ = axes.get_lines()
    table = ra.measured_tradeoff(run, tau=(0.51, 0.995), points=40, layers="second")
    assert np.allclose(measured.get_ydata(), table["qe_measured"] / table["b"] ** 2)
    tau = exact.get_xdata()
    closed = 4 * (1 - tau) * np.log(2 - 2 * tau) + 2 * (2 * tau - 1) - (2 * tau - 1) ** 2
    assert np.allclose(exact.get_ydata(), closed)
    assert np.allclose(printed.get_ydata(), closed + 16 * (1 - tau) ** 3)
