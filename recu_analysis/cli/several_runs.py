"""What a command that shows several runs says of them before its table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recu_analysis.cli import options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recu_analysis.store.run import Run


def warn_of_sampled(runs: Mapping[str, Run]) -> None:
    """Say which runs were imported from checkpoints."""
    from recu_analysis.analysis.arms import sampled

    some = [label for label, run in runs.items() if sampled(run)]
    if some:
        whole = "; do not compare their movement with that of the others" if len(some) < len(runs) else ""
        options.warn(f"{', '.join(some)}: sampled from checkpoints, movement is net and flips are missed{whole}")


def warn_of_short(runs: Mapping[str, Run]) -> None:
    """Say which runs have no windows that are long enough."""
    from recu_analysis.analysis.final_windows import LONG_ENOUGH, final_windows

    short = [label for label, run in runs.items() if final_windows(run).autocorrelation > LONG_ENOUGH]
    if short:
        options.warn(
            f"autocorrelation stays above {LONG_ENOUGH} in {', '.join(short)}: too short to tell dead from slow"
        )


def warn_of_seeds(runs: Mapping[str, Run]) -> None:
    """Say which runs have no known seed, and which seeds ended at other points."""
    from recu_analysis.analysis.arms import arms, seedless, uneven

    alone = seedless(runs)
    if alone and len(runs) > 1:
        options.warn(
            f"{', '.join(alone)}: no seed in the configuration, so each is an experiment by itself; record with "
            "configuration={'seed': ...} what are seeds of one, or say so in a list of runs"
        )
    for arm in arms(runs):
        if lengths := uneven(arm.runs):
            options.warn(f"seeds of one experiment are not alike, for {lengths}")
