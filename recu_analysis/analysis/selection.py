"""Which windows of a run a caller chose, and the errors if there are none."""

from __future__ import annotations

import inspect
import math
import re
import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from recu_analysis.analysis.logged import logged
from recu_analysis.errors import InputError, WindowNotFoundError, WindowsWarning, kind_of_value
from recu_analysis.store.chain import begins_anew, start_known
from recu_analysis.store.layer_selection import numbers_text, window_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from recu_analysis.store.run import Run
    from recu_analysis.store.window import Window


@dataclass(frozen=True, slots=True)
class WindowSpan:
    """Windows of a run by their numbers, from `start` up to but without `stop`, like a slice.

    Raises
    ------
    InputError
        If a number is not a whole number or is below 0, or the span is empty.
    """

    start: int
    stop: int

    def __post_init__(self) -> None:
        for name in ("start", "stop"):
            object.__setattr__(self, name, window_number(getattr(self, name)))
        if self.stop <= self.start:
            raise InputError(f"the windows {self} are empty; the end of a span must be after its start")

    @property
    def last(self) -> int:
        """Number of the last window."""
        return self.stop - 1

    def __str__(self) -> str:
        return f"{self.start}:{self.stop}"

    def __contains__(self, number: int) -> bool:
        return self.start <= number < self.stop


#: A choice of windows by their numbers: 12, slice(8, 13), "8:13" (without 13), "8:", ":13", or a span.
Windows: TypeAlias = int | slice | str | WindowSpan


def as_slice(windows: Windows) -> slice:
    """A choice of windows as a slice of numbers, whose ends may be open.

    Raises
    ------
    InputError
        If it is not a choice of windows, or an empty one.
    """
    if isinstance(windows, WindowSpan):
        return slice(windows.start, windows.stop)
    if isinstance(windows, str):
        return _parsed(windows)
    if not isinstance(windows, slice):
        if not hasattr(windows, "__index__"):
            raise InputError(
                f"windows must be a number, a slice, a text such as {_written(windows)!r} or a WindowSpan, not "
                f"{kind_of_value(windows)}"
            )
        number = window_number(windows)
        return slice(number, number + 1)
    if windows.step not in (None, 1):
        raise InputError(
            f"windows are merged without gaps; give a slice without a step, not with step {windows.step!r}"
        )
    start, stop = (None if end is None else window_number(end) for end in (windows.start, windows.stop))
    if stop is not None:
        WindowSpan(start or 0, stop)  # refuses an empty one
    return slice(start, stop)


def _written(windows: Any) -> str:
    """Consecutive numbers, such as [3, 4, 5], as a text for the same windows; 8:13 for anything else."""
    numbers = list(windows) if isinstance(windows, list | tuple | range) else []
    whole = bool(numbers) and all(type(number) is int for number in numbers)
    in_a_row = whole and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return f"{numbers[0]}:{numbers[-1] + 1}" if in_a_row else "8:13"


def _parsed(text: str) -> slice:
    parts = re.fullmatch(r"([0-9]{1,15})|([0-9]{0,15}):([0-9]{0,15})", text.strip())
    if parts is None:
        raise InputError(f"windows are written 12, 8:13 (without 13), 8: or :13, not {text!r:.60}")
    number, start, stop = parts.groups()
    return as_slice(int(number) if number else slice(*(int(end) if end else None for end in (start, stop))))


def span_text(windows: Windows) -> str:
    """A choice of windows as it is written on the command line, such as 8:13, 8: or 12."""
    if not isinstance(windows, slice):
        return str(windows)
    start, stop = ("" if end is None else str(end) for end in (windows.start, windows.stop))
    return f"{start}:{stop}"


def span_of(run: Run, windows: Windows) -> WindowSpan:
    """The windows of a run that a caller chose, without open ends; numbers that the run does not have are skipped.

    If the run ends before the windows do, `WindowsWarning` tells it; the command line prints it as a note.

    Raises
    ------
    InputError
        If it is not a choice of windows, see `as_slice`.
    WindowNotFoundError
        If the run has none of them.
    """
    chosen = as_slice(windows)
    numbers = [window.number for window in run.windows]
    stop = chosen.stop if chosen.stop is not None else max(numbers, default=0) + 1
    inside = [number for number in numbers if (chosen.start or 0) <= number < stop]
    if not inside:
        wanted = span_text(windows)
        raise WindowNotFoundError(
            f"{run.path} has none of the windows {wanted}; it has {numbers_text(numbers) if numbers else 'no window'}"
        )
    if stop > numbers[-1] + 1:
        warnings.warn(WindowsWarning(str(run.path), numbers[-1], span_text(windows)), stacklevel=_outside())
    return WindowSpan(inside[0], inside[-1] + 1)


def _outside() -> int:
    """The level of the stack, as `warnings.warn` counts it for the caller, of the code that called this package."""
    package, frame, level = __name__.partition(".")[0], inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    return level


def moving_windows(run: Run) -> list[Window]:
    """The windows of a run that hold updates.

    Raises
    ------
    WindowNotFoundError
        If there is none.
    """
    windows = [window for window in run.windows if window.updates > 0]
    if not windows:
        lost = f" ({run.problems[0]})" if run.problems else ""
        if len(run.windows) and not run.windows[0].exact:
            raise WindowNotFoundError(
                f"{run.path} was imported from one checkpoint{lost}, which shows no movement; import two or more"
            )
        raise WindowNotFoundError(
            f"{run.path} holds no window with updates{lost}; the first one is written when mark() is called or the "
            "recording is closed"
        )
    return windows


def known_windows(run: Run) -> list[Window]:
    """The windows that hold updates since the last gap, all with a known start.

    A gap is a missing window, or updates that are in no window.

    Raises
    ------
    WindowNotFoundError
        If there is none.
    """
    windows = moving_windows(run)
    _ = windows[-1].before  # raises an error that names the missing window, if one is missing
    known: list[Window] = []
    for window in reversed(windows):
        if not start_known(window):
            break
        known.append(window)
        if begins_anew(window):
            break
    return known[::-1]


def windows_before(first: Window, count: int) -> list[Window]:
    """Up to so many windows with updates just before one, all with a known start and without a gap; in order."""
    found: list[Window] = []
    window = first
    while len(found) < count and window.connected and window.before.updates and start_known(window.before):
        window = window.before
        found.insert(0, window)
    return found


def select_windows(run: Run, chosen: WindowSpan) -> list[Window]:
    """The windows of a span that hold updates.

    Raises
    ------
    WindowNotFoundError
        If there is none.
    """
    selected = [window for window in moving_windows(run) if window.number in chosen]
    if not selected:
        raise WindowNotFoundError(f"the windows {chosen} of {run.path} hold no updates; window 0 is the initial state")
    return selected


def rows_of(run: Run, table: pd.DataFrame, windows: Windows | None) -> pd.DataFrame:
    """The rows of the windows that a caller chose, of a table with a column `window`; all rows for None.

    Raises
    ------
    InputError
        As in `span_of`.
    WindowNotFoundError
        As in `span_of`, or if the table has no row of these windows.
    """
    if windows is None:
        return table
    span = span_of(run, windows)
    chosen: pd.DataFrame = table[(table["window"] >= span.start) & (table["window"] < span.stop)].reset_index(drop=True)
    if chosen.empty:
        raise WindowNotFoundError(f"this table has no row of the windows {span} of {run.path}; choose other windows")
    return chosen


def window_epochs(run: Run) -> dict[int, float]:
    """The epoch logged with each window, by the window's number; windows without a finite epoch are left out."""
    numbers = logged(run, "window", "epoch").astype(float)
    known = numbers[np.isfinite(numbers).all(axis=1)]
    return dict(zip(known["window"].astype(int), known["epoch"], strict=True))


def with_epochs(run: Run, table: pd.DataFrame, at: int) -> pd.DataFrame:
    """Insert the epoch of each window as column number `at` of a table with a column `window`; NaN where unknown.

    The given table is changed and returned.
    """
    epochs = window_epochs(run)
    table.insert(at, "epoch", [epochs.get(number, float("nan")) for number in table["window"]])
    return table


def decay_time(run: Run) -> float:
    """T of a run: the sum of lr * weight decay / (1 - momentum) over its updates, for the layer with the largest sum.

    NaN if some of its updates are in no window, or if it is not defined for the optimizer of a layer.
    """
    if any(not later.follows(window) for window, later in pairwise(run.windows)):
        return float("nan")
    sums = dict.fromkeys(run.layer_names, 0.0)
    for window in run.windows:
        for name in sums:
            sums[name] += window[name].summary.decay_time
    return math.nan if any(map(math.isnan, sums.values())) else max(sums.values())


def begins_training(windows: Sequence[Window]) -> bool:
    """Whether windows begin with the training: the size of the gradients changes much there, so norms tell little."""
    return windows[0].first_update == 1
