"""Check of every file of a run directory: all checksums, and missing files."""

from __future__ import annotations

import contextlib
import re
import stat
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.errors import DamagedError, RecuError, StoreError
from recu_analysis.store import format as names
from recu_analysis.store.chain import gap, missing_before
from recu_analysis.store.consistency import odd_flips, odd_traces, odd_transitions
from recu_analysis.store.ends import with_end
from recu_analysis.store.object_path import failed
from recu_analysis.store.opening import complete, open_window
from recu_analysis.store.places import lexists
from recu_analysis.store.quantities import TRACES, UNION, tensors_of
from recu_analysis.store.run import Run, as_run, open_run, read_header
from recu_analysis.store.sealing import load_json, respelled, seal
from recu_analysis.store.segments import Segment, limit, missing_places, numbered, read_marks, read_segment, shards
from recu_analysis.store.tensors import TensorFile, TornError, read_small

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import OneRun
    from recu_analysis.store.window import LayerRecord, Window

#: Possible verdicts on a file. Those in DAMAGE mean that recorded data is lost.
VERDICTS = ("whole", "partial", "superseded", "unfinished", "torn", "damaged", "missing")
DAMAGE = ("torn", "damaged", "missing")
#: Paths of folders. A problem with the path of a damaged folder in it may be about another file in that folder.
_FOLDERS = re.compile(rf".*({names.HISTORY}|{names.SEGMENT_NAME.pattern})")


@dataclass(frozen=True, slots=True)
class FileStatus:
    """The status of one file, or of a missing one, whose `bytes` are None."""

    file: str
    verdict: str
    segment: int | None = None
    window: int | None = None
    first_update: int | None = None
    last_update: int | None = None
    bytes: int | None = None
    detail: str = ""


def verify(run: OneRun) -> pd.DataFrame:
    """Read every file of a run directory, compare every checksum, and report missing files.

    A recording that is still running is not damage.

    Parameters
    ----------
    run : one Run or path
        The folder is read anew, whatever an opened run has seen of it.

    Returns
    -------
    DataFrame
        One row per file: file (relative to the folder), verdict, segment, window, first_update, last_update, bytes,
        detail (a sentence or empty; for a whole window, the updates before it that are in no window). Verdicts: whole;
        partial (a whole window whose recording stopped before its mark); superseded (whole, but hidden by a later
        resumption); unfinished (being written, or left by a process that died, and never part of the run); torn (cut
        short, or longer than when it was written); damaged; missing. No recorded data is lost if no verdict is in
        `DAMAGE`: torn, damaged, missing.

    Raises
    ------
    NotARunError
        If there is no run directory at the path.
    DamagedError
        If run.json, which describes the other files, cannot be read.
    InputError
        If `run` is neither a run nor a path.
    StoreError
        If the folder cannot be read.
    """
    import pandas as pd

    run = open_run(run.path) if isinstance(run, Run) else as_run(run)
    try:
        statuses = list(_statuses(run))
    except OSError as error:
        raise StoreError(f"{run.path} cannot be read: {error.strerror}") from None
    failed(run.path)
    rows = [asdict(status) | {"file": status.file.removeprefix(f"{run.path}/")} for status in statuses]
    return pd.DataFrame(rows, dtype="object")  # keeps whole numbers in columns with None


def _statuses(run: Run) -> Iterator[FileStatus]:
    damaged: list[FileStatus] = []
    for status in _files(run):
        yield status
        if status.verdict in DAMAGE:
            damaged.append(status)
    # Contradictions between windows and segments are not visible in a single file.
    for problem in run.problems:
        if not any(_reports(status, problem) for status in damaged):
            yield FileStatus(str(run.path / names.HISTORY), "damaged", detail=problem)


def _reports(status: FileStatus, problem: str) -> bool:
    """Whether the status of a file already reports a problem of the run, possibly in other words."""
    return problem in status.detail or (status.file in problem and not _FOLDERS.fullmatch(status.file))


def _files(run: Run) -> Iterator[FileStatus]:
    history, checkpoints = run.path / names.HISTORY, run.path / names.CHECKPOINTS
    yield _sealed_file(run.path / names.RUN_FILE, lambda: read_header(run.path))
    yield from _refusal(run)
    for text in missing_places(history):
        yield FileStatus(str(history), "missing", detail=text)
    yield from _links(history, names.SEGMENT_NAME)
    yield from _leftovers(history)
    unseen = {str(window.file.path): gap(window) or "" for window in run.windows}
    for number, folder in numbered(history, names.SEGMENT_NAME):
        for status in _segment(run, number, folder):
            yield replace(status, detail=status.detail or unseen.get(status.file, ""))
    if not checkpoints.is_symlink():
        yield from (_checkpoint(file) for file in sorted(checkpoints.glob("*.safetensors")))


def _refusal(run: Run) -> Iterator[FileStatus]:
    """The status of refused.json, if the recorder refused the run."""
    file = run.path / names.REFUSED_FILE
    if lexists(file):
        yield FileStatus(str(file), "damaged", bytes=file.lstat().st_size, detail=run.problems[0])


def _links(folder: Path, pattern: re.Pattern[str]) -> Iterator[FileStatus]:
    """The status of links and files with the name of a folder; readers ignore them."""
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        if pattern.fullmatch(entry.name) and (entry.is_symlink() or not entry.is_dir()):
            yield FileStatus(str(entry), "damaged", detail=f"{entry} is a link or a file, not a folder")


def _leftovers(folder: Path) -> list[FileStatus]:
    """The status of each file in a staging folder; files that a writer moves away meanwhile are ignored."""
    found: list[FileStatus] = []
    if folder.is_symlink():
        return found
    with contextlib.suppress(FileNotFoundError):
        for file in sorted(folder.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                properties = file.lstat()
                if stat.S_ISREG(properties.st_mode):
                    size, text = properties.st_size, f"{file} is not completely written"
                    found.append(FileStatus(str(file), "unfinished", bytes=size, detail=text))
    return found


def _segment(run: Run, number: int, folder: Path) -> Iterator[FileStatus]:
    # Read the marks first: a writer that is still running marks a window only after it is complete.
    metrics, marked = _marks(number, folder, run.header.version)
    rows = sorted(_windows(run, number, folder, marked), key=lambda row: -1 if row.window is None else row.window)
    yield _start(number, folder, run.header.version, began=any(row.bytes is not None for row in rows))
    yield from _end(number, folder)
    yield from _cut_short(run, folder, metrics)
    last = max((row.window or 0 for row in rows if row.bytes is not None), default=-1)
    for row in rows:
        lost = row.verdict == "unfinished" and row.window is not None and (row.window < last or row.window in marked)
        yield _missing(row.file, number, row.window, row.detail) if lost else row
    yield from _leftovers(folder / names.STAGING)


def _cut_short(run: Run, folder: Path, found: Sequence[FileStatus]) -> Iterator[FileStatus]:
    """The status of a segment's metrics; torn or missing if lines at the end are lost."""
    file = str(folder / names.METRICS_FILE)
    lost = [problem for problem in run.problems if problem.startswith(f"{file} ")]
    if not lost or any(status.verdict in DAMAGE for status in found):
        yield from found
    elif found:
        yield from (replace(status, verdict="torn", detail=lost[0]) for status in found)
    else:
        yield FileStatus(file, "missing", detail=lost[0])


def _missing(file: str, segment: int, window: int | None, detail: str) -> FileStatus:
    return FileStatus(file, "missing", segment, window, detail=detail)


def _start(number: int, folder: Path, version: int, *, began: bool) -> FileStatus:
    """The status of segment.json; if it and all windows are missing, the process died before the segment began."""
    file = folder / names.SEGMENT_FILE
    if not file.is_symlink() and not file.exists():
        verdict, why = (
            ("missing", "is missing") if began else ("unfinished", "was not written: the process died before it")
        )
        return FileStatus(str(file), verdict, number, detail=f"{file} {why}")
    return _sealed_file(file, lambda: read_segment(folder, number, version), number)


def _end(number: int, folder: Path) -> Iterator[FileStatus]:
    """The status of end.json, if the recording ended."""
    file = folder / names.END_FILE
    if lexists(file):
        yield _sealed_file(file, lambda: with_end(Segment(folder, number, 0)), number)


def _sealed_file(file: Path, read: Callable[[], object], segment: int | None = None) -> FileStatus:
    """The status of a small file that `read` reads, or refuses."""
    size = file.lstat().st_size
    try:
        read()
        if respelled(read_small(file, str(file))):
            raise DamagedError(f"{file} is damaged: a character of it changed, though no value in it")
    except RecuError as error:
        return FileStatus(str(file), "damaged", segment, bytes=size, detail=str(error))
    return FileStatus(str(file), "whole", segment, bytes=size)


def _marks(number: int, folder: Path, version: int) -> tuple[list[FileStatus], set[int]]:
    """The status of a segment's metrics, and the numbers of the windows in them."""
    file = folder / names.METRICS_FILE
    marked: set[int] = set()
    try:
        for mark in read_marks(folder, version):
            if type(mark.get("window")) is int:
                marked.add(mark["window"])
    except RecuError as error:
        return [FileStatus(str(file), "damaged", number, bytes=file.lstat().st_size, detail=str(error))], marked
    found = [FileStatus(str(file), "whole", number, bytes=file.lstat().st_size)] if file.exists() else []
    return found, marked


def _windows(run: Run, number: int, folder: Path, marked: set[int]) -> Iterator[FileStatus]:
    """The status of every shard of a segment, and of windows that are missing before or between others."""
    yield from _links(folder, names.WINDOW_NAME)
    places = numbered(folder, names.WINDOW_NAME)
    lost = {index for index in marked if not lexists(folder / names.window_name(index))}
    for index in sorted(lost):
        file = folder / names.window_name(index)
        text = f"window {index} ({file}) is missing, although its metrics were logged"
        yield _missing(str(file), number, index, text)
    before: Window | None = None
    for index, place in places:
        statuses, window = _shards(run, Segment(folder, number, 0), index, place)
        if window is None:
            lost.add(index)
        else:
            if not _goes_on(window, before, lost):
                yield _missing(str(folder), number, None, missing_before(window))
            before = window
        yield from statuses


def _goes_on(window: Window, before: Window | None, lost: set[int]) -> bool:
    """Whether a window follows the one before, or the windows between them are known to be lost."""
    if window.updates == 0:
        return True  # a state, at which a recording begins again
    if before is not None and window.follows(before):
        return True
    return any((before.number if before else -1) < other < window.number for other in lost)


def _shards(run: Run, segment: Segment, number: int, place: Path) -> tuple[list[FileStatus], Window | None]:
    """The status of every shard of a window, and the window if it has all of them and they are sound."""
    fields: dict[str, Any] = {"segment": segment.number, "window": number}
    try:
        found, wanted = shards(place), complete(place)
    except RecuError as error:
        return [FileStatus(str(place), "damaged", **fields, detail=str(error))], None
    if not wanted:
        text = f"{place} {f'has only {len(found)} of its shards, such as {found[0]}' if found else 'is empty'}"
        return [FileStatus(str(place), "unfinished", **fields, detail=text)], None
    others = [
        FileStatus(str(place / name), "damaged", **fields, detail=f"{place / name} does not belong in this folder")
        for name in found
        if name not in wanted
    ]
    own, window = _whole(run, segment, number, [place / name for name in wanted])
    return [*own, *others], window


def _whole(run: Run, segment: Segment, number: int, files: Sequence[Path]) -> tuple[list[FileStatus], Window | None]:
    """The status of all shards of a window, and the window if they are sound."""
    rows = [FileStatus(str(file), "whole", segment.number, number, bytes=file.lstat().st_size) for file in files]
    specs = {spec.name: spec for spec in run.header.layers}
    try:
        window = open_window(number, files[0].parent, segment, run.header, specs)
        first, last = window.first_update, window.last_update
        rows = [replace(row, first_update=first, last_update=last) for row in rows]
        check_window(window)
    except (RecuError, OSError) as error:
        return _unsound(rows, error), None
    superseded = window.last_update > limit(segment, run.segments)
    verdict = "superseded" if superseded else "partial" if window.partial else "whole"
    return [replace(row, verdict=verdict) for row in rows], window


def _unsound(rows: Sequence[FileStatus], error: Exception) -> list[FileStatus]:
    """The status of the shards of a window with an error: it is of those that it names, or of all if it names none."""
    verdict = "torn" if isinstance(error, TornError) else "damaged"
    named = {row.file for row in rows if row.file in str(error)} or {row.file for row in rows}
    return [replace(row, verdict=verdict, detail=str(error)) if row.file in named else row for row in rows]


def check_window(window: Window) -> None:
    """Read every tensor of a window.

    Raises
    ------
    DamagedError
        If a checksum differs, a tensor or its checksum is missing, or a tensor does not fit its layer; the message
        names the first such tensor and counts the others.
    """
    problems = {str(error): error for error in _problems(window)}
    if problems:
        text, error = next(iter(problems.items()))
        raise type(error)(text + (f"; {len(problems) - 1} more in this file" if len(problems) > 1 else ""))


def _problems(window: Window) -> Iterator[RecuError]:
    expected = {f"{kind}/{layer}" for layer, spec in window.specs.items() for kind in _tensors(window, spec)}
    for name in sorted(window.file.entries.keys() ^ window.header.digests.keys()):
        what = "tensor" if name in window.header.digests else "checksum of tensor"
        yield DamagedError(f"{window.where} is damaged: it has no {what} {name!r:.80}")
    for name in sorted((window.file.entries.keys() & window.header.digests.keys()) - expected):
        yield DamagedError(f"{window.where} is damaged: its tensor {name!r:.80} belongs to no layer of the run")
    for layer in window.specs:
        yield from _layer_problems(window[layer])


def _tensors(window: Window, spec: LayerSpec) -> tuple[str, ...]:
    optional = tensors_of(window.quantities, optional=True)
    allowed = (name for name in optional if spec.transform is None or name != "effective")
    return (*tensors_of(window.quantities, optional=False), *allowed)


def _layer_problems(record: LayerRecord) -> Iterator[RecuError]:
    for name in _tensors(record.window, record.spec):
        if record.window.quantities[name].merge == UNION:
            continue  # it is read with each of its value arrays
        try:
            record.array(name)
        except RecuError as error:
            yield error
    with contextlib.suppress(RecuError):  # reported above
        kept = [name for name in ("flips", "first_flip", "last_flip", "reversals") if record.holds(name)]
        values = dict(zip(kept, record.sparse(*kept)[1:], strict=True))
        for text in (*odd_flips(values), *_odd_transitions(record, values.get("flips"))):
            yield DamagedError(f"{record.window.where} is damaged: in layer {record.spec.name!r:.80} {text}")
        for text in _odd_traces(record):
            yield DamagedError(f"{record.window.where} is damaged: in layer {record.spec.name!r:.80} {text}")


def _odd_transitions(record: LayerRecord, flips: NDArray[Any] | None) -> Iterator[str]:
    """Clauses about transition counts that contradict the flips."""
    if flips is not None and record.holds("transitions"):
        total = int(flips.sum(dtype=np.int64))
        exact = record.window.exact
        yield from odd_transitions(record.transitions, record.spec.weights, record.summary, total, exact=exact)


def _odd_traces(record: LayerRecord) -> Iterator[str]:
    """Clauses about traces that do not end where the window does."""
    chosen = list(record.spec.traced)
    if chosen and record.summary.updates and all(name in record.window.quantities for name in TRACES):
        end, states = record.weight, record.states
        traced = {name: getattr(record, name) for name in TRACES}
        yield from odd_traces(traced, end.reshape(-1)[chosen], states.reshape(-1)[chosen], record.spec.quantizer.binary)


def _checkpoint(file: Path) -> FileStatus:
    """The status of a checkpoint; it is read again if a training replaced it meanwhile."""
    before, status, after = file.lstat(), _checkpoint_as_it_is(file), file.lstat()
    same = (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    return status if same else _checkpoint(file)


def _checkpoint_as_it_is(file: Path) -> FileStatus:
    """The status of a checkpoint by its checksums."""
    try:
        found = TensorFile(file, str(file))
        digests = load_json(found.metadata.get("digests", ""), str(file))
        if seal(found.metadata.get("position", "")) != found.metadata.get("seal"):
            raise DamagedError(f"{file} is damaged: its position does not match its seal")
        if digests.keys() != found.entries.keys():
            raise DamagedError(f"{file} is damaged: its tensors do not match its checksums")
        for name, expected in digests.items():
            found.read(name, expected)
    except RecuError as error:
        verdict = "torn" if isinstance(error, TornError) else "damaged"
        return FileStatus(str(file), verdict, bytes=file.lstat().st_size, detail=str(error))
    return FileStatus(str(file), "whole", bytes=file.lstat().st_size)
