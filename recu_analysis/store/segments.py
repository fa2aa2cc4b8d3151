"""What lies in a run directory: segments, the folders of their windows, and the lines of their metrics."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recu_analysis.errors import DamagedError
from recu_analysis.store import format as names
from recu_analysis.store.sealing import load_json, load_mark, unsealed
from recu_analysis.store.tensors import read_small

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Segment:
    """What one process recorded.

    Attributes
    ----------
    folder : Path
    number : int
    start_update : int
        The update that it started from.
    marks_before : int or None
        Lines of metrics that the segment before had then; None where that is not told.
    one_optimizer : bool
        Whether it says that one optimizer made all its updates.
    """

    folder: Path
    number: int
    start_update: int
    marks_before: int | None = None
    one_optimizer: bool = False


def folders(path: Path) -> list[Path]:
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
    return sorted((int(match[1]), folder) for folder in folders(path) if (match := pattern.fullmatch(folder.name)))


def missing_places(history: Path) -> list[str]:
    """A sentence for every folder of segments that must have been there and is not.

    run.json is written after the first segment has begun, and segments are numbered without holes.
    """
    if not os.path.lexists(history):
        return [f"{history} is missing, with all windows of the run"]
    if history.is_symlink() or not history.is_dir():
        return [f"{history} is a link or a file, where a folder was written"]
    numbers = {number for number, _ in numbered(history, names.SEGMENT_NAME)}
    places = (
        history / names.segment_name(number) for number in range(max(numbers, default=0)) if number not in numbers
    )
    absent = [*places] if numbers else [history / names.segment_name(0)]
    return [f"{place} is missing, with what was recorded in it" for place in absent if not os.path.lexists(place)]


def read_segment(folder: Path, number: int, version: int) -> Segment:
    """The segment in a folder; DamagedError if its file is missing or does not say from which update it goes on."""
    file = folder / names.SEGMENT_FILE
    load = load_json if version == 1 else unsealed
    content = load(read_small(file, str(file)), str(file))
    start, marks = content.get("start_update"), content.get("marks_before")
    if type(start) is not int or start < 0:
        raise DamagedError(f"{file} is not what was written there: it names no update to start from")
    if content.get("segment") != number:
        raise DamagedError(f"{file} is not what was written there: it is not that of segment {number}")
    if marks is not None and (type(marks) is not int or marks < 0):
        raise DamagedError(f"{file} is not what was written there: it counts {marks!r:.40} lines of metrics")
    return Segment(folder, number, start, marks, _has_one_optimizer(content.get("environment")))


def _has_one_optimizer(environment: Any) -> bool:
    """Whether an environment says so; of a thinned run it tells the optimizers with which the other one began."""
    if not isinstance(environment, dict) or "thinned" in environment:
        return False
    optimizers = environment.get("optimizers")
    return isinstance(optimizers, list) and len(optimizers) == 1


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


def count_marks(segment: Path) -> int:
    """How many whole lines of metrics a segment's folder has; DamagedError where they cannot be read."""
    path = segment / names.METRICS_FILE
    return read_small(path, str(path), names.MAX_METRICS_BYTES).count(b"\n") if os.path.lexists(path) else 0


def lost_marks(segment: Path, logged: int) -> str | None:
    """What is said where a segment has fewer lines of metrics than were logged; None where it has all of them."""
    file = segment / names.METRICS_FILE
    found = count_marks(segment)
    if found >= logged:
        return None
    return (
        f"{file} ends after {found} of the {logged} lines that were logged at least"
        if found
        else (f"{file} has none of the {logged} lines that were logged at least")
    )


def shards(folder: Path) -> list[str]:
    """Names of the shards in a window's folder; none where the process died before the window was whole."""
    try:
        return sorted(entry.name for entry in folder.iterdir() if names.SHARD_NAME.fullmatch(entry.name))
    except OSError as error:
        raise DamagedError(f"{folder} cannot be read: {error.strerror}") from None


def limit(segment: Segment, segments: Sequence[Segment]) -> float:
    """The last update of a segment that later segments leave in force."""
    return min((later.start_update for later in segments if later.number > segment.number), default=float("inf"))
