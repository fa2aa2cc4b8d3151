"""One entry a statistic: name, label, unit, factor, digits and meaning, for tables, plots, pages and the glossary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from recu_analysis.errors import unknown

#: What may stand behind the name of a statistic: over which weights it is taken.
GROUPS: Final = {"tail": "the weights of the tail", "core": "the weights of the core"}
#: What may stand behind that: an end of its 95 % interval, or its spread; each with how it is called and what it is.
SPREADS: Final = {
    "low": ("lower end", "Lower end of the 95 % interval"),
    "high": ("upper end", "Upper end of the 95 % interval"),
    "std": ("std", "Standard deviation over the seeds (n - 1)"),
}


@dataclass(frozen=True, slots=True)
class Statistic:
    """What a column of the public tables holds, and how it is printed.

    Attributes
    ----------
    name : str
        The column's name in a DataFrame.
    label : str
        In words, for axes, headings and LaTeX.
    meaning : str
        One sentence: what it is, and over what.
    unit : str
        Of the number that is printed, such as "%" or "10^-3 std per update"; empty where it has none.
    factor : float
        From the column's value to the number that is printed.
    digits : int or None
        After the point; None where the size of the numbers is not known beforehand, and for texts.
    """

    name: str
    label: str
    meaning: str
    unit: str = ""
    factor: float = 1.0
    digits: int | None = None

    @property
    def heading(self) -> str:
        """Label and unit, as an axis or a column says them."""
        return with_unit(self.label, self.unit)

    @property
    def is_share(self) -> bool:
        """Whether the column's value is a share from 0 to 1, which is printed in per cent."""
        return self.unit == "%" and self.factor == 100.0


def with_unit(label: str, unit: str) -> str:
    """A label with its unit: behind it in words ("flips per weight"), else in parentheses."""
    if not unit:
        return label
    return f"{label} {unit}" if unit.startswith("per ") else f"{label} ({unit})"


@cache
def statistic(name: str) -> Statistic:
    """The statistic of a column, also of one that is over the tail or the core, or an end of an interval.

    Parameters
    ----------
    name : str
        Such as mobility, mobility_tail or mobility_ratio_low.

    Raises
    ------
    InputError
        If the vocabulary has no such statistic.
    """
    if name in STATISTICS:
        return _over(STATISTICS[name], "the weights")
    base, _, suffix = name.rpartition("_")
    if suffix in GROUPS and base in STATISTICS:
        found = _over(STATISTICS[base], GROUPS[suffix])
        return replace(found, name=name, label=f"{found.label}, {suffix}")
    if suffix in SPREADS and is_known(base):
        found, (label, meaning) = statistic(base), SPREADS[suffix]
        return replace(found, name=name, label=f"{found.label}, {label}", meaning=f"{meaning} of: {found.meaning}")
    raise unknown("statistic", name, STATISTICS)


def is_known(name: str) -> bool:
    """Whether the vocabulary has the statistic of a column."""
    base, _, suffix = name.rpartition("_")
    return name in STATISTICS or (suffix in GROUPS and base in STATISTICS) or (suffix in SPREADS and is_known(base))


def group_of(name: str) -> str:
    """Over which weights the statistic of a column is taken: tail, core, or all, which is an empty text."""
    base, _, suffix = name.rpartition("_")
    return suffix if suffix in GROUPS and base in STATISTICS and name not in STATISTICS else ""


def _over(found: Statistic, weights: str) -> Statistic:
    return replace(found, meaning=found.meaning.replace("{weights}", weights))


def _count(name: str, label: str, meaning: str) -> Statistic:
    return Statistic(name, label, meaning, digits=0)


def _share(name: str, label: str, meaning: str, digits: int = 1) -> Statistic:
    return Statistic(name, label, meaning, "%", 100.0, digits)


_STEP = "10^-3 std per update"
_FLIPS = "per 1000 weights and update"
_WEIGHT = "squared unit of w~"

#: Which row it is.
_WHERE = (
    Statistic("run", "run", "The label of the run, or of the runs of one experiment."),
    Statistic("reference", "reference", "The labels of the runs with which it is compared."),
    Statistic("arm", "arm", "The experiment: its name in a list of runs, else the labels of its runs."),
    Statistic("group", "group", "Which weights of the layer: all, its tail or its core."),
    Statistic("layer", "layer", "The name of the layer; all for the whole network."),
    _count("window", "window", "The number of the window; the last one where several are merged."),
    _count("first_window", "first window", "The number of the first of the windows looked at."),
    _count("last_window", "last window", "The number of the last of the windows looked at."),
    _count("epoch", "epoch", "The epoch that was logged with the window's mark, or of a schedule, counted from 0."),
    _count("update", "update", "The number of the window's last update, counted from 1 over the whole run."),
    _count("updates", "updates", "How many optimizer steps the row is over."),
    Statistic("exact", "exact", "Whether every update was seen; otherwise only checkpoints were."),
    Statistic("partial", "partial", "Whether the window's recording stopped before its mark."),
    Statistic("cohort", "cohort", "Tail or core, drawn once, at the start of the first window, and then followed."),
    _count("bin", "bin", "The number of a bin of equally many weights of every layer; 0 has the smallest |z|."),
    Statistic("dataset", "data set", "The data set that the configuration of the runs says."),
    _count("seeds", "seeds", "How many runs of the experiment there are, a seed each."),
    _count("pairs", "pairs", "How many pairs of runs, of the same seed where there are such, the difference is over."),
    Statistic("note", "note", "What was left out, or why there is no number."),
    Statistic("row", "row", "What the row is of: layer for one layer, total for all layers of the table together."),
)
#: How much there is.
_COUNTS = (
    _count("weights", "weights", "How many weights the row is over: those of a layer, of a bin or of a cohort."),
    _count("counted", "weights counted", "How many weights have a record of numbers; shares and means are over them."),
    _count("measured", "weights measured", "How many weights are in channels that are finite and not constant."),
    _count("nonfinite", "NaN or infinite", "How many weights are NaN or infinite at the start or at the end."),
    _count("channels", "channels", "How many output channels are finite and not constant."),
    _count("constant_channels", "constant channels", "How many output channels hold one value throughout; left out."),
)
#: Learning rates, and the length of a run.
_TIME = (
    Statistic(
        "lr", "learning rate", "The sum of the learning rates of the updates; in curves the one that was logged."
    ),
    Statistic("lr_decay", "decay", "The sum of learning rate x weight decay over the updates."),
    Statistic(
        "decay_time", "T", "The sum of learning rate x weight decay / (1 - momentum) over the updates.", digits=2
    ),
)
#: What a training reached.
_LOGGED = (
    Statistic("train_top1", "training accuracy", "Top-1 accuracy on the training data, as logged.", "%", digits=2),
    Statistic("val_top1", "validation accuracy", "Top-1 accuracy on the validation data, as logged.", "%", digits=2),
    Statistic("train_loss", "training loss", "Mean loss on the training data, as logged.", "nats", digits=3),
    Statistic("val_loss", "validation loss", "Mean loss on the validation data, as logged.", "nats", digits=3),
    Statistic("seconds", "time of the epoch", "How long the training of the epoch took, as logged.", "s", digits=1),
)
#: Which weights are dead.
_DEAD = (
    _count("dead", "dead weights", "How many weights are dead by the criterion that was asked for."),
    _share(
        "dead_fraction",
        "dead weights",
        "Weights that are dead: in the tail at the start and silent, or as was asked.",
    ),
    _share("tail_fraction", "in the tail", "Weights with the largest |z| at the window's start, by rank."),
    _share("silent_fraction", "silent weights", "Of {weights}, those that did not flip in the window."),
    _share(
        "still_fraction", "still weights", "Weights that move less than a tenth of their layer's median, or not at all."
    ),
    _share("tail_silent_fraction", "tail and silent", "Weights that are in the tail and did not flip in the window."),
    _share("tail_still_fraction", "tail and still", "Weights that are in the tail and still."),
    _share("died_fraction", "died", "Of the tail's weights that flipped in the window before, those now silent."),
    _share("died_fraction_core", "fell silent, core", "Of the core's weights that flipped before, those now silent."),
    _share("revived_fraction", "revived", "Of the dead weights of the window before, those that flipped in this one."),
    _share(
        "revived_fraction_core", "flipped again, core", "Of the core's weights that were silent before, those flipped."
    ),
    _share("untouched_fraction", "never flipped", "Of the cohort, weights that did not flip since its first window."),
    _share(
        "locked_fraction", "never flips again", "Weights that do not flip after the window, as far as the run goes."
    ),
)
#: How weights move.
_MOVEMENT = (
    Statistic("mobility", "mobility", "Mean |change of z| in one update, over {weights}.", _STEP, 1e3, 2),
    Statistic(
        "mobility_ratio",
        "mobility, tail to core",
        "Mean mobility of the tail over that of the core; of a whole run that of the median layer.",
        digits=3,
    ),
    Statistic("update_magnitude", "update magnitude", "Mean |change of w| in one update, over {weights}.", "unit of w"),
    Statistic("magnitude", "update magnitude", "Mean |change of w| in one update, over {weights}.", "unit of w"),
    Statistic(
        "magnitude_ratio",
        "update magnitude, tail to core",
        "Mean update magnitude of the tail over that of the core.",
        digits=3,
    ),
    Statistic(
        "net_displacement",
        "net displacement",
        "Mean |w at the end - w at the start|, over the weights counted.",
        "unit of w",
    ),
    Statistic(
        "autocorrelation",
        "autocorrelation",
        "The cosine of z at the start and at the end of the windows, over a layer.",
        "cosine",
        digits=3,
    ),
    Statistic(
        "autocorrelation_to_end",
        "autocorrelation to the end",
        "The cosine of z at the window's end and at the run's.",
        "cosine",
        digits=2,
    ),
    Statistic("abs_z", "|z| at the start of the window", "Mean |z| of the bin.", "standard deviations", digits=3),
    Statistic(
        "distance", "|z| at the end of the window", "Mean |z| of the cohort's weights.", "standard deviations", digits=3
    ),
    Statistic("slope", "slope r", "r of z at the end = r x z at the start + s x noise, fitted to a layer.", digits=3),
    Statistic("spread", "spread s", "s of z at the end = r x z at the start + s x noise, fitted to a layer.", digits=3),
    Statistic(
        "gradient", "mean |gradient|, layer's mean = 1", "Mean |loss gradient| over that of the layer.", digits=3
    ),
)
#: How signs flip.
_FLIPPING = (
    Statistic("flip_ratio", "flips", "Flips in one update, over {weights}: Larq's flip ratio.", _FLIPS, 1e3, 3),
    Statistic("flip_ratio_predicted", "predicted flips", "The flip law: density of z at 0 x mobility.", _FLIPS, 1e3, 3),
    _share(
        "flip_probability",
        "flip probability in the window",
        "Of {weights}, those that flipped at least once in the window.",
    ),
    Statistic(
        "flip_risk_ratio", "risk of a flip, tail to core", "Flip probability of the tail over the core's.", digits=3
    ),
    Statistic(
        "flips_per_path",
        "flips along the path",
        "Flips over the path in z, of {weights}.",
        "per std",
        digits=3,
    ),
    _share("sign_changes", "sign changed, start to end", "Of {weights}, those whose sign at the end is another."),
    _share(
        "sign_changes_by_distance",
        "sign changed by distance alone",
        "Of {weights}, those whose sign would be another if all moved alike, wherever they are.",
    ),
    Statistic(
        "distance_ratio",
        "sign changes, O/E",
        "Sign changes observed over those of distance alone, of {weights}: below 1/2 stuck, about 1 only far.",
        digits=3,
    ),
    Statistic(
        "auc",
        "AUC of |z| for silence",
        "The probability that a silent weight has a larger |z| than one that flipped; 1/2 says nothing.",
        digits=3,
    ),
    Statistic("reversals", "reversals", "Flips after the first in the window, a weight.", digits=2),
    Statistic("bop", "Bop's flip ratio", "ln(flips per weight and update + e^-9), as in Bop.", digits=3),
    Statistic("c2i", "C2I", "1 less the share of signs that differ from the initial ones.", digits=3),
    Statistic(
        "c2i_original", "C2I, original", "1 less twice the share of signs that differ from the initial ones.", digits=3
    ),
    Statistic(
        "density",
        "density of z at 0",
        "Share of the weights near z = 0, over the width of the strip in which they are.",
        "per std",
        digits=3,
    ),
)
#: Which distribution weights have.
_FITS = (
    Statistic("b_star", "target scale b*", "The scale to which the layer's standardisation sets b.", digits=3),
    Statistic("b_hat", "scale b_hat", "Mean |w~| over the channels measured (Eq. 11).", "unit of w~", digits=3),
    Statistic("b_ratio", "b_hat / b*", "The scale of the weights over the one that the layer aims at.", digits=3),
    Statistic("shape", "shape", "The shape of the generalised normal fitted to z: 1 is Laplace, 2 normal.", digits=3),
    Statistic(
        "gennorm_shape", "shape", "The shape of the generalised normal fitted to z: 1 is Laplace, 2 normal.", digits=3
    ),
    Statistic(
        "scale_ratio", "sqrt(2) E|z|", "sqrt(2) x mean |z|: 1 for Laplace weights, 1.128 for normal ones.", digits=3
    ),
    Statistic("ks_laplace", "KS, Laplace", "Largest difference of the distribution of z to a Laplace.", digits=3),
    Statistic("ks_normal", "KS, normal", "Largest difference of the distribution of z to a normal.", digits=3),
    Statistic("aic_normal", "AIC, normal", "AIC of the normal less that of Laplace; positive: Laplace is better."),
    Statistic("aic_gennorm", "AIC, generalised normal", "AIC of the generalised normal less that of Laplace."),
)
#: What the clamp makes of the weights.
_CLAMP = (
    Statistic("tau", "level tau", "The quantile level of the clamp; 1 where nothing is clamped.", digits=4),
    Statistic("b", "scale b", "The scale of the Laplace distribution; b_hat where a layer is measured.", digits=4),
    Statistic("quantile", "quantile", "The value beyond which the clamp cuts w~ (Eq. 10).", "unit of w~", digits=4),
    _share("clamped_fraction", "clamped weights", "Weights beyond the quantile, of those measured.", 2),
    _share("clamped_laplace", "clamped Laplace weights", "2 (1 - tau): the share of Laplace weights beyond it.", 2),
    Statistic("alpha", "alpha", "Mean |w~| after the clamp; of Laplace weights where it is a closed form.", digits=4),
    Statistic("alpha_measured", "alpha, measured", "Mean |w~| of a layer's weights after the clamp.", digits=4),
)
#: Quantisation errors and entropies.
_ERRORS = (
    Statistic(
        "qe_measured",
        "quantisation error, measured",
        "Quantisation error of a layer's clamped weights.",
        _WEIGHT,
        digits=4,
    ),
    Statistic(
        "qe_exact", "quantisation error, exact", "Quantisation error of clamped Laplace weights.", _WEIGHT, digits=4
    ),
    Statistic(
        "qe_printed",
        "quantisation error, printed",
        "The same as Eq. 14 prints it, with its sign error.",
        _WEIGHT,
        digits=4,
    ),
    Statistic(
        "qe_latent",
        "quantisation error, latent",
        "Quantisation error of Laplace weights with the clamped alpha, against the weights before the clamp.",
        _WEIGHT,
        digits=4,
    ),
    Statistic(
        "qe_latent_measured",
        "quantisation error, latent, measured",
        "Quantisation error of a layer with the clamped alpha, against its weights before the clamp.",
        _WEIGHT,
        digits=4,
    ),
    Statistic("qe_measured_relative", "measured error / b_hat^2", "The measured error over b_hat^2.", digits=3),
    Statistic("qe_exact_relative", "exact error / b_hat^2", "The exact error over b_hat^2.", digits=3),
    Statistic("qe_printed_relative", "printed error / b_hat^2", "The printed error over b_hat^2.", digits=3),
    Statistic("entropy", "entropy", "Entropy of clamped Laplace weights (Eq. 17).", "nats", digits=4),
    Statistic("entropy_measured", "entropy, measured", "Entropy of a layer's clamped weights.", "nats", digits=4),
    Statistic(
        "entropy_bound",
        "entropy bound",
        "ln(2 e b_hat): the entropy of Laplace weights without a clamp.",
        "nats",
        digits=4,
    ),
    Statistic("sign_entropy", "entropy of the signs", "Entropy of a layer's signs; at most ln 2.", "nats", digits=4),
)
#: Comparisons and claims.
_COMPARED = (
    Statistic("statistic", "statistic", "The name of what is compared, a column of other tables."),
    Statistic("value", "value", "The statistic of the run or experiment, in its column's own unit."),
    Statistic("reference_value", "reference value", "The same of the reference."),
    Statistic("difference", "difference", "Value less reference value."),
    Statistic("low", "lower end", "The lower end of the 95 % interval."),
    Statistic("high", "upper end", "The upper end of the 95 % interval."),
    Statistic("interval_over", "interval over", "Whether the interval is over seeds or over output channels."),
    Statistic("id", "id", "The number of a claim of the paper."),
    Statistic("claim", "claim", "What the paper says, in a sentence."),
    Statistic("place", "place", "Where the paper says it."),
    Statistic("estimate", "estimate", "What the runs show of the claim; the column why says of what it is."),
    Statistic("verdict", "verdict", "Supported, not supported, contradicted, by construction, or cannot tell."),
    Statistic("why", "why", "Of what the estimate is, and why the verdict."),
)
#: Every column of the public tables, by its name; those over tail or core, and ends of intervals, follow from these.
STATISTICS: Final = {
    each.name: each
    for part in (
        _WHERE,
        _COUNTS,
        _TIME,
        _LOGGED,
        _DEAD,
        _MOVEMENT,
        _FLIPPING,
        _FITS,
        _CLAMP,
        _ERRORS,
        _COMPARED,
    )
    for each in part
}
#: Columns of sentences, which tables in LaTeX leave out unless they are asked for.
PROSE: Final = frozenset({"claim", "why", "note", "detail"})
#: Headings where there is little room, as on a terminal; of the tail and of the core they stand over both.
SHORT: Final = {
    "val_top1": "val. %",
    "train_loss": "loss",
    "dead_fraction": "% dead",
    "silent_fraction": "% silent",
    "locked_fraction": "% locked",
    "flip_ratio": "flips",
    "flip_ratio_predicted": "law",
    "reversals": "rev.",
    "c2i_original": "c2i",
    "distance_ratio": "O/E",
    "mobility_ratio": "mobility ratio",
    "autocorrelation": "ac",
    "autocorrelation_to_end": "ac end",
    "tau": "tau",
    "b": "b",
    "b_hat": "b_hat",
    "b_ratio": "b_hat/b*",
    "scale_ratio": "r",
    "channels": "ch.",
    "clamped_fraction": "% cl.",
    "clamped_laplace": "% Lap.",
    "qe_exact": "QE exact",
    "qe_printed": "printed",
    "qe_latent": "latent",
}
