"""The public plot functions draw into the axes that they are given, and return these."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

import recu_analysis as ra
from recu_analysis.errors import LayerNotFoundError
from recu_analysis.testing import synthetic_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ra.open_run(synthetic_run(tmp_path_factory.mktemp("plots") / "run").path)


FUNCTIONS = {
    "plot_accuracy": lambda run, ax: ra.plot_accuracy({"a": run}, ax),
    "plot_by_magnitude": lambda run, ax: ra.plot_by_magnitude({"a": run}, "mobility", ax),
    "plot_claims": lambda run, ax: ra.plot_claims({"a": run}, ax),
    "plot_dead_weights": lambda run, ax: ra.plot_dead_weights(run, "second", ax),
    "plot_entropy": lambda _, ax: ra.plot_entropy(ax),
    "plot_flip_law": lambda run, ax: ra.plot_flip_law({"a": run}, ax),
    "plot_heat_map": lambda run, ax: ra.plot_heat_map(run, "mobility", ax),
    "plot_layer_errors": lambda run, ax: ra.plot_layer_errors(run, ax),
    "plot_lock_in": lambda run, ax: ra.plot_lock_in(run, ax),
    "plot_quantization_error": lambda _, ax: ra.plot_quantization_error(ax=ax),
    "plot_schedule": lambda _, ax: ra.plot_schedule(100, ax=ax),
    "plot_scores": lambda run, ax: ra.plot_scores(run, "second", ax=ax),
    "plot_silence": lambda run, ax: ra.plot_silence(run, ax),
    "plot_tradeoff": lambda run, ax: ra.plot_tradeoff(ax=ax, epochs=12, run=run, layers="second"),
    "plot_training": lambda run, ax: ra.plot_training({"a": run}, "val_top1", ax),
}
# These need runs that were trained, and have tests of their own.
ELSEWHERE = {"plot_initial_scale", "plot_mask"}


def test_every_plot_function_is_tested():
    assert {name for name in ra.__all__ if name.startswith("plot_")} == {*FUNCTIONS, *ELSEWHERE}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_returns_the_axes_that_it_drew_into(run, name):
    axes = Figure().subplots()
    assert FUNCTIONS[name](run, axes) is axes
    assert axes.has_data()


def test_an_unknown_layer_is_refused(run):
    with pytest.raises(LayerNotFoundError):
        ra.plot_dead_weights(run, "nothing", Figure().subplots())
