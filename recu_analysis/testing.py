"""Synthetic runs with known answers, for our tests and for users who check us."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.errors import InputError
from recu_analysis.store.format import LayerSpec, LayerWindow
from recu_analysis.store.writer import LayerState, RunWriter
from recu_analysis.theory.standardize import WeightTransform

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

Array = np.ndarray[Any, np.dtype[Any]]
History = dict[str, Array]

LR, WEIGHT_DECAY, MOMENTUM, TAU = 0.1, 1e-2, 0.9, 0.85


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
    transform = transform or WeightTransform(centre=True, target=2.0, clamp=True)
    specs = [LayerSpec(name, walk.shape[1:], str(walk.dtype), "synthetic", transform) for name, walk in truth.items()]
    updates = len(next(iter(truth.values()))) - 1
    if windows < 1 or updates < 1 or updates % windows:
        raise InputError(f"{updates} updates cannot be cut into {windows} windows of equal length")
    marks = tuple(range(0, updates + 1, updates // windows))
    writer = RunWriter(Path(path), specs, configuration={"network": "synthetic"}, environment={}, exact=exact)
    for number, last in enumerate(marks):
        first = marks[number - 1] + 1 if number else 1
        states = {name: layer_state(walk, first, last, centre=transform.centre) for name, walk in truth.items()}
        writer.write_window(states, first_update=first, last_update=last)
        if number:
            quality = 50.0 + number
            known = {"epoch": number - 1, "lr": LR, "tau": TAU, "train_top1": quality, "val_top1": quality - 1.0}
            writer.write_metrics({"window": number, "update": last} | known)
    writer.close()
    return SyntheticRun(Path(path), truth, marks)


def _default_history(seed: int) -> History:
    shapes = {"first": (4, 3, 3, 3), "second": (8, 40)}
    return {name: random_walk(shape, 20, seed=seed + index) for index, (name, shape) in enumerate(shapes.items())}


def layer_state(walk: Array, first: int, last: int, *, centre: bool) -> LayerState:
    """The record of updates `first` to `last` of one layer, by a plain loop over them in float64.

    Parameters
    ----------
    walk : ndarray, shape (updates + 1, C_out, ...)
        Weights before the first update of the run and after each.
    first, last : int
        Numbers of updates, from 1.
    centre : bool
        Whether the effective weight is the latent one less its channel's mean.
    """
    rows = walk.astype(np.float64).reshape(len(walk), walk.shape[1], -1)
    freedom = max(rows.shape[2] - 1, 1)
    with np.errstate(invalid="ignore"):
        centred = rows - rows.mean(axis=2, keepdims=True)
        effective = centred if centre else rows
        deviation = np.sqrt((centred**2).sum(axis=2, keepdims=True) / freedom)
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
    return LayerState(
        weight=walk[last],
        path=path.astype(np.float32).reshape(walk.shape[1:]),
        zpath=zpath.astype(np.float32).reshape(walk.shape[1:]),
        flipped=moved.astype(np.uint32),
        flips=flips.reshape(-1)[moved],
        first_flip=first_flip.reshape(-1)[moved],
        last_flip=last_flip.reshape(-1)[moved],
        scale=None,
        summary=LayerWindow(first, count, LR * count, decay, decay / (1.0 - MOMENTUM), TAU),
    )
