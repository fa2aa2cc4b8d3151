"""Time to verify a run beside cat of its files, and to import checkpoints beside torch.load of them alone."""

from __future__ import annotations

import subprocess
import tempfile
from itertools import count as count_up
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

import recu_analysis as ra
from benchmarks.long_run import write_long_run
from benchmarks.timing import ratio_line, take_turns
from recu_analysis.nn import build_network

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOWS, CHECKPOINTS, ROUNDS = 10, 50, 5


def main() -> None:
    """Print the times and their ratios."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_long_run(folder / "run", WINDOWS)
        files = sorted(folder.glob("run/history/*/*/*.safetensors"))
        compare(
            f"verify, {WINDOWS} windows of 11 M weights",
            {
                "verify": lambda: ra.verify(folder / "run"),
                "cat": lambda: subprocess.run(["cat", *files], check=True, stdout=subprocess.DEVNULL),
            },
        )
        saved = checkpoints(folder / "checkpoints")
        number = count_up()
        compare(
            f"import, {CHECKPOINTS} checkpoints of ResNet-20",
            {
                "import": lambda: ra.import_checkpoints(saved, folder / f"imported-{next(number)}"),
                "torch.load": lambda: [torch.load(path, weights_only=True) for path in saved],
            },
        )


def compare(what: str, contestants: dict[str, Callable[[], object]]) -> None:
    """Print the time of each of two contestants, and the ratio of the first to the second."""
    times = take_turns(contestants, ROUNDS)
    print(f"{what}, {ROUNDS} rounds")
    for name, values in times.items():
        print(f"  {name:12} {1e3 * np.median(values):8.0f} ms")
    print("  " + ratio_line(times, *contestants))


def checkpoints(folder: Path) -> list[Path]:
    """Files of a ResNet-20 whose binary weights move a little from each to the next."""
    folder.mkdir()
    torch.manual_seed(0)
    model = build_network("resnet20")
    for at in range(CHECKPOINTS):
        with torch.no_grad():
            for weight in model.parameters():
                weight += 0.01 * torch.randn_like(weight)
        torch.save(model.state_dict(), folder / f"epoch-{at}.pt")
    return sorted(folder.iterdir())


if __name__ == "__main__":
    main()
