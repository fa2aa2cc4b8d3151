"""The oracle of merging: the whole record of a layer in memory, and how two adjacent ones merge, array by array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recu_analysis.store.window import LayerRecord

    Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Trajectory:
    """The record of one layer over consecutive updates.

    Attributes
    ----------
    first_update, last_update : int
        Numbers of the first and the last update; `first_update` is one past `last_update` where there is none.
    start, end : ndarray, shape of the layer
        Latent weights before the first and after the last update.
    path : ndarray of float64, shape of the layer, or None
        Sum of abs(w_u - w_{u-1}) over the updates, in the unit of the weights; None, here and below, where the run
        does not keep it.
    zpath : ndarray of float64, shape of the layer, or None
        Sum of abs(z_u - z_{u-1}), in standard deviations of the output channel.
    flips : ndarray of int64, shape of the layer
        Updates at which the effective sign changed.
    first_flip, last_flip : ndarray of int64, shape of the layer, or None
        Numbers of the first and last such update; -1 if there is none.
    lr, lr_decay, decay_time : float
        Sums over the updates of the learning rate, of learning rate times weight decay, and of the latter
        over (1 - momentum).
    tau : float or None
        The layer's quantile level at the end.
    effective : ndarray or None, shape of the layer
        Effective weights at the end; None where the layer's transform says them.
    ema : ndarray of float32, shape of the layer, or None
        OvSW's moving average of the flips at the end.
    grad : ndarray of float64, shape of the layer, or None
        Sum of abs(gradient) before each update.
    """

    first_update: int
    last_update: int
    start: Array
    end: Array
    path: NDArray[np.float64] | None
    zpath: NDArray[np.float64] | None
    flips: NDArray[np.int64]
    first_flip: NDArray[np.int64] | None
    last_flip: NDArray[np.int64] | None
    lr: float = 0.0
    lr_decay: float = 0.0
    decay_time: float = 0.0
    tau: float | None = None
    effective: Array | None = None
    ema: Array | None = None
    grad: NDArray[np.float64] | None = None

    @property
    def updates(self) -> int:
        """Number of updates."""
        return self.last_update - self.first_update + 1


def trajectory(record: LayerRecord) -> Trajectory:
    """What a window holds of a layer, all of it, sums in float64; None for what the run does not keep."""
    kept = record.window.quantities
    return Trajectory(
        first_update=record.summary.first_update,
        last_update=record.summary.next_update - 1,
        start=record.start,
        end=record.weight,
        path=record.path.astype(np.float64) if "path" in kept else None,
        zpath=record.array("zpath").astype(np.float64) if "zpath" in kept else None,
        flips=record.flips,
        first_flip=record.first_flip if "first_flip" in kept else None,
        last_flip=record.last_flip if "last_flip" in kept else None,
        lr=record.summary.lr,
        lr_decay=record.summary.lr_decay,
        decay_time=record.summary.decay_time,
        tau=record.summary.tau,
        effective=record.effective,
        ema=record.ema if "ema" in kept else None,
        grad=record.grad.astype(np.float64) if "grad" in kept else None,
    )


def merge(first: Trajectory, second: Trajectory) -> Trajectory:
    """The record of two adjacent stretches of updates as one: integers exactly, sums in float64.

    The operation is associative, up to the rounding of the sums.

    Parameters
    ----------
    first, second : Trajectory
        Of the same layer; `second` begins at the update after `first`.

    Raises
    ------
    InputError
        If they are not adjacent or their shapes differ.
    """
    if first.last_update + 1 != second.first_update:
        raise InputError(
            f"records merge only where one follows on the other: updates {first.first_update} to {first.last_update} "
            f"and {second.first_update} to {second.last_update} do not"
        )
    if first.end.shape != second.start.shape:
        raise InputError(f"records of shapes {first.end.shape} and {second.start.shape} are not of one layer")
    return Trajectory(
        first_update=first.first_update,
        last_update=second.last_update,
        start=first.start,
        end=second.end,
        path=_sum(first.path, second.path),
        zpath=_sum(first.zpath, second.zpath),
        flips=first.flips + second.flips,
        first_flip=_preferred(first.first_flip, second.first_flip),
        last_flip=_preferred(second.last_flip, first.last_flip),
        lr=first.lr + second.lr,
        lr_decay=first.lr_decay + second.lr_decay,
        decay_time=first.decay_time + second.decay_time,
        tau=second.tau,
        effective=second.effective,
        ema=second.ema,
        grad=_sum(first.grad, second.grad),
    )


def _sum(first: NDArray[np.float64] | None, second: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    return None if first is None or second is None else first + second


def _preferred(wanted: NDArray[np.int64] | None, other: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
    """Numbers of updates, from `other` where `wanted` has none."""
    return None if wanted is None or other is None else np.where(wanted >= 0, wanted, other)
