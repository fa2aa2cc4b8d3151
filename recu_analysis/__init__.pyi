"""The public names and where each is at home, once: type checkers read them here, and lazy_loader when one is used."""

from .analysis.claims import claims as claims
from .analysis.cohorts import cohorts as cohorts
from .analysis.cohorts import transitions as transitions
from .analysis.deadness import dead_weights as dead_weights
from .analysis.distance import tails as tails
from .analysis.final_windows import decorrelation_time as decorrelation_time
from .analysis.fits import fit_table as fit_table
from .analysis.flips import flip_table as flip_table
from .analysis.layers import layer_table as layer_table
from .analysis.magnitude import by_magnitude as by_magnitude
from .analysis.measured import measured_tradeoff as measured_tradeoff
from .analysis.run_list import open_runs as open_runs
from .analysis.selection import WindowSpan as WindowSpan
from .analysis.tradeoff import tradeoff as tradeoff
from .capture.adapters import adapter as adapter
from .capture.layer_listing import find_binary_layers as find_binary_layers
from .capture.record import record as record
from .errors import RecuError as RecuError
from .figures import paper_table as paper_table
from .figures import plot_accuracy as plot_accuracy
from .figures import plot_by_magnitude as plot_by_magnitude
from .figures import plot_claims as plot_claims
from .figures import plot_dead_weights as plot_dead_weights
from .figures import plot_entropy as plot_entropy
from .figures import plot_flip_law as plot_flip_law
from .figures import plot_heat_map as plot_heat_map
from .figures import plot_initial_scale as plot_initial_scale
from .figures import plot_layer_errors as plot_layer_errors
from .figures import plot_lock_in as plot_lock_in
from .figures import plot_mask as plot_mask
from .figures import plot_quantization_error as plot_quantization_error
from .figures import plot_schedule as plot_schedule
from .figures import plot_scores as plot_scores
from .figures import plot_silence as plot_silence
from .figures import plot_tradeoff as plot_tradeoff
from .figures import plot_training as plot_training
from .nn.convert import convert as convert
from .store.run import open_run as open_run

__version__: str
