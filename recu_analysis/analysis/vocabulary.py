"""One entry a statistic: name, label, unit, factor, digits and meaning, for tables, plots, pages and the glossary."""

from __future__ import annotations

from typing import Final

from recu_analysis.analysis.statistic import Statistic


def _count(name: str, label: str, meaning: str) -> Statistic:
    return Statistic(name, label, meaning, digits=0)


def _share(name: str, label: str, meaning: str, digits: int = 1) -> Statistic:
    return Statistic(name, label, meaning, "%", 100.0, digits)


_STEP = "10^-3 std per update"
_FLIPS = "per 1000 weights and update"
_WEIGHT = "squared unit of w~"

#: What the row describes.
_WHERE = (
    Statistic("run", "run", "Label of the run, or labels of the runs of one experiment."),
    Statistic("reference", "reference", "Labels of the runs that the row is compared with."),
    Statistic("arm", "arm", "The experiment: its name in a list of runs, or the labels of its runs."),
    Statistic("group", "group", "Group of weights: all, tail, core, or by silence too, such as tail-silent."),
    Statistic("layer", "layer", "Name of the layer; all for the whole network."),
    _count("window", "window", "Number of the window; of merged windows, the number of the last."),
    _count("first_window", "first window", "Number of the first window of the row."),
    _count("last_window", "last window", "Number of the last window of the row."),
    _count("epoch", "epoch", "Epoch, counted from 0: logged with the window's mark, or of a schedule."),
    _count("update", "update", "Number of the update, or of the window's last, counted from 1 over the whole run."),
    _count("updates", "updates", "Number of optimizer steps in the windows; in compare, in the whole run."),
    Statistic("exact", "exact", "Whether every update was recorded; if not, only checkpoints were."),
    Statistic("partial", "partial", "Whether the recording of the window stopped before its mark."),
    Statistic("cohort", "cohort", "Tail or core, chosen once at the start of the first window and then followed."),
    _count(
        "bin", "bin", "Number of the bin; every layer is cut into bins of equal count, and bin 0 has the smallest |z|."
    ),
    Statistic("dataset", "data set", "Data set in the configuration of the runs."),
    _count("seeds", "seeds", "Number of runs of the experiment, one per seed; of a difference, the number of pairs."),
    _count(
        "pairs",
        "pairs",
        "Number of pairs of runs behind the difference; the runs of a pair have the same seed if possible.",
    ),
    Statistic("note", "note", "What was left out, or why there is no number."),
    Statistic("row", "row", "Kind of row: layer for one layer, total for all layers of the table together."),
)
#: Numbers of weights and channels.
_COUNTS = (
    _count("weights", "weights", "Number of weights that the row describes."),
    _count(
        "counted", "weights counted", "Number of weights with a finite record; shares and means are over these weights."
    ),
    _count("measured", "weights measured", "Number of weights in channels that are finite and not constant."),
    _count("nonfinite", "NaN or infinite", "Number of weights that are NaN or infinite at the start or at the end."),
    _count("channels", "channels", "Number of output channels that are finite and not constant."),
    _count(
        "constant_channels",
        "constant channels",
        "Number of output channels whose weights are all equal; they are left out.",
    ),
)
#: Learning rates, and the length of a run.
_TIME = (
    Statistic("lr", "learning rate", "Sum of the learning rates of the updates; in curves, the logged learning rate."),
    Statistic("lr_decay", "decay", "Sum of learning rate x weight decay over the updates."),
    Statistic("decay_time", "T", "Sum of learning rate x weight decay / (1 - momentum) over the updates.", digits=2),
    Statistic(
        "decay_time_past", "T since the start", "T from the start of the windows to the end of the span.", digits=2
    ),
    Statistic(
        "decay_time_to_end",
        "T to the end",
        "T from the start of the window to the end of the training.",
        digits=2,
    ),
)
#: Forecasts before a training.
_PLANNED = (
    Statistic(
        "norm_forecast",
        "norm, forecast",
        "Norm of the weights at the end of the window, over that in equilibrium at the highest learning rate.",
        digits=2,
    ),
    Statistic(
        "mobility_equilibrium",
        "mobility, equilibrium",
        "Mobility in equilibrium at the learning rates of the window.",
        _STEP,
        1e3,
        2,
    ),
    Statistic(
        "mobility_forecast",
        "mobility, forecast",
        "Mobility of weights whose norm at the start of the training is the given one.",
        _STEP,
        1e3,
        2,
    ),
    Statistic(
        "flip_ratio_equilibrium",
        "flips, equilibrium",
        "Flips by the flip law, for normal z and the mobility in equilibrium.",
        _FLIPS,
        1e3,
        2,
    ),
    Statistic(
        "flip_ratio_forecast",
        "flips, forecast",
        "Flips by the flip law, for normal z and the forecast of the mobility.",
        _FLIPS,
        1e3,
        2,
    ),
    Statistic("settled", "settled", "Whether the two forecasts of the mobility differ by at most a tenth."),
    Statistic(
        "long_enough",
        "long enough",
        "Whether noise alone leaves an autocorrelation of at most 1/2 from the start of this window to the end of the "
        "training, so that dead weights can be told from slow ones.",
    ),
    _share(
        "power",
        "power for single weights",
        "Weights with |t| > 1.96, if 30 % of the variance of the weights is signal; noise alone has 5 %.",
    ),
)
#: What gradients restore, and why silent weights stay silent.
_CAUSES = (
    Statistic(
        "rho",
        "restored fraction rho",
        "Part of what decay takes from the group's weights that gradients restore: 0 noise, 1 held where they stand.",
        digits=3,
    ),
    Statistic(
        "inherited",
        "autocorrelation, inherited",
        "Part of the autocorrelation of z that decay alone leaves of the start.",
        "cosine",
        digits=3,
    ),
    Statistic(
        "momentum",
        "autocorrelation, momentum",
        "Part of the autocorrelation of z that the momentum at the start adds.",
        "cosine",
        digits=3,
    ),
    Statistic(
        "restored",
        "autocorrelation, restored",
        "Part of the autocorrelation of z that the gradients of the windows restore.",
        "cosine",
        digits=3,
    ),
    Statistic(
        "exact_split",
        "exact split",
        "Whether the momentum at the start and the map of decay were recorded; if not, the parts are approximate.",
    ),
    Statistic("cause", "cause", "Cause of silence: the first whose rule the weight meets in the tested windows."),
    _share("share", "share", "Of the group's weights, those with this cause."),
    _share("share_half", "share, half the thresholds", "The same with all thresholds halved."),
    _share("share_twice", "share, twice the thresholds", "The same with all thresholds doubled."),
)
#: Logged results of a training.
_LOGGED = (
    Statistic("train_top1", "training accuracy", "Top-1 accuracy on the training data, as logged.", "%", digits=2),
    Statistic("val_top1", "validation accuracy", "Top-1 accuracy on the validation data, as logged.", "%", digits=2),
    Statistic("train_loss", "training loss", "Mean loss on the training data, as logged.", "nats", digits=3),
    Statistic("val_loss", "validation loss", "Mean loss on the validation data, as logged.", "nats", digits=3),
    Statistic("seconds", "time of the epoch", "Time that the training of the epoch took, as logged.", "s", digits=1),
)
#: Which weights are dead.
_DEAD = (
    _count("dead", "dead weights", "Number of weights that are dead by the chosen criterion."),
    _share(
        "dead_fraction",
        "dead weights",
        "Weights that are dead: in the tail and silent, unless another criterion is chosen.",
    ),
    _share("tail_fraction", "in the tail", "Weights in the tail: those with the largest |z| at the start, by rank."),
    _share("silent_fraction", "silent weights", "Of {weights}, those that did not flip."),
    _share("still_fraction", "still weights", "Weights whose mobility is 0 or below a tenth of their layer's median."),
    _share("tail_silent_fraction", "tail and silent", "Weights that are in the tail and did not flip."),
    _share("tail_still_fraction", "tail and still", "Weights that are in the tail and still."),
    _share(
        "died_fraction",
        "died",
        "Of the tail's weights that flipped in the previous window, those that are silent in this one.",
    ),
    _share(
        "died_fraction_core",
        "fell silent, core",
        "Of the core's weights that flipped in the previous window, those that are silent in this one.",
    ),
    _share(
        "revived_fraction", "revived", "Of the dead weights of the previous window, those that flipped in this one."
    ),
    _share(
        "revived_fraction_core",
        "flipped again, core",
        "Of the core's weights that were silent in the previous window, those that flipped in this one.",
    ),
    _share(
        "untouched_fraction",
        "never flipped",
        "Of the cohort's weights, those that have not flipped since the start of its first window.",
    ),
    _share(
        "locked_fraction",
        "never flips again",
        "Weights that do not flip between the end of the window and the end of the run.",
    ),
)
#: How long signs stay as they are.
_SURVIVAL = (
    _share("survival_fraction", "not flipped yet", "Of the group's weights, those without a flip since the start."),
    Statistic(
        "hazard",
        "hazard of a first flip",
        "First flips per unit of T in the span, of the group's weights that had none before.",
        "per T",
        digits=2,
    ),
)
#: How weights move.
_MOVEMENT = (
    Statistic("mobility", "mobility", "Mean |change of z| per update, over {weights}.", _STEP, 1e3, 2),
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
_FLIPPING = (
    Statistic(
        "flip_ratio", "flips", "Mean number of flips per update, over {weights} (Larq's flip ratio).", _FLIPS, 1e3, 3
    ),
    Statistic(
        "flip_ratio_predicted",
        "predicted flips",
        "Flips by the flip law: density of z at 0 x mobility.",
        _FLIPS,
        1e3,
        3,
    ),
    _share(
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
    _share(
        "sign_changes", "sign changed, start to end", "Of {weights}, those whose sign differs between start and end."
    ),
    _share(
        "sign_changes_by_distance",
        "sign changed by distance alone",
        "Of {weights}, those whose sign would differ if all weights of the layer moved alike, wherever they are.",
    ),
    Statistic(
        "distance_ratio",
        "sign changes, O/E",
        "Sign changes of {weights}, observed / expected from distance alone: below 1/2 stuck, about 1 as their layer.",
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
        "c2i_original", "C2I, original", "1 minus twice the share of signs that differ from the initial ones.", digits=3
    ),
    Statistic(
        "density",
        "density of z at 0",
        "Share of the weights in a strip around z = 0, divided by the width of the strip.",
        "per std",
        digits=3,
    ),
)
#: The distribution of the weights.
_FITS = (
    Statistic("b_star", "target scale b*", "Scale b that the layer's standardisation sets.", digits=3),
    Statistic("b_hat", "scale b_hat", "Mean |w~| over the measured channels (Eq. 11).", "unit of w~", digits=3),
    Statistic("b_ratio", "b_hat / b*", "Scale of the weights divided by the layer's target scale.", digits=3),
    Statistic("shape", "shape", "Shape of the generalised normal fitted to z: 1 is Laplace, 2 is normal.", digits=3),
    Statistic(
        "gennorm_shape", "shape", "Shape of the generalised normal fitted to z: 1 is Laplace, 2 is normal.", digits=3
    ),
    Statistic(
        "scale_ratio", "sqrt(2) E|z|", "sqrt(2) x mean |z|: 1 for Laplace weights, 1.128 for normal weights.", digits=3
    ),
    Statistic(
        "ks_laplace",
        "KS, Laplace",
        "Largest distance between the distribution functions of z and of a Laplace.",
        digits=3,
    ),
    Statistic(
        "ks_normal", "KS, normal", "Largest distance between the distribution functions of z and of a normal.", digits=3
    ),
    Statistic(
        "aic_normal", "AIC, normal", "AIC of the normal minus AIC of the Laplace; if positive, the Laplace fits better."
    ),
    Statistic("aic_gennorm", "AIC, generalised normal", "AIC of the generalised normal minus AIC of the Laplace."),
)
#: The weights after the clamp.
_CLAMP = (
    Statistic("tau", "level tau", "Quantile level of the clamp; 1 if nothing is clamped.", digits=4),
    Statistic("b", "scale b", "Scale of the Laplace distribution; for a measured layer, b_hat.", digits=4),
    Statistic("quantile", "quantile", "Value beyond which the clamp cuts w~ (Eq. 10).", "unit of w~", digits=4),
    _share("clamped_fraction", "clamped weights", "Of the measured weights, those beyond the quantile.", 2),
    _share(
        "clamped_laplace",
        "clamped Laplace weights",
        "2 (1 - tau): the share of Laplace weights beyond the quantile.",
        2,
    ),
    Statistic("alpha", "alpha", "Mean |w~| after the clamp; in closed form, of Laplace weights.", digits=4),
    Statistic("alpha_measured", "alpha, measured", "Mean |w~| of the layer's weights after the clamp.", digits=4),
)
#: Quantisation errors and entropies.
_ERRORS = (
    Statistic(
        "qe_measured",
        "quantisation error, measured",
        "Quantisation error of the layer's clamped weights.",
        _WEIGHT,
        digits=4,
    ),
    Statistic(
        "qe_exact", "quantisation error, exact", "Quantisation error of clamped Laplace weights.", _WEIGHT, digits=4
    ),
    Statistic(
        "qe_printed",
        "quantisation error, printed",
        "Quantisation error of clamped Laplace weights by Eq. 14 as printed, with its sign error.",
        _WEIGHT,
        digits=4,
    ),
    Statistic(
        "qe_latent",
        "quantisation error, latent",
        "Quantisation error of Laplace weights before the clamp, with alpha taken after it.",
        _WEIGHT,
        digits=4,
    ),
    Statistic(
        "qe_latent_measured",
        "quantisation error, latent, measured",
        "Quantisation error of the layer's weights before the clamp, with alpha taken after it.",
        _WEIGHT,
        digits=4,
    ),
    Statistic("qe_measured_relative", "measured error / b_hat^2", "Measured error divided by b_hat^2.", digits=3),
    Statistic("qe_exact_relative", "exact error / b_hat^2", "Exact error divided by b_hat^2.", digits=3),
    Statistic("qe_printed_relative", "printed error / b_hat^2", "Printed error divided by b_hat^2.", digits=3),
    Statistic("entropy", "entropy", "Entropy of clamped Laplace weights (Eq. 17).", "nats", digits=4),
    Statistic("entropy_measured", "entropy, measured", "Entropy of the layer's clamped weights.", "nats", digits=4),
    Statistic(
        "entropy_bound",
        "entropy bound",
        "ln(2 e b_hat): the entropy of Laplace weights without a clamp.",
        "nats",
        digits=4,
    ),
    Statistic("sign_entropy", "entropy of the signs", "Entropy of the layer's signs, at most ln 2.", "nats", digits=4),
)
#: Trajectories of single weights.
_TRACED = (
    _count("flat_index", "flat index", "Flat index of the weight in its layer."),
    Statistic("weight", "latent weight", "The latent weight after the update.", digits=4),
    Statistic("z", "z", "The effective weight in standard deviations of its channel.", "std", digits=3),
    _count("state", "state", "The value that the forward pass uses: -1 or 1."),
    Statistic("flip", "flip", "Whether the state differs from that at the update before."),
)
#: What an intervention costs.
_INTERVENED = (
    Statistic("batch_norm", "batch norm", "Statistics of batch normalization: fixed, or re-estimated on other images."),
    _count("negated", "negated", "Number of binary weights that were negated in each draw."),
    _share("negated_fraction", "negated weights", "Of the weights of the layer, those that were negated in each draw."),
    _count("images", "images", "Number of images on which the network was evaluated."),
    _count("repeats", "repeats", "Number of draws of weights."),
    Statistic("loss", "loss", "Mean loss of the unchanged network over the images.", "nats", digits=4),
    Statistic("rise", "rise of the loss", "Mean loss with negated weights minus that without.", "nats", digits=4),
    Statistic("image_error", "error over images", "Standard error of the rise over the images.", "nats", digits=4),
    Statistic("draw_error", "error over draws", "Standard error of the rise over the draws.", "nats", digits=4),
    Statistic(
        "predicted_rise",
        "predicted rise",
        "Rise of the loss to first order: -2 x the sum of w dL/dw over the negated binary weights w.",
        "nats",
        digits=4,
    ),
    Statistic(
        "accuracy_change",
        "change of accuracy",
        "Share of right answers with negated weights minus that without.",
        "percentage points",
        100.0,
        2,
    ),
)
#: Comparisons and claims.
_COMPARED = (
    Statistic("statistic", "statistic", "Name of the compared statistic, which is a column of other tables."),
    Statistic("value", "value", "Statistic of the run or experiment, in the unit of that column."),
    Statistic("reference_value", "reference value", "Statistic of the reference, in the same unit."),
    Statistic("difference", "difference", "Value minus reference value."),
    Statistic("low", "lower end", "Lower end of the 95 % interval."),
    Statistic("high", "upper end", "Upper end of the 95 % interval."),
    Statistic("interval_over", "interval over", "Whether the interval is over seeds or over output channels."),
    Statistic("id", "id", "Identifier of the claim."),
    Statistic("claim", "claim", "What the paper says, in one sentence."),
    Statistic("place", "place", "Where the paper says it."),
    Statistic("estimate", "estimate", "Number that tests the claim; column why says what it is."),
    Statistic("verdict", "verdict", "Supported, contradicted, intermediate, undecided, algebra, or cannot tell."),
    Statistic("why", "why", "What the estimate is, and the reason for the verdict."),
)
#: Every column of the public tables, by its name without endings.
STATISTICS: Final = {
    each.name: each
    for part in (
        _WHERE,
        _COUNTS,
        _TIME,
        _PLANNED,
        _CAUSES,
        _LOGGED,
        _DEAD,
        _SURVIVAL,
        _MOVEMENT,
        _FLIPPING,
        _FITS,
        _CLAMP,
        _ERRORS,
        _TRACED,
        _INTERVENED,
        _COMPARED,
    )
    for each in part
}
#: Columns of sentences; tables in LaTeX omit them by default.
PROSE: Final = frozenset({"claim", "why", "note", "detail"})
