"""Why silent weights stay silent: chosen in some windows, and their causes found in the windows after."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from scipy.special import ndtr

from recu_analysis.analysis.deadness import MOVEMENT, TAIL_TAU, movement
from recu_analysis.analysis.earned import EARNED, earned_part
from recu_analysis.analysis.final_windows import choose
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.query import per_layer, takes_levels
from recu_analysis.analysis.rates import rates
from recu_analysis.analysis.run_arguments import of_each
from recu_analysis.analysis.selection import WindowSpan, known_windows, select_windows, windows_before
from recu_analysis.errors import InputError, NotRecordedError, WindowNotFoundError
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.store.quantities import GRADIENT_STATS
from recu_analysis.theory.causes import CAUSES, THRESHOLDS, Evidence
from recu_analysis.theory.causes import causes as causes_of
from recu_analysis.theory.noise import arrived

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.deadness import Mask, Movement, TailTau
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.record import MergedRecord
    from recu_analysis.store.run import Run
    from recu_analysis.theory.noise import Rates

    Values = NDArray[np.float64]

#: The groups of silent weights, in the order of the rows.
SILENT_GROUPS: Final = ("tail-silent", "core-silent")
#: Columns of shares, and the factor of the thresholds of each.
FACTORS: Final = {"share": 1.0, "share_half": 0.5, "share_twice": 2.0}
#: The rules that need what gradients made of each weight. Noise alone meets them, too.
_OF_GRADIENTS: Final = ("opposed", "held")
_BY_NOISE: Final = (*_OF_GRADIENTS, "undetermined")
#: What to say of a run in which these rules were not tried.
UNTRIED: Final = (
    "opposed and held were not tried: they need what gradients made of each weight, as rho does, which is defined for "
    "SGD and AdamW; it is not for optimizers that divide weight decay by the size of the gradients or that are not "
    "known, nor where the momentum changed within a window"
)
_STATS: Final = {"noise", "small_grads", "unchanged"}


def causes(
    runs: SeveralRuns,
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
) -> pd.DataFrame:
    """The causes of silence: why weights that were silent in some windows stay where they are in the next ones.

    Silent weights are chosen in as many windows before as are tested, or all that exist: those that did not flip there,
    of the tail or of the core at their start. In the tested windows, each gets the first cause of
    `recu_analysis.theory.causes` whose rule it meets. A rule whose quantity is not known is not tried: lost to rounding
    needs weights of 16 bits; the rules from slow channel to out of reach, but for masked, need zpath; opposed and held
    need SGD or AdamW. If they were not tried in a layer, their shares are NaN there and in the rows of all layers.

    With more than two levels, the tail is farthest from a threshold, and silent weights keep their state. Held and
    opposed are about the threshold that is nearest at the start of the tested windows: a weight between two thresholds
    that is held is pushed towards the middle of its state. How thresholds move is not part of any rule.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Recorded with gradient-stats. Of several runs, the tables are below each other, with the labels of the runs in a
        first column, run.
    windows : int, slice, str or WindowSpan, optional
        The windows that are tested, merged, such as "8:13" (without 13); by default the final windows.
    layers : str or sequence of str, optional
        Patterns of layer names.
    tail_tau : float or "window"
        Level of the tail at the start of the windows in which the weights are chosen; "window" takes each layer's own
        tau.

    Returns
    -------
    DataFrame
        One row per layer, group and cause, and such rows for all layers together:

        - row (layer, or total for all layers together), layer ("all" in total rows), group (tail-silent or
          core-silent), cause, counted (weights of the layer with a finite record), weights (of the group)
        - share: of the group's weights; share_half, share_twice: with all thresholds halved or doubled
        - share_null: what noise alone would give, of the weights that no earlier rule explains: 5 % each for opposed
          and held. NaN for rules that do not depend on noise or were not tried. It holds for noise of a steady size: in
          simulations it is 5.0 to 5.6 % in 60 updates and 5 to 7 % in 20, and more in the first updates of AdamW
          (`python -m benchmarks.causes`). Compare opposed with held, and with a training without a signal (`train
          --control`)

    Raises
    ------
    InputError
        If `windows` or `tail_tau` is not valid.
    LayerNotFoundError
        If a pattern matches no layer.
    NotRecordedError
        If the run was recorded without gradient-stats.
    WindowNotFoundError
        If the run has none of the windows, or there is no window before them.
    """
    return of_each(runs, lambda run: causes_query(run, choose(run, windows), layers, tail_tau))


def causes_query(
    run: Run,
    tested: WindowSpan,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
) -> Query[pd.DataFrame]:
    """The query of `causes` over given windows."""
    check_recorded(run)
    counts = per_layer(run, select_layers(run, layers), _counts, chosen_before(run, tested), tested, tail_tau)
    return counts.then(_table)


def check_recorded(run: Run) -> None:
    """NotRecordedError if a run was recorded without gradient-stats."""
    if not run.windows or GRADIENT_STATS not in _recorded(run):
        raise NotRecordedError(
            f"{run.path} was recorded without {GRADIENT_STATS}, which the causes of silence need; train again with "
            f'record(..., quantities=["{GRADIENT_STATS}"]), or train --record {GRADIENT_STATS}'
        )


def _recorded(run: Run) -> set[str]:
    return {quantity.request for quantity in run.windows[-1].quantities.values()}


def chosen_before(run: Run, tested: WindowSpan) -> WindowSpan:
    """The windows in which silent weights are chosen; WindowNotFoundError if there is none before the tested ones."""
    windows = select_windows(run, tested)
    before = windows_before(windows[0], len(windows))
    if not before:
        later = known_windows(run)[1:]
        such = f"test later windows, such as windows='{later[len(later) // 2].number}:'" if later else "record more"
        raise WindowNotFoundError(
            f"silent weights are chosen in the windows before {tested} of {run.path}, and there is none without a gap; "
            f"{such}"
        )
    return WindowSpan(before[0].number, before[-1].number + 1)


@dataclass(frozen=True, slots=True)
class Counts:
    """The weights of a group in a layer, or in several together.

    Attributes
    ----------
    row, layer, group : str
    counted, weights : int
        Weights of the layer with a finite record; of the group.
    by_factor : ndarray of int64, shape (thresholds, causes)
        Weights of the group by cause, for each of `FACTORS`.
    tried : bool
        Whether the rules opposed and held were tried, in all these layers.
    """

    row: str
    layer: str
    group: str
    counted: int
    weights: int
    by_factor: NDArray[np.int64]
    tried: bool

    def __add__(self, other: Counts) -> Counts:
        return replace(
            self,
            counted=self.counted + other.counted,
            weights=self.weights + other.weights,
            by_factor=self.by_factor + other.by_factor,
            tried=self.tried and other.tried,
        )

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the table: one for each cause."""
        shares = self.by_factor / self.weights if self.weights else np.full(self.by_factor.shape, math.nan)
        null = _null_shares(shares[0]) if self.tried else {}
        if not self.tried:
            shares[:, [CAUSES.index(cause) for cause in _OF_GRADIENTS]] = math.nan
        return [
            {
                **{name: getattr(self, name) for name in ("row", "layer", "group")},
                "cause": cause,
                **{name: getattr(self, name) for name in ("counted", "weights")},
                **dict(zip(FACTORS, shares[:, at], strict=True)),
                "share_null": null.get(cause, math.nan),
            }
            for at, cause in enumerate(CAUSES)
        ]


def is_untried(table: pd.DataFrame) -> bool:
    """Whether the rules opposed and held were not tried in some layer of a table of `causes`."""
    held, rest = (table.loc[table["cause"] == cause, "share"].to_numpy() for cause in ("held", "undetermined"))
    return bool((np.isnan(held) & ~np.isnan(rest)).any())


def _null_shares(shares: Values) -> dict[str, float]:
    """What noise alone would give of the weights that no rule before the noise explains."""
    rest = float(sum(shares[CAUSES.index(cause)] for cause in _BY_NOISE))
    each = by_noise()
    return dict(zip(_BY_NOISE, (each * rest, each * rest, (1.0 - 2.0 * each) * rest), strict=True))


def by_noise(factor: float = 1.0) -> float:
    """The share of weights that noise alone makes held, and that it makes opposed, with thresholds times a factor."""
    return float(ndtr(-factor * THRESHOLDS.pulled))


@dataclass(frozen=True, slots=True, eq=False)
class SilentWeights:
    """The silent weights of a layer, and what is known of all its weights in the tested windows.

    Attributes
    ----------
    members : dict of str to ndarray of bool, shape (weights,)
        The weights of each of `SILENT_GROUPS`, chosen in the windows before, with a finite record in both.
    counted : int
        Weights of the layer with a finite record in both.
    evidence : Evidence
    tried : bool
        Whether the rules opposed and held can be tried.
    """

    members: dict[str, Mask]
    counted: int
    evidence: Evidence
    tried: bool


def silent_weights(
    run: Run, spec: LayerSpec, chosen: WindowSpan, tested: WindowSpan, tail_tau: TailTau
) -> Answer[SilentWeights]:
    """Choose the silent weights of a layer in some windows, and gather the evidence in the tested ones.

    Only masks are kept of the windows before.
    """
    before = movement(spec, (yield over(select_windows(run, chosen), MOVEMENT)), tail_tau)
    silent = {
        group: before.over_layer(np.where(part & before.silent, 1.0, 0.0)).reshape(-1) == 1.0
        for group, part in zip(SILENT_GROUPS, (before.tail, ~before.tail), strict=True)
    }
    known = before.valid
    moved = movement(spec, (yield over(select_windows(run, tested), EARNED | _STATS)), tail_tau)
    known = known & moved.valid
    updates = _updates(run, spec, moved.record)
    return SilentWeights(
        {group: mask & known for group, mask in silent.items()},
        int(np.count_nonzero(known)),
        _evidence(run, spec, moved, updates or []),
        updates is not None,
    )


@takes_levels
def _counts(
    run: Run, spec: LayerSpec, chosen: WindowSpan, tested: WindowSpan, tail_tau: TailTau
) -> Answer[list[Counts]]:
    """The counts of one layer by group."""
    silent = yield from silent_weights(run, spec, chosen, tested, tail_tau)
    codes = [causes_of(silent.evidence, THRESHOLDS.scaled(factor)).reshape(-1) for factor in FACTORS.values()]
    return [
        Counts(
            "layer",
            spec.name,
            group,
            silent.counted,
            int(np.count_nonzero(mask)),
            np.stack([np.bincount(each[mask], minlength=len(CAUSES)) for each in codes]),
            silent.tried,
        )
        for group, mask in silent.members.items()
    ]


def _evidence(run: Run, spec: LayerSpec, moved: Movement, updates: Sequence[Rates]) -> Evidence:
    """What the rules need of a layer in the tested windows; NaN for weights without a finite record.

    What gradients made is not known without `updates`.
    """
    record = moved.record
    channels = len(record.start)
    mobility = moved.over_layer(moved.mobility).reshape(channels, -1)
    part = earned_part(run, spec, moved)
    pull = np.full(part.earned.shape, math.nan)
    if record.noise is not None and updates:
        with np.errstate(divide="ignore", invalid="ignore"):
            pull = part.earned / np.sqrt(record.noise.reshape(-1)[moved.valid] * arrived(updates))
    return Evidence(
        updates=record.summary.more.get("gradient_updates", moved.updates),
        decay_time=record.summary.decay_time,
        mobility=mobility.mean(axis=1),
        side=np.sign(moved.over_layer(moved.offset)),
        distance=moved.over_layer(moved.distance),
        path=moved.updates * moved.over_layer(moved.mobility),
        pull=moved.over_layer(pull),
        small=record.small_grads,
        unchanged=record.unchanged,
    )


def _updates(run: Run, spec: LayerSpec, record: MergedRecord) -> list[Rates] | None:
    """The rates of the updates with a gradient; None where what gradients made is not defined."""
    if record.noise is None:
        return None
    try:
        return [each for each in rates(run, record.windows, spec.name) if each.updates]
    except InputError:
        return None


def _table(layers: Sequence[list[Counts]]) -> pd.DataFrame:
    totals = []
    for group in zip(*layers, strict=True):
        total = group[0]
        for each in group[1:]:
            total = total + each
        totals.append(replace(total, row="total", layer="all"))
    return pd.DataFrame([row for part in [*layers, totals] for each in part for row in each.rows()])
