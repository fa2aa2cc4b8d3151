"""The open window of a layer on a CUDA GPU: an update is one Triton kernel with one program per channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import triton
import triton.language as tl

from recu_analysis.capture.accumulate import DeviceAccumulator, storable
from recu_analysis.capture.kernel import FOLD_EVERY
from recu_analysis.nn.launch import Kernel, on
from recu_analysis.store.quantities import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Collection

    from recu_analysis.capture.accumulate import Array

#: Number of weights of a channel that a program processes at a time.
MOST_AT_ONCE = 2048


@triton.jit  # type: ignore[untyped-decorator]
def moments(row: tl.tensor, width: tl.tensor, freedom: tl.tensor, BLOCK: tl.constexpr) -> Any:  # noqa: N803
    """Mean of one channel, and 1 / its standard deviation (ddof 1), float64; 0 for a constant channel."""
    first = tl.load(row).to(tl.float64)
    total, others = tl.zeros([BLOCK], tl.float64), tl.zeros([BLOCK], tl.int32)
    for start in range(0, width, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        value = tl.load(row + offsets, mask=offsets < width, other=0.0).to(tl.float64)
        total += value
        others += tl.where((offsets < width) & (value != first), 1, 0)
    # The mean of equal numbers may differ from them by rounding.
    mean = tl.where(tl.sum(others) == 0, first, tl.sum(total) / width)
    squared = tl.zeros([BLOCK], tl.float64)
    for start in range(0, width, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        difference = tl.load(row + offsets, mask=offsets < width, other=0.0).to(tl.float64) - mean
        squared += tl.where(offsets < width, difference * difference, 0.0)
    squares = tl.sum(squared)
    # Not `squares > 0`, because NaN must stay NaN.
    return mean, tl.where(squares == 0.0, 0.0, 1.0 / tl.sqrt(squares / freedom))


@triton.jit  # type: ignore[untyped-decorator]
def add_movement(total: tl.tensor, rest: tl.tensor, movement: tl.tensor, inside: tl.tensor, fold: tl.tensor) -> None:
    """Add movement to the remainder of a sum; if `fold`, first move the remainder into the sum."""
    left = tl.load(rest, mask=inside, other=0.0).to(tl.float64)
    if fold:
        exact = tl.load(total, mask=inside, other=0.0).to(tl.float64) + left
        rounded = exact.to(tl.float32)
        tl.store(total, rounded, mask=inside)
        left = exact - rounded.to(tl.float64)
        left = tl.where(tl.abs(left) < float("inf"), left, 0.0).to(tl.float32).to(tl.float64)
    tl.store(rest, (left + movement).to(tl.float32), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def count_flips(flips: tl.tensor, first: tl.tensor, last: tl.tensor, flipped: tl.tensor, update: tl.tensor) -> None:
    """Count the flips of an update where `flipped` says so."""
    count = tl.load(flips, mask=flipped, other=0)
    tl.store(first, update, mask=flipped & (count == 0))
    tl.store(last, update, mask=flipped)
    tl.store(flips, count + 1, mask=flipped)


@triton.jit  # type: ignore[untyped-decorator]
def all_moments(
    weight: tl.tensor,
    mean: tl.tensor,
    inverse: tl.tensor,
    width: tl.tensor,
    freedom: tl.tensor,
    BLOCK: tl.constexpr,  # noqa: N803
) -> None:
    """Fill `mean` and `inverse`, one entry per channel."""
    channel = tl.program_id(0).to(tl.int64)
    m, scale = moments(weight + channel * width, width, freedom, BLOCK)
    tl.store(mean + channel, m)
    tl.store(inverse + channel, scale)


# These arguments change in every call; specializing on them would compile the kernel again.
@triton.jit(do_not_specialize=["update", "before"])  # type: ignore[untyped-decorator]
def _advance(
    new: tl.tensor,
    old: tl.tensor,
    mean: tl.tensor,
    inverse: tl.tensor,
    path: tl.tensor,
    path_rest: tl.tensor,
    zpath: tl.tensor,
    zpath_rest: tl.tensor,
    flips: tl.tensor,
    first: tl.tensor,
    last: tl.tensor,
    numbers: tl.tensor,
    width: tl.tensor,
    freedom: tl.tensor,
    update: tl.tensor,
    before: tl.tensor,
    CENTER: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
    FOLD_EVERY: tl.constexpr,  # noqa: N803
) -> None:
    """Add one update of one channel, as `recu_analysis.capture.kernel.advance` does on a CPU."""
    channel = tl.program_id(0).to(tl.int64)
    begin = channel * width
    fold = (before + tl.load(numbers + channel)) % FOLD_EVERY == 0
    old_shift, old_scale = tl.load(mean + channel), tl.load(inverse + channel)
    shift, scale = moments(new + begin, width, freedom, BLOCK)
    tl.store(mean + channel, shift)
    tl.store(inverse + channel, scale)
    if not CENTER:
        shift, old_shift = 0.0, 0.0
    for start in range(0, width, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        inside = offsets < width
        offsets += begin
        exact_after, exact_earlier = tl.load(new + offsets, mask=inside), tl.load(old + offsets, mask=inside)
        after, earlier = exact_after.to(tl.float64), exact_earlier.to(tl.float64)
        add_movement(path + offsets, path_rest + offsets, tl.abs(after - earlier), inside, fold)
        after, earlier = after - shift, earlier - old_shift
        add_movement(zpath + offsets, zpath_rest + offsets, tl.abs(after * scale - earlier * old_scale), inside, fold)
        tl.store(old + offsets, exact_after, mask=inside)
        flipped = inside & ((after < 0.0) != (earlier < 0.0))
        count_flips(flips + offsets, first + offsets, last + offsets, flipped, update)


class CudaAccumulator(DeviceAccumulator):
    """`DeviceAccumulator` with one kernel per update instead of some thirty; it reads and writes each array once.

    Parameters
    ----------
    weight : Tensor, shape (C_out, ...)
        Latent weights before the first update, on a CUDA GPU.
    center : bool
        Whether the mean of the channel is subtracted from the latent weight.
    quantities : collection of str
        Quantities that the recording keeps.
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
        super().__init__(weight, center=center, quantities=quantities, numbers=numbers)
        self._numbers = torch.from_numpy(np.arange(len(weight)) if numbers is None else numbers).to(self._old.device)
        del self._z, self._negative  # the kernel recomputes them from the old weights and these two arrays
        self._mean = self._old.new_empty(len(self._old), dtype=torch.float64)
        self._inverse = torch.empty_like(self._mean)
        width = self._old.shape[1]
        self._width = width, max(width - 1, 1)
        constants = {"BLOCK": min(MOST_AT_ONCE, triton.next_power_of_2(width)), "CENTER": self._center}
        constants["FOLD_EVERY"] = FOLD_EVERY
        self._advance = Kernel(_advance, len(self._old), constants)
        with on(self._old.device):
            Kernel(all_moments, len(self._old), constants)((self._old, self._mean, self._inverse), self._width)

    def advance(self, weight: torch.Tensor, update: int) -> None:
        """Add the update that resulted in `weight`."""
        new = storable(weight).to(self._old)
        sums = *self._sums.values(), self._flips, self._first, self._last, self._numbers
        with on(self._old.device):
            self._advance((new, self._old, self._mean, self._inverse, *sums), (*self._width, update, self._updates))
        self._updates += 1

    def look(self, chosen: torch.Tensor) -> torch.Tensor:
        """Latent value, z and state (-1 or 1) of the weights at n flat indices, float64 of shape (3, n)."""
        rows = chosen // self._old.shape[1]
        value = self._old.reshape(-1)[chosen].double()
        effective = value - self._mean[rows] if self._center else value
        return torch.stack([value, effective * self._inverse[rows], torch.where(effective < 0.0, -1.0, 1.0)])
