"""Figures of layers and claims: what they show is what the analysis says."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

import recu_analysis as ra
from recu_analysis.errors import InputError
from recu_analysis.figures import draw_figure
from recu_analysis.figures.of_claims import claims_data
from recu_analysis.figures.of_layers import map_data
from recu_analysis.testing import synthetic_run


@pytest.fixture
def run(tmp_path):
    return ra.open_run(synthetic_run(tmp_path / "run").path)


def test_a_map_holds_the_layer_table(run):
    table = ra.layer_table(run)
    axes = ra.plot_heat_map(run, "mobility", Figure().subplots())
    (mesh,) = axes.collections
    expected = [1e3 * table[(table["layer"] == name) & (table["updates"] > 0)]["mobility"] for name in run.layer_names]
    assert np.allclose(mesh.get_array().reshape(2, 4), expected)
    assert [label.get_text() for label in axes.get_yticklabels()] == run.layer_names
    assert axes.get_ylim() == (2, 0)
    assert axes.get_xlim() == (-0.5, 3.5)
    assert mesh.get_cmap().name == "cividis"


def test_map_data_counts_windows_where_no_epoch_was_marked(run):
    (run.path / "history/segment-0000/metrics.jsonl").unlink()
    assert map_data({"a": ra.open_run(run.path)})["epoch"].unique().tolist() == [1, 2, 3, 4]


def test_errors_of_layers_are_in_units_of_their_scale(run):
    axes = ra.plot_layer_errors(run, Figure().subplots(), layers="second")
    measured, exact, printed, _ = axes.get_lines()
    table = ra.measured_tradeoff(run, (0.51, 0.995), 40, layers="second")
    assert np.allclose(measured.get_ydata(), table["qe_measured"] / table["b"] ** 2)
    tau = exact.get_xdata()
    closed = 4 * (1 - tau) * np.log(2 - 2 * tau) + 2 * (2 * tau - 1) - (2 * tau - 1) ** 2
    assert np.allclose(exact.get_ydata(), closed)
    assert np.allclose(printed.get_ydata(), closed + 16 * (1 - tau) ** 3)


def test_scores_are_drawn_with_the_last_window_unless_told(run):
    axes = ra.plot_scores(run, "second", ax=Figure().subplots())
    first = ra.plot_scores(run, "second", 0, Figure().subplots())
    assert axes.texts[0].get_text() != first.texts[0].get_text()
    assert [line.get_label() for line in axes.get_lines()] == ["Laplace", "normal", "generalised normal"]


def test_claims_are_tested_on_the_first_arm_that_clamps(trained):
    runs = {"baseline": trained("baseline", recu=False), "a": trained("a"), "b": trained("b", seed=1)}
    data = claims_data(runs)
    assert set(data["runs"]) == {"a b"}
    assert set(data["baseline"]) == {"baseline"}
    assert data["id"].tolist() == ra.claims([runs["a"], runs["b"]], [runs["baseline"]])["id"].tolist()
    assert data.set_index("id").loc["C2", ["supports_low", "supports_high", "refutes_above"]].tolist() == [
        0.8,
        1.25,
        1.6,
    ]
    axes = ra.plot_claims(runs, Figure().subplots())
    assert len(axes.get_yticks()) == len(data)
    with pytest.raises(InputError, match="name at least one run"):
        claims_data({})


def test_the_claims_need_room(run, tmp_path):
    with pytest.raises(InputError, match=r"the figure of the claims needs 4\.8 inches; give --width page"):
        draw_figure("claims", {"a": run}, tmp_path, command="test", width="column")
