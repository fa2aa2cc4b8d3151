"""The verdict before a table: one plain sentence that says no more than its numbers, nulls and intervals carry."""

from __future__ import annotations

import math
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.distance import STUCK
from recu_analysis.analysis.fits import FEW_WEIGHTS
from recu_analysis.analysis.ground import is_bounded, layers_text, median_of, told_of
from recu_analysis.analysis.null import bounded_layers
from recu_analysis.analysis.rendering import shown
from recu_analysis.theory.intervals import Interval
from recu_analysis.theory.noise import FEWEST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from recu_analysis.analysis.deadness import Criterion
    from recu_analysis.analysis.ground import Ground

#: Fewer trainings than this are not compared with noise: the interval of two is no base for a verdict.
FEWEST_TRAININGS = 3
#: What weights do that are dead by a criterion, where every update was seen; the windows follow.
_DID: dict[Criterion, str] = {
    "tail-silent": "stand far from zero and did not change their sign in",
    "tail": "stand far from zero, by the definition of the tail, at the start of",
    "silent": "did not change their sign in",
    "still": "moved less than a tenth of the median of their layer in",
    "tail-still": "stand far from zero and moved less than a tenth of the median of their layer in",
}
#: The same where only checkpoints were seen.
_SEEN: dict[Criterion, str] = _DID | {
    "tail-silent": "stand far from zero and have the same sign at every checkpoint of",
    "silent": "have the same sign at every checkpoint of",
}
_UNKNOWN = "; noise alone is not known"
#: Verdicts that a test on data gave, so that some of them are wrong by chance.
_TESTED = ("supported", "contradicted", "intermediate", "undecided")


def of_dead_weights_row(table: pd.DataFrame, row: Mapping[Any, Any], criterion: Criterion, ground: Ground) -> str:
    """`of_dead_weights` of the row for all layers of a `dead_weights` table, or of its means over seeds."""
    null = "tail_fraction" if criterion == "tail" else f"{criterion.replace('-', '_')}_fraction_null"
    at_most = criterion != "tail" and bounded_layers(table) > 0
    return of_dead_weights(
        _interval_in(row, "dead_fraction"), _interval_in(row, null), criterion, ground, at_most=at_most
    )


def _interval_in(row: Mapping[Any, Any], name: str) -> Interval:
    return Interval(*(float(row.get(each, math.nan)) for each in (name, f"{name}_low", f"{name}_high")))


def of_dead_weights(
    share: Interval, null: Interval, criterion: Criterion, ground: Ground, *, at_most: bool = False
) -> str:
    """How many weights are dead, beside what noise alone would leave.

    "More than noise" needs windows that are long enough, every update, and `FEWEST_TRAININGS` trainings whose interval
    lies above that of the null, by more than the error of a simulation. One training has no valid interval, because the
    noise of a minibatch is common to all channels.

    Parameters
    ----------
    share, null : Interval
        Shares of the weights, measured and under noise alone, with intervals over trainings; NaN where not known.
    criterion : str
        What counts as dead.
    ground : Ground
    at_most : bool
        Whether the null is the most that noise would leave, see `recu_analysis.analysis.null.most_silence`.
    """
    if not math.isfinite(share.estimate):
        return f"How many weights are dead in {ground.where} cannot be told: no weight has a known record."
    name = f"{criterion.replace('-', '_')}_fraction"
    ends = ""
    if is_bounded(share):
        ends = f" (95 % interval {shown(name, share.low)} to {shown(name, share.high)} %)"
    did = (_DID if ground.exact else _SEEN)[criterion]
    if ground.levels:
        did = did.replace("far from zero", "far from a threshold").replace("sign", "state")
    measured = f"{shown(name, share.estimate)} %{ends} of the weights of {ground.of} {did} {ground.where}"
    noise = _UNKNOWN
    if math.isfinite(null.estimate):
        noise = _beside(share, null, f"{'at most ' * at_most}{shown(name, null.estimate)} %", ground, at_most=at_most)
    return told_of(measured, noise, ground)


def _beside(share: Interval, null: Interval, text: str, ground: Ground, *, at_most: bool) -> str:
    """The null of a share, and on which side of it the interval lies, if that can be told."""
    if ground.from_start:
        return f"; noise of one size would leave {text}, but noise changes its size at the start of a training"
    if not (ground.tells and ground.trainings >= FEWEST_TRAININGS and is_bounded(share)):
        return f"; noise alone would leave {text}"
    # The interval of the share does not hold the error of the simulations. It has no width if all of each tail is dead.
    error = 2.0 * math.sqrt(max(null.estimate * (1.0 - null.estimate), 1.0 / FEWEST) / FEWEST)
    if share.low > max(null.estimate, null.high) + error:  # an end that is NaN is passed over
        return f": more than noise alone would leave, which is {text}"
    if share.low < share.high < min(null.estimate, null.low) - error and not at_most:
        return f": less than noise alone would leave, which is {text}"
    return f"; noise alone would leave {text}, and the two cannot be told apart"


def of_updates(ratios: Sequence[Interval], nulls: Sequence[float], ground: Ground, *, signs: bool = True) -> str:
    """Whether the tail changed its sign as often as its distance from zero predicts, beside what noise alone gives.

    A ratio of flip risks or of mobilities could not carry this sentence: the first depends on the length of the
    windows, and the second is the same with and without a signal.

    Parameters
    ----------
    ratios : sequence of Interval
        Observed to expected sign changes of the tail of each layer, with intervals over channels.
    nulls : sequence of float
        What noise alone would give in each layer; NaN where not known.
    ground : Ground
    signs : bool
        Whether all weights are binary; else the words are of states and thresholds.
    """
    zero, sign = ("zero", "sign") if signs else ("a threshold", "state")
    known = [(each, null) for each, null in zip(ratios, nulls, strict=True) if math.isfinite(each.estimate)]
    if not known:
        return f"Whether the weights far from {zero} are stuck in {ground.where} cannot be told: no layer has a ratio."
    middle = median(each.estimate for each, _ in known)
    measured = (
        f"The weights far from {zero} of {ground.of} changed their {sign} {middle:.2f} times as often as their "
        f"distance alone predicts from the start to the end of {ground.where}{median_of(len(known))}"
    )
    some = [null for _, null in known if math.isfinite(null)]
    noise = f"; noise alone would give {median(some):.2f}" if len(some) == len(known) else _UNKNOWN
    if len(some) == len(known) and ground.tells:
        noise += _stuck(known)
    return told_of(measured, noise, ground, unseen="")  # the states at both ends are known in any case


def _stuck(known: Sequence[tuple[Interval, float]]) -> str:
    """How many layers are stuck: their interval lies below half of their null.

    Only this coarse question is answered, because an interval over channels does not hold what a simulated null varies
    by, a few per cent in a small layer. An interval without width only says that no channel differs.
    """
    bounded = [(each, STUCK * null) for each, null in known if is_bounded(each) and each.low < each.high and null > 0.0]
    stuck = sum(each.high < limit for each, limit in bounded)
    undecided = len(known) - stuck - sum(each.low > limit for each, limit in bounded)
    are = "is" if 1 in (stuck, len(known)) else "are"
    told = f"{stuck} of {layers_text(len(known))} {are} stuck (less than half of what noise gives)"
    return f", so {told}{f', and {undecided} undecided' if undecided else ''}"


def of_flips(
    locked: Sequence[float], nulls: Sequence[float], ground: Ground, *, ended: bool, signs: bool = True
) -> str:
    """How many signs did not change again after a window, beside what noise alone would leave.

    Flips of an update could not carry this sentence: how often a sign flips follows from the optimizer.

    Parameters
    ----------
    locked, nulls : sequence of float
        The share of each layer's weights that do not flip between the window and the end of the run, measured and under
        noise alone; NaN where not known.
    ground : Ground
        Its null autocorrelation is that from the window's end to the end of the run.
    ended : bool
        Whether the window is the last of the run.
    signs : bool
        As for `of_updates`.
    """
    what = "signs" if signs else "states"
    if ended:
        return f"How many {what} are locked in cannot be told: no update follows {ground.where}."
    shares = [share for share in locked if math.isfinite(share)]
    if not shares:
        return f"How many {what} changed after {ground.where} cannot be told: no weight has a known record."
    name = "locked_fraction"
    did = "did not change again after" if ground.exact else "were the same at every checkpoint after"
    measured = f"{shown(name, median(shares))} % of the {what} of {ground.of} {did} {ground.where}"
    known = [null for null in nulls if math.isfinite(null)]
    noise = f"; noise alone would leave {shown(name, median(known))} %" if len(known) == len(nulls) else _UNKNOWN
    return told_of(f"{measured}{median_of(len(shares))}", noise, ground, which="The later windows")


def of_fit(shapes: Sequence[Interval], weights_per_channel: Sequence[float], ground: Ground, *, raw: bool) -> str:
    """Whether the weights are distributed as the paper assumes: by a Laplace distribution, whose shape is 1.

    Parameters
    ----------
    shapes : sequence of Interval
        Shape of the generalized normal distribution that fits each layer.
    weights_per_channel : sequence of float
        Of each layer. Where they are few, z has light tails by construction, and a large shape shows nothing.
    ground : Ground
    raw : bool
        Whether channels of unequal scale were fitted together, which looks like heavy tails.
    """
    known = [
        (each, count) for each, count in zip(shapes, weights_per_channel, strict=True) if math.isfinite(each.estimate)
    ]
    if not known:
        return f"How the weights are distributed at the end of {ground.where} cannot be told: no layer has a shape."
    lighter = sum(is_bounded(each) and each.low > 1.0 and (raw or count >= FEW_WEIGHTS) for each, count in known)
    heavier = 0 if raw else sum(is_bounded(each) and each.high < 1.0 for each, _ in known)
    undecided = len(known) - lighter - heavier
    counts = [(lighter, "lighter"), (heavier, "heavier")]
    tails = [f"{word} tails than a Laplace distribution in {count}" for count, word in counts if count]
    rest = f" ({undecided} cannot be told)" if undecided and tails else ""
    tails = tails or [f"tails that cannot be told from those of a Laplace distribution in {undecided}"]
    middle = median(each.estimate for each, _ in known)
    return (
        f"The weights of {ground.of} have {' and '.join(tails)} of {layers_text(len(known))} at the end of "
        f"{ground.where}{rest}: shape {middle:.2f}{median_of(len(known))}, where 1 is a Laplace and "
        "2 a normal distribution."
    )


def of_claims(verdicts: Sequence[str]) -> str:
    """How many claims got which verdict, and that several tests at once err in some.

    Parameters
    ----------
    verdicts : sequence of str
        A verdict for each claim, in words.
    """
    if not verdicts:
        return "No claim was tested."
    counts = Counter(verdicts)
    order = sorted(counts, key=lambda word: (_TESTED.index(word) if word in _TESTED else len(_TESTED), word))
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in order)
    what = f"Of {len(verdicts)} claims" if len(verdicts) > 1 else "Of one claim"
    several = sum(counts[verdict] for verdict in _TESTED) > 1
    chance = "; in tests of several claims at once, about one in twenty true claims fails by chance"
    return f"{what}: {told}{chance if several else ''}."
