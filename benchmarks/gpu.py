"""The per-update accounting on a GPU, at 11 M weights, beside a device copy of the same weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmarks.kernel import SHAPES
from recu_analysis.capture.accumulate import DeviceAccumulator

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 50


def milliseconds(run: Callable[[], object]) -> float:
    """Median time of a call on the device."""
    times = []
    for _ in range(ROUNDS + 3):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        stop.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(stop))
    return sorted(times[3:])[ROUNDS // 2]


def main() -> None:
    """Print microseconds an update, and the ratio to a copy."""
    if not torch.cuda.is_available():
        print("per-update accounting on a GPU: no GPU here")
        return
    weights = [torch.randn(*shape, 3, 3, device="cuda") for shape in SHAPES]
    sums = [DeviceAccumulator(weight, centre=True) for weight in weights]
    copies = [weight.clone() for weight in weights]
    count = sum(weight.numel() for weight in weights)
    ours = milliseconds(lambda: [each.advance(weight, 1) for each, weight in zip(sums, weights, strict=True)])
    copy = milliseconds(lambda: [a.copy_(b) for a, b in zip(copies, weights, strict=True)])
    print(f"per-update accounting on {torch.cuda.get_device_name()}, {count / 1e6:.1f} M weights")
    print(f"  {1e3 * ours:.0f} microseconds an update, {ours / copy:.1f} times a device copy of the weights")


if __name__ == "__main__":
    main()
