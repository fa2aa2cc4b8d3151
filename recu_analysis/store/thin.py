"""A smaller copy of a run with fewer, merged windows: no recorded value is lost, only the finer time resolution."""

from __future__ import annotations

import math
import operator
import os
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.errors import DamagedError, InputError, RunExistsError, WindowNotFoundError, kind_of_value
from recu_analysis.store.durable import check_room, whole_folder
from recu_analysis.store.layer_selection import numbers_text, select_layers
from recu_analysis.store.places import local
from recu_analysis.store.record import merged
from recu_analysis.store.run import as_run, open_run
from recu_analysis.store.starting import refuse_inside_run
from recu_analysis.store.state import LayerState
from recu_analysis.store.writer import RunWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import OneRun, Run
    from recu_analysis.store.window import Window

#: Fields of a window's header that describe its end. `moved` has the digests of the model's weights there.
OF_THE_END = ("moved",)


def thin(
    run: OneRun,
    *,
    windows: Iterable[int],
    output: str | os.PathLike[str],
    layers: Sequence[str] | str | None = None,
    on_window: Callable[[int], object] = lambda _: None,
) -> Run:
    """Write a copy of a run with some of its windows; each is merged with the removed windows before it.

    Parameters
    ----------
    run : one Run or path
    windows : iterable of int
        Numbers of the windows to keep, which include the first and the last window. They keep their numbers.
    output : str or path-like
        The new run directory, written completely or not at all.
    layers : str or sequence of str, optional
        Patterns of layer names; all by default.
    on_window : callable
        Called with the number of every window before it is merged.

    Returns
    -------
    Run
        The new run, with the layers, the configuration and the metrics of `run`. Metrics of removed windows have no
        window number. Superseded windows and checkpoints are not copied.

    Raises
    ------
    InputError
        If the first or the last window, or a window next to a gap in the updates, is not kept, or an argument has the
        wrong type.
    DamagedError
        If windows of `run` are damaged.
    LayerNotFoundError, WindowNotFoundError
        If a pattern or a window does not exist.
    RunExistsError, NoRoomError, StoreError
        If `output` exists or lies inside a run, has too little room or cannot be written.
    """
    run = as_run(run)
    if not isinstance(output, str | os.PathLike):
        raise InputError(f"output must be the path of the new run directory, not {kind_of_value(output)}")
    final = local(output, "a thinned run")
    specs = select_layers(run, layers)
    groups = _groups(run, _numbers(windows))
    if final.exists() or final.is_symlink():
        raise RunExistsError(f"{final} already exists; choose another folder for the thinned run")
    refuse_inside_run(final)
    check_room(final, _bytes(groups, specs), f"the thinned run {final}")
    with whole_folder(final) as staging:
        _write(staging, run, specs, groups, on_window)
    return open_run(final)


def _numbers(windows: Iterable[int]) -> set[int]:
    """The numbers of windows that a caller listed; raise InputError if they are not numbers."""
    try:
        return {operator.index(number) for number in windows}
    except TypeError:
        given = kind_of_value(windows)
        raise InputError(f"windows must be a list of numbers, such as [0, 4, 12], not {given}") from None


def _groups(run: Run, kept: set[int]) -> list[list[Window]]:
    """For each kept window, the windows that are merged into it."""
    if run.problems:
        raise DamagedError(f"{run.path} cannot be thinned, because it is damaged: {run.problems[0]}")
    numbers = [window.number for window in run.windows]
    absent = sorted(kept - set(numbers))
    if absent or not numbers:
        has = f"has windows {numbers_text(numbers)}" if numbers else "has no windows"
        raise WindowNotFoundError(f"{run.path} {has}, not {numbers_text(absent)}")
    ends = [number for number in (numbers[0], numbers[-1]) if number not in kept]
    if ends:
        raise InputError(f"{_listed(ends)} must be kept, because a copy without would lose data; add {_added(ends)}")
    groups: list[list[Window]] = [[]]
    for window in run.windows:
        groups[-1].append(window)
        if window.number in kept:
            groups.append([])
    for group in groups[:-1]:
        _require_adjacent(group)
    return groups[:-1]


def _require_adjacent(group: Sequence[Window]) -> None:
    """Raise InputError if a state at which the recording began again would be merged away."""
    for before, window in pairwise(group):
        states = [each.number for each in (before, window) if each.updates == 0]
        if states:
            needed = sorted({before.number, *states} - {group[-1].number})
            raise InputError(
                f"window {states[0]} is a state at which the recording began again and must be kept; "
                f"add {_added(needed)}"
            )
        _ = window.before  # raises an error that names a missing window


def _listed(numbers: Sequence[int]) -> str:
    return f"window {numbers[0]}" if len(numbers) == 1 else f"windows {' and '.join(map(str, numbers))}"


def _added(numbers: Sequence[int]) -> str:
    return f"{','.join(map(str, numbers))} to the windows to keep"


def _bytes(groups: Sequence[Sequence[Window]], specs: Sequence[LayerSpec]) -> int:
    """Maximal bytes of the thinned run, which it has if every flip of a merged window is of another weight."""
    return sum(_layer_bytes(group, spec) for group in groups for spec in specs)


def _layer_bytes(group: Sequence[Window], spec: LayerSpec) -> int:
    entries = [window.file.entries for window in group]
    flipped = sum(math.prod(each[name].shape) for each in entries if (name := f"flipped/{spec.name}") in each)
    total = 0
    for row in group[-1].quantities.values():
        own = [entry for each in entries if (entry := each.get(f"{row.name}/{spec.name}"))]
        if row.of == "flipped":
            total += row.dtype_in(spec.dtype).itemsize * min(flipped, spec.weights)
        else:
            total += sum(entry.stop - entry.start for entry in (own if row.merge == "joined" else own[-1:]))
    return total


def _write(
    staging: Path,
    run: Run,
    specs: Sequence[LayerSpec],
    groups: Sequence[Sequence[Window]],
    on_window: Callable[[int], object],
) -> None:
    source = {"run_id": run.id, "windows": [group[-1].number for group in groups]}
    environment = run.header.environment | {"thinned": source}
    writer = RunWriter(
        staging,
        specs,
        configuration=run.configuration,
        environment=environment,
        quantities=run.header.quantities,
        more=run.header.more,
    )
    try:
        for group in groups:
            on_window(group[-1].number)
            writer.write_window(
                {spec.name: _state(group, spec) for spec in specs},
                first_update=group[0].first_update,
                last_update=group[-1].last_update,
                partial=group[-1].partial,
                number=group[-1].number,
                exact=all(window.exact for window in group),
                more=_kept_as_is(group),
            )
        for mark in run.marks():
            gone = mark.get("window") not in source["windows"]
            writer.write_metrics({**mark, "window": None} if gone else mark)
    finally:
        writer.close()


def _kept_as_is(group: Sequence[Window]) -> dict[str, Any]:
    """Header fields without a merge rule: those of the end come from the last window, others must be equal in all."""
    last = group[-1].header.more
    others = [window.header.more for window in group[:-1]]
    return {
        name: value
        for name, value in last.items()
        if name in OF_THE_END or all(name in other and other[name] == value for other in others)
    }


def _state(group: Sequence[Window], spec: LayerSpec) -> LayerState:
    """One layer of the merged windows, as it is written to disk."""
    whole = merged(group, spec.name)
    flipped = np.flatnonzero(whole.flips)
    arrays: dict[str, NDArray[Any]] = {"weight": whole.end, "flipped": flipped.astype(np.uint32)}
    for row in group[-1].quantities.values():
        value = None if row.of == "layer" or row.name in arrays else whole.part(row.name)
        if value is not None:
            arrays[row.name] = row.stored(value.reshape(-1)[flipped] if row.of == "flipped" else value, spec.dtype)
    return LayerState(whole.summary, arrays)
