"""The answer at the beginning of a page: which weights are dead, whether that can be told, and what to do next."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.arms import sampled
from recu_analysis.analysis.deadness import totals
from recu_analysis.analysis.final_windows import LONG_ENOUGH
from recu_analysis.analysis.rendering import shown
from recu_analysis.analysis.selection import select_windows
from recu_analysis.analysis.short_names import shorten
from recu_analysis.analysis.window_text import windows_text
from recu_analysis.report.lines import LAYER_WIDTH, RUN_WIDTH, names
from recu_analysis.store.layer_selection import numbers_text
from recu_analysis.theory.intervals import student

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from recu_analysis.analysis.arms import Arm
    from recu_analysis.analysis.final_windows import FinalWindows
    from recu_analysis.report.lines import Name
    from recu_analysis.store.run import Run

    #: The table of `dead_weights` of each run by its label.
    Tables = Mapping[str, pd.DataFrame]
    Finals = Mapping[str, FinalWindows]

#: Of more arms than this, only the share of dead weights is stated; the layer table has the rest.
MOST_ARMS = 3
#: Fewer seeds than this give no useful interval.
FEW_SEEDS = 3


@dataclass(frozen=True, slots=True)
class Statement:
    """What is known of one arm, in sentences."""

    name: Name
    seeds: int
    sentences: list[str]


def answer(arms: Mapping[str, Arm], tables: Tables, finals: Finals) -> list[Statement]:
    """The sentences about each arm: its dead weights, tail and core, layers, and whether the windows are long enough.

    Parameters
    ----------
    arms : mapping of str to Arm
    tables : mapping of str to DataFrame
        `dead_weights` of every run, over its windows in `finals`.
    finals : mapping of str to FinalWindows
    """
    found = []
    for name, (label, arm) in zip(names(arms, RUN_WIDTH), arms.items(), strict=True):
        seeds = [totals(tables[each]) for each in arm.runs]
        sentences = [_dead(seeds, _windows(arm, finals))]
        if len(arms) <= MOST_ARMS:
            sentences += [*_by_layer([tables[each] for each in arm.runs]), _tail_and_core(seeds)]
        found.append(Statement(name, len(arms[label].runs), [*sentences, _length(arm, finals)]))
    return found


def _dead(seeds: Sequence[pd.Series[Any]], windows: str) -> str:
    return (
        f"{_share(seeds, 'dead_fraction')} of the latent weights are dead: they are in the tail at the start of "
        f"{windows}, and their sign does not change in these windows."
    )


def _share(seeds: Sequence[pd.Series[Any]], name: str) -> str:
    """A share in per cent, with the interval over seeds where there are several."""
    value = student([float(seed[name]) for seed in seeds])
    if math.isnan(value.estimate):
        return "An unknown share"
    ends = f" (95 % interval {shown(name, value.low)} to {shown(name, value.high)} %)"
    return f"{shown(name, value.estimate)} %{'' if math.isnan(value.low) else ends}"


def _by_layer(tables: Sequence[pd.DataFrame]) -> list[str]:
    """The range over layers; empty for one layer, or if no layer has a share."""
    shares = _layer_means(tables)
    if len(shares) < 2:
        return []
    least, most = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
    low, high = (shown("dead_fraction", shares[layer]) for layer in (least, most))
    return [f"By layer, from {low} % ({_layer(least)}) to {high} % ({_layer(most)})."]


def _layer(name: str) -> str:
    """The name of a layer, short enough for a sentence, and isolated: its letters may run from right to left."""
    return f"\N{FIRST STRONG ISOLATE}{shorten(name, LAYER_WIDTH)}\N{POP DIRECTIONAL ISOLATE}"


def _layer_means(tables: Sequence[pd.DataFrame]) -> dict[str, float]:
    """The share of dead weights by layer, mean over runs; layers without a known share are left out."""
    shares: dict[str, list[float]] = {}
    for table in tables:
        known = table.dropna(subset="dead_fraction")
        for layer, share in zip(known["layer"], known["dead_fraction"], strict=True):
            shares.setdefault(layer, []).append(float(share))
    return {layer: sum(each) / len(each) for layer, each in shares.items()}


def _tail_and_core(seeds: Sequence[pd.Series[Any]]) -> str:
    tail, core = (_share(seeds, f"silent_fraction_{part}") for part in ("tail", "core"))
    told = f"Silent in these windows: {tail} of the tail, {core} of the core."
    ratios = [seed["mobility_tail"] / seed["mobility_core"] for seed in seeds if seed["mobility_core"] > 0]
    value = student(ratios) if len(ratios) == len(seeds) else student([])
    if math.isnan(value.estimate):
        return told
    ends = "" if math.isnan(value.low) else f" (95 % interval {value.low:.3f} to {value.high:.3f})"
    return f"{told} In one update, the tail moves {value.estimate:.3f} times as far as the core{ends}."


def _windows(arm: Arm, finals: Finals) -> str:
    """The windows of an arm in words; of the first run if they differ, with a note."""
    texts = dict.fromkeys(windows_text(run, finals[label].span) for label, run in arm.runs.items())
    first, *others = texts
    windows = _numbers(arm.first, finals[next(iter(arm.runs))])
    return f"{windows} ({first.removeprefix(windows).strip(', ')}{'; other windows in other seeds' if others else ''})"


def _numbers(run: Run, final: FinalWindows) -> str:
    """The numbers of some windows, such as "windows 8 and 12"."""
    numbers = [window.number for window in select_windows(run, final.span)]
    return f"window{'s' * (len(numbers) > 1)} {numbers_text(numbers)}"


def _length(arm: Arm, finals: Finals) -> str:
    of_arm = {label: finals[label] for label in arm.runs}
    values = [each.autocorrelation for each in of_arm.values()]
    if any(map(math.isnan, values)):
        return (
            "It is unknown whether the windows are long enough to tell dead weights from slow ones, since no channel "
            "has finite, varying weights at their start and end."
        )
    if all(each.long for each in of_arm.values()):
        return (
            "The windows are long enough to tell dead weights from slow ones: their autocorrelation is "
            f"{_range(values)}, and at most {LONG_ENOUGH:g} is needed."
        )
    return (
        "The windows are too short to tell dead weights from slow ones: their autocorrelation is "
        f"{_range(values)}, above {LONG_ENOUGH:g}. Weights that count as dead here may only be slow."
    )


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


def next_steps(
    arms: Mapping[str, Arm], tables: Tables, finals: Finals, *, lacks_baseline: bool, windows_chosen: bool
) -> list[str]:
    """What to do next, in sentences; the most important first.

    Parameters
    ----------
    arms, tables, finals
        As in `answer`.
    lacks_baseline : bool
        Whether there are runs of the method, but none without it.
    windows_chosen : bool
        Whether a caller chose the windows.
    """
    runs = {label: run for arm in arms.values() for label, run in arm.runs.items()}
    short = [_longer(runs[label], final) for label, final in finals.items() if final.autocorrelation > LONG_ENOUGH]
    steps = [max(short)[1]] if short else []
    if short and windows_chosen:
        steps = ["Choose more windows, or none: the final windows are then just long enough, if the run has such."]
    few = [
        f"{name.short}: {len(arm.runs)}"
        for name, arm in zip(names(arms, RUN_WIDTH), arms.values(), strict=True)
        if len(arm.runs) < FEW_SEEDS
    ]
    if few:
        steps.append(
            f"Train at least {FEW_SEEDS} seeds of each arm (now {', '.join(few)}). One seed gives no interval, and two "
            "give a wide one."
        )
    if lacks_baseline:
        steps.append(
            "Train the same network without ReCU, and give it with --baseline. It shows the effect of the clamp."
        )
    if any(sampled(run) for run in runs.values()):
        steps.append(
            "Record every update with recu_analysis.record: movement and flips between two checkpoints are not seen."
        )
    if not short:
        shares = _layer_means(list(tables.values()))
        if len(shares) > 1:
            most = max(shares, key=shares.__getitem__)
            of = f"{shown('dead_fraction', shares[most])} %{', mean over the runs' * (len(runs) > 1)}"
            steps.append(
                f"Look at {_layer(most)} first, the layer with the most dead weights ({of}): choose it under Charts."
            )
    return steps


def _longer(run: Run, final: FinalWindows) -> tuple[float, str]:
    """How many windows would be enough if z goes on as in these windows (infinite if it did not move), and advice."""
    windows = select_windows(run, final.span)
    if final.autocorrelation >= 1.0:
        return math.inf, "Check that the weights are trained: they did not move in these windows."
    needed = math.ceil(len(windows) * math.log(LONG_ENOUGH) / math.log(final.autocorrelation))
    return needed, (
        f"Train longer. If the weights keep the pace of {_numbers(run, final)}, at least {needed:,} windows of this "
        f"length are needed to tell dead weights from slow ones, {len(windows)} of them so far. More are needed if the "
        "learning rate falls."
    )
