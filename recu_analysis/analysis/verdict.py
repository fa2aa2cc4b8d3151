"""The verdict before a table: one plain sentence that says no more than its numbers, nulls and intervals carry."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.distance import STUCK
from recu_analysis.analysis.final_windows import LONG_ENOUGH
from recu_analysis.analysis.fits import FEW_WEIGHTS
from recu_analysis.analysis.rendering import shown
from recu_analysis.analysis.selection import select_windows
from recu_analysis.analysis.window_text import period_text
from recu_analysis.theory.intervals import Interval
from recu_analysis.theory.noise import FEWEST
from recu_analysis.theory.power import least_decay_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from recu_analysis.analysis.deadness import Criterion
    from recu_analysis.analysis.selection import WindowSpan
    from recu_analysis.store.run import Run

#: Fewer trainings than this are not compared with noise: the interval of two is no base for a verdict.
FEWEST_TRAININGS = 3
#: Range of measured over simulated mobility in which the simulated noise stands for that of the training.
LIKE_NOISE = 0.8, 1.25
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
#: What weights with a cause of silence do, where the cause is no matter of noise.
_CAUSED = {
    "slow channel": "lie in slow channels",
    "masked": "get hardly any gradient",
    "lost to rounding": "lose their updates to rounding",
    "scheduled": "hardly move under the learning rate",
    "out of reach": "do not move far enough to reach zero",
}
#: The least share of a cause that the sentence names.
_NAMED = 0.01
_UNSEEN = "; changes between checkpoints were not seen"
_UNKNOWN = "; noise alone is not known"
_SHORT = "are too short to tell dead weights from slow ones"
#: Verdicts that a test on data gave, so that some of them are wrong by chance.
_TESTED = ("supported", "contradicted", "intermediate", "undecided")


@dataclass(frozen=True, slots=True)
class Ground:
    """What decides how much a sentence may say.

    Attributes
    ----------
    where : str
        The windows in words, such as "epochs 4 to 11", or of a state, "epoch 11".
    null : float
        Null autocorrelation of the windows; NaN if it is not known. See `weakest` for several runs.
    exact : bool
        Whether every update was seen.
    trainings : int
        Number of runs.
    some_layers : bool
        Whether a caller chose layers.
    """

    where: str
    null: float = math.nan
    exact: bool = True
    trainings: int = 1
    some_layers: bool = False

    @property
    def short(self) -> bool:
        """Whether the windows are too short to tell dead weights from slow ones."""
        return self.null > LONG_ENOUGH

    @property
    def of(self) -> str:
        """Whose weights: one training says nothing of others."""
        runs = "this one training" if self.trainings == 1 else f"these {self.trainings} trainings"
        return f"the chosen layers of {runs}" if self.some_layers else runs

    @property
    def tells(self) -> bool:
        """Whether numbers of these windows may be compared with noise."""
        return self.exact and self.null <= LONG_ENOUGH


def ground_of(
    runs: Mapping[str, Run], spans: Mapping[str, WindowSpan], nulls: Iterable[float], *, some_layers: bool = False
) -> Ground:
    """What some windows of runs, by their labels, carry together; `nulls` are their null autocorrelations."""
    exact = all(window.exact for label, run in runs.items() for window in select_windows(run, spans[label]))
    return Ground(period_text(runs, spans), weakest(nulls), exact, len(runs), some_layers)


def weakest(nulls: Iterable[float]) -> float:
    """The null autocorrelation that decides for several runs: the largest, or NaN if one that is not known could be."""
    each = list(nulls)
    known = [null for null in each if not math.isnan(null)]
    largest = max(known, default=math.nan)
    return largest if len(known) == len(each) or largest > LONG_ENOUGH else math.nan


def of_dead_weights_row(row: Mapping[Any, Any], criterion: Criterion, ground: Ground) -> str:
    """`of_dead_weights` of the row for all layers of `dead_weights`, or of its means over seeds with intervals."""
    null = "tail_fraction" if criterion == "tail" else f"{criterion.replace('-', '_')}_fraction_null"
    return of_dead_weights(_interval_in(row, "dead_fraction"), _interval_in(row, null), criterion, ground, pace_of(row))


def pace_of(row: Mapping[Any, Any]) -> float:
    """Mobility of the core over that of the simulated noise, of a row of `dead_weights`; NaN where not known."""
    measured, null = (float(row.get(name, math.nan)) for name in ("mobility_core", "mobility_core_null"))
    return measured / null if null > 0.0 else math.nan


def _interval_in(row: Mapping[Any, Any], name: str) -> Interval:
    return Interval(*(float(row.get(each, math.nan)) for each in (name, f"{name}_low", f"{name}_high")))


def of_dead_weights(share: Interval, null: Interval, criterion: Criterion, ground: Ground, pace: float = 1.0) -> str:
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
    pace : float
        How far weights move in an update, over what the simulated noise moves them by. Outside `LIKE_NOISE`, the noise
        of the simulation is not that of the training, and its shares say nothing; NaN is passed over.
    """
    if not math.isfinite(share.estimate):
        return f"How many weights are dead in {ground.where} cannot be told: no weight has a known record."
    name = f"{criterion.replace('-', '_')}_fraction"
    ends = ""
    if _bounded(share):
        ends = f" (95 % interval {shown(name, share.low)} to {shown(name, share.high)} %)"
    did = (_DID if ground.exact else _SEEN)[criterion]
    measured = f"{shown(name, share.estimate)} %{ends} of the weights of {ground.of} {did} {ground.where}"
    noise = _UNKNOWN
    if math.isfinite(null.estimate) and not LIKE_NOISE[0] <= (1.0 if math.isnan(pace) else pace) <= LIKE_NOISE[1]:
        noise = f"; noise alone is not known, because weights move {pace:.2f} times as far in an update as forecast"
    elif math.isfinite(null.estimate):
        noise = _beside(share, null, f"{shown(name, null.estimate)} %", ground)
    return _told(measured, noise, ground)


def _beside(share: Interval, null: Interval, text: str, ground: Ground) -> str:
    """The null of a share, and on which side of it the interval lies, if that can be told."""
    if not (ground.tells and ground.trainings >= FEWEST_TRAININGS and _bounded(share) and share.low < share.high):
        return f"; noise alone would leave {text}"
    # All simulations draw the same random numbers, so intervals over trainings do not hold their error.
    error = 2.0 * math.sqrt(max(null.estimate * (1.0 - null.estimate), 1.0 / FEWEST) / FEWEST)
    if share.low > max(null.estimate, null.high) + error:  # an end that is NaN is passed over
        return f": more than noise alone would leave, which is {text}"
    if share.high < min(null.estimate, null.low) - error:
        return f": less than noise alone would leave, which is {text}"
    return f"; noise alone would leave {text}, and the two cannot be told apart"


def of_updates(ratios: Sequence[Interval], nulls: Sequence[float], ground: Ground) -> str:
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
    """
    known = [(each, null) for each, null in zip(ratios, nulls, strict=True) if math.isfinite(each.estimate)]
    if not known:
        return f"Whether the weights far from zero are stuck in {ground.where} cannot be told: no layer has a ratio."
    middle = median(each.estimate for each, _ in known)
    measured = (
        f"The weights far from zero of {ground.of} changed their sign {middle:.2f} times as often as their distance "
        f"alone predicts from the start to the end of {ground.where}{_median_of(len(known))}"
    )
    some = [null for _, null in known if math.isfinite(null)]
    noise = f"; noise alone would give {median(some):.2f}" if len(some) == len(known) else _UNKNOWN
    if len(some) == len(known) and ground.tells:
        noise += _stuck(known)
    return _told(measured, noise, ground, unseen="")  # the states at both ends are known in any case


def _stuck(known: Sequence[tuple[Interval, float]]) -> str:
    """How many layers are stuck: their interval lies below half of their null.

    Only this coarse question is answered, because an interval over channels does not hold what a simulated null varies
    by, a few per cent in a small layer. An interval without width only says that no channel differs.
    """
    bounded = [(each, STUCK * null) for each, null in known if _bounded(each) and each.low < each.high and null > 0.0]
    stuck = sum(each.high < limit for each, limit in bounded)
    undecided = len(known) - stuck - sum(each.low > limit for each, limit in bounded)
    are = "is" if 1 in (stuck, len(known)) else "are"
    told = f"{stuck} of {_layers(len(known))} {are} stuck (less than half of what noise gives)"
    return f", so {told}{f', and {undecided} undecided' if undecided else ''}"


def of_flips(locked: Sequence[float], nulls: Sequence[float], ground: Ground, *, ended: bool) -> str:
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
    """
    if ended:
        return f"How many signs are locked in cannot be told: no update follows {ground.where}."
    shares = [share for share in locked if math.isfinite(share)]
    if not shares:
        return f"How many signs changed after {ground.where} cannot be told: no weight has a known record."
    name = "locked_fraction"
    did = "did not change again after" if ground.exact else "were the same at every checkpoint after"
    measured = f"{shown(name, median(shares))} % of the signs of {ground.of} {did} {ground.where}"
    known = [null for null in nulls if math.isfinite(null)]
    noise = f"; noise alone would leave {shown(name, median(known))} %" if len(known) == len(nulls) else _UNKNOWN
    return _told(f"{measured}{_median_of(len(shares))}", noise, ground, which="The later windows")


def of_fit(shapes: Sequence[Interval], weights_per_channel: Sequence[float], ground: Ground, *, raw: bool) -> str:
    """Whether the weights are distributed as the paper assumes: by a Laplace distribution, whose shape is 1.

    Parameters
    ----------
    shapes : sequence of Interval
        Shape of the generalised normal distribution that fits each layer.
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
    lighter = sum(_bounded(each) and each.low > 1.0 and (raw or count >= FEW_WEIGHTS) for each, count in known)
    heavier = 0 if raw else sum(_bounded(each) and each.high < 1.0 for each, _ in known)
    undecided = len(known) - lighter - heavier
    counts = [(lighter, "lighter"), (heavier, "heavier")]
    tails = [f"{word} tails than a Laplace distribution in {count}" for count, word in counts if count]
    rest = f" ({undecided} cannot be told)" if undecided and tails else ""
    tails = tails or [f"tails that cannot be told from those of a Laplace distribution in {undecided}"]
    middle = median(each.estimate for each, _ in known)
    return (
        f"The weights of {ground.of} have {' and '.join(tails)} of {_layers(len(known))} at the end of {ground.where}"
        f"{rest}: shape {middle:.2f}{_median_of(len(known))}, where 1 is a Laplace and 2 a normal distribution."
    )


def of_causes(silent: float, shares: Mapping[str, Interval], null: float, chosen: str, ground: Ground) -> str:
    """Why weights that stand far from zero stay silent, and in how many noise cannot be told from a cause.

    Parameters
    ----------
    silent : float
        Share of all weights that were in the tail and silent.
    shares : mapping of str to Interval
        Of these weights, those with each cause, with intervals over trainings.
    null : float
        Share that noise of a steady size would make held. It is no base for "more than noise", see
        `recu_analysis.analysis.causes`.
    chosen : str
        In words, the windows in which the weights were silent; those of the ground follow.
    ground : Ground
    """
    if not silent > 0.0:
        return f"No weight of {ground.of} stands far from zero and did not change its sign in {chosen}."
    told = [f"noise cannot be told from a cause in {_percent(shares['undetermined'])} in {ground.where}"]
    told += [f"{_percent(shares[cause])} {did}" for cause, did in _CAUSED.items() if shares[cause].estimate >= _NAMED]
    held, opposed = shares["held"], shares["opposed"]
    told += [f"{_percent(opposed)} seem pulled towards zero by gradients, and {_percent(held)} seem held"]
    measured = (
        f"Of the {shown('share', silent)} % of the weights of {ground.of} that stand far from zero and did not change "
        f"their sign in {chosen}, {'; '.join(told)}"
    )
    return _told(measured, f"; noise alone would give about {shown('share', null)} %", ground)


def _percent(share: Interval) -> str:
    """A share of a cause, with its interval if it has one."""
    ends = f" ({shown('share', share.low)} to {shown('share', share.high)} %)" if _bounded(share) else ""
    return f"{shown('share', share.estimate)} %{ends}"


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


def of_intervention(rises: Mapping[str, Mapping[str, Interval]], ground: Ground, reference: str = "random") -> str:
    """What it costs to negate binary weights of each group, beside as many of the reference group.

    Parameters
    ----------
    rises : mapping of str to mapping of str to Interval
        Group -> layer -> rise of the loss; only layers in which weights of the group were negated, and "all" for all
        layers at once in which every group has weights.
    ground : Ground
        That of the windows that define the groups.
    reference : str
        The group that the others are compared with, where it is measured.
    """
    known = {group: of for group, of in rises.items() if of}
    if not known:
        return f"What weights of {ground.where} are worth cannot be told: no weight was negated."
    layers = {layer for of in known.values() for layer in of} - {"all"}
    at_once = all("all" in of for of in known.values())
    values = {
        group: of["all"].estimate if at_once else median(each.estimate for layer, each in of.items() if layer != "all")
        for group, of in known.items()
    }
    shared = sum(all(layer in of for of in known.values()) for layer in layers)
    measured = (
        f"Negating binary weights of {ground.of} changes the loss by "
        f"{_and([f'{value:+.4f} ({group})' for group, value in values.items()])}, with as many weights of each group "
        f"of {ground.where}{f', in {_layers(shared)} at once' if at_once else _median_of(len(layers))}"
    )
    return _told(measured, _beside_reference(known, reference), ground)


def of_reflection(returned: Mapping[str, Interval], left: Mapping[str, Interval], decay_time: float) -> str:
    """Whether reflected weights return to their earlier side more often than untouched weights leave it.

    Without a target, both are equally frequent, because the momentum is reflected with the weights.

    Parameters
    ----------
    returned, left : mapping of str to Interval
        Share of the reflected, and of the untouched weights of each group, with intervals over continuations; "all"
        for all groups together.
    decay_time : float
        T of the continuation.
    """
    known = {group: each for group, each in returned.items() if math.isfinite(each.estimate)}
    if not known or not math.isfinite(left["all"].estimate):
        return "Whether reflected weights return cannot be told: no weight was reflected."
    shares = [f"{100.0 * each.estimate:.1f} % ({group})" for group, each in known.items()]
    others = [f"{100.0 * left[group].estimate:.1f} % ({group})" for group in known]
    told = (
        f"Of the reflected weights of this one training, {_and(shares)} returned to their earlier sign; of untouched "
        f"weights, {_and(others)} left it"
    )
    first, second = returned["all"], left["all"]
    if not (decay_time >= math.log(1.0 / LONG_ENOUGH)):
        length = "is not known" if math.isnan(decay_time) else f"of {decay_time:.2f} is too short to tell"
        return f"{told}; T {length}, and without a target both would be equal."
    if first.low > second.high:
        return f"{told}: more return than a motion without a target gives, so they are drawn to where they were."
    if first.high < second.low:
        return f"{told}: fewer return than a motion without a target gives."
    return f"{told}; without a target both would be equal, and the two cannot be told apart."


def _beside_reference(rises: Mapping[str, Mapping[str, Interval]], reference: str) -> str:
    """In how many layers the interval of each group lies above that of the reference."""
    told, usual = [], rises.get(reference, {})
    for group, of in rises.items():
        shared = () if group == reference else (of.keys() & usual.keys()) - {"all"}
        both = [(of[layer], usual[layer]) for layer in shared]
        bounded = [(each, other) for each, other in both if _bounded(each) and _bounded(other)]
        if bounded:
            above = sum(each.low > other.high for each, other in bounded)
            told.append(f"{group} in {above} of {_layers(len(bounded))}")
    return f"; alone, more than {reference} weights by intervals that do not overlap: {_and(told)}" if told else ""


def _and(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)


def of_plan(decay_time: float, settled: Sequence[tuple[int, int]], needed: int | None, *, found: bool) -> str:
    """What a training that is planned will be able to tell.

    Parameters
    ----------
    decay_time : float
        T of the whole training.
    settled : sequence of pairs of int
        First and last epoch of each stretch of windows in which weights are forecast to move as in equilibrium.
    needed : int or None
        How many last windows are long enough to tell dead weights from slow ones; None if all are too short.
    found : bool
        Whether a typical weight that gradients hold is more likely found than not, in windows of this length.
    """
    if decay_time == 0.0:
        return "Nothing decays in this training (T = 0), so dead weights cannot be told from slow ones."
    spans = [f"epoch {a}" if a == b else f"epochs {a} to {b}" for a, b in settled]
    pace = (
        f"are forecast to move as in equilibrium in {' and '.join(spans)}" if spans else "never move as in equilibrium"
    )
    if needed is None:
        length = "all windows together are too short to tell dead weights from slow ones"
    else:
        last = "the last window is" if needed == 1 else f"the last {needed} windows are"
        length = f"{last} long enough to tell dead weights from slow ones"
    least = least_decay_time()
    if found:
        single = "a typical weight that gradients hold is more likely found than not"
    elif decay_time < least:
        single = f"T is below {least:.0f}, so report shares of weights and not single weights"
    else:
        single = "the windows are too long for single weights, so record shorter ones, or report shares of weights"
    return f"In this training of T = {shown('decay_time', decay_time)}, weights {pace}; {length}; {single}."


def _told(measured: str, noise: str, ground: Ground, *, unseen: str = _UNSEEN, which: str = "The windows") -> str:
    """The sentence of what was measured and its null, with what limits it."""
    length = ""
    if math.isnan(ground.null):
        length = "; it is not known whether the windows are long enough"
    limit = "" if ground.exact else unseen
    if not ground.short:
        return f"{measured}{limit}{noise}{length}."
    return f"{which} {_SHORT}: {measured[0].lower()}{measured[1:]}{limit}{noise}."


def _bounded(value: Interval) -> bool:
    return math.isfinite(value.low) and math.isfinite(value.high)


def _median_of(layers: int) -> str:
    return f" (median of {layers} layers)" if layers > 1 else ""


def _layers(count: int) -> str:
    return f"{count} layer{'s' * (count != 1)}"
