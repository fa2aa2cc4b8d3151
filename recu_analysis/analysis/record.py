"""The record of one layer over consecutive windows as one, filled window by window with the parts that are wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from recu_analysis.theory.standardize import standard_scores
from recu_analysis.trajectory import Trajectory

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from numpy.typing import NDArray

    from recu_analysis.store.format import LayerSpec
    from recu_analysis.store.window import LayerRecord, Window

    Array = NDArray[Any]

Value = TypeVar("Value")

#: Parts that are added over the windows, and those made of the flips.
SUMS = ("path", "zpath", "grad")
FLIPS = ("silent", "flips", "first_flip", "last_flip")
#: All of them, with the state at either end.
PARTS = frozenset({"start", "end", "effective", "ema", *SUMS, *FLIPS})
#: What a run must have been told to keep for a part; it keeps the others always.
_QUANTITY = {**{name: name for name in (*SUMS, "ema")}, "first_flip": "flip_times", "last_flip": "flip_times"}


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
        return self._once(window, "effective", lambda: window[self.spec.name].effective)

    def scores(self, window: Window, weight: Array | None = None) -> NDArray[np.float64]:
        """Standard scores z at a window's end, read only; of weights that were read before, where they are given."""
        return self._once(
            window, "scores", lambda: _scores(self.weight(window) if weight is None else weight, self.spec)
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
    scores = standard_scores(weight, centre=spec.centre)
    scores.flags.writeable = False
    return scores


class MergedRecord:
    """What `recu_analysis.trajectory.merge` makes of the windows' records, with the same names.

    Sums are added in place, window by window in their order, and flips where there are any; so memory holds one array
    of the layer for each part that is wanted, however many windows there are. A part that is not wanted is not there.

    Parameters
    ----------
    windows : sequence of Window
        Windows that follow on each other, at least one.
    parts : set of str
        Of `PARTS`.
    ends : Ends
        Where weights at the ends of windows come from.
    """

    def __init__(self, windows: Sequence[Window], parts: Iterable[str], ends: Ends) -> None:
        self.windows = tuple(windows)
        self.parts = set(parts)
        self._ends = ends
        self._arrays: dict[str, Array | None] = {}
        self._known: dict[Hashable, Any] = {}
        self._summaries = [window[ends.spec.name].summary for window in self.windows]

    def begin(self) -> None:
        """Take the weights at the start, and make room for what is added."""
        first = self.windows[0]
        record = first[self._ends.spec.name]
        if "start" in self.parts:
            self._arrays["start"] = self._ends.weight(first.before if first.updates else first)
        for part in self.parts & {*SUMS, *FLIPS}:
            if not self._keeps(part):
                self._arrays[part] = None
                continue
            # Else run.json alone would say how much memory to take.
            record.check_shape(part if part in SUMS and first.updates else "weight")
            self._arrays[part] = _empty(part, record.spec.shape)

    def finish(self) -> None:
        """Take the state at the end; nothing is added any more."""
        last = self.windows[-1]
        if "end" in self.parts:
            self._arrays["end"] = self._ends.weight(last)
        if "effective" in self.parts:
            self._arrays["effective"] = self._ends.effective(last)
        if "ema" in self.parts:
            self._arrays["ema"] = last[self._ends.spec.name].ema if self._keeps("ema") else None
        for array in self._arrays.values():
            if array is not None:
                array.flags.writeable = False  # several questions share it

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

    def _keeps(self, part: str) -> bool:
        return part not in _QUANTITY or _QUANTITY[part] in self.windows[0].quantities

    @property
    def first_update(self) -> int:
        """Number of the first update; one past `last_update` where there is none."""
        return self._summaries[0].first_update

    @property
    def last_update(self) -> int:
        """Number of the last update."""
        return self.first_update + self.updates - 1

    @property
    def updates(self) -> int:
        """Number of updates."""
        return sum(summary.updates for summary in self._summaries)

    @property
    def exact(self) -> bool:
        """Whether every update was seen."""
        return all(window.exact for window in self.windows)

    @property
    def start(self) -> Array:
        """Latent weights before the first update."""
        return self._present("start")

    @property
    def end(self) -> Array:
        """Latent weights after the last update."""
        return self._present("end")

    @property
    def z_start(self) -> NDArray[np.float64]:
        """Standard scores before the first update."""
        first = self.windows[0]
        return self.once("z_start", lambda: self._ends.scores(first.before if first.updates else first, self.start))

    @property
    def z_end(self) -> NDArray[np.float64]:
        """Standard scores after the last update."""
        return self._ends.scores(self.windows[-1])

    @property
    def path(self) -> NDArray[np.float64] | None:
        """Sum of abs(w_u - w_{u-1}) over the updates, float64, in the unit of the weights.

        None, here and below, where the run does not keep it.
        """
        return self._arrays["path"]

    @property
    def zpath(self) -> NDArray[np.float64] | None:
        """Sum of abs(z_u - z_{u-1}), float64, in standard deviations of the output channel."""
        return self._arrays["zpath"]

    @property
    def grad(self) -> NDArray[np.float64] | None:
        """Sum of abs(gradient) before each update, float64, in loss per unit of weight."""
        return self._arrays["grad"]

    @property
    def ema(self) -> Array | None:
        """OvSW's moving average of the flips at the end."""
        return self._arrays["ema"]

    @property
    def silent(self) -> NDArray[np.bool_]:
        """Weights whose effective sign never changed."""
        return self._present("silent")

    @property
    def flips(self) -> NDArray[np.int64]:
        """Updates at which the effective sign changed, int64."""
        return self._present("flips")

    @property
    def first_flip(self) -> NDArray[np.int64] | None:
        """Number of the first such update, int64; -1 if there is none."""
        return self._arrays["first_flip"]

    @property
    def last_flip(self) -> NDArray[np.int64] | None:
        """Number of the last such update, int64; -1 if there is none."""
        return self._arrays["last_flip"]

    @property
    def lr(self) -> float:
        """Sum of the learning rate over the updates."""
        return sum(summary.lr for summary in self._summaries)

    @property
    def lr_decay(self) -> float:
        """Sum of learning rate times weight decay."""
        return sum(summary.lr_decay for summary in self._summaries)

    @property
    def decay_time(self) -> float:
        """Sum of learning rate times weight decay over (1 - momentum)."""
        return sum(summary.decay_time for summary in self._summaries)

    @property
    def tau(self) -> float | None:
        """The layer's quantile level at the end."""
        return self._summaries[-1].tau

    @property
    def effective(self) -> Array | None:
        """Effective weights at the end; None where the layer's transform says them."""
        return self._arrays["effective"]

    @property
    def operand(self) -> Array:
        """What the layer's transform acts on, weights at the end: effective ones where there is no transform."""
        return self.end if self.effective is None else self.effective

    def _present(self, part: str) -> Array:
        array = self._arrays[part]
        assert array is not None  # noqa: S101 - of parts that every run keeps
        return array


def _empty(part: str, shape: tuple[int, ...]) -> Array:
    if part in SUMS:
        return np.zeros(shape)
    if part == "silent":
        return np.ones(shape, dtype=np.bool_)
    return np.full(shape, 0 if part == "flips" else -1, dtype=np.int64)


def add_window(record: LayerRecord, records: Sequence[MergedRecord]) -> None:
    """Add one window of a layer to every record that holds it; each of its arrays is read once, if at all."""
    if record.window.updates == 0:
        return
    for part in SUMS:
        totals = [room for each in records if (room := each.room_for(part)) is not None]
        if totals:
            record.add_to(totals, part)
    rooms = {part: [room for each in records if (room := each.room_for(part)) is not None] for part in FLIPS}
    if not any(rooms.values()):
        return
    kinds = [part for part in FLIPS[1:] if rooms[part]]
    where, *values = record.sparse(*kinds)
    for silent in rooms["silent"]:
        silent[where] = False
    for kind, numbers in zip(kinds, values, strict=True):
        for room in rooms[kind]:
            _add_flips(kind, room, where, numbers)


def _add_flips(kind: str, room: Array, where: Array, numbers: Array) -> None:
    if kind == "flips":
        room[where] += numbers
    elif kind == "last_flip":
        room[where] = numbers
    else:
        new = room[where] < 0
        room[where[new]] = numbers[new]


def merged(windows: Sequence[Window], layer: str, parts: Iterable[str] = PARTS) -> MergedRecord:
    """The record of one layer over consecutive windows.

    Raises
    ------
    WindowNotFoundError
        If a window between them is missing.
    """
    check_connected(windows)
    record = MergedRecord(windows, parts, Ends(windows[0][layer].spec))
    record.begin()
    for window in windows:
        add_window(window[layer], [record])
    record.finish()
    return record


def check_connected(windows: Sequence[Window]) -> None:
    """WindowNotFoundError, naming a window that is missing, unless each follows on the one before."""
    for window in windows:
        _ = window.updates and window.before


#: The record of a layer, whole in memory or of windows.
Record = Trajectory | MergedRecord
