"""The figure that shows what ReCU is: a mask on the gradient, which changes no output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from recu_analysis.analysis.mask import asked_gradients, gradients
from recu_analysis.figures.entry import Entry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.figures.entry import Runs


def plot_mask(runs: Runs, ax: Axes | None = None) -> Axes:
    """Mean absolute gradient against abs(z), one line a run, and how many signs the clamp changes.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by the labels that the legend gives them, recorded with the quantity grad.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    NotRecordedError
        If a run does not keep the gradients.
    """
    from recu_analysis.plots.arm_colors import of_runs
    from recu_analysis.plots.mask import mask

    return mask(mask_data(runs), ax, palette=of_runs(runs))


def mask_data(runs: Runs) -> pd.DataFrame:
    """`gradients` of several runs, with a column run."""
    return pd.concat([gradients(run).assign(run=label) for label, run in runs.items()], ignore_index=True)


def _mask(runs: Runs) -> tuple[Figure, pd.DataFrame]:
    from recu_analysis.plots.arm_colors import of_runs
    from recu_analysis.plots.mask import mask
    from recu_analysis.plots.style import panels

    data = mask_data(runs)
    figure, axes = panels(1, "column", 0.85)
    mask(data, axes[0], palette=of_runs(runs))
    return figure, data


MASK_FIGURES: dict[str, Entry] = {
    "mask": Entry(
        _mask,
        "ReCU is a mask on the gradient: gradient against distance",
        "Mean absolute loss gradient of the latent weights against their distance from zero, in the last window; 1 is "
        "the mean of the layer. Every point is a twentieth of each layer's weights, averaged over the layers; bands "
        r"are 95 % intervals over output channels. The clamp stops the gradient of the weights beyond $Q(\tau)$ and "
        "changes no sign of a weight, and so no output: the count is over all weights, four levels of tau and two "
        "scales.",
        asks=lambda runs: [asked for run in runs.values() for asked in asked_gradients(run)],
    )
}
