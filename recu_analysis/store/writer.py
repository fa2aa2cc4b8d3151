"""Writing a run directory: atomic, checksummed files, saved by a background thread with a bounded queue."""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import os
import queue
import secrets
import shutil
import stat
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from recu_analysis.errors import InputError, NoRoomError, RecuError, RunExistsError, StoreError
from recu_analysis.store import format as names
from recu_analysis.store.limits import check_recordable
from recu_analysis.store.quantities import DENSE, OPTIONAL, QUANTITIES, SPARSE, checked_quantities, kinds
from recu_analysis.store.run import open_run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from recu_analysis.store.format import LayerSpec, LayerWindow

#: Windows that may wait for the disk before the training thread waits for them.
QUEUED_WINDOWS = 2
#: Bytes a file system must have beyond what is about to be written.
SPARE_BYTES = 4 * 2**20
#: Fraction of a layer's weights that flips in a window, for the estimate of its size; 4 to 10 % were measured.
EXPECTED_FLIPPED = 0.1


@dataclass(frozen=True, slots=True)
class LayerState:
    """One layer of one window, as it goes to disk.

    Attributes
    ----------
    weight : ndarray of float32 or float64, shape of the layer
        At the window's end.
    path, zpath : ndarray of float32, shape of the layer, or None
        None, here and below, where the run does not keep the quantity.
    flipped, flips, first_flip, last_flip : ndarray of uint32, one entry a weight that flipped
        Flat indices in rising order, and their counts and update numbers; the latter may be None.
    scale : ndarray of float32 or None
        The learned alpha at the window's end.
    summary : LayerWindow
    effective : ndarray of float32 or float64, shape of the layer, or None
        The effective weight at the window's end, where no WeightTransform says it.
    ema, grad : ndarray of float32, shape of the layer, or None
        The flip average at the window's end, and the window's sum of abs(gradient).
    """

    weight: np.ndarray[Any, Any]
    path: np.ndarray[Any, Any] | None
    zpath: np.ndarray[Any, Any] | None
    flipped: np.ndarray[Any, Any]
    flips: np.ndarray[Any, Any]
    first_flip: np.ndarray[Any, Any] | None
    last_flip: np.ndarray[Any, Any] | None
    scale: np.ndarray[Any, Any] | None
    summary: LayerWindow
    effective: np.ndarray[Any, Any] | None = None
    ema: np.ndarray[Any, Any] | None = None
    grad: np.ndarray[Any, Any] | None = None

    def tensors(self, layer: str) -> dict[str, np.ndarray[Any, Any]]:
        """The arrays under their names in a shard."""
        every = (*DENSE, *SPARSE, *OPTIONAL)
        present = {kind: array for kind in every if (array := getattr(self, kind)) is not None}
        return {f"{kind}/{layer}": np.ascontiguousarray(array) for kind, array in present.items()}


def window_bytes(layers: Sequence[LayerSpec], quantities: Sequence[str] = QUANTITIES) -> int:
    """Estimated bytes on disk of one window of these layers, a tenth of the weights having flipped."""
    states = {layer.name: 1 if layer.transform else 2 for layer in layers}  # the effective weight too
    kept = set(kinds(quantities))
    sums = 4 * (len(kept & set(DENSE)) - 1)
    dense = sum(layer.weights * (np.dtype(layer.dtype).itemsize * states[layer.name] + sums) for layer in layers)
    flip = 4 * len(kept & set(SPARSE))
    sparse = sum(int(layer.weights * EXPECTED_FLIPPED) * flip for layer in layers)
    return dense + sparse + 1024 * len(layers)


def check_room(path: Path, needed: int, what: str) -> None:
    """NoRoomError if the file system of `path` has less than `needed` bytes and a little to spare."""
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < needed + SPARE_BYTES:
        raise NoRoomError(
            f"no room for {what}: {path} has {free / 2**20:.0f} MiB free and needs "
            f"{(needed + SPARE_BYTES) / 2**20:.0f}; free some space or choose another folder"
        )


def sync_directory(path: Path) -> None:
    """Make the entries of a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def commit(staging: Path, final: Path, save: Callable[[Path], object]) -> None:
    """Put a file in its place whole and durable, or not at all.

    Parameters
    ----------
    staging : Path
        Folder of the same file system in which `save` writes.
    final : Path
        Where the file belongs; its folder exists.
    save : callable
        Writes the path that it is given.

    Raises
    ------
    OSError
        Whatever writing, syncing or renaming met; nothing is left behind.
    """
    temporary = staging / f"{os.getpid()}-{secrets.token_hex(8)}"
    try:
        # The mode that a new file gets here; asking the umask itself would change it for other threads.
        mode = stat.S_IMODE(_create(temporary))
        save(temporary)
        temporary.chmod(mode)
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.rename(final)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(final.parent)


def _create(path: Path) -> int:
    """Make an empty file and return its mode."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        return os.fstat(descriptor).st_mode
    finally:
        os.close(descriptor)


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
    quantities : sequence of str
        What the run keeps of every weight; see `store.quantities`.

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
        quantities: Sequence[str] = QUANTITIES,
    ) -> None:
        self.path = path
        self.start_update = resume or 0
        self._layers = tuple(layers)
        self._exact = exact
        self._next_updates = dict(next_updates or {})
        self._error: Exception | None = None
        self._closed = self._released = False
        self._process = os.getpid()
        header = names.RunHeader(
            secrets.token_hex(8),
            self._layers,
            dict(configuration),
            dict(environment),
            checked_quantities(quantities),
        )
        check_recordable(header)
        check_room(
            path,
            3 * window_bytes(layers, quantities),
            f"a recording of {sum(layer.weights for layer in layers)} weights",
        )
        with _as_store_error(path, "cannot be prepared for recording"):
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

    def _prepare(self, header: names.RunHeader, resume: int | None) -> None:
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
            "segment": segment,
            "start_update": self.start_update,
            "world_size": 1,
            "environment": header.environment,
        }
        line = names.dump_json(start)
        commit(self._staging, self._folder / names.SEGMENT_FILE, lambda file: file.write_text(line, encoding="utf-8"))
        sync_directory(history)
        sync_directory(self.path)

    def _continue(self, resume: int, header: names.RunHeader) -> tuple[str, int, int]:
        """Run id, segment number and window number with which a resumed run goes on."""
        run = open_run(self.path)
        _check_same_layers(run.header.layers, header.layers, self.path)
        if run.header.quantities != header.quantities:
            raise StoreError(
                f"{self.path} keeps the quantities {_listed(run.header.quantities)} and cannot go on with "
                f"{_listed(header.quantities)}; resume it with the same ones"
            )
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
    ) -> int:
        """Queue a window and return its number; waits only while the queue is full.

        `number` names a window that had its name before, above all others here; `exact` differs from the run's where
        it has windows of both kinds.

        Raises
        ------
        StoreError
            If an earlier window could not be written; nothing is written after it.
        """
        self._require_open()
        number = self._next_window if number is None else number
        self._next_window = number + 1
        seen = self._exact if exact is None else exact
        self._queue.put(lambda: self._save_window(number, states, first_update, last_update, partial, seen))
        return number

    def write_metrics(self, line: Mapping[str, Any]) -> None:
        """Queue one line of metrics, appended after the windows queued before it."""
        self._require_open()
        text = names.dump_json(dict(line)) + "\n"
        self._queue.put(lambda: self._append_metrics(text))

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
                    with _as_store_error(self.path, "cannot be written"):
                        task()
                except Exception as error:  # raised on the training thread, at its next call
                    self._error = error
            self._queue.task_done()
        self._queue.task_done()

    def _save_window(
        self,
        number: int,
        states: Mapping[str, LayerState],
        first_update: int,
        last_update: int,
        partial: bool,
        exact: bool,
    ) -> None:
        tensors = {name: array for layer, state in states.items() for name, array in state.tensors(layer).items()}
        check_room(self.path, sum(array.nbytes for array in tensors.values()), f"window {number}")
        header = names.ShardHeader(
            run_id=self.run_id,
            segment=self._segment,
            window=number,
            first_update=first_update,
            last_update=last_update,
            exact=exact,
            partial=partial,
            layers={layer: state.summary for layer, state in states.items()},
            digests={name: names.digest(name, array) for name, array in tensors.items()},
        )
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


def _refuse_existing(path: Path, resume: int | None) -> None:
    if path.exists() and not path.is_dir():
        raise RunExistsError(f"{path} is a file; a run needs a folder of its own")
    if resume is None and path.is_dir() and not _is_unused(path):
        raise RunExistsError(f"{path} exists and is not empty; choose another folder, or resume the run in it")
    if resume is not None and not path.is_dir():
        raise StoreError(f"{path} does not exist, so there is no run to resume")


def _is_unused(path: Path) -> bool:
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


def lock_directory(path: Path) -> int:
    """Take a run directory for this process; closing the descriptor, or the process's end, releases it.

    Raises
    ------
    StoreError
        If another recording has it.
    """
    descriptor = os.open(path / names.LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            raise StoreError(
                f"another process is recording into {path}; wait for it or choose another folder"
            ) from None
        raise
    return descriptor


def _listed(quantities: Sequence[str]) -> str:
    return ", ".join(quantities) or "(none)"


def _check_same_layers(recorded: Sequence[LayerSpec], given: Sequence[LayerSpec], path: Path) -> None:
    if tuple(recorded) == tuple(given):
        return
    before, now = {layer.name: layer for layer in recorded}, {layer.name: layer for layer in given}
    different = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    listed = ", ".join(different[:5]) or "their order"
    raise StoreError(f"{path} holds a run of another model and cannot be resumed with this one; what differs: {listed}")


@contextlib.contextmanager
def _as_store_error(path: Path, what: str) -> Any:
    try:
        yield
    except RecuError:
        raise
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(f"{path} {what}: {reason}") from error
