"""Notes on the windows of a table: why they were chosen, and whether they are long enough."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from recu_analysis.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from recu_analysis.analysis.final_windows import FinalWindows
    from recu_analysis.store.run import Run


def choice(run: Run, final: FinalWindows | None) -> list[str]:
    """Why these windows were chosen, if the user named none."""
    from recu_analysis.analysis.selection import known_windows, moving_windows

    if final is None:
        return []
    half = "the last half of the run"
    if known_windows(run)[0].number > moving_windows(run)[0].number:
        half = "the last half of the windows after the last gap"
    if math.isnan(final.autocorrelation):
        return [f"{half}: every channel is constant, NaN or infinite"]
    if final.long:
        return [f"the final windows: autocorrelation at most 1/2 ({final.autocorrelation:.2f}, all layers)"]
    return [f"{half}: autocorrelation stays above 1/2 ({final.autocorrelation:.2f})"]


def tell_cut(runs: Iterable[Run], windows: slice | None) -> None:
    """Tell in one note which runs end before the last window that the user chose."""
    from recu_analysis.analysis.selection import span_text
    from recu_analysis.store.labels import labels_of

    if windows is None or windows.stop is None:
        return
    several = list(runs)
    cut: dict[int, list[str]] = {}
    for label, run in zip(labels_of(several), several, strict=True):
        last = run.windows[-1].number if len(run.windows) else -1
        if (windows.start or 0) <= last < windows.stop - 1:
            cut.setdefault(last, []).append(label)
    ends = [f"{', '.join(some)} end{'' if some[1:] else 's'} with window {last}" for last, some in cut.items()]
    if ends:
        options.note(f"{'; '.join(ends)}, so --windows {span_text(windows)} ends there")


def too_short(autocorrelations: Iterable[float]) -> list[str]:
    """In how many layers the windows are too short to tell dead from slow; empty if in none."""
    from recu_analysis.analysis.final_windows import LONG_ENOUGH

    of = list(autocorrelations)
    long = sum(autocorrelation > LONG_ENOUGH for autocorrelation in of)
    if not long:
        return []
    return [
        f"the autocorrelation (ac) is above {LONG_ENOUGH} in {long} of {len(of)} layers: there the windows are too "
        "short to tell dead weights from slow ones"
    ]
