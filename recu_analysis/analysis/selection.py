"""Which windows and layers of a run are meant, and what is said where there are none."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from recu_analysis.analysis.logged import logged
from recu_analysis.errors import InputError, WindowNotFoundError
from recu_analysis.store.chain import begins_anew, start_known
from recu_analysis.store.layer_selection import numbers_text

if TYPE_CHECKING:
    import pandas as pd

    from recu_analysis.store.run import Run
    from recu_analysis.store.window import Window


@dataclass(frozen=True, slots=True)
class WindowSpan:
    """Windows of a run by their numbers, from `start` up to `stop`, without `stop`, as a slice has it."""

    start: int
    stop: int

    @classmethod
    def parse(cls, text: str) -> WindowSpan:
        """The span that a user wrote: ``7`` for one window, ``10:20`` for 10 to 19.

        Raises
        ------
        InputError
            If the text is neither.
        """
        low, colon, high = text.partition(":")
        if not low.isdecimal() or (colon and not high.isdecimal()):
            raise InputError(f"a span of windows is written 7 or 10:20 (without 20), not {text!r}")
        span = cls(int(low), int(high) if colon else int(low) + 1)
        if span.stop <= span.start:
            raise InputError(f"the span of windows {text!r} is empty: its end is not past its start")
        return span

    @property
    def last(self) -> int:
        """Number of the last window."""
        return self.stop - 1

    def __str__(self) -> str:
        return f"{self.start}:{self.stop}"

    def __contains__(self, number: int) -> bool:
        return self.start <= number < self.stop


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
                f"{run.path} was imported from one checkpoint{lost}, which shows no movement; import several for that"
            )
        raise WindowNotFoundError(
            f"{run.path} holds no window with updates{lost}; the first one is written when mark() is called or the "
            "recording is closed"
        )
    return windows


def known_windows(run: Run) -> list[Window]:
    """The windows that hold updates, from the last gap on: those whose starts are known, and all after them are there.

    A gap is a window that is missing, or updates that are in no window.

    Raises
    ------
    WindowNotFoundError
        If there is none.
    """
    windows = moving_windows(run)
    _ = windows[-1].before  # says which window is missing, where one is
    known: list[Window] = []
    for window in reversed(windows):
        if not start_known(window):
            break
        known.append(window)
        if begins_anew(window):
            break
    return known[::-1]


def last_half(run: Run) -> WindowSpan:
    """The last half of a run's `known_windows`, rounded up."""
    windows = known_windows(run)
    return WindowSpan(windows[len(windows) // 2].number, windows[-1].number + 1)


def select_windows(run: Run, chosen: WindowSpan) -> list[Window]:
    """The windows of a range that hold updates.

    Raises
    ------
    WindowNotFoundError
        If the range asks for windows that the run does not have.
    """
    windows = moving_windows(run)
    present = {window.number for window in run.windows}
    if chosen.start not in present or chosen.last not in present:
        raise WindowNotFoundError(f"{run.path} has the windows {numbers_text(sorted(present))}, not all of {chosen}")
    selected = [window for window in windows if window.number in chosen]
    if not selected:
        raise WindowNotFoundError(f"the windows {chosen} of {run.path} hold no updates; window 0 is the initial state")
    return selected


def window_numbered(run: Run, number: int) -> Window:
    """The window of that number; WindowNotFoundError if there is none."""
    for window in run.windows:
        if window.number == number:
            return window
    raise WindowNotFoundError(f"{run.path} has no window {number}")


def window_epochs(run: Run) -> dict[int, float]:
    """The epoch that was logged with each window, by its number; windows without a finite number are left out."""
    numbers = logged(run, "window", "epoch").astype(float)
    known = numbers[np.isfinite(numbers).all(axis=1)]
    return dict(zip(known["window"].astype(int), known["epoch"], strict=True))


def with_epochs(run: Run, table: pd.DataFrame, at: int) -> pd.DataFrame:
    """A table with a column `window`, and the epoch of each window as its column number `at`; NaN where none is known.

    The table itself is changed.
    """
    epochs = window_epochs(run)
    table.insert(at, "epoch", [epochs.get(number, float("nan")) for number in table["window"]])
    return table


def decay_time(run: Run) -> float:
    """T of a run: the sum over its updates of lr * weight decay / (1 - momentum), of the layer with the largest.

    NaN where some of its updates are in no window.
    """
    if any(not later.header.follows(window.header) for window, later in pairwise(run.windows)):
        return float("nan")
    sums = dict.fromkeys(run.layer_names, 0.0)
    for window in run.windows:
        for name in sums:
            sums[name] += window[name].summary.decay_time
    return max(sums.values())
