"""Import of a training's checkpoints into a run directory, with net movement between them, marked as sampled."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xxhash

from recu_analysis.capture.accumulate import warn_of_infinite
from recu_analysis.capture.accumulator_choice import layer_accumulator
from recu_analysis.capture.adapters.state_dict_layers import SavedLayer, saved_layers
from recu_analysis.capture.environment import environment
from recu_analysis.capture.levels import BY
from recu_analysis.capture.optional_sums import optional_sums
from recu_analysis.errors import InputError, RecordingWarning, RunExistsError, kind_of_value, listed
from recu_analysis.interop.checkpoint_files import checkpoint_files, labels
from recu_analysis.interop.checkpoints import NUMBERS, read_state
from recu_analysis.store.durable import whole_folder
from recu_analysis.store.header import LayerWindow
from recu_analysis.store.places import local
from recu_analysis.store.quantities import QUANTITIES, rows_of
from recu_analysis.store.run import open_run
from recu_analysis.store.starting import refuse_inside_run
from recu_analysis.store.state import LayerState
from recu_analysis.store.writer import RunWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run

#: Source of the update numbers if the files have none, for run.json and messages.
POSITIONS = "positions of the files in their order"
#: Limit of update numbers, which must fit the integer type of flip times.
MOST_UPDATES = 2**31
#: Files that a warning names before it counts the rest.
LISTED = 20


@dataclass(frozen=True, slots=True)
class _Plan:
    """The checkpoints in order, their numbers and the source of these, and the layers that all of them have."""

    paths: tuple[Path, ...]
    numbers: tuple[int, ...]
    epochs: tuple[int | None, ...]
    numbered_by: str
    specs: tuple[LayerSpec, ...]
    repeated: list[str]


def import_checkpoints(
    files: str | Path | Sequence[str | Path],
    run_dir: str | Path,
    *,
    layers: Sequence[str] | str | None = None,
    adapter: str | None = None,
    unsafe_load: bool = False,
    on_file: Callable[[Path], object] = lambda _: None,
) -> Run:
    """Make a run directory from checkpoints: one window each, the first one without movement.

    Between two checkpoints only the net movement is known: path is abs(w' - w), zpath is abs(z' - z), flips is 0 or
    1. Every window is marked as sampled. Learning rates are not known, so their sums are NaN.

    Of weights with more than two levels, the states in each checkpoint are exact. Transitions are those from one
    checkpoint to the next. Whether the weight or its threshold changed a state is not known between checkpoints.

    Parameters
    ----------
    files : path or sequence of paths
        Files, folders of files, folders of frameworks such as checkpoint-500 of transformers, and patterns. They are
        ordered by the number that each of them contains (global step or epoch; transformers writes it into
        trainer_state.json beside the model), otherwise by name in natural order.
    run_dir : str or Path
        New or empty folder, written completely or not at all.
    layers : str or sequence of str, optional
        Patterns of the names of the layers to import; by default the layers that are recognized by their tensors.
    adapter : str, optional
        Name of the adapter for `layers`, such as bitnet-b158; by default, layers that are not recognized use the plain
        sign.
    unsafe_load : bool
        Restore any Python object in the files, which runs any code they contain.
    on_file : callable
        Called with the path of every file before it is read; each file is read twice.

    Returns
    -------
    Run
        The new one. Its configuration has the names of the files in the order of the windows (imported), and what the
        numbers of its updates are: global_step, epoch, or positions of the files (update_numbers).

    Raises
    ------
    CheckpointError
        If a file cannot be read, or a source matches no file.
    InputError
        If the checkpoints are not of one model, a layer cannot be imported, or an argument is not a path.
    NoBinaryLayersError
        If no layer is recognized as binary.
    RunExistsError, StoreError
        If `run_dir` is not empty or cannot be written.
    """
    sources = list(files) if isinstance(files, Sequence) and not isinstance(files, str) else [files]
    if not sources:
        raise InputError("no checkpoint is given; give the files of a training, or a folder that holds them")
    if isinstance(layers, str):
        layers = [layers]
    if adapter is not None and not layers:
        raise InputError(f"adapter {adapter!r} applies only to named layers; name them with --layer (layers=)")
    for path in (*sources, run_dir):
        if not isinstance(path, str | os.PathLike):
            raise InputError(f"checkpoints and run_dir must be paths, not {kind_of_value(path)}")
        local(path, "an import")
    folder = Path(run_dir)
    _refuse_occupied(folder)

    def read(path: Path) -> tuple[list[SavedLayer], dict[str, int]]:
        on_file(path)
        state = read_state(path, unsafe_load=unsafe_load)
        return saved_layers(state, layers, adapter), state.numbers

    plan = _plan(checkpoint_files(sources), read)
    if plan.repeated:
        warnings.warn(
            f"left out, because each repeats another file: {listed(plan.repeated, LISTED)}", RecordingWarning, 2
        )
    with whole_folder(folder) as staging:
        _write(staging, plan, lambda path: read(path)[0])
    return open_run(folder)


def _refuse_occupied(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise RunExistsError(f"{folder} is a file; a run needs its own folder")
    if folder.exists() and any(folder.iterdir()):
        raise RunExistsError(f"{folder} exists and is not empty; choose another folder")
    refuse_inside_run(folder)


def _plan(paths: Sequence[Path], read: Callable[[Path], tuple[list[SavedLayer], dict[str, int]]]) -> _Plan:
    """Read every checkpoint once, check that all are of one model, and number them."""
    specs: tuple[LayerSpec, ...] = ()
    numbers: list[dict[str, int]] = []
    contents: list[bytes] = []
    for path in paths:
        layers, own = read(path)
        found = tuple(layer.spec for layer in layers)
        specs = specs or found
        _refuse_other_model(specs, found, paths[0], path)
        numbers.append(own)
        contents.append(_content(layers))
    kept, repeated = _without_repeats(paths, numbers, contents)
    paths, numbers = [paths[index] for index in kept], [numbers[index] for index in kept]
    for kind in NUMBERS:
        counted = [own[kind] for own in numbers if kind in own]
        usable = bool(counted) and 0 <= min(counted) <= max(counted) < MOST_UPDATES
        if usable and len(counted) == len(paths) and len(set(counted)) == len(counted):
            sorted_indices = np.argsort(counted, kind="stable")
            return _Plan(
                tuple(paths[index] for index in sorted_indices),
                tuple(counted[index] for index in sorted_indices),
                tuple(numbers[index].get("epoch") for index in sorted_indices),
                kind,
                specs,
                repeated,
            )
    positions = tuple(range(1, len(paths) + 1))
    return _Plan(tuple(paths), positions, (None,) * len(paths), POSITIONS, specs, repeated)


def _content(layers: list[SavedLayer]) -> bytes:
    """A digest of the weights of a checkpoint, and of their steps."""
    hasher = xxhash.xxh3_128()
    for layer in layers:
        for array in (layer.weight, layer.effective, layer.quantizer.step, layer.quantizer.zero):
            hasher.update(b"" if array is None else np.ascontiguousarray(array).data)
    return hasher.digest()


def _without_repeats(
    paths: Sequence[Path], numbers: list[dict[str, int]], contents: list[bytes]
) -> tuple[list[int], list[str]]:
    """The checkpoints that repeat no other one, and what the others repeat.

    Of two, the one with a recorded number stays, then the one with a number in its name: best.pth repeats epoch3.pth.
    Equal weights at two recorded numbers are no repeat: the training stood still. Nor are two files of one epoch.
    """
    names = labels(paths)
    preferred = sorted(range(len(paths)), key=lambda at: (not numbers[at], re.search("[0-9]", names[at]) is None, at))
    kept: list[int] = []
    repeated = []
    for at in preferred:
        for other in kept:
            same_step = numbers[at].get("global_step", -1) == numbers[other].get("global_step")
            if same_step or (contents[at] == contents[other] and numbers[at] in ({}, numbers[other])):
                what = "step" if same_step else "weights"
                repeated.append(f"{names[at]} (the {what} of {names[other]})")
                break
        else:
            kept.append(at)
    return sorted(kept), repeated


def _refuse_other_model(specs: tuple[LayerSpec, ...], found: tuple[LayerSpec, ...], first: Path, path: Path) -> None:
    expected, given = ({spec.name: spec for spec in each} for each in (specs, found))
    for name in expected | given:
        first_spec, spec = expected.get(name), given.get(name)
        if first_spec is None or spec is None:
            lacking, having = (first, path) if first_spec is None else (path, first)
            raise InputError(
                f"the checkpoints are not of one model: {having} has the binary layer {name!r}, {lacking} does not"
            )
        if first_spec != spec:
            shapes = ["x".join(map(str, each.shape)) for each in (first_spec, spec)]
            raise InputError(
                f"the checkpoints are not of one model: layer {name!r} is {shapes[0]} ({first_spec.dtype}, "
                f"{first_spec.adapter}) in {first} and {shapes[1]} ({spec.dtype}, {spec.adapter}) in {path}"
            )


def _write(staging: Path, plan: _Plan, read: Callable[[Path], list[SavedLayer]]) -> None:
    names = labels(plan.paths)
    configuration = {"imported": names, "update_numbers": plan.numbered_by}
    writer = RunWriter(
        staging,
        plan.specs,
        configuration=configuration,
        environment=environment(),
        exact=False,
        quantities=rows_of(QUANTITIES, levels=any(not spec.quantizer.binary for spec in plan.specs)),
    )
    try:
        imports: dict[str, _Import] = {}
        last = plan.numbers[0]
        for path, label, number, epoch in zip(plan.paths, names, plan.numbers, plan.epochs, strict=True):
            layers = {layer.spec.name: layer for layer in read(path)}
            if [layer.spec for layer in layers.values()] != list(plan.specs):
                raise InputError(f"{path} changed during the import; repeat the import when nothing writes to the file")
            imports = imports or {spec.name: _Import(spec, layers[spec.name]) for spec in plan.specs}
            states = {name: imports[name].take(layer, last + 1, number) for name, layer in layers.items()}
            window = writer.write_window(states, first_update=last + 1, last_update=number)
            warn_of_infinite(states)
            line: dict[str, Any] = {"window": window, "update": number, "checkpoint": label}
            writer.write_metrics(line | ({} if epoch is None else {"epoch": epoch}))
            last = number
    finally:
        writer.close()


class _Import:
    """One layer over the sequence of checkpoints; each checkpoint counts as one update."""

    def __init__(self, spec: LayerSpec, first: SavedLayer) -> None:
        self._now = first
        weight = torch.from_numpy(first.weight)
        self._sums = layer_accumulator(weight, spec, self._effective, QUANTITIES, self._steps)
        self._optional_sums = optional_sums(weight, QUANTITIES)

    def _effective(self) -> torch.Tensor:
        assert self._now.effective is not None  # noqa: S101 - the layer has no transform
        return torch.from_numpy(self._now.effective)

    def _steps(self) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(self._now.quantizer.step), torch.from_numpy(self._now.quantizer.zero)

    def take(self, now: SavedLayer, first: int, last: int) -> LayerState:
        """The record from the previous checkpoint to this one; without movement if no updates lie between.

        Without the counts `BY`: weights and thresholds that grow together change no state in small steps, but in one
        large step each of them would.
        """
        self._now = now
        updates = last - first + 1
        if updates:
            weight = torch.from_numpy(now.weight)
            self._sums.advance(weight, last)
            for optional_sum in self._optional_sums:
                optional_sum.after(weight, last, self._sums)
        arrays = self._sums.take() | {optional_sum.name: optional_sum.take() for optional_sum in self._optional_sums}
        arrays = {name: array for name, array in arrays.items() if name not in BY}
        unknown = math.nan if updates else 0.0
        summary = LayerWindow(first, updates, unknown, unknown, unknown, now.tau)
        return LayerState(summary, arrays if now.scale is None else arrays | {"scale": now.scale})
