"""Short headings of columns, for the terminal."""

from typing import Final

#: By the name of the statistic; the heading of a statistic of tail and core stands over both columns.
SHORT: Final = {
    "val_top1": "val. %",
    "train_loss": "loss",
    "dead_fraction": "% dead",
    "silent_fraction": "% silent",
    "locked_fraction": "% locked",
    "flip_ratio": "flips",
    "flip_ratio_predicted": "law",
    "reversals": "rev.",
    "c2i_original": "C2I orig.",
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
