"""Does a silent weight matter? Negate binary weights of groups of equal size, and measure the rise of the loss."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from recu_analysis.analysis.deadness import TAIL_TAU
from recu_analysis.analysis.final_windows import choose
from recu_analysis.analysis.query import require_signs
from recu_analysis.capture.adapters import binary_layers, require_model
from recu_analysis.capture.adapters.modules import unwrapped
from recu_analysis.capture.example import unchanged
from recu_analysis.errors import InputError
from recu_analysis.intervention.batch_norm import batch_norms
from recu_analysis.intervention.bench import FIXED, Bench
from recu_analysis.intervention.draws import GROUPS, RANDOM, drawer
from recu_analysis.intervention.rise import rise
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.store.run import as_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import torch
    from numpy.typing import NDArray

    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.selection import Windows, WindowSpan
    from recu_analysis.capture.adapters import BinaryLayer
    from recu_analysis.intervention.bench import Chosen
    from recu_analysis.intervention.draws import Drawer, Groups
    from recu_analysis.intervention.evaluation import Evaluate, Outcome
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import OneRun, Run

#: Number of draws: with fewer, the interval is wide, see `recu_analysis.intervention.rise.rise`.
REPEATS: Final = 5
#: The layer of the rows of all layers at once, whose `row` is "total".
ALL: Final = "all"
#: What a rise is measured from: the network without negated weights.
UNCHANGED: Final = "unchanged"
#: Groups that are compared: the second is subtracted from the first. Every group is also compared with random weights.
COMPARED: Final = (
    ("tail-silent", "tail-flipped"),
    ("core-silent", "core-flipped"),
    ("tail-silent", "core-silent"),
    ("tail-flipped", "core-flipped"),
)


def intervene(
    model: torch.nn.Module,
    run: OneRun,
    evaluate: Evaluate,
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
    groups: Groups = GROUPS,
    repeats: int = REPEATS,
    seed: int = 0,
    reestimate: Iterable[Any] | None = None,
    on_evaluation: Callable[[int, int], object] = lambda done, total: None,
) -> pd.DataFrame:
    """Negate binary weights of groups of equal size in a trained network, and measure the rise of the loss.

    In each layer, as many weights of each group are drawn: as many as the smallest group that is not empty has. The
    network is evaluated with these weights negated in one layer, then in all layers at once. The negation acts on the
    binary weights in the product of the layer, not on the parameters. So centering changes no other sign, and scales
    that a layer computes from its weights stay as they are. At the end the model is bitwise as before, also after an
    error or Ctrl-C: parameters, buffers, gradients, modes, hooks, and the random numbers.

    Parameters
    ----------
    model : torch.nn.Module
        The network in the state at the end of the run, or at the end of the windows.
    run : one Run or path
        The recording of its training.
    evaluate : callable
        Takes the model, without wrappers such as DDP and in evaluation mode, and returns the loss of every image, as a
        tensor or an array of shape (images,). Or it returns a mapping with these as "loss" and, as "correct", whether
        the answer for each image is right. It may also yield such parts, for example one per batch: the gradient then
        needs the memory of one part. It must return the same losses for the same model. The gradient is known only if
        `evaluate` leaves gradients on.
    windows : int, slice, str or WindowSpan, optional
        The windows that define the groups; by default the final windows.
    layers : str or sequence of str, optional
        Patterns of layer names.
    tail_tau : float or "window"
        Level of the tail at the start of the windows.
    groups : sequence of str, or mapping of str to mapping of str to array of bool
        Names: tail-silent, core-silent, tail-flipped, core-flipped, random, or causes of silence such as held and
        out-of-reach: weights of the tail that were silent in the windows before, by their cause in the windows, see
        `recu_analysis.causes`. Or groups of your own: group -> layer -> mask of its weights. Random weights are drawn
        beside these.
    repeats : int
        Number of draws.
    seed : int
        Seed of the draws.
    reestimate : iterable, optional
        Inputs of the model, such as batches of training images. The network is evaluated also with the statistics of
        batch normalization estimated again on these, before and after the intervention.
    on_evaluation : callable
        Called after every evaluation with the number of evaluations so far, and of all.

    Returns
    -------
    DataFrame
        One row per layer (and one for all layers at once, if there are several), group and `batch_norm` ("fixed", and
        "re-estimated" if asked for), and such rows for the differences between groups:

        - row (layer, or total for all layers at once), layer ("all" in total rows), group
        - reference: what the loss rises from: "unchanged", the network without negated weights, or the network with as
          many weights of another group negated. These are random for every group, the flipped for the silent ones, and
          the core for the tail
        - batch_norm, negated (a count of weights), negated_fraction (of the layer's weights)
        - images, repeats
        - loss: of the network without negated weights, mean over the images
        - rise, rise_low, rise_high: mean rise of the loss from the reference, with its 95 % interval over images and
          draws, see `recu_analysis.intervention.rise.rise`
        - image_error, draw_error: standard errors over images, each paired with itself, and over draws
        - predicted_rise: to first order, by the gradient that training uses, which passes signs of activations by
          their estimator; NaN for re-estimated statistics, and where autograd gives no gradient
        - accuracy_change, accuracy_change_low, accuracy_change_high: mean change of the share of right answers, with
          such an interval; NaN if `evaluate` does not tell them

        A group that is empty in a layer negates nothing there, and its rise is 0; it is compared with no other. Such a
        layer is left out of the rows for all layers, so that all groups negate as many weights of each layer.

    Raises
    ------
    InputError
        If an argument is not valid, the model is not the one of the run, a layer does not use the recorded states,
        `evaluate` puts the model into training mode, or two evaluations of the unchanged network differ.
    LayerNotFoundError, WindowNotFoundError
        If a pattern matches no layer, or the run has none of the windows, or none before them for causes.
    SignsOnlyError
        If a layer has more than two levels: an intervention negates signs.
    NotRecordedError
        If causes are asked for, and the run was recorded without gradient-stats.
    """
    require_model(model)
    if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
        raise InputError(f"the number of repeats must be a whole number from 1 on, not {repeats!r}")
    run = as_run(run)
    span, specs = choose(run, windows), select_layers(run, layers)
    plain = unwrapped(model)
    require_signs(specs)
    recorded = layers_of_run(plain, run, specs, span)
    draws = drawer(run, span, specs, groups, tail_tau, seed)
    inputs = None if reestimate is None else list(reestimate)
    if inputs is not None:
        batch_norms(plain)  # raises an error if there is none
    targets = [[spec] for spec in specs] + ([list(specs)] if specs[1:] else [])
    norms = 1 if inputs is None else 2
    total = norms * (1 + len(targets) * len(draws.members) * repeats) + 1
    with unchanged(plain):
        bench = Bench(plain, evaluate, recorded, inputs, lambda done: on_evaluation(done, total))
        rows = [row for target in targets for row in _rows(bench, draws, target, repeats)]
    return pd.DataFrame(rows)


def layers_of_run(
    model: torch.nn.Module, run: Run, specs: Sequence[LayerSpec], span: WindowSpan
) -> dict[str, BinaryLayer]:
    """The layers of a model by their names in a run.

    Raises
    ------
    InputError
        If the model lacks a layer, or its weights are not those at the end of the run or of the windows.
    """
    names = [spec.name for spec in specs]
    found = {layer.name: layer for layer in binary_layers(model, names)}
    ends = [run.windows[-1], *(window for window in run.windows if window.number == span.last)]
    for spec in specs:
        if spec.channels is not None:
            raise InputError(
                f"{run.path} records a sample of the output channels of layer {spec.name!r} ({spec.channels}), but an "
                "intervention needs all of its weights; give a run that was recorded without channels="
            )
        layer = found.get(spec.name)
        if layer is None or layer.shape != spec.shape:
            shape = "no such layer" if layer is None else f"shape {'x'.join(map(str, layer.shape))}"
            raise InputError(
                f"layer {spec.name!r} of {run.path} has shape {'x'.join(map(str, spec.shape))}, but the model has "
                f"{shape}; give the network of this run"
            )
        held = layer.weight.detach().float() if spec.dtype == "float32" else layer.weight.detach()
        values = held.numpy(force=True)
        unlike = min(int(np.count_nonzero(values != window[spec.name].weight)) for window in ends)
        if unlike:
            raise InputError(
                f"{unlike} of {spec.weights} weights of layer {spec.name!r} differ from those at the end of "
                f"{run.path}; load the weights of the end of the run"
            )
    return found


def _rows(bench: Bench, draws: Drawer, target: Sequence[LayerSpec], repeats: int) -> list[dict[str, Any]]:
    """The rows of one layer, or of all layers at once.

    Layers where a group is empty are left out of all layers: the groups would differ in more than their weights.
    """
    sizes = {spec.name: draws.size(spec.name) for spec in target if not target[1:] or draws.is_shared(spec.name)}
    place = {"row": "total", "layer": ALL} if target[1:] else {"row": "layer", "layer": target[0].name}
    weights = sum(spec.weights for spec in target)
    found = {
        group: _effects(
            bench, [{name: draws.draw(name, group, at, size) for name, size in sizes.items()} for at in range(repeats)]
        )
        for group in draws.members
    }
    shown = [(group, UNCHANGED, effects) for group, effects in found.items()]
    for group, reference in compared([group for group, (first, *_) in found.items() if first.negated]):
        both = zip(found[group], found[reference], strict=True)
        shown.append((group, reference, [first - second for first, second in both]))
    return [
        {**place, "group": group, "reference": reference} | effect.row(weights, repeats)
        for group, reference, effects in shown
        for effect in effects
    ]


def compared(groups: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of groups whose difference is shown, of those in which weights were negated."""
    with_random = ((group, RANDOM) for group in groups if group != RANDOM)
    return [pair for pair in (*COMPARED, *with_random) if set(pair) <= set(groups)]


@dataclass(frozen=True, slots=True, eq=False)
class _Effect:
    """What the negated weights of a group do, with one treatment of batch normalization.

    Attributes
    ----------
    batch_norm : str
    negated : int
        Number of negated weights.
    loss : float
        Of the unchanged network, mean over the images.
    losses : ndarray of float64, shape (draws, images)
        Rise of the loss of each image; of a difference between two groups, draws are matched by their number.
    right : ndarray of float64, shape (draws, images)
        Change of whether the answer is right; NaN where it is not known.
    predicted : float
        Predicted rise, mean over the draws.
    """

    batch_norm: str
    negated: int
    loss: float
    losses: NDArray[np.float64]
    right: NDArray[np.float64]
    predicted: float

    def __sub__(self, other: _Effect) -> _Effect:
        return replace(
            self,
            losses=self.losses - other.losses,
            right=self.right - other.right,
            predicted=self.predicted - other.predicted,
        )

    def row(self, weights: int, repeats: int) -> dict[str, Any]:
        """The numbers of a row of the table, of layers with so many weights."""
        accuracy = rise(self.right)
        return {
            "batch_norm": self.batch_norm,
            "negated": self.negated,
            "negated_fraction": self.negated / weights,
            "images": self.losses.shape[1],
            "repeats": repeats,
            "loss": self.loss,
            **rise(self.losses),
            "predicted_rise": self.predicted,
            "accuracy_change": accuracy["rise"],
            "accuracy_change_low": accuracy["rise_low"],
            "accuracy_change_high": accuracy["rise_high"],
        }


def _effects(bench: Bench, drawn: Sequence[Chosen]) -> list[_Effect]:
    """The effect of the draws of one group, for each treatment of batch normalization."""
    outcomes = [bench.after(chosen) for chosen in drawn]
    effects = []
    for norm, before in bench.before.items():
        after = [found[norm] for found in outcomes]
        effects.append(
            _Effect(
                norm,
                sum(some.size for some in drawn[0].values()),
                float(before.losses.mean()),
                np.stack([each.losses for each in after]) - before.losses,
                np.stack([_right(each) for each in after]) - _right(before),
                float(np.mean([bench.predicted(each) if norm == FIXED else math.nan for each in drawn])),
            )
        )
    return effects


def _right(outcome: Outcome) -> NDArray[np.float64]:
    """1 for each image whose answer is right, else 0; NaN where it is not known."""
    if outcome.correct is None:
        return np.full(outcome.losses.shape, math.nan)
    return outcome.correct.astype(np.float64)
