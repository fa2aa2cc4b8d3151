"""Checkpoints that any training left become a run directory, whose movement is net and marked sampled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.capture.adapters.saved import SavedLayer, saved_layers
from recu_analysis.capture.environment import environment
from recu_analysis.errors import InputError, RunExistsError
from recu_analysis.interop.checkpoints import NUMBERS, checkpoint_files, read_state
from recu_analysis.store.durable import whole_folder
from recu_analysis.store.format import LayerWindow
from recu_analysis.store.state import LayerState
from recu_analysis.store.writer import RunWriter
from recu_analysis.theory.standardize import standard_scores

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from recu_analysis.store.format import LayerSpec

#: What numbers the windows of an import, for run.json and for people.
POSITIONS = "positions of the files in their order"


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import made.

    Attributes
    ----------
    path : Path
        The run directory.
    checkpoints : tuple of Path
        In the order of the windows.
    layers : int
        Binary layers.
    numbered_by : str
        What the update numbers of the run are: global_step, epoch, or positions of the files.
    """

    path: Path
    checkpoints: tuple[Path, ...]
    layers: int
    numbered_by: str


@dataclass(frozen=True, slots=True)
class _Plan:
    """The checkpoints in order, their numbers and what these are, and the layers that all of them have."""

    paths: tuple[Path, ...]
    numbers: tuple[int, ...]
    epochs: tuple[int | None, ...]
    numbered_by: str
    specs: tuple[LayerSpec, ...]


def import_checkpoints(
    sources: Sequence[str | Path],
    run_dir: str | Path,
    *,
    layers: Sequence[str] | None = None,
    adapter: str | None = None,
    unsafe_load: bool = False,
    on_file: Callable[[Path], object] = lambda _: None,
) -> Imported:
    """Make a run directory of checkpoints: a window each, the first one without movement.

    Between two checkpoints only the net movement is known: path is abs(w' - w), zpath is abs(z' - z), flips is 0 or
    1. Every window is marked sampled. Learning rates are not known, so their sums are NaN.

    Parameters
    ----------
    sources : sequence of str or Path
        Files, folders of them and patterns; numbered names are taken in natural order, unless the files themselves
        number all of them.
    run_dir : str or Path
        New or empty folder, made whole or not at all.
    layers : sequence of str, optional
        Patterns of the names of the layers to take; by default those that are known by their tensors.
    adapter : str, optional
        What `layers` are, by the name of an adapter; else the plain sign of those that are not recognised.
    unsafe_load : bool
        Restore any Python object in the files, which runs whatever code they contain.
    on_file : callable
        Told of every file before it is read; each is read twice.

    Returns
    -------
    Imported

    Raises
    ------
    CheckpointError
        If a file cannot be read, or a source names none.
    InputError
        If the checkpoints are not of one model, or a layer cannot be taken.
    NoBinaryLayersError
        If no layer is known as binary.
    RunExistsError, StoreError
        If `run_dir` is not empty or cannot be written.
    """
    if adapter is not None and not layers:
        raise InputError(f"name the layers that are {adapter!r} with --layer; --adapter only says what these are")
    folder = Path(run_dir)
    _refuse_occupied(folder)

    def read(path: Path) -> tuple[list[SavedLayer], dict[str, int]]:
        on_file(path)
        state = read_state(path, unsafe_load=unsafe_load)
        return saved_layers(state, layers, adapter), state.numbers

    plan = _plan(checkpoint_files(sources), read)
    with whole_folder(folder) as staging:
        _write(staging, plan, lambda path: read(path)[0])
    return Imported(folder, plan.paths, len(plan.specs), plan.numbered_by)


def _refuse_occupied(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise RunExistsError(f"{folder} is a file; a run needs a folder of its own")
    if folder.exists() and any(folder.iterdir()):
        raise RunExistsError(f"{folder} exists and is not empty; choose another folder")


def _plan(paths: Sequence[Path], read: Callable[[Path], tuple[list[SavedLayer], dict[str, int]]]) -> _Plan:
    """Read every checkpoint once: whether all are of one model, and how they are numbered."""
    specs: tuple[LayerSpec, ...] = ()
    numbers: list[dict[str, int]] = []
    for path in paths:
        layers, own = read(path)
        found = tuple(layer.spec for layer in layers)
        specs = specs or found
        _refuse_other_model(specs, found, paths[0], path)
        numbers.append(own)
    for kind in NUMBERS:
        counted = [own[kind] for own in numbers if kind in own]
        if len(counted) == len(paths) and len(set(counted)) == len(counted):
            order = np.argsort(counted, kind="stable")
            return _Plan(
                tuple(paths[at] for at in order),
                tuple(counted[at] for at in order),
                tuple(numbers[at].get("epoch") for at in order),
                kind,
                specs,
            )
    positions = tuple(range(1, len(paths) + 1))
    return _Plan(tuple(paths), positions, (None,) * len(paths), POSITIONS, specs)


def _refuse_other_model(specs: tuple[LayerSpec, ...], found: tuple[LayerSpec, ...], first: Path, path: Path) -> None:
    expected, given = ({spec.name: spec for spec in each} for each in (specs, found))
    for name in expected | given:
        here, there = expected.get(name), given.get(name)
        if here is None or there is None:
            lacking, having = (first, path) if here is None else (path, first)
            raise InputError(
                f"the checkpoints are not of one model: {having} has the binary layer {name!r}, {lacking} has not"
            )
        if here != there:
            shapes = ["x".join(map(str, spec.shape)) for spec in (here, there)]
            raise InputError(
                f"the checkpoints are not of one model: layer {name!r} is {shapes[0]} ({here.dtype}, {here.adapter}) "
                f"in {first} and {shapes[1]} ({there.dtype}, {there.adapter}) in {path}"
            )


def _write(staging: Path, plan: _Plan, read: Callable[[Path], list[SavedLayer]]) -> None:
    configuration = {"imported": [path.name for path in plan.paths], "update_numbers": plan.numbered_by}
    writer = RunWriter(staging, plan.specs, configuration=configuration, environment=environment(), exact=False)
    try:
        before: dict[str, SavedLayer] = {}
        last = plan.numbers[0]
        for path, number, epoch in zip(plan.paths, plan.numbers, plan.epochs, strict=True):
            now = {layer.spec.name: layer for layer in read(path)}
            if [layer.spec for layer in now.values()] != list(plan.specs):
                raise InputError(f"{path} changed while it was imported; repeat the import when nothing writes to it")
            states = {name: _state(before.get(name), layer, last + 1, number) for name, layer in now.items()}
            window = writer.write_window(states, first_update=last + 1, last_update=number)
            line: dict[str, Any] = {"window": window, "update": number, "checkpoint": path.name}
            writer.write_metrics(line | ({} if epoch is None else {"epoch": epoch}))
            before, last = now, number
    finally:
        writer.close()


def _state(before: SavedLayer | None, now: SavedLayer, first: int, last: int) -> LayerState:
    """The record of one layer from the checkpoint before to this one; without movement where it is the first."""
    updates = last - first + 1
    unknown = math.nan if updates else 0.0
    start = before or now
    flipped = np.flatnonzero(start.negative != now.negative)
    once = np.ones(flipped.size, np.uint32)
    z, z_before = (standard_scores(layer.weight, centre=layer.spec.centre) for layer in (now, start))
    return LayerState(
        weight=now.weight,
        path=np.abs(now.weight.astype(np.float64) - start.weight).astype(np.float32),
        zpath=np.abs(z - z_before).astype(np.float32),
        flipped=flipped.astype(np.uint32),
        flips=once,
        first_flip=once * np.uint32(last),
        last_flip=once * np.uint32(last),
        scale=now.scale,
        summary=LayerWindow(first, updates, unknown, unknown, unknown, now.tau),
        effective=now.effective,
    )
