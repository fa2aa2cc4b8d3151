"""Entries of how weights move: dead weights, survival, mobility, flips, and trajectories."""

from __future__ import annotations

from recu_analysis.analysis.statistic import Statistic
from recu_analysis.analysis.vocabulary.entries import FLIPS, STEP, count, share

#: Which weights are dead.
DEAD = (
    count("dead", "dead weights", "Number of weights that are dead by the chosen criterion."),
    share(
        "dead_fraction",
        "dead weights",
        "Weights that are dead: in the tail and silent, unless another criterion is chosen.",
    ),
    share("tail_fraction", "in the tail", "Weights in the tail: those with the largest |z| at the start, by rank."),
    share("silent_fraction", "silent weights", "Of {weights}, those that did not flip."),
    share("still_fraction", "still weights", "Weights whose mobility is 0 or below a tenth of their layer's median."),
    share("tail_silent_fraction", "tail and silent", "Weights that are in the tail and did not flip."),
    share("tail_still_fraction", "tail and still", "Weights that are in the tail and still."),
    share(
        "died_fraction",
        "died",
        "Of the tail's weights that flipped in the previous window, those that are silent in this one.",
    ),
    share(
        "died_fraction_core",
        "fell silent, core",
        "Of the core's weights that flipped in the previous window, those that are silent in this one.",
    ),
    share("revived_fraction", "revived", "Of the dead weights of the previous window, those that flipped in this one."),
    share(
        "revived_fraction_core",
        "flipped again, core",
        "Of the core's weights that were silent in the previous window, those that flipped in this one.",
    ),
    share(
        "untouched_fraction",
        "never flipped",
        "Of the cohort's weights, those that have not flipped since the start of its first window.",
    ),
    share(
        "locked_fraction",
        "never flips again",
        "Weights that do not flip between the end of the window and the end of the run.",
    ),
)
#: How long signs stay as they are.
SURVIVAL = (
    share("survival_fraction", "not flipped yet", "Of the group's weights, those without a flip since the start."),
    Statistic(
        "hazard",
        "hazard of a first flip",
        "First flips per unit of T in the span, of the group's weights that had none before.",
        "per T",
        digits=2,
    ),
)
#: How weights move.
MOVEMENT = (
    Statistic("mobility", "mobility", "Mean |change of z| per update, over {weights}.", STEP, 1e3, 2),
    Statistic(
        "mobility_ratio",
        "mobility, tail to core",
        "Mobility of the tail divided by that of the core; for a whole run, the median over layers.",
        digits=3,
    ),
    Statistic("update_magnitude", "update magnitude", "Mean |change of w| in one update, over {weights}.", "unit of w"),
    Statistic("magnitude", "update magnitude", "Mean |change of w| in one update, over {weights}.", "unit of w"),
    Statistic(
        "magnitude_ratio",
        "update magnitude, tail to core",
        "Update magnitude of the tail divided by that of the core.",
        digits=3,
    ),
    Statistic(
        "net_displacement",
        "net displacement",
        "Mean |w at the end - w at the start|, over the counted weights.",
        "unit of w",
    ),
    Statistic(
        "autocorrelation",
        "autocorrelation",
        "Cosine between z at the start and z at the end of the windows.",
        "cosine",
        digits=3,
    ),
    Statistic(
        "autocorrelation_to_end",
        "autocorrelation to the end",
        "Cosine between z at the end of the window and z at the end of the run.",
        "cosine",
        digits=2,
    ),
    Statistic(
        "abs_z", "|z| at the start", "Mean |z| of the bin's weights at the start of the windows.", "std", digits=3
    ),
    Statistic(
        "distance", "|z| at the end", "Mean |z| of the cohort's weights at the end of the window.", "std", digits=3
    ),
    Statistic("slope", "slope r", "r in z at the end = r x z at the start + s x noise, fitted to the layer.", digits=3),
    Statistic(
        "spread", "spread s", "s in z at the end = r x z at the start + s x noise, fitted to the layer.", digits=3
    ),
    Statistic(
        "gradient",
        "mean |gradient|, layer's mean = 1",
        "Mean |gradient of the loss| divided by that of the whole layer.",
        digits=3,
    ),
)
#: How signs flip.
FLIPPING = (
    Statistic(
        "flip_ratio", "flips", "Mean number of flips per update, over {weights} (Larq's flip ratio).", FLIPS, 1e3, 3
    ),
    Statistic(
        "flip_ratio_predicted",
        "predicted flips",
        "Flips by the flip law: density of z at 0 x mobility.",
        FLIPS,
        1e3,
        3,
    ),
    share(
        "flip_probability",
        "flip probability in the window",
        "Of {weights}, those that flipped at least once.",
    ),
    Statistic(
        "flip_risk_ratio",
        "risk of a flip, tail to core",
        "Flip probability of the tail divided by that of the core.",
        digits=3,
    ),
    Statistic(
        "flips_per_path",
        "flips along the path",
        "Flips of {weights} divided by their path in z.",
        "per std",
        digits=3,
    ),
    share(
        "sign_changes", "sign changed, start to end", "Of {weights}, those whose sign differs between start and end."
    ),
    share(
        "sign_changes_by_distance",
        "sign changed by distance alone",
        "Of {weights}, those whose sign would differ if all weights of the layer moved alike, wherever they are.",
    ),
    Statistic(
        "distance_ratio",
        "sign changes, O/E",
        "Sign changes of {weights}, observed / expected from distance alone: below 1/2 stuck, about 1 as their layer; "
        "unknown if fewer than one is expected.",
        digits=3,
    ),
    Statistic(
        "auc",
        "AUC of |z| for silence",
        "Probability that a silent weight has a larger |z| than one that flipped; 1/2 means that |z| does not matter.",
        digits=3,
    ),
    Statistic("reversals", "reversals", "Flips per weight after its first flip in the window.", digits=2),
    Statistic("bop", "Bop's flip ratio", "ln(flips per weight and update + e^-9), as in Bop.", digits=3),
    Statistic("c2i", "C2I", "1 minus the share of signs that differ from the initial ones.", digits=3),
    Statistic(
        "c2i_original",
        "C2I, original",
        "1 minus twice the share of signs that differ from the initial ones (C2I as AdamBNN defines it).",
        digits=3,
    ),
    Statistic(
        "density",
        "density of z at 0",
        "Share of the weights in a strip around z = 0, divided by the width of the strip.",
        "per std",
        digits=3,
    ),
)
#: Trajectories of single weights.
TRACED = (
    count("flat_index", "flat index", "Flat index of the weight in its layer."),
    Statistic("weight", "latent weight", "The latent weight after the update.", digits=4),
    Statistic("z", "z", "The effective weight in standard deviations of its channel.", "std", digits=3),
    count("state", "state", "The value that the forward pass uses: -1 or 1, or a state of the quantizer."),
    Statistic("flip", "flip", "Whether the state differs from that at the update before."),
)
