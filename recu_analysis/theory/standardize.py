"""WeightTransform: the steps of a binary layer from latent weights to their sign, on numpy arrays."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from recu_analysis.errors import InputError
from recu_analysis.theory.laplace import check_tau, quantile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

#: Source of a clamp's quantiles: the Laplace distribution fitted to the layer, or the weights themselves.
QUANTILES = ("laplace", "empirical")
#: Weights whose gradients a clamp stops: the clamped weights or, as a control, a random set of the same size.
MASKS = ("clamped", "random")

#: Larger than the relative rounding error of a mean in float64.
ROUNDING = 1e-12


def channels(weight: ArrayLike) -> NDArray[np.float64]:
    """Latent weights as a float64 matrix with one row per output channel.

    Parameters
    ----------
    weight : array_like, shape (C_out, ...)
        Latent weights of one layer; the first axis is the output channel.

    Returns
    -------
    ndarray of float64, shape (C_out, weights per channel)

    Raises
    ------
    InputError
        If the array has no axis or no element.
    """
    array = np.asarray(weight)
    if array.ndim == 0 or array.size == 0:
        raise InputError(f"latent weights need at least one output channel and one weight, not shape {array.shape}")
    return array.reshape(array.shape[0], -1).astype(np.float64)


def standard_scores(weight: ArrayLike, *, center: bool = True) -> NDArray[np.float64]:
    """Standard scores z = (w - mean_c) / std_c per output channel c; movement is measured in z.

    The standard deviation has ddof 1 and no eps; a constant channel has z = 0.

    Parameters
    ----------
    weight : array_like, shape (C_out, ...)
        Latent weights of one layer.
    center : bool
        Whether the mean of the channel is subtracted; False for layers that take the sign of w itself.

    Returns
    -------
    ndarray of float64, shape of `weight`, in standard deviations of the channel

    Raises
    ------
    InputError
        If the array has no axis or no element.
    """
    rows = channels(weight)
    centered = center_rows(rows)
    deviation = _deviation(centered, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (centered if center else rows) / deviation
    z[deviation[:, 0] == 0.0] = 0.0
    return z.reshape(np.shape(weight))


def channel_deviations(weight: ArrayLike) -> NDArray[np.float64]:
    """Standard deviation of each output channel, in which z is measured: ddof 1, without eps.

    Parameters
    ----------
    weight : array_like, shape (C_out, ...)
        Latent weights of one layer.

    Returns
    -------
    ndarray of float64, shape (C_out,), in the unit of the weights
        NaN for a channel that holds NaN or infinity.

    Raises
    ------
    InputError
        If the array has no axis or no element.
    """
    return _deviation(center_rows(channels(weight)), ddof=1)[:, 0]


def row_squares(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of the squares of each row."""
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", rows, rows)
    return squares


def center_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Subtract the mean of each row; exactly 0 for a row of equal numbers, NaN for a row with NaN or infinity."""
    with np.errstate(invalid="ignore"):
        mean = rows.mean(axis=1, keepdims=True)
        centered: NDArray[np.float64] = rows - mean
    # The mean of equal numbers may differ from them by rounding.
    near = np.flatnonzero(np.abs(centered[:, 0]) <= ROUNDING * np.abs(mean[:, 0]))
    equal = near[(rows[near] == rows[near, :1]).all(axis=1)]
    centered[equal] = 0.0
    return centered


def _deviation(centered: NDArray[np.float64], *, ddof: int, eps: float = 0.0) -> NDArray[np.float64]:
    """Square root of (variance + eps) of each row of a centred matrix; the variance of too short rows is 0."""
    freedom = centered.shape[1] - ddof
    variance = row_squares(centered)[:, None] / freedom if freedom > 0 else np.zeros((len(centered), 1))
    return np.sqrt(variance + eps)


def empirical_bound(standardized: ArrayLike, tau: float) -> float:
    """Bound of a clamp outside which a share of 2 (1 - tau) of a layer's weights lies, for any distribution.

    It is the quantile of |w~| at level 2 tau - 1, interpolated linearly between order statistics; infinite at tau = 1.

    Parameters
    ----------
    standardized : array_like
        w~ of the whole layer, of any shape.
    tau : float
        Quantile level, 0.5 < tau <= 1.

    Returns
    -------
    float

    Raises
    ------
    InputError
        If tau lies outside (0.5, 1].
    """
    level = float(check_tau(tau))
    return math.inf if level == 1.0 else float(np.quantile(np.abs(standardized), 2.0 * level - 1.0))


@dataclass(frozen=True, slots=True)
class WeightTransform:
    """Centring, standardization and clamp between a layer's latent weights and their sign.

    The standardized weight is w~ = (w - mean_c) / (sqrt(var_c + eps) / (sqrt(2) b*)), Eq. 18 to 23 of ReCU
    (Xu et al., ICCV 2021); b* = sqrt(2)/2 gives IR-Net's weight. The clamp is Eq. 8, with Q from one
    b_hat = mean |w~| over the whole layer, as in the authors' code.

    Attributes
    ----------
    center : bool
        Whether the mean of the output channel is subtracted.
    target : float or None
        The scale b* after standardization; None if the layer does not standardize.
    eps : float
        Added to the variance, in squared units of the weights.
    ddof : int
        Delta degrees of freedom of the variance.
    clamp : bool
        Whether the layer clamps w~ to its quantiles (ReCU).
    quantile : {"laplace", "empirical"}
        Bound of the clamp on both sides: the quantile of the Laplace distribution with scale b_hat (Eq. 10), or of
        |w~| at level 2 tau - 1.

    Raises
    ------
    InputError
        If `target`, `eps` or `quantile` is out of range.
    """

    center: bool = False
    target: float | None = None
    eps: float = 1e-5
    ddof: int = 1
    clamp: bool = False
    quantile: str = "laplace"

    def __post_init__(self) -> None:
        if self.target is not None and not (math.isfinite(self.target) and self.target > 0):
            raise InputError(f"the target scale b* must be a positive number, not {self.target}")
        if not (math.isfinite(self.eps) and self.eps >= 0):
            raise InputError(f"eps must be a number of at least 0, not {self.eps}")
        if self.quantile not in QUANTILES:
            raise InputError(f"quantile must be one of {', '.join(QUANTILES)}, not {self.quantile!r}")

    def standardized(self, weight: ArrayLike) -> NDArray[np.float64]:
        """w~, the weight after the layer's standardization and before its clamp.

        Parameters
        ----------
        weight : array_like, shape (C_out, ...)
            Latent weights of one layer.

        Returns
        -------
        ndarray of float64, shape of `weight`

        Raises
        ------
        InputError
            If the array has no axis or no element.
        """
        rows = channels(weight)
        centered = center_rows(rows)
        result = centered if self.center else rows
        if self.target is not None:
            deviation = _deviation(centered, ddof=self.ddof, eps=self.eps)
            with np.errstate(divide="ignore", invalid="ignore"):
                result = result / (deviation / (math.sqrt(2.0) * self.target))
            result[deviation[:, 0] == 0.0] = 0.0
        return result.reshape(np.shape(weight))

    def clamped(self, standardized: ArrayLike, tau: float) -> NDArray[np.float64]:
        """ReCU of standardized weights (Eq. 8), or the unchanged weights if the layer does not clamp.

        Parameters
        ----------
        standardized : array_like
            w~ of the whole layer, of any shape.
        tau : float
            Quantile level, 0.5 < tau <= 1.

        Returns
        -------
        ndarray of float64, shape of `standardized`

        Raises
        ------
        InputError
            If the layer clamps and tau lies outside (0.5, 1].
        """
        values = np.asarray(standardized, dtype=np.float64)
        if not self.clamp:
            return values
        bound = self.bound(values, tau)
        return np.clip(values, -bound, bound)

    def bound(self, standardized: ArrayLike, tau: float) -> float:
        """Q(tau), the bound of the clamp on both sides, also for a layer that does not clamp.

        Parameters
        ----------
        standardized : array_like
            w~ of the whole layer, of any shape.
        tau : float
            Quantile level, 0.5 < tau <= 1.

        Returns
        -------
        float

        Raises
        ------
        InputError
            If tau lies outside (0.5, 1].
        """
        if self.quantile == "empirical":
            return empirical_bound(standardized, tau)
        return float(quantile(tau, np.abs(np.asarray(standardized, dtype=np.float64)).mean()))

    def signs(self, weight: ArrayLike) -> NDArray[np.bool_]:
        """Whether the sign of each effective weight is +1, with sign(0) = +1 (Eq. 2).

        Scale and clamp cannot change a sign, so only the centring matters.

        Parameters
        ----------
        weight : array_like, shape (C_out, ...)
            Latent weights of one layer.

        Returns
        -------
        ndarray of bool, shape of `weight`

        Raises
        ------
        InputError
            If the array has no axis or no element.
        """
        rows = channels(weight)
        effective = center_rows(rows) if self.center else rows
        return ~(effective < 0).reshape(np.shape(weight))

    def to_dict(self) -> dict[str, Any]:
        """The fields, as stored in JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """The transform with the fields of `to_dict`.

        Parameters
        ----------
        fields : mapping
            `quantile` may be absent and is then "laplace".

        Returns
        -------
        WeightTransform

        Raises
        ------
        InputError
            If a field is missing, unknown or of the wrong type.
        """
        kinds: dict[str, tuple[type, ...]] = {
            "center": (bool,),
            "target": (int, float, type(None)),
            "eps": (int, float),
            "ddof": (int,),
            "clamp": (bool,),
            "quantile": (str,),
        }
        fields = {"quantile": "laplace", **fields}  # old runs do not have this field
        if set(fields) != set(kinds) or any(not isinstance(fields[name], kind) for name, kind in kinds.items()):
            raise InputError(f"a weight transform must have the fields {', '.join(kinds)}, not {dict(fields)!r:.200}")
        return cls(**dict(fields))
