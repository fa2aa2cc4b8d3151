"""One window of a run and one layer in it: lazy, checked, read-only arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, overload

import numpy as np

from recu_analysis.errors import DamagedError, LayerNotFoundError, NotRecordedError, WindowNotFoundError
from recu_analysis.trajectory import Trajectory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recu_analysis.store.format import LayerSpec, LayerWindow, ShardHeader
    from recu_analysis.store.tensors import TensorFile

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class LayerRecord:
    """One layer of one window, read when asked for; every array is read only and has the layer's shape.

    NotRecordedError is raised for a quantity that the run does not keep; see the `quantities` of its recording.

    Attributes
    ----------
    spec : LayerSpec
    summary : LayerWindow
        Updates, sums of the learning rate and tau of this layer in this window.
    """

    window: Window
    spec: LayerSpec
    summary: LayerWindow

    @property
    def weight(self) -> Array:
        """Latent weights at the window's end, in the dtype of the parameter (float32 for half precision)."""
        return self._read("weight")

    @property
    def start(self) -> Array:
        """Latent weights at the window's start: those at the end of the window before."""
        if self.window.updates == 0:
            return self.weight
        return self.window.before[self.spec.name].weight

    @property
    def path(self) -> Array:
        """Sum of abs(w_u - w_{u-1}) over the window's updates, float32, in the unit of the weights."""
        self._require("path")
        return self._read("path")

    @property
    def zpath(self) -> Array:
        """Sum of abs(z_u - z_{u-1}) over the window's updates, float32, in standard deviations of the channel."""
        self._require("zpath")
        return self._read("zpath")

    @property
    def ema(self) -> Array:
        """OvSW's moving average of the flips at the window's end, float32: e <- 0.999 e + 0.001 [flip], from 0."""
        self._require("ema")
        return self._read("ema")

    @property
    def grad(self) -> Array:
        """Sum of abs(gradient of the loss) before each of the window's updates, float32, loss per unit of weight."""
        self._require("grad")
        return self._read("grad")

    @property
    def flips(self) -> Array:
        """Updates at which the effective sign changed, int64."""
        return self._scatter("flips", 0)

    @property
    def first_flip(self) -> Array:
        """Number of the first such update, int64; -1 if there is none."""
        self._require("flip_times")
        return self._scatter("first_flip", -1)

    @property
    def last_flip(self) -> Array:
        """Number of the last such update, int64; -1 if there is none."""
        self._require("flip_times")
        return self._scatter("last_flip", -1)

    @property
    def scale(self) -> Array | None:
        """The learned alpha at the window's end, float32, or None where the layer has none."""
        return self._tensor("scale") if self._holds("scale") else None

    @property
    def effective(self) -> Array | None:
        """Effective weights at the window's end, or None where the layer's transform says them."""
        return self._read("effective") if self.spec.transform is None and self._holds("effective") else None

    @property
    def operand(self) -> Array:
        """What the layer's transform acts on, weights at the window's end: effective ones where there is none."""
        effective = self.effective
        return self.weight if effective is None else effective

    @property
    def trajectory(self) -> Trajectory:
        """The whole record of the layer in this window, sums in float64, None for what the run does not keep."""
        kept = self.window.quantities
        return Trajectory(
            first_update=self.summary.first_update,
            last_update=self.summary.first_update + self.summary.updates - 1,
            start=self.start,
            end=self.weight,
            path=self.path.astype(np.float64) if "path" in kept else None,
            zpath=self.zpath.astype(np.float64) if "zpath" in kept else None,
            flips=self.flips,
            first_flip=self.first_flip if "flip_times" in kept else None,
            last_flip=self.last_flip if "flip_times" in kept else None,
            lr=self.summary.lr,
            lr_decay=self.summary.lr_decay,
            decay_time=self.summary.decay_time,
            tau=self.summary.tau,
            effective=self.effective,
            ema=self.ema if "ema" in kept else None,
            grad=self.grad.astype(np.float64) if "grad" in kept else None,
        )

    def _require(self, quantity: str) -> None:
        if quantity not in self.window.quantities:
            raise NotRecordedError(
                f"{self.window.where} has no {quantity}: the run was recorded without it; name it in the quantities= "
                "of the recording"
            )

    def _holds(self, kind: str) -> bool:
        return f"{kind}/{self.spec.name}" in self.window.file.entries

    def _tensor(self, kind: str) -> Array:
        return self.window.file.read(*self._named(kind))

    def _named(self, kind: str) -> tuple[str, str]:
        """The tensor's name in the file, and its digest."""
        name = f"{kind}/{self.spec.name}"
        expected = self.window.header.digests.get(name)
        if expected is None:
            raise DamagedError(f"{self.window.where} is damaged: it has no checksum of tensor {name!r:.80}")
        return name, expected

    def _read(self, kind: str) -> Array:
        named = self._named(kind)
        self.check_shape(kind)
        return self.window.file.read(*named)

    def check_shape(self, kind: str, wanted: str | None = None) -> None:
        """DamagedError, naming what is wanted, if one of the file's arrays has not run.json's shape; reads nothing."""
        if self.window.file.entry(f"{kind}/{self.spec.name}").shape != self.spec.shape:
            raise DamagedError(
                f"{self.window.where} is damaged: {wanted or kind} of layer {self.spec.name!r} has another shape"
            )

    def add_to(self, totals: Sequence[NDArray[np.float64]], kind: str) -> None:
        """Add one of the window's sums, path or zpath, to totals in float64, without an array of the layer's size.

        Raises
        ------
        DamagedError
            If it cannot be read or its digest differs; the totals are then of no use.
        """
        named = self._named(kind)
        self.check_shape(kind)
        flat, position = [total.reshape(-1) for total in totals], 0
        for block in self.window.file.blocks(*named):
            for each in flat:
                each[position : position + block.size] += block
            position += block.size

    def sparse(self, *kinds: str) -> tuple[Array, ...]:
        """The flat indices of the weights that flipped, rising, and what each of `kinds` (flips, ...) says of them.

        Raises
        ------
        DamagedError
            If they do not fit the layer.
        """
        indices = self._flipped()
        values = []
        for kind in kinds:
            values.append(self._tensor(kind))
            if indices.shape != values[-1].shape:
                self._does_not_fit(kind)
        return indices, *values

    def _flipped(self) -> Array:
        indices = self._tensor("flipped")
        sound = indices.shape == (indices.size,) and bool((indices[1:] > indices[:-1]).all())
        if not sound or (indices.size and not 0 <= indices[0] <= indices[-1] < self.spec.weights):
            self._does_not_fit("flipped")
        return indices.astype(np.intp)

    def _does_not_fit(self, kind: str) -> NoReturn:
        raise DamagedError(f"{self.window.where} is damaged: {kind} of layer {self.spec.name!r} does not fit the layer")

    def _scatter(self, kind: str, absent: int) -> Array:
        self.check_shape("weight", kind)  # else run.json alone would say how much memory to take
        dense = np.full(self.spec.weights, absent, dtype=np.int64)
        indices, values = self.sparse(kind)
        dense[indices] = values
        dense.flags.writeable = False
        return dense.reshape(self.spec.shape)


@dataclass(frozen=True, eq=False)
class Window:
    """One window of a run; `window[layer]` is the record of one layer.

    Attributes
    ----------
    number : int
        The window's name, which stays when earlier ones are removed.
    file : TensorFile
    header : ShardHeader
    where : str
        What messages call the window.
    quantities : tuple of str
        What the run keeps of every weight beside its state and its flips.
    """

    number: int
    file: TensorFile
    header: ShardHeader
    where: str
    specs: dict[str, LayerSpec]
    quantities: tuple[str, ...]
    previous: Window | None

    @property
    def first_update(self) -> int:
        """Number of the first update; one past `last_update` where there is none."""
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

    @property
    def before(self) -> Window:
        """The window on which every layer of this one follows.

        Raises
        ------
        WindowNotFoundError
            If it is missing.
        """
        if self.previous is None or not self.header.follows(self.previous.header):
            raise WindowNotFoundError(
                f"{self.where} begins at update {self.first_update}, but the window that ends at update "
                f"{self.first_update - 1} is missing, so its start is not known; choose windows after it"
            )
        return self.previous

    def __getitem__(self, layer: str) -> LayerRecord:
        if layer not in self.specs:
            raise LayerNotFoundError(f"{self.where} has no layer {layer!r}; its layers are {', '.join(self.specs)}")
        return LayerRecord(self, self.specs[layer], self.header.layers[layer])

    def __repr__(self) -> str:
        return f"<Window {self.number}: updates {self.first_update} to {self.last_update}>"


class Windows(Sequence[Window]):
    """The windows of a run in order, by position; `.number` of each is its name."""

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
        return f"<{len(self)} windows>"
