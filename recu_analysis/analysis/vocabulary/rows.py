"""Entries of what a row describes: layers, windows, runs, counts, time, logged metrics, and comparisons."""

from __future__ import annotations

from recu_analysis.analysis.statistic import Statistic
from recu_analysis.analysis.vocabulary.entries import count

#: What the row describes.
WHERE = (
    Statistic("run", "run", "Label of the run, or labels of the runs of one experiment."),
    Statistic(
        "reference",
        "reference",
        "What the row is compared with: labels of runs, a group of weights, or an unchanged network.",
    ),
    Statistic("arm", "arm", "The experiment: its name in a list of runs, or the labels of its runs."),
    Statistic("group", "group", "Group of weights: all, tail, core, or by silence too, such as tail-silent."),
    Statistic("layer", "layer", "Name of the layer; all for the whole network."),
    count("window", "window", "Number of the window; of merged windows, the number of the last."),
    count("first_window", "first window", "Number of the first window of the row."),
    count("last_window", "last window", "Number of the last window of the row."),
    count("epoch", "epoch", "Epoch, counted from 0: logged with the window's mark, or of a schedule."),
    count("update", "update", "Number of the update, or of the window's last, counted from 1 over the whole run."),
    count("updates", "updates", "Number of optimizer steps in the windows; in compare, in the whole run."),
    Statistic("exact", "exact", "Whether every update was recorded; if not, only checkpoints were."),
    Statistic("partial", "partial", "Whether the recording of the window stopped before its mark."),
    Statistic("cohort", "cohort", "Tail or core, chosen once at the start of the first window and then followed."),
    count(
        "bin", "bin", "Number of the bin; every layer is cut into bins of equal count, and bin 0 has the smallest |z|."
    ),
    Statistic("dataset", "data set", "Data set in the configuration of the runs."),
    count("seeds", "seeds", "Number of runs of the experiment, one per seed; of a difference, the number of pairs."),
    count(
        "pairs",
        "pairs",
        "Number of pairs of runs behind the difference; the runs of a pair have the same seed if possible.",
    ),
    Statistic("note", "note", "What was left out, or why there is no number."),
    Statistic("row", "row", "Kind of row: layer for one layer, total for all layers of the table together."),
)
#: Numbers of weights and channels.
COUNTS = (
    count("weights", "weights", "Number of weights that the row describes."),
    count(
        "counted", "weights counted", "Number of weights with a finite record; shares and means are over these weights."
    ),
    count("measured", "weights measured", "Number of weights in channels that are finite and not constant."),
    count("nonfinite", "NaN or infinite", "Number of weights that are NaN or infinite at the start or at the end."),
    count("channels", "channels", "Number of output channels that are finite and not constant."),
    count(
        "constant_channels",
        "constant channels",
        "Number of output channels whose weights are all equal; they are left out.",
    ),
)
#: Learning rates, and the length of a run.
TIME = (
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
#: Logged results of a training.
LOGGED = (
    Statistic("train_top1", "training accuracy", "Top-1 accuracy on the training data, as logged.", "%", digits=2),
    Statistic("val_top1", "validation accuracy", "Top-1 accuracy on the validation data, as logged.", "%", digits=2),
    Statistic("train_loss", "training loss", "Mean loss on the training data, as logged.", "nats", digits=3),
    Statistic("val_loss", "validation loss", "Mean loss on the validation data, as logged.", "nats", digits=3),
    Statistic("seconds", "time of the epoch", "Time that the training of the epoch took, as logged.", "s", digits=1),
)
#: Comparisons and claims.
COMPARED = (
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
