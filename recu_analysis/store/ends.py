"""end.json: what a segment held when its recording ended, so that a loss at its end is found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from recu_analysis.errors import DamagedError
from recu_analysis.store import format as names
from recu_analysis.store.places import lexists
from recu_analysis.store.sealing import dump_json, sealed, unsealed
from recu_analysis.store.tensors import read_small

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from recu_analysis.store.segments import Segment
    from recu_analysis.store.window import Window


def end_text(segment: int, marks: int, last_window: int | None) -> str:
    """The content of end.json.

    Parameters
    ----------
    segment : int
        Number of the segment.
    marks : int
        Number of lines of its metrics.
    last_window : int or None
        Number of its last window; None if it has none.
    """
    return dump_json(
        sealed({"format": names.FORMAT_VERSION, "segment": segment, "marks": marks, "last_window": last_window})
    )


def with_end(segment: Segment) -> Segment:
    """The segment with what its end.json says; unchanged without that file, as while a recording goes on.

    Read it before the windows: a recording may end meanwhile.

    Raises
    ------
    DamagedError
        If the file is not valid.
    """
    file = segment.folder / names.END_FILE
    if not lexists(file):
        return segment
    content = unsealed(read_small(file, str(file)), str(file))
    marks, last_window = content.get("marks"), content.get("last_window")
    numbers = [marks] if last_window is None else [marks, last_window]
    if content.get("segment") != segment.number or not all(type(each) is int and each >= 0 for each in numbers):
        raise DamagedError(f"{file} is damaged: it is not the end of segment {segment.number}")
    return replace(segment, marks=marks, last_window=last_window)


def lost_windows(segments: Sequence[Segment], found: Sequence[Sequence[Window]], told: Sequence[str]) -> Iterator[str]:
    """A sentence if the last window of the last segment is not there.

    Windows missing elsewhere contradict the windows after them.

    Parameters
    ----------
    segments : sequence of Segment
    found : sequence of sequences of Window
        The windows that each segment has.
    told : sequence of str
        What is known to be wrong already.
    """
    if not segments or (last := segments[-1].last_window) is None:
        return
    place = segments[-1].folder / names.window_name(last)
    if all(window.number < last for window in found[-1]) and not any(f"{place}" in text for text in told):
        yield f"window {last} ({place}) is missing, although the recording ended with it"
