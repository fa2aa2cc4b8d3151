"""Figures: the registry, and the functions that draw one for a notebook."""

from recu_analysis.figures.causes import plot_causes
from recu_analysis.figures.claims import plot_claims
from recu_analysis.figures.drawing import draw_figure, save_figure
from recu_analysis.figures.fig2 import plot_dead_weights
from recu_analysis.figures.fig3 import plot_quantization_error
from recu_analysis.figures.fig4 import plot_entropy
from recu_analysis.figures.fig5 import plot_accuracy, plot_training
from recu_analysis.figures.fliplaw import plot_flip_law
from recu_analysis.figures.initscale import plot_initial_scale
from recu_analysis.figures.intervention import plot_intervention
from recu_analysis.figures.layermap import plot_heat_map
from recu_analysis.figures.length import plot_length
from recu_analysis.figures.lockin import plot_lock_in
from recu_analysis.figures.magnitude import plot_by_magnitude
from recu_analysis.figures.mask import plot_mask
from recu_analysis.figures.mobility import plot_mobility
from recu_analysis.figures.occupancy import plot_occupancy
from recu_analysis.figures.oscillation import plot_oscillation
from recu_analysis.figures.paper_tables import paper_table
from recu_analysis.figures.qe import plot_layer_errors
from recu_analysis.figures.registry import FIGURES, figure_query
from recu_analysis.figures.rho import plot_rho
from recu_analysis.figures.ridge import plot_ridge
from recu_analysis.figures.schedule import plot_schedule
from recu_analysis.figures.scores import plot_scores
from recu_analysis.figures.silence import plot_silence
from recu_analysis.figures.split import plot_split
from recu_analysis.figures.survival import plot_survival
from recu_analysis.figures.ternary import plot_ternary
from recu_analysis.figures.tradeoff import plot_tradeoff
from recu_analysis.figures.trajectories import plot_trajectories
from recu_analysis.figures.transitions import plot_transitions

__all__ = [
    "FIGURES",
    "draw_figure",
    "figure_query",
    "paper_table",
    "plot_accuracy",
    "plot_by_magnitude",
    "plot_causes",
    "plot_claims",
    "plot_dead_weights",
    "plot_entropy",
    "plot_flip_law",
    "plot_heat_map",
    "plot_initial_scale",
    "plot_intervention",
    "plot_layer_errors",
    "plot_length",
    "plot_lock_in",
    "plot_mask",
    "plot_mobility",
    "plot_occupancy",
    "plot_oscillation",
    "plot_quantization_error",
    "plot_rho",
    "plot_ridge",
    "plot_schedule",
    "plot_scores",
    "plot_silence",
    "plot_split",
    "plot_survival",
    "plot_ternary",
    "plot_tradeoff",
    "plot_training",
    "plot_trajectories",
    "plot_transitions",
    "save_figure",
]
