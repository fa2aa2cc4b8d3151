"""The answer at the beginning of a page: which weights are dead, whether that can be told, and what to do next."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.arms import comparable, sampled
from recu_analysis.analysis.column_names import limits_of
from recu_analysis.analysis.deadness import totals
from recu_analysis.analysis.final_windows import LONG_ENOUGH
from recu_analysis.analysis.ground import ground_of
from recu_analysis.analysis.kinds import sides
from recu_analysis.analysis.logged import last_logged
from recu_analysis.analysis.null import bounded_layers
from recu_analysis.analysis.paired import FEWEST_PAIRS, over_pairs, shared_seeds
from recu_analysis.analysis.rendering import shown
from recu_analysis.analysis.selection import select_windows
from recu_analysis.analysis.verdict import of_dead_weights
from recu_analysis.analysis.window_text import windows_text
from recu_analysis.report.lines import LAYER_WIDTH, RUN_WIDTH, names
from recu_analysis.store.labels import together
from recu_analysis.store.layer_selection import numbers_text
from recu_analysis.theory.intervals import student

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd

    from recu_analysis.analysis.arms import Arm
    from recu_analysis.analysis.final_windows import FinalWindows
    from recu_analysis.report.lines import Name
    from recu_analysis.store.run import Run

    #: The table of `dead_weights` of each run by its label.
    Tables = Mapping[str, pd.DataFrame]
    Finals = Mapping[str, FinalWindows]
    #: The standard errors of each run's totals that are known.
    Errors = Mapping[str, Mapping[str, float]]

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

    `brief` is whether there are so many arms that each statement is one sentence; `differences` are between arms that
    share seeds.
    """

    statements: list[Statement]
    differences: list[str]
    windows: list[str]
    brief: bool


def answer(arms: Mapping[str, Arm], tables: Tables, finals: Finals, errors: Errors) -> Answer:
    """Which weights of each arm are dead, tail and core, the range of the layers, and whether that can be told.

    Parameters
    ----------
    arms : mapping of str to Arm
    tables : mapping of str to DataFrame
        `dead_weights` of every run, over its windows in `finals`.
    finals : mapping of str to FinalWindows
    errors : mapping of str to mapping of str to float
        By run, the standard errors of its totals, see `recu_analysis.analysis.channel_errors.standard_errors`.
    """
    brief = len(arms) > MOST_ARMS
    statements = []
    for name, arm in zip(names(arms, RUN_WIDTH), arms.values(), strict=True):
        seeds, noise = [totals(tables[each]) for each in arm.runs], [errors[each] for each in arm.runs]
        sentences = [_verdict(arm, seeds, noise, tables, finals)]
        if not brief:
            sentences += [*_by_layer([tables[each] for each in arm.runs]), _tail_and_core(seeds, noise)]
        statements.append(Statement(name, len(arm.runs), sentences))
    runs = {label: run for arm in arms.values() for label, run in arm.runs.items()}
    differences = _differences(arms, tables, errors)
    return Answer(statements, differences, [_definition(runs, finals), *_length(finals)], brief)


def _verdict(
    arm: Arm, seeds: Sequence[pd.Series[Any]], noise: Sequence[Mapping[str, float]], tables: Tables, finals: Finals
) -> str:
    """The sentence with which `recu-analyze dead-weights` begins."""
    share, null = (
        student([float(seed[name]) for seed in seeds], within=limits_of(name), errors=_known(noise, name))
        for name in ("dead_fraction", "tail_silent_fraction_null")
    )
    spans = {label: finals[label].span for label in arm.runs}
    ground = ground_of(arm.runs, spans, [finals[label].null for label in arm.runs])
    at_most = any(bounded_layers(tables[label]) for label in arm.runs)
    return of_dead_weights(share, null, "tail-silent", ground, at_most=at_most)


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


def _share(seeds: Sequence[pd.Series[Any]], noise: Sequence[Mapping[str, float]], name: str) -> str:
    """A share in per cent with its uncertainty."""
    values = [float(seed[name]) for seed in seeds]
    if any(map(math.isnan, values)):
        return "An unknown share"
    ends = _uncertainty(values, _known(noise, name), lambda value: shown(name, value), " %", limits_of(name))
    return f"{shown(name, sum(values) / len(values))} %{ends}"


def _known(noise: Sequence[Mapping[str, float]], name: str) -> list[float]:
    """The standard errors of a number of every seed; NaN where unknown."""
    return [each.get(name, math.nan) for each in noise]


def _uncertainty(
    values: Sequence[float],
    errors: Sequence[float],
    text: Callable[[float], str],
    unit: str = "",
    within: tuple[float, float] = (-math.inf, math.inf),
) -> str:
    """The 95 % interval of a mean over seeds; of two seeds only their values, of one seed nothing."""
    if len(values) == 1:
        return ""
    if len(values) < FEW_SEEDS:
        return f" ({text(min(values))} and {text(max(values))}{unit} in two seeds)"
    value = student(values, within=within, errors=errors)
    return f" (95 % interval {text(value.low)} to {text(value.high)}{unit})"


def _differences(arms: Mapping[str, Arm], tables: Tables, errors: Errors) -> list[str]:
    """A sentence for every arm that shares two seeds or more with the baseline, or with the first arm without one."""
    _, baseline = sides([arm.first for arm in arms.values()])
    short = {id(arm): _isolated(name.short) for name, arm in zip(names(arms, RUN_WIDTH), arms.values(), strict=True)}
    found = []
    for group in comparable(arms.values()):
        reference = next((arm for arm in group if arm.first in baseline), group[0])
        for arm in group:
            matched = [] if arm is reference else shared_seeds(arm, reference)
            told = [text for text in (_accuracies(matched), _dead(matched, arms, tables, errors)) if text]
            if matched and told:
                found.append(f"{short[id(arm)]} minus {short[id(reference)]}: {'; '.join(told)}.")
    return found


def _accuracies(matched: Sequence[tuple[Run, Run]]) -> str:
    """The differences of the validation accuracy; empty if a run did not log it."""
    last = [[last_logged(run, "val_top1") for run in pair] for pair in matched]
    return _paired("validation accuracy", "val_top1", [ours - theirs for ours, theirs in last])


def _dead(matched: Sequence[tuple[Run, Run]], arms: Mapping[str, Arm], tables: Tables, errors: Errors) -> str:
    """The differences of the share of dead weights; empty if the windows hold different numbers of updates."""
    labels = {run.id: label for arm in arms.values() for label, run in arm.runs.items()}
    pairs = [[labels[run.id] for run in pair] for pair in matched]
    if len({tables[label]["updates"].max() for pair in pairs for label in pair}) > 1:
        return ""
    shares = [[float(totals(tables[label])["dead_fraction"]) for label in pair] for pair in pairs]
    noise = [math.hypot(*_known([errors[label] for label in pair], "dead_fraction")) for pair in pairs]
    return _paired("dead weights", "dead_fraction", [ours - theirs for ours, theirs in shares], noise)


def _paired(what: str, name: str, differences: Sequence[float], errors: Sequence[float] = ()) -> str:
    """The differences of some pairs of seeds in percentage points, one by one, and their mean; empty if unknown."""
    if not differences or any(map(math.isnan, differences)):
        return ""
    value = over_pairs(differences, errors)
    each = ", ".join(shown(name, difference) for difference in differences)
    ends = f"95 % interval {shown(name, value.low)} to {shown(name, value.high)}"
    few = f"no interval, which needs {FEWEST_PAIRS} pairs"
    return f"{what} {each} points, mean {shown(name, value.estimate)} ({few if math.isnan(value.low) else ends})"


def _by_layer(tables: Sequence[pd.DataFrame]) -> list[str]:
    """The range over layers; empty for one layer, or if no layer has a share."""
    shares = _layer_means(tables)
    if len(shares) < 2:
        return []
    least, most = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
    low, high = (shown("dead_fraction", shares[layer]) for layer in (least, most))
    if low == high:
        return [f"By layer, {low} % in each."]
    return [f"By layer, from {low} % ({_layer(least, shares)}) to {high} % ({_layer(most, shares)})."]


def _layer(name: str, every: Iterable[str]) -> str:
    """The name of a layer, short enough for a sentence, as the layer table has it."""
    short = {each.full: each.short for each in names(every, LAYER_WIDTH)}
    return _isolated(short[name])


def _isolated(name: str) -> str:
    """A name that keeps its place in a sentence, since its letters may run from right to left."""
    return f"\N{FIRST STRONG ISOLATE}{name}\N{POP DIRECTIONAL ISOLATE}"


def _layer_means(tables: Sequence[pd.DataFrame]) -> dict[str, float]:
    """The share of dead weights by layer, mean over runs; layers without a known share are left out."""
    shares: dict[str, list[float]] = {}
    for table in tables:
        known = table.dropna(subset="dead_fraction")
        for layer, share in zip(known["layer"], known["dead_fraction"], strict=True):
            shares.setdefault(layer, []).append(float(share))
    return {layer: sum(each) / len(each) for layer, each in shares.items()}


def _tail_and_core(seeds: Sequence[pd.Series[Any]], noise: Sequence[Mapping[str, float]]) -> str:
    tail, core = (_share(seeds, noise, f"silent_fraction_{part}") for part in ("tail", "core"))
    told = f"Silent in these windows: {tail} of the tail, {core} of the core."
    ratios = [seed["mobility_tail"] / seed["mobility_core"] for seed in seeds if seed["mobility_core"] > 0]
    if len(ratios) < len(seeds) or any(map(math.isnan, ratios)):
        return told
    ends = _uncertainty(ratios, _known(noise, "mobility_ratio_of_totals"), lambda value: f"{value:.3f}")
    return f"{told} In one update, the tail moves {sum(ratios) / len(ratios):.3f} times as far as the core{ends}."


def _numbers(run: Run, final: FinalWindows) -> str:
    """The numbers of some windows, such as "windows 8 and 12"."""
    numbers = [window.number for window in select_windows(run, final.span)]
    return f"window{'s' * (len(numbers) > 1)} {numbers_text(numbers)}"


def _length(finals: Finals) -> list[str]:
    """Whether the windows are long enough to tell dead weights from slow ones."""
    unknown = [label for label, final in finals.items() if math.isnan(final.null)]
    short = {label: final.null for label, final in finals.items() if final.null > LONG_ENOUGH}
    long = [final.null for final in finals.values() if final.long]
    some = bool(long or unknown)
    found = []
    if short:
        of = f" of {together(short)}" if some else ""
        found.append(
            f"The windows{of} are too short to tell dead weights from slow ones: their null autocorrelation is "
            f"{_range(list(short.values()))}, above {LONG_ENOUGH:g}. Weights that count as dead there may only be slow."
        )
    if long:
        found.append(
            f"The {'other ' if short else ''}windows are long enough to tell dead weights from slow ones: their "
            f"null autocorrelation is {_range(long)}, and at most {LONG_ENOUGH:g} is needed."
        )
    if unknown:
        found.append(
            f"It is unknown whether the windows of {together(unknown)} are long enough to tell dead weights from slow "
            "ones: their null autocorrelation needs the rates of the updates, and finite, varying weights at both ends."
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
    short = [_longer(runs[label], final) for label, final in finals.items() if final.null > LONG_ENOUGH]
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
        steps.append("Record every update with ra.record: movement and flips between two checkpoints are not seen.")
    if not short:
        shares = _layer_means(list(tables.values()))
        if len(shares) > 1:
            most = max(shares, key=shares.__getitem__)
            of = f"{shown('dead_fraction', shares[most])} %{', mean over the runs' * (len(runs) > 1)}"
            layer = _layer(most, shares)
            steps.append(f"Look at {layer} first, the layer with the most dead weights ({of}): choose it under Charts.")
    return steps


def _longer(run: Run, final: FinalWindows) -> tuple[float, str]:
    """How many windows would be enough if z goes on as in these windows (infinite if it did not move), and advice."""
    windows = select_windows(run, final.span)
    if final.null >= 1.0:
        return math.inf, "Check that the weights are trained: they did not move in these windows."
    needed = math.ceil(len(windows) * math.log(LONG_ENOUGH) / math.log(final.null))
    return needed, (
        f"Train longer. If the weights keep the pace of {_numbers(run, final)}, at least {needed:,} windows of this "
        f"length are needed to tell dead weights from slow ones, {len(windows)} of them so far. More are needed if the "
        "learning rate falls."
    )
