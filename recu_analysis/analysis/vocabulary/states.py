"""Entries of the state of the weights: fits, the clamp, quantization errors and entropy."""

from __future__ import annotations

from recu_analysis.analysis.statistic import Statistic
from recu_analysis.analysis.vocabulary.entries import FLIPS, LATENT, WEIGHT, count, share

#: The distribution of the weights.
FITS = (
    Statistic("b_star", "target scale b*", "Scale b that the layer's standardization sets.", digits=3),
    Statistic("b_hat", "scale b_hat", "Mean |w~| over the measured channels (Eq. 11).", "unit of w~", digits=3),
    Statistic("b_ratio", "b_hat / b*", "Scale of the weights divided by the layer's target scale.", digits=3),
    Statistic("shape", "shape", "Shape of the generalized normal fitted to z: 1 is Laplace, 2 is normal.", digits=3),
    Statistic(
        "gennorm_shape", "shape", "Shape of the generalized normal fitted to z: 1 is Laplace, 2 is normal.", digits=3
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
    Statistic("aic_gennorm", "AIC, generalized normal", "AIC of the generalized normal minus AIC of the Laplace."),
)
#: The weights after the clamp.
CLAMP = (
    Statistic("tau", "level tau", "Quantile level of the clamp; 1 if nothing is clamped.", digits=4),
    Statistic("b", "scale b", "Scale of the Laplace distribution; for a measured layer, b_hat.", digits=4),
    Statistic("quantile", "quantile", "Value beyond which the clamp cuts w~ (Eq. 10).", "unit of w~", digits=4),
    share("clamped_fraction", "clamped weights", "Of the measured weights, those beyond the quantile.", 2),
    share(
        "clamped_laplace",
        "clamped Laplace weights",
        "2 (1 - tau): the share of Laplace weights beyond the quantile.",
        2,
    ),
    Statistic("alpha", "alpha", "Mean |w~| after the clamp; in closed form, of Laplace weights.", digits=4),
    Statistic("alpha_measured", "alpha, measured", "Mean |w~| of the layer's weights after the clamp.", digits=4),
)
#: Ternary weights.
TERNARY = (
    Statistic("distribution", "distribution", "Distribution of the latent weights."),
    Statistic("threshold", "threshold", "Largest |w| with the state 0.", "means of |w|", digits=3),
    share("zeros", "zeros", "Of the weights, those in state 0.", 1),
    Statistic("ternary_scale", "scale", "Scale of ternary weights with the least error.", "unit of w", digits=4),
)
#: Weights with more than two levels.
LEVELS = (
    count("levels", "levels", "Number of levels of a weight."),
    Statistic(
        "flip_ratio_weight",
        "flips by the weights",
        "Mean number of changes of state per update that the weights made, at the thresholds before the update.",
        FLIPS,
        1e3,
        3,
    ),
    Statistic(
        "flip_ratio_threshold",
        "flips by thresholds",
        "Mean number of changes of state per update that moved thresholds made.",
        FLIPS,
        1e3,
        3,
    ),
    Statistic(
        "oscillation_frequency",
        "oscillation frequency",
        "Mean number of flips per update whose direction is opposite to that of the weight's flip before.",
        FLIPS,
        1e3,
        3,
    ),
    share(
        "oscillating_fraction",
        "oscillating weights",
        "Weights with more than 5 flips back, opposite to their flip before, in 1000 updates.",
    ),
    share("zero_kept_fraction", "zero throughout", "Weights whose state was 0 before and after every update."),
    share(
        "trapped_fraction",
        "trapped weights",
        "Weights in state 0 throughout that moved without direction, as 95 % of such weights do under noise.",
    ),
    Statistic(
        "threshold_distance",
        "distance to a threshold",
        "Mean distance of the weights from the nearest threshold at the end of the window.",
        "std",
        digits=3,
    ),
    Statistic(
        "relative_error",
        "relative error",
        "Mean square of what quantization changes, over the mean square of the weights, at the end of the window.",
        digits=4,
    ),
    count("next_state", "next state", "State after the update."),
    count("transitions", "weights x updates", "How often weights went from the state to the next state."),
)
#: Quantization errors and entropies.
ERRORS = (
    Statistic(
        "qe_measured",
        "quantization error, measured",
        "Quantization error of the layer's clamped weights.",
        WEIGHT,
        digits=4,
    ),
    Statistic(
        "qe_exact", "quantization error, exact", "Quantization error of clamped Laplace weights.", WEIGHT, digits=4
    ),
    Statistic(
        "qe_printed",
        "quantization error, printed",
        "Quantization error of clamped Laplace weights by Eq. 14 as printed, with its sign error.",
        WEIGHT,
        digits=4,
    ),
    Statistic(
        "qe_latent",
        "quantization error, latent",
        "Quantization error of Laplace weights before the clamp, with alpha taken after it.",
        WEIGHT,
        digits=4,
    ),
    Statistic(
        "qe_latent_measured",
        "quantization error, latent, measured",
        "Quantization error of the layer's weights before the clamp, with alpha taken after it.",
        WEIGHT,
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
    Statistic(
        "qe_ternary",
        "quantization error, ternary",
        "Quantization error of ternary weights with their best scale.",
        LATENT,
        digits=4,
    ),
    Statistic(
        "qe_absmean",
        "quantization error, absmean",
        "Quantization error of ternary weights with the mean |w| as scale, as in BitNet b1.58.",
        LATENT,
        digits=4,
    ),
    Statistic(
        "qe_binary",
        "quantization error, binary",
        "Quantization error of signs with the mean |w| as scale, their best one.",
        LATENT,
        digits=4,
    ),
    Statistic(
        "state_entropy", "entropy of the states", "Entropy of the states, at most ln of their number.", "nats", digits=4
    ),
    Statistic("sign_entropy", "entropy of the signs", "Entropy of the layer's signs, at most ln 2.", "nats", digits=4),
)
