"""Entries of why weights move or stay: forecasts, causes of silence, and interventions."""

from __future__ import annotations

from recu_analysis.analysis.statistic import Statistic
from recu_analysis.analysis.vocabulary.entries import FLIPS, STEP, count, share

#: Forecasts before a training.
PLANNED = (
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
        STEP,
        1e3,
        2,
    ),
    Statistic(
        "mobility_forecast",
        "mobility, forecast",
        "Mobility by the norms of the weights: in a plan, from the given norm at the start of the training; of a run, "
        "from the norms at both ends of the window.",
        STEP,
        1e3,
        2,
    ),
    Statistic(
        "flip_ratio_equilibrium",
        "flips, equilibrium",
        "Flips by the flip law, for normal z and the mobility in equilibrium.",
        FLIPS,
        1e3,
        2,
    ),
    Statistic(
        "flip_ratio_forecast",
        "flips, forecast",
        "Flips by the flip law, for normal z and the forecast of the mobility.",
        FLIPS,
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
    share(
        "power",
        "power for single weights",
        "Weights with |t| > 1.96, if 30 % of the variance of the weights is signal; noise alone has 5 %.",
    ),
)
#: What gradients restore, and why silent weights stay silent.
CAUSES = (
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
    share("share", "share", "Of the group's weights, those with this cause."),
    share("share_half", "share, half the thresholds", "The same with all thresholds halved."),
    share("share_twice", "share, twice the thresholds", "The same with all thresholds doubled."),
)
#: What an intervention costs.
INTERVENED = (
    Statistic("batch_norm", "batch norm", "Statistics of batch normalization: fixed, or re-estimated on other images."),
    count("negated", "negated", "Number of binary weights that were negated in each draw."),
    share("negated_fraction", "negated weights", "Of the weights of the layer, those that were negated in each draw."),
    count("images", "images", "Number of images on which the network was evaluated."),
    count("repeats", "repeats", "Number of draws of weights."),
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
