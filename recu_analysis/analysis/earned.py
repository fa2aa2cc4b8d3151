"""What gradients restore of the weights that decay takes: rho, and the autocorrelation by where it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from recu_analysis.analysis.deadness import MOVEMENT, TAIL_TAU, movement
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.query import per_layer, takes_levels
from recu_analysis.analysis.rates import kept_part, momentum_at_start, momentum_part, rates
from recu_analysis.analysis.run_arguments import of_each
from recu_analysis.analysis.selection import known_windows, select_windows, span_of, windows_before, with_epochs
from recu_analysis.errors import InputError
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.theory.noise import momentum_term
from recu_analysis.theory.restored import AutocorrelationParts, Restored, autocorrelation_parts, restored
from recu_analysis.theory.standardize import center_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.deadness import Mask, Movement, TailTau
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run
    from recu_analysis.store.window import Window

    Values = NDArray[np.float64]

#: The groups of weights, in the order of the rows.
GROUPS: Final = (
    *("all", "tail", "core", "silent", "flipped"),
    *("tail-silent", "tail-flipped", "core-silent", "core-flipped"),
)
#: What the momentum of noise at the start may add to rho where it is not recorded.
MOST_MOMENTUM = 0.1
#: What to say where rho is not known although the parts of the autocorrelation are.
NO_RHO: Final = (
    "rho is not defined without weight decay, nor under AdamW: steps that are in flight at the start count as made by "
    "gradients, so noise alone does not give 0"
)
#: Parts of a record that `earned_part` needs beside those of the movement.
EARNED = MOVEMENT | {"momentum"}


@dataclass(frozen=True, slots=True, eq=False)
class EarnedPart:
    """The parts of one layer's weights at the end of some windows, for the weights of a `Movement`; flat arrays.

    All are centered if the layer centers: w_end = a w_start + b m_start + E.

    Attributes
    ----------
    start, momentum, earned : ndarray of float64
        w_start, b m_start and E: what the gradients made.
    kept : float
        a.
    exact : bool
        Whether a, b and the momentum at the start are recorded. If not, a is that of `kept_part`, and the term of the
        momentum is part of E.
    tells : bool
        Whether rho is 0 under noise. It is not where E holds too much that gradients before the start made: steps in
        flight under AdamW, and the term of the momentum, above `MOST_MOMENTUM`, where it is not recorded.
    """

    start: Values
    momentum: Values
    earned: Values
    kept: float
    exact: bool
    tells: bool


def earned_part(run: Run, spec: LayerSpec, moved: Movement) -> EarnedPart:
    """What the gradients made of a layer's weights, from a record with the parts `EARNED`."""
    record = moved.record
    kept, pushed = kept_part(run, record.windows, spec.name), momentum_part(record.windows, spec.name)
    start, end = (_centered(spec, weights)[moved.valid] for weights in (record.start, record.end))
    exact = pushed == 0.0 or (math.isfinite(pushed) and record.momentum is not None)
    momentum = np.zeros_like(start)
    if exact and pushed:
        momentum = pushed * _centered(spec, record.momentum)[moved.valid]
    tells = _tells(run, spec, moved, kept, exact=exact)
    return EarnedPart(start, momentum, end - kept * start - momentum, kept, exact, tells)


def _tells(run: Run, spec: LayerSpec, moved: Movement, kept: float, *, exact: bool) -> bool:
    windows = moved.record.windows
    try:
        known = rates(run, windows, spec.name)
    except InputError:
        return exact
    if any(each.rule.decoupled for each in known):
        return False
    if exact or not any(each.updates for each in known):
        return exact
    term = momentum_term(known, np.ones(1), momentum_at_start(windows, spec.name))[0]
    return bool(abs(term) <= MOST_MOMENTUM * (1.0 - kept))


def _centered(spec: LayerSpec, weights: NDArray[Any]) -> Values:
    rows = weights.reshape(len(weights), -1).astype(np.float64)
    return (center_rows(rows) if spec.center else rows).reshape(-1)


def earned(
    runs: SeveralRuns,
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
    network: bool = False,
) -> pd.DataFrame:
    """The restored fraction rho of groups of weights, and the autocorrelation of z by where it comes from.

    Every weight at the end of a window is what decay leaves of its start (a w_start), plus what is left of the momentum
    at the start (b m_start), plus what the gradients of the window made (E). This is exact for SGD. rho is
    the part of what decay takes that gradients restore: sum of v0 E / ((1 - a) sum of v0^2), with v0 the weight at the
    start, minus the mean of its channel if the layer centers. Noise gives 0, weights that are held where they stand
    give 1. It does not depend on the states, so it holds for weights with any number of levels.

    All groups are chosen before the window. Tail and core are those at its start. A weight is silent if it did not flip
    in the window before, or for merged windows, in as many windows before as there are merged, or all that exist.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Of several runs, the tables are below each other, with the labels of the runs in a first column, run.
    windows : int, slice, str or WindowSpan, optional
        Merge these windows, such as "8:13" (without 13). By default every window since the last gap has its own rows.
    layers : str or sequence of str, optional
        Patterns of layer names.
    tail_tau : float or "window"
        Level of the tail at the start of the windows; "window" takes each layer's own tau.
    network : bool
        One row per window and group for all these layers together, instead of one per layer: sums over the layers. The
        noise of a minibatch is common to all layers, so the interval is wider than if they were independent: standard
        errors of the sums are added.

    Returns
    -------
    DataFrame
        One row per layer, window and group:

        - layer, window (the last one), epoch, group: all, tail, core, silent, flipped, tail-silent, tail-flipped,
          core-silent or core-flipped. Groups by silence are absent without a window before
        - weights, updates, decay_time (T)
        - rho, rho_low, rho_high: with its 95 % interval under noise, only for group all, windows that are not merged,
          and runs with gradient-stats; else NaN. A group or merged windows need seeds, see `earned_over_seeds`. All
          three are NaN under AdamW, whose steps in flight at the start are part of E, so noise does not give 0; and
          without gradient-stats where the momentum of noise would add more than 0.1
        - autocorrelation, and its parts that add up to it: inherited, momentum, restored. They are of the latent
          weights, so under learned effective weights the sum is not that of `dead_weights`
        - exact_split: whether the momentum at the start and the map of decay are recorded (gradient-stats). If not, a
          is approximate, and the term of the momentum is part of rho and of `restored`

    Raises
    ------
    InputError
        If `windows` or `tail_tau` is not valid, or the run was imported from checkpoints.
    LayerNotFoundError
        If a pattern matches no layer.
    WindowNotFoundError
        If the run has none of the windows, or they hold no updates.
    """
    return of_each(runs, lambda run: earned_query(run, windows, layers, tail_tau, network=network))


def earned_query(
    run: Run,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
    *,
    network: bool = False,
) -> Query[pd.DataFrame]:
    """The query of `earned`."""
    if windows is None:
        return each_earned_query(run, known_windows(run), layers, tail_tau, network=network)
    merged = select_windows(run, span_of(run, windows))
    return _query(run, [merged], layers, tail_tau, network=network)


def each_earned_query(
    run: Run,
    windows: Sequence[Window],
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
    *,
    network: bool = False,
) -> Query[pd.DataFrame]:
    """The query of `earned` for some windows with updates, each with its own rows."""
    return _query(run, [[window] for window in windows], layers, tail_tau, network=network)


def _query(
    run: Run,
    parts: Sequence[Sequence[Window]],
    layers: Sequence[str] | str | None,
    tail_tau: TailTau,
    *,
    network: bool,
) -> Query[pd.DataFrame]:
    if not all(window.exact for part in parts for window in part):
        raise InputError(f"{run.path} was imported from checkpoints, which do not tell what decay takes; record a run")
    chosen = tuple(tuple(window.number for window in part) for part in parts)
    sums = per_layer(run, select_layers(run, layers), _sums, chosen, tail_tau)
    return sums.then(lambda found: _table(run, [_total(found)] if network else found))


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums over a group of weights in some windows, of which its row is made; totals add up."""

    layer: str
    window: int
    updates: int
    decay_time: float
    weights: int
    restored: Restored
    parts: AutocorrelationParts
    exact: bool

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            "all",
            self.window,
            max(self.updates, other.updates),
            max(self.decay_time, other.decay_time),
            self.weights + other.weights,
            self.restored + other.restored,
            self.parts + other.parts,
            self.exact and other.exact,
        )

    def row(self, group: str) -> dict[str, Any]:
        """The row of the table."""
        rho, cosines = self.restored.interval(), self.parts.cosines()
        return {
            "layer": self.layer,
            "window": self.window,
            "group": group,
            "weights": self.weights,
            "updates": self.updates,
            "decay_time": self.decay_time,
            "rho": rho.estimate,
            "rho_low": rho.low,
            "rho_high": rho.high,
            "autocorrelation": sum(cosines),
            **dict(zip(("inherited", "momentum", "restored"), cosines, strict=True)),
            "exact_split": self.exact,
        }


@takes_levels
def _sums(
    run: Run, spec: LayerSpec, chosen: tuple[tuple[int, ...], ...], tail_tau: TailTau
) -> Answer[dict[tuple[int, str], Sums]]:
    """The sums of one layer by window and group; the windows are read once, in their order."""
    found: dict[tuple[int, str], Sums] = {}
    flips: dict[int, Mask] = {}
    for numbers in chosen:
        windows = [run.window(number) for number in numbers]
        before = windows_before(windows[0], len(windows))
        unread = [window for window in before if window.number not in flips]
        if unread:
            record = yield over(unread, {"silent"})
            flips[before[-1].number] = record.silent.reshape(-1)
        record = yield over(windows, EARNED)
        moved = movement(spec, record, tail_tau)
        silent = flips[before[-1].number][moved.valid] if before else None
        flips = {numbers[-1]: record.silent.reshape(-1)}
        found |= {(numbers[-1], group): each for group, each in _by_group(run, spec, moved, silent).items()}
    return found


def groups_of(tail: Mask, silent: Mask | None) -> dict[str, Mask]:
    """The members of each group; without groups by silence if it is not known."""
    found = {"all": np.ones_like(tail), "tail": tail, "core": ~tail}
    if silent is not None:
        found |= {"silent": silent, "flipped": ~silent}
        found |= {f"{name}-silent": found[name] & silent for name in ("tail", "core")}
        found |= {f"{name}-flipped": found[name] & ~silent for name in ("tail", "core")}
    return {name: found[name] for name in GROUPS if name in found}


def _by_group(run: Run, spec: LayerSpec, moved: Movement, silent: Mask | None) -> dict[str, Sums]:
    part, summary = earned_part(run, spec, moved), moved.record.summary
    variance = _variance(moved.record.windows, spec) if moved.valid.all() else math.nan
    before, after, group = moved.record.deviations_start, moved.record.deviations_end, moved.scale_group
    with np.errstate(divide="ignore", invalid="ignore"):
        # A scale group that is constant at either time has no z.
        varies = (before > 0.0) & (after > 0.0)
        to_start, to_end = (np.where(varies, 1.0 / each, 0.0)[group] for each in (before, after))
        growth = np.where(varies, before / after, 0.0)[group]
    gained = part.earned if part.tells else np.full_like(part.earned, math.nan)
    z, pushed, made = part.start * to_start, part.momentum * to_end, part.earned * to_end
    found = {}
    for name, members in groups_of(moved.tail, silent).items():
        found[name] = Sums(
            spec.name,
            moved.record.windows[-1].number,
            summary.updates,
            summary.decay_time,
            int(np.count_nonzero(members)),
            restored(part.start[members], gained[members], part.kept, variance if name == "all" else math.nan),
            autocorrelation_parts(z[members], part.kept * growth[members], pushed[members], made[members]),
            part.exact,
        )
    return found


def _variance(windows: Sequence[Window], spec: LayerSpec) -> float:
    """The recorded variance of the sum of v0 E under noise; NaN for merged windows, whose starts differ."""
    known = windows[0][spec.name].summary.more.get("earned_variance") if len(windows) == 1 else None
    return math.nan if known is None else float(known)


def _total(layers: Iterable[Mapping[tuple[int, str], Sums]]) -> dict[tuple[int, str], Sums]:
    """The sums over layers."""
    found: dict[tuple[int, str], Sums] = {}
    for layer in layers:
        for key, sums in layer.items():
            found[key] = found[key] + sums if key in found else sums
    return found


def _table(run: Run, layers: Sequence[Mapping[tuple[int, str], Sums]]) -> pd.DataFrame:
    rows = [sums.row(group) for layer in layers for (_, group), sums in layer.items()]
    table = with_epochs(run, pd.DataFrame(rows), at=2)
    return table.sort_values("window", kind="stable", ignore_index=True)
