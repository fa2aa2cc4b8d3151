"""Cost of recording a sample of the output channels, beside recording all: time of an update, memory, disk."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

import recu_analysis as ra
from benchmarks.timing import take_turns
from recu_analysis.nn import build_network

ROUNDS, SHARE = 15, 0.05


def optimizer_of(folder: Path, share: float | None) -> tuple[torch.optim.Optimizer, ra.Recorder | None]:
    """SGD of a ResNet-18 with random gradients, recorded unless the share is None."""
    torch.manual_seed(0)
    model = build_network("resnet18")
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)
    recorder = None if share is None else ra.record(model, optimizer, folder / str(share), channels=share)
    return optimizer, recorder


def main() -> None:
    """Print the time that recording adds to an update, and the bytes of the sums and of a window, for both."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there is no forward pass, so the states are not verified
        made = {share: optimizer_of(Path(name), share) for share in (None, 1.0, SHARE)}
        times = take_turns({str(share): optimizer.step for share, (optimizer, _) in made.items()}, ROUNDS)
        added = {share: times[str(share)] - times["None"] for share in (1.0, SHARE)}
        memory, disk = {}, {}
        for share in added:
            recorder = made[share][1]
            memory[share] = sum(tensor.nbytes for tensor in recorder.state_dict().values())
            recorder.mark()
            recorder.close()
            disk[share] = ra.open_run(Path(name) / str(share)).windows[-1].file.size
    print(f"an update of a ResNet-18 by SGD, by turns, {ROUNDS} rounds, one thread; without recording "
          f"{1e3 * np.median(times['None']):.0f} ms")  # fmt: skip
    for share, more in added.items():
        print(f"  recording {share:.0%} of the channels: {1e3 * np.median(more):.2f} ms more")
    low, middle, high = np.quantile(added[SHARE] / added[1.0], [0.25, 0.5, 0.75])
    print(f"  time of recording, {SHARE:.0%} / all: {middle:.3f} (quartiles {low:.3f} to {high:.3f})")
    print(f"  sums in memory, {SHARE:.0%} / all: {memory[SHARE] / memory[1.0]:.4f}")
    print(f"  disk, {SHARE:.0%} / all: {disk[SHARE] / disk[1.0]:.4f}")


if __name__ == "__main__":
    main()
