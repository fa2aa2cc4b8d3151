"""Causes of silence: why a silent weight stays where it is, by rules that are applied in their order."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.errors import InputError, unknown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]
    Counts = NDArray[Any]
    Codes = NDArray[np.int8]

#: The causes, in the order in which their rules are tried. The code of a cause is its place.
CAUSES = (
    "slow channel",
    "masked",
    "lost to rounding",
    "scheduled",
    "out of reach",
    "opposed",
    "held",
    "undetermined",
)
#: The name of the group of weights with a cause, and the cause.
CAUSE_GROUPS = {cause.replace(" ", "-"): cause for cause in CAUSES}
#: A gradient is small up to this share of the median abs(gradient) of a sample of the layer's weights. The counts of
#: small gradients follow from it while a network trains, so it cannot be changed afterwards.
SMALL_GRADIENT = 0.2


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds of all rules. They are our choice; tables also show the shares at half and at twice each of them.

    Attributes
    ----------
    slow : float
        A channel is slow if its mobility is below this share of the median over the layer's channels.
    masked : float
        A weight is masked if its gradient was small in at least this share of the updates. 1 is the most.
    unchanged : float
        A weight is lost to rounding if its stored value stayed the same in at least this share of the updates, although
        the step was not 0. 1 is the most.
    scheduled : float
        A weight out of reach is called scheduled if the decay time T of the window is below this: hardly any weight
        moves far then.
    reach : float
        A weight is out of reach if its path is shorter than this times the distance to the threshold.
    pulled : float
        A weight is held if gradients moved it away from the nearest threshold, which is zero for signs, by more than
        this, in standard errors of noise; opposed if they moved it towards the threshold by more. Noise alone does
        either to 5 % of the weights each.
    """

    slow: float = 0.25
    masked: float = 0.5
    unchanged: float = 0.5
    scheduled: float = 0.1
    reach: float = 1.0
    pulled: float = 1.645

    def scaled(self, factor: float, name: str | None = None) -> Thresholds:
        """All thresholds times a factor, or only the one of that name; shares of updates stop at 1.

        Raises
        ------
        InputError
            If there is no threshold of that name, or the factor is not positive and finite.
        """
        if not 0.0 < factor < math.inf:
            raise InputError(f"thresholds are multiplied by a positive number, not by {factor:g}")
        names = [field.name for field in fields(self)]
        if name is not None and name not in names:
            raise unknown("threshold", name, names)
        new = {each: factor * getattr(self, each) for each in (names if name is None else [name])}
        return replace(self, **{each: min(v, 1.0) if each in _SHARES else v for each, v in new.items()})


_SHARES = ("masked", "unchanged")
THRESHOLDS = Thresholds()


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What the rules need of one layer in a window after the one in which silent weights were chosen.

    Attributes
    ----------
    updates : int
        Number of updates.
    decay_time : float
        T of the window.
    mobility : ndarray of float64, shape (C_out,)
        Mean mobility of the weights of each channel.
    side : ndarray, shape (C_out, ...)
        Sign of z - nearest threshold of each weight at the start; the sign of z for signs.
    distance, path : ndarray of float64, shape (C_out, ...)
        Distance to the nearest threshold at the start, and length of the path, in one unit.
    pull : ndarray of float64, shape (C_out, ...)
        t = E / sqrt(V): what gradients made, in standard errors of noise. NaN where it is not known.
    small : ndarray of int, shape (C_out, ...), or None
        In how many updates abs(gradient) was at most `SMALL_GRADIENT` of the layer's median; None if not recorded.
    unchanged : ndarray of int, shape (C_out, ...), or None
        In how many updates the stored value stayed the same although the step was not 0; None if not recorded.
    """

    updates: int
    decay_time: float
    mobility: Values
    side: Counts
    distance: Values
    path: Values
    pull: Values
    small: Counts | None = None
    unchanged: Counts | None = None

    def __post_init__(self) -> None:
        shape = np.shape(self.side)
        each = {name: getattr(self, name) for name in ("distance", "path", "pull", "small", "unchanged")}
        for name, values in each.items():
            if values is not None and np.shape(values) != shape:
                raise InputError(
                    f"{name} has shape {np.shape(values)}, but side has {shape}; give both for each weight"
                )
        if np.shape(self.mobility) != shape[:1]:
            raise InputError(
                f"mobility has shape {np.shape(self.mobility)}, but there are {shape[:1]} channels; give one each"
            )


def causes(evidence: Evidence, thresholds: Thresholds = THRESHOLDS) -> Codes:
    """The cause of each weight: the first rule that it meets.

    The rules explain silence. For weights that flip, the code says what would be the cause.

    Parameters
    ----------
    evidence : Evidence
    thresholds : Thresholds, optional

    Returns
    -------
    ndarray of int8, shape (C_out, ...)
        Places in `CAUSES`.
    """
    towards = np.sign(evidence.side) * evidence.pull
    far = evidence.path < thresholds.reach * evidence.distance
    scheduled = evidence.decay_time < thresholds.scheduled
    never = np.zeros(far.shape, dtype=np.bool_)
    rules = {
        "slow channel": _slow(evidence.mobility, thresholds.slow).reshape(-1, *[1] * (far.ndim - 1)) | never,
        "masked": _often(evidence.small, thresholds.masked * evidence.updates, never),
        "lost to rounding": _often(evidence.unchanged, thresholds.unchanged * evidence.updates, never),
        "scheduled": far & scheduled,
        "out of reach": far,
        "opposed": towards < -thresholds.pulled,
        "held": towards > thresholds.pulled,
    }
    codes: Codes = np.full(far.shape, CAUSES.index("undetermined"), dtype=np.int8)
    for name, met in reversed(rules.items()):
        codes[met] = CAUSES.index(name)
    return codes


def _slow(mobility: Values, share: float) -> NDArray[np.bool_]:
    """Which channels move slowly; a channel whose mobility is not known is not slow."""
    known = mobility[np.isfinite(mobility)]
    slow: NDArray[np.bool_] = mobility < share * (np.median(known) if known.size else math.nan)
    return slow


def _often(counts: Counts | None, least: float, never: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a count reaches a number of updates; nowhere if the count was not recorded, or there was no update."""
    return never if counts is None or least <= 0.0 else counts >= least


def shares(codes: Codes) -> dict[str, float]:
    """The share of each cause among some weights; NaN if there are none."""
    counts = np.bincount(codes.reshape(-1), minlength=len(CAUSES))
    return {name: float(n / codes.size) if codes.size else math.nan for name, n in zip(CAUSES, counts, strict=True)}
