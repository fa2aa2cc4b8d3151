"""Figures: the registry, and the functions that draw one for a notebook."""

from recu_analysis.figures.of_arms import plot_initial_scale, plot_training
from recu_analysis.figures.of_claims import plot_claims
from recu_analysis.figures.of_layers import plot_heat_map, plot_layer_errors, plot_scores
from recu_analysis.figures.of_mask import plot_mask
from recu_analysis.figures.of_runs import (
    plot_accuracy,
    plot_by_magnitude,
    plot_dead_weights,
    plot_flip_law,
    plot_lock_in,
    plot_silence,
)
from recu_analysis.figures.of_theory import plot_entropy, plot_quantization_error, plot_schedule, plot_tradeoff
from recu_analysis.figures.registry import FIGURES, asked_figure, draw_figure, save_figure
from recu_analysis.figures.tables import paper_table

__all__ = [
    "FIGURES",
    "asked_figure",
    "draw_figure",
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
    "save_figure",
]
