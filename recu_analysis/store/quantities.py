"""One table of everything that a window holds: its kind, its dtype, how two windows merge, and when it is kept."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from recu_analysis.errors import DamagedError, InputError, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

#: Kinds of quantities, which give the shape of the tensor: the shape of the layer; one entry per weight that flipped;
#: one per output channel; one per scale group; states x states; updates x traced weights; and values of a layer, which
#: are stored in the header.
OF = ("weights", "flipped", "channels", "groups", "states", "traced", "layer")
#: dtypes of tensors; `latent` is the dtype of the layer's weights. Values of a layer have the dtypes int, number (null
#: if unknown), matrix (a list of rows), bool, list (of int), or numbers (a list, none of them unknown).
TENSOR_DTYPES = ("latent", "float32", "float64", "int8", "uint16", "uint32", "int64")
LAYER_DTYPES = ("int", "number", "matrix", "bool", "list", "numbers")
#: When a quantity is kept: always, by default, on request, on request if the layer has it, if weights are chosen for
#: it, if the layer has it, if the layer is sharded, if the layer has more than two levels, or by no recording yet.
KEPT = ("always", "default", "request", "request, known", "chosen", "known", "sharded", "levels", "planned")


#: Maximal number of rows in a run.
MOST_ROWS = 100
#: Attributes of records that are not quantities; no quantity may have these names.
RESERVED = ("start", "end", "silent")


def _same(first: Any, second: Any) -> Any:
    return first if first == second else None


def _counted(first: Any, second: Any) -> Any:
    """The sum of two whole numbers; in arrays, the largest int64 where the sum overflows."""
    total = first + second
    return np.where((second > 0) & (total < first), np.iinfo(np.int64).max, total) if np.ndim(total) else total


def _product(first: Any, second: Any) -> Any:
    """The later matrix times the earlier one; None if it overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        whole = np.dot(second, first)
    return whole.tolist() if np.isfinite(whole).all() else None


#: Rules that merge the values of two adjacent windows, the earlier one first. The values are arrays or values of a
#: layer; None is an unknown value.
RULES: dict[str, Callable[[Any, Any], Any]] = {
    "first": lambda first, second: first,
    "last": lambda first, second: second,
    "sum": lambda first, second: first + second,
    "count": _counted,
    "first known": lambda first, second: np.where(first >= 0, first, second),
    "last known": lambda first, second: np.where(second >= 0, second, first),
    "product": _product,
    "max": max,
    "all": lambda first, second: first and second,
    "same": _same,
    "joined": lambda first, second: np.concatenate([first, second]),
    "none": lambda first, second: None,
}
#: Rule for the indices of flipped weights: those that flipped in either window.
UNION = "union"
#: Rules of large arrays that are accumulated window by window. `decayed sum` is the earlier value times a factor, plus
#: the later value; the factor is the later window's value of a layer quantity, which `decay` names.
ADDED = ("sum", "count", "decayed sum")
#: The rules allowed for each kind of quantity, and for each dtype of a layer's value.
FITTING = {
    "weights": ("first", "last", "sum", "count", "decayed sum", "none"),
    "flipped": ("count", "first known", "last known", UNION),
    "channels": ("first", "last", "sum", "count", "none"),
    "groups": ("first", "last", "none"),
    "states": ("first", "last", "sum", "count", "none"),
    "traced": ("joined", "none"),
    "int": ("first", "last", "count", "same", "none"),
    "number": ("first", "last", "sum", "product", "max", "none"),
    "matrix": ("product", "none"),
    "bool": ("all", "none"),
    "list": ("same", "none"),
    "numbers": ("same", "none"),
}
#: Length of some lists and matrices, on which readers rely.
LENGTHS = {"map": 2, "rule": 5}
#: The dtypes allowed for some rules: sums are floating-point numbers, counts are whole numbers.
FLOATING, WHOLE = ("latent", "float32", "float64", "number"), ("uint16", "uint32", "int64", "int")
FITTING_DTYPES = {"sum": FLOATING, "decayed sum": FLOATING} | dict.fromkeys(
    ("count", "first known", "last known", UNION), WHOLE
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """One row of the table.

    Attributes
    ----------
    name : str
        Name of the tensor in a shard, or of the field in its header.
    of : str
        One of `OF`.
    dtype : str
        One of `TENSOR_DTYPES`, or of `LAYER_DTYPES` for a value of the layer.
    merge : str
        Rule that merges adjacent windows: one of `RULES`, ``union`` or ``decayed sum``.
    kept : str
        One of `KEPT`.
    unit, about : str
        Unit and description for readers.
    asked : str
        Name by which a recording requests it, if different from `name`.
    decay : str
        For ``decayed sum``, the layer quantity that multiplies the earlier value.
    """

    name: str
    of: str
    dtype: str
    merge: str
    kept: str
    unit: str = ""
    about: str = ""
    asked: str = ""
    decay: str = ""

    @property
    def request(self) -> str:
        """Name by which a recording requests it."""
        return self.asked or self.name

    @property
    def optional(self) -> bool:
        """Whether a layer, or a merged window, may lack it in a run that keeps it."""
        sometimes = self.kept in {"known", "request, known", "levels"} or self.merge == "none"
        return sometimes or (self.of == "layer" and self.kept != "always")

    @property
    def absent(self) -> int:
        """Value of a weight that did not flip."""
        return -1 if self.merge.endswith("known") else 0

    @property
    def total_dtype(self) -> str:
        """The dtype in which windows are accumulated: float64 for sums, int64 for whole numbers."""
        return "float64" if self.merge in {"sum", "decayed sum"} else "int64"

    def merged(self, values: Sequence[Any]) -> Any:
        """Merge the values of adjacent windows; None if one is unknown and the rule needs it.

        Parameters
        ----------
        values : sequence
            One value per window, in order.

        Raises
        ------
        DamagedError
            If the rule cannot be applied to the values.
        """
        if self.merge in {"first", "last"}:
            return values[0 if self.merge == "first" else -1]
        if self.merge == "all" and False in values:
            return False
        if self.merge in ADDED and self.of != "layer":
            values = [value if value is None else value.astype(self.total_dtype) for value in values]
            if len({value.shape for value in values if value is not None}) > 1:
                raise DamagedError(f"windows cannot be merged: the shapes of their {self.name!r:.60} differ")
        whole = values[0]
        try:
            for value in values[1:]:
                whole = None if whole is None or value is None else RULES[self.merge](whole, value)
        except (TypeError, ValueError) as error:
            raise DamagedError(f"windows cannot be merged: their {self.name!r:.60} do not fit: {error}") from None
        return whole

    @property
    def sound(self) -> bool:
        """Whether the fields are consistent; a rule that this version does not know is not checked."""
        dtypes = LAYER_DTYPES if self.of == "layer" else TENSOR_DTYPES
        if self.of not in OF or self.dtype not in dtypes or self.kept not in KEPT:
            return False
        fits = self.merge in FITTING[self.dtype if self.of == "layer" else self.of]
        decays = (self.merge == "decayed sum") == bool(self.decay)
        large = self.of == "weights" and self.merge == "count" and self.dtype == "int64"  # would not fit in int64
        dtype = self.dtype in FITTING_DTYPES.get(self.merge, (*dtypes,))
        return (fits and decays and dtype and not large) or not self.mergeable

    @property
    def mergeable(self) -> bool:
        """Whether this version knows the rule."""
        return self.merge in {*RULES, *ADDED, UNION}

    def dtype_in(self, latent: str) -> np.dtype[Any]:
        """The numpy dtype of its tensor in a layer whose weights have dtype `latent`."""
        return np.dtype(latent if self.dtype == "latent" else self.dtype)

    def stored(self, total: np.ndarray[Any, Any], latent: str) -> np.ndarray[Any, Any]:
        """Convert an accumulated total to the dtype on disk; a count too large for it becomes the largest value."""
        dtype = self.dtype_in(latent)
        limited = np.minimum(total, np.iinfo(dtype).max) if dtype.kind == "u" else total
        return limited.astype(dtype, copy=False)

    def to_dict(self) -> dict[str, Any]:
        """The entry in run.json, with which a reader who does not know the quantity can read, check and merge it."""
        row = {"name": self.name, "of": self.of, "dtype": self.dtype, "merge": self.merge, "kept": self.kept}
        return row | {name: text for name in ("unit", "asked", "decay") if (text := getattr(self, name))}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Self:
        """The row of that name in the table, otherwise the row with the fields of `to_dict`; TypeError if invalid."""
        texts = {each.name: entry.get(each.name, "") for each in fields(cls)}
        name = texts["name"]
        if not all(isinstance(text, str) for text in texts.values()) or not name.isidentifier() or name in RESERVED:
            raise TypeError(f"the entry of quantity {name!r:.60} is not valid")
        row = cls(**texts)
        if name not in TABLE and not row.sound:
            raise TypeError(f"the quantity {name!r:.60} has a kind, dtype or rule that this version does not know")
        return TABLE.get(name, row)  # type: ignore[return-value]


#: Request name for statistics of each weight's gradients; it requests `grad` too.
GRADIENT_STATS = _STATS = "gradient-stats"
_VARY = ", minus the channels' means if the layer centers"
_NOISE = "variance of what the gradients made of the weight, if they were noise"
_ALONG = f"<what the gradients made, weights at the start>{_VARY}"
_ALONG_NOISE = "variance of `earned_along`, if the gradients were noise"
_LOST = "updates that left a 16-bit weight unchanged"
#: Units: w is the unit of the weights, z the standard deviation of the weight's channel.
_ROWS = (
    Quantity("weight", "weights", "latent", "last", "always", "w", "latent weights at the window's end"),
    Quantity("path", "weights", "float32", "sum", "default", "w", "sum of abs(w_u - w_{u-1}) over the updates"),
    Quantity("zpath", "weights", "float32", "sum", "default", "z", "sum of abs(z_u - z_{u-1})"),
    Quantity("flipped", "flipped", "uint32", UNION, "always", "", "ascending flat indices of the F flipped weights"),
    Quantity("flips", "flipped", "uint32", "count", "always", "updates", "how often they flipped"),
    Quantity("first_flip", "flipped", "uint32", "first known", "default", "", "update of the first flip", "flip_times"),
    Quantity("last_flip", "flipped", "uint32", "last known", "default", "", "update of the last flip", "flip_times"),
    Quantity("ema", "weights", "float32", "last", "request", "", "OvSW's average: e <- 0.999 e + 0.001 [flip]"),
    Quantity("grad", "weights", "float32", "sum", "request", "loss / w", "sum of abs(gradient) before each update"),
    Quantity("traces", "traced", "latent", "joined", "chosen", "w", "a few latent weights after each update"),
    Quantity("trace_z", "traced", "float32", "joined", "chosen", "z", "their standard scores", "traces"),
    Quantity("trace_state", "traced", "int64", "joined", "chosen", "", "their states", "traces"),
    Quantity("scale", "channels", "float32", "last", "known", "", "learned alpha, if the layer has one"),
    Quantity("effective", "weights", "latent", "last", "known", "w", "effective weights, without a transform"),
    Quantity("momentum", "weights", "latent", "first", "request, known", "w / lr", "momentum at the start", _STATS),
    Quantity("signed_grad", "weights", "float32", "sum", "request", "loss / w", "sum of the gradients", _STATS),
    Quantity("noise", "weights", "float32", "decayed sum", "request, known", "w^2", _NOISE, _STATS, "noise_decay"),
    Quantity("small_grads", "weights", "uint16", "count", "request", "updates", "updates with small gradient", _STATS),
    Quantity("unchanged", "weights", "uint16", "count", "request, known", "updates", _LOST, _STATS),
    # Of layers with more than two levels. Counts of weights that stayed in their state are on the diagonal.
    Quantity("reversals", "flipped", "uint32", "count", "levels", "updates", "flips opposite to the flip before"),
    Quantity("direction", "weights", "int8", "last", "levels", "", "direction of the last flip so far, 0 if none"),
    Quantity("transitions", "states", "int64", "count", "levels", "updates", "weights that went from state q to q'"),
    Quantity("step", "groups", "latent", "last", "levels", "w", "step of each scale group, or its ternary threshold"),
    Quantity("zero_point", "groups", "int64", "last", "levels", "", "state of w = 0, if the steps are asymmetric"),
    # Values of a layer.
    Quantity("first_update", "layer", "int", "first", "always", "", "first update, counted by the layer's optimizer"),
    Quantity("updates", "layer", "int", "count", "always", "", "number of updates"),
    Quantity("lr", "layer", "number", "sum", "always", "", "sum of the learning rate, updates with a gradient"),
    Quantity("lr_decay", "layer", "number", "sum", "always", "", "sum of learning rate x weight decay"),
    Quantity("decay_time", "layer", "number", "sum", "always", "", "sum of lr x weight decay x R: its T"),
    Quantity("tau", "layer", "number", "last", "always", "", "quantile level at the end, null if there is none"),
    Quantity("gradient_updates", "layer", "int", "count", "known", "", "updates in which the weights had a gradient"),
    Quantity("map", "layer", "matrix", "product", "known", "", "linear map of (w, momentum) by decay and momentum"),
    Quantity("rule", "layer", "numbers", "same", "known", "", "how the optimizer adds a gradient, as five numbers"),
    Quantity(
        "momentum_norm", "layer", "number", "first", "known", "w / lr", f"norm of the momentum at the start{_VARY}"
    ),
    Quantity("norm_start", "layer", "number", "first", "known", "w", f"norm of the weights at the start{_VARY}"),
    Quantity("norm_end", "layer", "number", "last", "known", "w", f"norm of the weights at the end{_VARY}"),
    Quantity("lr_radial", "layer", "number", "sum", "known", "", f"sum of lr <w, gradient> / |w|^2{_VARY}"),
    Quantity("noise_decay", "layer", "number", "product", "request, known", "", "remaining share of noise", _STATS),
    Quantity("earned_along", "layer", "number", "none", "request, known", "w^2", _ALONG, _STATS),
    Quantity("earned_variance", "layer", "number", "none", "request, known", "w^4", _ALONG_NOISE, _STATS),
    Quantity("weight_flips", "layer", "int", "count", "levels", "", "state changes by weights, at old thresholds"),
    Quantity("threshold_flips", "layer", "int", "count", "levels", "", "state changes by thresholds, of new weights"),
    Quantity("outside_updates", "layer", "int", "count", "known", "", "times that weights moved outside updates"),
    Quantity("outside_weights", "layer", "int", "count", "known", "", "weights that moved outside updates, each time"),
    Quantity("outside_step", "layer", "number", "max", "known", "w", "largest step of a weight outside updates"),
    Quantity("rows", "layer", "list", "same", "sharded", "", "rows of dim 0 in this shard: first, one past the last"),
)
#: Every row by its name.
TABLE: dict[str, Quantity] = {row.name: row for row in _ROWS}

#: Values of a layer that every window has.
LAYER_NUMBERS = tuple(row.name for row in _ROWS if row.of == "layer" and row.kept == "always")


def _requests(kept: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(row.request for row in _ROWS if row.kept == kept))


#: Quantities that a recording keeps by default, beside the state and the flips of every weight.
QUANTITIES = _requests("default")
#: Quantities that a recording keeps on request.
MORE_QUANTITIES = _requests("request")
#: Quantities of traced weights.
TRACES = tuple(row.name for row in _ROWS if row.of == "traced")


def requested(quantities: Iterable[str] = (), only: Iterable[str] | None = None) -> tuple[str, ...]:
    """Names of the quantities that a recording keeps: the default ones and `quantities`, or only those of `only`.

    The statistics of gradients include the sum of their absolute values.

    Raises
    ------
    InputError
        If a name is not known.
    """
    names = (*QUANTITIES, *MORE_QUANTITIES)
    try:
        added, alone = ([name] if isinstance(name, str) else list(name or ()) for name in (quantities, only))
    except TypeError:
        raise InputError(f"quantities and only must be names, such as {MORE_QUANTITIES[0]!r}, not numbers") from None
    for name in (*added, *alone):
        if name not in names:
            raise unknown("quantity to record", name, names)
    wanted = {*added, *(QUANTITIES if only is None else alone)}
    wanted |= {"grad"} if GRADIENT_STATS in wanted else set()
    return tuple(name for name in names if name in wanted)


def rows_of(requests: Iterable[str], *, levels: bool = False) -> dict[str, Quantity]:
    """The rows that windows may have in a run that keeps the requested quantities.

    `levels` tells whether some of its layers have more than two levels.
    """
    asked, kept = set(requests), {"always", "known"} | ({"levels"} if levels else set())
    return {row.name: row for row in _ROWS if row.kept in kept or row.request in asked}


def requests_of(quantities: Mapping[str, Quantity]) -> tuple[str, ...]:
    """The request names of these rows, without the rows that every such run keeps."""
    unasked = {"always", "known", "levels"}
    asked = (row.request for row in quantities.values() if row.of != "layer" and row.kept not in unasked)
    return tuple(dict.fromkeys(asked))


def tensors_of(quantities: Mapping[str, Quantity], *, optional: bool) -> tuple[str, ...]:
    """Names of a layer's tensors in a run that keeps these rows: those of every layer, or the optional ones."""
    return tuple(row.name for row in quantities.values() if row.of != "layer" and row.optional == optional)
