"""The open window of a layer with more than two levels on a CUDA GPU: an update is one Triton kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import triton
import triton.language as tl

from recu_analysis.capture.accumulate import storable
from recu_analysis.capture.cuda import add_movement, all_moments, count_flips, moments
from recu_analysis.capture.kernel import FOLD_EVERY
from recu_analysis.capture.levels import BY, DeviceLevels, way_of
from recu_analysis.nn.launch import Kernel, on
from recu_analysis.store.quantities import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Collection

    from recu_analysis.capture.levels import Array, Steps
    from recu_analysis.theory.levels import Quantizer

#: Number of weights of a row that a program processes at a time; with more, its threads run out of registers.
MOST_AT_ONCE = 512
#: Most entries of the counts of a layer. Programs that add to the same entry wait for each other, so that few states
#: are counted at several places.
MOST_COUNTS = 4096


@triton.jit  # type: ignore[untyped-decorator]
def _quotient(above: tl.tensor, below: tl.tensor) -> Any:
    """The correctly rounded quotient; `/` of Triton is so for float64 only."""
    if below.dtype == tl.float32:
        return tl.div_rn(above, below)
    else:  # noqa: RET505 - Triton compiles both sides of an early return
        return above / below


@triton.jit  # type: ignore[untyped-decorator]
def _state(
    weight: tl.tensor,
    step: tl.tensor,
    zero: tl.tensor,
    WAY: tl.constexpr,  # noqa: N803
    LOW: tl.constexpr,  # noqa: N803
    HIGH: tl.constexpr,  # noqa: N803
) -> Any:
    """States of weights, int32, as `recu_analysis.capture.level_kernel.state_of` computes them."""
    if WAY == 2:
        return (weight > step).to(tl.int32) - (weight < -step).to(tl.int32)
    else:  # noqa: RET505
        units = weight * _quotient(tl.full((), 1.0, step.dtype), step) if WAY == 0 else _quotient(weight, step)
        # Round a half to the even number; each operation is exact. Triton's own rounding needs a GPU.
        size = tl.abs(units)
        whole = tl.floor(size)
        rest = size - whole
        odd = whole - 2.0 * tl.floor(0.5 * whole)
        whole += tl.where((rest > 0.5) | ((rest == 0.5) & (odd == 1.0)), 1.0, 0.0)
        state = tl.where(units < 0.0, -whole, whole) + zero
        state = tl.where(state < HIGH, state, HIGH)  # HIGH for NaN
        return tl.where(state > LOW, state, LOW).to(tl.int32)


@triton.jit  # type: ignore[untyped-decorator]
def _join(
    mean: tl.tensor,
    scale: tl.tensor,
    inverse: tl.tensor,
    share: tl.tensor,
    width: tl.tensor,
    freedom: tl.tensor,
    BLOCK: tl.constexpr,  # noqa: N803
) -> None:
    """Fill `inverse`, one entry per scale group, from the moments of its `share` rows, as `group_moments` does."""
    group = tl.program_id(0).to(tl.int64)
    begin = group * share
    _, between = moments(mean + begin, share, 1, BLOCK)
    within = tl.zeros([BLOCK], tl.float64)
    for start in range(0, share, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        one = tl.load(scale + begin + offsets, mask=offsets < share, other=0.0)
        within += tl.where(one == 0.0, 0.0, freedom / (one * one))  # NaN stays NaN
    squares = tl.sum(within) + tl.where(between == 0.0, 0.0, width / (between * between))
    tl.store(inverse + group, tl.where(squares == 0.0, 0.0, 1.0 / tl.sqrt(squares / (share * width - 1))))


# These arguments change in every call; specializing on them would compile the kernel again.
@triton.jit(do_not_specialize=["update", "before"])  # type: ignore[untyped-decorator]
def _advance(
    new: tl.tensor,
    old: tl.tensor,
    inverse: tl.tensor,
    old_inverse: tl.tensor,
    steps: tl.tensor,
    old_steps: tl.tensor,
    path: tl.tensor,
    path_rest: tl.tensor,
    zpath: tl.tensor,
    zpath_rest: tl.tensor,
    flips: tl.tensor,
    first: tl.tensor,
    last: tl.tensor,
    reversals: tl.tensor,
    direction: tl.tensor,
    counts: tl.tensor,
    numbers: tl.tensor,
    width: tl.tensor,
    freedom: tl.tensor,
    share: tl.tensor,
    groups: tl.tensor,
    update: tl.tensor,
    before: tl.tensor,
    ALONE: tl.constexpr,  # noqa: N803
    WAY: tl.constexpr,  # noqa: N803
    LOW: tl.constexpr,  # noqa: N803
    HIGH: tl.constexpr,  # noqa: N803
    PLACES: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
    FOLD_EVERY: tl.constexpr,  # noqa: N803
) -> None:
    """Add one update of one row, as `recu_analysis.capture.level_kernel.advance_levels` does on a CPU.

    `inverse` is filled here if each row is a scale group of its own, and before this kernel if not. `steps` has the
    steps, then the zero points. `counts` is described at `CudaLevels`.
    """
    row = tl.program_id(0).to(tl.int64)
    begin, group = row * width, row // share
    fold = (before + tl.load(numbers + row)) % FOLD_EVERY == 0
    if ALONE:
        _, scale = moments(new + begin, width, freedom, BLOCK)
        tl.store(inverse + row, scale)
    else:
        scale = tl.load(inverse + group)
    old_scale = tl.load(old_inverse + group)
    step, zero = tl.load(steps + group), tl.load(steps + groups + group)
    old_step, old_zero = tl.load(old_steps + group), tl.load(old_steps + groups + group)
    STATES: tl.constexpr = HIGH - LOW + 1  # noqa: N806
    counts += (row % PLACES) * (STATES * STATES + STATES + 2)
    late = counts + STATES * STATES
    by_weight, by_threshold = tl.zeros([BLOCK], tl.int32), tl.zeros([BLOCK], tl.int32)
    for start in range(0, width, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        inside = offsets < width
        offsets += begin
        after, earlier = tl.load(new + offsets, mask=inside), tl.load(old + offsets, mask=inside)
        a = _state(earlier, old_step, old_zero, WAY, LOW, HIGH)
        b = _state(after, old_step, old_zero, WAY, LOW, HIGH)
        c = _state(after, step, zero, WAY, LOW, HIGH)
        tl.store(old + offsets, after, mask=inside)
        after, earlier = after.to(tl.float64), earlier.to(tl.float64)
        add_movement(path + offsets, path_rest + offsets, tl.abs(after - earlier), inside, fold)
        moved = tl.abs(after * scale - earlier * old_scale)
        add_movement(zpath + offsets, zpath_rest + offsets, moved, inside, fold)
        by_weight += (inside & (a != b)).to(tl.int32)
        by_threshold += (inside & (b != c)).to(tl.int32)
        flipped = inside & (a != c)
        count_flips(flips + offsets, first + offsets, last + offsets, flipped, update)
        turn = tl.where(c > a, 1, -1).to(tl.int8)
        back = flipped & (tl.load(direction + offsets, mask=flipped, other=0) == -turn)
        tl.store(reversals + offsets, tl.load(reversals + offsets, mask=back, other=0) + 1, mask=back)
        tl.store(direction + offsets, turn, mask=flipped)
        number, one = tl.zeros([BLOCK], tl.int64) + before + 1, tl.full([BLOCK], 1, tl.int64)
        tl.atomic_add(counts + (a - LOW) * STATES + (c - LOW), one, mask=flipped, sem="relaxed")
        tl.atomic_add(late + (c - LOW), number, mask=flipped, sem="relaxed")
        tl.atomic_add(late + (a - LOW), -number, mask=flipped, sem="relaxed")
    changed, by = tl.sum(by_weight).to(tl.int64), late + STATES
    tl.atomic_add(by, changed, mask=changed > 0, sem="relaxed")
    changed = tl.sum(by_threshold).to(tl.int64)
    tl.atomic_add(by + 1, changed, mask=changed > 0, sem="relaxed")


class CudaLevels(DeviceLevels):
    """`DeviceLevels` with one kernel per update instead of some thirty; parameters as there, of a weight on a CUDA GPU.

    If a scale group has several rows, two small kernels before it compute the standard deviation of the group.

    Only flips are counted one by one: adding all weights that stay in a state to the same number would take longer than
    the rest. A weight was in its present state for all updates of the window, except those before and at its last flip.
    So the sums of these exceptions and the states at the end give how long weights were in each state. `_tally` has one
    row per place that programs add to, with the flips from state to state, then these sums by state, then the counts
    `BY`.
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
        super().__init__(weight, quantizer, steps, quantities=quantities, numbers=numbers)
        del self._z, self._negative, self._transitions, self._by  # the kernel recomputes them, or counts elsewhere
        channels, device = len(self._old), self._old.device
        rows = max(self._group_count, channels)
        numbers = np.repeat(np.arange(channels) if numbers is None else numbers, rows // channels)
        self._numbers = torch.from_numpy(numbers).to(device)
        width, self._share = self._old.numel() // rows, rows // self._group_count
        self._row = width, max(width - 1, 1)
        self._of_rows = tuple(torch.empty(rows, dtype=torch.float64, device=device) for _ in range(2))
        # Of the groups: after the last update, and memory for the next one.
        self._inverse, self._next = (torch.zeros_like(self._of_rows[0][: self._group_count]) for _ in range(2))
        places, entries = max(1, MOST_COUNTS // quantizer.count**2), quantizer.count * (quantizer.count + 1) + len(BY)
        self._tally = torch.zeros(min(rows, places), entries, dtype=torch.int64, device=device)
        self._prepare(rows)
        # The first standard deviations are those of an update that changes nothing. Another kernel may sum in another
        # order, and the z of weights that do not move would seem to move.
        self._run(self._old.clone(), self._steps, 0)
        for each in self._sums.values():
            each.zero_()

    def _prepare(self, rows: int) -> None:
        """Make the kernels for this layer."""
        quantizer = self._quantizer
        constants = {"BLOCK": min(MOST_AT_ONCE, triton.next_power_of_2(self._row[0])), "FOLD_EVERY": FOLD_EVERY}
        constants |= {"LOW": quantizer.low, "HIGH": quantizer.high, "WAY": way_of(quantizer)}
        constants |= {"PLACES": len(self._tally), "ALONE": self._share == 1}
        self._moments = Kernel(all_moments, rows, constants)
        joined = {"BLOCK": min(MOST_AT_ONCE, triton.next_power_of_2(self._share))}
        self._join = Kernel(_join, self._group_count, joined)
        # A product that is fused with a sum is not rounded as the network rounds it. With more threads than weights,
        # several threads have the same weight: one may read what another has already written, and count it.
        warps = max(1, min(4, int(constants["BLOCK"]) // 32))
        self._advance = Kernel(_advance, rows, constants, enable_fp_fusion=False, num_warps=warps)

    def _run(self, new: torch.Tensor, before: torch.Tensor, update: int) -> None:
        """Run the kernels of one update; `before` are the steps and zero points before it."""
        sums = *self._sums.values(), self._flips, self._first, self._last, self._reversals, self._direction
        compared = new, self._old, self._next, self._inverse, self._steps, before
        numbers = *self._row, self._share, self._group_count, update, self._updates
        with on(self._old.device):
            if self._share > 1:
                self._moments((new, *self._of_rows), self._row)
                self._join((*self._of_rows, self._next), (self._share, *self._row))
            self._advance((*compared, *sums, self._tally, self._numbers), numbers)
        self._inverse, self._next = self._next, self._inverse

    def _begin_at(self, step: torch.Tensor, zero: torch.Tensor) -> None:
        self._steps = torch.stack([step, zero])
        self._step, self._zero = self._steps

    def advance(self, weight: torch.Tensor, update: int) -> None:
        """Add the update that resulted in `weight`."""
        before = self._steps
        self._begin_at(*self._asked())
        self._run(storable(weight).to(self._old), before, update)
        self._updates += 1

    def look(self, chosen: torch.Tensor) -> torch.Tensor:
        """Latent value, z and state of the weights at n flat indices, float64 of shape (3, n)."""
        value = self._old.reshape(-1)[chosen]
        group = chosen // (self._old.numel() // self._group_count)
        states = self._states_with(value, self._step[group], self._zero[group])
        return torch.stack([value.double(), value.double() * self._inverse[group], states.double()])

    def _parts(self) -> tuple[torch.Tensor, ...]:
        """Flips from state to state, the exceptions by state, and the counts `BY`."""
        states = self._quantizer.count
        moves, late, by = torch.split(self._tally.sum(dim=0), [states * states, states, len(BY)])
        return moves.reshape(states, states), late, by

    def _stays(self) -> torch.Tensor:
        """Updates of the window times the weights that are in each state now."""
        states = self._states_of(self._old, self._step, self._zero).reshape(-1) - self._quantizer.low
        return self._updates * torch.bincount(states, minlength=self._quantizer.count)

    def _counted(self) -> dict[str, torch.Tensor]:
        moves, late, by = self._parts()
        stays = self._stays() - late
        return {"transitions": moves + (stays - moves.sum(dim=1)).diag(), "by": by}

    def _count_from(self, transitions: torch.Tensor, by: torch.Tensor) -> None:
        moves = transitions - transitions.diag().diag()
        self._tally.zero_()
        self._tally[0] = torch.cat([moves.reshape(-1), self._stays() - transitions.sum(dim=1), by])
