"""The files of a run directory: segments, the folders of their windows, and the lines of their metrics."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recu_analysis.errors import DamagedError
from recu_analysis.store import format as names
from recu_analysis.store.object_path import ObjectPath
from recu_analysis.store.places import lexists
from recu_analysis.store.sealing import load_json, load_mark, unsealed
from recu_analysis.store.tensors import read_small

#: Missing segments in a row that are named before the rest is counted.
LISTED = 5

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Segment:
    """The recording of one process.

    Attributes
    ----------
    folder : Path
    number : int
    start_update : int
        Update from which the recording started.
    marks_before : int or None
        Number of lines of metrics in the segment before, at the start; None if unknown.
    one_optimizer : bool
        Whether one optimizer is known to have made all updates.
    marks, last_window : int or None
        Number of its lines of metrics and of its last window when the recording ended; None if unknown.
    """

    folder: Path
    number: int
    start_update: int
    marks_before: int | None = None
    one_optimizer: bool = False
    marks: int | None = None
    last_window: int | None = None


def folders(path: Path) -> list[Path]:
    """The subfolders of a folder in the order of their names, without links."""
    if isinstance(path, ObjectPath):
        return sorted(each for each in (path.iterdir() if path.is_dir() else ()) if each.is_dir())
    try:
        if not path.is_dir() or path.is_symlink():
            return []
        with os.scandir(path) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError as error:
        raise DamagedError(f"{path} cannot be read: {error.strerror}") from None


def numbered(path: Path, pattern: re.Pattern[str]) -> list[tuple[int, Path]]:
    """The subfolders whose names match a pattern, in the order of their numbers, each after its number."""
    return sorted((int(match[1]), folder) for folder in folders(path) if (match := pattern.fullmatch(folder.name)))


def missing_places(history: Path) -> list[str]:
    """A sentence for each segment folder that is missing.

    run.json is written after the first segment has begun, and segments are numbered without gaps.
    """
    if not lexists(history):
        return [f"{history} is missing, with all windows of the run"]
    if history.is_symlink() or not history.is_dir():
        return [f"{history} is a link or a file, not a folder"]
    numbers = [-1, *(number for number, _ in numbered(history, names.SEGMENT_NAME))]
    found = []
    for before, after in pairwise(numbers if numbers[1:] else [-1, 1]):
        looked_for = range(before + 1, min(after, before + 1 + LISTED))  # a folder may have any number
        places = [history / names.segment_name(number) for number in looked_for]
        found += [f"{place} is missing, with all that was recorded in it" for place in places if not lexists(place)]
        if after > looked_for.stop:
            found.append(
                f"{after - looked_for.stop} more segments before {history / names.segment_name(after)} are missing"
            )
    return found


def read_segment(folder: Path, number: int, version: int) -> Segment:
    """Read the segment in a folder; raise DamagedError if its file is missing or not valid."""
    file = folder / names.SEGMENT_FILE
    load = load_json if version == 1 else unsealed
    content = load(read_small(file, str(file)), str(file))
    start, marks = content.get("start_update"), content.get("marks_before")
    if type(start) is not int or start < 0:
        raise DamagedError(f"{file} is damaged: it has no start update")
    if content.get("segment") != number:
        raise DamagedError(f"{file} is damaged: it is not the file of segment {number}")
    if marks is not None and (type(marks) is not int or marks < 0):
        raise DamagedError(f"{file} is damaged: its number of lines of metrics is {marks!r:.40}")
    return Segment(folder, number, start, marks, _has_one_optimizer(content.get("environment")))


def _has_one_optimizer(environment: Any) -> bool:
    """Whether an environment lists exactly one optimizer; in a thinned run the list is of the original run."""
    if not isinstance(environment, dict) or "thinned" in environment:
        return False
    optimizers = environment.get("optimizers")
    return isinstance(optimizers, list) and len(optimizers) == 1


def read_marks(segment: Path, version: int) -> Iterator[dict[str, Any]]:
    """Yield the lines of metrics of one segment; raise DamagedError at a damaged line.

    Parameters
    ----------
    segment : Path
        Folder of the segment.
    version : int
        Format of the run.
    """
    path = segment / names.METRICS_FILE
    if not lexists(path):
        return
    where = str(path)
    lines = io.BytesIO(read_small(path, where, names.MAX_METRICS_BYTES))
    for index, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            if version > 1 and _is_whole(line[:-1]):
                raise DamagedError(f"line {index} of {where} is damaged: its end is not a line break")
            return  # the process died while it wrote this line
        mark = load_mark(line, index, f"line {index} of {where}", version)
        if not isinstance(mark.get("update"), int):
            raise DamagedError(f"line {index} of {where} is damaged: it names no update")
        yield mark


def _is_whole(line: bytes) -> bool:
    """Whether a text is a whole line of metrics, without its line break."""
    try:
        unsealed(line, "")
    except DamagedError:
        return False
    return True


def count_marks(segment: Path) -> int:
    """Number of complete lines of metrics in a segment's folder; raise DamagedError if they cannot be read."""
    path = segment / names.METRICS_FILE
    return read_small(path, str(path), names.MAX_METRICS_BYTES).count(b"\n") if lexists(path) else 0


def lost_marks(segment: Path, logged: int, ended: int | None = None) -> str | None:
    """A sentence about a segment with other lines of metrics than were logged; None if it has all of them.

    Parameters
    ----------
    segment : Path
    logged : int
        Number of lines that it has at least.
    ended : int, optional
        Number of lines at the end of the recording.
    """
    file = segment / names.METRICS_FILE
    found = count_marks(segment)
    if ended is not None and found > ended:
        return f"{file} has {found} lines, but the recording ended with {ended}"
    if found >= logged:
        return None
    return (
        f"{file} ends after {found} of at least {logged} logged lines"
        if found
        else f"{file} has none of at least {logged} logged lines"
    )


def shards(folder: Path) -> list[str]:
    """Names of the shards in a window's folder; none if the process died before the window was complete."""
    try:
        return sorted(entry.name for entry in folder.iterdir() if names.SHARD_NAME.fullmatch(entry.name))
    except OSError as error:
        raise DamagedError(f"{folder} cannot be read: {error.strerror}") from None


def limit(segment: Segment, segments: Sequence[Segment]) -> float:
    """The last update of a segment that no later segment supersedes."""
    return min((later.start_update for later in segments if later.number > segment.number), default=float("inf"))
