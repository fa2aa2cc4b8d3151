"""Warnings of commands that show several runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recu_analysis.cli import options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.run import Run


def warn_of_sampled(runs: Mapping[str, Run]) -> None:
    """Warn which runs were imported from checkpoints."""
    from recu_analysis.analysis.arms import sampled

    some = [label for label, run in runs.items() if sampled(run)]
    if some:
        whole = "; do not compare their movement with that of the other runs" if len(some) < len(runs) else ""
        options.warn(f"{', '.join(some)}: sampled from checkpoints, so movement is net and flips are missed{whole}")


def warn_of_short(runs: Mapping[str, Run], windows: Windows | None = None) -> None:
    """Warn in which runs the windows, or without a choice all windows, are not long enough."""
    from recu_analysis.analysis.final_windows import LONG_ENOUGH, judged_windows

    short = [label for label, run in runs.items() if judged_windows(run, windows).null > LONG_ENOUGH]
    if short:
        verb = "stays" if windows is None else "is"
        options.warn(
            f"null autocorrelation {verb} above {LONG_ENOUGH} in {', '.join(short)}: too short to tell dead weights "
            "from slow ones"
        )


def warn_of_seeds(runs: Mapping[str, Run]) -> None:
    """Warn which runs have no known seed, and which seeds of an experiment ended at different points."""
    from recu_analysis.analysis.arms import arms, seedless, uneven

    alone = seedless(runs)
    if alone and len(runs) > 1:
        options.warn(
            f"{', '.join(alone)}: no seed in the configuration, so each run is an experiment by itself; if they are "
            "seeds of one experiment, record them with configuration={'seed': ...}, or use a list of runs"
        )
    for arm in arms(runs):
        if lengths := uneven(arm.runs):
            options.warn(f"seeds of one experiment differ in length: {lengths}")
