"""How far weights move per update, forecast from the optimizer and the norms of the weights, not from the loss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from recu_analysis.theory.inheritance import UpdateRule
    from recu_analysis.theory.noise import Rates

#: Mean of abs(x) of a normal variable of variance 1.
MEAN_SIZE = math.sqrt(2.0 / math.pi)
#: Out of equilibrium, a forecast needs gradients that widen the weights by at least this part of what they would in
#: equilibrium. Below it, the norm falls by decay alone, and the forecast is a small difference of large numbers.
LEAST_GROWTH = 0.1
#: Norm of the weights at the start, relative to that in equilibrium at the highest learning rate, if nothing else is
#: known. Our ResNet-20s have 1.5 to 2.5 by their later windows.
COMMON_START = 2.0
#: A window counts as in equilibrium if the forecast of its mobility is within this share of that in equilibrium.
SETTLED = 0.1
#: Points at which the norm is evaluated inside a window.
_POINTS = 64


def relative_step(rule: UpdateRule, lr: float, weight_decay: float, radial: float = 0.0) -> float:
    """Root mean square of an update over that of the weights, at equilibrium: r^2 = 2 lr (wd + radial) S / R.

    It holds where gradients are at right angles to the weights, as under a standardization in the graph; elsewhere
    `radial` corrects it. For AdamW it holds only for gradients of one scale and without drift.
    Source: Kosson et al. (2024), Rotational equilibrium, arXiv 2305.17212, for SGD without Nesterov's momentum.

    Parameters
    ----------
    rule : UpdateRule
    lr, weight_decay : float
    radial : float
        Mean of <w, gradient> / |w|^2 over the updates.

    Returns
    -------
    float
        0 if nothing decays; NaN if the gradients shrink the weights no less than the decay, and none grow them.
    """
    pull = weight_decay + radial
    ratio = rule.square_response / rule.response
    return math.sqrt(2.0 * lr * pull * ratio) if pull >= 0.0 else math.nan


def mobility(step: float) -> float:
    """Mean abs(z_u - z_{u-1}), standard deviations per update, of normal updates with this relative step."""
    return step * MEAN_SIZE


def is_settled(forecast: ArrayLike, in_equilibrium: ArrayLike) -> Any:
    """Whether a forecast of the mobility is within the share `SETTLED` of that in equilibrium; not where one is NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.abs(np.divide(forecast, in_equilibrium) - 1.0) <= SETTLED


def flips_per_update(density: float, moved: float) -> float:
    """Flips per weight and update: the density of z at the threshold times the mobility, for steps that ignore z."""
    return density * moved


def steps_between(rates: Sequence[Rates], before: float, after: float) -> float:
    """Mean relative step over some updates, in equilibrium or not, from the norms at both ends.

    For weights whose loss does not depend on their scale, gradients shrink as 1 / |w|, and N = |w|^2 follows
    (N^2)' = -4 kappa N^2 + 2 lr^2 c with kappa = lr wd R. The two norms give c; then the step is
    r^2 = (S / R^2) lr^2 c / N^2 at each moment.

    Parameters
    ----------
    rates : sequence of Rates
        Spans of updates, in order, in each of which the learning rate is constant.
    before, after : float
        Norm of the weights, |w|, at the start and the end.

    Returns
    -------
    float
        NaN for decoupled decay, whose gradients do not follow this equation, for no update, and where the norm falls by
        decay alone, see `LEAST_GROWTH`.
    """
    updates = sum(each.updates for each in rates)
    if updates < 1 or any(each.rule.decoupled for each in rates) or not (before > 0.0 and after > 0.0):
        return math.nan
    left, added, spans = 1.0, 0.0, []  # N^2 is left of it at the start, and c times what was added
    for each in rates:
        at = np.append((np.arange(_POINTS) + 0.5) / _POINTS, 1.0) * each.updates
        kappa = each.rule.decay_time(each.lr, each.weight_decay)
        faded = np.exp(-4.0 * kappa * at)
        made = 2.0 * each.lr**2 * (-np.expm1(-4.0 * kappa * at) / (4.0 * kappa) if kappa > 0.0 else at)
        spans.append((left * faded, added * faded + made))
        left, added = float(spans[-1][0][-1]), float(spans[-1][1][-1])
    growth = after**4 - before**4 * left
    if added == 0.0 or growth <= LEAST_GROWTH * before**4 * (1.0 - left):
        return math.nan
    source, total = growth / added, 0.0
    for each, (faded, made) in zip(rates, spans, strict=True):
        squares = np.sqrt(before**4 * faded + source * made)[:-1]  # N at each point
        step = each.lr * math.sqrt(source * each.rule.square_response) / each.rule.response
        total += each.updates * step * float(np.mean(1.0 / squares))
    return total / updates


def steps_ahead(
    rule: UpdateRule, highest: float, weight_decay: float, lr: float, updates: int, before: float
) -> tuple[float, float]:
    """Mean relative step over some updates to come, in equilibrium or not, and the norm of the weights after them.

    Norms are relative to that in equilibrium at the learning rate `highest`, which stands for the size of the
    gradients: they are assumed to be noise of one size over the training. For SGD, weights whose loss does not depend
    on their scale have gradients of size c / |w|, and (|w|^4)' = -4 kappa |w|^4 + 2 lr^2 c. For decoupled decay, the
    optimizer scales the gradients to one size q, and (|w|^2)' = -2 kappa |w|^2 + lr^2 q.

    Parameters
    ----------
    rule : UpdateRule
    highest : float
        Learning rate to whose equilibrium norms are relative.
    weight_decay, lr : float
        Rates of the updates.
    updates : int
    before : float
        Relative norm at the start.

    Returns
    -------
    tuple of float
        Mean relative step, and relative norm at the end; NaN without decay, under which there is no equilibrium.
    """
    kappa = rule.decay_time(highest, weight_decay)
    if not kappa > 0.0 or not before > 0.0:
        return math.nan, math.nan
    power = 1.0 if rule.decoupled else 2.0  # of |w|^2, in which the equation is linear
    share = lr / highest
    at = (np.arange(_POINTS + 1.0) + 0.5) / _POINTS * updates
    at[-1] = updates
    left = np.exp(-2.0 * power * kappa * share * at)
    sizes = before ** (2.0 * power) * left + share * (1.0 - left)  # |w|^2 to that power
    ratio = rule.square_response / rule.response**2
    steps = np.sqrt(ratio * 2.0 * kappa * share**2 / sizes[:-1])
    return float(steps.mean()), float(sizes[-1] ** (0.5 / power))
