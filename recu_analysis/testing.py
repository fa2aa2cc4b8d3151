"""Synthetic runs with known answers, for our tests and for users who check us."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.errors import InputError
from recu_analysis.store.header import LayerSpec, LayerWindow
from recu_analysis.store.state import LayerState
from recu_analysis.store.writer import RunWriter
from recu_analysis.theory.standardize import WeightTransform

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

Array = np.ndarray[Any, np.dtype[Any]]
History = dict[str, Array]

LR, WEIGHT_DECAY, MOMENTUM, TAU = 0.1, 1e-2, 0.9, 0.85
#: Half the swing of a planted weight of the core, where the scale is 1.
STEP = 0.01


@dataclass(frozen=True, slots=True)
class SyntheticRun:
    """A run directory and the truth behind it.

    Attributes
    ----------
    path : Path
    history : dict of str to ndarray of float32, shape (updates + 1, C_out, ...)
        Every layer's weights before the first update and after each.
    marks : tuple of int
        The update at which each window ends; the first is 0.
    """

    path: Path
    history: History
    marks: tuple[int, ...]


def random_walk(shape: tuple[int, ...], updates: int, *, step: float = 0.1, seed: int = 0) -> Array:
    """Normal weights that move by normal steps.

    Parameters
    ----------
    shape : tuple of int
        Of the layer, (C_out, ...).
    updates : int
    step : float
        Standard deviation of a step, where that of the weights is 1.
    seed : int

    Returns
    -------
    ndarray of float32, shape (updates + 1, C_out, ...)
    """
    moves = np.random.default_rng(seed).normal(size=(updates + 1, *shape))
    moves[1:] *= step
    return moves.cumsum(axis=0).astype(np.float32)


@dataclass(frozen=True, slots=True)
class PlantedLayer:
    """A layer of which is known what becomes of every weight.

    Attributes
    ----------
    history : ndarray of float32, shape (updates + 1, C_out, weights a channel)
    tail : ndarray of bool, shape (C_out, weights a channel)
        The 30 % that are farthest out in every window, which is the tail at 0.85.
    flip_update : ndarray of int64, same shape
        The one update at which a weight of the tail flips; -1 where it never does and is dead throughout.
    restless : ndarray of bool, same shape
        Weights of the core so near 0 that they flip at every update; the others never do.
    mobility_tail, mobility_core : float
        Mean abs(z_u - z_{u-1}) of weights while they do not flip in the tail, and of all in the core.
    scale, shape : float
        Of the generalised normal from which every channel's abs(w) / unit was drawn.
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
    """Weights of known distribution that swing by known steps, of whose tail so many flip at known updates.

    Mean and standard deviation of every channel stay what they are, since weights come in fours, +-(a + d) and
    +-(a - d), and swing between a + d and a - d; one that is revived changes places with its opposite. The channels
    have units of their own, from 1/2 to 2.

    Parameters
    ----------
    channels, weights, updates : int
        Weights a channel, a multiple of 40.
    shape, scale : float
        Of the generalised normal, density proportional to exp(-(abs(w) / scale)^shape) in the channel's unit.
    revived : mapping of int to int
        How many weights of the tail, an even number, flip at which update.
    slowed : float
        By what factor the tail moves less than the core.
    seed : int

    Raises
    ------
    InputError
        If the weights cannot be laid out so.
    """
    tail = round(0.3 * weights / 4)
    planned = dict(revived or {})
    if weights < 40 or weights % 40:
        raise InputError(f"a planted channel has a multiple of 40 weights, not {weights}")
    if any(count % 2 or not 1 <= update <= updates for update, count in planned.items()):
        raise InputError(f"an even number of weights is revived at an update from 1 to {updates}, not {planned}")
    if sum(planned.values()) > 4 * tail * channels:
        raise InputError(f"of {4 * tail * channels} weights of the tail {sum(planned.values())} cannot be revived")
    generator = np.random.default_rng(seed)
    size = np.sort(generator.gamma(1.0 / shape, size=weights // 4) ** (1.0 / shape)) * scale
    far = np.arange(size.size) >= size.size - tail
    step = np.where(far, STEP / slowed, STEP) * scale
    size[far] += 2.0 * STEP * scale  # so that no swing crosses the border of the tail
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
    """Turn the signs of pairs of opposite tail weights from the planned updates on; the update of each, or -1."""
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
) -> SyntheticRun:
    """Write a run directory whose every number is known.

    Parameters
    ----------
    path : str or path-like
        New or empty folder.
    history : mapping of str to ndarray, shape (updates + 1, C_out, ...)
        Weights of each layer before the first update and after each; by default two random walks of 20 updates.
    windows : int
        Windows of equal length into which the updates are cut; their number must divide that of the updates.
    seed : int
        Of the default walks.
    transform : WeightTransform, optional
        Of every layer; ReCU's by default.
    exact : bool
        False marks the windows as sampled.

    Returns
    -------
    SyntheticRun
        Its learning rate is 0.1, weight decay 1e-2, momentum 0.9, tau 0.85 in every update.

    Raises
    ------
    InputError
        If the number of windows does not divide that of the updates.
    """
    truth = dict(history) if history is not None else _default_history(seed)
    transform = transform or WeightTransform(center=True, target=2.0, clamp=True)
    specs = [LayerSpec(name, walk.shape[1:], str(walk.dtype), "synthetic", transform) for name, walk in truth.items()]
    updates = len(next(iter(truth.values()))) - 1
    if windows < 1 or updates < 1 or updates % windows:
        raise InputError(f"{updates} updates cannot be cut into {windows} windows of equal length")
    marks = tuple(range(0, updates + 1, updates // windows))
    writer = RunWriter(Path(path), specs, configuration={"network": "synthetic"}, environment={}, exact=exact)
    for number, last in enumerate(marks):
        first = marks[number - 1] + 1 if number else 1
        states = {name: layer_state(walk, first, last, center=transform.center) for name, walk in truth.items()}
        writer.write_window(states, first_update=first, last_update=last)
        if number:
            quality = 50.0 + number
            metrics = {"epoch": number - 1, "lr": LR, "tau": TAU, "train_top1": quality, "val_top1": quality - 1.0}
            writer.write_metrics({"window": number, "update": last} | metrics)
    writer.close()
    return SyntheticRun(Path(path), truth, marks)


def _default_history(seed: int) -> History:
    shapes = {"first": (4, 3, 3, 3), "second": (8, 40)}
    return {name: random_walk(shape, 20, seed=seed + index) for index, (name, shape) in enumerate(shapes.items())}


def layer_state(walk: Array, first: int, last: int, *, center: bool) -> LayerState:
    """The record of updates `first` to `last` of one layer, by a plain loop over them in float64.

    Parameters
    ----------
    walk : ndarray, shape (updates + 1, C_out, ...)
        Weights before the first update of the run and after each.
    first, last : int
        Numbers of updates, from 1.
    center : bool
        Whether the effective weight is the latent one less its channel's mean.
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
    decay = LR * WEIGHT_DECAY * count
    sums = {"path": path, "zpath": zpath}
    counts = {"flips": flips, "first_flip": first_flip, "last_flip": last_flip}
    return LayerState(
        LayerWindow(first, count, LR * count, decay, decay / (1.0 - MOMENTUM), TAU),
        {
            "weight": walk[last],
            "flipped": moved.astype(np.uint32),
            **{name: total.astype(np.float32).reshape(walk.shape[1:]) for name, total in sums.items()},
            **{name: each.reshape(-1)[moved] for name, each in counts.items()},
        },
    )
