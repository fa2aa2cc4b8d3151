"""Time to read a long run of 11 M weights: dead-weights beside plain reads of the same files and plain numpy.

Run as ``python -m benchmarks.analysis [WINDOWS]``; each of the WINDOWS (50) windows needs 150 MB in the temporary
folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.long_run import write_long_run
from benchmarks.timing import ratio_line, take_turns

if TYPE_CHECKING:
    from collections.abc import Sequence

WINDOWS, ROUNDS = 50, 3
_BUFFER = bytearray(1 << 20)
_MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def main() -> None:
    """Print the seconds of each contestant, ratios, growth with windows, and peak memory of a separate process."""
    windows = int(sys.argv[1]) if len(sys.argv) > 1 else WINDOWS
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        write_long_run(path, windows)
        files = sorted(path.glob("history/*/*/*.safetensors"))
        size = sum(file.stat().st_size for file in files)
        print(f"analysis, {windows} windows of 11 M weights, {size / 1e9:.1f} GB, cached, {ROUNDS} rounds")
        _beside_plain_ways(path, files, windows)
        _growth(path, windows)
        _table(path, windows)
        _memory(path, windows)


def _beside_plain_ways(path: Path, files: Sequence[Path], windows: int) -> None:
    contestants = {
        "dead-weights": lambda: dead(path, windows),
        "readinto": lambda: readinto(files),
        "cat": lambda: subprocess.run(["cat", *files], check=True, stdout=subprocess.DEVNULL),
        "plain numpy": lambda: plain(files),
    }
    times = take_turns(contestants, ROUNDS)
    for name, values in times.items():
        print(f"  {name:28} {np.median(values):7.2f} s")
    for of, to in (("dead-weights", "readinto"), ("dead-weights", "cat"), ("plain numpy", "dead-weights")):
        print("  " + ratio_line(times, of, to))


def _growth(path: Path, windows: int) -> None:
    lengths = sorted({max(1, windows // 4), max(1, windows // 2), windows})
    times = take_turns({str(length): lambda length=length: dead(path, length) for length in lengths}, ROUNDS)  # type: ignore[misc]
    shown = ", ".join(f"{length}: {np.median(times[str(length)]):.2f} s" for length in lengths)
    print(f"  dead-weights by windows: {shown}")


def _table(path: Path, windows: int) -> None:
    from recu_analysis import layer_table, open_run

    times = take_turns({"table": lambda: layer_table(open_run(path), windows=windows)}, ROUNDS)
    print(f"  layer_table, a window: {np.median(times['table']):.2f} s")


def _memory(path: Path, windows: int) -> None:
    for command in (["--windows", f"1:{windows + 1}"], []):
        arguments = [sys.executable, "-m", "recu_analysis", "dead-weights", str(path), *command]
        # A process in between, because the memory of this process would be counted too.
        done = subprocess.run([sys.executable, "-c", _MEASURE, *arguments], check=True, stdout=subprocess.PIPE)
        print(
            f"  peak memory, dead-weights {' '.join(command) or 'without --windows'}: {int(done.stdout) / 1024:.0f} MB"
        )


def dead(path: Path, windows: int) -> None:
    """The work of the command; the run is opened again, so that every checksum is checked."""
    from recu_analysis import dead_weights, open_run
    from recu_analysis.analysis.selection import WindowSpan

    dead_weights(open_run(path), windows=WindowSpan(1, windows + 1))


def readinto(files: Sequence[Path]) -> None:
    """Read every byte into one buffer."""
    for file in files:
        with file.open("rb", buffering=0) as stream:
            while stream.readinto(_BUFFER):
                pass


def plain(files: Sequence[Path]) -> dict[str, tuple[float, ...]]:
    """The same work as in a notebook: load every window completely, without checks, and use numpy expressions."""
    from safetensors.numpy import load_file

    layers: dict[str, dict[str, Any]] = {}
    for file in files:
        tensors = load_file(file)
        for name in [name.removeprefix("weight/") for name in tensors if name.startswith("weight/")]:
            weight = tensors[f"weight/{name}"].astype(np.float64).reshape(len(tensors[f"weight/{name}"]), -1)
            z = ((weight - weight.mean(axis=1, keepdims=True)) / weight.std(axis=1, ddof=1, keepdims=True)).ravel()
            flips = np.zeros(weight.size, np.int64)
            flips[tensors[f"flipped/{name}"]] = tensors[f"flips/{name}"]
            sums = {kind: tensors[f"{kind}/{name}"].astype(np.float64).ravel() for kind in ("path", "zpath")}
            known = layers.setdefault(name, {"z": z, "path": 0.0, "zpath": 0.0, "flips": 0})
            layers[name] = {"z": known["z"], "z_end": z, "flips": known["flips"] + flips} | {
                kind: known[kind] + values for kind, values in sums.items()
            }
    return {name: _plain_row(**known) for name, known in layers.items()}


def _plain_row(z: Any, z_end: Any, flips: Any, path: Any, zpath: Any) -> tuple[float, ...]:
    distance = np.abs(z)
    tail, silent = distance > np.quantile(distance, 0.7), flips == 0
    still = zpath < 0.1 * np.median(zpath)
    masks = (tail & silent, tail, silent, still, tail & still, silent[tail], silent[~tail])
    means = (zpath[tail], zpath[~tail], path[tail], path[~tail], z * z_end)
    return tuple(float(values.mean()) for values in (*masks, *means))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
