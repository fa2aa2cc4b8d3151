"""Saving and loading the state of a recording, so that it can continue in the middle of a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from recu_analysis.capture.effective import EffectiveAccumulator
from recu_analysis.capture.environment import environment
from recu_analysis.capture.levels import CpuLevels, DeviceLevels
from recu_analysis.capture.rank_zero import AnyWriter, IdleWriter
from recu_analysis.errors import InputError, RecorderError, StoreError
from recu_analysis.store.format import RUN_FILE
from recu_analysis.store.header import LayerWindow
from recu_analysis.store.joined import ROWS, JoinedFile
from recu_analysis.store.locked_folder import absolute
from recu_analysis.store.object_path import ObjectPath
from recu_analysis.store.object_writer import ObjectRunWriter
from recu_analysis.store.places import lexists
from recu_analysis.store.quantities import rows_of
from recu_analysis.store.run import open_run, read_header
from recu_analysis.store.shard_writer import FirstShardWriter, ShardWriter
from recu_analysis.store.starting import check_same_channels, check_same_weights
from recu_analysis.store.state import LayerState, nothing
from recu_analysis.store.writer import RunWriter

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from recu_analysis.capture.accumulate import Array
    from recu_analysis.capture.layer_recording import LayerRecording
    from recu_analysis.capture.ranks import Alone
    from recu_analysis.store.window import LayerRecord, Window


@dataclass(slots=True)
class RecordingPosition:
    """Position of a recording.

    Attributes
    ----------
    updates, window_start : list of int, one entry per optimizer
        Number of the last update, and of the last update before the open window.
    unmarked : int or None
        The window that was just closed without a mark; the next mark belongs to it.
    """

    updates: list[int]
    window_start: list[int]
    unmarked: int | None = None

    def tensors(self) -> dict[str, torch.Tensor]:
        """The fields as int64 tensors, with -1 for None."""
        unmarked = -1 if self.unmarked is None else self.unmarked
        fields = {"updates": self.updates, "window_start": self.window_start, "unmarked": [unmarked]}
        return {name: torch.tensor(numbers, dtype=torch.int64) for name, numbers in fields.items()}

    @classmethod
    def first(cls, optimizers: int, resume: int | None, state: Mapping[str, torch.Tensor] | None) -> Self:
        """The position at which a recording begins: that of `state`, or no open window after update `resume`."""
        if state is not None:
            return cls._from_state(state, optimizers, resume)
        return cls([resume or 0] * optimizers, [resume or 0] * optimizers)

    @classmethod
    def _from_state(cls, state: Mapping[str, torch.Tensor], optimizers: int, resume: int | None) -> Self:
        """Read the position from a state; raise InputError if it does not fit the number of optimizers or `resume`."""
        try:
            updates, start = (state[name].tolist() for name in ("updates", "window_start"))
            unmarked = int(state["unmarked"].item())
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError):
            raise InputError("state= is not a state from Recorder.state_dict()") from None
        if not len(updates) == len(start) == optimizers:
            raise InputError(f"state= is of a recording with {len(updates)} optimizers, not with {optimizers}")
        if resume not in {None, max(updates)}:
            raise InputError(f"state= was taken at update {max(updates)}, not at {resume}; omit resume=")
        return cls(updates, start, None if unmarked < 0 else unmarked)


def begin(
    path: Path,
    recordings: Sequence[LayerRecording],
    position: RecordingPosition,
    ranks: Alone,
    *,
    resume: int | None,
    state: Mapping[str, torch.Tensor] | None,
    configuration: Mapping[str, Any],
    quantities: Sequence[str],
    about: Mapping[str, Any],
) -> AnyWriter:
    """Open a run for writing and write the state at which the recording begins or continues.

    Parameters
    ----------
    path : Path
        The run directory.
    recordings : sequence of LayerRecording
    position : RecordingPosition
        Changed in place if the optimizers of a resumed run have different counts.
    ranks : Alone
        The processes that record the model; every one of them calls this function.
    resume, state, configuration, quantities
        As for `record`.
    about : mapping
        Further entries of the environment.
    """
    path = absolute(path)
    writer: AnyWriter = IdleWriter()
    try:
        before: dict[str, LayerState] | None = None
        with ranks.agreeing():
            if ranks.sharded and isinstance(path, ObjectPath):
                raise RecorderError(
                    f"a sharded model cannot be recorded into {path}; record into a folder that all processes see"
                )
            if ranks.records:
                if (state is not None or resume is not None) and lexists(path / RUN_FILE):
                    _adopt(path, recordings, state)
                if state is not None:
                    load(recordings, state)
                    resume = max(position.window_start)
                    before = window_before(path, recordings, resume)
                elif resume is not None and lexists(path / RUN_FILE):
                    before = _taken_up(path, recordings, position, resume)
            before = before or {recording.layer.name: recording.take() for recording in recordings}
        ranks.finish(recordings, before, writer, {})
        with ranks.agreeing():
            if ranks.records and ranks.shard[0] == 0:
                remote = isinstance(path, ObjectPath)
                writer = (FirstShardWriter if ranks.sharded else ObjectRunWriter if remote else RunWriter)(
                    path,
                    [recording.run_spec for recording in recordings],
                    configuration=configuration,
                    environment=environment() | dict(about),
                    resume=resume,
                    start=before,
                    quantities=rows_of(quantities, levels=any(not each.spec.quantizer.binary for each in recordings)),
                    shards=ranks.shard[1],
                )
            elif ranks.records and resume is not None:
                _check_weights(path, before, resume)
        if ranks.sharded:
            writer = _joined_in(ranks, writer)
        with ranks.agreeing():
            last = resume or 0
            writer.write_window(before, first_update=last + 1, last_update=last)
            writer.flush()  # if the disk fails here, the start fails and is undone
    except BaseException:
        writer.abandon()
        raise
    return writer


def _check_weights(path: Path, before: Mapping[str, LayerState], resume: int) -> None:
    """Raise StoreError unless the rows of this process are those at the end of the window before, if there is one."""
    ended = ended_window(path, resume)
    if ended is not None:
        check_same_weights(ended, before, path)


def _joined_in(ranks: Alone, writer: AnyWriter) -> AnyWriter:
    """The writer of this process beside that of the first one, which has made the segment."""
    place = next(each for each in ranks.gathered(writer.place if isinstance(writer, RunWriter) else None) if each)
    with ranks.agreeing():
        if ranks.records and ranks.shard[0] > 0:
            return ShardWriter(place, ranks.shard)
    return writer


def unfinished_window_error() -> RecorderError:
    """The error about a state in the middle of a window of a sharded model."""
    return RecorderError(
        "a recording of a sharded model cannot go on in the middle of a window, so it has no state to save or load; "
        "save checkpoints after mark() or close_window(), and continue there with resume="
    )


def name_tensor(run_id: str) -> torch.Tensor:
    """The identifier of a run as a tensor, for a state."""
    return torch.tensor(list(run_id.encode()), dtype=torch.uint8)


def _adopt(path: Path, recordings: Sequence[LayerRecording], state: Mapping[str, torch.Tensor] | None) -> None:
    """Compute z and trace weights as the run in a folder does; raise InputError if the state is of another run."""
    header = read_header(path)
    if state is not None and not torch.equal(name_tensor(header.run_id), state.get("run", torch.empty(0)).cpu()):
        raise InputError(f"state= is not of the run in {path}; pass the folder of the run from which it was taken")
    check_same_channels(header.layers, [recording.run_spec for recording in recordings], path)
    specs = {spec.name: spec for spec in header.layers}
    for recording in recordings:
        spec = specs.get(recording.layer.name, recording.spec)
        if spec.z != recording.spec.z:
            recording.measure_z(spec.z)
        if recording.traces is not None:
            recording.trace(spec.traced)


def _taken_up(
    path: Path, recordings: Sequence[LayerRecording], position: RecordingPosition, update: int
) -> dict[str, LayerState] | None:
    """Continue from the window that ends at an update; return the state of the layers, None without such a window."""
    ended = ended_window(path, update)
    if ended is None or any(ended.specs.get(recording.layer.name) != recording.run_spec for recording in recordings):
        return None
    _count_on(recordings, position, ended)
    _resume_sums(recordings, ended)
    for recording in recordings:
        if _moved_to(ended, recording) == recording.digest_text():
            # Movement after the last update is part of the next one, as in a recording that never stopped.
            recording.begin_from(torch.from_numpy(recording.here(ended[recording.layer.name].weight).copy()))
            recording.outside.counted = recording.moved()  # the earlier window has already counted it
        effective = ended[recording.layer.name].effective if "effective" in ended.quantities else None
        if effective is not None and isinstance(recording.accumulator, EffectiveAccumulator):
            recording.accumulator.take_up(effective)
        _take_up_levels(recording, ended[recording.layer.name])
    return {
        recording.layer.name: _as_stored(recording.take(), recording.here(ended[recording.layer.name].weight))
        for recording in recordings
    }


def _take_up_levels(recording: LayerRecording, ended: LayerRecord) -> None:
    """Continue the states and directions of a layer with more than two levels from a window's end."""
    if isinstance(recording.accumulator, CpuLevels | DeviceLevels):
        recording.accumulator.take_up(ended.step, ended.zero_point, ended.direction)


def _moved_to(ended: Window, recording: LayerRecording) -> str | None:
    """The digest of a layer's weights in the model at the end of a window, if they differ from the stored weights."""
    name, rows = recording.layer.name, recording.rows and list(recording.rows)
    for header in ended.file.headers if isinstance(ended.file, JoinedFile) else (ended.header,):
        moved = header.more.get("moved")
        if isinstance(moved, dict) and name in header.layers and header.layers[name].more.get(ROWS) == rows:
            return moved.get(name)
    return None


def _count_on(recordings: Sequence[LayerRecording], position: RecordingPosition, ended: Window) -> None:
    """Set the update count of every optimizer from its layers, because optimizers may have different counts."""
    counts = list(position.updates)
    for index in range(len(counts)):
        own = {ended[t.layer.name].summary.next_update - 1 for t in recordings if t.optimizer == index}
        counts[index] = own.pop() if len(own) == 1 else counts[index]
    if max(counts) == ended.last_update:
        position.updates[:], position.window_start[:] = counts, counts
        for recording in recordings:
            recording.first_update = counts[recording.optimizer] + 1


def _as_stored(state: LayerState, stored: Array) -> LayerState:
    """Use the stored bytes of the weights if the values are equal; 0 equals -0, and NaN equals NaN."""
    if not np.array_equal(stored, state["weight"], equal_nan=True):
        return state
    return LayerState(state.summary, {**state.arrays, "weight": stored})


def load(recordings: Sequence[LayerRecording], state: Mapping[str, torch.Tensor]) -> None:
    """Restore the open window of every layer; raise InputError if the state does not fit the layers or the weights."""
    for recording in recordings:
        suffix = f"/{recording.layer.name}"
        own = {name.removesuffix(suffix): tensor for name, tensor in state.items() if name.endswith(suffix)}
        try:
            fits = torch.equal(own["digest"].cpu(), recording.digest())
            recording.load(own)
        except (KeyError, TypeError, ValueError, IndexError, RuntimeError, AttributeError):
            raise InputError(
                f"state= does not fit layer {recording.layer.name!r}; pass the state of this recording"
            ) from None
        if not fits:
            raise InputError(
                f"the weights of layer {recording.layer.name!r} differ from those at which state= was taken; load the "
                "model's checkpoint from that time first"
            )


def ended_window(run_dir: str | os.PathLike[str], update: int) -> Window | None:
    """The window of a run that ends at an update, or None."""
    ended = [window for window in open_run(run_dir).windows if window.last_update == update]
    return ended[-1] if ended else None


def _resume_sums(recordings: Sequence[LayerRecording], ended: Window) -> None:
    """Continue quantities that extend over windows, such as averages, from a window's end."""
    for recording in recordings:
        for optional_sum in recording.optional_sums:
            array = (
                ended[recording.layer.name].array(optional_sum.name) if optional_sum.name in ended.quantities else None
            )
            if array is not None:
                optional_sum.resume(recording.here(array))


def window_before(
    run_dir: str | os.PathLike[str], recordings: Sequence[LayerRecording], update: int
) -> dict[str, LayerState]:
    """The state at which the open window of the layers began; raise StoreError if the run does not have it."""
    ended = ended_window(run_dir, update)
    begins = {recording.layer.name: recording.first_update for recording in recordings}
    if ended is None or begins != {name: layer.next_update for name, layer in ended.header.layers.items()}:
        raise StoreError(
            f"{run_dir} has no window that ends at update {update}, where the open window of state= begins; resume the "
            "run from which the state was taken"
        )
    return {name: _end_of(ended[name]) for name in begins}


def _end_of(record: LayerRecord) -> LayerState:
    """The state at the end of a window: its final values, and sums and counts of 0."""
    arrays: dict[str, Any] = {}
    for row in record.window.quantities.values():
        if row.of != "layer":
            last = row.merge == "last"
            array = record.array(row.name) if last else None if row.optional else nothing(row, record.spec)
            arrays |= {} if array is None else {row.name: array}
    summary = LayerWindow(record.summary.next_update, 0, 0.0, 0.0, 0.0, record.summary.tau)
    return LayerState(summary, arrays)
