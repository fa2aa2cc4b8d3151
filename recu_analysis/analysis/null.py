"""What noise alone would give for a layer over some windows: the null beside every statistic of movement."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from recu_analysis.analysis.rates import kept_part, mean_tau, momentum_at_start, rates
from recu_analysis.errors import InputError
from recu_analysis.theory.autocorrelation import cosine, null_products
from recu_analysis.theory.noise import MOST, States, momentum_term, simulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from recu_analysis.analysis.deadness import Mask, Movement
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.record import MergedRecord
    from recu_analysis.store.run import Run
    from recu_analysis.store.window import Window
    from recu_analysis.theory.noise import Simulated

    Values = NDArray[np.float64]

#: Number of weights that are simulated where each window of a layer has a null of its own.
MOST_BY_WINDOW = 2048
#: Range of measured over simulated mobility in which the simulated noise stands for that of the training. Its size is
#: taken from how far weights came over all windows. Where the size changes much in between, as at the start of a
#: training, they moved another way there. A tail that is dead also changes how far they came.
LIKE_NOISE = 0.8, 1.25
#: The columns of `null_silence`.
NULL_SILENCE = (
    "silent_fraction_null",
    "silent_fraction_tail_null",
    "silent_fraction_core_null",
    "tail_silent_fraction_null",
)


@dataclass(frozen=True, slots=True)
class Null:
    """Simulated weights of one layer: noise under its rates, from its own z, in its channels; flat arrays.

    Attributes
    ----------
    z, z_end, mobility : ndarray of float64
        As in `recu_analysis.analysis.deadness.Movement`.
    tail, silent : ndarray of bool
        Tail of the layer's weights whose z they have; no flip.
    channel : ndarray of int64
        Output channel of each weight.
    distance : ndarray of float64
        abs(z - nearest threshold) at the start; abs(z) for signs.
    edges : ndarray of float64, shape (2, weights), or None
        As in `recu_analysis.analysis.deadness.Movement`.
    changed : ndarray of bool
        Which weights have another state at the end than at the start.
    flips, reversals, first_flip, last_flip : ndarray of int64
        Number of flips, of flips back, and the first and the last update with a flip, counted from 1; 0 if there is
        none. Only updates with a gradient are counted.
    updates : tuple of int
        Updates with a gradient of each window.
    paces : ndarray of float64
        Measured mobility of each weight of the core over the mean of the simulated ones.
    """

    z: Values
    z_end: Values
    mobility: Values
    tail: Mask
    silent: Mask
    channel: NDArray[np.int64]
    distance: Values
    edges: Values | None
    changed: Mask
    flips: NDArray[np.int64]
    reversals: NDArray[np.int64]
    first_flip: NDArray[np.int64]
    last_flip: NDArray[np.int64]
    updates: tuple[int, ...]
    paces: Values

    @classmethod
    def of(cls, found: Simulated, moved: Movement, at: NDArray[np.intp], updates: tuple[int, ...]) -> Self:
        """Simulated weights that start as those weights of a layer whose indices are `at`."""
        mobility, tail = found.mobility * (sum(updates) / moved.updates), moved.tail[at]
        usual = _mean(mobility, ~tail)
        return cls(
            z=found.z,
            z_end=found.z_end,
            mobility=mobility,
            tail=tail,
            silent=found.flips == 0,
            channel=moved.channel[at],
            distance=moved.distance[at],
            edges=None if moved.edges is None else moved.edges[:, at],
            changed=found.changed,
            flips=found.flips,
            reversals=found.reversals,
            first_flip=found.first_flip,
            last_flip=found.last_flip,
            updates=updates,
            paces=moved.mobility[~moved.tail] / usual if usual > 0.0 else np.array([math.nan]),
        )

    @property
    def pace(self) -> float:
        """Measured mobility of the core over the simulated one; NaN if it was not recorded."""
        return float(self.paces.mean()) if self.paces.size else math.nan

    @property
    def stands(self) -> bool:
        """Whether the simulated noise stands for that of the training, by `LIKE_NOISE`; True if the pace is unknown."""
        return math.isnan(self.pace) or LIKE_NOISE[0] <= self.pace <= LIKE_NOISE[1]

    @property
    def magnitude(self) -> Values:
        """NaN, as in a `Movement` without path: the simulated weights have no unit."""
        return np.full(self.z.size, np.nan)


def null_autocorrelation(run: Run, spec: LayerSpec, record: MergedRecord) -> float:
    """The autocorrelation of z that noise alone would leave over a record; NaN if the rates are unknown."""
    return cosine(null_sums(run, spec, record.windows, record.deviations_start, record.deviations_end))


def null_sums(run: Run, spec: LayerSpec, windows: Sequence[Window], before: Values, after: Values) -> Values:
    """The totals of `null_products` over the channels of a layer that vary and are finite, shape (3,).

    Parameters
    ----------
    run : Run
    spec : LayerSpec
    windows : sequence of Window
        The windows with updates between the two times.
    before, after : ndarray of float64, shape (C_out,)
        Standard deviations of the channels of the latent weights, which decay and noise act on; a scale of the
        effective weights drops out of z.
    """
    kept = kept_part(run, windows, spec.name) + _momentum_term(run, spec, windows, _growth(before, after))
    sums = null_products(before, after, spec.weights // len(before) - 1, kept)
    total: Values = sums[np.isfinite(sums).all(axis=1)].sum(axis=0)
    return total


def _momentum_term(run: Run, spec: LayerSpec, windows: Sequence[Window], growth: Values) -> Values | float:
    """The term of the momentum at the start by channel; 0 where the rates are not known."""
    try:
        known = rates(run, windows, spec.name)
    except InputError:
        return 0.0
    if not known:
        return 0.0
    # Channels that do not vary have no null whatever stands here.
    spread = np.where(_varying(growth), growth, 1.0)
    return momentum_term(known, spread, momentum_at_start(windows, spec.name))


def _growth(before: Values, after: Values) -> Values:
    """Standard deviation of each channel at the end over that at the start."""
    with np.errstate(divide="ignore", invalid="ignore"):
        growth: Values = after / before
    return growth


def _varying(growth: Values) -> Mask:
    varying: Mask = np.isfinite(growth) & (growth > 0.0)
    return varying


def null(run: Run, spec: LayerSpec, moved: Movement, most: int = MOST) -> Null | None:
    """The simulated null of a layer's movement.

    Parameters
    ----------
    run : Run
    spec : LayerSpec
    moved : Movement
        Of the windows whose rates are taken.
    most : int
        Number of simulated weights at most.

    Returns
    -------
    Null or None
        None if the rates of the updates are not known, as for imported checkpoints, or no weight has a z, or none had
        a gradient, or the zero points of weights with more than two levels changed.
    """
    record = moved.record
    # Several tables ask for the same layer, and a simulation takes a tenth of a second.
    key = ("null", int(np.count_nonzero(moved.tail)), min(most, moved.z.size))
    return record.once(key, lambda: _simulated(run, spec, moved, most))


def _simulated(run: Run, spec: LayerSpec, moved: Movement, most: int, pace: Values | None = None) -> Null | None:
    record = moved.record
    growth, states = _growth(record.deviations_start, record.deviations_end), None
    if not spec.quantizer.binary:
        states = states_of_noise(spec, record)
        if states is None:
            return None
        states = replace(states, direction=states.direction[moved.valid])
    found = _noise_alone(run, spec, record.windows, growth, (moved.z, moved.scale_group), most, pace, states)
    return None if found is None else Null.of(found[0], moved, *found[1:])


def states_of_noise(spec: LayerSpec, record: MergedRecord) -> States | None:
    """What the states of simulated weights follow from, for weights with more than two levels.

    From one end of a record to the other, steps in standard deviations change evenly with the updates.

    Returns
    -------
    States or None
        Of all weights of the layer. None if zero points changed, or a step is not a positive number.
    """
    before, after = record.windows[0].before[spec.name], record.windows[-1][spec.name]
    zeros = [each.array("zero_point") for each in (before, after)]
    first, last = (np.zeros(spec.scale_groups, np.int64) if zero is None else zero for zero in zeros)
    deviations = record.deviations_start, record.deviations_end
    with np.errstate(divide="ignore", invalid="ignore"):
        start, end = (np.asarray(e.array("step"), float) / w for e, w in zip((before, after), deviations, strict=True))
    if not np.array_equal(first, last) or not all((np.isfinite(step) & (step > 0.0)).all() for step in (start, end)):
        return None
    done = np.cumsum([0, *(window[spec.name].summary.updates for window in record.windows)])
    part = (done / done[-1])[:, None]
    direction: Any = before.array("direction")
    return States(spec.quantizer, (1.0 - part) * start + part * end, first, direction.reshape(-1))


def _noise_alone(
    run: Run,
    spec: LayerSpec,
    windows: Sequence[Window],
    growth: Values,
    start: tuple[Values, NDArray[np.int64]],
    most: int,
    pace: Values | None = None,
    states: States | None = None,
) -> tuple[Simulated, NDArray[np.int64], tuple[int, ...]] | None:
    """Noise alone over some windows, from the z and the scale group of each weight at the start; None if unknown.

    With the index in `start` of each simulated weight, and the updates with a gradient of each window.
    """
    try:
        known = rates(run, windows, spec.name)
    except InputError:
        return None
    z, channel = start
    varying = _varying(growth)
    always: Mask = np.all(np.atleast_2d(varying), axis=0)
    used = None if always.all() else np.flatnonzero(always[channel])
    if not any(each.updates for each in known):
        return None
    # Other weights get other noise. So the error of the simulation differs between seeds, and their interval holds it.
    # Signs are the same whatever z is rounded to.
    seed = zlib.crc32(np.packbits(z > 0.0).tobytes())
    if used is not None:
        z, channel = z[used], channel[used]
        states = states and replace(states, direction=states.direction[used])
    if not z.size:
        return None
    spread = np.where(varying, growth, 1.0)
    bounds, momentum = _bounds(run, spec, windows, z), momentum_at_start(windows, spec.name)
    found = simulate(
        *(z, spread, channel, known), bounds=bounds, momentum=momentum, pace=pace, states=states, seed=seed, most=most
    )
    chosen = found.chosen if used is None else used[found.chosen]
    return found, chosen, tuple(each.updates for each in known)


def _bounds(run: Run, spec: LayerSpec, windows: Sequence[Window], z: Values) -> list[float]:
    """For each window, the bound beyond which a clamp stops the gradients of weights with these z; none without one."""
    transform = spec.transform
    if transform is None or not transform.clamp:
        return []
    taus = [mean_tau(run, window, spec.name) for window in windows]
    known = {tau: math.inf if tau is None else transform.bound(z, tau) for tau in set(taus)}
    return [known[tau] for tau in taus]


def null_row(run: Run, spec: LayerSpec, moved: Movement) -> dict[str, Any]:
    """Columns of what noise alone would give, for tables with a row for each layer and its windows; NaN if unknown."""
    found = null(run, spec, moved)
    pace = [math.nan, math.nan]
    if found is not None:
        pace = [_mean(found.mobility, group) for group in (found.tail, ~found.tail)]
    return {
        "autocorrelation_null": null_autocorrelation(run, spec, moved.record),
        **most_silence(run, spec, moved),
        **dict(zip(("mobility_tail_null", "mobility_core_null"), pace, strict=True)),
    }


def null_silence(run: Run, spec: LayerSpec, moved: Movement, most: int = MOST) -> dict[str, float]:
    """The shares of silent weights that noise alone would leave, as columns with _null.

    NaN if unknown, and where the simulated noise moves weights otherwise than the training did, see `LIKE_NOISE`.
    """
    found = null(run, spec, moved, most)
    return _silence(found if found is not None and found.stands else None)


def most_silence(run: Run, spec: LayerSpec, moved: Movement) -> dict[str, float]:
    """The shares of `null_silence`. Where the noise is not as simulated, the most that noise of two sizes would leave.

    The one size is that of the growth of the channels. The other moves every weight as far in an update as some weight
    of the core has moved, whatever the tail did. Noise that changes its size in between, or that differs between
    weights, leaves less than the second.
    """
    found = null(run, spec, moved)
    shares = _silence(found)
    if found is None or found.stands:
        return shares
    other = _silence(_simulated(run, spec, moved, MOST, found.paces))
    return {name: max(share, other[name]) for name, share in shares.items()}


def null_locking(
    run: Run,
    spec: LayerSpec,
    windows: Sequence[Window],
    deviations: Values,
    start: tuple[Values, NDArray[np.int64]],
    paths: Values,
) -> list[float]:
    """The share of weights that noise alone would leave without another flip after each window.

    The noise of each window has the size that widens or narrows the channels in it as was recorded. One size for all
    windows would be wrong: the first updates of a training move weights far more than later ones.

    Parameters
    ----------
    run : Run
    spec : LayerSpec
    windows : sequence of Window
        In order.
    deviations : ndarray of float64, shape (windows, 2, C_out)
        Standard deviation of each channel at the start and the end of a window.
    start : pair of ndarray
        z and output channel of each weight at the start of the first window.
    paths : ndarray of float64, shape (windows,)
        Mean over the weights of the sum of abs(z_u - z_{u-1}) in each window.

    Returns
    -------
    list of float
        NaN if unknown, and where the simulated weights of the windows that follow move otherwise than was measured, by
        `LIKE_NOISE`, or how far weights moved was not recorded.
    """
    growth = _growth(deviations[:, 0], deviations[:, 1])
    found = _noise_alone(run, spec, windows, growth, start, MOST_BY_WINDOW) if spec.quantizer.binary else None
    if found is None:
        return [math.nan] * len(windows)
    noise, _, updates = found
    shares = [float(np.mean(noise.last_flip <= done)) for done in np.cumsum(updates)]
    after = [(float(paths[at:].sum()), float(noise.paths[at:].sum())) for at in range(1, len(windows))]
    stands = [LIKE_NOISE[0] * by_noise <= path <= LIKE_NOISE[1] * by_noise for path, by_noise in after]
    return [share if known else math.nan for share, known in zip(shares, [*stands, True], strict=True)]


def bounded_layers(table: pd.DataFrame) -> int:
    """In how many layers of a `dead_weights` table the shares of `most_silence` are bounds."""
    pace = table["mobility_core"] / table["mobility_core_null"]
    return int(((pace < LIKE_NOISE[0]) | (pace > LIKE_NOISE[1])).sum())


def _silence(found: Null | None) -> dict[str, float]:
    """The shares of silent weights; NaN if there is no null."""
    if found is None:
        return dict.fromkeys(NULL_SILENCE, math.nan)
    everyone = np.ones_like(found.tail)
    shares = [_mean(found.silent, group) for group in (everyone, found.tail, ~found.tail)]
    return dict(zip(NULL_SILENCE, [*shares, _mean(found.silent & found.tail, everyone)], strict=True))


def _mean(values: NDArray[Any], members: Mask) -> float:
    """Mean of the members' values; NaN if there are none."""
    return float(values[members].mean()) if members.any() else math.nan
