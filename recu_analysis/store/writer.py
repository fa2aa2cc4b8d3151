"""Writing a run directory: checksummed windows, saved by a background thread with a bounded queue."""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import secrets
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from safetensors.numpy import save_file

from recu_analysis.errors import InputError, RunExistsError, StoreError
from recu_analysis.store import format as names
from recu_analysis.store.durable import as_store_error, check_room, commit, lock_directory, sync_directory
from recu_analysis.store.header import RunHeader
from recu_analysis.store.shard import ShardHeader
from recu_analysis.store.limits import check_recordable
from recu_analysis.store.quantities import QUANTITIES, requests_of, rows_of
from recu_analysis.store.run import open_run
from recu_analysis.store.sealing import digest, dump_json, dump_mark, sealed
from recu_analysis.store.state import window_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.quantities import Quantity
    from recu_analysis.store.state import LayerState

#: Windows for which a disk must have room when a recording begins.
LEAST_WINDOWS = 3
#: Windows that may wait for the disk before the training thread waits for them.
QUEUED_WINDOWS = 2


class RunWriter:
    """A run directory open for writing, by one process at a time.

    Parameters
    ----------
    path : Path
        New or empty, unless `resume` is given.
    layers : sequence of LayerSpec
    configuration, environment : mapping
        What run.json keeps; JSON types only.
    resume : int, optional
        The update at which the model stands that goes on with the run.
    next_updates : mapping, optional
        For every layer the number of its first update after `resume`, where that is not resume + 1.
    exact : bool
        Whether every update will be seen; False for windows made from checkpoints.
    quantities : mapping of str to Quantity, optional
        The rows of `store.quantities` that the run keeps; by default the usual ones.
    more : mapping, optional
        Further fields of run.json.

    Raises
    ------
    InputError
        If readers would refuse the run: two layers of one name, names or a configuration too long.
    RunExistsError
        If the directory is not empty and `resume` is not given.
    StoreError
        If it cannot be written, another process writes to it, or the run has other layers.
    NoRoomError
        If the disk cannot hold three windows.
    """

    def __init__(
        self,
        path: Path,
        layers: Sequence[LayerSpec],
        *,
        configuration: Mapping[str, Any],
        environment: Mapping[str, Any],
        resume: int | None = None,
        next_updates: Mapping[str, int] | None = None,
        exact: bool = True,
        quantities: Mapping[str, Quantity] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = path
        self.start_update = resume or 0
        self._layers = tuple(layers)
        self._exact = exact
        self._next_updates = dict(next_updates or {})
        self._error: Exception | None = None
        self._closed = self._released = False
        self._process = os.getpid()
        self._marks = 0
        kept = dict(rows_of(QUANTITIES) if quantities is None else quantities)
        header = RunHeader(
            secrets.token_hex(8), self._layers, dict(configuration), dict(environment), kept, more=dict(more or {})
        )
        check_recordable(header)
        check_room(
            path,
            LEAST_WINDOWS * window_bytes(layers, requests_of(kept)),
            f"a recording of {sum(layer.weights for layer in layers)} weights",
        )
        with as_store_error(path, "cannot be prepared for recording"):
            _refuse_existing(path, resume)
            path.mkdir(parents=True, exist_ok=True)
            self._lock = lock_directory(path)
            try:
                _refuse_existing(path, resume)  # again: another process may have come and gone meanwhile
                self._prepare(header, resume)
            except BaseException:
                os.close(self._lock)
                raise
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(QUEUED_WINDOWS)
        self._thread = threading.Thread(target=self._work, name="recu-analysis writer", daemon=True)
        self._thread.start()
        # Without this, a process that ends without close() would lose the windows that still wait.
        atexit.register(self._finish)

    def _prepare(self, header: RunHeader, resume: int | None) -> None:
        history = self.path / names.HISTORY
        if history.is_symlink():
            raise StoreError(f"{history} is a link, which readers do not follow; put the folder itself there")
        history.mkdir(exist_ok=True)
        _sweep(history)
        if resume is None:
            self.run_id = header.run_id
            commit(
                history, self.path / names.RUN_FILE, lambda file: file.write_text(header.to_json(), encoding="utf-8")
            )
            segment, self._next_window = 0, 0
        else:
            self.run_id, segment, self._next_window = self._continue(resume, header)
        self._segment = segment
        self._folder = history / names.segment_name(segment)
        self._folder.mkdir()
        self._staging = self._folder / names.STAGING
        self._staging.mkdir()
        start = {
            "format": names.FORMAT_VERSION,
            "segment": segment,
            "start_update": self.start_update,
            "world_size": 1,
            "environment": header.environment,
        }
        line = dump_json(sealed(start))
        commit(self._staging, self._folder / names.SEGMENT_FILE, lambda file: file.write_text(line, encoding="utf-8"))
        sync_directory(history)
        sync_directory(self.path)

    def _continue(self, resume: int, header: RunHeader) -> tuple[str, int, int]:
        """Run id, segment number and window number with which a resumed run goes on."""
        run = open_run(self.path)
        check_resumable(run.header, self.path)
        _check_same_layers(run.header.layers, header.layers, self.path)
        _check_same_quantities(run.header.quantities, header.quantities, self.path)
        last = max((window.last_update for window in run.windows), default=0)
        if resume < 0 or resume > last:
            raise InputError(f"{self.path} cannot be resumed at update {resume}: it was recorded up to update {last}")
        kept = [window for window in run.windows if window.last_update <= resume]
        ends_here = bool(kept) and all(
            layer.next_update == self._next_updates.get(name, resume + 1)
            for name, layer in kept[-1].header.layers.items()
        )
        number = max((window.number for window in kept), default=-1)
        return run.header.run_id, run.next_segment, number if ends_here else number + 1

    def write_window(
        self,
        states: Mapping[str, LayerState],
        *,
        first_update: int,
        last_update: int,
        partial: bool = False,
        number: int | None = None,
        exact: bool | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> int:
        """Queue a window and return its number; waits only while the queue is full.

        `number` names a window that had its name before, above all others here; `exact` differs from the run's where
        it has windows of both kinds; `more` are further fields of the header.

        Raises
        ------
        StoreError
            If an earlier window could not be written; nothing is written after it.
        """
        self._require_open()
        number = self._next_window if number is None else number
        self._next_window = number + 1
        seen = self._exact if exact is None else exact
        header = ShardHeader(
            run_id=self.run_id,
            segment=self._segment,
            window=number,
            first_update=first_update,
            last_update=last_update,
            exact=seen,
            partial=partial,
            layers={layer: state.summary for layer, state in states.items()},
            digests={},
            more=dict(more or {}),
        )
        self._queue.put(lambda: self._save_window(header, states))
        return number

    def write_metrics(self, line: Mapping[str, Any]) -> None:
        """Queue one line of metrics, appended after the windows queued before it."""
        self._require_open()
        self._marks += 1
        text = dump_mark(line, self._marks)
        self._queue.put(lambda: self._append_metrics(text))

    def refuse(self, reason: str) -> None:
        """Leave word, for whoever reads the run, that what was recorded is not to be trusted, and why."""
        self._require_open()
        text = dump_json(sealed({"format": names.FORMAT_VERSION, "segment": self._segment, "reason": reason}))
        self._queue.put(
            lambda: commit(
                self._staging, self.path / names.REFUSED_FILE, lambda file: file.write_text(text, encoding="utf-8")
            )
        )

    def flush(self) -> None:
        """Return when everything queued is on disk; raises what went wrong."""
        if self._thread.is_alive():
            self._queue.join()
        self._raise_error()

    def close(self) -> None:
        """Write what is queued, stop the thread and release the directory; raises what went wrong. May be repeated."""
        self._finish()
        self._raise_error()

    def _finish(self) -> None:
        # A child that was forked has neither the thread nor anything of its own to write.
        if self._released or os.getpid() != self._process:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._released = True  # not before: Ctrl-C may have ended the wait, and then close() or the exit goes on
        with contextlib.suppress(OSError):
            self._staging.rmdir()
        os.close(self._lock)
        atexit.unregister(self._finish)

    def _require_open(self) -> None:
        self._raise_error()
        if self._closed:
            raise StoreError(f"the recording into {self.path} is closed; nothing more can be written")

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            # After an error nothing more is written: the next window would not follow on the last one.
            if self._error is None:
                try:
                    with as_store_error(self.path, "cannot be written"):
                        task()
                except Exception as error:  # raised on the training thread, at its next call
                    self._error = error
            self._queue.task_done()
        self._queue.task_done()

    def _save_window(self, header: ShardHeader, states: Mapping[str, LayerState]) -> None:
        number = header.window
        tensors = {name: array for layer, state in states.items() for name, array in state.tensors(layer).items()}
        check_room(self.path, sum(array.nbytes for array in tensors.values()), f"window {number}")
        header = replace(header, digests={name: digest(name, array) for name, array in tensors.items()})
        folder = self._folder / names.window_name(number)
        folder.mkdir(exist_ok=True)
        commit(
            self._staging,
            folder / names.shard_name(0, 1),
            lambda file: save_file(tensors, file, metadata=header.to_metadata()),
        )
        sync_directory(self._folder)

    def _append_metrics(self, text: str) -> None:
        path = self._folder / names.METRICS_FILE
        is_new = not path.exists()
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync_directory(self._folder)


def check_resumable(header: RunHeader, path: Path) -> None:
    """StoreError where a run has an earlier format, which is read but no longer written."""
    if header.version != names.FORMAT_VERSION:
        raise StoreError(
            f"{path} has format {header.version}, which can be read but not gone on with; begin anew in another folder"
        )


def _refuse_existing(path: Path, resume: int | None) -> None:
    if path.exists() and not path.is_dir():
        raise RunExistsError(f"{path} is a file; a run needs a folder of its own")
    if resume is None and path.is_dir() and not is_unused(path):
        raise RunExistsError(f"{path} exists and is not empty; choose another folder, or resume the run in it")
    if resume is not None and not path.is_dir():
        raise StoreError(f"{path} does not exist, so there is no run to resume")


def is_unused(path: Path) -> bool:
    """Whether a folder is empty but for what a recording leaves that failed before it began."""
    for entry in path.iterdir():
        is_history = entry.name == names.HISTORY and entry.is_dir() and not entry.is_symlink()
        bare = is_history and not any(item.is_dir() for item in entry.iterdir())
        if not bare and entry.name != names.LOCK_FILE:
            return False
    return True


def _sweep(history: Path) -> None:
    """Remove the half-written files that a crash left; no link is followed to them."""
    for staging in (history, *history.glob(f"segment-*/{names.STAGING}")):
        if staging.is_symlink() or staging.parent.is_symlink():
            continue
        for leftover in staging.iterdir():
            if leftover.is_symlink() or leftover.is_file():
                leftover.unlink()


def _listed(quantities: Sequence[str]) -> str:
    return ", ".join(quantities) or "(none)"


def _check_same_quantities(recorded: Mapping[str, Quantity], given: Mapping[str, Quantity], path: Path) -> None:
    """StoreError unless both keep the same of every layer; what only some layers have may be left out."""
    kept, now = ({name for name, row in rows.items() if not row.optional} for rows in (recorded, given))
    if kept != now:
        raise StoreError(
            f"{path} keeps the quantities {_listed(requests_of(recorded))} and cannot go on with "
            f"{_listed(requests_of(given))}; resume it with the same ones (what differs: {_listed(sorted(kept ^ now))})"
        )


def _check_same_layers(recorded: Sequence[LayerSpec], given: Sequence[LayerSpec], path: Path) -> None:
    if tuple(recorded) == tuple(given):
        return
    before, now = {layer.name: layer for layer in recorded}, {layer.name: layer for layer in given}
    different = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    listed = ", ".join(different[:5]) or "their order"
    raise StoreError(f"{path} holds a run of another model and cannot be resumed with this one; what differs: {listed}")
