"""Accumulators of movement and flips of a layer's latent weights over its open window, on a CPU and on a GPU."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from recu_analysis.capture.kernel import FOLD_EVERY, advance, all_moments, take_flips
from recu_analysis.errors import RecordingWarning
from recu_analysis.store.quantities import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import DTypeLike

    from recu_analysis.store.state import LayerState

Array = np.ndarray[Any, np.dtype[Any]]

#: Sums over the updates of the open window, each with its remainder that is not added yet (`capture.kernel.fold`).
SUMS = {"path": "path_rest", "zpath": "zpath_rest"}


class Accumulator(Protocol):
    """State, movement and flips of one layer over its open window, from one pass over the weights per update."""

    @property
    def seen(self) -> torch.Tensor:
        """The latent weights after the last seen update, one row per channel."""
        ...

    def advance(self, weight: torch.Tensor, update: int) -> None:
        """Add the update that resulted in `weight`."""

    def flipped_at(self, update: int) -> torch.Tensor:
        """Mask of the weights that flipped at the last update, whose number is `update`, one row per channel."""
        ...

    def look(self, chosen: torch.Tensor) -> torch.Tensor:
        """Latent value, z and state (-1 or 1) of the weights at n flat indices, float64 of shape (3, n)."""
        ...

    def take(self) -> dict[str, Array]:
        """Return the window's arrays by the names of their rows in `store.quantities`, and begin a new window."""
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """Copies on the CPU of the sums and counts of the open window, without the weights."""
        ...

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore the open window from `state`; raise KeyError, ValueError or RuntimeError if it does not fit."""


def storable(weight: torch.Tensor) -> torch.Tensor:
    """The latent weight as it is recorded: one row per channel; float64 stays, other dtypes become float32 (exact)."""
    rows = weight.detach().reshape(weight.shape[0], -1).contiguous()
    return rows if rows.dtype in {torch.float32, torch.float64} else rows.float()


class Rows:
    """The numpy array of `storable` of one weight, kept while the weight has the same memory: making it takes time."""

    def __init__(self) -> None:
        self._memory: tuple[object, ...] = ()
        self._rows = np.empty((0, 0))

    def of(self, weight: torch.Tensor) -> Array:
        """The current values of the weight."""
        shared = weight.is_cpu and weight.dtype == torch.float32 and weight.is_contiguous()
        if not (shared and weight.requires_grad):  # a temporary tensor would have other memory every time
            return storable(weight).cpu().numpy()
        memory = weight.data_ptr(), weight.shape  # of nothing else, because the array keeps it from being freed
        if memory != self._memory:
            self._memory, self._rows = memory, storable(weight).numpy()
        return self._rows


def warn_of_infinite(states: Mapping[str, LayerState]) -> None:
    """Warn about float64 weights that are finite, but whose path overflows in float32."""
    for layer, state in states.items():
        path = state.arrays.get("path")
        if path is None or state["weight"].dtype != np.float64 or np.isfinite(path.max()):
            continue
        beyond = np.count_nonzero(np.isinf(path) & np.isfinite(state["weight"]))
        if beyond:
            warnings.warn(
                f"in layer {layer!r}, {beyond} weights moved farther in one window than float32 can store (3.4e38); "
                "their path is recorded as infinite",
                RecordingWarning,
                stacklevel=2,
            )


class CpuAccumulator:
    """The open window of one layer in numpy arrays.

    Parameters
    ----------
    weight : Tensor, shape (C_out, ...)
        Latent weights before the first update.
    center : bool
        Whether the mean of the channel is subtracted from the latent weight.
    quantities : collection of str
        Quantities that the recording keeps; those of other accumulators may need `flipped_at`.
    numbers : ndarray of int64, optional
        Number of each row's channel in the layer; 0, 1, ... by default.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        *,
        center: bool,
        quantities: Collection[str] = QUANTITIES,
        numbers: Array | None = None,
    ) -> None:
        self._shape = tuple(weight.shape)
        self._center = center
        self._numbers = np.arange(len(weight)) if numbers is None else numbers
        self._old = storable(weight).numpy().copy()
        self._mean = np.empty(len(self._old))
        self._inverse = np.empty(len(self._old))
        all_moments(self._old, self._mean, self._inverse)
        self._kept = frozenset(quantities)
        self._sums = {each: self._zeros(np.float32, name in self._kept) for name in SUMS for each in (name, SUMS[name])}
        self._flips = self._zeros(np.uint32, kept=True)
        self._first = self._zeros(np.uint32, "flip_times" in self._kept)
        self._last = self._zeros(np.uint32, bool(self._kept - {"path", "zpath"}))  # other sums call `flipped_at`
        self._rows = Rows()
        self._updates = 0  # in the open window; the first one sets the sums to 0

    @property
    def seen(self) -> torch.Tensor:
        """The latent weights after the last seen update, one row per channel."""
        return torch.from_numpy(self._old)

    def _zeros(self, dtype: DTypeLike, kept: bool) -> Array:
        """An array of the layer's size; if it is not kept, one row that every channel overwrites."""
        return np.zeros((len(self._old) if kept else 1, self._old.shape[1]), dtype)

    def advance(self, weight: torch.Tensor, update: int) -> None:
        """Add the update that resulted in `weight`."""
        path, path_rest, zpath, zpath_rest = self._sums.values()
        advance(
            self._rows.of(weight),
            self._old,
            self._mean,
            self._inverse,
            self._center,
            update,
            self._updates,
            path,
            path_rest,
            zpath,
            zpath_rest,
            self._flips,
            self._first,
            self._last,
            self._numbers,
        )
        self._updates += 1

    def flipped_at(self, update: int) -> torch.Tensor:
        """Mask of the weights that flipped at the last update, whose number is `update`, one row per channel."""
        return torch.from_numpy(self._last == update)

    def look(self, chosen: torch.Tensor) -> torch.Tensor:
        """Latent value, z and state (-1 or 1) of the weights at n flat indices, float64 of shape (3, n)."""
        places = chosen.numpy()
        rows = places // self._old.shape[1]
        seen = np.empty((3, len(places)))
        seen[0] = self._old.reshape(-1)[places]
        effective = seen[0] - self._mean[rows] if self._center else seen[0]
        seen[1] = effective * self._inverse[rows]
        seen[2] = np.where(effective < 0.0, -1.0, 1.0)
        return torch.from_numpy(seen)

    def take(self) -> dict[str, Array]:
        """Return the window's arrays by the names of their rows in `store.quantities`, and begin a new window."""
        times = "flip_times" in self._kept
        counts, first_flip, last_flip = (each.reshape(-1) for each in (self._flips, self._first, self._last))
        flipped, flips, first, last = take_flips(counts, first_flip, last_flip, times)
        taken = {"weight": self._old.copy().reshape(self._shape)}
        sums = self._kept_sums()
        for name in (each for each in SUMS if each in sums):
            torch.from_numpy(sums[name]).add_(torch.from_numpy(sums[SUMS[name]]))  # by all threads
            taken[name] = sums[name].reshape(self._shape)
        taken |= {"flipped": flipped, "flips": flips}
        taken |= {"first_flip": first, "last_flip": last} if times else {}
        # np.zeros would write the memory now, while the training waits.
        self._sums |= {name: np.empty_like(self._sums[name]) for name in SUMS}
        self._updates = 0
        return taken

    def state(self) -> dict[str, torch.Tensor]:
        """Copies of the sums and counts of the open window, without the weights."""
        flipped = np.flatnonzero(self._flips)
        sums = {name: torch.from_numpy(dense.copy()) for name, dense in self._kept_sums().items()}
        counts = {name: dense.reshape(-1)[flipped].astype(np.int64) for name, dense in self._counts().items()}
        numbers = {name: torch.from_numpy(each) for name, each in (counts | {"flipped": flipped}).items()}
        return sums | numbers | {"summed": torch.tensor(self._updates)}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore the open window from `state`; raise KeyError, ValueError or RuntimeError if it does not fit."""
        for name, dense in self._kept_sums().items():
            torch.from_numpy(dense).copy_(state[name].reshape(dense.shape))
        flipped = state["flipped"].numpy()
        for name, dense in self._counts().items():
            dense.reshape(-1)[flipped] = state[name].numpy()
        self._updates = int(state["summed"])

    def _kept_sums(self) -> dict[str, Array]:
        """The requested sums; they are set to 0 if the window has no update yet."""
        kept = {each: self._sums[each] for name in SUMS if name in self._kept for each in (name, SUMS[name])}
        if not self._updates:
            for dense in kept.values():
                dense.fill(0.0)
        return kept

    def _counts(self) -> dict[str, Array]:
        times = {"first_flip": self._first, "last_flip": self._last}
        return {"flips": self._flips} | (times if "flip_times" in self._kept else {})


class DeviceAccumulator:
    """The open window of one layer in tensors on its device; no operation waits for the device before `take`.

    Parameters
    ----------
    weight : Tensor, shape (C_out, ...)
        Latent weights before the first update.
    center : bool
        Whether the mean of the channel is subtracted from the latent weight.
    quantities : collection of str
        Quantities that the recording keeps; those of other accumulators may need `flipped_at`.
    numbers : ndarray of int64, optional
        Number of each row's channel in the layer; the kernel of a CUDA GPU needs it.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        *,
        center: bool,
        quantities: Collection[str] = QUANTITIES,
        numbers: Array | None = None,
    ) -> None:
        self._shape = tuple(weight.shape)
        self._center = center
        self._old = storable(weight).clone()
        effective, self._z = self._coordinates(self._old)
        self._negative = effective < 0
        self._kept = frozenset(quantities)
        self._sums = {
            each: torch.zeros_like(self._old, dtype=torch.float32) for name in SUMS for each in (name, SUMS[name])
        }
        self._flips, self._first, self._last = (torch.zeros_like(self._old, dtype=torch.int32) for _ in range(3))
        self._updates = 0  # in the open window

    @property
    def seen(self) -> torch.Tensor:
        """The latent weights after the last seen update, one row per channel."""
        return self._old

    def _coordinates(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Effective weights and standard scores, float64."""
        rows = weight.double()
        # The mean of equal numbers may differ from them by rounding.
        constant = (rows == rows[:, :1]).all(dim=1, keepdim=True)
        centered = rows - torch.where(constant, rows[:, :1], rows.mean(dim=1, keepdim=True))
        effective = centered if self._center else rows
        squares = centered.square().sum(dim=1, keepdim=True)
        inverse = torch.where(squares == 0, 0.0, (squares / max(rows.shape[1] - 1, 1)).rsqrt())
        return effective, effective * inverse

    def advance(self, weight: torch.Tensor, update: int) -> None:
        """Add the update that resulted in `weight`."""
        new = storable(weight).to(self._old.device)
        effective, z = self._coordinates(new)
        negative = effective < 0
        flipped = negative != self._negative
        if self._updates % FOLD_EVERY == 0:
            self._fold()
        self._sums["path_rest"] += (new.double() - self._old.double()).abs()
        self._sums["zpath_rest"] += (z - self._z).abs()
        self._first.masked_fill_(flipped & (self._flips == 0), update)
        self._last.masked_fill_(flipped, update)
        self._flips += flipped
        self._old.copy_(new)
        self._z, self._negative = z, negative
        self._updates += 1

    def _fold(self) -> None:
        """Fold the remainders into the sums, as `recu_analysis.capture.kernel.fold` does."""
        for total, rest in ((self._sums[name], self._sums[rest]) for name, rest in SUMS.items()):
            exact = total.double() + rest.double()
            total.copy_(exact)
            left = exact - total.double()
            rest.copy_(left.masked_fill_(~left.isfinite(), 0.0))

    def flipped_at(self, update: int) -> torch.Tensor:
        """Mask of the weights that flipped at the last update, whose number is `update`, one row per channel."""
        return self._last == update

    def look(self, chosen: torch.Tensor) -> torch.Tensor:
        """Latent value, z and state (-1 or 1) of the weights at n flat indices, float64 of shape (3, n)."""
        value, z, negative = (each.reshape(-1)[chosen].double() for each in (self._old, self._z, self._negative))
        return torch.stack([value, z, 1.0 - 2.0 * negative])

    def take(self) -> dict[str, Array]:
        """Return the window's arrays on the CPU by the names of their rows, and begin a new window."""
        flipped = self._flips.reshape(-1).nonzero().squeeze(1)
        taken = {"weight": _copied(self._old).reshape(self._shape)}
        sums = self._kept_sums()
        taken |= {name: _copied(sums[name] + sums[SUMS[name]]).reshape(self._shape) for name in SUMS if name in sums}
        counts = {"flipped": flipped} | {name: dense.reshape(-1)[flipped] for name, dense in self._counts().items()}
        taken |= {name: _copied(each).astype(np.uint32) for name, each in counts.items()}
        for dense in (self._flips, *self._sums.values()):
            dense.zero_()
        self._updates = 0
        return taken

    def state(self) -> dict[str, torch.Tensor]:
        """Copies on the CPU of the sums and counts of the open window, without the weights."""
        flipped = self._flips.reshape(-1).nonzero().squeeze(1)
        counts = {name: dense.reshape(-1)[flipped].long() for name, dense in self._counts().items()}
        tensors = self._kept_sums() | counts | {"flipped": flipped, "summed": torch.tensor(self._updates)}
        return {name: dense.to("cpu", copy=True) for name, dense in tensors.items()}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore the open window from `state`; raise KeyError, ValueError or RuntimeError if it does not fit."""
        for name, dense in self._kept_sums().items():
            dense.copy_(state[name].reshape(dense.shape))
        flipped = state["flipped"].to(self._old.device)
        for name, dense in self._counts().items():
            dense.view(-1)[flipped] = state[name].to(dense)
        self._updates = int(state["summed"])

    def _kept_sums(self) -> dict[str, torch.Tensor]:
        return {each: self._sums[each] for name in SUMS if name in self._kept for each in (name, SUMS[name])}

    def _counts(self) -> dict[str, torch.Tensor]:
        times = {"first_flip": self._first, "last_flip": self._last}
        return {"flips": self._flips} | (times if "flip_times" in self._kept else {})


def _copied(tensor: torch.Tensor) -> Array:
    """A numpy copy of a tensor on any device."""
    return tensor.to("cpu", copy=True).numpy()
