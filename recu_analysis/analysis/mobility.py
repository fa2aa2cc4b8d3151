"""How far weights move in a window, beside the forecasts of the optimizer and the norms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from recu_analysis.analysis.deadness import MOVEMENT, mean, movement
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.query import per_layer
from recu_analysis.analysis.rates import rates_by_epoch
from recu_analysis.analysis.selection import begins_training, known_windows, select_windows, span_of, with_epochs
from recu_analysis.errors import InputError, NotRecordedError
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.theory.equilibrium import is_settled, mobility, relative_step, steps_between

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.record import MergedRecord
    from recu_analysis.store.run import Run

#: What the forecast of a window says.
EQUILIBRIUM: Final = "equilibrium"
OUT_OF_EQUILIBRIUM: Final = "out of equilibrium"
NOT_FORECAST: Final = "not forecast"


@dataclass(frozen=True, slots=True)
class Forecast:
    """The mobility of a layer in some windows, forecast without the gradients; standard deviations per update.

    Attributes
    ----------
    updates : int
        Those in which the weights had a gradient.
    equilibrium : float
        In equilibrium at the learning rates of the updates; NaN where they are not known, or nothing decays.
    norms : float
        From the norms at both ends; NaN where `recu_analysis.theory.equilibrium.steps_between` has none.
    """

    updates: int
    equilibrium: float
    norms: float


def forecast(run: Run, spec: LayerSpec, record: MergedRecord) -> Forecast:
    """The forecasts of a layer in a record; the norms are of the weights minus the means of their channels."""
    try:
        known = [each for window in record.windows for each in rates_by_epoch(run, window, spec.name)]
    except InputError:
        return Forecast(0, math.nan, math.nan)
    counts = [each.updates for each in known]
    if not any(counts):
        return Forecast(0, math.nan, math.nan)
    steps = [relative_step(each.rule, each.lr, each.weight_decay) for each in known]
    settled = float(np.average(steps, weights=counts))
    ends = record.deviations_start, record.deviations_end
    norms = [math.sqrt(float(np.nansum(deviations**2))) for deviations in ends]
    return Forecast(sum(counts), mobility(settled) if settled else math.nan, mobility(steps_between(known, *norms)))


def regime(in_equilibrium: float, by_norms: float) -> str:
    """What a forecast by the norms says of a window, beside the mobility in equilibrium."""
    if math.isnan(by_norms):
        return NOT_FORECAST
    return EQUILIBRIUM if is_settled(by_norms, in_equilibrium) else OUT_OF_EQUILIBRIUM


def mobility_query(
    run: Run, windows: Windows | None = None, layers: Sequence[str] | str | None = None
) -> Query[pd.DataFrame]:
    """The query of the mobility of every layer in every window, beside forecasts that know nothing of the gradients.

    Parameters
    ----------
    run : Run
    windows : int, slice, str or WindowSpan, optional
        Only these windows, such as "8:13" (without 13). By default all windows since the last gap.
    layers : str or sequence of str, optional
        Patterns of layer names.

    Returns
    -------
    Query of DataFrame
        One row per layer and window:

        - layer, window, epoch, updates, decay_time (T)
        - mobility: as measured, standard deviations per update
        - mobility_equilibrium: in equilibrium at the learning rates of the window; NaN where they are not known, or
          nothing decays
        - mobility_forecast: from learning rate, weight decay, momentum and the norms at both ends. NaN where the window
          begins with the training, the rates are not known, the optimizer is AdamW, or the norm falls by decay alone
        - regime: equilibrium if the two forecasts differ by at most a tenth; else out of equilibrium, or not forecast

    Raises
    ------
    InputError
        If `windows` is not valid, or the run was imported from checkpoints.
    LayerNotFoundError
        If a pattern matches no layer.
    WindowNotFoundError
        If the run has none of the windows, or they hold no updates.
    NotRecordedError
        If the run was recorded without zpath.
    """
    chosen = known_windows(run) if windows is None else select_windows(run, span_of(run, windows))
    if not all(window.exact for window in chosen):
        raise InputError(f"{run.path} was imported from checkpoints, which do not tell how far updates move weights")
    if "zpath" not in run.header.quantities:
        raise NotRecordedError(f"{run.path} was recorded without zpath, which mobility needs; record zpath")
    numbers = tuple(window.number for window in chosen)
    found = per_layer(run, select_layers(run, layers), _rows, numbers)
    return found.then(lambda parts: with_epochs(run, pd.DataFrame([row for rows in parts for row in rows]), at=2))


def _rows(run: Run, spec: LayerSpec, numbers: tuple[int, ...]) -> Answer[list[dict[str, Any]]]:
    """One row for each window of one layer."""
    rows = []
    for number in numbers:
        record = yield over([run.window(number)], MOVEMENT)
        expected = forecast(run, spec, record)
        by_norms = math.nan if begins_training(record.windows) else expected.norms
        rows.append(
            {
                "layer": spec.name,
                "window": number,
                "updates": record.updates,
                "decay_time": record.summary.decay_time,
                "mobility": mean(movement(spec, record).mobility),
                "mobility_equilibrium": expected.equilibrium,
                "mobility_forecast": by_norms,
                "regime": regime(expected.equilibrium, by_norms),
            }
        )
    return rows
