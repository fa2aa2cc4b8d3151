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
    from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Restored:
    """Sums that give rho of some weights; the sum of two is that of the weights of both.

    Attributes
    ----------
    gained : float
        Sum of v0 E: what gradients added along the start.
    taken : float
        (1 - a) times the sum of v0^2: what decay took along the start.
    spread : float
        Standard deviation of `gained` under noise; NaN if it is not known.
    """

    gained: float
    taken: float
    spread: float = math.nan

    def __add__(self, other: Self) -> Restored:
        """The sums of two sets of weights.

        The noise of a minibatch is common to all weights, so variances must not be added. Standard deviations add up
        to at least that of the sum.
        """
        return Restored(self.gained + other.gained, self.taken + other.taken, self.spread + other.spread)

    @property
    def rho(self) -> float:
        """The restored fraction: 0 for noise, 1 for weights that are held, below 0 for weights that are pushed off.

        NaN if decay takes nothing.
        """
        return self.gained / self.taken if self.taken > 0.0 else math.nan

    @property
    def error(self) -> float:
        """Standard error of rho under noise; NaN if it is not known."""
        return self.spread / self.taken if self.taken > 0.0 else math.nan

    def interval(self, level: float = LEVEL) -> Interval:
        """Rho with its normal interval under noise; the ends are NaN if the noise is not known.

        Raises
        ------
        InputError
            If the level lies outside (0, 1).
        """
        check_level(level)
        half = float(ndtri(0.5 + level / 2.0)) * self.error
        return Interval(self.rho, self.rho - half, self.rho + half)


def restored(start: ArrayLike, earned: ArrayLike, kept: float, variance: float = math.nan) -> Restored:
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
    variance : float, optional
        Variance of the sum of v0 E under noise: the sum over updates u of (c_u p_u)^2. p_u is the scalar product of v0
        and the gradient, and c_u is how far a unit of this gradient has moved a weight by the window's end. Under
        noise, the mean of p_u is 0 whatever came before, so the c_u p_u are the steps of a martingale. The recorded
        `earned_variance` is that of all weights of a layer in one window; windows cannot be joined.

    Returns
    -------
    Restored

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
    return Restored(float(before @ made), (1.0 - kept) * float(before @ before), math.sqrt(variance))


@dataclass(frozen=True, slots=True)
class AutocorrelationParts:
    """Sums that give the autocorrelation of z of some weights by where it comes from.

    The sum of two is that of the weights of both.

    Attributes
    ----------
    inherited, momentum, restored : float
        Sums of z at the start times each part of z at the end: what decay leaves of the start, what the momentum at
        the start adds, and what gradients restore.
    before, after : float
        Sums of z^2 at the start and at the end.
    """

    inherited: float
    momentum: float
    restored: float
    before: float
    after: float

    def __add__(self, other: Self) -> AutocorrelationParts:
        """The sums of two sets of weights."""
        return AutocorrelationParts(
            self.inherited + other.inherited,
            self.momentum + other.momentum,
            self.restored + other.restored,
            self.before + other.before,
            self.after + other.after,
        )

    def cosines(self) -> tuple[float, float, float]:
        """The parts of the cosine of z at both ends: inherited, momentum and restored; NaN if z is 0 at either end.

        For a whole layer, the inherited part is the null, a s0 / s1, and the restored part is (1 - a) rho s0 / s1, if
        all channels widen alike.
        """
        size = math.sqrt(self.before * self.after) or math.nan
        return self.inherited / size, self.momentum / size, self.restored / size


def autocorrelation_parts(
    start: ArrayLike, kept: ArrayLike, momentum: ArrayLike, earned: ArrayLike
) -> AutocorrelationParts:
    """Split the autocorrelation of z into what is inherited, what the momentum adds, and what gradients restore.

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
    """
    z, pushed, made = (np.asarray(part, dtype=np.float64) for part in (start, momentum, earned))
    left = np.asarray(kept) * z
    end = left + pushed + made
    inherited, carried, added = (float((z * part).sum()) for part in (left, pushed, made))
    return AutocorrelationParts(inherited, carried, added, float((z**2).sum()), float((end**2).sum()))
