"""The record of one layer over consecutive windows as one: each part read and summed only when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.trajectory import Trajectory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from recu_analysis.store.window import LayerRecord

    Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class MergedRecord:
    """What `recu_analysis.trajectory.merge` makes of the windows' records, with the same names.

    Sums are added in place, window by window in their order, and flips where there are any; so memory holds one array
    of the layer for each part that was asked for, however many windows there are.

    Attributes
    ----------
    records : tuple of LayerRecord
        Of the same layer in windows that follow on each other, at least one.
    """

    records: tuple[LayerRecord, ...]

    @property
    def first_update(self) -> int:
        """Number of the first update; one past `last_update` where there is none."""
        return self.records[0].summary.first_update

    @property
    def last_update(self) -> int:
        """Number of the last update."""
        return self.first_update + self.updates - 1

    @property
    def updates(self) -> int:
        """Number of updates."""
        return sum(record.summary.updates for record in self.records)

    @cached_property
    def start(self) -> Array:
        """Latent weights before the first update."""
        return self.records[0].start

    @cached_property
    def end(self) -> Array:
        """Latent weights after the last update."""
        return self.records[-1].weight

    @cached_property
    def path(self) -> NDArray[np.float64] | None:
        """Sum of abs(w_u - w_{u-1}) over the updates, float64, in the unit of the weights.

        None, here and below, where the run does not keep it.
        """
        return self._summed("path") if self._keeps("path") else None

    @cached_property
    def zpath(self) -> NDArray[np.float64] | None:
        """Sum of abs(z_u - z_{u-1}), float64, in standard deviations of the output channel."""
        return self._summed("zpath") if self._keeps("zpath") else None

    @cached_property
    def grad(self) -> NDArray[np.float64] | None:
        """Sum of abs(gradient) before each update, float64, in loss per unit of weight."""
        return self._summed("grad") if self._keeps("grad") else None

    @cached_property
    def ema(self) -> Array | None:
        """OvSW's moving average of the flips at the end."""
        return self.records[-1].ema if self._keeps("ema") else None

    @cached_property
    def silent(self) -> NDArray[np.bool_]:
        """Weights whose effective sign never changed."""
        self.records[0].check_shape("weight")
        silent = np.ones(self.records[0].spec.shape, dtype=np.bool_)
        for record in self.records:
            silent.reshape(-1)[record.flipped] = False
        return silent

    @cached_property
    def flips(self) -> NDArray[np.int64]:
        """Updates at which the effective sign changed, int64."""
        total = self._filled(0)
        for record in self.records:
            where, counts = record.sparse("flips")
            total.reshape(-1)[where] += counts
        return total

    @cached_property
    def first_flip(self) -> NDArray[np.int64] | None:
        """Number of the first such update, int64; -1 if there is none."""
        return self._latest("first_flip", reversed(self.records)) if self._keeps("flip_times") else None

    @cached_property
    def last_flip(self) -> NDArray[np.int64] | None:
        """Number of the last such update, int64; -1 if there is none."""
        return self._latest("last_flip", self.records) if self._keeps("flip_times") else None

    @property
    def lr(self) -> float:
        """Sum of the learning rate over the updates."""
        return sum(record.summary.lr for record in self.records)

    @property
    def lr_decay(self) -> float:
        """Sum of learning rate times weight decay."""
        return sum(record.summary.lr_decay for record in self.records)

    @property
    def decay_time(self) -> float:
        """Sum of learning rate times weight decay over (1 - momentum)."""
        return sum(record.summary.decay_time for record in self.records)

    @property
    def tau(self) -> float | None:
        """The layer's quantile level at the end."""
        return self.records[-1].summary.tau

    @cached_property
    def effective(self) -> Array | None:
        """Effective weights at the end; None where the layer's transform says them."""
        return self.records[-1].effective

    @property
    def operand(self) -> Array:
        """What the layer's transform acts on, weights at the end: effective ones where there is no transform."""
        return self.end if self.effective is None else self.effective

    def _keeps(self, quantity: str) -> bool:
        return quantity in self.records[0].window.quantities

    def _summed(self, kind: str) -> NDArray[np.float64]:
        self.records[0].check_shape(kind)  # else run.json alone would say how much memory to take
        total = np.zeros(self.records[0].spec.shape)
        for record in self.records:
            record.add_to(total, kind)
        return total

    def _latest(self, kind: str, records: Iterable[LayerRecord]) -> NDArray[np.int64]:
        """What the last of some records says of every weight that flipped in one of them."""
        result = self._filled(-1)
        for record in records:
            where, numbers = record.sparse(kind)
            result.reshape(-1)[where] = numbers
        return result

    def _filled(self, value: int) -> NDArray[np.int64]:
        self.records[0].check_shape("weight")  # as above
        return np.full(self.records[0].spec.shape, value, dtype=np.int64)


#: The record of a layer, whole in memory or read on demand.
Record = Trajectory | MergedRecord
