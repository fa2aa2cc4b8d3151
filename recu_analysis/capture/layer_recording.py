"""The recording of one layer: its optimizer, and its sums over the open window."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recu_analysis.capture.accumulate import storable
from recu_analysis.capture.accumulator_choice import accumulator_of
from recu_analysis.capture.adapters.registry import two_valued
from recu_analysis.capture.decay import Decay, rule_of
from recu_analysis.capture.gradient_sums import UpdateOf, gradient_sums
from recu_analysis.capture.levels import BY
from recu_analysis.capture.norms import Norms, Number, norm
from recu_analysis.capture.outside import NOTHING, Moved, Outside
from recu_analysis.capture.shared_numbers import SharedNorms, SharedOutside
from recu_analysis.capture.traces import Traces
from recu_analysis.errors import RecorderError
from recu_analysis.store.header import LayerWindow
from recu_analysis.store.joined import ROWS
from recu_analysis.store.sealing import digest
from recu_analysis.store.state import LayerState

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from recu_analysis.capture.accumulate import Accumulator, Array
    from recu_analysis.capture.adapters import BinaryLayer
    from recu_analysis.capture.gradient_sums import GradientSum
    from recu_analysis.capture.optional_sums import OptionalSum
    from recu_analysis.capture.recorded_rows import RecordedRows
    from recu_analysis.store.header import LayerSpec


@dataclass(slots=True)
class NextUpdate:
    """What the coming update of a layer starts from.

    Attributes
    ----------
    group : mapping
        The parameter group that holds the weight.
    first : bool
        Whether the optimizer has no momentum of the weight yet.
    along : float or Tensor, or None
        lr <w, gradient> / |w|^2; None if no gradient was seen.
    """

    group: Mapping[str, Any]
    first: bool = True
    along: Number | None = None


@dataclass(slots=True)
class LayerRecording:
    """The recording of one layer: its optimizer, and its sums over the open window.

    `recorded` is what this process records of the layer: all sums, weights, gradients and norms are of these channels.
    `whole` and `rows` are None, or as in `Part` if other processes may record other channels.
    """

    layer: BinaryLayer
    recorded: RecordedRows
    spec: LayerSpec
    optimizer: int
    accumulator: Accumulator
    first_update: int
    quantities: Collection[str]
    optional_sums: list[OptionalSum] = field(default_factory=list)
    updates: int = 0
    decay: Decay = field(default_factory=Decay)
    norms: Norms = field(init=False)
    next: NextUpdate = field(default_factory=lambda: NextUpdate({"lr": 0.0}))
    outside: Outside = field(default_factory=Outside)
    gradients: GradientSum | None = field(init=False)
    traces: Traces | None = None
    whole: LayerSpec | None = None
    rows: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        kind = Norms if self.rows is None else SharedNorms
        self.norms = kind(self.spec.center, norm(self.accumulator.seen, center=self.spec.center))
        if self.rows is not None:
            self.outside = SharedOutside()
        rounds = self.layer.parameter.element_size() == 2
        self.gradients = gradient_sums(self.spec, self.accumulator.seen, self.recorded, self.quantities, rounds=rounds)

    @property
    def run_spec(self) -> LayerSpec:
        """The layer's entry in run.json, of what all processes record."""
        return self.spec if self.whole is None else self.whole

    def here(self, array: Array) -> Array:
        """The rows that this process records, of an array of what all processes record."""
        return array if self.rows is None else array[slice(*self.rows)]

    @property
    def weight(self) -> torch.Tensor:
        """The latent weights of the recorded channels now."""
        return self.recorded.of(self.layer.weight)

    def group_in(self, optimizer: torch.optim.Optimizer) -> Mapping[str, Any]:
        """The parameter group that holds the weight now; while no group holds it, one with learning rate 0."""
        for group in optimizer.param_groups:
            if any(map(partial(operator.is_, self.layer.parameter), group["params"])):  # faster than a loop
                return group
        return {"lr": 0.0}

    def learning_rate(self, optimizers: Sequence[torch.optim.Optimizer]) -> float:
        """The current learning rate of its parameter group."""
        return float(self.group_in(optimizers[self.optimizer]).get("lr", math.nan))

    def change(self) -> str:
        """The error text if the layer's weight is no longer the recorded one; empty if it is."""
        name, parameter, dtype = self.layer.name, self.layer.parameter, self.spec.dtype
        if not self.layer.is_in_module():
            return (
                f"the parameter of layer {name!r} was replaced during the recording, and the optimizer does not hold "
                "the new one; assign to weight.data instead, or start another recording with a new optimizer"
            )
        held = self.layer.part(parameter)
        if held.numel() != self.layer.weights or (parameter.dtype == torch.float64 and dtype == "float32"):
            return (
                f"layer {name!r} is recorded with {self.layer.weights} weights of {dtype}, but now has "
                f"{held.numel()} of {str(parameter.dtype).removeprefix('torch.')}; start another recording"
            )
        return ""

    def require_same_weight(self) -> None:
        """Raise RecorderError if the layer's weight is no longer the recorded one."""
        if change := self.change():
            raise RecorderError(change)

    def prepare(self, optimizer: torch.optim.Optimizer, *, closure: bool) -> None:
        """Note what the coming update starts from; a closure computes the gradient during the update."""
        group, state = self.group_in(optimizer), optimizer.state.get(self.layer.parameter)
        momentum = state.get("momentum_buffer") if isinstance(state, Mapping) else None
        momentum = self._held(momentum)
        self.next = NextUpdate(group, first=momentum is None)
        if self.updates == 0:
            rule = rule_of(optimizer, group)
            self.norms.begin(momentum, self.spec.shape, rule)
            if self.gradients is not None:
                self.gradients.begin(momentum, rule)
        # With another size, the update raises an error.
        if not closure and self.layer.part(self.layer.parameter).numel() == self.layer.weights:
            self._note_gradient(self.weight, optimizer)

    def _held(self, state: Any) -> Any:
        """The recorded rows of an entry of the optimizer's state, if it is a tensor of the weight's size."""
        return self.recorded.of_state(self.layer.part(state) if isinstance(state, torch.Tensor) else state)

    def _gradient(self) -> torch.Tensor | None:
        """The gradient that the optimizer uses for the whole weight, dense; None if there is none."""
        gradient = self.layer.parameter.grad
        if gradient is None or "params" not in self.next.group:
            return None
        gradient = self.layer.part(gradient)
        if gradient.numel() != self.layer.weights:
            return None
        return (gradient.to_dense() if gradient.is_sparse else gradient).detach()

    def _note_gradient(self, weight: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
        gradient, group = self._gradient(), self.next.group
        if gradient is not None:
            lr = float(group.get("lr", math.nan)) * (-1.0 if group.get("maximize") else 1.0)
            self.next.along = self.norms.along(
                weight, self.recorded.of(gradient), getattr(optimizer, "grad_scale", None), lr
            )

    def count(self, optimizer: torch.optim.Optimizer) -> None:
        """Add the update that was just made to the sums."""
        if self.next.along is None:  # computed by a closure
            self._note_gradient(self.last_seen(), optimizer)
        along, begins = self.next.along, self.updates == 0
        self.decay.count(optimizer, self.next.group, gradient=along is not None, first=self.next.first, begins=begins)
        if along is not None:
            self.norms.add(along)
        self.updates += 1
        self.outside.updated()

    def add_gradient(self, optimizer: torch.optim.Optimizer, *, done: bool) -> None:
        """Add the gradient of the coming update, or of the update that a closure has just made, if there is one."""
        gradient, group = self._gradient(), self.next.group
        if gradient is None or self.gradients is None:
            return
        scale, state = getattr(optimizer, "grad_scale", None), optimizer.state.get(self.layer.parameter)
        update = UpdateOf(
            rule_of(optimizer, group),
            float(group.get("lr", math.nan)),
            float(group.get("weight_decay", 0.0)),
            group,
            {name: self._held(each) for name, each in state.items()} if isinstance(state, Mapping) else {},
            first=self.next.first,
            done=done,
            divisor=(1.0 if scale is None else scale) * (-1.0 if group.get("maximize") else 1.0),
        )
        self.gradients.add(gradient, update, self.last_seen())

    def count_outside_movement(self) -> None:
        """Count the movement of the weights since they were last seen, which no seen update made."""
        self.outside.add(self.moved())

    def unseen_movement(self) -> Moved:
        """The unexplained movement of the weights, if the open window has no update; otherwise NOTHING."""
        if self.updates or self.outside.loaded or self.layer.in_place:
            return NOTHING
        moved = self.moved()
        return NOTHING if moved == self.outside.counted else moved

    def measure_z(self, z: str) -> None:
        """Compute z from the given kind of weights (`LayerSpec.z`), so that a resumed run keeps its kind."""
        self.spec = replace(self.spec, z=z)
        self.whole = self.whole and replace(self.whole, z=z)
        self.accumulator = accumulator_of(self.layer, self.recorded, self.spec, self.quantities)

    def trace(self, chosen: Sequence[int]) -> None:
        """Record the values of these weights, given by their places in `run_spec`, after every update."""
        self.whole = self.whole and replace(self.whole, traced=tuple(chosen))
        first, stop = self._places
        self.spec = replace(self.spec, traced=tuple(at - first for at in chosen if first <= at < stop))
        self.traces = Traces(self.spec, self.accumulator.seen.device)

    @property
    def _places(self) -> tuple[int, int]:
        """The first of the weights of `run_spec` that are recorded here, and one past the last."""
        width = self.spec.weights // self.spec.shape[0]
        return (0, self.spec.weights) if self.rows is None else (self.rows[0] * width, self.rows[1] * width)

    def begin_from(self, latent: torch.Tensor) -> None:
        """Treat `latent` as the weights last seen, instead of the current values of the parameter."""
        with self.layer.holding(self.recorded.put(latent, self.layer.weight)):
            self.accumulator = accumulator_of(self.layer, self.recorded, self.spec, self.quantities)
            self.norms.start = norm(self.accumulator.seen, center=self.spec.center)
            for optional_sum in self.optional_sums:
                optional_sum.begin(self.weight)
            if self.gradients is not None:
                self.gradients.begin_at(self.accumulator.seen)

    def advance(self, update: int) -> None:
        """Add the update with this number, which has just changed the weight."""
        weight = self.weight
        if self.gradients is not None:
            self.gradients.after(weight, self.accumulator.seen)
        self.accumulator.advance(weight, update)
        for optional_sum in self.optional_sums:
            optional_sum.after(weight, update, self.accumulator)
        if self.traces is not None:
            self.traces.add(self.accumulator)

    def last_seen(self) -> torch.Tensor:
        """The latent weights that were last seen, one row per channel."""
        return self.accumulator.seen

    def whole_last_seen(self) -> torch.Tensor:
        """The layer's latent weights: those last seen of the recorded channels, the present ones of the others."""
        return self.recorded.put(self.last_seen(), self.layer.weight)

    def moved(self) -> Moved:
        """The movement of the weights since they were last seen.

        Signs that replace the parameter's values during a forward pass are not movement.
        """
        if self.change():
            return NOTHING  # the next update raises the error
        seen = self.accumulator.seen
        new = storable(self.weight).to(seen.device)
        if torch.equal(new, seen) or (two_valued(new) and not two_valued(seen)):
            return NOTHING
        step = (new.double() - seen.double()).abs()
        step = torch.where(new.isnan() & seen.isnan(), 0.0, step.nan_to_num(nan=math.inf))
        return Moved(int((step > 0.0).sum()), float(step.max()))

    def digest_text(self) -> str:
        """A checksum of the layer's current weights."""
        return digest(self.layer.name, storable(self.weight).cpu().numpy())

    def digest(self) -> torch.Tensor:
        """The checksum as 16 bytes."""
        return torch.tensor(list(bytes.fromhex(self.digest_text())), dtype=torch.uint8)

    def state(self) -> dict[str, torch.Tensor]:
        """The open window as copied, contiguous tensors on the CPU, for `load`."""
        moved = {} if self.moved() == NOTHING else {"seen": self.accumulator.seen.to("cpu", copy=True)}
        tensors = moved | {
            "digest": self.digest(),
            "numbers": torch.tensor([self.first_update, self.updates]),
            "decay": self.decay.tensor(),
            "norms": self.norms.tensor(),
            "outside": self.outside.tensor(),
            **self.accumulator.state(),
            **{optional_sum.name: optional_sum.value.to("cpu", copy=True) for optional_sum in self.optional_sums},
            **(self.gradients.state() if self.gradients is not None else {}),
            **(self.traces.state() if self.traces is not None else {}),
        }
        # Sums of a layer in channels_last have its strides, which safetensors refuses.
        return {name: tensor.contiguous() for name, tensor in tensors.items()}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore the open window from `state`; raise KeyError, ValueError or RuntimeError if it does not fit."""
        self.first_update, self.updates = state["numbers"].tolist()
        self.decay.load(state["decay"])
        self.outside.load(state["outside"])
        if "seen" in state:
            self.begin_from(state["seen"])
        self.accumulator.load(state)
        self.norms.load(state["norms"])
        for optional_sum in self.optional_sums:
            optional_sum.value.copy_(state[optional_sum.name])
        if self.gradients is not None:
            self.gradients.load(state)
        if self.traces is not None:
            self.traces.load(state)

    def take(self) -> LayerState:
        """Return the state of the open window, and begin a new window."""
        sums, inherited = self.decay.take()
        summary = LayerWindow(self.first_update, self.updates, *sums, self.layer.tau)
        summary.more.update(self.outside.take() | inherited | self.norms.take(self.accumulator.seen))
        self.first_update += self.updates
        self.updates = 0
        arrays = self.accumulator.take() | {
            optional_sum.name: optional_sum.take() for optional_sum in self.optional_sums
        }
        arrays |= self.traces.take() if self.traces is not None else {}
        summary.more.update({name: int(arrays.pop(name)) for name in BY if name in arrays})
        if self.gradients is not None:
            numbers, sums_of_gradients = self.gradients.take(self.accumulator.seen)
            summary.more.update(numbers)
            arrays |= sums_of_gradients
        scale, channels = self.layer.scale, self.layer.shape[0]
        if scale is not None and scale.size in {1, channels}:  # otherwise it is not a scale per channel
            arrays |= {"scale": np.resize(scale, channels)[self.recorded.numbers]}
        if self.rows is not None:
            summary.more[ROWS] = list(self.rows)
            arrays["flipped"] = arrays["flipped"] + np.uint32(self._places[0])
        return LayerState(summary, arrays)
