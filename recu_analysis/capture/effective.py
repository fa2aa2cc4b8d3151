"""Recording where no WeightTransform says the effective weight: it is asked for after every update."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from recu_analysis.store.quantities import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Set

    from recu_analysis.capture.accumulate import Accumulator, Array


class EffectiveAccumulator:
    """The open window of a layer with an explicit effective weight, whose flips it is that count.

    Parameters
    ----------
    weight : Tensor, shape (C_out, ...)
        Latent weights before the first update.
    effective : callable
        Gives the effective weight now, a tensor of as many weights.
    kind : callable
        Makes the accumulators of both, as `recu_analysis.capture.accumulator_choice.accumulator` does.
    of_latent : set of str
        Quantities that are of the latent weight.
    quantities : collection of str
    """

    def __init__(
        self,
        weight: torch.Tensor,
        effective: Callable[[], torch.Tensor],
        kind: Callable[..., Accumulator],
        of_latent: Set[str],
        quantities: Collection[str] = QUANTITIES,
    ) -> None:
        self._ask = effective
        kept = frozenset(quantities)
        self._latent = kind(weight, center=False, quantities=kept & of_latent)
        self._begin = partial(kind, center=False, quantities=kept - of_latent)
        self._effective = self._begin(self._asked(weight))

    @property
    def seen(self) -> torch.Tensor:
        """The latent weights that were seen last, one row a channel."""
        return self._latent.seen

    def _asked(self, weight: torch.Tensor) -> torch.Tensor:
        """The effective weight now, where the latent one is and of its shape."""
        with torch.no_grad():
            return self._ask().to(weight.device).reshape(weight.shape)

    def advance(self, weight: torch.Tensor, update: int) -> None:
        """Account for the update that left `weight`."""
        self._latent.advance(weight, update)
        self._effective.advance(self._asked(weight), update)

    def flipped_at(self, update: int) -> torch.Tensor:
        """Which effective weights flipped at the last update, whose number is given, one row a channel."""
        return self._effective.flipped_at(update)

    def take(self) -> dict[str, Array]:
        """The window's arrays, with the effective weight at its end in the dtype of the latent one."""
        latent, taken = self._latent.take(), self._effective.take()
        effective = taken.pop("weight").astype(latent["weight"].dtype, copy=False)
        return latent | taken | {"effective": effective}

    def state(self) -> dict[str, torch.Tensor]:
        """Copies on the CPU of what the open window holds so far, beside the latent weights.

        The effective ones may have changed since the last update, with other parameters or buffers.
        """
        seen = self._effective.seen.to("cpu", copy=True)
        return self._latent.state() | self._effective.state() | {"effective_seen": seen}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take up the window that `state` described; KeyError, ValueError or RuntimeError if it does not fit."""
        self._latent.load(state)
        self._effective = self._begin(state["effective_seen"].to(self.seen.device))
        self._effective.load(state)

    def take_up(self, stored: Array) -> None:
        """Begin with the effective weights at a window's end, where the layer's are others by now."""
        seen = self._effective.seen
        effective = torch.from_numpy(stored.copy()).reshape(seen.shape).to(seen)
        if not torch.equal(seen.to(self.seen.dtype), effective.to(self.seen.dtype)):
            self._effective = self._begin(effective)
