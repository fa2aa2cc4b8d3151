"""Training with recording on against off: ResNet-20 on the digits, and at the size of CIFAR."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

import recu_analysis as ra
from benchmarks.timing import ratio, take_turns
from recu_analysis.nn import build_network

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 15


def stepper(size: int, batch: int, steps: int, run_dir: Path | None) -> Callable[[], None]:
    """A training of its own, `steps` updates a call and a mark after them, recorded where a folder is given."""
    torch.manual_seed(0)
    model = build_network("resnet20")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    images, labels = torch.randn(batch, 3, size, size), torch.randint(0, 10, (batch,))
    recorder = ra.record(model, optimizer, run_dir) if run_dir else None

    def run() -> None:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
        if recorder:
            recorder.mark()
            recorder.flush()

    return run


def main() -> None:
    """Print the ratio of training time with recording to that without, a window and its fsync included."""
    for what, size, batch, steps in (("digits, 16x16, batch 64", 16, 64, 22), ("CIFAR's size, batch 128", 32, 128, 8)):
        with tempfile.TemporaryDirectory() as folder:
            contestants = {
                "off": stepper(size, batch, steps, None),
                "on": stepper(size, batch, steps, Path(folder) / "run"),
            }
            times = take_turns(contestants, ROUNDS)
        middle, low, high = ratio(times, "on", "off")
        print(f"ResNet-20, {what}: {steps} updates and a window, {ROUNDS} rounds, {torch.get_num_threads()} threads")
        print(f"  recording on / off: {middle:.4f} (quartiles {low:.4f} to {high:.4f})")


if __name__ == "__main__":
    main()
