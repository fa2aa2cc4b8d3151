"""Cost of a window at 11 M weights: delay of the training thread, and time to disk beside other formats."""

from __future__ import annotations

import importlib.util
import os
import tempfile
import time
from itertools import count as count_up
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.numpy import save_file

import recu_analysis as ra
from benchmarks.kernel import SHAPES
from benchmarks.timing import ratio_line, take_turns
from recu_analysis.nn import BinaryConv2d

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 7
#: Updates per window and their size: about 5 % of the weights flip, as in an epoch of a training after the first.
UPDATES, RATE = 4, 0.05
WINDOW, RAW = "the window, marked and durable on disk", "plain write and fsync of its bytes"
BLOCKED, CLONE = "of it, what the training waits", "clone of its weights, paths and zpaths"


class Network(torch.nn.Module):
    """Binary convolutions with the sizes of a ResNet-18, without a forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(BinaryConv2d(wide, deep, 3, bias=False) for deep, wide in SHAPES)


def main() -> None:
    """Print times, ratios, and bytes per weight."""
    torch.manual_seed(0)
    model = Network()
    weights = [layer.weight for layer in model.layers]
    count = sum(weight.numel() for weight in weights)
    optimizer = torch.optim.SGD(weights, lr=RATE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recorder = ra.record(model, optimizer, folder / "run")

        def move() -> None:
            os.sync()  # otherwise unwritten data of others would count for the next contestant that syncs
            for _ in range(UPDATES):
                for weight in weights:
                    weight.grad = torch.randn_like(weight) * weight.std()
                optimizer.step()

        move()
        recorder.mark()
        recorder.flush()
        arrays = _arrays(ra.open_run(folder / "run"))
        dense = [torch.from_numpy(array.copy()) for name, array in arrays.items() if name.split("/")[0] in _DENSE]
        blocked: list[float] = []
        held: list[torch.Tensor] = []
        number = count_up()

        def window() -> None:
            start = time.perf_counter()
            recorder.mark()
            blocked.append(time.perf_counter() - start)
            recorder.flush()

        contestants: dict[str, Callable[[], object]] = {
            "(updates)": move,
            WINDOW: window,
            # Files are kept, as a run keeps its windows: memory of a deleted file would make the next write faster.
            RAW: lambda: _raw(folder / f"raw-{next(number)}", arrays),
            CLONE: lambda: held.__setitem__(slice(None), [tensor.clone() for tensor in dense]),
            "safetensors, no fsync": lambda: save_file(arrays, folder / f"{next(number)}.safetensors"),
            "torch.save, no fsync": lambda: torch.save(arrays, folder / f"{next(number)}.pt"),
            **_histograms(weights, folder),
        }
        times = take_turns(contestants, ROUNDS)
        recorder.close()
    times[BLOCKED] = np.array(blocked[1:])
    stored = sum(array.nbytes for array in arrays.values())
    print(f"a window of {count / 1e6:.1f} M weights in {len(SHAPES)} layers, {stored / count:.1f} bytes a weight")
    for name in (BLOCKED, *(each for each in contestants if not each.startswith("("))):
        print(f"  {name:44} {1e3 * np.median(times[name]):8.1f} ms")
    for of, to in ((BLOCKED, CLONE), (WINDOW, RAW)):
        print("  " + ratio_line(times, of, to))


_DENSE = ("weight", "path", "zpath")


def _arrays(run: ra.Run) -> dict[str, np.ndarray]:
    """The tensors of the last window, by their names in its shard."""
    from safetensors.numpy import load_file

    (shard,) = (run.path / "history/segment-0000" / f"window-{run.windows[-1].number:06}").iterdir()
    return load_file(shard)


def _raw(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        for array in arrays.values():
            file.write(array.data)
        file.flush()
        os.fsync(file.fileno())


def _histograms(weights: list[torch.Tensor], folder: Path) -> dict[str, Callable[[], object]]:
    """Histograms of the weights in other libraries, if these are installed."""
    found: dict[str, Callable[[], object]] = {}
    if importlib.util.find_spec("tensorboard"):
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(folder / "board")
        found["TensorBoard add_histogram, weights"] = lambda: [
            writer.add_histogram(str(index), weight) for index, weight in enumerate(weights)
        ]
    if importlib.util.find_spec("wandb"):
        import wandb

        found["wandb.Histogram, weights"] = lambda: [wandb.Histogram(weight.detach()) for weight in weights]
    return found


if __name__ == "__main__":
    main()
