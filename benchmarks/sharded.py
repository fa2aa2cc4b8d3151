"""Cost of recording a sharded model: time of an update with and without, bytes on disk and network, and their fit."""

from __future__ import annotations

import json
import os
import pickle
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard

import recu_analysis as ra
from recu_analysis.nn import BinaryLinear

ROUNDS = 15
#: Width and number of layers, number of processes, updates in a window.
CASES = [
    (width, layers, ranks, updates)
    for width, layers in ((256, 2), (512, 4), (1024, 8))
    for ranks in (1, 2, 4)
    for updates in (2, 6)
]
#: What is read off: weights, layers, processes, updates in a window, share of the weights that flip in it.
LARGE = (8_000_000_000, 224, 64, 1000, 0.1)


def training(width: int, layers: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A stack of binary layers, every layer sharded by itself, and SGD."""
    torch.manual_seed(0)
    model = nn.Sequential(*(BinaryLinear(width, width, bias=False) for _ in range(layers)))
    for layer in model:
        fully_shard(layer)
    fully_shard(model)
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)


def update(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """One update of a batch of 16."""
    optimizer.zero_grad()
    model(torch.randn(16, model[0].in_features)).square().mean().backward()
    optimizer.step()


def measured(folder: Path, width: int, layers: int, updates: int) -> dict[str, float]:
    """What the second window of this process costs."""
    sent = []
    gather = distributed.all_gather_object

    def counted(found: list[Any], mine: Any, group: Any = None) -> None:
        sent.append(len(pickle.dumps(mine)))
        gather(found, mine, group=group)

    distributed.all_gather_object = counted
    model, optimizer = training(width, layers)
    with ra.record(model, optimizer, folder / "run") as recorder:
        for window in range(2):
            first = len(sent)
            for _ in range(updates):
                update(model, optimizer)
            in_updates = sum(sent[first:]) if window else 0
            recorder.mark()
        told = sum(sent[first:])
    distributed.all_gather_object = gather
    distributed.barrier()
    window = ra.open_run(folder / "run").windows[-1]
    flipped = sum(len(window[name].sparse("flips")[0]) for name in window.specs)
    return {"disk": window.file.size, "flipped": flipped, "told": told, "in_updates": in_updates}


def times(folder: Path, width: int, layers: int) -> dict[str, list[float]]:
    """Seconds of an update with and without recording, by turns."""
    made = {name: training(width, layers) for name in ("off", "on")}
    found: dict[str, list[float]] = {name: [] for name in made}
    with ra.record(*made["on"], folder / "run") as recorder:
        for _ in range(ROUNDS + 2):
            for name, pair in made.items():
                distributed.barrier()
                begin = time.perf_counter()
                update(*pair)
                found[name].append(time.perf_counter() - begin)
        recorder.mark()
    return {name: each[2:] for name, each in found.items()}


def in_processes(ranks: int, what: Any, *arguments: Any) -> Any:
    """What a function returns in the first of several forked processes, which share a folder."""
    with tempfile.TemporaryDirectory() as name:
        folder, pids = Path(name), []
        for rank in range(ranks):
            pids.append(os.fork())
            if not pids[-1]:
                code = 1
                try:
                    torch.set_num_threads(1)
                    group = {"rank": rank, "world_size": ranks, "init_method": f"file://{folder}/store"}
                    distributed.init_process_group("gloo", **group)
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        result = what(folder, *arguments)
                    if rank == 0:
                        (folder / "result").write_text(json.dumps(result))
                    code = 0
                finally:
                    os._exit(code)
        for pid in pids:
            os.waitpid(pid, 0)
        return json.loads((folder / "result").read_text())


def fitted(terms: list[list[float]], values: list[float]) -> tuple[np.ndarray, float]:
    """Coefficients by least squares of relative errors, and the largest relative error."""
    a, b = np.array(terms, float), np.array(values, float)
    found = np.linalg.lstsq(a / b[:, None], np.ones(len(b)), rcond=None)[0]
    return found, float(np.abs(a @ found / b - 1.0).max())


def main() -> None:
    """Print the time of an update, the bytes of every case, the fits and what they give for a large model."""
    disk, network = ([], []), ([], [])
    print("width layers ranks updates   disk/window   told/process and window")
    for width, layers, ranks, updates in CASES:
        found = in_processes(ranks, measured, width, layers, updates)
        assert found["in_updates"] == 0, "an update needs no communication"
        print(f"{width:5} {layers:6} {ranks:5} {updates:7} {found['disk']:13,} {found['told']:13,}", flush=True)
        disk[0].append([width * width * layers, found["flipped"], ranks * layers, ranks])
        disk[1].append(found["disk"])
        network[0].append([layers * updates, layers, 1])
        network[1].append(found["told"])
    weights, layers, ranks, updates, flips = LARGE
    of_disk, disk_error = fitted(*disk)
    of_network, network_error = fitted(*network)
    print("disk of a window: {:.2f} B a weight + {:.2f} B a flipped weight + {:.0f} B a layer and shard + {:.0f} B a "
          "shard".format(*of_disk), f"(largest error {disk_error:.2%})")  # fmt: skip
    print("told by a process and window: {:.1f} B a layer and update + {:.0f} B a layer + {:.0f} B".format(*of_network),
          f"(largest error {network_error:.2%})")  # fmt: skip
    size = of_disk @ [weights, flips * weights, ranks * layers, ranks]
    told = of_network @ [layers * updates, layers, 1]
    print(f"read off at {weights / 1e9:.0f} B weights, {layers} layers, {ranks} processes, {updates} updates, "
          f"{flips:.0%} flipped: disk {size / 1e9:.0f} GB a window, {size / ranks / 1e9:.2f} GB a process; a process "
          f"tells {told / 1e6:.1f} MB a window and receives {told * (ranks - 1) / 1e6:.0f} MB")  # fmt: skip
    for width, layers in ((512, 4), (1024, 8)):
        taken = in_processes(2, times, width, layers)
        off, on = (np.array(taken[name]) for name in ("off", "on"))
        low, middle, high = np.quantile(on / off, [0.25, 0.5, 0.75])
        print(f"an update of {width * width * layers / 1e6:.1f} M weights in 2 processes: "
              f"{1e3 * np.median(off):.1f} ms off, {1e3 * np.median(on):.1f} ms on; ratio {middle:.2f} "
              f"(quartiles {low:.2f} to {high:.2f})")  # fmt: skip


if __name__ == "__main__":
    main()
