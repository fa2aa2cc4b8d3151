"""Time, memory and disk of recording and reading over the number of weights and of windows, with a fit, on one machine.

python -m benchmarks.scale [MOST_MILLIONS]; 250 by default, which needs 20 GB of memory and of disk. Sizes for which the
machine has too little are left out, and that is said.
"""

from __future__ import annotations

import gc
import re
import resource
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import nn

import recu_analysis as ra
from recu_analysis.nn import BinaryLinear

if TYPE_CHECKING:
    from collections.abc import Callable

#: Millions of weights, in layers of at most as many weights as the last has.
SIZES, LAYER = (1, 4, 16, 64, 250), 4096
UPDATES, WINDOWS = 3, 2
#: A run of many windows of a million weights.
MANY = 1000
#: Bytes a weight that a training and its recording hold, with the windows that wait, and bytes of disk left free.
HELD, SPARE = 80, 20 * 2**30


class Row(NamedTuple):
    """What one size costs: seconds of an update with and without recording, of a window, and of two tables."""

    weights: int
    plain: float
    recorded: float
    window: float
    disk: int
    opened: float
    table: float


def model_of(millions: int) -> nn.Module:
    """Binary layers that have so many weights together."""
    width = min(LAYER, round((millions * 1e6) ** 0.5))
    return nn.Sequential(*(BinaryLinear(width, width, bias=False) for _ in range(round(millions * 1e6 / width**2))))


def measured(folder: Path, millions: int) -> Row:
    """Record a model for a few updates with random gradients, and read the run."""
    torch.manual_seed(0)
    model = model_of(millions)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9, weight_decay=5e-4)
    for weight in model.parameters():
        weight.grad = torch.randn_like(weight)
    optimizer.step()  # makes the momentum
    plain = min(_seconds(optimizer.step) for _ in range(UPDATES))
    steps, marks = [], []
    with ra.record(model, optimizer, folder / "run") as recorder:
        for _ in range(WINDOWS):
            steps += [_seconds(optimizer.step) for _ in range(UPDATES)]
            start = time.perf_counter()
            recorder.mark()
            recorder.flush()
            marks.append(time.perf_counter() - start)
    count = sum(weight.numel() for weight in model.parameters())
    del model, optimizer, recorder
    gc.collect()
    start = time.perf_counter()
    run = ra.open_run(folder / "run")
    opened = time.perf_counter() - start
    table = _seconds(lambda: ra.dead_weights(run, windows="1:"))
    disk = run.windows[-1].file.size
    shutil.rmtree(folder / "run")
    return Row(count, plain, min(steps[1:]), min(marks), disk, opened, table)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def many_windows(folder: Path) -> None:
    """Print what a run of many windows costs, at a quarter of them and at all."""
    torch.manual_seed(0)
    model = model_of(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9, weight_decay=5e-4)
    for weight in model.parameters():
        weight.grad = torch.randn_like(weight)
    with ra.record(model, optimizer, folder / "many") as recorder:
        for number in range(1, MANY + 1):
            optimizer.step()
            recorder.mark(epoch=number)
            if number in (MANY // 4, MANY):
                recorder.flush()
                opened = _seconds(lambda: ra.open_run(folder / "many"))
                run = ra.open_run(folder / "many")
                table = _seconds(lambda run=run: ra.dead_weights(run, windows="1:"))
                size = sum(file.stat().st_size for file in (folder / "many").rglob("*") if file.is_file())
                print(
                    f"  {number} windows of 1 M weights: {size / 1e9:.2f} GB, opened in {opened:.2f} s, "
                    f"dead-weights over all {table:.1f} s ({1e9 * table / number / 1e6:.1f} ns a weight and window), "
                    f"largest memory {_peak():.1f} GB",
                    flush=True,
                )
    shutil.rmtree(folder / "many")


def _peak() -> float:
    """Largest memory of this process so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _room(folder: Path, weights: float, windows: int) -> str:
    """What the machine has too little of for a run; empty if it has enough."""
    found = re.search(r"MemAvailable: *(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    memory = 1024 * int(found[1]) if found else 0
    if memory < HELD * weights:
        return f"needs {HELD * weights / 1e9:.0f} GB of memory, and {memory / 1e9:.0f} are free"
    free = shutil.disk_usage(folder).free
    if free - 16 * weights * windows < SPARE:
        return f"would leave less than {SPARE / 2**30:.0f} GB of disk free"
    return ""


def main() -> None:
    """Print a row for each size, the terms of a weight that fit them, and a run of many windows."""
    warnings.simplefilter("ignore")  # there is no forward pass, so the signs are not verified
    most = float(sys.argv[1]) if len(sys.argv) > 1 else SIZES[-1]
    rows = []
    print(
        "weights, M | update, s: without, recorded | ns a weight | window, s | bytes a weight | dead-weights, s | "
        "largest memory, GB"
    )
    with tempfile.TemporaryDirectory() as name:
        for millions in (each for each in SIZES if each <= most):
            lacks = _room(Path(name), millions * 1e6, WINDOWS + 1)
            if lacks:
                print(f"  {millions} M weights are left out: that {lacks}", flush=True)
                continue
            row = measured(Path(name), millions)
            rows.append(row)
            added = 1e9 * (row.recorded - row.plain) / row.weights
            print(
                f"  {row.weights / 1e6:7.2f} | {row.plain:.3f}, {row.recorded:.3f} | {added:.2f} | {row.window:.2f} | "
                f"{row.disk / row.weights:.2f} | {row.table:.2f} | {_peak():.1f}",
                flush=True,
            )
        _print_fit(rows)
        lacks = _room(Path(name), 1e6, MANY)
        if lacks:
            print(f"  the run of {MANY} windows is left out: it {lacks}")
        else:
            many_windows(Path(name))


def _print_fit(rows: list[Row]) -> None:
    """Print slope and rest of each cost over the weights, fitted to relative errors."""
    weights = np.array([row.weights for row in rows], float)
    columns = {
        "an update, in addition": [row.recorded - row.plain for row in rows],
        "a window": [row.window for row in rows],
        "dead-weights over two windows": [row.table for row in rows],
    }
    for what, seconds in columns.items():
        values = np.array(seconds)
        design = np.stack([weights, np.ones_like(weights)], axis=1) / values[:, None]
        slope, rest = np.linalg.lstsq(design, np.ones(len(values)), rcond=None)[0]
        error = np.abs((slope * weights + rest) / values - 1.0).max()
        print(f"  {what}: {1e9 * slope:.2f} ns a weight + {1e3 * rest:.1f} ms, errors of at most {error:.0%}")


if __name__ == "__main__":
    main()
