"""A network on the bench: its losses before and after chosen binary weights are negated, on the same images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recu_analysis.errors import InputError, listed
from recu_analysis.intervention.batch_norm import reestimated
from recu_analysis.intervention.evaluation import LISTED, gradients, outcome
from recu_analysis.intervention.negation import Negation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from recu_analysis.capture.adapters import BinaryLayer
    from recu_analysis.intervention.evaluation import Evaluate, Outcome

    #: Layer -> flat indices of the weights to negate.
    Chosen = Mapping[str, NDArray[np.intp]]

#: How batch normalization was treated.
FIXED, REESTIMATED = "fixed", "re-estimated"


class Bench:
    """A network that is evaluated again and again on the same images, with other weights negated each time.

    Parameters
    ----------
    model : torch.nn.Module
        Its state is restored by the caller; `recu_analysis.capture.example.unchanged` does it.
    evaluate : callable
    layers : mapping of str to BinaryLayer
    inputs : list or None
        Inputs on which the statistics of batch normalization are estimated again.
    on_evaluation : callable
        Called after every evaluation with their number.

    Attributes
    ----------
    before : dict of str to Outcome
        Outcomes of the unchanged network, by the treatment of batch normalization.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        evaluate: Evaluate,
        layers: Mapping[str, BinaryLayer],
        inputs: list[Any] | None,
        on_evaluation: Callable[[int], object],
    ) -> None:
        self._model, self._evaluate, self._layers, self._inputs = model, evaluate, layers, inputs
        self._on_evaluation, self._done = on_evaluation, 0
        self._negation = Negation(list(layers.values()))
        self.before = self.after({})
        self._check(self.before[FIXED], self._fixed())
        self._gradients = self._gradients_now()

    def after(self, chosen: Chosen) -> dict[str, Outcome]:
        """Outcomes with chosen weights negated, by the treatment of batch normalization."""
        self._negation.factors = {
            name: _negating(self._layers[name], some) for name, some in chosen.items() if some.size
        }
        found = {FIXED: self._fixed()}
        if self._inputs is not None:
            with self._negation, reestimated(self._model, self._inputs):
                found[REESTIMATED] = self._outcome()
        return found

    def predicted(self, chosen: Chosen) -> float:
        """The rise of the mean loss to first order: -2 sum of w dL/dw over the negated binary weights w."""
        total = 0.0
        for name, some in chosen.items():
            slope = self._gradients[name]
            if some.size:
                total += math.nan if slope is None else -2.0 * float(slope.reshape(-1)[some].sum())
        return total

    def _gradients_now(self) -> dict[str, NDArray[np.float64] | None]:
        """The gradient of the mean loss with respect to a factor of each binary weight, by layer."""
        leaves = {name: _ones(layer).requires_grad_() for name, layer in self._layers.items()}
        self._negation.factors = leaves
        with self._negation:
            found = gradients(self._evaluate, self._model, list(leaves.values()))
        return dict(zip(leaves, found, strict=True))

    def _fixed(self) -> Outcome:
        with self._negation:
            return self._outcome()

    def _outcome(self) -> Outcome:
        found = outcome(self._evaluate, self._model)
        self._done += 1
        self._on_evaluation(self._done)
        return found

    def _check(self, first: Outcome, second: Outcome) -> None:
        """Raise InputError unless all layers were seen, and two evaluations of the unchanged network agree."""
        unseen = [name for name in self._layers if name not in self._negation.seen]
        if unseen:
            raise InputError(
                f"the evaluation does not show the weights of {listed(unseen, LISTED)}: pass the images through the "
                "model that evaluate is given, uncompiled, or leave the layers out with layers=[...]"
            )
        same = first.losses.shape == second.losses.shape
        if same and np.array_equal(first.losses, second.losses):
            return
        how = "" if same else f": {first.losses.size} and {second.losses.size} images"
        if same:
            how = f" by up to {np.abs(first.losses - second.losses).max():.3g} in the loss of an image"
        raise InputError(
            f"two evaluations of the unchanged network differ{how}, so no rise can be told from chance; evaluate the "
            "same images without dropout, augmentation or non-deterministic operations"
        )


def _ones(layer: BinaryLayer) -> torch.Tensor:
    weight = layer.parameter
    return torch.ones(layer.shape, dtype=torch.promote_types(weight.dtype, torch.float32), device=weight.device)


def _negating(layer: BinaryLayer, some: NDArray[np.intp]) -> torch.Tensor:
    """Factors of a layer's weights: -1 for some of them, at their flat indices."""
    factors = _ones(layer)
    factors.view(-1)[torch.from_numpy(some).to(factors.device)] = -1.0
    return factors
