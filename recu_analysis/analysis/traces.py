"""Trajectories: the value, z and state of single weights after every update."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recu_analysis.analysis.deadness import TAIL_TAU, tail_level, tail_mask
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.query import per_layer, takes_levels
from recu_analysis.analysis.run_arguments import of_each
from recu_analysis.analysis.selection import known_windows, span_of
from recu_analysis.errors import NotRecordedError, WindowNotFoundError
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.store.quantities import TRACES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run


def traces(
    runs: SeveralRuns,
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
) -> pd.DataFrame:
    """Trajectories of the weights that a recording traced: value, z and state after every update.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Recorded with ``record(..., traces=16)``. Of several runs, the tables are below each other, with the labels of
        the runs in a first column, run.
    windows : int, slice, str or WindowSpan, optional
        Only these windows, such as "8:13" (without 13); by default all since the last gap.
    layers : str or sequence of str, optional
        Patterns of layer names.
    tail_tau : float or "window"
        Level of the tail at the start of the windows; "window" takes each layer's own tau.

    Returns
    -------
    DataFrame
        One row per layer, weight and update, in this order. The first row of a weight is its start, before the first of
        these updates.

        - layer, flat_index (of the weight in the layer)
        - group: tail or core, by abs(z) among all weights of the layer at the start
        - window, update (counted from 1 over the whole run)
        - weight: the latent weight
        - z: the effective weight in standard deviations of its channel at that update
        - state: -1 or 1, the sign that the forward pass uses
        - flip: whether the state differs from that at the update before

    Raises
    ------
    NotRecordedError
        If the run, or none of these layers, has traced weights.
    InputError
        If `windows` or `tail_tau` is not valid.
    LayerNotFoundError, WindowNotFoundError
        If a pattern matches no layer, or there is no such window with updates.
    """
    return of_each(runs, lambda run: traces_query(run, windows, layers, tail_tau))


def traces_query(
    run: Run,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
) -> Query[pd.DataFrame]:
    """The query of `traces`."""
    specs = traced_layers(run, layers)
    known = known_windows(run)
    span = None if windows is None else span_of(run, windows)
    numbers = tuple(window.number for window in known if span is None or window.number in span)
    if not numbers:
        raise WindowNotFoundError(
            f"the windows {span} of {run.path} hold no updates since its last gap; windows {known[0].number} to "
            f"{known[-1].number} do"
        )
    return per_layer(run, specs, _trajectories, numbers, tail_tau).then(
        lambda found: pd.concat(found, ignore_index=True)
    )


def traced_layers(run: Run, layers: Sequence[str] | str | None) -> list[LayerSpec]:
    """The layers with traces that a pattern matches; NotRecordedError if there is none."""
    specs = [spec for spec in select_layers(run, layers) if spec.traced]
    if not specs:
        which = " of these layers" if layers is not None else ""
        raise NotRecordedError(
            f"{run.path} has no traces of single weights{which}; record them with record(..., traces=16) or train "
            "--traces 16"
        )
    return specs


@takes_levels
def _trajectories(run: Run, spec: LayerSpec, numbers: tuple[int, ...], tail_tau: TailTau) -> Answer[pd.DataFrame]:
    """The rows of one layer; the tail is that of `movement` over all of these windows."""
    chosen = np.array(spec.traced)
    windows = [run.window(number) for number in numbers]
    before = yield over([windows[0].before], {"end"})
    z = before.z_end.reshape(-1)
    states, distance = before.states_end.reshape(-1)[chosen], before.distance_end.reshape(-1)
    columns = [(before.end.reshape(-1)[chosen][None], z[chosen][None], states[None])]
    update = windows[0][spec.name].summary.first_update - 1
    places = [(numbers[0], update)]
    for window in windows:
        record = yield over([window], TRACES)
        columns.append((record.traces, record.trace_z, record.trace_state))
        first = record.summary.first_update
        places += [(window.number, first + at) for at in range(record.updates)]
    tail = tail_mask(distance, tail_level(spec, record, tail_tau))[chosen]
    value, scores, state = (np.concatenate(parts).T for parts in zip(*columns, strict=True))
    number, updates = np.array(places).T
    table = pd.DataFrame(
        {
            "layer": spec.name,
            "flat_index": np.repeat(spec.places(chosen), len(places)),
            "group": np.repeat(np.where(tail, "tail", "core"), len(places)),
            "window": np.tile(number, len(chosen)),
            "update": np.tile(updates, len(chosen)),
            "weight": value.ravel(),
            "z": scores.ravel().astype(np.float64),
            "state": state.ravel(),
        }
    )
    return table.assign(flip=_flips(state).ravel())


def _flips(state: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each state differs from the one before; the first never does."""
    flips: NDArray[np.bool_] = np.diff(state, axis=1, prepend=state[:, :1]) != 0
    return flips
