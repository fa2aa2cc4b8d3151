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
from recu_analysis.analysis.vocabulary import limits_of
from recu_analysis.analysis.window_text import windows_text
from recu_analysis.report.lines import LAYER_WIDTH, RUN_WIDTH, names
from recu_analysis.store.layer_selection import numbers_text
from recu_analysis.theory.intervals import student

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
#: Fewer seeds than this give no useful interval: Student's interval of two is as wide as 13 standard errors to a side.
FEW_SEEDS = 3


@dataclass(frozen=True, slots=True)
class Statement:
    """What is known of one arm, in sentences."""

    name: Name
    seeds: int
    sentences: list[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer: a statement about each arm, and sentences about the windows of all runs.

    `brief` is whether there are so many arms that each statement is one sentence.
    """

    statements: list[Statement]
    windows: list[str]
    brief: bool


def answer(arms: Mapping[str, Arm], tables: Tables, finals: Finals) -> Answer:
    """Which weights of each arm are dead, tail and core, the range of the layers, and whether that can be told.

    Parameters
    ----------
    arms : mapping of str to Arm
    tables : mapping of str to DataFrame
        `dead_weights` of every run, over its windows in `finals`.
    finals : mapping of str to FinalWindows
    """
    brief = len(arms) > MOST_ARMS
    statements = []
    for name, arm in zip(names(arms, RUN_WIDTH), arms.values(), strict=True):
        seeds = [totals(tables[each]) for each in arm.runs]
        sentences = [f"{_share(seeds, 'dead_fraction')} of the latent weights are dead."]
        if not brief:
            sentences += [*_by_layer([tables[each] for each in arm.runs]), _tail_and_core(seeds)]
        statements.append(Statement(name, len(arm.runs), sentences))
    runs = {label: run for arm in arms.values() for label, run in arm.runs.items()}
    return Answer(statements, [_definition(runs, finals), *_length(finals)], brief)


def _definition(runs: Mapping[str, Run], finals: Finals) -> str:
    """What counts as dead, in which windows."""
    texts = {windows_text(run, finals[label].span) for label, run in runs.items()}
    label, run = next(iter(runs.items()))
    windows = _numbers(run, finals[label])
    where = f"{windows} ({texts.pop().removeprefix(windows).strip(', ')})" if len(texts) == 1 else "its windows"
    told = "" if where != "its windows" else " The section Layers has the windows of each run."
    return (
        f"A weight counts as dead if it is in the tail at the start of {where} and its sign does not change in them."
        f"{told}"
    )


def _share(seeds: Sequence[pd.Series[Any]], name: str) -> str:
    """A share in per cent with its uncertainty."""
    values = [float(seed[name]) for seed in seeds]
    if any(map(math.isnan, values)):
        return "An unknown share"
    ends = _uncertainty(values, lambda value: shown(name, value), " %", limits_of(name))
    return f"{shown(name, sum(values) / len(values))} %{ends}"


def _uncertainty(
    values: Sequence[float],
    text: Callable[[float], str],
    unit: str = "",
    within: tuple[float, float] = (-math.inf, math.inf),
) -> str:
    """The 95 % interval of a mean over seeds; of two seeds only their values, of one seed nothing."""
    if len(values) == 1:
        return ""
    if len(values) < FEW_SEEDS:
        return f" ({text(min(values))} and {text(max(values))}{unit} in two seeds)"
    value = student(values, within=within)
    return f" (95 % interval {text(value.low)} to {text(value.high)}{unit})"


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
    if len(ratios) < len(seeds) or any(map(math.isnan, ratios)):
        return told
    ends = _uncertainty(ratios, lambda value: f"{value:.3f}")
    return f"{told} In one update, the tail moves {sum(ratios) / len(ratios):.3f} times as far as the core{ends}."


def _numbers(run: Run, final: FinalWindows) -> str:
    """The numbers of some windows, such as "windows 8 and 12"."""
    numbers = [window.number for window in select_windows(run, final.span)]
    return f"window{'s' * (len(numbers) > 1)} {numbers_text(numbers)}"


def _length(finals: Finals) -> list[str]:
    """Whether the windows are long enough to tell dead weights from slow ones."""
    unknown = [label for label, final in finals.items() if math.isnan(final.autocorrelation)]
    short = {label: final.autocorrelation for label, final in finals.items() if final.autocorrelation > LONG_ENOUGH}
    long = [final.autocorrelation for final in finals.values() if final.long]
    some = bool(long or unknown)
    found = []
    if short:
        of = f" of {', '.join(short)}" if some else ""
        found.append(
            f"The windows{of} are too short to tell dead weights from slow ones: their autocorrelation is "
            f"{_range(list(short.values()))}, above {LONG_ENOUGH:g}. Weights that count as dead there may only be slow."
        )
    if long:
        found.append(
            f"The {'other ' if short else ''}windows are long enough to tell dead weights from slow ones: their "
            f"autocorrelation is {_range(long)}, and at most {LONG_ENOUGH:g} is needed."
        )
    if unknown:
        found.append(
            f"It is unknown whether the windows of {', '.join(unknown)} are long enough to tell dead weights from slow "
            "ones, since no channel has finite, varying weights at their start and end."
        )
    return found


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
    fewest = min(len(arm.runs) for arm in arms.values())
    if fewest < FEW_SEEDS:
        steps.append(
            f"Train at least {FEW_SEEDS} seeds of each arm; now an arm has {fewest}. An interval over seeds needs them."
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
