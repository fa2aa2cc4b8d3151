"""Entropies of latent and binary weights, in nats: Eq. 17, its bounds, and the entropy of a sign."""

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

#: The scale at which Eq. 17 does not depend on tau. Scale and entropy depend on the unit of the weights: in a unit c
#: times smaller, the scale is c times larger and the entropy (2 tau - 1) ln c larger.
CRITICAL_SCALE = math.exp(-1.0)


def clamped_entropy(tau: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Entropy of Laplace weights after ReCU, ln 2 + (2 tau - 1)(ln b + 1) (Eq. 17 of ReCU, Xu et al., ICCV 2021).

    The density inside contributes -integral f ln f, the two point masses contribute -2 (1 - tau) ln(1 - tau). At
    b = 1/e the entropy is ln 2. It rises with tau for larger b, and falls with tau for smaller b. Its value depends on
    the unit of the weights, as for every mixed entropy.

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
    """Largest differential entropy at a mean absolute value of b: ln(2 e b), reached by the Laplace distribution.

    Parameters
    ----------
    b : array_like
        Mean absolute value, positive.

    Returns
    -------
    ndarray of float64, nats

    Raises
    ------
    InputError
        If b is not positive.
    """
    return np.asarray(np.log(2.0 * check_scale(b)) + 1.0)


def normal_bound(sigma: ArrayLike) -> NDArray[np.float64]:
    """Largest differential entropy at a standard deviation of sigma: 0.5 ln(2 pi e sigma^2), reached by the normal.

    Parameters
    ----------
    sigma : array_like
        Standard deviation, positive.

    Returns
    -------
    ndarray of float64, nats

    Raises
    ------
    InputError
        If sigma is not positive.
    """
    return np.asarray(0.5 * math.log(2.0 * math.pi * math.e) + np.log(check_scale(sigma)))


def sign_entropy(p: ArrayLike) -> NDArray[np.float64]:
    """Entropy H_b(p) of a binary weight that is +1 with probability p; at most ln 2.

    Parameters
    ----------
    p : array_like
        Probability, 0 to 1.

    Returns
    -------
    ndarray of float64, nats

    Raises
    ------
    InputError
        If p lies outside [0, 1].
    """
    share = reals(p, "probabilities")
    bad = ~((share >= 0) & (share <= 1))
    if bad.any():
        raise InputError(f"a probability must lie in [0, 1], not {share[bad].flat[0]:g}")
    return np.asarray(entr(share) + entr(1.0 - share))
