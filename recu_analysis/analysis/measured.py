"""Quantization error and entropy of recorded weights over the quantile level tau, beside the closed forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recu_analysis.analysis.channels import by_blocks, measured_channels
from recu_analysis.analysis.fits import window_at
from recu_analysis.analysis.layer_pass import ahead
from recu_analysis.analysis.query import per_layer
from recu_analysis.analysis.run_arguments import of_each
from recu_analysis.analysis.tradeoff import check_levels, closed_forms
from recu_analysis.errors import InputError
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.theory.empirical import clamped_entropy, quantized
from recu_analysis.theory.standardize import WeightTransform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run


def measured_tradeoff(
    runs: SeveralRuns,
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tau: tuple[float, float] = (0.85, 0.99),
    points: int = 8,
) -> pd.DataFrame:
    """Quantization error and entropy of a run's weights over tau, beside the closed forms of `tradeoff`.

    w~ are the weights of a layer at the end of a window, after its standardization. At each level they are clamped at
    the Laplace quantile of their own b_hat; the run's own tau is not used. Channels that are constant, or hold NaN or
    infinity, are left out; see `recu_analysis.analysis.channels`.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Of several runs, the tables are below each other, with the labels of the runs in a first column, run.
    windows : int, slice, str or WindowSpan, optional
        The state at the end of these windows, such as 12 or ":13"; the end of the run by default.
    layers : str or sequence of str, optional
        Patterns of layer names.
    tau, points
        Levels, as in `tradeoff`.

    Returns
    -------
    DataFrame
        One row per layer and level:

        - layer, window
        - the columns of `tradeoff`, with b = b_hat of the layer
        - clamped_fraction, alpha_measured, qe_measured, qe_latent_measured, entropy_measured (nats): measured
        - constant_channels: left out

    Raises
    ------
    InputError
        If `tau`, `points` or `windows` is not valid, or a layer has no weights to measure.
    LayerNotFoundError
        If a pattern matches no layer.
    WindowNotFoundError
        If the run has none of the windows.
    """
    return of_each(runs, lambda run: measured_tradeoff_query(run, tau, points, layers=layers, windows=windows))


def measured_tradeoff_query(
    run: Run,
    tau: tuple[float, float] = (0.85, 0.99),
    points: int = 8,
    *,
    layers: Sequence[str] | str | None = None,
    windows: Windows | None = None,
) -> Query[pd.DataFrame]:
    """The query of `measured_tradeoff`."""
    tables = measured_layers_query(run, select_layers(run, layers), tau, points, windows)
    return tables.then(lambda found: pd.concat(found, ignore_index=True))


def measured_layers_query(
    run: Run, layers: Sequence[LayerSpec], tau: tuple[float, float], points: int, windows: Windows | None = None
) -> Query[list[pd.DataFrame]]:
    """The rows of `measured_tradeoff`, one table per layer."""
    levels = tuple(check_levels(tau, points).tolist())
    return per_layer(run, layers, _measured, window_at(run, windows).number, levels)


def _measured(run: Run, spec: LayerSpec, number: int, levels: tuple[float, ...]) -> Answer[pd.DataFrame]:
    record = yield ahead(run.window(number))
    transform = spec.transform or WeightTransform()
    channels = measured_channels(record.operand)
    if not channels.rows.size:
        raise InputError(f"layer {spec.name} has no weights to measure in window {number}: {channels.omissions}")
    standardized = by_blocks(channels.rows, transform.standardized)
    ordered = np.sort(standardized, axis=None)
    rows: list[dict[str, Any]] = []
    for level in levels:
        found = quantized(standardized, level)
        rows.append(
            {
                "clamped_fraction": found.clamped_fraction,
                "alpha_measured": found.alpha,
                "qe_measured": found.error,
                "qe_latent_measured": found.latent_error,
                "entropy_measured": clamped_entropy(ordered, found.bound),
            }
        )
    table = pd.concat([closed_forms(np.array(levels), found.b_hat), pd.DataFrame(rows)], axis=1)
    table["constant_channels"] = channels.constant
    table.insert(0, "window", number)
    table.insert(0, "layer", spec.name)
    return table
