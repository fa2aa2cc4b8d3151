"""A mode that negates chosen binary weights in the products of a network, and leaves its parameters as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from recu_analysis.capture.products import PLAIN, WEIGHTED, States, compare, has_values
from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.capture.adapters import BinaryLayer


class Negation(TorchFunctionMode):
    """Multiplies the binary weights of layers by factors, where their convolution or linear product uses them.

    The parameters keep their values. So the scale that a layer computes from them stays, and centering cannot change
    the signs of other weights. Enter the mode around a forward pass. The caller restores the hooks of the modules, as
    `recu_analysis.capture.example.unchanged` does.

    Parameters
    ----------
    layers : sequence of BinaryLayer
        Layers of a model whose parameters do not change while the mode exists.

    Attributes
    ----------
    factors : dict of str to Tensor
        Layer -> factor of each weight, in the layer's shape: -1 negates. Layers without factors are unchanged.
    seen : set of str
        Layers whose weights were seen in a product.
    """

    def __init__(self, layers: Sequence[BinaryLayer]) -> None:
        super().__init__()
        self.factors: dict[str, torch.Tensor] = {}
        self.seen: set[str] = set()
        self._states = {layer.name: States.of(layer) for layer in layers}
        self._running: list[BinaryLayer] = []
        for layer in layers:
            # A module may run within another one. The list, and not the module, tells which one is innermost.
            begun, ended = _Push(self._running, layer), _Pop(self._running, layer)
            layer.user.register_forward_pre_hook(begun)
            layer.user.register_forward_hook(ended, always_call=True)

    def __enter__(self) -> Negation:
        self._running.clear()  # Ctrl-C may have ended the pass before
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function; if it is a product, with the weights of the running layers times their factors."""
        name, named = getattr(func, "__name__", "").partition(".")[0], kwargs or {}
        if self._running and name in WEIGHTED:
            args = (*args[:1], *map(self._changed, args[1:2]), *args[2:])
            named = {key: self._changed(value) if key == "weight" else value for key, value in named.items()}
        elif self._running and name in PLAIN:
            args = tuple(map(self._changed, args))
            named = {key: self._changed(value) for key, value in named.items()}
        return func(*args, **named)

    def _changed(self, operand: Any) -> Any:
        """An operand, times the factors of the running layer whose weights it holds; of a list each of its operands."""
        if isinstance(operand, (list, tuple)):
            return type(operand)(map(self._changed, operand))
        if not isinstance(operand, torch.Tensor) or not has_values(operand):
            return operand
        for layer in reversed(self._running):
            if operand.numel() == layer.parameter.numel():
                axis = self._axis(layer, operand)
                if axis is not None:
                    return self._times_factors(layer, operand, axis)
        return operand

    def _axis(self, layer: BinaryLayer, operand: torch.Tensor) -> int | None:
        """The axis of the output channels in an operand; None if it does not hold the layer's weights."""
        with torch.no_grad():
            found = compare(operand.detach(), self._states[layer.name], one_size=layer.one_size)
        if found is None:
            return None
        if found.share and not layer.approximate:
            raise InputError(
                f"layer {layer.name!r} does not use the recorded states: {found.share:.2%} of them differ in the "
                f"evaluation, where the weight {found.looks}; bring the network into its binary form, or leave the "
                "layer out with layers=[...]"
            )
        self.seen.add(layer.name)
        return found.axis

    def _times_factors(self, layer: BinaryLayer, operand: torch.Tensor, axis: int) -> torch.Tensor:
        factors = self.factors.get(layer.name)
        if factors is None:
            return operand
        laid = factors.reshape(operand.movedim(axis, 0).shape).movedim(0, axis)
        return operand * laid.to(device=operand.device, dtype=operand.dtype)


class _Push:
    """A hook that notes that a layer runs."""

    def __init__(self, running: list[BinaryLayer], layer: BinaryLayer) -> None:
        self._running, self._layer = running, layer

    def __call__(self, *_: Any) -> None:
        self._running.append(self._layer)


class _Pop(_Push):
    """A hook that notes that a layer has run."""

    def __call__(self, *_: Any) -> None:
        if self._running and self._running[-1] is self._layer:
            self._running.pop()
