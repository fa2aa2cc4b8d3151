"""See which latent weights of a binary neural network are dead, when they die, and what revives them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recu_analysis.analysis.claims import claims
    from recu_analysis.analysis.cohorts import cohorts, transitions
    from recu_analysis.analysis.deadness import dead_weights
    from recu_analysis.analysis.distance import tails
    from recu_analysis.analysis.fits import fit_table
    from recu_analysis.analysis.flips import flip_table
    from recu_analysis.analysis.horizon import horizon
    from recu_analysis.analysis.layers import layer_table
    from recu_analysis.analysis.magnitude import by_magnitude
    from recu_analysis.analysis.measured import measured_tradeoff
    from recu_analysis.analysis.selection import WindowRange
    from recu_analysis.analysis.tradeoff import tradeoff
    from recu_analysis.capture.adapters import adapter, find_binary_layers
    from recu_analysis.capture.recorder import record
    from recu_analysis.errors import RecuError
    from recu_analysis.figures import (
        paper_table,
        plot_accuracy,
        plot_by_magnitude,
        plot_claims,
        plot_dead_weights,
        plot_entropy,
        plot_flip_law,
        plot_heat_map,
        plot_initial_scale,
        plot_layer_errors,
        plot_lock_in,
        plot_mask,
        plot_quantization_error,
        plot_schedule,
        plot_scores,
        plot_silence,
        plot_tradeoff,
        plot_training,
    )
    from recu_analysis.store.run import open_run

__version__ = "0.1.0"

__all__ = [
    "RecuError",
    "WindowRange",
    "adapter",
    "by_magnitude",
    "claims",
    "cohorts",
    "dead_weights",
    "find_binary_layers",
    "fit_table",
    "flip_table",
    "horizon",
    "layer_table",
    "measured_tradeoff",
    "open_run",
    "paper_table",
    "plot_accuracy",
    "plot_by_magnitude",
    "plot_claims",
    "plot_dead_weights",
    "plot_entropy",
    "plot_flip_law",
    "plot_heat_map",
    "plot_initial_scale",
    "plot_layer_errors",
    "plot_lock_in",
    "plot_mask",
    "plot_quantization_error",
    "plot_schedule",
    "plot_scores",
    "plot_silence",
    "plot_tradeoff",
    "plot_training",
    "record",
    "tails",
    "tradeoff",
    "transitions",
]

# Loaded on first use (PEP 562): importing the package imports neither torch nor matplotlib.
_HOMES = {
    "RecuError": "errors",
    "WindowRange": "analysis.selection",
    "adapter": "capture.adapters",
    "by_magnitude": "analysis.magnitude",
    "claims": "analysis.claims",
    "cohorts": "analysis.cohorts",
    "dead_weights": "analysis.deadness",
    "find_binary_layers": "capture.adapters",
    "fit_table": "analysis.fits",
    "flip_table": "analysis.flips",
    "horizon": "analysis.horizon",
    "layer_table": "analysis.layers",
    "measured_tradeoff": "analysis.measured",
    "open_run": "store.run",
    "paper_table": "figures",
    "plot_accuracy": "figures",
    "plot_by_magnitude": "figures",
    "plot_claims": "figures",
    "plot_dead_weights": "figures",
    "plot_entropy": "figures",
    "plot_flip_law": "figures",
    "plot_heat_map": "figures",
    "plot_initial_scale": "figures",
    "plot_layer_errors": "figures",
    "plot_lock_in": "figures",
    "plot_mask": "figures",
    "plot_quantization_error": "figures",
    "plot_schedule": "figures",
    "plot_scores": "figures",
    "plot_silence": "figures",
    "plot_tradeoff": "figures",
    "plot_training": "figures",
    "record": "capture.recorder",
    "tails": "analysis.distance",
    "tradeoff": "analysis.tradeoff",
    "transitions": "analysis.cohorts",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
