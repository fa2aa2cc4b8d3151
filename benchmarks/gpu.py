"""Cost of recording on a GPU: an update at 11 M weights against the bandwidth limit, and against training steps."""

from __future__ import annotations

import tempfile
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

import recu_analysis as ra
from benchmarks.kernel import QUANTIZERS, SHAPES
from benchmarks.timing import ratio, take_turns
from recu_analysis.capture.accumulate import DeviceAccumulator
from recu_analysis.capture.accumulator_choice import accumulator, levels_for
from recu_analysis.capture.levels import DeviceLevels
from recu_analysis.capture.steps import steps_of
from recu_analysis.nn import build_network

if TYPE_CHECKING:
    from collections.abc import Callable

    from recu_analysis.capture.accumulate import Accumulator
    from recu_analysis.capture.levels import CpuLevels
    from recu_analysis.theory.levels import Quantizer

ROUNDS = 50
#: Least memory traffic of an update in bytes per weight: read the new weight; read and write the old one, path, zpath.
LEAST = 28
BATCH, SIZE = 128, 32


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


def with_levels(kind: type[CpuLevels | DeviceLevels], quantizer: Quantizer, weight: torch.Tensor) -> Accumulator:
    """The accumulator of a weight with more than two levels, which computes its steps in every update."""
    return kind(weight, quantizer, partial(steps_of, quantizer, weight))


def updates() -> None:
    """Print the microseconds per update over the bandwidth limit: of signs, of more levels, of plain operations."""
    weights = [torch.randn(*shape, 3, 3, device="cuda") for shape in SHAPES]
    steps = [weight + 0.01 * torch.randn_like(weight) for weight in weights]
    count = sum(weight.numel() for weight in weights)
    large = torch.empty(256 * 2**20, device="cuda")
    other = torch.empty_like(large)
    bandwidth = 2 * large.nbytes / (1e6 * milliseconds(lambda: other.copy_(large)))
    limit = 1e-3 * LEAST * count / bandwidth
    print(f"an update on {torch.cuda.get_device_name()}, {count / 1e6:.1f} M weights in {len(weights)} layers")
    print(f"  bandwidth limit: {limit:.0f} microseconds ({LEAST} bytes a weight at {bandwidth:.0f} GB/s of a copy)")
    kinds: dict[str, Callable[[torch.Tensor], Accumulator]] = {
        "ours": partial(accumulator, center=True),
        "plain torch operations": partial(DeviceAccumulator, center=True),
    }
    for quantizer, name in zip(QUANTIZERS, ("ternary, a tensor", "ternary, channels", "4 bits, channels"), strict=True):
        kinds[f"ours, {name}"] = partial(with_levels, levels_for(weights[0]), quantizer)
    kinds["plain torch operations, ternary, a tensor"] = partial(with_levels, DeviceLevels, QUANTIZERS[0])
    for name, kind in kinds.items():
        sums = [kind(weight) for weight in weights]
        turns = [weights, steps]

        def once(sums: list[Accumulator] = sums, turns: list[list[torch.Tensor]] = turns) -> None:
            turns.reverse()  # weights move, and some flip
            for each, weight in zip(sums, turns[0], strict=True):
                each.advance(weight, 1)

        taken = 1e3 * milliseconds(once)
        print(f"  {name}: {taken:.0f} microseconds, {taken / limit:.1f} times the limit")


def training(network: str) -> tuple[torch.nn.Module, torch.optim.Optimizer, Callable[[], None]]:
    """A network, its optimizer, and a function that takes one training step."""
    torch.manual_seed(0)
    model = build_network(network).cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(BATCH, 3, SIZE, SIZE, device="cuda")
    labels = torch.randint(0, 10, (BATCH,), device="cuda")

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        torch.cuda.synchronize()

    return model, optimizer, step


def recording(network: str) -> None:
    """Print the ratio of the times of a step with and without recording, measured by turns."""
    _, _, off = training(network)
    model, optimizer, on = training(network)
    with tempfile.TemporaryDirectory() as folder, ra.record(model, optimizer, f"{folder}/run"):
        times = take_turns({"off": off, "on": on}, ROUNDS)
    middle, low, high = ratio(times, "on", "off")
    print(
        f"{network}, batch {BATCH}, {SIZE}x{SIZE}: {1e3 * np.median(times['off']):.1f} ms a step, "
        f"recorded / not {middle:.3f} (quartiles {low:.3f} to {high:.3f})"
    )


def main() -> None:
    """Run both measurements if there is a GPU."""
    if not torch.cuda.is_available():
        print("recording on a GPU: no GPU here")
        return
    updates()
    for network in ("resnet20", "resnet18"):
        recording(network)


if __name__ == "__main__":
    main()
