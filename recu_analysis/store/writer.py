"""Writing a run directory: windows with checksums, saved by a background thread."""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from recu_analysis.errors import InputError, StoreError
from recu_analysis.store import format as names
from recu_analysis.store.background import Background
from recu_analysis.store.durable import append, as_store_error, check_room, commit, sync_directory
from recu_analysis.store.ends import end_text
from recu_analysis.store.header import RunHeader
from recu_analysis.store.limits import check_recordable
from recu_analysis.store.locked_folder import absolute
from recu_analysis.store.object_folder import held
from recu_analysis.store.object_path import ObjectPath
from recu_analysis.store.quantities import QUANTITIES, requests_of, rows_of
from recu_analysis.store.replaced import Replaced
from recu_analysis.store.run import open_run
from recu_analysis.store.sealing import dump_json, dump_mark, refusal, sealed
from recu_analysis.store.segments import count_marks
from recu_analysis.store.shard import ShardHeader
from recu_analysis.store.shard_file import ShardPlace, save_shard, window_file_bytes
from recu_analysis.store.starting import (
    check_resumable,
    check_same_layers,
    check_same_quantities,
    check_same_weights,
    refuse_existing,
    sweep,
    window_at,
)
from recu_analysis.store.state import window_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.quantities import Quantity
    from recu_analysis.store.state import LayerState

#: Number of windows for which the disk must have space when a recording begins.
LEAST_WINDOWS = 3


class RunWriter:
    """A run directory open for writing, by one process at a time.

    The writer follows its folder when the folder is moved. A forked child cannot write to it. If the constructor raises
    an error, the folder is restored.

    Parameters
    ----------
    path : Path
        New or empty folder, or one with a recording that was refused before its first update. With `resume`, the folder
        of the run. Or the URL of a folder in an object store, with nothing in it unless the run is resumed.
    layers : sequence of LayerSpec
    configuration, environment : mapping
        Fields of run.json; JSON types only.
    resume : int, optional
        Update of the model with which the run continues.
    start : mapping of str to LayerState, optional
        With `resume`, the state of every layer at that update; a window that ended there must have these weights.
    exact : bool
        Whether every update will be seen; False for windows made from checkpoints.
    quantities : mapping of str to Quantity, optional
        Rows of `store.quantities` that the run keeps; the default rows if not given.
    more : mapping, optional
        Further fields of run.json.
    shards : int
        Number of shards of every window. This writer writes the first one; a `ShardWriter` writes each of the others.

    Attributes
    ----------
    saved : int
        Number of the last window whose shard is on disk; -1 if there is none.

    Raises
    ------
    InputError
        If readers would refuse the run: two layers have the same name, or the names or the configuration are too long.
    RunExistsError
        If the folder is not empty and `resume` is not given.
    StoreError
        If the folder cannot be written, another process writes to it, or the run has other layers, or other weights at
        `resume`.
    NoRoomError
        If the disk has too little space for three windows.
    """

    def __init__(
        self,
        path: Path,
        layers: Sequence[LayerSpec],
        *,
        configuration: Mapping[str, Any],
        environment: Mapping[str, Any],
        resume: int | None = None,
        start: Mapping[str, LayerState] | None = None,
        exact: bool = True,
        quantities: Mapping[str, Quantity] | None = None,
        more: Mapping[str, Any] | None = None,
        shards: int = 1,
    ) -> None:
        path = absolute(path)
        self.saved = -1
        self._shard = (0, shards)
        self.start_update = resume or 0
        self._layers = tuple(layers)
        self._exact = exact
        self._closed = self._released = self._abandoned = False
        self._process = os.getpid()
        self._marks = 0
        self._last_window: int | None = None
        self._made: list[str] = []
        self._replaced = Replaced()
        self._settled = False
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
            refuse_existing(path, resume)
            self._held = held(path)
            try:
                refuse_existing(path, resume)  # again: another process may have written here meanwhile
                self._prepare(header, resume, start or {})
            except BaseException:
                self._held.undo(self._made, self._replaced.put_back)
                raise
        self._background = Background("recu-analysis writer")
        # Without this, a process that ends without close() would lose its queued windows.
        atexit.register(self._finish)

    @property
    def path(self) -> Path:
        """Path of the run directory, as of the last write."""
        return self._held.path

    @property
    def _folder(self) -> Path:
        return self._held.root / names.HISTORY / names.segment_name(self._segment)

    @property
    def _staging(self) -> Path:
        return self._folder / names.STAGING

    def _prepare(self, header: RunHeader, resume: int | None, start: Mapping[str, LayerState]) -> None:
        history = self.path / names.HISTORY
        if history.is_symlink():
            raise StoreError(f"{history} is a link, which readers do not follow; replace it by the folder itself")
        before: dict[str, int] = {}
        if resume is None:
            self._replaced.take(self._held.root)
            self._header, self._segment, self._next_window = header, 0, 0
            self._made += [names.RUN_FILE, names.REFUSED_FILE]
        else:
            before = self._continue(resume, header, start)
        self._made.append(f"{names.HISTORY}/{names.segment_name(self._segment)}")
        self._staging.mkdir(parents=True)
        content = {
            "format": names.FORMAT_VERSION,
            "segment": self._segment,
            "start_update": self.start_update,
            "world_size": self._shard[1],
            "environment": header.environment,
        } | before
        if isinstance(self.path, ObjectPath):
            content["writer"] = secrets.token_hex(8)  # no other process writes the same text
        self._commit(self.path / self._made[-1] / names.SEGMENT_FILE, dump_json(sealed(content)), new=True)
        self._held.claimed()
        sync_directory(self._folder.parent)
        if resume is None:  # last, because run.json means that a segment has begun
            self._commit(self.path / names.RUN_FILE, header.to_json())
        sync_directory(self._held.root)

    def _continue(self, resume: int, header: RunHeader, start: Mapping[str, LayerState]) -> dict[str, int]:
        """Open the run and set the next segment and window; return the number of marks in the segment before."""
        run = open_run(self.path)
        check_resumable(run.header, self.path)
        check_same_layers(run.header.layers, header.layers, self.path)
        check_same_quantities(run.header.quantities, header.quantities, self.path)
        last = window_at(run.windows, resume, self.path)
        goes_on = last is not None and all(
            layer.next_update == (start[name].summary.first_update if name in start else resume + 1)
            for name, layer in last.header.layers.items()
        )
        if last is not None and last.last_update == resume:
            check_same_weights(last, start, self.path)
        self._header, self._segment = run.header, run.next_segment
        self._next_window = 0 if last is None else last.number if goes_on else last.number + 1
        return {"marks_before": count_marks(run.segments[-1].folder)} if run.segments else {}

    @property
    def run_id(self) -> str:
        """Random identifier of the run."""
        return self._header.run_id

    @property
    def place(self) -> ShardPlace:
        """What the writers of the other shards need to know of this segment."""
        folder = self.path / names.HISTORY / names.segment_name(self._segment)
        return ShardPlace(folder, self.run_id, self._segment, self._next_window)

    def _commit(self, file: Path, text: str, *, new: bool = False) -> None:
        # `file` is below `path`, but another folder may have that path by now.
        place = self._held.root / file.relative_to(self.path)
        commit(self._staging, place, lambda each: each.write_text(text, encoding="utf-8"), new=new)

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
        """Queue a window and return its number; block only while the queue is full.

        Parameters
        ----------
        states : mapping of str to LayerState
            State of every layer.
        first_update, last_update : int
            Updates of the window; `first_update` is `last_update` + 1 for a window without updates.
        partial : bool
            Whether the recording stopped before the mark.
        number : int, optional
            Number of the window, above all earlier numbers; the next number by default.
        exact : bool, optional
            Whether every update was seen; the value of the run by default.
        more : mapping, optional
            Further fields of the header.

        Returns
        -------
        int

        Raises
        ------
        StoreError
            If an earlier window could not be written; no later window is written then.
        """
        self._require_open()
        number = self._next_window if number is None else number
        self._next_window, self._last_window = number + 1, number
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
            marks=self._marks,
            more=dict(more or {}),
        )
        self._put(lambda: self._save_window(header, states))
        return number

    def write_metrics(self, line: Mapping[str, Any]) -> None:
        """Queue one line of metrics, which is appended after the previously queued windows."""
        self._require_open()
        self._marks += 1
        text = dump_mark(line, self._marks)
        self._put(lambda: self._append_metrics(text))

    def refuse(self, reason: str) -> None:
        """Queue a note for readers that the run must not be trusted, with the reason.

        The note is on disk after `flush` or `close`, even if an earlier window could not be written.
        """
        self._require_open(failed=True)
        text = refusal(self._segment, reason)
        self._put(lambda: self._commit(self.path / names.REFUSED_FILE, text), in_any_case=True)

    def rewrite_layers(self, layers: Sequence[LayerSpec]) -> None:
        """Queue a new run.json with the current verification results of the layers; the file is replaced atomically.

        Raises
        ------
        InputError
            If the layers differ from those of the run, or run.json would be larger than readers accept.
        StoreError
            If the run cannot be written any more.
        """
        self._require_open()
        if tuple(layers) != self._header.layers:
            raise InputError(f"{self.path / names.RUN_FILE} cannot be rewritten: these are not the layers of the run")
        pairs = zip(layers, self._header.layers, strict=True)
        header = replace(self._header, layers=tuple(old.with_verdict(new) for new, old in pairs))
        check_recordable(header)
        self._header = header
        self._put(lambda: self._commit(self.path / names.RUN_FILE, header.to_json()))

    def flush(self) -> None:
        """Block until everything queued is on disk; raise the first error of the background thread."""
        self._require_own()
        self._background.wait()
        self._raise_error()

    def close(self) -> None:
        """Write everything queued, stop the thread and release the folder. May be called again.

        Raises
        ------
        StoreError
            If something could not be written.
        """
        self._finish()
        self._raise_error()

    def abandon(self) -> None:
        """Undo the start: delete what this writer created, discard the queue and release the folder.

        A folder that existed before stays, and so does the content of a resumed run. May be called again; does nothing
        after `close`.
        """
        if not self._closed:
            self._abandoned = True
            self._finish()

    @property
    def _last_whole(self) -> int | None:
        """Number of the last window of which everything is queued or on disk; None if there is none."""
        return self._last_window

    def _finish(self) -> None:
        # A forked child has no thread and nothing to write.
        if self._released or os.getpid() != self._process:
            return
        if not self._closed and not self._abandoned:
            end = end_text(self._segment, self._marks, self._last_whole)
            self._put(lambda: self._commit(self.path / self._made[-1] / names.END_FILE, end))
        self._closed = True
        self._background.stop(discard=self._abandoned)
        self._released = True  # only now: if Ctrl-C interrupts stop(), close() or the exit handler continues
        if self._abandoned:
            self._held.undo(self._made, self._replaced.put_back)
        else:
            with contextlib.suppress(OSError, StoreError):
                self._held.follow()
                if self._background.error is None:
                    self._settle()
                self._staging.rmdir()
            self._held.release()
        atexit.unregister(self._finish)

    def _settle(self) -> None:
        """Delete, once, the files kept for undoing the start, and leftovers of killed processes."""
        if not self._settled and not isinstance(self.path, ObjectPath):
            self._settled = True
            with contextlib.suppress(OSError, StoreError):
                sweep(self._folder.parent, keep=self._folder if self._shard[1] > 1 else None)

    def _require_own(self) -> None:
        if os.getpid() != self._process:
            raise StoreError(
                f"the recording into {self.path} belongs to the process that began it; call mark and flush there, not "
                "in a worker or another child process"
            )

    def _require_open(self, *, failed: bool = False) -> None:
        """Raise StoreError if the writer is closed, or if a task has failed; `failed` allows the latter."""
        self._require_own()
        if not failed:
            self._raise_error()
        if self._closed:
            raise StoreError(f"the recording into {self.path} is closed; nothing more can be written")

    @property
    def error(self) -> Exception | None:
        """The error because of which nothing more is written; None if there is none."""
        return self._background.error

    def _raise_error(self) -> None:
        if self.error is not None:
            raise self.error

    def _put(self, task: Callable[[], object], *, in_any_case: bool = False) -> None:
        def do() -> None:
            with as_store_error(self.path, "cannot be written"):
                self._held.follow()
                task()

        # After an error nothing more is written, because the next window would not follow the last one.
        self._background.put(do, in_any_case=in_any_case)

    def _save_window(self, header: ShardHeader, states: Mapping[str, LayerState]) -> None:
        needed = window_file_bytes(states)
        check_room(self.path, needed, f"window {header.window}", root=self._held.root)
        save_shard(self._folder, header, states, self._shard)
        self.saved = header.window
        if not header.is_state:  # updates are on disk, so the start is no longer undone
            self._settle()

    def _append_metrics(self, text: str) -> None:
        append(self._folder / names.METRICS_FILE, text)
