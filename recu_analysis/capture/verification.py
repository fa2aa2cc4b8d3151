"""Verification that layers use the recorded states, by watching their own forward pass."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from recu_analysis.capture.example import show
from recu_analysis.capture.products import Comparison, Products, States, compare
from recu_analysis.errors import RecorderError, RecordingWarning, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from recu_analysis.capture.adapters import BinaryLayer
    from recu_analysis.store.header import LayerSpec

#: Layers that a sentence lists before it counts the rest.
LISTED = 5


class Hook:
    """A hook function that has no effect in copied or saved modules."""

    def __init__(self, function: Callable[..., None] | None = None) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> None:
        """Call the function."""
        if self._function is not None and not torch.compiler.is_compiling():
            self._function(*arguments)

    def __reduce__(self) -> tuple[type[Hook], tuple[()]]:
        return Hook, ()


class Watch:
    """A watch on the forward pass of one layer.

    Parameters
    ----------
    layer : BinaryLayer
    always : bool
        Whether passes outside training are watched too.
    latent : callable, optional
        Returns the latent weights last seen, for layers whose parameter holds other values during the pass.

    Attributes
    ----------
    used : bool
        Whether the layer was called.
    best : Comparison or None
        The best comparison in the first call that showed the weight.
    """

    def __init__(
        self, layer: BinaryLayer, *, always: bool = False, latent: Callable[[], torch.Tensor] | None = None
    ) -> None:
        self.layer = layer
        self.used = False
        self.best: Comparison | None = None
        self._always, self._latent = always, latent
        self._entered: list[Products] = []
        self._states: States | None = None
        # `always_call`, because a failed pass must leave the mode too.
        self._handles = [
            layer.user.register_forward_pre_hook(Hook(self._enter)),
            layer.user.register_forward_hook(Hook(self._leave), always_call=True),
        ]

    def remove(self) -> None:
        """Stop watching, and leave modes that were still entered when Ctrl-C ended a pass."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        current: Any = torch.overrides._get_current_function_mode
        while self._entered and current() is self._entered[-1]:
            self._entered.pop().__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def _enter(self, module: torch.nn.Module, _: Any) -> None:
        if _is_traced() or not (self._always or module.training or torch.is_grad_enabled()):
            return
        self.used = True
        mode = Products(self.layer.parameter.numel(), self._compare)
        self._entered.append(mode)
        mode.__enter__()  # type: ignore[no-untyped-call]

    def _leave(self, *_: Any) -> None:
        if not self._entered:
            return
        self._entered.pop().__exit__(None, None, None)  # type: ignore[no-untyped-call]
        self._states = None
        if self.best is not None and not self._entered and not self._always:
            self.remove()

    def _compare(self, used: torch.Tensor) -> None:
        """Keep the best comparison; a layer may have products without its weight."""
        with torch.no_grad(), torch._C.DisableTorchFunction():
            found = self._compared(used)
        if found is not None and (self.best is None or found.share < self.best.share):
            self.best = found

    def _compared(self, used: torch.Tensor) -> Comparison | None:
        if not self.layer.weight.isfinite().all():
            return None  # one NaN can affect every state of a layer
        if self._states is None:
            self._states = States.of(self.layer)
        found = self._best(used, self._states)
        if (found is None or found.share) and self._latent is not None and self.layer.in_place:
            # The parameter may hold the signs of this pass; the states are those of the saved latent weights.
            with self.layer.holding(self._latent()):
                states = States.of(self.layer)
            return self._best(used, states)
        return found

    def _best(self, used: torch.Tensor, states: States) -> Comparison | None:
        """The best comparison of what may be the layer's weight in an operand."""
        found = (compare(each, states, one_size=self.layer.one_size) for each in self.layer.parts_of_used(used))
        return min((each for each in found if each is not None), key=lambda each: each.share, default=None)


def _is_traced() -> bool:
    """Whether the pass is only traced by torch.compile, torch.jit or torch.fx."""
    dispatching = torch.utils._python_dispatch._get_current_dispatch_mode() is not None
    return torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None or dispatching


@dataclass(slots=True)
class Verification:
    """The layers whose forward pass is still watched, and the results of the others.

    Attributes
    ----------
    watches : list of Watch
    shares : dict of str to (float or None)
        Layer -> fraction of the weights whose state in the forward pass differs from the recorded one; None if the
        weight could not be seen.
    """

    watches: list[Watch] = field(default_factory=list)
    shares: dict[str, float | None] = field(default_factory=dict)

    @classmethod
    def of_example(cls, model: torch.nn.Module, layers: Sequence[BinaryLayer], example: Any) -> Verification:
        """The results of one forward pass of an example; layers whose weights other code binarizes are not judged."""
        ours = cls([Watch(layer, always=True) for layer in layers])
        try:
            show(model, example)
        finally:
            for watch in ours.watches:
                watch.remove()
        for watch in ours.watches:
            if watch.best is not None and watch.best.share and watch.best.latent and watch.layer.in_place:
                watch.best = None  # the training loop binarizes these weights, but not in the pass of an example
        return ours

    def watch(self, layers: Sequence[BinaryLayer], latent: Mapping[str, Callable[[], torch.Tensor]]) -> None:
        """Watch the layers without a result; `latent` returns the weights last seen of the layers recorded here."""
        new = [layer for layer in layers if layer.name not in self.shares]
        self.watches = [Watch(layer, latent=latent.get(layer.name)) for layer in new]

    def comparisons(self) -> dict[str, Comparison]:
        """The comparisons of the watched layers that have one, by layer name."""
        return {watch.layer.name: watch.best for watch in self.watches if watch.best is not None}

    def settle(self) -> bool:
        """Process new comparisons; return whether there were any.

        Raises
        ------
        RecorderError
            If a layer does not use the recorded states.
        """
        done = [(watch, watch.best) for watch in self.watches if watch.best is not None]
        different = [(watch, best) for watch, best in done if best.share and not watch.layer.approximate]
        if different:
            self.stop()
            raise RecorderError(difference(different))
        self.shares |= {watch.layer.name: best.share for watch, best in done}
        self.watches = [watch for watch in self.watches if watch.best is None]
        return bool(done)

    def give_up(self, *, say: bool, ended: bool = False) -> bool:
        """Stop watching layers that were used without a result, and warn once; return whether there were any.

        If the recording has `ended`, layers that were never used are included. `say` allows the warning.
        """
        silent = [watch for watch in self.watches if watch.best is None and (watch.used or ended)]
        names = [watch.layer.name for watch in silent]
        for watch in silent:
            watch.remove()
        self.watches = [watch for watch in self.watches if watch not in silent]
        self.shares |= dict.fromkeys(names)
        if names and say:
            warnings.warn(
                f"the weights of the forward pass could not be seen in layers "
                f"{listed([name or '(itself)' for name in names], LISTED)}, so their recorded states are unverified; "
                "record(..., example=batch) checks them without torch.compile",
                RecordingWarning,
                stacklevel=4,
            )
        return bool(names)

    def stop(self) -> None:
        """Stop watching."""
        for watch in self.watches:
            watch.remove()

    def verified_spec(self, spec: LayerSpec) -> LayerSpec:
        """A layer's entry in run.json with its verification result."""
        if spec.name not in self.shares:
            return spec
        share = self.shares[spec.name]
        return replace(spec, verified=share is not None, differs=share or 0.0)


def difference(different: Sequence[tuple[Watch, Comparison]]) -> str:
    """The error text about layers whose forward pass does not use the states that would be recorded."""
    first, found = different[0][0].layer, different[0][1]
    more = f" ({len(different) - 1} more layers differ)" if different[1:] else ""
    if first.parameter.element_size() == 2 and not first.quantizer.binary:
        more += "; its weights have 16 bits, and states are recorded as 32 bits give them, so quantize weight.float()"
    return (
        f"layer {first.name!r} does not use the states that would be recorded (adapter {first.adapter!r}, "
        f"{first.why}): {found.share:.2%} of them differ in the forward pass, where the weight {found.looks}{more}; "
        "exclude the layer with layers=[...], or define its effective weight with @ra.adapter"
    )
