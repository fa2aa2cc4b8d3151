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
from recu_analysis.analysis.deadness import movement
from recu_analysis.analysis.distance import (
    COLUMNS,
    RATIOS,
    SUMMED,
    channel_sums,
    channel_sums_query,
)
from recu_analysis.analysis.final_windows import FinalWindows, equal_windows, judged_windows
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.null import null
from recu_analysis.analysis.query import gather, per_layer, value
from recu_analysis.analysis.rendering import with_interval
from recu_analysis.analysis.selection import begins_training, select_windows
from recu_analysis.analysis.window_text import chosen_text
from recu_analysis.store.labels import together
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.theory.intervals import Interval, student

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.claims.finding import Patterns
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows, WindowSpan
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run

    Values = NDArray[np.float64]

#: Ratios tail to core: below the first the tail barely moves, above the second it moves like the core.
BARELY: float = 0.5
ALIKE: float = 0.8
#: Risk ratios of ReCU to baseline: above the first the tail is revived, below the second the reverse.
REVIVED: float = 1.1
NOT_REVIVED: float = 0.9
#: Windows in which noise alone would leave less of the start than this allow no verdict on tail and core. Statistics
#: of movement then tend to those of all weights, whatever is true of shorter windows.
TOO_LITTLE_LEFT = 0.05
_INFINITE = math.inf


def median_ratio(layers: Sequence[Values], name: str) -> Median:
    """Median over layers of one of the ratios of `tails`, with an interval over channels."""
    return median_of(layers, lambda _, totals: RATIOS[name](totals))


def over_null(layers: Sequence[Values], name: str) -> Median:
    """Median over layers of one of the ratios of `tails`, divided by what noise alone would give in the layer.

    Both are summed over the same channels, so the interval holds what the simulation varies by, too.
    """
    count = len(COLUMNS)

    def ratio(_: int, totals: Values) -> Values:
        with np.errstate(divide="ignore", invalid="ignore"):
            result: Values = RATIOS[name](totals[:, :count]) / RATIOS[name](totals[:, count:])
        return result

    return median_of(layers, ratio)


def barely_updated(unclamped: Sequence[Run], layers: Patterns = None, windows: Windows | None = None) -> Query[Finding]:
    """C1a: mobility of the tail over that of the core, in runs without clamp, over that of noise alone."""
    finals, problem = _noise_is_even(unclamped, windows)
    if problem:
        return value(cannot_tell(problem))
    without = [run.name for run in unclamped if "zpath" not in run.header.quantities]
    if without:
        return value(cannot_tell(f"{without[0]} was recorded without zpath, which mobility needs; record zpath"))
    return _with_nulls(unclamped, finals, layers).then(lambda found: _updated(found, _windows(unclamped, finals)))


def _updated(found: Sequence[Sequence[Values]], windows: str) -> Finding:
    values = [over_null(layers, "mobility_ratio") for layers in found]
    shown = f"mobility, tail to core, over that of noise alone, without clamp, median layer{omitted_layers(values)}"
    return judge(
        pooled(values),
        supported=(-_INFINITE, BARELY),
        contradicted=[(ALIKE, _INFINITE)],
        shown=f"{shown}, {windows}",
    )


def barely_flips(unclamped: Sequence[Run], layers: Patterns = None, windows: Windows | None = None) -> Query[Finding]:
    """C1b: observed over expected sign changes of the tail, over that of noise alone.

    The risk of a flip, tail to core, is told beside it. It does not decide, because it follows from how long the
    windows are: noise alone gives 0.1 to 0.9.
    """
    finals, problem = _noise_is_even(unclamped, windows)
    if problem:
        return value(cannot_tell(problem))
    return _with_nulls(unclamped, finals, layers).then(lambda found: _flips(found, _windows(unclamped, finals)))


def _flips(found: Sequence[Sequence[Values]], windows: str) -> Finding:
    values = [over_null(layers, "distance_ratio_tail") for layers in found]
    risk = pooled([median_ratio(layers, "flip_risk_ratio") for layers in found])
    nulls = [sums[:, len(COLUMNS) :].sum(axis=0, keepdims=True) for layers in found for sums in layers]
    noise = float(np.median(RATIOS["flip_risk_ratio"](np.concatenate(nulls))))
    shown = (
        "sign changes of the tail, observed over expected from distance alone, over that of noise alone, without "
        f"clamp, median layer{omitted_layers(values)}, {windows}"
    )
    judged = judge(pooled(values), supported=(-_INFINITE, BARELY), contradicted=[(ALIKE, _INFINITE)], shown=shown)
    beside = (
        f"; risk of a flip, tail to core: {with_interval(risk.estimate, risk.low, risk.high, '.2f')}, where noise "
        f"alone gives {noise:.2f}"
    )
    return Finding(judged.value, judged.verdict, judged.why + beside)


def _sums_and_null(run: Run, spec: LayerSpec, window: WindowSpan) -> Answer[Values]:
    record = yield over(select_windows(run, window), SUMMED)
    moved = movement(spec, record)
    found = null(run, spec, moved)
    sums = channel_sums(spec, moved)
    return np.concatenate([sums, np.full_like(sums, np.nan) if found is None else channel_sums(spec, found)], axis=1)


def _with_nulls(
    runs: Sequence[Run], finals: Sequence[FinalWindows], layers: Patterns
) -> Query[tuple[list[Values], ...]]:
    """Sums over channels of every layer of each run: measured, then those of noise alone, shape (C_out, 2 K)."""
    each = (
        per_layer(run, select_layers(run, layers), _sums_and_null, at.span)
        for run, at in zip(runs, finals, strict=True)
    )
    return gather(*each)


def _paired(
    runs: Sequence[Run], baseline: Sequence[Run], windows: Windows | None
) -> tuple[list[tuple[Run, Run]], dict[str, WindowSpan], str]:
    """Pairs of runs, their equal windows by path, and why there are none; the reason is empty if there are."""
    paired = pairs(runs, baseline)
    if not paired:
        return [], {}, NEEDS_PAIRS
    everyone = {str(run.path): run for pair in paired for run in pair}
    check_same_layers(everyone)
    _, problem = can_tell(list(everyone.values()), windows)
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


def can_tell(runs: Sequence[Run], windows: Windows | None) -> tuple[list[FinalWindows], str]:
    """The windows of every run, and why they allow no verdict; the reason is empty if they do."""
    found, problem = _long_enough(runs, windows)
    if problem:
        return found, problem
    lost = [run.name for run, final in zip(runs, found, strict=True) if final.null < TOO_LITTLE_LEFT]
    if lost:
        return [], (
            f"the windows of {together(lost)} are so long that noise alone would leave less than "
            f"{TOO_LITTLE_LEFT:g} of the start, so tail and core have mixed; choose fewer windows, or record more"
        )
    return found, ""


def _noise_is_even(runs: Sequence[Run], windows: Windows | None) -> tuple[list[FinalWindows], str]:
    """As `can_tell`, for statistics beside noise: its size changes most at the start of a training."""
    found, problem = can_tell(runs, windows)
    if problem:
        return found, problem
    early = [run.name for run, at in zip(runs, found, strict=True) if begins_training(select_windows(run, at.span))]
    if early:
        return [], (
            f"the windows of {together(early)} begin with the training, where noise changes its size, so what noise "
            "alone would give is not known; train longer, or choose later windows"
        )
    return found, ""


def _long_enough(runs: Sequence[Run], windows: Windows | None) -> tuple[list[FinalWindows], str]:
    """The windows of every run, and why they are not long enough to tell; the reason is empty if they are."""
    if not runs:
        return [], "needs a run without clamp; train the same network without it and give the run as --baseline"
    if any(map(sampled, runs)):
        return [], "a run was sampled from checkpoints, so movement is net and flips are missed; record every update"
    found = [judged_windows(run, windows) for run in runs]
    broken = [run.name for run, final in zip(runs, found, strict=True) if math.isnan(final.null)]
    if broken:
        return [], f"the null autocorrelation of {broken[0]} is not known: no rates are recorded, or no channel varies"
    short = [run.name for run, final in zip(runs, found, strict=True) if not final.long]
    if short and windows is not None:
        return [], f"null autocorrelation is above 1/2 in {together(short)}: too short to tell; choose more windows"
    if short:
        return [], f"null autocorrelation stays above 1/2 in {together(short)}: too short to tell; train longer"
    return found, ""


def _windows(runs: Sequence[Run], finals: Sequence[FinalWindows]) -> str:
    """The windows of the runs with the null of each run, such as "windows 3 to 6 (null autocorrelation 0.31)"."""
    found: dict[str, list[str]] = {}
    for run, final in zip(runs, finals, strict=True):
        found.setdefault(chosen_text(run, final.span), []).append(f"{final.null:.2f}")
    return ", ".join(f"{text} (null autocorrelation {', '.join(values)})" for text, values in found.items())
