"""Quantizers with two to 256 levels: the states of weights, their thresholds, distances to them, and errors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from recu_analysis.errors import InputError, unknown
from recu_analysis.theory.standardize import channel_deviations
from recu_analysis.theory.validation import real_array, reals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    Values = NDArray[np.float64]

#: How a state is computed: from the sign; from a comparison with -D and D; or by rounding w / s.
KINDS: Final = ("sign", "ternary", "uniform")
#: What the step of a scale group is computed from; "given" means that the network holds it.
RULES: Final = ("absmean", "maxabs", "minmax", "given")
#: Scale groups beside a number of weights: the whole layer, or an output channel.
GROUPS: Final = ("tensor", "channel")
#: Most levels of a weight, those of 8 bits.
MOST_LEVELS: Final = 256
#: Threshold of Ternary Weight Networks (Li et al., arXiv:1605.04711), in means of abs(w).
TWN: Final = 0.7
#: BitNet b1.58 in transformers takes a smaller mean of abs(w) as this.
_LEAST_MEAN: Final = 1e-5
_FIELDS: Final[dict[str, tuple[type, ...]]] = {
    "kind": (str,),
    "low": (int,),
    "high": (int,),
    "rule": (str,),
    "factor": (int, float),
    "group": (str, int),
    "inverse": (bool,),
    "least": (int, float),
}


@dataclass(frozen=True, slots=True)
class Quantizer:
    """The function from latent weights to states that a layer's forward pass uses.

    Each scale group has a step s, and maybe a zero point. The states are exactly those of the network's own formula in
    floating point: float64 weights are computed in float64, all others in float32.

    - sign: +1, or -1 where w < 0
    - ternary: +1 where w > s, -1 where w < -s, else 0. The step is the threshold.
    - uniform: clamp(round(w / s) + zero, low, high), where round takes a half to the even number

    A weight that is NaN, or whose step is NaN, has state `high`; with ternary it has state 0.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    low, high : int
        The first and the last state.
    rule : str
        What the step is computed from. absmean: `factor` times the mean of abs(w). maxabs: the maximum of abs(w) over
        `high`. minmax: the range of w and 0 over `high` - `low`, with a zero point, as PyTorch's observers have it.
        given: the network holds it, as with learned steps.
    factor : float
        For absmean, the step in means of abs(w).
    group : str or int
        The weights that share a step: "tensor", "channel" (output channel), or a number of consecutive weights of an
        output channel.
    inverse : bool
        Whether the network multiplies by 1 / s, in place of dividing by s.
    least : float
        The least value of the mean, maximum or range that gives the step.
    step, zero : array_like, optional
        Present steps and zero points, one a scale group or one for all, where the rule is given. They are not part of
        the identity of a quantizer.

    Raises
    ------
    InputError
        If a field is out of range.

    Notes
    -----
    Sources: BitNet b1.58 (Ma et al., arXiv:2402.17764), Ternary Weight Networks (Li et al., arXiv:1605.04711), learned
    step size quantization (Esser et al., arXiv:1902.08153).
    """

    kind: str = "sign"
    low: int = -1
    high: int = 1
    rule: str = "given"
    factor: float = 1.0
    group: str | int = "channel"
    inverse: bool = False
    least: float = 0.0
    step: Any = field(default=None, compare=False, repr=False)
    zero: Any = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name, known in (("kind", KINDS), ("rule", RULES)):
            if getattr(self, name) not in known:
                raise unknown(f"{name} of a quantizer", getattr(self, name), known)
        whole = isinstance(self.group, int) and not isinstance(self.group, bool)
        if self.group not in GROUPS and not (whole and int(self.group) >= 1):
            raise InputError(
                f"the scale group of a quantizer is 'tensor', 'channel' or a number of weights, not {self.group!r:.40}"
            )
        if not all(type(each) is int for each in (self.low, self.high)) or not 2 <= self.count <= MOST_LEVELS:
            raise InputError(
                f"a quantizer has whole numbers from low to high as states, 2 to {MOST_LEVELS} of them (1 to 8 bits), "
                f"not those from {self.low!r:.40} to {self.high!r:.40}"
            )
        if self.kind != "uniform" and (self.low, self.high) != (-1, 1):
            raise InputError(f"a {self.kind} quantizer has low=-1 and high=1, not {self.low} and {self.high}")
        if self.kind == "ternary" and self.rule not in {"absmean", "given"}:
            raise InputError(f"the threshold of a ternary quantizer is by absmean or given, not by {self.rule}")
        if self.rule == "maxabs" and self.high < 1:
            raise InputError(f"the rule maxabs needs a highest state of at least 1, not {self.high}")
        if not (math.isfinite(self.factor) and self.factor > 0.0):
            raise InputError(f"the factor of a quantizer must be a positive number, not {self.factor}")
        if not (math.isfinite(self.least) and self.least >= 0.0):
            raise InputError(f"the least scale of a quantizer must be a number of at least 0, not {self.least}")

    @classmethod
    def bitnet(cls, group: str | int = "tensor") -> Self:
        """BitNet b1.58 as in transformers: clamp(round(w x 1 / mean abs(w)), -1, 1), mean at least 1e-5."""
        return cls("uniform", rule="absmean", group=group, inverse=True, least=_LEAST_MEAN)

    @classmethod
    def twn(cls, factor: float = TWN, group: str | int = "channel") -> Self:
        """Ternary Weight Networks: sign of w where abs(w) > factor x mean abs(w), else 0."""
        return cls("ternary", rule="absmean", factor=factor, group=group)

    @classmethod
    def of_bits(cls, bits: int, *, signed: bool = True, rule: str = "given", group: str | int = "tensor") -> Self:
        """Uniform steps with 2^bits states: from -2^(bits - 1), or from 0 if not signed.

        Raises
        ------
        InputError
            If the number of bits is not a whole number from 2 to 8.
        """
        if type(bits) is not int or not 2 <= bits <= 8:
            raise InputError(f"a quantizer has 2 to 8 bits, not {bits!r:.40}; for one bit, use the sign")
        low = -(2 ** (bits - 1)) if signed else 0
        return cls("uniform", low, low + 2**bits - 1, rule, group=group)

    @property
    def binary(self) -> bool:
        """Whether it is the sign."""
        return self.kind == "sign"

    @property
    def count(self) -> int:
        """Number of states; for the sign, the state 0 between -1 and +1 is not counted."""
        return 2 if self.kind == "sign" else self.high - self.low + 1

    @property
    def levels(self) -> tuple[int, ...]:
        """The states, ascending."""
        return (-1, 1) if self.kind == "sign" else tuple(range(self.low, self.high + 1))

    def groups(self, shape: tuple[int, ...]) -> int:
        """Number of scale groups of a weight of shape (C_out, ...); InputError if they do not divide its channels."""
        width = math.prod(shape[1:])
        if isinstance(self.group, int):
            if width % self.group:
                raise InputError(
                    f"scale groups of {self.group} weights do not divide the {width} weights of an output channel"
                )
            return shape[0] * (width // self.group)
        return 1 if self.group == "tensor" else shape[0]

    def rows(self, weight: ArrayLike) -> NDArray[Any]:
        """Weights of shape (C_out, ...) with one row a scale group, float64 if they are so, otherwise float32.

        Raises
        ------
        InputError
            If the groups do not divide the weights of a channel, or the weights are not real numbers.
        """
        array = real_array(weight, "weights")
        if array.ndim == 0 or array.size == 0:
            raise InputError(f"latent weights need an output channel and a weight, not shape {array.shape}")
        dtype = np.float64 if array.dtype == np.float64 else np.float32
        return array.reshape(self.groups(array.shape), -1).astype(dtype, copy=False)

    def steps(self, weight: ArrayLike) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The step and the zero point of each scale group.

        A mean depends on the order of its sum in the last digit. A recording computes it in PyTorch, as networks do.

        Parameters
        ----------
        weight : array_like, shape (C_out, ...)

        Returns
        -------
        tuple of ndarray, each of shape (groups,)
            Steps in the unit of the weights, and zero points in states.

        Raises
        ------
        InputError
            If the rule is given and a step or zero point is missing, not a positive number, or not one a group.
        """
        rows = self.rows(weight)
        zero = np.zeros(len(rows), np.int64)
        match self.rule:
            case _ if self.kind == "sign":
                return np.zeros(len(rows), rows.dtype), zero
            case "absmean":
                step = np.maximum(np.abs(rows).mean(axis=1), rows.dtype.type(self.least)) * rows.dtype.type(self.factor)
            case "maxabs":
                step = np.maximum(np.abs(rows).max(axis=1), rows.dtype.type(self.least)) / rows.dtype.type(self.high)
            case "minmax":
                least = np.minimum(rows.min(axis=1), 0)
                span = np.maximum(rows.max(axis=1), 0) - least
                step = np.maximum(span, rows.dtype.type(self.least)) / rows.dtype.type(self.high - self.low)
                with np.errstate(invalid="ignore", divide="ignore"):
                    zero = np.nan_to_num(np.clip(self.low - np.rint(least / step), self.low, self.high)).astype(
                        np.int64
                    )
            case _:
                step, zero = self.given(len(rows))
        return step.astype(rows.dtype), zero

    def given(self, groups: int) -> tuple[Values, NDArray[np.int64]]:
        """The given steps and zero points of so many scale groups; InputError if they are not usable."""
        if self.step is None:
            raise InputError(f"a quantizer with given steps has none; give step= for its {groups} scale groups")
        found = []
        for name, value in (("step", self.step), ("zero point", 0 if self.zero is None else self.zero)):
            numbers = reals(value, f"{name}s").reshape(-1)
            if numbers.size not in {1, groups}:
                raise InputError(f"a quantizer has {numbers.size} {name}s for {groups} scale groups; give one a group")
            found.append(np.broadcast_to(numbers, (groups,)))
        step, zero = found
        check_steps(step)
        if not (np.isfinite(zero) & (zero == np.rint(zero))).all():
            raise InputError("the zero points of a quantizer must be whole numbers")
        return step, zero.astype(np.int64)

    def _known(self, weight: ArrayLike, step: ArrayLike | None, zero: ArrayLike | None) -> tuple[Any, Any, Any]:
        """Rows, steps and zero points as columns; those that are not given follow from the weights."""
        rows = self.rows(weight)
        if step is None:
            step, zero = self.steps(weight)
        columns = (np.asarray(0 if each is None else each).reshape(-1, 1) for each in (step, zero))
        steps, zeros = (np.broadcast_to(each, (len(rows), 1)) for each in columns)
        return rows, steps.astype(rows.dtype), zeros

    def states(self, weight: ArrayLike, step: ArrayLike | None = None, zero: ArrayLike | None = None) -> NDArray[Any]:
        """The state of each weight.

        Parameters
        ----------
        weight : array_like, shape (C_out, ...)
        step, zero : array_like, optional
            One a scale group, or one for all; by default those of `steps`.

        Returns
        -------
        ndarray of int16, shape of `weight`

        Raises
        ------
        InputError
            As in `rows` and `steps`.
        """
        rows, steps, zeros = self._known(weight, step, zero)
        match self.kind:
            case "sign":
                states = np.where(rows < 0, -1, 1)
            case "ternary":
                states = (rows > steps).astype(np.int16) - (rows < -steps)
            case _:
                with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                    units = rows * (rows.dtype.type(1) / steps) if self.inverse else rows / steps
                    clipped = np.clip(np.rint(units) + zeros.astype(rows.dtype), self.low, self.high)
                states = np.where(np.isnan(clipped), self.high, clipped)
        return states.astype(np.int16).reshape(np.shape(weight))

    def thresholds(self, step: ArrayLike, zero: ArrayLike = 0) -> Values:
        """Where the state changes, ascending: 0 for signs, -s and s for ternary, midpoints for uniform steps.

        Parameters
        ----------
        step, zero : array_like, shape (groups,)

        Returns
        -------
        ndarray of float64, shape (groups, number of states - 1), in the unit of the weights
        """
        steps = reals(step, "steps").reshape(-1, 1)
        if self.kind == "sign":
            return np.zeros((len(steps), 1))
        if self.kind == "ternary":
            return np.hstack([-steps, steps])
        between = np.arange(self.low, self.high) + 0.5
        return np.sort(steps * (between - reals(zero, "zero points").reshape(-1, 1)), axis=1)

    def offset(self, weight: ArrayLike, step: ArrayLike | None = None, zero: ArrayLike | None = None) -> Values:
        """The distance with its direction: z - nearest threshold; for signs it is z.

        z is the weight over the standard deviation of its scale group (ddof 1). In a group of equal weights, z and the
        offset are 0. Where two thresholds are equally near, one of them counts.

        Parameters
        ----------
        weight : array_like, shape (C_out, ...)
        step, zero : array_like, optional
            As in `states`.

        Returns
        -------
        ndarray of float64, shape of `weight`
        """
        rows, steps, zeros = self._known(weight, step, zero)
        rows, steps = rows.astype(np.float64), steps.astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            match self.kind:
                case "sign":
                    far = rows
                case "ternary":
                    far = rows - np.where(rows < 0.0, -steps, steps)
                case _:
                    units = rows / steps + zeros
                    near = np.clip(np.floor(units) + 0.5, self.low + 0.5, self.high - 0.5)
                    far = (units - near) * steps
            deviation = channel_deviations(rows)[:, None]
            offset = np.where(deviation == 0.0, 0.0, far / deviation)
        return offset.reshape(np.shape(weight))

    def distance(self, weight: ArrayLike, step: ArrayLike | None = None, zero: ArrayLike | None = None) -> Values:
        """abs(z - nearest threshold): how far each weight is from another state; arguments as in `offset`."""
        return np.abs(self.offset(weight, step, zero))

    def values(self, weight: ArrayLike, step: ArrayLike | None = None, zero: ArrayLike | None = None) -> Values:
        """The quantized weights: s (q - zero); for signs and ternary, q times the mean abs(w) of the states not 0.

        Parameters
        ----------
        weight : array_like, shape (C_out, ...)
        step, zero : array_like, optional
            As in `states`.

        Returns
        -------
        ndarray of float64, shape of `weight`, in the unit of the weights
        """
        rows, steps, zeros = self._known(weight, step, zero)
        states = self.states(weight, steps, zeros).reshape(rows.shape).astype(np.float64)
        if self.kind == "uniform":
            return np.asarray(steps.astype(np.float64) * (states - zeros)).reshape(np.shape(weight))
        used = states != 0
        total = np.where(used, np.abs(rows.astype(np.float64)), 0.0).sum(axis=1, keepdims=True)
        scale = total / np.maximum(used.sum(axis=1, keepdims=True), 1)
        return np.asarray(states * scale).reshape(np.shape(weight))

    def error(self, weight: ArrayLike, step: ArrayLike | None = None, zero: ArrayLike | None = None) -> float:
        """Mean square of what quantization changes of the latent weights, in the squared unit of the weights."""
        return float(np.mean((np.asarray(weight, np.float64) - self.values(weight, step, zero)) ** 2))

    def to_dict(self) -> dict[str, Any]:
        """The fields, as stored in JSON; those of the sign as the first runs have them."""
        if self.kind == "sign":
            return {"kind": "sign", "levels": [-1, 1]}
        return {name: getattr(self, name) for name in _FIELDS}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """The quantizer with the fields of `to_dict`; raise InputError if they are not valid."""
        if dict(fields) == {"kind": "sign", "levels": [-1, 1]}:
            return cls()
        wrong = set(fields) != set(_FIELDS) or any(
            not isinstance(fields[name], kind) or (bool not in kind and isinstance(fields[name], bool))
            for name, kind in _FIELDS.items()
        )
        if wrong:
            raise InputError(f"a quantizer must have the fields {', '.join(_FIELDS)}, not {dict(fields)!r:.200}")
        return cls(**dict(fields))


def check_steps(step: Values) -> None:
    """Raise InputError unless all steps are positive and finite."""
    bad = ~(np.isfinite(step) & (step > 0.0))
    if bad.any():
        raise InputError(
            f"the step of a quantizer must be a positive number, not {step[bad].flat[0]:g} (scale group "
            f"{int(np.flatnonzero(bad)[0])})"
        )
