"""Schedules over the epochs of a training: of the quantile level tau (Eq. 24), and of the learning rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from recu_analysis.errors import InputError, unknown
from recu_analysis.theory.laplace import check_tau
from recu_analysis.theory.validation import reals

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Values = NDArray[np.float64]

Kind = Literal["exponential", "linear", "cosine", "step", "constant"]

#: Maps the elapsed share of the epochs to the share of the way from start to end. Each schedule begins at 0; all but
#: the constant one reach 1 after the last epoch.
SHARES: dict[Kind, Callable[[Values], Values]] = {
    "exponential": lambda past: np.expm1(past) / np.expm1(1.0),
    "linear": lambda past: past,
    "cosine": lambda past: 0.5 - 0.5 * np.cos(math.pi * past),
    "step": lambda past: np.minimum(np.floor(3.0 * past + 1e-9), 2.0) / 2.0,
    "constant": np.zeros_like,
}


def schedule(
    epoch: ArrayLike, epochs: int, start: float = 0.85, end: float = 0.99, kind: Kind = "exponential"
) -> Values:
    """Quantile level of an epoch, start + (end - start) s(i/I), where s depends on the schedule.

    exponential, Eq. 24 of ReCU (Xu et al., ICCV 2021): s = (exp(i/I) - 1) / (e - 1), which equals the paper's
    (end - start)/(e - 1) exp(i/I) + (e start - end)/(e - 1). linear: s = i/I. cosine: s = (1 - cos(pi i/I)) / 2.
    step: `start`, the midpoint and `end`, each for a third of the epochs. constant: always `start`.

    Epoch 0 has level `start`. Level `end` is at i = I, after the last epoch I - 1.

    Parameters
    ----------
    epoch : array_like
        Epoch i, counted from 0, at most `epochs`.
    epochs : int
        Number of epochs I, at least 1.
    start, end : float
        Levels, 0.5 < start <= end <= 1; equal levels give a fixed tau.
    kind : {"exponential", "linear", "cosine", "step", "constant"}
        Name of the schedule.

    Returns
    -------
    ndarray of float64

    Raises
    ------
    InputError
        If a level, an epoch, the number of epochs or the kind is out of its range.
    """
    check_tau([start, end])
    index = reals(epoch, "epochs")
    if kind not in SHARES:
        raise unknown("schedule", kind, SHARES)
    if start > end:
        raise InputError(f"tau must not fall: its start {start:g} is above its end {end:g}; choose start <= end")
    if epochs < 1:
        raise InputError(f"a schedule needs at least one epoch, not {epochs}")
    if not ((index >= 0) & (index <= epochs)).all():
        raise InputError(f"the epoch must lie between 0 and {epochs}")
    # This form is exact at both ends.
    return start + (end - start) * SHARES[kind](index / epochs)


#: Schedules of the learning rate, with their descriptions in `learning_rate`.
RATES = ("cosine", "step", "linear", "constant")


def learning_rate(epoch: int, epochs: int, lr: float, kind: str = "cosine", warm_up: int = 0) -> float:
    """Learning rate of an epoch, counted from 0: the warm-up of ReCU's authors, then the schedule.

    With W epochs of warm-up (5 for the authors) the rate is lr (e + 1) / W before epoch W. The schedule begins at
    epoch W, and counts from epoch W - 1. Cosine and linear fall over epochs - (W - 1) epochs and would reach 0 in
    the epoch after the last. Step divides by 10 at half and again at three quarters of all epochs; constant stays
    at lr.

    Parameters
    ----------
    epoch : int
    epochs : int
        Number of epochs.
    lr : float
        Learning rate after the warm-up.
    kind : {"cosine", "step", "linear", "constant"}
        Name of the schedule.
    warm_up : int
        Number of epochs W, less than `epochs`.

    Returns
    -------
    float

    Raises
    ------
    InputError
        If there is no such schedule.
    """
    if kind not in RATES:
        raise unknown("schedule of the learning rate", kind, RATES)
    if epoch < warm_up:
        return lr * (epoch + 1) / warm_up
    if kind == "constant":
        return lr
    if kind == "step":
        return lr / 10.0 ** ((2 * epoch >= epochs) + (4 * epoch >= 3 * epochs))
    start = max(warm_up - 1, 0)
    if kind == "linear":
        return lr * (epochs - epoch) / (epochs - start)
    return 0.5 * lr * (1.0 + math.cos(math.pi * (epoch - start) / (epochs - start)))
