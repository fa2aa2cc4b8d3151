"""Whether a clamp changes what a network computes: signs of the stored weights before and after the clamp."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recu_analysis.analysis.layer_pass import ahead
from recu_analysis.analysis.magnitude import by_magnitude_query
from recu_analysis.analysis.query import gather, per_layer
from recu_analysis.analysis.selection import WindowSpan, moving_windows
from recu_analysis.errors import NotRecordedError
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.store.run import as_run
from recu_analysis.theory.standardize import WeightTransform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import OneRun, Run

#: Levels of the clamp, from one that clamps nearly every weight to one that clamps none.
LEVELS = (0.51, 0.85, 0.99, 1.0)
#: Scales b*: IR-Net's and ReCU's.
SCALES = (math.sqrt(0.5), 2.0)


def signs_changed(
    run: OneRun,
    *,
    layers: Sequence[str] | str | None = None,
    levels: Sequence[float] = LEVELS,
    scales: Sequence[float] = SCALES,
) -> pd.DataFrame:
    """Count the signs that standardization to b* and a clamp at tau change, in the weights at the end of a run.

    The output of a binary layer depends only on the signs of its weights. Channels that hold NaN or infinity are left
    out, since those have no sign.

    Parameters
    ----------
    run : one Run or path
    layers : str or sequence of str, optional
        Patterns of layer names.
    levels : sequence of float
        Levels tau, in (0.5, 1].
    scales : sequence of float
        Scales b*, above 0.

    Returns
    -------
    DataFrame
        One row per level and scale: tau, scale, weights, changed.

    Raises
    ------
    InputError
        If a level or a scale is out of range.
    LayerNotFoundError
        If a pattern matches no layer.
    """
    return signs_changed_query(as_run(run), levels, scales, layers).run()


def signs_changed_query(
    run: Run,
    levels: Sequence[float] = LEVELS,
    scales: Sequence[float] = SCALES,
    layers: Sequence[str] | str | None = None,
) -> Query[pd.DataFrame]:
    """The query of `signs_changed`."""
    return per_layer(run, select_layers(run, layers), _signs, tuple(levels), tuple(scales)).then(_added)


def _added(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The sums of the counts of all layers."""
    total = tables[0].copy()
    for name in ("weights", "changed"):
        total[name] = sum(table[name] for table in tables)
    return total


def _signs(run: Run, spec: LayerSpec, levels: tuple[float, ...], scales: tuple[float, ...]) -> Answer[pd.DataFrame]:
    rows = (yield ahead(run.windows[-1])).operand.reshape(spec.shape[0], -1)
    weight = rows[np.isfinite(rows).all(axis=1)]
    counts = dict.fromkeys(itertools.product(levels, scales), 0)
    if weight.size:
        signs = spec.signs(weight)
        for tau, scale in counts:
            transform = WeightTransform(center=spec.center, target=scale, clamp=True)
            clamped = transform.clamped(transform.standardized(weight), tau)
            counts[tau, scale] = int(np.count_nonzero(~(clamped < 0) != signs))
    return pd.DataFrame(
        [{"tau": tau, "scale": scale, "weights": weight.size, "changed": n} for (tau, scale), n in counts.items()]
    )


def gradients(run: OneRun, *, bins: int = 20) -> pd.DataFrame:
    """Mean absolute loss gradient against abs(z) in the last window, in which weights move least.

    Parameters
    ----------
    run : one Run or path
        Recorded with the quantity grad.
    bins : int
        Number of bins, each with equally many weights of a layer.

    Returns
    -------
    DataFrame
        As `by_magnitude`, with two more columns:

        - signs_changed: changed signs over all levels and scales, of `signs_changed`
        - signs: how many were compared

    Raises
    ------
    NotRecordedError
        If the run does not keep the gradients.
    WindowNotFoundError
        If the run holds no window with updates.
    """
    return gradients_query(as_run(run), bins).run()


def gradients_query(run: Run, bins: int = 20, span: WindowSpan | None = None) -> Query[pd.DataFrame]:
    """The query of `gradients`, by default of the last window; it raises the same errors."""
    if "grad" not in run.header.quantities:
        raise NotRecordedError(
            f"{run.path} was recorded without the gradients of its weights; record them with train --record grad or "
            "ra.record(..., quantities=['grad'])"
        )
    chosen = last_window(run) if span is None else span
    both = gather(signs_changed_query(run), by_magnitude_query(run, chosen, bins))
    return both.then(lambda found: _beside(*found))


def last_window(run: Run) -> WindowSpan:
    """The last window with updates."""
    last = moving_windows(run)[-1].number
    return WindowSpan(last, last + 1)


def _beside(changed: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Gradients by magnitude, with the number of signs that the clamp changes in every row."""
    return table.assign(signs_changed=int(changed["changed"].sum()), signs=int(changed["weights"].sum()))
