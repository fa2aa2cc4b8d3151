"""Accumulator of a layer without a WeightTransform: its effective weight is computed after every update."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from recu_analysis.store.quantities import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Set

    from recu_analysis.capture.accumulate import Accumulator, Array


class EffectiveAccumulator:
    """The open window of a layer with an explicit effective weight; flips are those of the effective weight.

    Parameters
    ----------
    weight : Tensor, shape (C_out, ...)
        Latent weights before the first update.
    effective : callable
        Returns the current effective weight, a tensor with as many elements.
    kind : callable
        Creates the accumulators of both weights, such as `recu_analysis.capture.accumulator_choice.accumulator`.
    of_latent : set of str
        Quantities that are measured on the latent weight.
    quantities : collection of str
        Quantities that the recording keeps.
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
        self._latent_z = "zpath" in of_latent
        self._latent = kind(weight, center=False, quantities=kept & of_latent)
        self._begin = partial(kind, center=False, quantities=kept - of_latent)
        self._effective = self._begin(self._asked(weight))

    @property
    def seen(self) -> torch.Tensor:
        """The latent weights after the last seen update, one row per channel."""
        return self._latent.seen

    def _asked(self, weight: torch.Tensor) -> torch.Tensor:
        """The current effective weight, with the device and the shape of the latent weight."""
        with torch.no_grad():
            return self._ask().to(weight.device).reshape(weight.shape)

    def advance(self, weight: torch.Tensor, update: int) -> None:
        """Add the update that resulted in `weight`."""
        self._latent.advance(weight, update)
        self._effective.advance(self._asked(weight), update)

    def flipped_at(self, update: int) -> torch.Tensor:
        """Mask of the effective weights that flipped at the last update, which is `update`; one row per channel."""
        return self._effective.flipped_at(update)

    def look(self, chosen: torch.Tensor) -> torch.Tensor:
        """Latent value, z and state (-1 or 1) of the weights at n flat indices, float64 of shape (3, n).

        z is of the weights of which zpath is, and the state is of the effective weights.
        """
        latent, effective = self._latent.look(chosen), self._effective.look(chosen)
        return torch.stack([latent[0], (latent if self._latent_z else effective)[1], effective[2]])

    def take(self) -> dict[str, Array]:
        """Return the window's arrays, with the final effective weight in the latent dtype, and begin a new window."""
        latent, taken = self._latent.take(), self._effective.take()
        effective = taken.pop("weight").astype(latent["weight"].dtype, copy=False)
        return latent | taken | {"effective": effective}

    def state(self) -> dict[str, torch.Tensor]:
        """Copies on the CPU of the open window, without the latent weights.

        The effective weights are included, because other parameters or buffers may have changed them since.
        """
        seen = self._effective.seen.to("cpu", copy=True)
        return self._latent.state() | self._effective.state() | {"effective_seen": seen}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore the open window from `state`; raise KeyError, ValueError or RuntimeError if it does not fit."""
        self._latent.load(state)
        self._effective = self._begin(state["effective_seen"].to(self.seen.device))
        self._effective.load(state)

    def take_up(self, stored: Array) -> None:
        """Begin with the stored effective weights of a window's end, if the layer's have changed since."""
        seen = self._effective.seen
        effective = torch.from_numpy(stored.copy()).reshape(seen.shape).to(seen)
        if not torch.equal(seen.to(self.seen.dtype), effective.to(self.seen.dtype)):
            self._effective = self._begin(effective)
