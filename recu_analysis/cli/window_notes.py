"""Notes on the windows of a table: why they were chosen, whether they are long enough, and what they may carry."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

    from recu_analysis.analysis.final_windows import FinalWindows
    from recu_analysis.analysis.ground import Ground
    from recu_analysis.analysis.selection import WindowSpan
    from recu_analysis.store.run import Run

#: What the intervals over channels of a run cover.
OVER_CHANNELS = (
    "intervals over channels tell how a layer varies if other channels are drawn, not how another seed does, because "
    "all channels see the same minibatches"
)

#: What the words of a table mean for weights with more than two levels.
OF_STATES = "weights with more than two levels: for sign read state, and for zero the nearest threshold"


def all_signs(run: Run, layers: Iterable[str]) -> bool:
    """Whether the weights of these layers are binary."""
    shown = set(layers)
    return all(spec.quantizer.binary for spec in run.header.layers if spec.name in shown)


def choice(run: Run, final: FinalWindows | None) -> list[str]:
    """Why these windows were chosen, if the user named none."""
    from recu_analysis.analysis.rates import is_approximate
    from recu_analysis.analysis.selection import known_windows, moving_windows, select_windows

    if final is None:
        return []
    every = "all windows"
    if known_windows(run)[0].number > moving_windows(run)[0].number:
        every = "all windows after the last gap"
    if math.isnan(final.null):
        return [
            f"{every}: the null autocorrelation is not known, because the rates of the updates are not recorded or "
            "every channel is constant, NaN or infinite"
        ]
    about = ", approximate: decay was not recorded" if is_approximate(run, select_windows(run, final.span)) else ""
    if final.long:
        return [f"the final windows: null autocorrelation at most 1/2 ({final.null:.2f}, all layers{about})"]
    return [
        f"{every}: null autocorrelation above 1/2 ({final.null:.2f}{about}), too short to tell dead weights from slow "
        "ones"
    ]


def ground(runs: Mapping[str, Run], spans: Mapping[str, WindowSpan], of_layers: float | None) -> Ground:
    """What the windows of some runs carry for a verdict; `of_layers` is the null autocorrelation of chosen layers."""
    from recu_analysis.analysis.final_windows import judged_windows
    from recu_analysis.analysis.ground import ground_of

    if of_layers is not None:
        return ground_of(runs, spans, [of_layers], some_layers=True)
    return ground_of(runs, spans, [judged_windows(run, spans[label]).null for label, run in runs.items()])


def too_short(nulls: Iterable[float]) -> list[str]:
    """In how many layers the windows are too short to tell dead from slow; empty if in none."""
    from recu_analysis.analysis.final_windows import LONG_ENOUGH

    of = list(nulls)
    long = sum(null > LONG_ENOUGH for null in of)
    if not long:
        return []
    return [
        f"the null autocorrelation is above {LONG_ENOUGH} in {long} of {len(of)} layers: there the windows are too "
        "short to tell dead weights from slow ones"
    ]


def at_most(table: pd.DataFrame) -> list[str]:
    """In how many layers of a table of dead weights the null of silence is only a bound; empty if in none."""
    from recu_analysis.analysis.null import LIKE_NOISE, bounded_layers

    count = bounded_layers(table)
    if not count:
        return []
    low, high = LIKE_NOISE
    return [
        f"silence under noise is the most that noise would leave in {count} of {len(table)} layers, in which the core "
        f"moves less than {low:g} or more than {high:g} times as far as forecast"
    ]
