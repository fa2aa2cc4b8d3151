"""The restored fraction rho: the part of what decay takes from some weights that gradients restore."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy.special import ndtri

from recu_analysis.errors import InputError
from recu_analysis.theory.intervals import LEVEL, Interval, check_level

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from recu_analysis.theory.inheritance import UpdateRule

    Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Restored:
    """Sums that give rho of some weights; the sum of two is that of the weights of both.

    Attributes
    ----------
    gained : float
        Sum of v0 E: what gradients added along the start.
    taken : float
        (1 - a) times the sum of v0^2: what decay took along the start.
    steps : ndarray of float64, shape (updates,), or None
        c_u p_u of each update, whose sum is `gained`; None if p_u is not known. See `restored`.
    """

    gained: float
    taken: float
    steps: Values | None = None

    def __add__(self, other: Self) -> Restored:
        """The sums of two sets of weights over the same updates: their steps are added update by update.

        The noise of a minibatch is common to all weights, so variances must not be added.
        """
        steps = None
        if self.steps is not None and other.steps is not None:
            if self.steps.shape != other.steps.shape:
                raise InputError(
                    f"rho of weights over {self.steps.size} and {other.steps.size} updates cannot be joined; join only "
                    "weights over the same updates"
                )
            steps = self.steps + other.steps
        return Restored(self.gained + other.gained, self.taken + other.taken, steps)

    @property
    def rho(self) -> float:
        """The restored fraction: 0 for noise, 1 for weights that are held, below 0 for weights that are pushed off.

        NaN if decay takes nothing.
        """
        return self.gained / self.taken if self.taken > 0.0 else math.nan

    @property
    def error(self) -> float:
        """Standard error of rho under noise; NaN without steps.

        Under noise, the mean of p_u is 0 whatever came before, so the steps are a martingale, and the variance of their
        sum is the sum of their squares.
        """
        if self.steps is None or not self.taken > 0.0:
            return math.nan
        return math.sqrt(float(self.steps @ self.steps)) / self.taken

    def interval(self, level: float = LEVEL) -> Interval:
        """Rho with its normal interval under noise; the ends are NaN without steps.

        Raises
        ------
        InputError
            If the level lies outside (0, 1).
        """
        check_level(level)
        half = float(ndtri(0.5 + level / 2.0)) * self.error
        return Interval(self.rho, self.rho - half, self.rho + half)


def restored(start: ArrayLike, earned: ArrayLike, kept: float, steps: ArrayLike | None = None) -> Restored:
    """The sums that give rho of a group of weights that was chosen before the window.

    rho = sum of v0 E / ((1 - a) sum of v0^2). A group that is chosen by what its weights did in the window has another
    rho under noise than 0.

    Parameters
    ----------
    start : array_like
        v0: weights of the group at the window's start, minus the mean of their channel if the layer centers.
    earned : array_like, same shape
        E: what the gradients of the window made of each weight, centered in the same way. It is
        w_end - a w_start - b m_start.
    kept : float
        a: the part of a weight that decay and momentum alone leave.
    steps : array_like, shape (updates,), optional
        c_u p_u of each update: c_u of `responses`, and p_u, the scalar product of v0 and the gradient. The products
        belong to this group and this start; those of two windows cannot be joined.

    Returns
    -------
    Restored
        If v0 and E are divided by a number for each channel, p_u needs v0 divided by its square.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    before, made = (np.asarray(values, dtype=np.float64).reshape(-1) for values in (start, earned))
    if before.shape != made.shape:
        raise InputError(
            f"rho needs the start and the earned part of the same weights, not of {before.size} and {made.size}"
        )
    known = None if steps is None else np.asarray(steps, dtype=np.float64).reshape(-1)
    return Restored(float(before @ made), (1.0 - kept) * float(before @ before), known)


def responses(rule: UpdateRule, lr: ArrayLike, weight_decay: ArrayLike, *, first: bool = False) -> Values:
    """c_u: what a unit of the gradient of each update adds to the weights after the last update.

    Parameters
    ----------
    rule : UpdateRule
    lr, weight_decay : array_like, shape (updates,)
        Rates of each update that had a gradient.
    first : bool
        Whether the first of them is the first update of the optimizer, which SGD does not dampen.

    Returns
    -------
    ndarray of float64, shape (updates,)
        E is the sum of c_u g_u, so c_u is below 0.

    Raises
    ------
    InputError
        For AdamW, whose steps are scaled gradients and not linear in the gradient; or if the shapes differ.
    """
    if rule.decoupled:
        raise InputError(
            "AdamW moves weights by scaled gradients, so the response to a gradient is not known; show rho without "
            "this interval"
        )
    rates, decays = (np.asarray(values, dtype=np.float64).reshape(-1) for values in (lr, weight_decay))
    if rates.shape != decays.shape:
        raise InputError(f"each update needs a learning rate and a weight decay, not {rates.size} and {decays.size}")
    found = np.empty(rates.size)
    onward = np.array([1.0, 0.0])  # what the weight and the momentum after an update add to the weight at the end
    for at in range(rates.size - 1, -1, -1):
        is_first = first and at == 0
        intake = 1.0 if is_first else rule.intake
        found[at] = onward @ [-rates[at] * (rule.direct + rule.through * intake), intake]
        onward = onward @ rule.matrix(float(rates[at]), float(decays[at]), first=is_first)
    return found


@dataclass(frozen=True, slots=True)
class AutocorrelationParts:
    """The autocorrelation of z over a window, split by where it comes from; the three parts add up to it.

    Attributes
    ----------
    inherited : float
        What decay alone leaves of the start: the null, a s0 / s1, for a whole layer.
    momentum : float
        What the momentum at the start adds.
    restored : float
        What gradients restore: (1 - a) rho s0 / s1 if all channels widen alike.
    """

    inherited: float
    momentum: float
    restored: float

    @property
    def autocorrelation(self) -> float:
        """The cosine of z at both ends."""
        return self.inherited + self.momentum + self.restored


def autocorrelation_parts(
    start: ArrayLike, kept: ArrayLike, momentum: ArrayLike, earned: ArrayLike
) -> AutocorrelationParts:
    """Split the cosine of z at both ends into what is inherited, what the momentum adds, and what gradients restore.

    Parameters
    ----------
    start : array_like
        z0 of a layer or of a group of weights.
    kept, momentum, earned : array_like, shapes that broadcast to that of `start`
        The three parts of z at the end: a s0 / s1 of each weight's channel, b m_start / s1, and E / s1. s0 and s1 are
        the standard deviations of the channel at both ends, m_start and E are centered like the weights.

    Returns
    -------
    AutocorrelationParts
        NaN if z is 0 at either end.
    """
    z = np.asarray(start, dtype=np.float64)
    ends = [np.asarray(kept) * z, np.asarray(momentum), np.asarray(earned)]
    size = float(np.linalg.norm(z)) * float(np.linalg.norm(sum(ends)))
    inherited, pushed, made = (float((z * part).sum()) / size if size > 0.0 else math.nan for part in ends)
    return AutocorrelationParts(inherited, pushed, made)
