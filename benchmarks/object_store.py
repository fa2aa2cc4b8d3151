"""Cost of an object store: reading a run beside the library alone and a folder, and recording beside a folder.

The server is a small one of the tests, on this machine: the numbers are of the work, not of a network.
"""

from __future__ import annotations

import os
import tempfile
import time
from itertools import count as count_up
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

import recu_analysis as ra
from benchmarks.timing import ratio_line, take_turns
from recu_analysis.nn import BinaryLinear
from tests.store.objects import BUCKET, ObjectServer

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS, WIDTH, LAYERS, WINDOWS = 7, 512, 6, 4
WHOLE, ALONE = "obstore alone, a request a window", "obstore alone, a request a tensor"
STORE, FOLDER = "every tensor from the store", "every tensor from the folder"
OPEN_STORE, OPEN_FOLDER = "opening the run in the store", "opening the run in the folder"
TO_STORE, TO_FOLDER = "recording into the store", "recording into the folder"


def record(place: str | Path, waited: list[float]) -> None:
    """Record windows of one update each; note how long each mark held the training up."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(*(BinaryLinear(WIDTH, WIDTH, bias=False) for _ in range(LAYERS)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    with ra.record(model, optimizer, place) as recorder:
        for _ in range(WINDOWS):
            optimizer.zero_grad()
            model(torch.randn(32, WIDTH)).square().mean().backward()
            optimizer.step()
            began = time.perf_counter()
            recorder.mark()
            waited.append(time.perf_counter() - began)


def read(run: ra.Run) -> int:
    """Read and check every tensor of a run; return its bytes."""
    return sum(_bytes(window) for window in ra.open_run(run.path).windows)


def _bytes(window: ra.Window) -> int:
    return sum(window.file.read(name, digest).nbytes for name, digest in window.header.digests.items())


def alone(run: ra.Run, *, whole: bool) -> int:
    """Read every window's object by the library: whole, or one request a tensor; return the bytes."""
    import obstore  # of the extra s3
    from obstore.store import S3Store

    store, size = S3Store(BUCKET, client_options={"allow_http": True}), 0
    for window in run.windows:
        key, entries = window.file.path.key, window.file.entries.values()
        ranges = [(0, window.file.size)] if whole else [(entry.start, entry.stop) for entry in entries]
        size += sum(len(obstore.get_range(store, key, start=start, end=stop)) for start, stop in ranges if stop > start)
    return size


def main() -> None:
    """Print times, ratios to the library and to the folder, and the bytes that one layer needs."""
    with tempfile.TemporaryDirectory() as place:
        server, folder = ObjectServer(Path(place) / "objects"), Path(place)
        os.environ.update(server.environment)
        try:
            _measure(server, folder)
        finally:
            server.kill()


def _measure(server: ObjectServer, folder: Path) -> None:
    waited: dict[str, list[float]] = {TO_STORE: [], TO_FOLDER: []}
    record(server.url("read"), [])
    record(folder / "read", [])
    there, here, number = ra.open_run(server.url("read")), ra.open_run(folder / "read"), count_up()
    contestants: dict[str, Callable[[], object]] = {
        WHOLE: lambda: alone(there, whole=True),
        ALONE: lambda: alone(there, whole=False),
        STORE: lambda: read(there),
        FOLDER: lambda: read(here),
        OPEN_STORE: lambda: ra.open_run(there.path),
        OPEN_FOLDER: lambda: ra.open_run(here.path),
        TO_STORE: lambda: record(server.url(f"{next(number)}"), waited[TO_STORE]),
        TO_FOLDER: lambda: record(folder / f"{next(number)}", waited[TO_FOLDER]),
    }
    times = take_turns(contestants, ROUNDS)
    size = sum(window.file.size for window in there.windows)
    print(f"{LAYERS} layers of {WIDTH} x {WIDTH}, {len(there.windows)} windows of {size / 2**20:.1f} MiB together")
    for name, values in times.items():
        print(f"{name:35} {1e3 * np.median(values):8.1f} ms")
    for of, to in ((STORE, ALONE), (STORE, FOLDER), (OPEN_STORE, OPEN_FOLDER), (TO_STORE, TO_FOLDER)):
        print(ratio_line(times, of, to))
    for name, values in waited.items():
        print(f"{name}: a mark held the training up for {1e3 * np.median(values):.1f} ms (median)")
    server.fault()
    run = ra.open_run(there.path)
    opened = server.counts()["read"]
    ra.layer_table(run, layers=run.layer_names[0])
    asked = server.counts()["read"] - opened
    print(f"opening read {opened:,} bytes; the table of one layer {asked:,}, {asked / size:.1%} of the run")
    server.fault({"kind": "far away", "match": "GET", "times": 10**9})
    for threads in (1, 8):
        began = time.perf_counter()
        with ra.workers(threads):
            ra.layer_table(run)
        print(f"the table of all layers, 30 ms a request, {threads} threads: {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
