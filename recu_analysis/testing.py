"""Synthetic runs with known answers, for our tests and for users who check our numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.errors import InputError
from recu_analysis.store.header import LayerSpec, LayerWindow
from recu_analysis.store.places import as_place
from recu_analysis.store.quantities import GRADIENT_STATS, QUANTITIES, rows_of
from recu_analysis.store.state import LayerState
from recu_analysis.store.writer import RunWriter
from recu_analysis.theory.causes import SMALL_GRADIENT
from recu_analysis.theory.inheritance import UpdateRule, over_updates
from recu_analysis.theory.standardize import WeightTransform

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

Array = np.ndarray[Any, np.dtype[Any]]
History = dict[str, Array]

LR, TAU = 0.1, 0.85
#: Decay time T of an update: after 7 updates, noise alone leaves half of the weights.
DECAY_TIME = 0.1
#: Half the distance that a planted core weight moves in one update, at scale 1.
STEP = 0.01


@dataclass(frozen=True, slots=True)
class SyntheticRun:
    """A run directory and the weights from which it was written.

    Attributes
    ----------
    path : Path
    history : dict of str to ndarray of float32, shape (updates + 1, C_out, ...)
        Weights of each layer before the first update and after each update.
    marks : tuple of int
        The update at which each window ends; the first is 0.
    """

    path: Path
    history: History
    marks: tuple[int, ...]


def random_walk(shape: tuple[int, ...], updates: int, *, step: float = 0.1, seed: int = 0) -> Array:
    """Normally distributed weights that move by normally distributed steps.

    Parameters
    ----------
    shape : tuple of int
        Shape of the layer, (C_out, ...).
    updates : int
        Number of updates.
    step : float
        Standard deviation of a step; the initial weights have standard deviation 1.
    seed : int
        Seed of the random numbers.

    Returns
    -------
    ndarray of float32, shape (updates + 1, C_out, ...)
    """
    moves = np.random.default_rng(seed).normal(size=(updates + 1, *shape))
    moves[1:] *= step
    return moves.cumsum(axis=0).astype(np.float32)


@dataclass(frozen=True, slots=True)
class PlantedLayer:
    """A layer in which the fate of every weight is known.

    Attributes
    ----------
    history : ndarray of float32, shape (updates + 1, C_out, weights a channel)
    tail : ndarray of bool, shape (C_out, weights a channel)
        The 30 % of weights with the largest abs(w) in every window: the tail at tau = 0.85.
    flip_update : ndarray of int64, same shape
        The one update at which a tail weight flips; -1 for a weight that never flips (dead in every window).
    restless : ndarray of bool, same shape
        Core weights so near 0 that they flip at every update. The other core weights never flip.
    mobility_tail, mobility_core : float
        Mean abs(z_u - z_{u-1}): of tail weights over updates without a flip, and of all core weights.
    scale, shape : float
        Scale and shape of the generalized normal distribution from which abs(w) / unit was drawn.
    """

    history: Array
    tail: Array
    flip_update: Array
    restless: Array
    mobility_tail: float
    mobility_core: float
    scale: float
    shape: float


def planted_layer(
    channels: int = 6,
    weights: int = 400,
    updates: int = 20,
    *,
    shape: float = 1.0,
    scale: float = 1.0,
    revived: Mapping[int, int] | None = None,
    slowed: float = 1.0,
    seed: int = 0,
) -> PlantedLayer:
    """Weights of known distribution that alternate by known steps, and tail weights that flip at known updates.

    The mean and the standard deviation of every channel are constant. Weights come in groups of four, +-(a + d) and
    +-(a - d), and alternate between a + d and a - d. A revived weight swaps its value with its opposite. Each channel
    has its own unit, from 1/2 to 2.

    Parameters
    ----------
    channels : int
        Number of output channels.
    weights : int
        Weights per channel, a multiple of 40.
    updates : int
        Number of updates.
    shape, scale : float
        Generalized normal distribution: density proportional to exp(-(abs(w) / scale)^shape) in the channel's unit.
    revived : mapping of int to int, optional
        Update -> number of tail weights that flip there, an even number. None flips by default.
    slowed : float
        Factor by which the tail moves less than the core.
    seed : int
        Seed of the random numbers.

    Returns
    -------
    PlantedLayer

    Raises
    ------
    InputError
        If `weights` is not a multiple of 40, or `revived` names an update out of range, an odd number of weights, or
        more weights than the tail has.
    """
    tail = round(0.3 * weights / 4)
    planned = dict(revived or {})
    if weights < 40 or weights % 40:
        raise InputError(f"weights must be a multiple of 40 per channel, not {weights}")
    if any(count % 2 or not 1 <= update <= updates for update, count in planned.items()):
        raise InputError(f"revived must map updates from 1 to {updates} to even numbers of weights, not {planned}")
    if sum(planned.values()) > 4 * tail * channels:
        raise InputError(
            f"revived asks for {sum(planned.values())} weights, but the tail has only {4 * tail * channels}; "
            "ask for fewer"
        )
    generator = np.random.default_rng(seed)
    size = np.sort(generator.gamma(1.0 / shape, size=weights // 4) ** (1.0 / shape)) * scale
    far = np.arange(size.size) >= size.size - tail
    step = np.where(far, STEP / slowed, STEP) * scale
    size[far] += 2.0 * STEP * scale  # keeps every step from crossing the border of the tail
    swing = [np.concatenate([size + move, size - move, -size - move, move - size]) for move in (step, -step)]
    history = np.empty((updates + 1, channels, weights))
    history[0::2], history[1::2] = swing
    flip_update = _revive(history, np.tile(far, 4), planned, generator)
    units = np.geomspace(0.5, 2.0, channels)[:, None]
    permutation = generator.permuted(np.tile(np.arange(weights), (channels, 1)), axis=1)
    mobility = 2.0 * step / swing[0].std(ddof=1)
    return PlantedLayer(
        history=np.take_along_axis(history * units, permutation[None], axis=2).astype(np.float32),
        tail=np.tile(far, 4)[permutation],
        flip_update=np.take_along_axis(flip_update, permutation, axis=1),
        restless=np.tile(size < step, 4)[permutation],
        mobility_tail=float(mobility[-1]),
        mobility_core=float(mobility[0]),
        scale=scale,
        shape=shape,
    )


def _revive(history: Array, far: Array, planned: Mapping[int, int], generator: np.random.Generator) -> Array:
    """Invert pairs of opposite tail weights from the planned updates on; return each weight's update, or -1."""
    channels, weights = history.shape[1:]
    flip_update = np.full((channels, weights), -1)
    upper = np.flatnonzero(far[: weights // 2])  # the opposite of weight i is i + weights / 2
    pairs = generator.permutation(channels * upper.size)
    for update, count in planned.items():
        chosen, pairs = pairs[: count // 2], pairs[count // 2 :]
        channel, first = chosen // upper.size, upper[chosen % upper.size]
        for index in (first, first + weights // 2):
            history[update:, channel, index] *= -1.0
            flip_update[channel, index] = update
    return flip_update


def synthetic_run(
    path: str | os.PathLike[str],
    history: Mapping[str, Array] | None = None,
    *,
    windows: int = 4,
    seed: int = 0,
    transform: WeightTransform | None = None,
    exact: bool = True,
    traces: int = 0,
    decay_time: float = DECAY_TIME,
    momentum: float = 0.0,
    gradient_stats: bool = False,
) -> SyntheticRun:
    """Write a run directory in which every number is known.

    Parameters
    ----------
    path : str or path-like
        New or empty folder.
    history : mapping of str to ndarray, shape (updates + 1, C_out, ...), optional
        Weights of each layer before the first update and after each update; by default two random walks of 20 updates.
    windows : int
        Number of windows of equal length; it must divide the number of updates.
    seed : int
        Seed of the default random walks.
    transform : WeightTransform, optional
        Transform of every layer; ReCU's by default.
    exact : bool
        False marks the windows as sampled.
    traces : int
        Number of traced weights of each layer, evenly spread.
    decay_time, momentum : float
        T of an update, and the momentum of SGD, in the record; they do not change the history.
    gradient_stats : bool
        Whether the run has gradient-stats: of the gradients with which SGD without momentum makes the history.

    Returns
    -------
    SyntheticRun
        Every update has learning rate 0.1 and tau 0.85.

    Raises
    ------
    InputError
        If the number of windows does not divide the number of updates, or gradient-stats are asked for with momentum.
    """
    if gradient_stats and momentum:
        raise InputError("the gradients of a synthetic run are those of SGD without momentum; omit momentum")
    truth = dict(history) if history is not None else _default_history(seed)
    transform = transform or WeightTransform(center=True, target=2.0, clamp=True)
    specs = [
        LayerSpec(name, walk.shape[1:], str(walk.dtype), "synthetic", transform, traced=_spread(walk, traces))
        for name, walk in truth.items()
    ]
    updates = len(next(iter(truth.values()))) - 1
    if windows < 1 or updates < 1 or updates % windows:
        raise InputError(f"{updates} updates cannot be cut into {windows} windows of equal length")
    marks = tuple(range(0, updates + 1, updates // windows))
    more = (*(["traces"] if traces else []), *(["grad", GRADIENT_STATS] if gradient_stats else []))
    kept = rows_of((*QUANTITIES, *more))
    about: dict[str, Any] = {"configuration": {"network": "synthetic"}, "environment": {}, "quantities": kept}
    place = as_place(path)
    writer = RunWriter(place, specs, exact=exact, **about)
    for number, last in enumerate(marks):
        first = marks[number - 1] + 1 if number else 1
        states = {
            spec.name: layer_state(
                truth[spec.name],
                first,
                last,
                center=transform.center,
                traced=spec.traced,
                decay_time=decay_time,
                momentum=momentum,
                gradient_stats=gradient_stats,
            )
            for spec in specs
        }
        writer.write_window(states, first_update=first, last_update=last)
        if number:
            quality = 50.0 + number
            metrics = {"epoch": number - 1, "lr": LR, "tau": TAU, "train_top1": quality, "val_top1": quality - 1.0}
            writer.write_metrics({"window": number, "update": last} | metrics)
    writer.close()
    return SyntheticRun(place, truth, marks)


def _spread(walk: Array, count: int) -> tuple[int, ...]:
    """Flat indices of weights, evenly spread over a layer."""
    weights = int(walk[0].size)
    return tuple(range(0, weights, -(-weights // count)))[:count] if count else ()


def _default_history(seed: int) -> History:
    shapes = {"first": (4, 3, 3, 3), "second": (8, 40)}
    return {name: random_walk(shape, 20, seed=seed + index) for index, (name, shape) in enumerate(shapes.items())}


def layer_state(
    walk: Array,
    first: int,
    last: int,
    *,
    center: bool,
    traced: tuple[int, ...] = (),
    decay_time: float = DECAY_TIME,
    momentum: float = 0.0,
    gradient_stats: bool = False,
) -> LayerState:
    """Record updates `first` to `last` of one layer with a plain float64 loop.

    Parameters
    ----------
    walk : ndarray, shape (updates + 1, C_out, ...)
        Weights before the first update of the run and after each update.
    first, last : int
        Update numbers, counted from 1; both are included.
    center : bool
        Whether the mean of the channel is subtracted from the latent weight.
    traced : tuple of int
        Flat indices of traced weights.
    decay_time, momentum : float
        T of an update, and the momentum of SGD.
    gradient_stats : bool
        Whether the record has gradient-stats, see `synthetic_run`.

    Returns
    -------
    LayerState
    """
    rows = walk.astype(np.float64).reshape(len(walk), walk.shape[1], -1)
    freedom = max(rows.shape[2] - 1, 1)
    with np.errstate(invalid="ignore"):
        centered = rows - rows.mean(axis=2, keepdims=True)
        effective = centered if center else rows
        deviation = np.sqrt((centered**2).sum(axis=2, keepdims=True) / freedom)
        z = np.divide(effective, deviation, out=np.zeros_like(rows), where=deviation != 0)
    path, zpath = np.zeros(rows.shape[1:]), np.zeros(rows.shape[1:])
    flips, first_flip, last_flip = (np.zeros(rows.shape[1:], np.uint32) for _ in range(3))
    for update in range(first, last + 1):
        with np.errstate(invalid="ignore"):
            path += np.abs(rows[update] - rows[update - 1])
            zpath += np.abs(z[update] - z[update - 1])
        flipped = (effective[update] < 0) != (effective[update - 1] < 0)
        first_flip[flipped & (flips == 0)] = update
        last_flip[flipped] = update
        flips += flipped
    moved = np.flatnonzero(flips)
    count = last - first + 1
    time = decay_time * count
    sums = {"path": path, "zpath": zpath}
    counts = {"flips": flips, "first_flip": first_flip, "last_flip": last_flip}
    start = (centered if center else rows)[first - 1]
    known, stats = _gradient_stats(rows[first - 1 : last + 1], start, decay_time) if gradient_stats else ({}, {})
    return LayerState(
        LayerWindow(first, count, LR * count, time * (1.0 - momentum), time, TAU, known),
        {
            "weight": walk[last],
            "flipped": moved.astype(np.uint32),
            **{name: total.astype(np.float32).reshape(walk.shape[1:]) for name, total in sums.items()},
            **{name: each.reshape(-1)[moved] for name, each in counts.items()},
            **{name: each.reshape(walk.shape[1:]) for name, each in stats.items()},
            **(_traced(walk, z, effective, slice(first, last + 1), traced) if traced else {}),
        },
    )


def _gradient_stats(rows: Array, start: Array, decay_time: float) -> tuple[dict[str, Any], History]:
    """The gradient-stats of a window, numbers and arrays, from the weights before it and after each update.

    Parameters
    ----------
    rows : ndarray of float64, shape (updates + 1, C_out, weights a channel)
    start : ndarray of float64, shape (C_out, weights a channel)
        Weights before the window, centered if the layer centers.
    decay_time : float
        T of an update.
    """
    before, after, rule, decay = rows[:-1], rows[1:], UpdateRule(), decay_time / LR
    gradient = (before - after) / LR - decay * before
    sizes, updates = np.abs(gradient), len(gradient)
    steps = -LR * (1.0 - decay_time) ** np.arange(updates)[::-1, None, None] * gradient  # at the end of the window
    along = (steps * start).sum(axis=(1, 2))
    limits = SMALL_GRADIENT * np.median(sizes.reshape(updates, start.size), axis=1)[:, None, None]
    numbers = {
        "map": over_updates(rule.matrix(LR, decay), updates).tolist(),
        "rule": rule.to_list(),
        "noise_decay": (1.0 - decay_time) ** (2 * updates),
        "earned_along": float(along.sum()),
        "earned_variance": float((along**2).sum()),
    }
    sums = {"grad": sizes.sum(axis=0), "signed_grad": gradient.sum(axis=0), "noise": (steps**2).sum(axis=0)}
    arrays = {name: total.astype(np.float32) for name, total in sums.items()}
    arrays["small_grads"] = (sizes <= limits).sum(axis=0).astype(np.uint16)
    pushed = (gradient != 0.0) | (before != 0.0)
    arrays["unchanged"] = (pushed & (before == after)).sum(axis=0).astype(np.uint16)
    return numbers if updates else {}, arrays


def _traced(walk: Array, z: Array, effective: Array, updates: slice, traced: tuple[int, ...]) -> dict[str, Array]:
    """Value, z and state of the traced weights after each of these updates."""
    value, scores, states = (each.reshape(len(walk), -1)[updates][:, traced] for each in (walk, z, effective))
    return {
        "traces": value,
        "trace_z": scores.astype(np.float32),
        "trace_state": np.where(states < 0, -1, 1).astype(np.int64),
    }
