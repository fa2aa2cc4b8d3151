"""A run whose windows are cut into shards, as the processes of a sharded training would have written it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import recu_analysis as ra
from recu_analysis.store.joined import ROWS
from recu_analysis.store.sealing import seal
from recu_analysis.store.shard import ShardHeader
from recu_analysis.store.shard_file import save_shard
from recu_analysis.store.state import LayerState
from tests.run_files import window_file

if TYPE_CHECKING:
    from pathlib import Path

    from recu_analysis.store.header import LayerSpec


def cut(path: Path, shards: int) -> Path:
    """Replace every window of a run by shards of as many rows as torch.chunk gives to each."""
    run = ra.open_run(path)
    specs = {spec.name: spec for spec in run.header.layers}
    for window in run.windows:
        file = window_file(path, window.number)
        with safe_open(file, "numpy") as opened:
            header = ShardHeader.from_metadata(opened.metadata(), str(file))
        tensors = load_file(file)
        file.unlink()
        segment = file.parents[1]
        (segment / "staging").mkdir(exist_ok=True)
        for index in range(shards):
            states = {}
            for name, spec in specs.items():
                step = -(-spec.shape[0] // shards)
                first, stop = min(index * step, spec.shape[0]), min((index + 1) * step, spec.shape[0])
                if stop > first:
                    own = {key.partition("/")[0]: value for key, value in tensors.items() if key.endswith(f"/{name}")}
                    summary = replace(header.layers[name], more=header.layers[name].more | {ROWS: [first, stop]})
                    states[name] = LayerState(summary, _rows(own, spec, first, stop, run.header.quantities))
            save_shard(
                segment, replace(header, layers={n: s.summary for n, s in states.items()}), states, (index, shards)
            )
        (segment / "staging").rmdir()
    return path


def _rows(arrays, spec: LayerSpec, first: int, stop: int, quantities):
    """The arrays of some rows of a layer."""
    width = spec.weights // spec.shape[0]
    flipped = arrays["flipped"]
    here = (flipped >= first * width) & (flipped < stop * width)
    traced = np.array([first * width <= at < stop * width for at in spec.traced], bool)
    return {
        name: array[here]
        if (of := quantities[name].of) == "flipped"
        else array[:, traced]
        if of == "traced"
        else array[first:stop]
        for name, array in arrays.items()
    }


def edit_shard(file: Path, change) -> None:
    """Change the header of a shard, whose seal stays right."""
    with safe_open(file, "numpy") as opened:
        header = ShardHeader.from_metadata(opened.metadata(), str(file))
    tensors = load_file(file)
    content = json.loads(header.to_metadata()["header"])
    change(content)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    save_file(tensors, file, metadata={"format": "recu-analysis-window/2", "header": text, "seal": seal(text)})
