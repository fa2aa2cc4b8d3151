"""One table of everything that a window holds: of what it is, its dtype, how two windows merge, when it is kept."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from recu_analysis.errors import DamagedError, InputError, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

#: What a quantity is of, with the shape that its tensor has: that of the layer; one entry a weight that flipped; one an
#: output channel; a square of the states; one row an update; and numbers of a layer, which stand in the header.
OF = ("weights", "flipped", "channels", "states", "updates", "layer")
#: dtypes of tensors, and `latent` for that of the layer's weights; those of a layer's numbers are int, number (null
#: where it is not known), matrix (a list of rows), bool, and list (of int).
TENSOR_DTYPES = ("latent", "float32", "float64", "uint16", "uint32", "int64")
LAYER_DTYPES = ("int", "number", "matrix", "bool", "list")
#: When it is kept: always, unless told otherwise, on request, where a layer has it, or by no recording yet.
KEPT = ("always", "default", "request", "known", "planned")


#: Rows that a run may have.
MOST_ROWS = 100
#: Names that records have for what is no quantity.
RESERVED = ("start", "end", "silent")


def _same(first: Any, second: Any) -> Any:
    return first if first == second else None


def _counted(first: Any, second: Any) -> Any:
    """Two whole numbers added; of arrays the largest of int64 where the sum does not fit."""
    total = first + second
    return np.where((second > 0) & (total < first), np.iinfo(np.int64).max, total) if np.ndim(total) else total


#: How two adjacent windows become one, by the name of the rule: of the earlier value and the later one, which are
#: arrays, or numbers of a layer. None is a value that is not known.
RULES: dict[str, Callable[[Any, Any], Any]] = {
    "first": lambda first, second: first,
    "last": lambda first, second: second,
    "sum": lambda first, second: first + second,
    "count": _counted,
    "first known": lambda first, second: np.where(first >= 0, first, second),
    "last known": lambda first, second: np.where(second >= 0, second, first),
    "product": lambda first, second: np.dot(second, first).tolist(),
    "max": max,
    "all": lambda first, second: first and second,
    "same": _same,
    "joined": lambda first, second: np.concatenate([first, second]),
    "none": lambda first, second: None,
}
#: Of the weights that flipped in either window, which are told one by one.
UNION = "union"
#: Rules of large arrays that are filled window by window: `decayed sum` is the earlier value times the later window's
#: number of a layer that the quantity names, plus the later value.
ADDED = ("sum", "count", "decayed sum")
#: The rules that fit what a quantity is of, or the dtype of a number of the layer.
FITTING = {
    "weights": ("first", "last", "sum", "count", "decayed sum", "none"),
    "flipped": ("count", "first known", "last known", UNION),
    "channels": ("first", "last", "sum", "count", "none"),
    "states": ("first", "last", "sum", "count", "none"),
    "updates": ("joined", "none"),
    "int": ("first", "last", "count", "same", "none"),
    "number": ("first", "last", "sum", "product", "max", "none"),
    "matrix": ("product", "none"),
    "bool": ("all", "none"),
    "list": ("same", "none"),
}
#: The dtypes that fit a rule, where not all do: what is summed is no whole number, and what is counted is one.
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
        Of the tensor in a shard, or of the field in its header.
    of : str
        One of `OF`.
    dtype : str
        One of `TENSOR_DTYPES`, or of `LAYER_DTYPES` for a number of the layer.
    merge : str
        The rule by which adjacent windows merge: one of `RULES`, or ``decayed sum``.
    kept : str
        One of `KEPT`.
    unit, about : str
        For people.
    asked : str
        What a recording is asked for where that is not the name.
    decay : str
        For ``decayed sum``, the layer's number that multiplies the earlier value.
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
        """What a recording is asked for."""
        return self.asked or self.name

    @property
    def optional(self) -> bool:
        """Whether layers, or merged windows, may lack it in a run that keeps it."""
        return self.kept == "known" or self.merge == "none" or (self.of == "layer" and self.kept != "always")

    @property
    def absent(self) -> int:
        """What it is of a weight that did not flip."""
        return -1 if self.merge.endswith("known") else 0

    @property
    def total_dtype(self) -> str:
        """In which dtype windows are added up: sums in float64, whole numbers exactly."""
        return "float64" if self.merge in {"sum", "decayed sum"} else "int64"

    def merged(self, values: Sequence[Any]) -> Any:
        """The value of some adjacent windows as one; None where one of them is not known and the rule needs it.

        Raises
        ------
        DamagedError
            If the values are not such that the rule can be applied.
        """
        if self.merge in {"first", "last"}:
            return values[0 if self.merge == "first" else -1]
        if self.merge == "all" and False in values:
            return False
        if self.merge in ADDED and self.of != "layer":
            values = [value if value is None else value.astype(self.total_dtype) for value in values]
            if len({value.shape for value in values if value is not None}) > 1:
                raise DamagedError(f"what windows hold of {self.name!r:.60} does not fit together: its shapes differ")
        whole = values[0]
        try:
            for value in values[1:]:
                whole = None if whole is None or value is None else RULES[self.merge](whole, value)
        except (TypeError, ValueError) as error:
            raise DamagedError(f"what windows hold of {self.name!r:.60} does not fit together: {error}") from None
        return whole

    @property
    def sound(self) -> bool:
        """Whether what it says of itself fits together; of a rule that this version does not know nothing is asked."""
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
        """Numpy's dtype of its tensor in a layer whose weights are of dtype `latent`."""
        return np.dtype(latent if self.dtype == "latent" else self.dtype)

    def stored(self, total: np.ndarray[Any, Any], latent: str) -> np.ndarray[Any, Any]:
        """What was added up as it goes to disk; a count too large for its dtype is the largest that it has."""
        dtype = self.dtype_in(latent)
        limited = np.minimum(total, np.iinfo(dtype).max) if dtype.kind == "u" else total
        return limited.astype(dtype, copy=False)

    def to_dict(self) -> dict[str, Any]:
        """What run.json says of it, so that a reader who does not know it can read, check and merge it."""
        row = {"name": self.name, "of": self.of, "dtype": self.dtype, "merge": self.merge, "kept": self.kept}
        return row | {name: text for name in ("unit", "asked", "decay") if (text := getattr(self, name))}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Self:
        """The row of that name in the table, else the one that `to_dict` described; TypeError if it is none."""
        texts = {each.name: entry.get(each.name, "") for each in fields(cls)}
        name = texts["name"]
        if not all(isinstance(text, str) for text in texts.values()) or not name.isidentifier() or name in RESERVED:
            raise TypeError(f"{name!r:.60} is not described as a quantity is")
        row = cls(**texts)
        if name not in TABLE and not row.sound:
            raise TypeError(f"the quantity {name!r:.60} is of a kind that this version does not know")
        return TABLE.get(name, row)  # type: ignore[return-value]


#: What a recording is asked for, once it makes them: statistics of each weight's gradients.
_STATS = "gradient-stats"
_NOISE = "variance of what the gradients made, were they noise"
#: Units: w is that of the weights, z the standard deviation of the weight's channel.
_ROWS = (
    Quantity("weight", "weights", "latent", "last", "always", "w", "latent weights at the window's end"),
    Quantity("path", "weights", "float32", "sum", "default", "w", "sum of abs(w_u - w_{u-1}) over its updates"),
    Quantity("zpath", "weights", "float32", "sum", "default", "z", "sum of abs(z_u - z_{u-1})"),
    Quantity("flipped", "flipped", "uint32", UNION, "always", "", "flat indices of the F weights that flipped, rising"),
    Quantity("flips", "flipped", "uint32", "count", "always", "updates", "how often they flipped"),
    Quantity("first_flip", "flipped", "uint32", "first known", "default", "", "update of the first flip", "flip_times"),
    Quantity("last_flip", "flipped", "uint32", "last known", "default", "", "update of the last flip", "flip_times"),
    Quantity("ema", "weights", "float32", "last", "request", "", "OvSW's average: e <- 0.999 e + 0.001 [flip]"),
    Quantity("grad", "weights", "float32", "sum", "request", "loss / w", "sum of abs(gradient) before each update"),
    Quantity("scale", "channels", "float32", "last", "known", "", "learned alpha, where the layer has one"),
    Quantity("effective", "weights", "latent", "last", "known", "w", "effective weights, where no transform says them"),
    # Defined for what is planned: no recording makes these yet, readers take them.
    Quantity("reversals", "flipped", "uint32", "count", "planned", "updates", "flips opposite to the flip before"),
    Quantity("momentum", "weights", "float32", "first", "planned", "w / lr", "at the window's start", _STATS),
    Quantity("signed_grad", "weights", "float32", "sum", "planned", "loss / w", "sum of the gradients", _STATS),
    Quantity("noise", "weights", "float32", "decayed sum", "planned", "w^2", _NOISE, _STATS, "noise_decay"),
    Quantity("small_grads", "weights", "uint16", "count", "planned", "updates", "with a small gradient", _STATS),
    Quantity("unchanged", "weights", "uint16", "count", "planned", "updates", "that rounding undid", _STATS),
    Quantity("grad_along", "updates", "float64", "none", "planned", "loss", "<gradient, centered start>", _STATS),
    Quantity("traces", "updates", "latent", "joined", "planned", "w", "a few chosen weights after each update"),
    Quantity("transitions", "states", "int64", "count", "planned", "", "weights that went from state q to q'"),
    # Numbers of a layer.
    Quantity("first_update", "layer", "int", "first", "always", "", "the first one, counted by the layer's optimizer"),
    Quantity("updates", "layer", "int", "count", "always", "", "how many"),
    Quantity("lr", "layer", "number", "sum", "always", "", "sum of the learning rate over the updates"),
    Quantity("lr_decay", "layer", "number", "sum", "always", "", "sum of learning rate x weight decay"),
    Quantity("decay_time", "layer", "number", "sum", "always", "", "sum of lr x weight decay / (1 - momentum): its T"),
    Quantity("tau", "layer", "number", "last", "always", "", "quantile level at the end, null where there is none"),
    Quantity("map", "layer", "matrix", "product", "planned", "", "what decay and momentum make of (w, momentum)"),
    Quantity("momentum_norm", "layer", "number", "first", "planned", "w / lr", "norm of the momentum at the start"),
    Quantity("norm_start", "layer", "number", "first", "planned", "w", "norm of the latent weights at the start"),
    Quantity("norm_end", "layer", "number", "last", "planned", "w", "norm of the latent weights at the end"),
    Quantity("lr_radial", "layer", "number", "sum", "planned", "", "sum of lr <w, gradient> / |w|^2"),
    Quantity("noise_decay", "layer", "number", "product", "planned", "", "what is left of the noise of before"),
    Quantity("threshold_flips", "layer", "int", "count", "planned", "", "flips that a moved threshold made"),
    Quantity("outside_updates", "layer", "int", "count", "known", "", "times that weights moved outside updates"),
    Quantity("outside_weights", "layer", "int", "count", "known", "", "weights that so moved, counted each time"),
    Quantity("outside_step", "layer", "number", "max", "known", "w", "largest step of a weight outside updates"),
    Quantity("rows", "layer", "list", "same", "planned", "", "rows of dim 0 in this shard: first, one past the last"),
)
#: Every row by its name.
TABLE: dict[str, Quantity] = {row.name: row for row in _ROWS}

#: Numbers of a layer that every window has.
LAYER_NUMBERS = tuple(row.name for row in _ROWS if row.of == "layer" and row.kept == "always")


def _requests(kept: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(row.request for row in _ROWS if row.kept == kept))


#: What a recording keeps of every weight beside its state and its flips, unless it was told otherwise.
QUANTITIES = _requests("default")
#: What it can keep beside.
MORE_QUANTITIES = _requests("request")


def requested(quantities: Iterable[str] = (), only: Iterable[str] | None = None) -> tuple[str, ...]:
    """What a recording keeps by the names that it is asked for: the usual and `quantities`, or nothing but `only`.

    Raises
    ------
    InputError
        If there is no quantity of a name.
    """
    names = (*QUANTITIES, *MORE_QUANTITIES)
    try:
        added, alone = ([name] if isinstance(name, str) else list(name or ()) for name in (quantities, only))
    except TypeError:
        raise InputError(f"quantities and only are names, such as {MORE_QUANTITIES[0]!r}, not numbers") from None
    for name in (*added, *alone):
        if name not in names:
            raise unknown("quantity to record", name, names)
    wanted = {*added, *(QUANTITIES if only is None else alone)}
    return tuple(name for name in names if name in wanted)


def rows_of(requests: Iterable[str]) -> dict[str, Quantity]:
    """The rows that windows may have in a run that keeps what these names ask for."""
    asked = set(requests)
    return {row.name: row for row in _ROWS if row.kept in {"always", "known"} or row.request in asked}


def requests_of(quantities: Mapping[str, Quantity]) -> tuple[str, ...]:
    """The names by which a recording would be asked for these rows, beside what it always keeps."""
    asked = (row.request for row in quantities.values() if row.of != "layer" and row.kept not in {"always", "known"})
    return tuple(dict.fromkeys(asked))


def tensors_of(quantities: Mapping[str, Quantity], *, optional: bool) -> tuple[str, ...]:
    """Names of the tensors of a layer in a run that keeps these rows: those that all layers have, or the others."""
    return tuple(row.name for row in quantities.values() if row.of != "layer" and row.optional == optional)
