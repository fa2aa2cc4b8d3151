"""Maps of layers show what the layer table says."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

import recu_analysis as ra
from recu_analysis.testing import synthetic_run


def test_a_map_holds_the_layer_table(tmp_path):
    run = ra.open_run(synthetic_run(tmp_path / "run").path)
    table = ra.layer_table(run)
    axes = ra.plot_heat_map(run, quantity="mobility", ax=Figure().subplots())
    (mesh,) = axes.collections
    expected = [1e3 * table[(table["layer"] == name) & (table["updates"] > 0)]["mobility"] for name in run.layer_names]
    assert np.allclose(mesh.get_array().reshape(2, 4), expected)
    assert [label.get_text() for label in axes.get_yticklabels()] == run.layer_names
    assert axes.get_ylim() == (2, 0)
    assert axes.get_xlim() == (-0.5, 3.5)
    assert mesh.get_cmap().name == "cividis"
