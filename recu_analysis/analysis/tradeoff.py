"""Quantisation error against entropy over the quantile level tau: the closed forms, and what a run's layers measure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recu_analysis.analysis.engine import select_layers
from recu_analysis.analysis.fits import by_blocks, usable, window_at
from recu_analysis.errors import InputError
from recu_analysis.theory import quantization
from recu_analysis.theory.entropy import clamped_entropy
from recu_analysis.theory.laplace import check_tau, quantile
from recu_analysis.theory.measured import clamped_entropy as measured_entropy
from recu_analysis.theory.measured import quantized
from recu_analysis.theory.schedule import schedule
from recu_analysis.theory.standardize import WeightTransform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.engine import WindowRange
    from recu_analysis.store.format import LayerSpec
    from recu_analysis.store.run import Run
    from recu_analysis.store.window import Window

    Values = NDArray[np.float64]


def tradeoff(
    tau: tuple[float, float] = (0.85, 0.99),
    b: float | Sequence[float] = 2.0,
    points: int = 100,
    *,
    epochs: int | None = None,
) -> pd.DataFrame:
    """Quantile, alpha, the three quantisation errors and the entropy of Laplace weights, over tau.

    Parameters
    ----------
    tau : pair of float
        First and last level, 0.5 < first <= last <= 1.
    b : float or sequence of float
        Laplace scales, positive, in the unit of the weights.
    points : int
        Levels at equal distances, both ends among them; one where the ends are equal.
    epochs : int, optional
        Take the levels of the schedule from first to last over so many epochs (Eq. 24) instead.

    Returns
    -------
    DataFrame
        One row a scale and level: tau, b, quantile (Eq. 10 of ReCU), alpha (Eq. 13), qe_exact, qe_printed (Eq. 14 as
        it stands, with its sign error), qe_latent, entropy (Eq. 17, nats); with `epochs` also epoch, in front. See
        `recu_analysis.theory`.

    Raises
    ------
    InputError
        If a level or a scale is out of its range, tau falls, or there are fewer than 2 points or 1 epoch.
    """
    levels = check_levels(tau, points) if epochs is None else schedule(np.arange(epochs), epochs, *tau)
    scales = np.atleast_1d(quantization.check_scale(b))
    table = pd.concat([closed_forms(levels, scale) for scale in scales], ignore_index=True)
    if epochs is not None:
        table.insert(0, "epoch", np.tile(np.arange(epochs), len(scales)))
    return table


def check_levels(tau: tuple[float, float], points: int) -> Values:
    """Levels from the first to the last at equal distances.

    Raises
    ------
    InputError
        If a level is out of its range, tau falls, or there are fewer than 2 points.
    """
    first, last = check_tau(tau)
    if first > last:
        raise InputError(f"tau goes from its lower to its higher end, not from {first:g} to {last:g}")
    if points < 2:
        raise InputError(f"a table over tau needs at least 2 points, not {points}")
    return np.linspace(first, last, points) if first < last else np.array([first])


def closed_forms(levels: Values, b: float) -> pd.DataFrame:
    """The columns of `tradeoff` for one scale, a row a level."""
    return pd.DataFrame(
        {
            "tau": levels,
            "b": b,
            "quantile": quantile(levels, b),
            "alpha": quantization.alpha(levels, b),
            "qe_exact": quantization.exact(levels, b),
            "qe_printed": quantization.printed(levels, b),
            "qe_latent": quantization.latent(levels, b),
            "entropy": clamped_entropy(levels, b),
        }
    )


def measured_tradeoff(
    run: Run,
    tau: tuple[float, float] = (0.85, 0.99),
    points: int = 8,
    *,
    layers: Sequence[str] | str | None = None,
    window: WindowRange | None = None,
) -> pd.DataFrame:
    """What the weights of a run's layers really have where `tradeoff` has closed forms for Laplace weights.

    The weights w~ that a layer has at the end of a window, after its standardisation, are clamped at the Laplace
    quantile of their own b_hat at each level, whatever the run's own tau was. Channels that hold NaN or infinity are
    left out, and constant ones where the layer standardises; the note of `fit_table` counts them.

    Parameters
    ----------
    run : Run
    tau, points
        Levels, as in `tradeoff`.
    layers : str or sequence of str, optional
        Patterns of layer names.
    window : WindowRange, optional
        The state at its end; the last window by default.

    Returns
    -------
    DataFrame
        One row a layer and level: layer, window, the columns of `tradeoff` with b = b_hat of the layer, and beside them
        clamped_fraction, alpha_measured, qe_measured, qe_latent_measured and entropy_measured (nats).

    Raises
    ------
    InputError, LayerNotFoundError, WindowNotFoundError
        If a level, a pattern or the window is not there, or a layer has no weights to measure.
    """
    levels = check_levels(tau, points)
    at = window_at(run, window)
    return pd.concat([_measured(spec, at, levels) for spec in select_layers(run, layers)], ignore_index=True)


def _measured(spec: LayerSpec, window: Window, levels: Values) -> pd.DataFrame:
    transform = spec.transform or WeightTransform()
    weight, note = usable(window[spec.name].weight, transform)
    if weight.size < 2 or (weight == weight[0, 0]).all():
        why = note or "all its weights are equal"
        raise InputError(f"layer {spec.name} has no weights to measure in window {window.number}: {why}")
    standardised = by_blocks(weight, transform.standardised)
    ordered = np.sort(standardised, axis=None)
    rows: list[dict[str, Any]] = []
    for level in levels:
        found = quantized(standardised, float(level))
        rows.append(
            {
                "clamped_fraction": found.clamped_fraction,
                "alpha_measured": found.alpha,
                "qe_measured": found.error,
                "qe_latent_measured": found.latent_error,
                "entropy_measured": measured_entropy(ordered, found.bound),
            }
        )
    table = pd.concat([closed_forms(levels, found.b_hat), pd.DataFrame(rows)], axis=1)
    table.insert(0, "window", window.number)
    table.insert(0, "layer", spec.name)
    return table
