"""Standard scores of a layer at the end of windows: histograms, and the distributions fitted to them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import gamma

from recu_analysis.analysis.channels import measured_channels
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.query import per_layer
from recu_analysis.analysis.selection import span_of, with_epochs
from recu_analysis.errors import InputError, WindowNotFoundError
from recu_analysis.store.layer_selection import select_layer
from recu_analysis.store.run import as_run
from recu_analysis.theory.gennorm import shape_estimate
from recu_analysis.theory.laplace import scale_estimate
from recu_analysis.theory.standardize import standard_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import OneRun, Run

    Values = NDArray[np.float64]


def score_histogram(run: OneRun, *, layer: str, windows: Windows | None = None, bins: int = 61) -> pd.DataFrame:
    """Density of a layer's standard scores z at the end of some windows, beside three fitted densities.

    Parameters
    ----------
    run : one Run or path
    layer : str
        Its name, or a pattern that matches one layer.
    windows : int, slice, str or WindowSpan, optional
        The scores at the end of each of these windows, such as 12 or "8:13" (without 13); by default the first, the
        middle and the last window.
    bins : int
        Number of bins of equal width, symmetric about 0, the same for all windows.

    Returns
    -------
    DataFrame
        One row per window and bin:

        - window, epoch (NaN where none was logged)
        - left, right: edges, in standard deviations of the channel
        - density: per standard deviation
        - laplace, normal, gennorm: densities of maximum likelihood with location 0, at the center of the bin
        - shape: of the generalized normal (1 Laplace, 2 normal); NaN, like gennorm, where none fits

    Raises
    ------
    InputError
        If the pattern matches several layers, `windows` is not valid, or the layer has no weights to measure.
    LayerNotFoundError
        If the pattern matches no layer.
    WindowNotFoundError
        If the run has none of the windows.
    """
    return score_histogram_query(as_run(run), layer, windows, bins).run()


def score_histogram_query(
    run: Run, layer: str, windows: Windows | None = None, bins: int = 61, *, numbers: Sequence[int] | None = None
) -> Query[pd.DataFrame]:
    """The query of `score_histogram`; `numbers` selects windows one by one."""
    spec, numbers = select_layer(run, layer), _windows(run, windows) if numbers is None else numbers
    found = per_layer(run, [spec], _histograms, tuple(numbers), bins)
    return found.then(lambda tables: with_epochs(run, tables[0].copy(), at=1))


def _windows(run: Run, windows: Windows | None) -> list[int]:
    known = [window.number for window in run.windows]
    if not known:
        raise WindowNotFoundError(f"{run.path} holds no window; record() writes the first one when it starts")
    if windows is None:
        return [known[at] for at in sorted({0, len(known) // 2, len(known) - 1})]
    span = span_of(run, windows)
    return [number for number in known if number in span]


def _histograms(run: Run, spec: LayerSpec, numbers: tuple[int, ...], bins: int) -> Answer[pd.DataFrame]:
    scores = {}
    for number in numbers:
        record = yield over([run.window(number)], {"end"})
        scores[number] = _scores(spec, record.scored, number)
    reach = max(float(np.abs(z).max(initial=0.0)) for z in scores.values())
    edges = np.linspace(-reach, reach, bins + 1)
    tables = [_densities(z, edges) for z in scores.values()]
    for number, table in zip(scores, tables, strict=True):
        table.insert(0, "window", number)
    return pd.concat(tables, ignore_index=True)


def _scores(spec: LayerSpec, weight: NDArray[Any], number: int) -> Values:
    """Standard scores of the channels that are measured."""
    channels = measured_channels(weight)
    if not channels.rows.size:
        raise InputError(f"layer {spec.name} has no weights to measure in window {number}: {channels.omissions}")
    return standard_scores(channels.rows, center=spec.center).ravel()


def _densities(z: Values, edges: Values) -> pd.DataFrame:
    """Histogram of scores as a density, with the densities of three fitted families at the center of each bin."""
    x = np.abs((edges[:-1] + edges[1:]) / 2.0)
    b, deviation, beta = scale_estimate(z), float(np.sqrt(np.mean(z**2))), shape_estimate(z)
    # The scale of maximum likelihood for this shape.
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
