"""The record of one layer over consecutive windows, merged into one and filled with the requested parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from recu_analysis.errors import InputError, NotRecordedError, QueryError
from recu_analysis.store.chain import check_connected
from recu_analysis.store.header import LayerWindow
from recu_analysis.store.quantities import ADDED, TABLE, UNION
from recu_analysis.theory.standardize import channel_deviations, standard_scores

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from numpy.typing import NDArray

    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.quantities import Quantity
    from recu_analysis.store.window import LayerRecord, Window

    Array = NDArray[Any]

Value = TypeVar("Value")

#: Parts of a record that are not quantities: the weights at both ends, and a mask of weights that never flipped.
DERIVED = frozenset({"start", "end", "silent"})


class Ends:
    """Arrays of one layer at the ends of windows; each is read or computed once and kept until `forget`."""

    def __init__(self, spec: LayerSpec) -> None:
        self.spec = spec
        self._kept: dict[tuple[int, str], Any] = {}

    def weight(self, window: Window) -> Array:
        """Latent weights at a window's end."""
        return self._once(window, "weight", lambda: window[self.spec.name].weight)

    def effective(self, window: Window) -> Array | None:
        """Effective weights at a window's end; None if the layer has a transform."""
        effective: Array | None = self._once(window, "effective", lambda: window[self.spec.name].effective)
        return effective

    def operand(self, window: Window) -> Array:
        """Weights whose signs are the state: latent weights, or effective weights if the layer has no transform.

        Raises
        ------
        NotRecordedError
            If the window does not have the effective weights.
        """
        effective = self.effective(window)
        if effective is None and self.spec.transform is None:
            raise NotRecordedError(
                f"{window.where} has no effective weights of layer {self.spec.name!r}; its signs need them, because "
                "the layer has no transform"
            )
        return self.weight(window) if effective is None else effective

    def scored(self, window: Window) -> Array:
        """Weights of which z is computed: the operand, or the latent weights if `LayerSpec.z` is "latent"."""
        return self.weight(window) if self.spec.z == "latent" else self.operand(window)

    def scores(self, window: Window, scored: Array | None = None) -> NDArray[np.float64]:
        """Standard scores z at a window's end, read only; `scored` are weights that were already read."""
        return self._once(
            window, "scores", lambda: _scores(self.scored(window) if scored is None else scored, self.spec)
        )

    def states(self, window: Window) -> NDArray[np.int16]:
        """States at a window's end."""
        return self._once(window, "states", lambda: window[self.spec.name].states)

    def distance(self, window: Window) -> NDArray[np.float64]:
        """abs(z - nearest threshold) at a window's end; abs(z) for signs."""
        if self.spec.quantizer.binary:
            return self._once(window, "distance", lambda: np.abs(self.scores(window)))
        return self._once(window, "distance", lambda: window[self.spec.name].distance)

    def deviations(self, window: Window, weight: Array | None = None) -> NDArray[np.float64]:
        """Standard deviation of the latent weights of each scale group at a window's end; `weight` were read."""
        return self._once(
            window, "deviations", lambda: _deviations(self.weight(window) if weight is None else weight, self.spec)
        )

    def forget(self, before: int) -> None:
        """Drop the arrays of windows whose number is below `before`."""
        self._kept = {key: value for key, value in self._kept.items() if key[0] >= before}

    def _once(self, window: Window, kind: str, make: Callable[[], Value]) -> Value:
        key = (window.number, kind)
        if key not in self._kept:
            self._kept[key] = make()
        value: Value = self._kept[key]
        return value


def _scores(weight: Array, spec: LayerSpec) -> NDArray[np.float64]:
    rows = weight.reshape(spec.scale_groups, -1)
    scores = standard_scores(rows, center=spec.center).reshape(weight.shape)
    scores.flags.writeable = False
    return scores


def _deviations(weight: Array, spec: LayerSpec) -> NDArray[np.float64]:
    return channel_deviations(weight.reshape(spec.scale_groups, -1))


class MergedRecord:
    """A layer over consecutive windows, merged into one: every quantity by its rule (`store.quantities`).

    Sums and counts are accumulated in place, window by window, so memory holds one array of the layer per requested
    part for any number of windows. Each requested part is an attribute. Sums are float64; counts and update numbers are
    int64 (-1 for a weight that did not flip); a quantity that the run does not keep is None. `start` and `end` are the
    latent weights; `silent` is True for weights that never flipped.

    Parameters
    ----------
    windows : sequence of Window
        Consecutive windows, at least one.
    parts : set of str
        Names of quantities, and of `DERIVED`.
    ends : Ends
        Source of the weights at the ends of windows.
    """

    def __init__(self, windows: Sequence[Window], parts: Iterable[str], ends: Ends) -> None:
        self.windows = tuple(windows)
        self.parts = set(parts)
        self._ends = ends
        self._arrays: dict[str, Any] = {}
        self._known: dict[Hashable, Any] = {}
        self._records = [window[ends.spec.name] for window in self.windows]

    def __getattr__(self, name: str) -> Any:
        own = vars(type(self)).get(name)
        if isinstance(own, property) and own.fget is not None:
            return own.fget(self)  # raises its own error again: our errors are AttributeErrors too and led here
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._arrays:
            raise QueryError(
                f"the record of layer {self._ends.spec.name!r} has no part {name!r}; add it to the requested parts, "
                f"which are {', '.join(sorted(self.parts)) or 'none'}"
            )
        return self.part(name)

    def part(self, name: str) -> Array | None:
        """One of the requested parts by name; None if the run does not keep it."""
        part: Array | None = self._arrays[name]
        return part

    @property
    def spec(self) -> LayerSpec:
        """The layer."""
        return self._ends.spec

    def begin(self) -> None:
        """Read the weights at the start, and allocate the arrays that are accumulated."""
        first, record = self.windows[0], self._records[0]
        if "start" in self.parts:
            self._arrays["start"] = self._ends.weight(self._before)
        for part in self.parts - {"start", "end"}:
            quantity = None if part == "silent" else first.quantities.get(part)
            if quantity is not None and quantity.optional and not all(each.holds(part) for each in self._records):
                continue
            if part == "silent" or (quantity is not None and _is_added(quantity)):
                # Without this check, run.json alone would decide how much memory is allocated.
                record.check_shape(part if quantity and quantity.of == "weights" and first.updates else "weight")
                self._arrays[part] = _empty(quantity, record.spec.shape)

    def finish(self) -> None:
        """Read the state at the end; nothing is accumulated afterwards."""
        if "end" in self.parts:
            self._arrays["end"] = self._ends.weight(self.windows[-1])
        for part in self.parts - DERIVED - self._arrays.keys():
            self._arrays[part] = self._whole(part)
        for array in self._arrays.values():
            if isinstance(array, np.ndarray):
                array.flags.writeable = False  # several queries share it

    def _whole(self, part: str) -> Array | None:
        """Merge a quantity that is not accumulated weight by weight; None if the run does not keep it."""
        quantity = self.windows[0].quantities.get(part)
        if quantity is None:
            return None
        if quantity.merge in {"first", "last"}:
            return self._records[0 if quantity.merge == "first" else -1].array(part)
        if not quantity.mergeable and self._records[1:]:
            raise InputError(
                f"{self.windows[0].where} cannot be merged: this version of recu-analysis has no rule for {part}"
            )
        whole: Array | None = quantity.merged([record.array(part) for record in self._records])
        return whole

    def release(self) -> None:
        """Drop the results of `once`, which results that hold the record would keep in memory."""
        self._known.clear()

    def room_for(self, part: str) -> Array | None:
        """The flat array in which a part is accumulated; None if it is not requested or the run does not keep it."""
        array = self._arrays.get(part) if part in self.parts else None
        return None if array is None else array.reshape(-1)

    def once(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The result cached under this key; `make` computes it on the first call. Several queries share it."""
        if key not in self._known:
            self._known[key] = make()
        value: Value = self._known[key]
        return value

    @property
    def summary(self) -> LayerWindow:
        """The numbers of the layer over all windows: updates, sums of the learning rate, tau."""
        summaries = [record.summary for record in self._records]
        return self.once("summary", lambda: LayerWindow.merged(summaries, self.windows[0].quantities))

    @property
    def updates(self) -> int:
        """Number of updates."""
        return self.summary.updates

    @property
    def tau(self) -> float | None:
        """The layer's quantile level at the end."""
        return self._records[-1].summary.tau

    @property
    def exact(self) -> bool:
        """Whether every update was seen."""
        return all(window.exact for window in self.windows)

    @property
    def operand(self) -> Array:
        """Weights after the last update whose signs are the state; see `Ends.operand`."""
        return self._ends.operand(self.windows[-1])

    @property
    def scored(self) -> Array:
        """Weights after the last update of which z is computed."""
        return self._ends.scored(self.windows[-1])

    @property
    def scored_start(self) -> Array:
        """Weights before the first update of which z is computed."""
        if self._ends.spec.transform is not None:
            start: Array = self.start
            return start
        return self._ends.scored(self._before)

    @property
    def z_start(self) -> NDArray[np.float64]:
        """Standard scores before the first update."""
        return self.once("z_start", lambda: self._ends.scores(self._before, self.scored_start))

    @property
    def z_end(self) -> NDArray[np.float64]:
        """Standard scores after the last update."""
        return self._ends.scores(self.windows[-1])

    @property
    def states_start(self) -> NDArray[np.int16]:
        """States before the first update."""
        return self._ends.states(self._before)

    @property
    def states_end(self) -> NDArray[np.int16]:
        """States after the last update."""
        return self._ends.states(self.windows[-1])

    @property
    def distance_start(self) -> NDArray[np.float64]:
        """abs(z - nearest threshold) before the first update; abs(z) for signs."""
        return self._ends.distance(self._before)

    @property
    def offset_start(self) -> NDArray[np.float64]:
        """The offset, z - nearest threshold before the first update; z for signs."""
        return self.z_start if self.spec.quantizer.binary else self._before[self.spec.name].offset

    @property
    def distance_end(self) -> NDArray[np.float64]:
        """abs(z - nearest threshold) after the last update."""
        return self._ends.distance(self.windows[-1])

    @property
    def deviations_start(self) -> NDArray[np.float64]:
        """Standard deviation of the latent weights of each scale group before the first update."""
        return self._ends.deviations(self._before, self._arrays.get("start"))

    @property
    def deviations_end(self) -> NDArray[np.float64]:
        """Standard deviation of the latent weights of each scale group after the last update."""
        return self._ends.deviations(self.windows[-1])

    @property
    def score_path(self) -> Array | None:
        """zpath; None if the run does not keep it, or if it is not known of which weights it is."""
        path: Array | None = self.zpath
        return path if self._ends.spec.knows_z else None

    @property
    def _before(self) -> Window:
        """The window whose end is the state before the first update."""
        first = self.windows[0]
        return first.before if first.updates else first


def _is_added(quantity: Quantity) -> bool:
    """Whether a quantity is accumulated weight by weight, window by window."""
    return (quantity.of == "weights" and quantity.merge in ADDED) or (
        quantity.of == "flipped" and quantity.merge in FLIP_RULES
    )


def _empty(quantity: Quantity | None, shape: tuple[int, ...]) -> Array:
    if quantity is None:
        return np.ones(shape, dtype=np.bool_)
    return np.full(shape, quantity.absent, quantity.total_dtype)


def add_window(record: LayerRecord, records: Sequence[MergedRecord]) -> None:
    """Add one window of a layer to the records that cover it; each array is read at most once."""
    if record.window.updates == 0:
        return
    rooms = {
        quantity: found
        for quantity in record.window.quantities.values()
        if _is_added(quantity) and (found := _rooms(records, quantity.name))
    }
    for quantity, totals in rooms.items():
        if quantity.of == "weights":
            _decay(quantity, record, totals)
            record.add_to(totals, quantity.name)
    sparse = [quantity for quantity in rooms if quantity.of == "flipped"]
    never = _rooms(records, "silent")
    if not sparse and not never:
        return
    where, *values = record.sparse(*(quantity.name for quantity in sparse))
    for silent in never:
        silent[where] = False
    for quantity, numbers in zip(sparse, values, strict=True):
        for room in rooms[quantity]:
            FLIP_RULES[quantity.merge](room, where, numbers)


def _rooms(records: Sequence[MergedRecord], part: str) -> list[Array]:
    return [room for each in records if (room := each.room_for(part)) is not None]


def _decay(quantity: Quantity, record: LayerRecord, totals: Sequence[Array]) -> None:
    """Multiply the total of earlier windows by the decay factor of this window."""
    if quantity.decay:
        for total in totals:
            left = record.summary.more.get(quantity.decay)
            total *= np.nan if left is None else float(left)


def _add_counts(room: Array, where: Array, numbers: Array) -> None:
    room[where] += numbers


def _take_last(room: Array, where: Array, numbers: Array) -> None:
    room[where] = numbers


def _take_first(room: Array, where: Array, numbers: Array) -> None:
    new = room[where] < 0
    room[where[new]] = numbers[new]


#: In-place rules for quantities of flipped weights.
FLIP_RULES = {"count": _add_counts, "first known": _take_first, "last known": _take_last}


def merged(windows: Sequence[Window], layer: str, parts: Iterable[str] | None = None) -> MergedRecord:
    """The record of one layer over consecutive windows, merged into one.

    Parameters
    ----------
    windows : sequence of Window
        Consecutive windows, at least one.
    layer : str
        Name of the layer.
    parts : iterable of str, optional
        Requested parts; all by default.

    Returns
    -------
    MergedRecord

    Raises
    ------
    WindowNotFoundError
        If a window between them is missing.
    """
    check_connected(windows)
    rows = (TABLE | windows[0].quantities).values()
    every = DERIVED | {row.name for row in rows if row.of != "layer" and row.merge != UNION} - {"weight"}
    record = MergedRecord(windows, every if parts is None else parts, Ends(windows[0][layer].spec))
    record.begin()
    for window in windows:
        add_window(window[layer], [record])
    record.finish()
    return record
