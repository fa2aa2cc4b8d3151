"""The record of one layer over consecutive windows as one, filled window by window with the parts that are wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from recu_analysis.errors import InputError, NotRecordedError, QueryError
from recu_analysis.store.chain import check_connected
from recu_analysis.store.header import LayerWindow
from recu_analysis.store.quantities import ADDED, TABLE, UNION
from recu_analysis.theory.standardize import standard_scores

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from numpy.typing import NDArray

    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.quantities import Quantity
    from recu_analysis.store.window import LayerRecord, Window

    Array = NDArray[Any]

Value = TypeVar("Value")

#: Parts of a record that are not quantities by themselves: the weights at both ends, and which never flipped.
DERIVED = frozenset({"start", "end", "silent"})


class Ends:
    """What one layer holds at the ends of windows: each array is read, or computed, once and kept until `forget`."""

    def __init__(self, spec: LayerSpec) -> None:
        self.spec = spec
        self._kept: dict[tuple[int, str], Any] = {}

    def weight(self, window: Window) -> Array:
        """Latent weights at a window's end."""
        return self._once(window, "weight", lambda: window[self.spec.name].weight)

    def effective(self, window: Window) -> Array | None:
        """Effective weights at a window's end; None where the layer's transform says them."""
        effective: Array | None = self._once(window, "effective", lambda: window[self.spec.name].effective)
        return effective

    def operand(self, window: Window) -> Array:
        """What signs at a window's end are of: latent weights, or effective ones where no transform says these.

        Raises
        ------
        NotRecordedError
            If the window does not have them.
        """
        effective = self.effective(window)
        if effective is None and self.spec.transform is None:
            raise NotRecordedError(
                f"{window.where} has no effective weights of layer {self.spec.name!r}, whose signs no transform says"
            )
        return self.weight(window) if effective is None else effective

    def scored(self, window: Window) -> Array:
        """What z at a window's end is of: its operand, unless the recording could only take the latent weights."""
        return self.weight(window) if self.spec.z == "latent" else self.operand(window)

    def scores(self, window: Window, scored: Array | None = None) -> NDArray[np.float64]:
        """Standard scores z at a window's end, read only; of weights that were read before, where they are given."""
        return self._once(
            window, "scores", lambda: _scores(self.scored(window) if scored is None else scored, self.spec)
        )

    def forget(self, before: int) -> None:
        """Keep nothing of windows whose number is lower."""
        self._kept = {key: value for key, value in self._kept.items() if key[0] >= before}

    def _once(self, window: Window, kind: str, make: Callable[[], Value]) -> Value:
        key = (window.number, kind)
        if key not in self._kept:
            self._kept[key] = make()
        value: Value = self._kept[key]
        return value


def _scores(weight: Array, spec: LayerSpec) -> NDArray[np.float64]:
    scores = standard_scores(weight, center=spec.center)
    scores.flags.writeable = False
    return scores


class MergedRecord:
    """A layer over windows that follow on each other, as one: every quantity by its rule (`store.quantities`).

    Sums are added in place, window by window in their order, and flips where there are any; so memory holds one array
    of the layer for each part that is wanted, however many windows there are. A part that is wanted is an attribute:
    sums in float64, counts and numbers of updates in int64 (-1 where a weight did not flip), None where the run does
    not keep it; `start` and `end` are the latent weights, and `silent` which weights never flipped.

    Parameters
    ----------
    windows : sequence of Window
        Windows that follow on each other, at least one.
    parts : set of str
        Names of quantities, and of `DERIVED`.
    ends : Ends
        Where weights at the ends of windows come from.
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
            return own.fget(self)  # what it raised brought us here: errors of ours are AttributeErrors too
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._arrays:
            raise QueryError(
                f"the record of layer {self._ends.spec.name!r} has no part {name!r}: list it where windows are asked "
                f"for, beside {', '.join(sorted(self.parts)) or 'no other'}"
            )
        return self.part(name)

    def part(self, name: str) -> Array | None:
        """One of the parts that are wanted, whatever its name; None where the run does not keep it."""
        part: Array | None = self._arrays[name]
        return part

    def begin(self) -> None:
        """Take the weights at the start, and make room for what is added."""
        first, record = self.windows[0], self._records[0]
        if "start" in self.parts:
            self._arrays["start"] = self._ends.weight(self._before)
        for part in self.parts - {"start", "end"}:
            quantity = None if part == "silent" else first.quantities.get(part)
            if quantity is not None and quantity.optional and not all(each.holds(part) for each in self._records):
                continue
            if part == "silent" or (quantity is not None and _is_added(quantity)):
                # Else run.json alone would say how much memory to take.
                record.check_shape(part if quantity and quantity.of == "weights" and first.updates else "weight")
                self._arrays[part] = _empty(quantity, record.spec.shape)

    def finish(self) -> None:
        """Take the state at the end; nothing is added any more."""
        if "end" in self.parts:
            self._arrays["end"] = self._ends.weight(self.windows[-1])
        for part in self.parts - DERIVED - self._arrays.keys():
            self._arrays[part] = self._whole(part)
        for array in self._arrays.values():
            if isinstance(array, np.ndarray):
                array.flags.writeable = False  # several questions share it

    def _whole(self, part: str) -> Array | None:
        """A quantity that is not added up weight by weight, of all windows; None where the run does not keep it."""
        quantity = self.windows[0].quantities.get(part)
        if quantity is None:
            return None
        if quantity.merge in {"first", "last"}:
            return self._records[0 if quantity.merge == "first" else -1].array(part)
        if not quantity.mergeable and self._records[1:]:
            raise InputError(f"{self.windows[0].where}: this version of recu-analysis does not know how {part} merges")
        whole: Array | None = quantity.merged([record.array(part) for record in self._records])
        return whole

    def release(self) -> None:
        """Forget what `once` made: results that hold the record would keep it in memory."""
        self._known.clear()

    def room_for(self, part: str) -> Array | None:
        """Where a part is added up, flat; None where it is not wanted or the run does not keep it."""
        array = self._arrays.get(part) if part in self.parts else None
        return None if array is None else array.reshape(-1)

    def once(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """What was made of the record before under this key, or made now: several questions want the same."""
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
        """What signs after the last update are of, and transforms: latent weights, or effective ones without one."""
        return self._ends.operand(self.windows[-1])

    @property
    def scored(self) -> Array:
        """What z after the last update is of."""
        return self._ends.scored(self.windows[-1])

    @property
    def scored_start(self) -> Array:
        """What z before the first update is of."""
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
    def score_path(self) -> Array | None:
        """zpath; None where the run does not keep it, or does not say of which weights it is."""
        path: Array | None = self.zpath
        return path if self._ends.spec.knows_z else None

    @property
    def _before(self) -> Window:
        """The window at whose end the first update was to come."""
        first = self.windows[0]
        return first.before if first.updates else first


def _is_added(quantity: Quantity) -> bool:
    """Whether it is added up weight by weight, window by window."""
    return (quantity.of == "weights" and quantity.merge in ADDED) or (
        quantity.of == "flipped" and quantity.merge in FLIP_RULES
    )


def _empty(quantity: Quantity | None, shape: tuple[int, ...]) -> Array:
    if quantity is None:
        return np.ones(shape, dtype=np.bool_)
    return np.full(shape, quantity.absent, quantity.total_dtype)


def add_window(record: LayerRecord, records: Sequence[MergedRecord]) -> None:
    """Add one window of a layer to every record that holds it; each of its arrays is read once, if at all."""
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
    """Multiply what earlier windows had by what this one leaves of it."""
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


#: The rules of what is kept of the weights that flipped, in place.
FLIP_RULES = {"count": _add_counts, "first known": _take_first, "last known": _take_last}


def merged(windows: Sequence[Window], layer: str, parts: Iterable[str] | None = None) -> MergedRecord:
    """The record of one layer over consecutive windows, of all quantities unless `parts` says otherwise.

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
