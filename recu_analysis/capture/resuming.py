"""A recording that stops in the middle of a window and goes on as if it had not: its state, saved and loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch

from recu_analysis.capture.environment import environment
from recu_analysis.errors import InputError, StoreError
from recu_analysis.store.header import LayerWindow
from recu_analysis.store.quantities import rows_of
from recu_analysis.store.run import open_run
from recu_analysis.store.state import LayerState, nothing
from recu_analysis.store.writer import RunWriter

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from recu_analysis.capture.tracks import Track
    from recu_analysis.store.window import LayerRecord, Window


@dataclass(slots=True)
class Position:
    """Where a recording stands.

    Attributes
    ----------
    updates, window_start : list of int, one entry an optimizer
        Number of its last update, and of its last update before the open window.
    unmarked : int or None
        The window that `every` has just closed and that a mark would mean.
    """

    updates: list[int]
    window_start: list[int]
    unmarked: int | None = None

    def tensors(self) -> dict[str, torch.Tensor]:
        """The fields as tensors of int64, -1 for None."""
        unmarked = -1 if self.unmarked is None else self.unmarked
        fields = {"updates": self.updates, "window_start": self.window_start, "unmarked": [unmarked]}
        return {name: torch.tensor(numbers, dtype=torch.int64) for name, numbers in fields.items()}

    @classmethod
    def from_state(cls, state: Mapping[str, torch.Tensor], optimizers: int, resume: int | None) -> Self:
        """The position that `tensors` described; InputError if it is none of as many optimizers, or not at `resume`."""
        try:
            updates, start = (state[name].tolist() for name in ("updates", "window_start"))
            unmarked = int(state["unmarked"].item())
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError):
            raise InputError("the state is not one that state_dict() of a recording gave") from None
        if not len(updates) == len(start) == optimizers:
            raise InputError(f"the state is that of a recording of {len(updates)} optimizers, not of {optimizers}")
        if resume not in {None, max(updates)}:
            raise InputError(f"the state was taken at update {max(updates)}, not at {resume}; leave resume= out")
        return cls(updates, start, None if unmarked < 0 else unmarked)


def begin(
    path: Path,
    tracks: Sequence[Track],
    at: Position,
    *,
    resume: int | None,
    state: Mapping[str, torch.Tensor] | None,
    configuration: Mapping[str, Any],
    quantities: Sequence[str],
    about: Mapping[str, Any],
) -> RunWriter:
    """Open a run, of whose environment `about` says more, and write the state from which it begins or goes on."""
    before: dict[str, LayerState] | None = None
    last = max(at.window_start)
    if state is not None:
        load(tracks, state)
        resume = last
        before = window_before(path, tracks, resume)
    elif resume is not None and any(track.extras for track in tracks):
        go_on(path, tracks, resume)
    writer = RunWriter(
        path,
        [track.spec for track in tracks],
        configuration=configuration,
        environment=environment() | dict(about),
        resume=resume,
        next_updates={track.layer.name: track.first_update for track in tracks},
        quantities=rows_of(quantities),
    )
    before = before or {track.layer.name: track.take() for track in tracks}
    writer.write_window(before, first_update=last + 1, last_update=last)
    return writer


def load(tracks: Sequence[Track], state: Mapping[str, torch.Tensor]) -> None:
    """Take up the open window of every layer; InputError where the state does not fit the layers or their weights."""
    for track in tracks:
        suffix = f"/{track.layer.name}"
        own = {name.removesuffix(suffix): tensor for name, tensor in state.items() if name.endswith(suffix)}
        try:
            fits = torch.equal(own["digest"].cpu(), track.digest())
            track.load(own)
        except (KeyError, TypeError, ValueError, IndexError, RuntimeError, AttributeError):
            raise InputError(f"the state does not fit layer {track.layer.name!r}; it is of another recording") from None
        if not fits:
            raise InputError(
                f"the weights of layer {track.layer.name!r} are not those at which the state was taken; load the "
                "model's checkpoint of that moment first"
            )


def ended_window(run_dir: str | os.PathLike[str], update: int) -> Window | None:
    """The window of a run that ends at an update, if there is one."""
    ended = [window for window in open_run(run_dir).windows if window.last_update == update]
    return ended[-1] if ended else None


def go_on(run_dir: str | os.PathLike[str], tracks: Sequence[Track], update: int) -> None:
    """Let what goes on over windows, such as averages, go on from the window that ended at an update, where one did."""
    ended = ended_window(run_dir, update)
    if ended is None:
        return
    for track in tracks:
        for extra in track.extras:
            array = ended[track.layer.name].array(extra.name) if extra.name in ended.quantities else None
            if array is not None:
                extra.go_on(array)


def window_before(run_dir: str | os.PathLike[str], tracks: Sequence[Track], update: int) -> dict[str, LayerState]:
    """The state, without updates, from which the open window of the tracks began; StoreError if the run has it not."""
    ended = ended_window(run_dir, update)
    begins = {track.layer.name: track.first_update for track in tracks}
    if ended is None or begins != {name: layer.next_update for name, layer in ended.header.layers.items()}:
        raise StoreError(
            f"{run_dir} has no window that ends at update {update}, after which the state's own window begins; resume "
            "the run whose recording gave the state"
        )
    return {name: _end_of(ended[name]) for name in begins}


def _end_of(record: LayerRecord) -> LayerState:
    """The state at the end of a window: what it ended with, and nothing of what updates add."""
    arrays: dict[str, Any] = {}
    for row in record.window.quantities.values():
        if row.of != "layer":
            array = record.array(row.name) if row.merge == "last" else nothing(row, record.spec)
            arrays |= {} if array is None else {row.name: array}
    summary = LayerWindow(record.summary.next_update, 0, 0.0, 0.0, 0.0, record.summary.tau)
    return LayerState(summary, arrays)
