"""Reading a run directory: lazy windows, metrics, and what is damaged in it."""

from __future__ import annotations

import io
import os
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recu_analysis.errors import DamagedError, NotARunError, RecuError
from recu_analysis.store import format as names
from recu_analysis.store.header import RunHeader, ShardHeader
from recu_analysis.store.sealing import load_json, load_mark, unsealed
from recu_analysis.store.tensors import TensorFile, read_small
from recu_analysis.store.window import Window, Windows

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from recu_analysis.store.header import LayerSpec

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".tar", ".th", ".ckpt", ".bin", ".safetensors")


@dataclass(frozen=True, slots=True)
class Segment:
    """What one process recorded: its folder, its number and the update that it started from."""

    folder: Path
    number: int
    start_update: int


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
        """The recorded layers: name, shape, dtype, weights, adapter, the fields of their transform, verified, differs.

        verified is whether the forward pass was seen to use the recorded states, None where that is not known;
        differs is the share of the weights that have another state there, where an adapter calls itself approximate.
        """
        import pandas as pd

        rows = []
        for layer in self.header.layers:
            transform = asdict(layer.transform) if layer.transform else {}
            shape = "x".join(map(str, layer.shape))
            known = {"name": layer.name, "shape": shape, "dtype": layer.dtype, "weights": layer.weights}
            seen = {"verified": layer.verified, "differs": layer.differs}
            rows.append(known | {"adapter": layer.adapter} | transform | seen)
        return pd.DataFrame(rows)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row a mark: window, update, epoch, tau, lr and whatever else was logged; superseded marks left out."""
        import pandas as pd

        frame = pd.DataFrame(list(self.marks()))
        leading = [name for name in ("window", "update", "epoch", "tau", "lr") if name in frame]
        return frame[[*leading, *(name for name in frame if name not in leading)]].dropna(axis=1, how="all")

    @property
    def being_written(self) -> bool:
        """Whether a process on this machine records into it now; False where the system does not tell."""
        try:
            lock = os.lstat(self.path / names.LOCK_FILE).st_ino
            held = Path("/proc/locks").read_text(encoding="ascii").splitlines()
        except OSError:
            return False
        # Asking for the lock itself would stop a recording that begins at this moment.
        return any("FLOCK" in line and f":{lock} " in line for line in held)

    @property
    def next_segment(self) -> int:
        """Number of the segment that a resumption would open."""
        found = numbered(self.path / names.HISTORY, names.SEGMENT_NAME)
        return found[-1][0] + 1 if found else 0

    def marks(self) -> Iterator[dict[str, Any]]:
        """The lines of metrics as they were logged, superseded ones left out; DamagedError at one that is damaged."""
        for segment in self.segments:
            in_force = limit(segment, self.segments)
            lines = read_marks(segment.folder, self.header.version)
            yield from (mark for mark in lines if mark["update"] <= in_force)


def read_marks(segment: Path, version: int) -> Iterator[dict[str, Any]]:
    """The lines of metrics of one segment's folder, of a run of that format; DamagedError at one that is damaged."""
    path = segment / names.METRICS_FILE
    if not os.path.lexists(path):
        return
    where = str(path)
    lines = io.BytesIO(read_small(path, where, names.MAX_METRICS_BYTES))
    for index, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            return  # a line that was being written when the process died
        mark = load_mark(line, index, f"line {index} of {where}", version)
        if not isinstance(mark.get("update"), int):
            raise DamagedError(f"line {index} of {where} is not what was written there: it names no update")
        yield mark


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
    try:
        _require_run(folder)
    except OSError as error:
        raise NotARunError(f"{str(folder)!r:.200} cannot be opened: {error.strerror}") from None
    header = read_header(folder)
    problems = _refusal(folder)
    segments = tuple(_segments(folder / names.HISTORY, header, problems))
    windows: list[Window] = []
    for segment in segments:
        for window in _segment_windows(segment, header, problems):
            if window.last_update > limit(segment, segments):
                continue
            repeats_end = window.updates == 0 and bool(windows) and window.header.follows(windows[-1].header)
            if not repeats_end:
                windows.append(_linked(window, windows[-1] if windows else None))
    problems = problems or _gaps(windows)
    return Run(folder, header, Windows(windows), segments, tuple(problems))


def read_header(folder: Path) -> RunHeader:
    """The header of the run directory in a folder; DamagedError if run.json cannot be read."""
    where = str(folder / names.RUN_FILE)
    return RunHeader.from_json(read_small(folder / names.RUN_FILE, where), where)


def _refusal(folder: Path) -> list[str]:
    """Why the recording said that the run is not to be trusted, where it did."""
    file = folder / names.REFUSED_FILE
    if not os.path.lexists(file):
        return []
    try:
        reason = unsealed(read_small(file, str(file)), str(file)).get("reason")
    except DamagedError as error:
        reason = str(error)
    return [f"{folder} was refused while it was recorded: {reason}"]


def _gaps(windows: Sequence[Window]) -> list[str]:
    """What is missing before windows that follow on nothing: of windows without metrics nothing else says it."""
    return [
        f"what comes before {window.where}, up to update {window.first_update - 1}, is missing"
        for window in windows
        if window.updates and window.previous is not None and not window.header.follows(window.previous.header)
    ]


def _linked(window: Window, previous: Window | None) -> Window:
    return replace(window, previous=previous)


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
            "of the weights; recu-analyze import makes a run of them, and recu_analysis.record() sees every update"
        )
    below = sorted(entry.parent.name for entry in folder.glob(f"*/{names.RUN_FILE}"))
    if below:
        raise NotARunError(f"{folder} is not a run directory but holds some; name one: {', '.join(below[:5])}")
    raise NotARunError(f"{folder} is not a run directory: it has no {names.RUN_FILE}; {hint}")


def _folders(path: Path) -> list[Path]:
    """The folders in a folder, links left out, by name."""
    try:
        if not path.is_dir() or path.is_symlink():
            return []
        with os.scandir(path) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError as error:
        raise DamagedError(f"{path} cannot be read: {error.strerror}") from None


def numbered(path: Path, pattern: re.Pattern[str]) -> list[tuple[int, Path]]:
    """The folders whose names follow a pattern, with their numbers, in order."""
    return sorted((int(match[1]), folder) for folder in _folders(path) if (match := pattern.fullmatch(folder.name)))


def _segments(history: Path, header: RunHeader, problems: list[str]) -> Iterator[Segment]:
    for number, path in numbered(history, names.SEGMENT_NAME):
        try:
            start = read_start(path, number, header.version)
        except DamagedError:
            # Without windows the process died before its segment began; otherwise they say where they start from,
            # and must be heard, for they supersede others.
            windows = list(_segment_windows(Segment(path, number, 0), header, []))
            there = os.path.lexists(path / names.SEGMENT_FILE)
            try:
                start = read_start(path, number, header.version)  # a process that writes may have begun it meanwhile
            except DamagedError as error:
                if windows or there:
                    problems.append(str(error))
                if not windows:
                    continue
                start = windows[0].first_update - 1
        yield Segment(path, number, start)


def read_start(segment: Path, number: int, version: int) -> int:
    """The update from which a segment's folder goes on; DamagedError if its file is missing or does not say it."""
    file = segment / names.SEGMENT_FILE
    load = load_json if version == 1 else unsealed
    content = load(read_small(file, str(file)), str(file))
    start = content.get("start_update")
    if type(start) is not int or start < 0:
        raise DamagedError(f"{file} is not what was written there: it names no update to start from")
    if content.get("segment") != number:
        raise DamagedError(f"{file} is not what was written there: it is not that of segment {number}")
    return start


def limit(segment: Segment, segments: Sequence[Segment]) -> float:
    """The last update of a segment that later segments leave in force."""
    return min((later.start_update for later in segments if later.number > segment.number), default=float("inf"))


def _segment_windows(segment: Segment, header: RunHeader, problems: list[str]) -> Iterator[Window]:
    specs = {layer.name: layer for layer in header.layers}
    # The marks first: a writer that goes on marks no window before it is whole.
    marked = _marked(segment.folder, header.version, problems)
    for number, folder in numbered(segment.folder, names.WINDOW_NAME):
        try:
            if shards(folder):
                marked.discard(number)
                yield open_window(number, folder, segment, header, specs)
        except RecuError as error:
            marked.discard(number)
            problems.append(str(error))
    problems.extend(
        f"window {number} ({segment.folder / names.window_name(number)}) is missing, though its metrics were logged"
        for number in sorted(marked)
    )


def _marked(segment: Path, version: int, problems: list[str]) -> set[int]:
    """Numbers of the windows that a segment's metrics name; of none where they cannot be read, which is a problem."""
    try:
        return {mark["window"] for mark in read_marks(segment, version) if type(mark.get("window")) is int}
    except RecuError as error:
        problems.append(str(error))
        return set()


def shards(folder: Path) -> list[str]:
    """Names of the shards in a window's folder; none where the process died before the window was whole."""
    try:
        return sorted(entry.name for entry in folder.iterdir() if names.SHARD_NAME.fullmatch(entry.name))
    except OSError as error:
        raise DamagedError(f"{folder} cannot be read: {error.strerror}") from None


def open_window(number: int, folder: Path, segment: Segment, header: RunHeader, specs: dict[str, LayerSpec]) -> Window:
    """A window whose header fits its place in the run, without the window before; DamagedError where it does not."""
    path = folder / names.shard_name(0, 1)
    where = f"window {number} ({path})"
    ranks = shards(folder)
    if ranks and path.name not in ranks:
        raise DamagedError(f"{where} is in several shards, such as {ranks[0]}; this version reads windows of one")
    file = TensorFile(path, where)
    shard = ShardHeader.from_metadata(file.metadata, where, header.version, header.quantities)
    if (shard.run_id, shard.segment, shard.window) != (header.run_id, segment.number, number):
        raise DamagedError(f"{where} belongs to another run or another place in this one")
    missing = [name for name in specs if name not in shard.layers]
    if missing:
        raise DamagedError(f"{where} is damaged: it has no layer {missing[0]!r:.80}")
    return Window(number, file, shard, where, specs, header.quantities, None)
