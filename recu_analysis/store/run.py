"""Reading a run directory: lazy windows, metrics, and what is damaged in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from recu_analysis.errors import DamagedError, LayerNotFoundError, NotARunError, RecuError, WindowNotFoundError
from recu_analysis.store import format as names
from recu_analysis.store.tensors import TensorFile, read_small
from recu_analysis.trajectory import Trajectory

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

    import pandas as pd

    from recu_analysis.store.format import LayerSpec, LayerWindow, RunHeader, ShardHeader

Array = np.ndarray[Any, np.dtype[Any]]
CHECKPOINT_SUFFIXES = (".pth", ".pt", ".tar", ".th", ".ckpt", ".bin", ".safetensors")


@dataclass(frozen=True, slots=True)
class Segment:
    """What one process recorded: its folder, its number and the update that it started from."""

    folder: Path
    number: int
    start_update: int


@dataclass(frozen=True, eq=False)
class LayerRecord:
    """One layer of one window, read when asked for; every array is read only and has the layer's shape.

    Attributes
    ----------
    spec : LayerSpec
    summary : LayerWindow
        Updates, sums of the learning rate and tau of this layer in this window.
    """

    window: Window
    spec: LayerSpec
    summary: LayerWindow

    @property
    def weight(self) -> Array:
        """Latent weights at the window's end, in the dtype of the parameter (float32 for half precision)."""
        return self._read("weight")

    @property
    def start(self) -> Array:
        """Latent weights at the window's start: those at the end of the window before."""
        if self.window.updates == 0:
            return self.weight
        return self.window.before[self.spec.name].weight

    @property
    def path(self) -> Array:
        """Sum of abs(w_u - w_{u-1}) over the window's updates, float32, in the unit of the weights."""
        return self._read("path")

    @property
    def zpath(self) -> Array:
        """Sum of abs(z_u - z_{u-1}) over the window's updates, float32, in standard deviations of the channel."""
        return self._read("zpath")

    @property
    def flips(self) -> Array:
        """Updates at which the effective sign changed, int64."""
        return self._scatter("flips", 0)

    @property
    def first_flip(self) -> Array:
        """Number of the first such update, int64; -1 if there is none."""
        return self._scatter("first_flip", -1)

    @property
    def last_flip(self) -> Array:
        """Number of the last such update, int64; -1 if there is none."""
        return self._scatter("last_flip", -1)

    @property
    def scale(self) -> Array | None:
        """The learned alpha at the window's end, float32, or None where the layer has none."""
        return self._tensor("scale") if self._holds("scale") else None

    @property
    def trajectory(self) -> Trajectory:
        """The whole record of the layer in this window, sums in float64."""
        return Trajectory(
            first_update=self.summary.first_update,
            last_update=self.summary.first_update + self.summary.updates - 1,
            start=self.start,
            end=self.weight,
            path=self.path.astype(np.float64),
            zpath=self.zpath.astype(np.float64),
            flips=self.flips,
            first_flip=self.first_flip,
            last_flip=self.last_flip,
            lr=self.summary.lr,
            lr_decay=self.summary.lr_decay,
            decay_time=self.summary.decay_time,
            tau=self.summary.tau,
        )

    def _holds(self, kind: str) -> bool:
        return f"{kind}/{self.spec.name}" in self.window.file.entries

    def _tensor(self, kind: str) -> Array:
        name = f"{kind}/{self.spec.name}"
        expected = self.window.header.digests.get(name)
        if expected is None:
            raise DamagedError(f"{self.window.where} is damaged: it has no checksum of tensor {name!r:.80}")
        return self.window.file.read(name, expected)

    def _read(self, kind: str) -> Array:
        array = self._tensor(kind)
        if array.shape != self.spec.shape:
            raise DamagedError(f"{self.window.where} is damaged: {kind} of layer {self.spec.name!r} has another shape")
        return array

    def _scatter(self, kind: str, absent: int) -> Array:
        dense = np.full(self.spec.weights, absent, dtype=np.int64)
        indices, values = self._tensor("flipped").astype(np.int64), self._tensor(kind)
        sound = indices.shape == values.shape == (indices.size,) and bool((np.diff(indices) > 0).all())
        if not sound or (indices.size and indices[-1] >= dense.size):
            raise DamagedError(
                f"{self.window.where} is damaged: {kind} of layer {self.spec.name!r} does not fit the layer"
            )
        dense[indices] = values
        dense.flags.writeable = False
        return dense.reshape(self.spec.shape)


@dataclass(frozen=True, eq=False)
class Window:
    """One window of a run; `window[layer]` is the record of one layer.

    Attributes
    ----------
    number : int
        The window's name, which stays when earlier ones are removed.
    file : TensorFile
    header : ShardHeader
    where : str
        What messages call the window.
    """

    number: int
    file: TensorFile
    header: ShardHeader
    where: str
    specs: dict[str, LayerSpec]
    previous: Window | None

    @property
    def first_update(self) -> int:
        """Number of the first update; one past `last_update` where there is none."""
        return self.header.first_update

    @property
    def last_update(self) -> int:
        """Number of the last update."""
        return self.header.last_update

    @property
    def updates(self) -> int:
        """Number of updates."""
        return self.last_update - self.first_update + 1

    @property
    def exact(self) -> bool:
        """Whether every update was seen."""
        return self.header.exact

    @property
    def partial(self) -> bool:
        """Whether the recording stopped before the window was marked."""
        return self.header.partial

    @property
    def before(self) -> Window:
        """The window on whose last update this one follows.

        Raises
        ------
        WindowNotFoundError
            If it is missing.
        """
        if self.previous is None or self.previous.last_update != self.first_update - 1:
            raise WindowNotFoundError(
                f"{self.where} begins at update {self.first_update}, but the window that ends at update "
                f"{self.first_update - 1} is missing, so its start is not known; choose windows after it"
            )
        return self.previous

    def __getitem__(self, layer: str) -> LayerRecord:
        if layer not in self.specs:
            raise LayerNotFoundError(f"{self.where} has no layer {layer!r}; its layers are {', '.join(self.specs)}")
        return LayerRecord(self, self.specs[layer], self.header.layers[layer])

    def __repr__(self) -> str:
        return f"<Window {self.number}: updates {self.first_update} to {self.last_update}>"


class Windows(Sequence[Window]):
    """The windows of a run in order, by position; `.number` of each is its name."""

    def __init__(self, windows: Sequence[Window]) -> None:
        self._windows = tuple(windows)

    @overload
    def __getitem__(self, index: int) -> Window: ...
    @overload
    def __getitem__(self, index: slice) -> Windows: ...
    def __getitem__(self, index: int | slice) -> Window | Windows:
        return Windows(self._windows[index]) if isinstance(index, slice) else self._windows[index]

    def __len__(self) -> int:
        return len(self._windows)

    def __repr__(self) -> str:
        return f"<{len(self)} windows>"


@dataclass(frozen=True, eq=False)
class Run:
    """A run directory open for reading; the process that writes it may go on.

    Attributes
    ----------
    path : Path
    header : RunHeader
    windows : Windows
        Those that count: whole, and not superseded by a later resumption.
    segments : tuple of Segment
    problems : tuple of str
        A sentence for every window that is damaged and was left out.
    """

    path: Path
    header: RunHeader
    windows: Windows
    segments: tuple[Segment, ...]
    problems: tuple[str, ...] = field(default=())

    @property
    def id(self) -> str:
        """The run's own name, drawn when it began."""
        return self.header.run_id

    @property
    def configuration(self) -> dict[str, Any]:
        """What the training was told, as run.json keeps it."""
        return self.header.configuration

    @property
    def layer_names(self) -> list[str]:
        """Names of the recorded layers, in the model's order."""
        return [layer.name for layer in self.header.layers]

    @cached_property
    def layers(self) -> pd.DataFrame:
        """The recorded layers: name, shape, dtype, weights, adapter, and the fields of their transform."""
        import pandas as pd

        rows = []
        for layer in self.header.layers:
            transform = asdict(layer.transform) if layer.transform else {}
            shape = "x".join(map(str, layer.shape))
            known = {"name": layer.name, "shape": shape, "dtype": layer.dtype, "weights": layer.weights}
            rows.append(known | {"adapter": layer.adapter} | transform)
        return pd.DataFrame(rows)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row a mark: window, update, epoch, tau, lr and whatever else was logged; superseded marks left out."""
        import pandas as pd

        rows = [row for segment in self.segments for row in self._marks(segment)]
        frame = pd.DataFrame(rows)
        leading = [name for name in ("window", "update", "epoch", "tau", "lr") if name in frame]
        return frame[[*leading, *(name for name in frame if name not in leading)]].dropna(axis=1, how="all")

    @property
    def next_segment(self) -> int:
        """Number of the segment that a resumption would open."""
        numbered = _numbered(self.path / names.HISTORY, names.SEGMENT_NAME)
        return numbered[-1][0] + 1 if numbered else 0

    def _marks(self, segment: Segment) -> Iterator[dict[str, Any]]:
        limit = _limit(segment, self.segments)
        path = segment.folder / names.METRICS_FILE
        if not path.exists():
            return
        where = str(path)
        lines = read_small(path, where).split(b"\n")
        # What follows the last line end is a line that was being written when the process died.
        for index, line in enumerate(lines[:-1], start=1):
            row = names.load_json(line, f"line {index} of {where}")
            if not isinstance(row.get("update"), int):
                raise DamagedError(f"line {index} of {where} is not what was written there: it names no update")
            if row["update"] <= limit:
                yield row


def open_run(path: str | os.PathLike[str]) -> Run:
    """Open a run directory for reading.

    Parameters
    ----------
    path : str or path-like
        The folder that `record` made.

    Returns
    -------
    Run
        Windows are read when asked for. Damaged ones are left out and named in `problems`.

    Raises
    ------
    NotARunError
        If there is no run directory at `path`; the text says what is there instead.
    DamagedError
        If run.json cannot be read.
    """
    folder = Path(path)
    _require_run(folder)
    where = str(folder / names.RUN_FILE)
    header = names.RunHeader.from_json(read_small(folder / names.RUN_FILE, where), where)
    problems: list[str] = []
    segments = tuple(_segments(folder / names.HISTORY, problems))
    windows: list[Window] = []
    for segment in segments:
        for window in _segment_windows(segment, header, problems):
            if window.last_update > _limit(segment, segments):
                continue
            repeats_end = window.updates == 0 and bool(windows) and windows[-1].last_update == window.last_update
            if not repeats_end:
                windows.append(_linked(window, windows[-1] if windows else None))
    return Run(folder, header, Windows(windows), segments, tuple(problems))


def _linked(window: Window, previous: Window | None) -> Window:
    return Window(window.number, window.file, window.header, window.where, window.specs, previous)


def _require_run(folder: Path) -> None:
    hint = "recu-analyze train and recu_analysis.record make run directories"
    if not folder.exists():
        raise NotARunError(f"{folder} does not exist; {hint}")
    if not folder.is_dir():
        raise NotARunError(f"{folder} is a file, not a run directory; {hint}")
    if (folder / names.RUN_FILE).exists():
        return
    entries = sorted(entry.name for entry in folder.iterdir())
    checkpoints = [name for name in entries if name.endswith(CHECKPOINT_SUFFIXES)]
    if not entries:
        raise NotARunError(f"{folder} is empty; {hint}")
    if checkpoints:
        raise NotARunError(
            f"{folder} holds ordinary checkpoints ({checkpoints[0]}, {len(checkpoints)} in all), which keep no history "
            "of the weights; to get one, train inside `with recu_analysis.record(model, optimizer, run_dir):`"
        )
    below = sorted(entry.parent.name for entry in folder.glob(f"*/{names.RUN_FILE}"))
    if below:
        raise NotARunError(f"{folder} is not a run directory but holds some; name one: {', '.join(below[:5])}")
    raise NotARunError(f"{folder} is not a run directory: it has no {names.RUN_FILE}; {hint}")


def _folders(path: Path) -> list[Path]:
    """The folders in a folder, links left out, by name."""
    if not path.is_dir() or path.is_symlink():
        return []
    with os.scandir(path) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))


def _numbered(path: Path, pattern: re.Pattern[str]) -> list[tuple[int, Path]]:
    """The folders whose names follow a pattern, with their numbers, in order."""
    return sorted((int(match[1]), folder) for folder in _folders(path) if (match := pattern.fullmatch(folder.name)))


def _segments(history: Path, problems: list[str]) -> Iterator[Segment]:
    for number, path in _numbered(history, names.SEGMENT_NAME):
        file = path / names.SEGMENT_FILE
        if not file.exists():
            continue  # the process died before its segment began, so nothing was recorded in it
        try:
            start = names.load_json(read_small(file, str(file)), str(file)).get("start_update")
            if not isinstance(start, int) or start < 0:
                raise DamagedError(f"{file} is not what was written there: it names no update to start from")
        except DamagedError as error:
            problems.append(str(error))
            continue
        yield Segment(path, number, start)


def _limit(segment: Segment, segments: Sequence[Segment]) -> float:
    """The last update of a segment that later segments leave in force."""
    return min((later.start_update for later in segments if later.number > segment.number), default=float("inf"))


def _segment_windows(segment: Segment, header: RunHeader, problems: list[str]) -> Iterator[Window]:
    specs = {layer.name: layer for layer in header.layers}
    for number, folder in _numbered(segment.folder, names.WINDOW_NAME):
        if not any(names.SHARD_NAME.fullmatch(entry.name) for entry in folder.iterdir()):
            continue  # the process died before the window was whole
        try:
            yield _open_window(number, folder, segment, header, specs)
        except RecuError as error:
            problems.append(str(error))


def _open_window(number: int, folder: Path, segment: Segment, header: RunHeader, specs: dict[str, LayerSpec]) -> Window:
    path = folder / names.shard_name(0, 1)
    where = f"window {number} ({path})"
    file = TensorFile(path, where)
    shard = names.ShardHeader.from_metadata(file.metadata, where)
    if (shard.run_id, shard.segment, shard.window) != (header.run_id, segment.number, number):
        raise DamagedError(f"{where} belongs to another run or another place in this one")
    missing = [name for name in specs if name not in shard.layers]
    if missing:
        raise DamagedError(f"{where} is damaged: it has no layer {missing[0]!r:.80}")
    return Window(number, file, shard, where, specs, None)
