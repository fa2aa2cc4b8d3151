"""Accumulators of movement, flips and transitions of a layer with more than two levels, on a CPU and on a device."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recu_analysis.capture.accumulate import CpuAccumulator, DeviceAccumulator, storable
from recu_analysis.capture.kernel import FOLD_EVERY
from recu_analysis.capture.level_kernel import WAYS, advance_levels, group_moments
from recu_analysis.store.quantities import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from recu_analysis.theory.levels import Quantizer

    Array = np.ndarray[Any, np.dtype[Any]]
    Steps = Callable[[], tuple[torch.Tensor, torch.Tensor]]

#: Counts of a layer: changes of state by the weights, and by the steps.
BY = ("weight_flips", "threshold_flips")


def way_of(quantizer: Quantizer) -> int:
    """How a kernel computes the states of a quantizer: one of `WAYS`."""
    return WAYS["threshold" if quantizer.kind == "ternary" else "product" if quantizer.inverse else "division"]


class Counts:
    """Transitions between the states of a layer over its open window; only flips are counted one by one.

    Attributes
    ----------
    moves : ndarray of int64, states x states
        Flips from state to state.
    by : ndarray of int64
        The counts `BY`.
    stays : ndarray of int64
        Sum over the updates of the weights in each state before the update.
    occupied : ndarray of int64
        Weights in each state now.
    """

    def __init__(self, quantizer: Quantizer, states: Array) -> None:
        count = quantizer.count
        self.moves, self.by = np.zeros((count, count), np.int64), np.zeros(len(BY), np.int64)
        self.stays = np.zeros(count, np.int64)
        self.occupied = np.bincount(states.reshape(-1) - quantizer.low, minlength=count).astype(np.int64)

    def add(self, moves: Array) -> None:
        """Add the flips of one update from state to state."""
        self.stays += self.occupied
        self.moves += moves
        self.occupied += moves.sum(axis=0) - moves.sum(axis=1)

    @property
    def transitions(self) -> Array:
        """Counts of all transitions, those that stay in their state on the diagonal."""
        return self.moves + np.diag(self.stays - self.moves.sum(axis=1))

    def load(self, transitions: Array, by: Array) -> None:
        """Restore the counts of an open window."""
        self.moves, self.by = transitions - np.diag(np.diag(transitions)), by.astype(np.int64)
        self.stays = transitions.sum(axis=1)

    def clear(self) -> None:
        """Begin a new window."""
        for counts in (self.moves, self.by, self.stays):
            counts.fill(0)


class CpuLevels(CpuAccumulator):
    """The open window of one layer with more than two levels, in numpy arrays, one row per channel or scale group.

    Parameters
    ----------
    weight : Tensor, shape (C_out, ...)
        Latent weights before the first update.
    quantizer : Quantizer
    steps : callable
        Returns the present steps and zero points of the scale groups of `weight`.
    quantities : collection of str
        Quantities that the recording keeps; those of other accumulators may need `flipped_at`.
    numbers : ndarray of int64, optional
        Number of each channel of `weight` in the layer; 0, 1, ... by default.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        quantizer: Quantizer,
        steps: Steps,
        *,
        quantities: Collection[str] = QUANTITIES,
        numbers: Array | None = None,
    ) -> None:
        shape = tuple(weight.shape)
        groups = quantizer.groups(shape)
        rows = max(groups, shape[0])
        numbers = np.repeat(np.arange(shape[0]) if numbers is None else numbers, rows // shape[0])
        super().__init__(storable(weight).reshape(rows, -1), center=False, quantities=quantities, numbers=numbers)
        self._shape, self._quantizer, self._ask = shape, quantizer, steps
        self._way = way_of(quantizer)
        self._inverse = np.empty(groups)
        group_moments(self._old, self._mean, self._inverse)
        self._bounds = np.array([quantizer.low, quantizer.high], self._old.dtype)
        self._reversals, self._direction = self._zeros(np.uint32, kept=True), self._zeros(np.int8, kept=True)
        self._begin_at(*self._asked())

    @property
    def seen(self) -> torch.Tensor:
        """The latent weights after the last seen update, one row per channel."""
        return torch.from_numpy(self._old.reshape(self._shape[0], -1))

    def _asked(self) -> tuple[Array, Array]:
        """The present steps and zero points, in the dtype of the weights."""
        step, zero = (each.detach().cpu().numpy().astype(self._old.dtype) for each in self._ask())
        return step, zero

    def _begin_at(self, step: Array, zero: Array) -> None:
        """Take these steps and zero points as those of the weights last seen."""
        self._step, self._zero, self._groups = step, zero, self._used(step, zero)
        states = self._quantizer.states(self._old.reshape(self._shape), step, zero)
        self._counted = Counts(self._quantizer, states)

    def _used(self, step: Array, zero: Array) -> Array:
        """What the kernel computes states with: steps, or their inverses, and zero points."""
        with np.errstate(divide="ignore", invalid="ignore"):
            used = step.dtype.type(1) / step if self._way == WAYS["product"] else step
        return np.ascontiguousarray(np.stack([used, zero], axis=1))

    def advance(self, weight: torch.Tensor, update: int) -> None:
        """Add the update that resulted in `weight`."""
        new = self._rows.of(weight).reshape(self._old.shape)
        step, zero = self._asked()
        groups, inverse = self._used(step, zero), np.empty_like(self._inverse)
        if len(inverse) < len(new):
            group_moments(new, self._mean, inverse)
        moves = np.zeros_like(self._counted.moves)
        path, path_rest, zpath, zpath_rest = self._sums.values()
        advance_levels(
            new,
            self._old,
            self._mean,
            inverse,
            self._inverse,
            groups,
            self._groups,
            self._bounds,
            self._way,
            update,
            self._updates,
            path,
            path_rest,
            zpath,
            zpath_rest,
            self._flips,
            self._first,
            self._last,
            self._reversals,
            self._direction,
            moves,
            self._counted.by,
            self._numbers,
        )
        self._counted.add(moves)
        self._inverse, self._groups, self._step, self._zero = inverse, groups, step, zero
        self._updates += 1

    def flipped_at(self, update: int) -> torch.Tensor:
        """Mask of the weights that flipped at the last update, whose number is `update`, one row per channel."""
        return super().flipped_at(update).reshape(self._shape[0], -1)

    def look(self, chosen: torch.Tensor) -> torch.Tensor:
        """Latent value, z and state of the weights at n flat indices, float64 of shape (3, n)."""
        places = chosen.numpy()
        value = self._old.reshape(-1)[places]
        group = places // (self._old.size // len(self._inverse))
        # Each of them as a layer of one weight, with the step of its own group.
        alone = replace(self._quantizer, group="channel", rule="given")
        states = alone.states(value[:, None], self._step[group], self._zero[group])
        return torch.from_numpy(np.stack([value, value * self._inverse[group], states[:, 0]]).astype(np.float64))

    def take(self) -> dict[str, Array]:
        """Return the window's arrays by the names of their rows in `store.quantities`, and begin a new window.

        The counts `BY` are arrays without an axis.
        """
        taken = super().take()
        reversals = self._reversals.reshape(-1)
        taken["reversals"] = reversals[taken["flipped"]]
        reversals[taken["flipped"]] = 0
        taken |= {"direction": self._direction.copy().reshape(self._shape), "step": self._step.copy()}
        taken |= {"zero_point": self._zero.astype(np.int64)} if self._zero.any() else {}
        taken |= {"transitions": self._counted.transitions} | dict(zip(BY, self._counted.by.copy(), strict=True))
        self._counted.clear()
        return taken

    def state(self) -> dict[str, torch.Tensor]:
        """Copies of the sums and counts of the open window, without the weights."""
        arrays = {"direction": self._direction, "step_seen": self._step, "zero_seen": self._zero}
        arrays |= {"transitions": self._counted.transitions, "by": self._counted.by}
        return super().state() | {name: torch.from_numpy(each.copy()) for name, each in arrays.items()}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore the open window from `state`; raise KeyError, ValueError or RuntimeError if it does not fit."""
        super().load(state)
        self._begin_at(state["step_seen"].numpy().copy(), state["zero_seen"].numpy().copy())
        self._direction[...] = state["direction"].numpy().reshape(self._direction.shape)
        self._counted.load(state["transitions"].numpy(), state["by"].numpy())

    def take_up(self, step: Array, zero: Array | None, direction: Array) -> None:
        """Begin at the end of a stored window: with its steps, its zero points and the directions of the last flips."""
        self._begin_at(step.copy(), np.zeros_like(step) if zero is None else zero.astype(step.dtype))
        self._direction[...] = direction.reshape(self._direction.shape)

    def _counts(self) -> dict[str, Array]:
        return super()._counts() | {"reversals": self._reversals}


class DeviceLevels(DeviceAccumulator):
    """The open window of one layer with more than two levels, in tensors on its device; parameters as `CpuLevels`.

    No operation waits for the device before `take`.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        quantizer: Quantizer,
        steps: Steps,
        *,
        quantities: Collection[str] = QUANTITIES,
        numbers: Array | None = None,
    ) -> None:
        self._quantizer, self._ask, self._group_count = quantizer, steps, quantizer.groups(tuple(weight.shape))
        super().__init__(weight, center=False, quantities=quantities, numbers=numbers)
        self._reversals = torch.zeros_like(self._flips)
        self._direction = torch.zeros_like(self._old, dtype=torch.int8)
        states = quantizer.count
        self._transitions = torch.zeros(states * states, dtype=torch.int64, device=self._old.device)
        self._by = torch.zeros(len(BY), dtype=torch.int64, device=self._old.device)
        self._begin_at(*self._asked())

    def _asked(self) -> tuple[torch.Tensor, torch.Tensor]:
        step, zero = (each.detach().to(self._old) for each in self._ask())
        return step, zero

    def _begin_at(self, step: torch.Tensor, zero: torch.Tensor) -> None:
        self._step, self._zero = step.clone(), zero.clone()
        self._states = self._states_of(self._old, self._step, self._zero)

    def _coordinates(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Effective weights and standard scores by scale group, float64, one row per channel."""
        effective, z = super()._coordinates(weight.reshape(self._group_count, -1))
        return effective.reshape(weight.shape), z.reshape(weight.shape)

    def _states_of(self, weight: torch.Tensor, step: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
        """States, int64, one row per channel."""
        rows = weight.reshape(self._group_count, -1)
        return self._states_with(rows, step[:, None], zero[:, None]).reshape(weight.shape)

    def _states_with(self, weight: torch.Tensor, step: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
        """States of weights with steps and zero points that broadcast to them, int64."""
        quantizer = self._quantizer
        if quantizer.kind == "ternary":
            return (weight > step).long() - (weight < -step).long()
        units = weight * (1.0 / step) if quantizer.inverse else weight / step
        states = (units.round() + zero).clamp(quantizer.low, quantizer.high).nan_to_num(nan=quantizer.high)
        return states.long()

    def advance(self, weight: torch.Tensor, update: int) -> None:
        """Add the update that resulted in `weight`."""
        new = storable(weight).to(self._old.device)
        step, zero = self._asked()
        _, z = self._coordinates(new)
        between, states = self._states_of(new, self._step, self._zero), self._states_of(new, step, zero)
        if self._updates % FOLD_EVERY == 0:
            self._fold()
        self._sums["path_rest"] += (new.double() - self._old.double()).abs()
        self._sums["zpath_rest"] += (z - self._z).abs()
        self._count(between, states, update)
        self._old.copy_(new)
        self._z, self._states, self._step, self._zero = z, states, step.clone(), zero.clone()
        self._updates += 1

    def _count(self, between: torch.Tensor, states: torch.Tensor, update: int) -> None:
        """Count the changes to new states; `between` are those of the new weights with the steps of before."""
        flipped, sign = states != self._states, (states - self._states).sign().to(torch.int8)
        self._first.masked_fill_(flipped & (self._flips == 0), update)
        self._last.masked_fill_(flipped, update)
        self._flips += flipped
        self._reversals += flipped & (self._direction == -sign)
        self._direction.copy_(torch.where(flipped, sign, self._direction))
        place = (self._states - self._quantizer.low) * self._quantizer.count + (states - self._quantizer.low)
        self._transitions.index_add_(0, place.reshape(-1), torch.ones_like(place).reshape(-1))
        self._by += torch.stack([(self._states != between).sum(), (between != states).sum()])

    def look(self, chosen: torch.Tensor) -> torch.Tensor:
        """Latent value, z and state of the weights at n flat indices, float64 of shape (3, n)."""
        return torch.stack([each.reshape(-1)[chosen].double() for each in (self._old, self._z, self._states)])

    def take(self) -> dict[str, Array]:
        """Return the window's arrays on the CPU by the names of their rows, and begin a new window.

        The counts `BY` are arrays without an axis.
        """
        kept = {"direction": self._direction.reshape(self._shape), "step": self._step} | self._counted()
        copies = {name: each.to("cpu", copy=True).numpy() for name, each in kept.items()}
        by, zero = copies.pop("by"), self._zero.cpu().numpy()
        taken = super().take() | copies | dict(zip(BY, by, strict=True))
        taken |= {"zero_point": zero.astype(np.int64)} if zero.any() else {}
        self._reversals.zero_()
        self._count_from(torch.zeros_like(kept["transitions"]), torch.zeros_like(kept["by"]))
        return taken

    def state(self) -> dict[str, torch.Tensor]:
        """Copies on the CPU of the sums and counts of the open window, without the weights."""
        tensors = {"direction": self._direction, "step_seen": self._step, "zero_seen": self._zero} | self._counted()
        return super().state() | {name: each.to("cpu", copy=True) for name, each in tensors.items()}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore the open window from `state`; raise KeyError, ValueError or RuntimeError if it does not fit."""
        super().load(state)
        self._begin_at(*(state[name].to(self._old) for name in ("step_seen", "zero_seen")))
        self._direction.copy_(state["direction"].reshape(self._direction.shape))
        self._count_from(*(state[name].to(self._old.device) for name in ("transitions", "by")))

    def take_up(self, step: Array, zero: Array | None, direction: Array) -> None:
        """Begin at the end of a stored window: with its steps, its zero points and the directions of the last flips."""
        zero = np.zeros_like(step) if zero is None else zero
        self._begin_at(*(torch.from_numpy(each.copy()).to(self._old) for each in (step, zero)))
        self._direction.copy_(torch.from_numpy(direction.copy()).reshape(self._direction.shape))

    def _counts(self) -> dict[str, torch.Tensor]:
        return super()._counts() | {"reversals": self._reversals}

    def _counted(self) -> dict[str, torch.Tensor]:
        """The transitions, of shape (states, states), and the counts `BY` of the open window."""
        return {"transitions": self._transitions.reshape(self._quantizer.count, -1), "by": self._by}

    def _count_from(self, transitions: torch.Tensor, by: torch.Tensor) -> None:
        """Continue from these counts of the open window."""
        self._transitions.copy_(transitions.reshape(-1))
        self._by.copy_(by)
