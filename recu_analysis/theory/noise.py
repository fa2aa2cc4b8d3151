"""What noise alone does to weights and their states: decay, momentum and gradients without a signal, simulated."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.theory.quickselect import places_of_ranks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recu_analysis.theory.inheritance import UpdateRule
    from recu_analysis.theory.levels import Quantizer

    Values = NDArray[np.float64]

#: At most this many weights times updates are simulated, which bounds the time, for at least `FEWEST` weights.
MOST_STEPS = 1 << 25
#: Bounds of the number of simulated weights.
FEWEST, MOST = 512, 16384
#: Of layers with more weights than so many for each simulated one, ranks are those among as many drawn at random.
DRAWN = 64


@dataclass(frozen=True, slots=True)
class Rates:
    """The rates of an optimizer over some consecutive updates.

    Attributes
    ----------
    rule : UpdateRule
    lr, weight_decay : float
        Means over the updates.
    updates : int
        Those in which the weights had a gradient; PyTorch changes nothing in the others.
    """

    rule: UpdateRule
    lr: float
    weight_decay: float
    updates: int


@dataclass(frozen=True, slots=True)
class States:
    """What the states of weights with more than two levels follow from.

    Attributes
    ----------
    quantizer : Quantizer
    steps : ndarray of float64, shape (windows + 1, groups)
        Step of each scale group in standard deviations, at the start and after each window. In between it is linear.
    zero : ndarray of int64, shape (groups,)
        Zero points, the same all the time.
    direction : ndarray of int8, flat
        Direction of the last flip of each weight before the start; 0 if there was none.
    """

    quantizer: Quantizer
    steps: Values
    zero: NDArray[np.int64]
    direction: NDArray[np.int8]

    def begin(self, z: Values, chosen: NDArray[np.int64], group: NDArray[np.int64]) -> tuple[Any, Any, Values]:
        """The rule, the states and the steps of some weights, as the compiled loop takes them; `z` are theirs."""
        from recu_analysis.theory.noise_kernel import TERNARY, UNIFORM

        steps, zero, quantizer = self.steps[:, group], self.zero[group], self.quantizer
        # Each of them as a group of its own.
        state = replace(quantizer, group="channel", rule="given").states(z[:, None], steps[0], zero)[:, 0]
        kind = TERNARY if quantizer.kind == "ternary" else UNIFORM
        counts = state.copy(), self.direction[chosen].astype(np.int8), np.zeros(z.size, np.int64), zero
        return (kind, quantizer.low, quantizer.high), counts, steps


@dataclass(frozen=True, slots=True)
class Simulated:
    """Simulated weights, each with the start of a weight of the layer; flat arrays of one length.

    Attributes
    ----------
    chosen : ndarray of int64
        Index of the weight of the layer whose start it has.
    z, z_end : ndarray of float64
        Standard scores at the start and the end.
    flips, reversals : ndarray of int64
        How many updates changed the state, and how many changed it in the direction opposite to the change before.
    first_flip, last_flip : ndarray of int64
        The first and the last update that changed the state, counted from 1; 0 if none did.
    changed : ndarray of bool
        Whether the state at the end is another one than at the start.
    mobility : ndarray of float64
        Mean abs(z_u - z_{u-1}), standard deviations per update.
    reach : ndarray of float64
        Largest abs(z_u), of the start too.
    paths : ndarray of float64, shape (windows,)
        Mean over the weights of the sum of abs(z_u - z_{u-1}) in each window.
    """

    chosen: NDArray[np.int64]
    z: Values
    z_end: Values
    flips: NDArray[np.int64]
    reversals: NDArray[np.int64]
    first_flip: NDArray[np.int64]
    last_flip: NDArray[np.int64]
    changed: NDArray[np.bool_]
    mobility: Values
    reach: Values
    paths: Values


def simulate(
    z: Values,
    growth: Values,
    channel: NDArray[np.int64],
    rates: Sequence[Rates],
    *,
    bounds: Sequence[float] = (),
    momentum: float = math.inf,
    pace: Values | None = None,
    states: States | None = None,
    seed: int = 0,
    most: int = MOST,
) -> Simulated:
    """Move weights by decay, momentum and noise under given rates, from their own standard scores.

    The size of the noise is that which widens or narrows each channel as its weights did: after the updates, the
    variance of its simulated weights is `growth` squared times that at the start. Nothing else of the measured movement
    enters. The momentum at the start is drawn as noise of that size would have left it, but no larger than `momentum`.
    Where the growth of each window is given, the noise of each window has a size of its own.

    Parameters
    ----------
    z : ndarray of float64, flat
        Standard scores at the start, of a whole layer. At most `most` of them are used, evenly by rank of abs(z).
    growth : ndarray of float64, shape (C_out,) or (windows, C_out)
        Standard deviation of each channel at the end, over that at the start; or the same of each window.
    channel : ndarray of int64, flat
        Channel of each weight.
    rates : sequence of Rates
        The windows, in order, with at least one update in all.
    bounds : sequence of float
        For each of the windows, how far from 0 weights still get noise, in standard deviations: a clamp stops the
        gradients of those beyond. By default all get noise.
    momentum : float
        Root mean square of the momentum at the start over that of the weights, if it is known.
    pace : ndarray of float64, flat, optional
        Factors on the noise, one of which is drawn for each weight: noise of another size than that of the growth.
    states : States, optional
        By default the states are the signs. With more than two levels, `channel` is the scale group of each weight.
    seed : int
        The same seed gives the same numbers.
    most : int
        Number of simulated weights, unless `MOST_STEPS` allows fewer.

    Returns
    -------
    Simulated
        A channel that narrows faster than decay alone gets no noise.
    """
    from recu_analysis.theory.noise_kernel import advance, of_signs  # numba takes long to import

    updates = sum(each.updates for each in rates)
    chosen = _evenly(z, max(FEWEST, min(most, MOST_STEPS // max(updates, 1))), seed)
    ours = channel[chosen]
    widths = _widths(rates, growth)
    power, covariances = _noise(rates, growth, momentum) if growth.ndim == 1 else _noises(rates, widths, momentum)
    generator = np.random.default_rng(seed)
    pushes = _momentum(z[chosen], covariances[ours], generator)
    state = generator.integers(0, 1 << 63, chosen.size, dtype=np.uint64)
    w, path, reach = z[chosen].copy(), np.zeros(chosen.size), np.abs(z[chosen])
    flips, first, last = np.zeros((3, chosen.size), dtype=np.int64)
    factors = np.ones(chosen.size) if pace is None else generator.choice(pace, chosen.size)
    moved = w, pushes * factors, state, flips, first, last, path, reach
    rule, counts, steps = of_signs(len(rates)) if states is None else states.begin(z[chosen], chosen, ours)
    began = counts[0].copy()
    power = np.broadcast_to(power, widths[1:].shape)
    done, paths = 0, [0.0]
    for at, (each, bound) in enumerate(zip(rates, bounds or [math.inf] * len(rates), strict=True)):
        if each.updates:
            # Fewer weights get the noise that widens their channel, so it is larger.
            inside = max(int(np.count_nonzero(np.abs(z) <= bound)), 1) / z.size if bound < math.inf else 1.0
            size = np.sqrt(power[at, ours]) * factors / math.sqrt(inside)
            linear = each.rule.matrix(each.lr, each.weight_decay), each.rule.gain(each.lr)
            ends, span = widths[at : at + 2].take(ours, axis=1), steps[at : at + 2]
            advance(*moved, *linear, size, ends, bound, done, each.updates, rule, counts, span)
        done += each.updates
        paths.append(float(path.mean()))
    back, changed = counts[2], counts[0] != began
    if states is None:
        back, changed = np.maximum(flips - 1, 0), (z[chosen] < 0.0) != (w < 0.0)
    scores, pace_of_each = w / widths[-1, ours], path / updates
    return Simulated(chosen, z[chosen], scores, flips, back, first, last, changed, pace_of_each, reach, np.diff(paths))


def momentum_term(rates: Sequence[Rates], growth: Values, momentum: float = math.inf) -> Values:
    """What the momentum at the start adds to the part of the start that is left, if noise alone made it.

    Weights and momentum are correlated: steps that led to where a weight is have not all been taken. Over windows much
    longer than the momentum's memory it is nothing.

    Parameters
    ----------
    rates, growth, momentum
        As for `simulate`.

    Returns
    -------
    ndarray of float64, shape (C_out,)
        b cov(w, m) / var(w), to be added to a.
    """
    _, covariances = _noise(rates, growth, momentum)
    term: Values = _responses(tuple(rates)).kept[0, 1] * covariances[:, 0]
    return term


def arrived(rates: Sequence[Rates]) -> float:
    """The variance of what gradients made of a weight by the end, if they were noise, over the recorded V.

    V adds the square of all that a gradient will ever move its weight by, so the last gradients, which have moved it
    by a part only, count too much. Under decoupled decay, what gradients made also holds the steps that were in flight
    at the start.

    Parameters
    ----------
    rates : sequence of Rates
        The windows, in order, with at least one update.

    Returns
    -------
    float
        For gradients of one size. Near 1 for windows much longer than the memory of the momentum.
    """
    made, counted, kept = np.zeros((2, 2)), 0.0, np.eye(2)
    for each in rates:
        rule = each.rule
        power = np.linalg.matrix_power(rule.matrix(each.lr, each.weight_decay), each.updates)
        made, kept = power @ made @ power.T + _gathered(each), power @ kept
        left = (1.0 - rule.decay_time(each.lr, each.weight_decay)) ** 2
        # The sum of the powers of `left`, and its limit for no decay.
        several = (1.0 - left**each.updates) / (1.0 - left) if left < 1.0 else float(each.updates)
        unit = each.lr * (1.0 if rule.decoupled else rule.response)
        counted = counted * left**each.updates + unit**2 * several
    beta = rates[0].rule.momentum
    flying = kept[0, 1] ** 2 * (1.0 - beta) / (1.0 + beta) if rates[0].rule.decoupled else 0.0
    return (float(made[0, 0]) + flying) / counted if counted > 0.0 else math.nan


def _evenly(z: Values, count: int, seed: int) -> NDArray[np.int64]:
    """Indices of some weights, evenly spaced by the rank of abs(z)."""
    if z.size > DRAWN * count:
        # Finding ranks among all weights of a large layer would take longer than the simulation.
        drawn = np.random.default_rng([seed, 1]).integers(z.size, size=DRAWN * count)
        return drawn[_evenly(z[drawn], count, seed)]
    ranks = np.arange(z.size) if z.size <= count else (np.arange(count) + 0.5) * (z.size / count)
    return places_of_ranks(np.abs(z), ranks.astype(np.int64))


def _widths(rates: Sequence[Rates], growth: Values) -> Values:
    """Standard deviation of each channel over that at the start, at the start and the ends of the windows.

    Within a window it changes in small steps, linear in its square; so it does over all windows with one growth.
    """
    if growth.ndim == 2:
        return np.concatenate([np.ones_like(growth[:1]), np.cumprod(growth, axis=0)])
    done = np.cumsum([0, *(each.updates for each in rates)])
    widths: Values = np.sqrt(1.0 + (growth**2 - 1.0) * (done / done[-1])[:, None])
    return widths


def _noise(rates: Sequence[Rates], growth: Values, momentum: float) -> tuple[Values, Values]:
    """By channel: the variance of the noise that makes its weights grow so, and cov(w, m) and var(m) at the start."""
    of = _responses(tuple(rates))
    variance = _variance(growth**2 - of.end[0][0, 0], of.end[1][0, 0])
    start = of.start[0][None] + variance[:, None, None] * of.start[1][None]
    size = np.sqrt(start[:, 1, 1])
    shrunk = momentum < size
    if shrunk.any():
        # As correlated with the weights, but smaller; then noise of another size makes the weights grow so.
        share = np.divide(momentum, size, out=np.ones_like(size), where=shrunk)
        start = start * np.stack([np.ones_like(share), share, share, share**2], axis=1).reshape(-1, 2, 2)
        row = of.kept[0]
        gathered = of.end[1] - of.kept @ of.start[1] @ of.kept.T
        left = np.einsum("i,cij,j->c", row, start, row)
        variance = np.where(shrunk, _variance(growth**2 - left, gathered[0, 0]), variance)
    return variance, np.stack([start[:, 0, 1], start[:, 1, 1]], axis=1)


def _noises(rates: Sequence[Rates], widths: Values, momentum: float) -> tuple[Values, Values]:
    """As `_noise`, with noise of a size of its own in each window, shape (windows, C_out)."""
    first = next(at for at, each in enumerate(rates) if each.updates)
    _, covariances = _noise(rates[first : first + 1], widths[first + 1] / widths[first], momentum)
    ones = np.ones(len(covariances))
    state = np.stack([ones, covariances[:, 0], covariances[:, 0], covariances[:, 1]], axis=1).reshape(-1, 2, 2)
    power = np.zeros_like(widths[1:])
    for at, each in enumerate(rates):
        kept = np.linalg.matrix_power(each.rule.matrix(each.lr, each.weight_decay), each.updates)
        state, gathered = kept @ state @ kept.T, _gathered(each)
        power[at] = _variance(widths[at + 1] ** 2 - state[:, 0, 0], gathered[0, 0])
        state = state + power[at][:, None, None] * gathered
    return power, covariances


def _variance(missing: Values, per_unit: float) -> Values:
    """The variance of noise that adds what is missing; 0 where nothing is."""
    result: Values = np.maximum(missing / per_unit, 0.0) if per_unit > 0.0 else np.zeros_like(missing)
    return result


@dataclass(frozen=True, slots=True)
class _Responses:
    """What some updates make of (w, m), each of shape (2, 2).

    Covariances are linear in the variance of the noise: `start` and `end` are pairs of those without noise, and of what
    noise of variance 1 adds. `kept` is the map without gradients.
    """

    start: tuple[Values, Values]
    end: tuple[Values, Values]
    kept: Values


# Cached, because the layers of a network mostly have the same rates.
@lru_cache(maxsize=128)
def _responses(rates: tuple[Rates, ...]) -> _Responses:
    still, noisy = (_start(rates[0], power) for power in (0.0, 1.0))
    start = still, noisy - still
    quiet, loud = start
    kept = np.eye(2)
    for each in rates:
        power = np.linalg.matrix_power(each.rule.matrix(each.lr, each.weight_decay), each.updates)
        quiet, loud, kept = power @ quiet @ power.T, power @ loud @ power.T + _gathered(each), power @ kept
    return _Responses(start, (quiet, loud), kept)


def _start(rates: Rates, power: float) -> Values:
    """Covariance of (w, m) when noise of this variance has acted for long on weights of variance 1, shape (2, 2)."""
    (a, b), (c, d) = rates.rule.matrix(rates.lr, rates.weight_decay)
    p, q = rates.rule.gain(rates.lr)
    # cov(w, m) and var(m) are unchanged by one more update, given var(w) = 1.
    coefficients = np.array([[1.0 - a * d - b * c, -b * d], [-2.0 * c * d, 1.0 - d * d]])
    both, momentum = np.linalg.solve(coefficients, [a * c + power * p * q, c * c + power * q * q])
    return np.array([[1.0, both], [both, momentum]])


def _gathered(rates: Rates) -> Values:
    """Covariance of (w, m) that noise of variance 1 makes over the updates, by doubling, shape (2, 2)."""
    gain = rates.rule.gain(rates.lr)
    matrix, one = rates.rule.matrix(rates.lr, rates.weight_decay), np.outer(gain, gain)
    total, power = np.zeros((2, 2)), np.eye(2)
    for bit in bin(rates.updates)[2:]:
        total, power = total + power @ total @ power.T, power @ power
        if bit == "1":
            total, power = matrix @ total @ matrix.T + one, matrix @ power
    return total


def _momentum(w: Values, covariance: Values, generator: np.random.Generator) -> Values:
    """Momentum at the start, normal given the weight."""
    both, variance = covariance.T
    spread = np.sqrt(np.maximum(variance - both**2, 0.0))
    momentum: Values = both * w + spread * generator.standard_normal(w.size)
    return momentum
