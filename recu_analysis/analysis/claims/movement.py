"""Claims about the movement of the tail: it is barely updated, barely changes sign, and the clamp revives it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from recu_analysis.analysis.arms import pairs, sampled
from recu_analysis.analysis.claims.finding import (
    FEWEST_SEEDS,
    NEEDS_PAIRS,
    Finding,
    Median,
    cannot_tell,
    enough,
    judge,
    median_of,
    omitted_layers,
    pooled,
)
from recu_analysis.analysis.compare import check_same_layers
from recu_analysis.analysis.distance import COLUMNS, RATIOS, STUCK, channel_sums_query, ratio
from recu_analysis.analysis.final_windows import FinalWindows, equal_windows, judged_windows
from recu_analysis.analysis.query import gather, value
from recu_analysis.analysis.rendering import with_interval
from recu_analysis.analysis.window_text import chosen_text
from recu_analysis.theory.intervals import Interval, student

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.claims.finding import Patterns
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows, WindowSpan
    from recu_analysis.store.run import Run

    Values = NDArray[np.float64]

#: Ratios tail to core: below the first the tail barely moves, above the second it moves like the core.
BARELY, ALIKE = 0.5, 0.8
#: Risk ratios of ReCU to baseline: above the first the tail is revived, below the second the reverse.
REVIVED, NOT_REVIVED = 1.1, 0.9
_INFINITE = math.inf


def median_ratio(layers: Sequence[Values], name: str) -> Median:
    """Median over layers of one of the ratios of `tails`, with an interval over channels."""
    over, under, means = RATIOS[name]
    return median_of(layers, lambda _, totals: ratio(totals, over, under, means=means))


def barely_updated(unclamped: Sequence[Run], layers: Patterns = None, windows: Windows | None = None) -> Query[Finding]:
    """C1a: mobility of the tail over that of the core, in runs without clamp."""
    finals, problem = _long_enough(unclamped, windows)
    if problem:
        return value(cannot_tell(problem))
    without = [run.name for run in unclamped if "zpath" not in run.header.quantities]
    if without:
        return value(cannot_tell(f"{without[0]} was recorded without zpath, which mobility needs; record zpath"))
    return _sums(unclamped, finals, layers).then(lambda found: _updated(found, _windows(unclamped, finals)))


def _updated(found: Sequence[Sequence[Values]], windows: str) -> Finding:
    values = [median_ratio(sums, "mobility_ratio") for sums in found]
    return judge(
        pooled(values),
        supported=(-_INFINITE, BARELY),
        contradicted=[(ALIKE, _INFINITE)],
        shown=f"mobility, tail to core, without clamp, median layer{omitted_layers(values)}, {windows}",
    )


def barely_flips(unclamped: Sequence[Run], layers: Patterns = None, windows: Windows | None = None) -> Query[Finding]:
    """C1b: risk of a flip in the windows, tail to core, and observed over expected sign changes of the tail."""
    finals, problem = _long_enough(unclamped, windows)
    if problem:
        return value(cannot_tell(problem))
    return _sums(unclamped, finals, layers).then(lambda sums: _flips(sums, _windows(unclamped, finals)))


def _flips(sums: Sequence[Sequence[Values]], windows: str) -> Finding:
    risks = [median_ratio(each, "flip_risk_ratio") for each in sums]
    distances = [median_ratio(each, "distance_ratio_tail") for each in sums]
    risk, distance = pooled(risks), pooled(distances)
    shown = f"risk of a flip, tail to core, without clamp, median layer{omitted_layers(risks)}, {windows}"
    found = judge(risk, supported=(-_INFINITE, BARELY), contradicted=[(ALIKE, _INFINITE)], shown=shown)
    beside = (
        "; sign changes of the tail, observed over expected from distance alone: "
        f"{with_interval(distance.estimate, distance.low, distance.high, '.2f')}"
    )
    if found.verdict != "supported" or distance.high < STUCK:
        return Finding(risk, found.verdict, found.why + beside)
    if distance.low >= STUCK:
        return Finding(risk, "not supported", f"{shown}: below {BARELY:g} by distance alone, not stuck{beside}")
    open_ = f"{shown}: below {BARELY:g}, but it is open whether the tail is stuck or only far{beside}"
    return Finding(risk, "not supported", open_) if distance.low < STUCK else cannot_tell(open_, risk)


def _sums(runs: Sequence[Run], finals: Sequence[FinalWindows], layers: Patterns) -> Query[tuple[list[Values], ...]]:
    return gather(*(channel_sums_query(run, at.span, layers=layers) for run, at in zip(runs, finals, strict=True)))


def _paired(
    runs: Sequence[Run], baseline: Sequence[Run], windows: Windows | None
) -> tuple[list[tuple[Run, Run]], dict[str, WindowSpan], str]:
    """Pairs of runs, their equal windows by path, and why there are none; the reason is empty if there are."""
    paired = pairs(runs, baseline)
    if not paired:
        return [], {}, NEEDS_PAIRS
    everyone = {str(run.path): run for pair in paired for run in pair}
    check_same_layers(everyone)
    _, problem = _long_enough(list(everyone.values()), windows)
    return ([], {}, problem) if problem else (paired, equal_windows(everyone, windows), "")


def revived(
    runs: Sequence[Run], baseline: Sequence[Run], layers: Patterns = None, windows: Windows | None = None
) -> Query[Finding]:
    """C6: risk of a flip in the tail in the windows, ReCU to baseline, one pair of runs per seed."""
    paired, spans, problem = _paired(runs, baseline, windows)
    if problem:
        return value(cannot_tell(problem))
    sums = (gather(*(channel_sums_query(run, spans[str(run.path)], layers=layers) for run in pair)) for pair in paired)
    return gather(*sums).then(_revived)


def _revived(pairs_of_sums: Sequence[Sequence[Sequence[Values]]]) -> Finding:
    medians = [_flip_risk(sums) for sums in pairs_of_sums]
    ratios = [each.value.estimate for each in medians]
    shown = f"risk of a flip in the tail, ReCU to baseline, median layer{omitted_layers(medians)}, "
    shown += f"pairs of seeds: {len(ratios)}"
    if not all(0.0 < each < _INFINITE for each in ratios):
        return cannot_tell(f"{shown}: no ratio, since the tail of a run never flips; train longer")
    logs = student([math.log(each) for each in ratios])
    found = Interval(*(math.exp(end) for end in (logs.estimate, logs.low, logs.high)))
    if len(ratios) < FEWEST_SEEDS:
        return cannot_tell(f"{shown}: a difference between trainings needs {FEWEST_SEEDS} seeds", found)
    return judge(found, supported=(REVIVED, _INFINITE), contradicted=[(-_INFINITE, NOT_REVIVED)], shown=shown)


def _flip_risk(sums: Sequence[Sequence[Values]]) -> Median:
    """Median over layers of the ratio of two runs' shares of the tail that flipped, without an interval.

    Parameters
    ----------
    sums : pair of sequences of ndarray
        Sums of each channel of every layer, of both runs.
    """
    used = enough([len(each) for each in sums[0]])
    totals = [np.array([each[at].sum(axis=0) for at in used]) for each in sums]
    with np.errstate(divide="ignore", invalid="ignore"):
        ours, theirs = (total[:, COLUMNS["flipped_tail"]] / total[:, COLUMNS["weights_tail"]] for total in totals)
        ratios = ours / theirs
    known = ratios[~np.isnan(ratios)]
    middle = Interval(float(np.median(known)) if known.size else math.nan, math.nan, math.nan)
    return Median(middle, len(sums[0]), len(sums[0]) - len(used), len(used) - known.size)


def _long_enough(runs: Sequence[Run], windows: Windows | None) -> tuple[list[FinalWindows], str]:
    """The windows of every run, and why they allow no verdict; the reason is empty if they do."""
    if not runs:
        return [], "needs a run without clamp; train with --no-recu and give the run as --baseline"
    if any(map(sampled, runs)):
        return [], "a run was sampled from checkpoints, so movement is net and flips are missed; record every update"
    found = [judged_windows(run, windows) for run in runs]
    broken = [run.name for run, final in zip(runs, found, strict=True) if math.isnan(final.autocorrelation)]
    if broken:
        return [], f"no channel of {broken[0]} has finite, varying weights"
    short = [run.name for run, final in zip(runs, found, strict=True) if not final.long]
    if short and windows is not None:
        return [], f"autocorrelation is above 1/2 in {', '.join(short)}: too short to tell; choose more windows"
    if short:
        return [], f"autocorrelation stays above 1/2 in {', '.join(short)}: too short to tell; train longer"
    return found, ""


def _windows(runs: Sequence[Run], finals: Sequence[FinalWindows]) -> str:
    """The windows of the runs with the autocorrelation of each run, such as "windows 3 to 6 (autocorrelation 0.31)"."""
    found: dict[str, list[str]] = {}
    for run, final in zip(runs, finals, strict=True):
        found.setdefault(chosen_text(run, final.span), []).append(f"{final.autocorrelation:.2f}")
    return ", ".join(f"{text} (autocorrelation {', '.join(values)})" for text, values in found.items())
