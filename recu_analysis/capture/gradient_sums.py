"""Sums over the gradients of one layer in its open window: their sizes, and on request what noise they would make."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from recu_analysis.capture.accumulate import storable
from recu_analysis.capture.earned_along import EarnedAlong
from recu_analysis.capture.gradient_kernel import add_gradient
from recu_analysis.capture.norms import gradient_rows
from recu_analysis.capture.traces import drawn_weights
from recu_analysis.store.quantities import GRADIENT_STATS, TABLE
from recu_analysis.theory.causes import SMALL_GRADIENT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import numpy as np

    from recu_analysis.capture.norms import Number
    from recu_analysis.capture.recorded_rows import RecordedRows
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.theory.inheritance import UpdateRule

    Array = np.ndarray[Any, np.dtype[Any]]

#: Number of weights in the sample, which is drawn as traced weights are (`traces.drawn_weights`).
SAMPLE = 1024
#: Sums that the kernel on a CPU adds to, in its order.
ADDED = ("grad", "signed_grad", "noise", "small_grads")


@dataclass(frozen=True, slots=True)
class UpdateOf:
    """How an optimizer uses the gradient of one weight in an update.

    Attributes
    ----------
    rule : UpdateRule or None
        None if it is not defined.
    lr, weight_decay : float
    group, state : mapping
        The weight's parameter group, and the optimizer's state of the weight.
    first : bool
        Whether SGD has no momentum of the weight yet.
    done : bool
        Whether the update was already made, because a closure computed the gradient during it.
    divisor : float or Tensor
        The optimizer uses the gradient divided by this: the scale of GradScaler, negative if it maximizes.
    """

    rule: UpdateRule | None
    lr: float
    weight_decay: float
    group: Mapping[str, Any]
    state: Mapping[str, Any]
    first: bool
    done: bool
    divisor: Number

    @property
    def noise(self) -> tuple[float, float]:
        """What the update leaves of earlier noise, and how far a unit of gradient moves the weight in the end.

        With R the rule's response, these are (1 - lr wd R)^2 and lr R. NaN if the rule is not defined.
        """
        rule = self.rule.at_first if self.rule is not None and self.first else self.rule
        if rule is None or math.isinf(rule.response):
            return math.nan, math.nan
        return (1.0 - rule.decay_time(self.lr, self.weight_decay)) ** 2, self.lr * rule.response

    @property
    def momentum(self) -> torch.Tensor | None:
        """The optimizer's momentum of the weight; None if there is none yet."""
        momentum: torch.Tensor | None = self.state.get("momentum_buffer", self.state.get("exp_avg"))
        return momentum

    @property
    def scales(self) -> bool:
        """Whether the optimizer divides the gradient by its size."""
        return self.rule is not None and self.rule.decoupled

    def scaled(self, gradient: torch.Tensor) -> torch.Tensor:
        """The gradient over the root of its mean square, as Adam and AdamW divide it.

        Parameters
        ----------
        gradient : Tensor of float64
            Divided by `divisor`.
        """
        beta, updates = float(self.group["betas"][1]), self.state.get("step", 0.0)
        square = self.state.get("exp_avg_sq", torch.zeros_like(gradient)).to(gradient).reshape(gradient.shape)
        if not self.done:
            square, updates = beta * square + (1.0 - beta) * gradient.square(), updates + 1.0
        if self.group.get("amsgrad") and "max_exp_avg_sq" in self.state:
            square = torch.maximum(square, self.state["max_exp_avg_sq"].to(gradient).reshape(gradient.shape))
        if isinstance(updates, torch.Tensor):  # on a GPU it may be on the device
            updates = updates.to(gradient)
        scaled: torch.Tensor = gradient / ((square / (1.0 - beta**updates)).sqrt() + float(self.group["eps"]))
        return scaled


class GradientSum:
    """The sum of abs(gradient) of each weight over the open window of a layer, each as the optimizer uses it.

    Parameters
    ----------
    spec : LayerSpec
    seen : Tensor, one row per channel
        Latent weights before the first update.
    recorded : RecordedRows
        The recorded channels of the layer.
    """

    def __init__(self, spec: LayerSpec, seen: torch.Tensor, recorded: RecordedRows) -> None:
        self._spec = spec
        self._recorded = recorded
        self.sums = {"grad": torch.zeros_like(seen, dtype=torch.float64)}

    def begin(self, momentum: torch.Tensor | None, rule: UpdateRule | None) -> None:
        """Begin a window before its first update, with the momentum that SGD then has and the optimizer's rule."""

    def begin_at(self, seen: torch.Tensor) -> None:
        """Set the weights before the next update, if they moved outside updates before a run is resumed."""

    def add(self, gradient: torch.Tensor, update: UpdateOf, seen: torch.Tensor) -> None:
        """Add a gradient of the whole layer; `seen` are the weights before the update, one row per channel."""
        total = self.sums["grad"]
        rows = self._recorded.of(gradient).to(device=total.device, dtype=torch.float64).reshape(total.shape)
        total += (rows / update.divisor).abs()

    def after(self, weight: torch.Tensor, seen: torch.Tensor) -> None:
        """Note that the update has made `weight` of the weights `seen`, one row per channel."""

    def state(self) -> dict[str, torch.Tensor]:
        """Copies on the CPU of the open window, for `load`."""
        return {name: total.to("cpu", copy=True) for name, total in self.sums.items()}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore the open window from `state`; raise KeyError, ValueError or RuntimeError if it does not fit."""
        for name, total in self.sums.items():
            total.copy_(state[name])

    def take(self, seen: torch.Tensor) -> tuple[dict[str, float], dict[str, Array]]:
        """Return the window's numbers and arrays by the names of their rows, and begin a new window at `seen`."""
        arrays = {name: self._stored(name, total) for name, total in self.sums.items()}
        for total in self.sums.values():
            total.zero_()
        return {}, arrays

    def _stored(self, name: str, value: torch.Tensor) -> Array:
        array = value.to("cpu", copy=True).numpy().reshape(self._spec.shape)
        return TABLE[name].stored(array, self._spec.dtype)


class GradientStats(GradientSum):
    """The statistics of each weight's gradients over the open window of a layer.

    Beside the sums of the gradients and of their sizes: the momentum at the window's start; the variance of what the
    gradients made of the weight, if they were noise; and how many gradients were small, and how many updates were lost
    to the rounding of 16-bit weights.

    Parameters
    ----------
    spec : LayerSpec
    seen : Tensor, one row per channel
        Latent weights before the first update.
    recorded : RecordedRows
        The recorded channels of the layer.
    rounds : bool
        Whether the weights have 16 bits.
    """

    def __init__(self, spec: LayerSpec, seen: torch.Tensor, recorded: RecordedRows, *, rounds: bool) -> None:
        super().__init__(spec, seen, recorded)
        dtypes = {"signed_grad": torch.float64, "noise": torch.float32, "small_grads": torch.int32}
        dtypes |= {"unchanged": torch.int32} if rounds else {}
        self.sums |= {name: torch.zeros_like(seen, dtype=dtype) for name, dtype in dtypes.items()}
        self._start = torch.empty_like(seen)
        self._mean = torch.zeros(len(seen), dtype=torch.float64, device=seen.device)
        # Of the whole layer, so that a sampled channel has the same small gradients.
        self._sample = torch.tensor(drawn_weights(spec.name, spec.whole_shape, SAMPLE), device=seen.device)
        added = (self._sample, self._start, self._mean, *(self.sums[name] for name in ADDED))
        self._arrays = tuple(each.numpy() for each in added) if seen.is_cpu else ()  # making them takes time
        self._momentum: torch.Tensor | None = None
        self._noise_decay = math.nan
        self._along = EarnedAlong()
        self._pushed: torch.Tensor | None = None
        self.begin_at(seen)

    def begin_at(self, seen: torch.Tensor) -> None:
        """Set the weights at the window's start."""
        self._start.copy_(seen)
        if self._spec.center:
            self._mean.copy_(seen.double().mean(dim=1))

    def begin(self, momentum: torch.Tensor | None, rule: UpdateRule | None) -> None:
        """Begin a window before its first update, with the momentum that SGD then has and the optimizer's rule."""
        self._momentum = None
        if rule is not None and not rule.decoupled:
            rows = torch.zeros_like(self._start) if momentum is None else storable(momentum.reshape(self._spec.shape))
            self._momentum = rows.to(self._start, copy=True)
        self._noise_decay = math.nan if rule is None else 1.0
        self._along.begin(rule)

    def add(self, gradient: torch.Tensor, update: UpdateOf, seen: torch.Tensor) -> None:
        """Add a gradient of the whole layer; `seen` are the weights before the update, one row per channel."""
        left, factor = update.noise
        add = self._add_on_cpu if seen.is_cpu else self._add_on_device
        along = add(gradient, update, left, factor)
        self._along.add(along, update.rule, update.lr, update.weight_decay, first=update.first)
        self._noise_decay *= left
        if "unchanged" in self.sums:
            self._pushed = self._pushed_by(self._recorded.of(gradient), update, seen)

    def _add_on_cpu(self, gradient: torch.Tensor, update: UpdateOf, left: float, factor: float) -> float:
        recorded = self._recorded.of(gradient)
        rows, divisor = gradient_rows(recorded, self._start), float(update.divisor)
        whole = rows if recorded is gradient else storable(gradient).cpu().numpy()
        moves, factor = rows, factor / divisor
        if update.scales:
            moves, factor = update.scaled(torch.from_numpy(rows).double() / divisor).numpy(), factor * divisor
        along: float = add_gradient(
            rows, moves, divisor, whole.reshape(-1), SMALL_GRADIENT, left, factor, *self._arrays
        )
        return along

    def _add_on_device(self, gradient: torch.Tensor, update: UpdateOf, left: float, factor: float) -> torch.Tensor:
        """As `_add_on_cpu`, without waiting for the device."""
        sample = torch.take(gradient, self._sample.to(gradient.device)).to(self._start.device)
        recorded = self._recorded.of(gradient).to(device=self._start.device, dtype=torch.float64)
        rows = recorded.reshape(self._start.shape) / update.divisor
        sizes, noise = rows.abs(), self.sums["noise"]
        self.sums["grad"] += sizes
        self.sums["signed_grad"] += rows
        moves = update.scaled(rows) if update.scales else rows
        noise.copy_(left * noise.double() + (factor * moves).square())
        self.sums["small_grads"] += sizes <= SMALL_GRADIENT * (sample.double() / update.divisor).abs().median()
        return (rows * (self._start.double() - self._mean.unsqueeze(1))).sum()

    def _pushed_by(self, gradient: torch.Tensor, update: UpdateOf, seen: torch.Tensor) -> torch.Tensor:
        """Which weights the update would move if nothing were rounded."""
        pushes = [gradient, *([] if update.momentum is None else [update.momentum])]
        pushed = torch.zeros_like(seen, dtype=torch.bool) if update.weight_decay == 0.0 else seen != 0.0
        for each in pushes:
            pushed |= (each != 0.0).to(seen.device).reshape(seen.shape)
        return pushed if update.lr != 0.0 else torch.zeros_like(pushed)

    def after(self, weight: torch.Tensor, seen: torch.Tensor) -> None:
        """Note that the update has made `weight` of the weights `seen`, one row per channel."""
        if self._pushed is not None:
            self.sums["unchanged"] += self._pushed & (storable(weight).to(seen.device) == seen)
            self._pushed = None

    def state(self) -> dict[str, torch.Tensor]:
        """Copies on the CPU of the open window, for `load`."""
        numbers = torch.tensor([self._noise_decay, *self._along.numbers()], dtype=torch.float64)
        momentum = {} if self._momentum is None else {"momentum": self._momentum.to("cpu", copy=True)}
        return super().state() | momentum | {"start": self._start.to("cpu", copy=True), "gradient_numbers": numbers}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore the open window from `state`; raise KeyError, ValueError or RuntimeError if it does not fit."""
        super().load(state)
        self._noise_decay, *along = state["gradient_numbers"].tolist()
        self._along.load(along)
        self.begin_at(state["start"].to(self._start))
        self._momentum = state["momentum"].to(self._start) if "momentum" in state else None

    def take(self, seen: torch.Tensor) -> tuple[dict[str, float], dict[str, Array]]:
        """Return the window's numbers and arrays by the names of their rows, and begin a new window at `seen`."""
        _, arrays = super().take(seen)
        numbers = self._along.take()
        if math.isfinite(self._noise_decay):
            numbers |= {"noise_decay": self._noise_decay}
        else:
            del arrays["noise"]
        if self._momentum is not None:
            arrays |= {"momentum": self._stored("momentum", self._momentum)}
        self._momentum, self._noise_decay = None, math.nan
        self.begin_at(seen)
        return numbers, arrays


def need_gradients(quantities: Collection[str]) -> bool:
    """Whether one of the quantities needs gradients."""
    return "grad" in quantities


def gradient_sums(
    spec: LayerSpec, seen: torch.Tensor, recorded: RecordedRows, quantities: Collection[str], *, rounds: bool
) -> GradientSum | None:
    """The sums of a layer in a recording that keeps these quantities; None if it keeps none of gradients."""
    if GRADIENT_STATS in quantities:
        return GradientStats(spec, seen, recorded, rounds=rounds)
    return GradientSum(spec, seen, recorded) if "grad" in quantities else None
