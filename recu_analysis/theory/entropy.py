"""Entropies of latent and binary weights: Eq. 17, its bounds, and the entropy of a sign; all in nats."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import entr

from recu_analysis.errors import InputError
from recu_analysis.theory.laplace import check_tau
from recu_analysis.theory.quantization import check_scale
from recu_analysis.theory.validation import reals

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

#: The scale at which Eq. 17 does not depend on tau. It depends on the unit of the weights: weights in a unit c times
#: smaller have c times the scale, and (2 tau - 1) ln c more entropy.
CRITICAL_SCALE = math.exp(-1.0)


def clamped_entropy(tau: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Entropy of Laplace weights after ReCU, ln 2 + (2 tau - 1)(ln b + 1) (Eq. 17 of ReCU, Xu et al., ICCV 2021).

    The density inside contributes -integral f ln f, the two point masses -2 (1 - tau) ln(1 - tau). It is ln 2 at
    b = 1/e, rises with tau above and falls below; a mixed entropy, so its value depends on the unit of the weights.

    Parameters
    ----------
    tau : array_like
        Quantile level, 0.5 < tau <= 1.
    b : array_like
        Laplace scale, positive; broadcast against `tau`.

    Returns
    -------
    ndarray of float64, nats

    Raises
    ------
    InputError
        If tau or b is out of its range.
    """
    inside = 1.0 - 2.0 * (1.0 - check_tau(tau))
    return math.log(2.0) + inside * (np.log(check_scale(b)) + 1.0)


def laplace_bound(b: ArrayLike) -> NDArray[np.float64]:
    """Largest differential entropy for a mean absolute value of b, ln(2 e b): that of the Laplace distribution."""
    return np.asarray(np.log(2.0 * check_scale(b)) + 1.0)


def normal_bound(sigma: ArrayLike) -> NDArray[np.float64]:
    """Largest differential entropy for a standard deviation of sigma, 0.5 ln(2 pi e sigma^2): that of the normal."""
    return np.asarray(0.5 * math.log(2.0 * math.pi * math.e) + np.log(check_scale(sigma)))


def sign_entropy(p: ArrayLike) -> NDArray[np.float64]:
    """Entropy H_b(p) of a binary weight that is +1 with probability p; at most ln 2.

    Raises
    ------
    InputError
        If p lies outside [0, 1].
    """
    share = reals(p, "probabilities")
    bad = ~((share >= 0) & (share <= 1))
    if bad.any():
        raise InputError(f"a probability lies in [0, 1], not {share[bad].flat[0]:g}")
    return np.asarray(entr(share) + entr(1.0 - share))
