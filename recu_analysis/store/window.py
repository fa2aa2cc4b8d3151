"""One window of a run and the record of one layer in it: lazy, checked, read-only arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, overload

import numpy as np

from recu_analysis.errors import DamagedError, LayerNotFoundError, NotRecordedError, WindowNotFoundError, hint
from recu_analysis.store.consistency import fits_shape, fits_window, is_negative
from recu_analysis.store.display import count, html_facts, html_rows, plain_text
from recu_analysis.store.layer_selection import numbers_text
from recu_analysis.store.quantities import TABLE, UNION
from recu_analysis.theory.standardize import standard_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recu_analysis.store.header import LayerSpec, LayerWindow
    from recu_analysis.store.joined import JoinedFile
    from recu_analysis.store.quantities import Quantity
    from recu_analysis.store.shard import ShardHeader
    from recu_analysis.store.tensors import TensorFile

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class LayerRecord:
    """One layer of one window, read on access; every array is read only.

    Each quantity that the run keeps is an attribute by its name in `store.quantities`: `weight`, `path`, `flips`, ...;
    `dir` lists them. A quantity that the run does not keep raises NotRecordedError.

    Attributes
    ----------
    window : Window
    spec : LayerSpec
    summary : LayerWindow
        Updates, sums of the learning rate and tau of this layer in this window.
    """

    window: Window
    spec: LayerSpec
    summary: LayerWindow

    def __repr__(self) -> str:
        return f"<LayerRecord {plain_text(self.spec.name)} of window {self.window.number}>"

    def __getattr__(self, name: str) -> Any:
        if "window" not in self.__dict__ or (name not in TABLE and name not in self.window.quantities):
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
        if name == "zpath" and not self.spec.knows_z:
            raise NotRecordedError(
                f"{self.window.where} has no zpath of the effective weights of layer {self.spec.name!r}: an earlier "
                "version recorded the zpath of the latent weights; array('zpath') returns that"
            )
        return self.array(name)

    def array(self, name: str) -> Array | None:
        """A quantity by its name in `store.quantities`.

        Parameters
        ----------
        name : str

        Returns
        -------
        ndarray or None
            A quantity of weights has the shape of the layer. For a weight that did not flip, counts are 0 and update
            numbers are -1. None if the layer does not have an optional quantity.

        Raises
        ------
        DamagedError
            If it cannot be read, or does not fit the layer.
        NotRecordedError
            If the run does not keep it.
        """
        quantity = self.window.quantities.get(name)
        if quantity is None or quantity.of == "layer":
            raise NotRecordedError(
                f"{self.window.where} has no {TABLE[name].request if name in TABLE else name}: the run was recorded "
                "without it; add it to quantities= of the recording"
            )
        if quantity.optional and not self.holds(name):
            return None
        if quantity.of == "flipped":
            return self._flipped() if quantity.merge == UNION else self._scatter(quantity)
        return self._read(name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(row.name for row in self.window.quantities.values() if row.of != "layer")]

    @property
    def channels(self) -> NDArray[np.int64]:
        """Numbers of the recorded output channels of the layer, one for each row of the weights."""
        return self.spec.channel_numbers

    @property
    def start(self) -> Array:
        """Latent weights at the start of the window, from the end of the window before."""
        before = self if self.window.updates == 0 else self.window.before[self.spec.name]
        start: Array = before.weight
        return start

    @property
    def operand(self) -> Array:
        """Weights at the window's end whose signs are the state: latent, or effective if the layer has no transform."""
        effective = self.effective
        operand: Array = self.weight if effective is None else effective
        return operand

    @property
    def states(self) -> NDArray[np.int16]:
        """The states of the weights at the window's end: -1 and +1, or those of a quantizer with more levels."""
        if self.spec.quantizer.binary:
            return np.where(self.spec.signs(self.operand), 1, -1).astype(np.int16)
        return self.spec.quantizer.states(self.weight, *self._steps)

    @property
    def offset(self) -> NDArray[np.float64]:
        """The offset, z - nearest threshold of the weights at the window's end; z for signs."""
        if self.spec.quantizer.binary:
            return standard_scores(self.operand, center=self.spec.center)
        return self.spec.quantizer.offset(self.weight, *self._steps)

    @property
    def distance(self) -> NDArray[np.float64]:
        """abs(z - nearest threshold) of the weights at the window's end, in units of z; abs(z) for signs."""
        return np.abs(self.offset)

    @property
    def _steps(self) -> tuple[Array | None, Array | None]:
        """Steps and zero points of the scale groups at the window's end, for a layer with more than two levels."""
        if not self.holds("step"):
            raise DamagedError(f"{self.window.where} is damaged: it has no step of layer {self.spec.name!r:.80}")
        return self.array("step"), self.array("zero_point")

    def holds(self, name: str) -> bool:
        """Whether the layer has a quantity in this window; effective weights only if it has no transform."""
        derived = name == "effective" and self.spec.transform is not None
        return f"{name}/{self.spec.name}" in self.window.file.entries and not derived

    def _tensor(self, kind: str) -> Array:
        return self.window.file.read(*self._named(kind))

    def _named(self, kind: str) -> tuple[str, str]:
        """The tensor's name in the file, and its digest; raise DamagedError if its dtype is not that of its row."""
        name = f"{kind}/{self.spec.name}"
        expected = self.window.header.digests.get(name)
        if expected is None:
            raise DamagedError(f"{self.window.where} is damaged: it has no checksum of tensor {name!r:.80}")
        dtype = self.window.quantities[kind].dtype_in(self.spec.dtype)
        if self.window.file.entry(name).dtype != dtype:
            raise DamagedError(f"{self.window.where} is damaged: tensor {name!r:.80} is not of dtype {dtype}")
        return name, expected

    def _read(self, kind: str) -> Array:
        named = self._named(kind)
        self.check_shape(kind)
        values = self.window.file.read(*named)
        if is_negative(kind, values):
            self._does_not_fit(kind)
        return values

    def check_shape(self, kind: str, wanted: str | None = None) -> None:
        """Raise DamagedError if the shape of a tensor does not fit run.json; the tensor is not read.

        `wanted` is the name for the message, if it is not `kind`.
        """
        quantity, entry = self.window.quantities[kind], self.window.file.entry(f"{kind}/{self.spec.name}")
        if not fits_shape(quantity, entry.shape, self.spec, self.summary.updates):
            raise DamagedError(
                f"{self.window.where} is damaged: {wanted or kind} of layer {self.spec.name!r} has the wrong shape"
            )

    def add_to(self, totals: Sequence[NDArray[Any]], kind: str) -> None:
        """Add one of the window's sums or counts, such as path, to totals, without an array of the layer's size.

        Parameters
        ----------
        totals : sequence of ndarray
            Arrays of the layer's size, changed in place.
        kind : str
            Name of the quantity.

        Raises
        ------
        DamagedError
            If it cannot be read or its digest differs; the totals are then not valid.
        """
        named = self._named(kind)
        self.check_shape(kind)
        flat, position = [total.reshape(-1) for total in totals], 0
        for block in self.window.file.blocks(*named):
            if is_negative(kind, block):
                self._does_not_fit(kind)
            for each in flat:
                each[position : position + block.size] += block
            position += block.size

    def sparse(self, *kinds: str) -> tuple[Array, ...]:
        """Ascending flat indices of the weights that flipped, followed by their values of each of `kinds`.

        Parameters
        ----------
        *kinds : str
            Names of quantities of flipped weights: flips, first_flip, last_flip.

        Returns
        -------
        tuple of ndarray, each of shape (number of flipped weights,)

        Raises
        ------
        DamagedError
            If they do not fit the layer.
        """
        indices = self._flipped()
        values = []
        for kind in kinds:
            values.append(self._tensor(kind))
            if indices.shape != values[-1].shape or not fits_window(kind, values[-1], self.summary):
                self._does_not_fit(kind)
        return indices, *values

    def _flipped(self) -> Array:
        indices = self._tensor("flipped")
        sound = indices.shape == (indices.size,) and bool((indices[1:] > indices[:-1]).all())
        if not sound or (indices.size and not 0 <= indices[0] <= indices[-1] < self.spec.weights):
            self._does_not_fit("flipped")
        return indices.astype(np.intp)

    def _does_not_fit(self, kind: str) -> NoReturn:
        raise DamagedError(
            f"{self.window.where} is damaged: {kind} of layer {self.spec.name!r} has values that are impossible for "
            "its weights and updates"
        )

    def _scatter(self, quantity: Quantity) -> Array:
        self.check_shape("weight", quantity.name)  # without it, run.json alone decides how much memory is allocated
        dense = np.full(self.spec.weights, quantity.absent, np.int64 if "int" in quantity.dtype else np.float64)
        indices, values = self.sparse(quantity.name)
        dense[indices] = values
        dense.flags.writeable = False
        return dense.reshape(self.spec.shape)


@dataclass(frozen=True, eq=False)
class Window:
    """One window of a run; `window[layer]` is the record of one layer.

    Attributes
    ----------
    number : int
        Number of the window; it stays the same when earlier windows are removed.
    file : TensorFile or JoinedFile
        Its shard, or its shards as one.
    header : ShardHeader
    where : str
        Name of the window in messages.
    specs : dict of str to LayerSpec
        Layers of the run by name.
    quantities : dict of str to Quantity
        The rows of `store.quantities` that the run keeps.
    previous : Window or None
        The window before, whether or not this one follows it without a gap.
    """

    number: int
    file: TensorFile | JoinedFile
    header: ShardHeader
    where: str
    specs: dict[str, LayerSpec]
    quantities: dict[str, Quantity]
    previous: Window | None

    @property
    def first_update(self) -> int:
        """Number of the first update; `last_update` + 1 if the window has no updates."""
        return self.header.first_update

    @property
    def last_update(self) -> int:
        """Number of the last update."""
        return self.header.last_update

    @property
    def updates(self) -> int:
        """Number of updates."""
        return self.last_update - self.first_update + 1

    @property
    def exact(self) -> bool:
        """Whether every update was seen."""
        return self.header.exact

    @property
    def partial(self) -> bool:
        """Whether the recording stopped before the window was marked."""
        return self.header.partial

    @cached_property
    def connected(self) -> bool:
        """Whether the window before is there, and this one follows it without a gap in every layer."""
        return self.previous is not None and self.follows(self.previous)

    def follows(self, other: Window) -> bool:
        """Whether nothing was missed between another window and this one; a state must repeat its final weights."""
        return self.header.counts_on(other.header) and not (self.header.is_state and self.other_weights(other))

    def other_weights(self, other: Window) -> list[str]:
        """The layers whose final weights differ from those of another window, by their digests.

        If a recording goes on with another number of shards, digests tell nothing, so the weights are read.
        """
        differing = self.header.other_weights(other.header)
        return [
            name
            for name in differing
            if not (self.header.joins(name) or other.header.joins(name))
            or self[name].weight.tobytes() != other[name].weight.tobytes()
        ]

    @property
    def before(self) -> Window:
        """The window before, if this window follows it without a gap in every layer.

        Raises
        ------
        WindowNotFoundError
            If that window is missing.
        """
        if self.previous is None or not self.connected:
            raise WindowNotFoundError(
                f"{self.where} begins at update {self.first_update}, but the window that ends at update "
                f"{self.first_update - 1} is missing, so the weights at its start are not known; choose later windows"
            )
        return self.previous

    def __getitem__(self, layer: str) -> LayerRecord:
        if layer not in self.specs:
            raise LayerNotFoundError(f"{self.where} has no layer {layer!r}; {hint(layer, self.specs)}")
        return LayerRecord(self, self.specs[layer], self.header.layers[layer])

    def __repr__(self) -> str:
        return f"<Window {self.number}: {self._updates_text}>"

    def _repr_html_(self) -> str:
        """Its updates, and what each layer was trained with in them, for a notebook."""
        seen = "every one" if self.exact else "sampled: movement is net"
        facts = {"updates": self._updates_text, "seen": seen, "file": self.file.path}
        layers = []
        for name, of_layer in self.header.layers.items():
            size = self.specs[name].shape_and_weights if name in self.specs else ("", "")
            layers.append((name, *size, of_layer.updates, of_layer.lr, of_layer.decay_time, of_layer.tau))
        columns = ["layer", "shape", "weights", "updates", "sum of lr", "decay time", "tau"]
        return html_facts(f"Window {self.number}", facts) + html_rows(columns, layers)

    @property
    def _updates_text(self) -> str:
        none = "no updates: the weights at the start of a recording"
        return none if self.header.is_state else f"updates {self.first_update} to {self.last_update}"


class Windows(Sequence[Window]):
    """The windows of a run in order, indexed by position; `.number` is the number of a window."""

    def __init__(self, windows: Sequence[Window]) -> None:
        self._windows = tuple(windows)

    @overload
    def __getitem__(self, index: int) -> Window: ...
    @overload
    def __getitem__(self, index: slice) -> Windows: ...
    def __getitem__(self, index: int | slice) -> Window | Windows:
        return Windows(self._windows[index]) if isinstance(index, slice) else self._windows[index]

    def __len__(self) -> int:
        return len(self._windows)

    def __repr__(self) -> str:
        numbers = [window.number for window in self]
        return f"<{count(len(self), 'window')}{': ' + numbers_text(numbers) if numbers else ''}>"
