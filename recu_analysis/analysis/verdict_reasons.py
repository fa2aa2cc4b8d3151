"""Verdicts on why weights stay, what they are worth, and what a planned training can tell; see `analysis.verdict`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from recu_analysis.analysis.final_windows import LONG_ENOUGH
from recu_analysis.analysis.ground import is_bounded, told_of
from recu_analysis.analysis.rendering import shown
from recu_analysis.theory.power import least_decay_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recu_analysis.analysis.ground import Ground
    from recu_analysis.theory.intervals import Interval

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


def of_causes(silent: float, shares: Mapping[str, Interval], null: float, chosen: str, ground: Ground) -> str:
    """Why weights that stand far from zero stay silent, and in how many noise cannot be told from a cause.

    Parameters
    ----------
    silent : float
        Share of all weights that were in the tail and silent.
    shares : mapping of str to Interval
        Of these weights, those with each cause, with intervals over trainings. NaN for held and opposed if these rules
        were not tried.
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
    tried = math.isfinite(held.estimate)
    if tried:
        told += [f"{_percent(opposed)} seem pulled towards zero by gradients, and {_percent(held)} seem held"]
    else:
        told += ["whether gradients pull them towards zero or hold them was not tested, for the reason below"]
    measured = (
        f"Of the {shown('share', silent)} % of the weights of {ground.of} that stand far from zero and did not change "
        f"their sign in {chosen}, {'; '.join(told)}"
    )
    return told_of(measured, f"; noise alone would give about {shown('share', null)} %" if tried else "", ground)


def _percent(share: Interval) -> str:
    """A share of a cause, with its interval if it has one."""
    ends = f" ({shown('share', share.low)} to {shown('share', share.high)} %)" if is_bounded(share) else ""
    return f"{shown('share', share.estimate)} %{ends}"


def of_intervention(
    rises: Mapping[str, Interval], differences: Mapping[tuple[str, str], Interval], ground: Ground
) -> str:
    """What it costs to negate binary weights of each group, and how groups differ.

    Parameters
    ----------
    rises : mapping of str to Interval
        Rise of the loss by group, of the groups in which weights were negated.
    differences : mapping of pairs of str to Interval
        Rise of the first group of the pair minus that of the second.
    ground : Ground
        That of the windows that define the groups.
    """
    if not rises:
        return f"What weights of {ground.where} are worth cannot be told: no layer has weights of every group."
    measured = (
        f"Negating binary weights of {ground.of} changes the loss by "
        f"{_and([f'{each.estimate:+.4f} ({group})' for group, each in rises.items()])}, with as many weights of each "
        f"group of {ground.where}"
    )
    bounded = {pair: each for pair, each in differences.items() if is_bounded(each)}
    named = {pair: each for pair, each in bounded.items() if "random" not in pair} or bounded
    return told_of(measured, "".join(f"; {_of_difference(*pair, each)}" for pair, each in named.items()), ground)


def _of_difference(group: str, reference: str, each: Interval) -> str:
    """Whether the weights of a group are worth more than those of another."""
    numbers = f"difference {each.estimate:+.4f}, {each.low:+.4f} to {each.high:+.4f}"
    if each.low > 0.0 or each.high < 0.0:
        return f"{group} costs {'more' if each.low > 0.0 else 'less'} than {reference} ({numbers})"
    return f"{group} and {reference} cannot be told apart ({numbers})"


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
