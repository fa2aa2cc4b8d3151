"""Reading a run directory: lazy windows, metrics, and problems such as damaged files."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from recu_analysis.errors import DamagedError, InputError, NotARunError, RecuError, WindowNotFoundError, kind_of_value
from recu_analysis.store import format as names
from recu_analysis.store.chain import chained, gap
from recu_analysis.store.display import count, html_facts, html_rows, mark_text, plain_text
from recu_analysis.store.ends import lost_windows, with_end
from recu_analysis.store.header import RunHeader
from recu_analysis.store.layer_selection import numbers_text, window_number
from recu_analysis.store.object_path import ObjectPath, failed, require_run
from recu_analysis.store.opening import complete, open_window
from recu_analysis.store.places import as_place, lexists
from recu_analysis.store.sealing import unsealed
from recu_analysis.store.segments import (
    Segment,
    limit,
    lost_marks,
    missing_places,
    numbered,
    read_marks,
    read_segment,
)
from recu_analysis.store.tensors import read_small
from recu_analysis.store.window import Window, Windows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd


CHECKPOINT_SUFFIXES = (".pth", ".pt", ".tar", ".th", ".ckpt", ".bin", ".safetensors")


@dataclass(frozen=True, eq=False)
class Run:
    """A run directory open for reading; another process may still write to it.

    Attributes
    ----------
    path : Path
    header : RunHeader
    windows : Windows
        The complete windows that are not superseded by a later resumption.
    segments : tuple of Segment
    problems : tuple of str
        One sentence per damaged, missing or contradictory file; such windows are skipped.
    label, arm : str or None
        Label and arm (the experiment that runs with several seeds) from a list of runs; see `recu_analysis.open_runs`.
    stated_seed : int or None
        Seed from the list of runs.
    """

    path: Path
    header: RunHeader
    windows: Windows
    segments: tuple[Segment, ...]
    problems: tuple[str, ...] = field(default=())
    label: str | None = None
    arm: str | None = None
    stated_seed: int | None = None

    @property
    def id(self) -> str:
        """Random identifier, drawn when the run began."""
        return self.header.run_id

    @property
    def name(self) -> str:
        """The label of the run, or the name of its folder."""
        return self.label or self.path.name

    @property
    def gaps(self) -> tuple[str, ...]:
        """A sentence for each gap: updates in no window, after which the recording continued. A gap is not damage."""
        return tuple(text for window in self.windows if (text := gap(window)))

    @property
    def configuration(self) -> dict[str, Any]:
        """Settings of the training, from run.json."""
        return self.header.configuration

    def window(self, number: int) -> Window:
        """The window of that number, which is not its place in `windows` where some are missing or merged.

        Raises
        ------
        InputError
            If it is not a whole number from 0 on.
        WindowNotFoundError
            If the run has none of that number.
        """
        wanted = window_number(number)
        for each in self.windows:
            if each.number == wanted:
                return each
        numbers = [each.number for each in self.windows]
        there = f"it has {numbers_text(numbers)}" if numbers else "it has none"
        raise WindowNotFoundError(f"{self.path} has no window {wanted}; {there}")

    @property
    def layer_names(self) -> list[str]:
        """Names of the recorded layers, in the model's order."""
        return [layer.name for layer in self.header.layers]

    @cached_property
    def layers(self) -> pd.DataFrame:
        """The recorded layers: name, shape, dtype, weights, adapter, the fields of their transform, verified, differs.

        `verified` is whether the forward pass was seen to use the recorded states, None if this is not known. `differs`
        is the share of the weights with another state in the forward pass, for an adapter that is approximate. If
        channels are sampled, shape and weights are those recorded, and `channels` is such as "3 of 64".
        """
        import pandas as pd

        rows = []
        for layer in self.header.layers:
            transform = asdict(layer.transform) if layer.transform else {}
            shape = "x".join(map(str, layer.shape))
            columns = {"name": layer.name, "shape": shape, "dtype": layer.dtype, "weights": layer.weights}
            seen = {"verified": layer.verified, "differs": layer.differs}
            sample = {"channels": f"{layer.shape[0]} of {layer.channels.of}"} if layer.channels else {}
            rows.append(columns | sample | {"adapter": layer.adapter} | transform | seen)
        return pd.DataFrame(rows)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row per mark: window, update, epoch, tau, lr and all other logged values, without superseded marks."""
        import pandas as pd

        frame = pd.DataFrame(list(self.marks()))
        leading = [name for name in ("window", "update", "epoch", "tau", "lr") if name in frame]
        return frame[[*leading, *(name for name in frame if name not in leading)]].dropna(axis=1, how="all")

    @property
    def being_written(self) -> bool:
        """Whether a process on this machine is recording into the run; False if the system does not report it."""
        try:
            lock = os.lstat(self.path / names.LOCK_FILE).st_ino
            held = Path("/proc/locks").read_text(encoding="ascii").splitlines()
        except OSError:
            return False
        # Taking the lock itself would stop a recording that begins at this moment.
        return any("FLOCK" in line and f":{lock} " in line for line in held)

    @property
    def next_segment(self) -> int:
        """Number of the segment that a resumption would create."""
        found = numbered(self.path / names.HISTORY, names.SEGMENT_NAME)
        return found[-1][0] + 1 if found else 0

    def marks(self) -> Iterator[dict[str, Any]]:
        """Yield the logged lines of metrics, without superseded ones; raise DamagedError at a damaged line."""
        for segment in self.segments:
            in_force = limit(segment, self.segments)
            lines = read_marks(segment.folder, self.header.version)
            yield from (mark for mark in lines if mark["update"] <= in_force)
            _refuse_deleted(segment.folder)  # a segment without marks has no file of them

    def __repr__(self) -> str:
        name = f"{plain_text(self.label)}, " if self.label else ""
        told = mark_text(self._last_mark())
        size = f"{count(len(self.header.layers), 'layer')}, {count(len(self.windows), 'window')}"
        damaged = f", {count(len(self.problems), 'problem')}" if self.problems else ""
        return f"<Run {name}{plain_text(self.path)}: {size}{damaged}{', last mark: ' + told if told else ''}>"

    def _repr_html_(self) -> str:
        """Its layers, windows and last metrics, for a notebook."""
        updates = [window.updates for window in self.windows]
        facts: dict[str, Any] = {"folder": self.path, "layers": len(self.header.layers)}
        facts |= {"windows": f"{len(self.windows)}, with {sum(updates):,} updates"}
        facts |= {f"last {name}": value for name, value in self._last_mark().items() if value is not None}
        facts |= {f"problem {at}": text for at, text in enumerate(self.problems[:3], start=1)}
        layers = [(each.name, *each.shape_and_weights, each.adapter, each.verified) for each in self.header.layers]
        columns = ["layer", "shape", "weights", "adapter", "verified"]
        return html_facts(f"Run {self.name}", facts) + html_rows(columns, layers)

    def _last_mark(self) -> dict[str, Any]:
        """The last line of metrics; empty if there is none, or if it cannot be read."""
        last: deque[dict[str, Any]] = deque(maxlen=1)
        with contextlib.suppress(RecuError, OSError):
            last.extend(self.marks())
        return last[0] if last else {}


#: One run: opened, or the path of its folder.
OneRun: TypeAlias = Run | str | os.PathLike[str]


def open_run(path: str | os.PathLike[str]) -> Run:
    """Open a run directory for reading.

    Parameters
    ----------
    path : str or path-like
        The folder that `record` made, or its URL in an object store (``"s3://bucket/folder"``).

    Returns
    -------
    Run
        Windows are read on access. Damaged windows are skipped and named in `problems`.

    Raises
    ------
    NotARunError
        If there is no run directory at `path`; the message says what is there instead.
    DamagedError
        If run.json cannot be read.
    InputError
        If `path` is not a path, or an empty text.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"a run is opened by the path of its folder, not by {kind_of_value(path)}")
    if path == "":
        raise InputError("the path of the run is empty; give the path of its folder, or . for the current folder")
    folder = as_place(path)
    try:
        require_run(folder) if isinstance(folder, ObjectPath) else _require_run(folder)
    except OSError as error:
        raise NotARunError(f"{str(folder)!r:.200} cannot be opened: {error.strerror}") from None
    header = read_header(folder)
    history = folder / names.HISTORY
    problems = [*_refusal(folder), *missing_places(history)]
    segments = tuple(_segments(history, header, problems))
    found = [list(_segment_windows(segment, header, problems)) for segment in segments]
    problems += _lost_marks(segments, found)
    problems += lost_windows(segments, found, problems)
    in_force = [limit(segment, segments) for segment in segments]
    counted = zip(found, in_force, strict=True)
    chain = chained(window for windows, last in counted for window in windows if window.last_update <= last)
    problems += chain.contradictions
    failed(folder)
    _refuse_deleted(folder / names.RUN_FILE)  # folders that are gone look like those of a recording that just begins
    # A missing window is reported once; its metrics already report it.
    return Run(folder, header, Windows(chain.windows), segments, tuple(problems or chain.missing))


def _refuse_deleted(place: Path) -> None:
    """Raise NotARunError if a file or folder of a run that was there is gone."""
    if not lexists(place):
        raise NotARunError(f"{place} was deleted while the run was read; look whether the run is still there")


def as_run(run: OneRun) -> Run:
    """The one run of a caller, which is opened if it is a path.

    Raises
    ------
    InputError
        If it is neither a run nor a path, such as several runs.
    StoreError
        If there is no run directory at the path.
    """
    given: object = run  # a caller without a type checker gives anything
    if isinstance(given, Run):
        return given
    if isinstance(given, str | os.PathLike):
        return open_run(given)
    if isinstance(given, Collection):
        raise InputError(
            f"one run is needed, not {kind_of_value(given)} of {len(given)}; give ra.open_run's run or the path of its "
            "folder, one in each call"
        )
    raise InputError(
        f"a run is given as ra.open_run returns it, or as the path of its folder, not as {kind_of_value(given)}"
    )


def _lost_marks(segments: Sequence[Segment], found: Sequence[Sequence[Window]]) -> Iterator[str]:
    """Sentences about lines missing at the end of metrics; later windows, the end or the next segment count them."""
    for segment, windows, later in zip_longest(segments, found, segments[1:]):
        counts = [window.header.marks or 0 for window in windows]
        ended = segment.marks
        logged = max([*counts, ended or 0, (later and later.marks_before) or 0])
        with contextlib.suppress(DamagedError):  # unreadable metrics are reported elsewhere
            text = lost_marks(segment.folder, logged, ended) if logged or ended == 0 else None
            if text:
                yield text


def read_header(folder: Path) -> RunHeader:
    """The header of the run directory in a folder; raise DamagedError if run.json cannot be read."""
    where = str(folder / names.RUN_FILE)
    return RunHeader.from_json(read_small(folder / names.RUN_FILE, where), where)


def _refusal(folder: Path) -> list[str]:
    """The reason why the recorder refused the run, as a list of at most one sentence."""
    file = folder / names.REFUSED_FILE
    if not lexists(file):
        return []
    try:
        reason = unsealed(read_small(file, str(file)), str(file)).get("reason")
    except DamagedError as error:
        reason = str(error)
    return [f"{folder} was refused during its recording and must not be trusted: {reason}"]


def _require_run(folder: Path) -> None:
    hint = "recu-analyze train and ra.record create run directories"
    if not folder.exists():
        raise NotARunError(f"{folder} does not exist; {hint}")
    if folder.suffix.lower() == ".toml" and folder.is_file():
        raise NotARunError(f"{folder} is a list of runs, not a run directory; open it with ra.open_runs")
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
            f"{folder} contains checkpoints ({checkpoints[0]}, {len(checkpoints)} in all), which keep no history of "
            "the weights; recu-analyze import makes a run of them, and ra.record records every update"
        )
    below = sorted(entry.parent.name for entry in folder.glob(f"*/{names.RUN_FILE}"))
    if below:
        raise NotARunError(f"{folder} is not a run directory but contains some; name one: {', '.join(below[:5])}")
    raise NotARunError(f"{folder} is not a run directory: it has no {names.RUN_FILE}; {hint}")


def _segments(history: Path, header: RunHeader, problems: list[str]) -> Iterator[Segment]:
    for number, path in numbered(history, names.SEGMENT_NAME):
        try:
            segment = read_segment(path, number, header.version)
        except DamagedError:
            # Without windows, the process died before its segment began. Windows that exist name their first update,
            # and they count, because they supersede others.
            windows = list(_segment_windows(Segment(path, number, 0), header, []))
            exists = lexists(path / names.SEGMENT_FILE)
            try:
                segment = read_segment(path, number, header.version)  # a writer may have begun it meanwhile
            except DamagedError as error:
                if windows or exists:
                    problems.append(str(error))
                if not windows:
                    continue
                segment = Segment(path, number, windows[0].first_update - 1)
        try:
            segment = with_end(segment)
        except DamagedError as error:
            problems.append(str(error))
        yield segment


def _segment_windows(segment: Segment, header: RunHeader, problems: list[str]) -> Iterator[Window]:
    specs = {layer.name: layer for layer in header.layers}
    # Read the marks first: a writer that is still running marks a window only after it is complete.
    marked = _marked(segment.folder, header.version, problems)
    for number, folder in numbered(segment.folder, names.WINDOW_NAME):
        try:
            if complete(folder):
                marked.discard(number)
                window = open_window(number, folder, segment, header, specs)
                problems.extend(contradicting_start(window, segment))
                yield window
        except RecuError as error:
            marked.discard(number)
            problems.append(str(error))
    problems.extend(
        f"window {number} ({segment.folder / names.window_name(number)}) is missing, although its metrics were logged"
        for number in sorted(marked)
    )


def _marked(segment: Path, version: int, problems: list[str]) -> set[int]:
    """Numbers of the windows in a segment's metrics; unreadable metrics are added to `problems`."""
    try:
        return {mark["window"] for mark in read_marks(segment, version) if type(mark.get("window")) is int}
    except RecuError as error:
        problems.append(str(error))
        return set()


def contradicting_start(window: Window, segment: Segment) -> list[str]:
    """A sentence about a window that contradicts the start update of its segment, as a list of at most one."""
    start, last = segment.start_update, window.last_update
    if last >= start and not (segment.number and window.header.is_state and last > start):
        return []
    return [
        f"{window.where} ends at update {last}, but {segment.folder / names.SEGMENT_FILE} starts from update {start}"
    ]
