"""Standard scores of a layer at some moments: their histogram, and the distributions fitted to them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import gamma

from recu_analysis.analysis.engine import numbers_text, select_layers, window_epochs
from recu_analysis.analysis.fits import usable
from recu_analysis.errors import InputError, WindowNotFoundError
from recu_analysis.theory.gennorm import shape_estimate
from recu_analysis.theory.laplace import scale_estimate
from recu_analysis.theory.standardize import WeightTransform, standard_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recu_analysis.store.format import LayerSpec
    from recu_analysis.store.run import Run
    from recu_analysis.store.window import Window

    Values = NDArray[np.float64]


def score_histogram(run: Run, layer: str, windows: Sequence[int] | None = None, *, bins: int = 61) -> pd.DataFrame:
    """Density of a layer's standard scores z at the end of some windows, beside three fitted densities.

    Parameters
    ----------
    run : Run
    layer : str
        Its name, or a pattern that matches one layer.
    windows : sequence of int, optional
        Numbers of windows; by default the first, the middle one and the last.
    bins : int
        Number of bins of equal width, symmetric about 0, the same for all windows.

    Returns
    -------
    DataFrame
        One row a window and bin: window, epoch (NaN where none was marked), left, right (edges, in standard deviations
        of the channel), density (per standard deviation), and in the middle of the bin the densities laplace, normal
        and gennorm of maximum likelihood, each with location 0; shape of the generalised normal (1 Laplace, 2 normal;
        NaN, with its density, where none fits).

    Raises
    ------
    InputError, LayerNotFoundError, WindowNotFoundError
        If the pattern matches no layer or several, a window is not there, or all scores are 0.
    """
    specs = select_layers(run, layer)
    if len(specs) > 1:
        raise InputError(f"{layer!r} matches {len(specs)} layers; name one of {', '.join(s.name for s in specs)}")
    chosen = _windows(run, windows)
    scores = [_scores(specs[0], window) for window in chosen]
    reach = max(float(np.abs(z).max(initial=0.0)) for z in scores)
    edges = np.linspace(-reach, reach, bins + 1)
    epochs = window_epochs(run)
    tables = [
        _densities(z, edges).assign(window=window.number, epoch=epochs.get(window.number, math.nan))
        for window, z in zip(chosen, scores, strict=True)
    ]
    table = pd.concat(tables, ignore_index=True)
    return table[["window", "epoch", *table.columns.drop(["window", "epoch"])]]


def _windows(run: Run, numbers: Sequence[int] | None) -> list[Window]:
    known = {window.number: window for window in run.windows}
    if not known:
        raise WindowNotFoundError(f"{run.path} holds no window; record() writes the first one when it starts")
    if numbers is None:
        return [run.windows[at] for at in sorted({0, len(known) // 2, len(known) - 1})]
    for number in numbers:
        if number not in known:
            raise WindowNotFoundError(f"{run.path} has the windows {numbers_text(sorted(known))}, not {number}")
    return [known[number] for number in numbers]


def _scores(spec: LayerSpec, window: Window) -> Values:
    """Scores of the channels that have any; a constant channel would be a spike at 0."""
    transform = spec.transform or WeightTransform()
    rows, _ = usable(window[spec.name].weight, transform)
    varying = rows[(rows != rows[:, :1]).any(axis=1)]
    if not varying.size:
        raise InputError(f"layer {spec.name} has no weights with a distribution in window {window.number}")
    return standard_scores(varying, centre=transform.centre).ravel()


def _densities(z: Values, edges: Values) -> pd.DataFrame:
    """Histogram of scores as a density, and what three families have in the middle of each bin."""
    x = np.abs((edges[:-1] + edges[1:]) / 2.0)
    b, deviation, beta = scale_estimate(z), float(np.sqrt(np.mean(z**2))), shape_estimate(z)
    # The scale of maximum likelihood, given the shape.
    alpha = float(beta * np.mean(np.abs(z) ** beta)) ** (1.0 / beta) if math.isfinite(beta) else math.nan
    return pd.DataFrame(
        {
            "left": edges[:-1],
            "right": edges[1:],
            "density": np.histogram(z, edges, density=True)[0],
            "laplace": np.exp(-x / b) / (2.0 * b),
            "normal": np.exp(-0.5 * (x / deviation) ** 2) / (deviation * math.sqrt(2.0 * math.pi)),
            "gennorm": beta / (2.0 * alpha * gamma(1.0 / beta)) * np.exp(-((x / alpha) ** beta)),
            "shape": beta,
        }
    )
