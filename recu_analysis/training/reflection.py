"""Reflect trained weights and train on, to see whether they stay there or return to where they were."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pandas as pd
import torch

from recu_analysis.capture.decay import rule_of
from recu_analysis.errors import InputError
from recu_analysis.nn import set_progress, set_tau
from recu_analysis.theory.intervals import student
from recu_analysis.training import checkpoint
from recu_analysis.training.changes import change
from recu_analysis.training.data import batches, epoch_seed
from recu_analysis.training.distributed import Processes
from recu_analysis.training.step import Step, in_updates

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from recu_analysis.intervention.draws import Drawer
    from recu_analysis.nn.layers import BinaryConv2d
    from recu_analysis.training.trained_run import TrainedRun

#: The layer of the rows of all layers, whose `row` is "total", and the group of all weights.
ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of weights of one layer and group in one continuation.

    Attributes
    ----------
    reflected, returned : int
        Weights that were reflected, and those of them that have their earlier sign again at the end.
    untouched, left : int
        The other weights, and those of them that have another sign at the end.
    """

    reflected: int
    returned: int
    untouched: int
    left: int


def reflect_and_train(
    trained: TrainedRun,
    run_dir: Path,
    draws: Drawer,
    *,
    epochs: int,
    share: float,
    lr: float | None = None,
    repeats: int = 1,
    on_epoch: Callable[[int, int], object] = lambda done, total: None,
) -> pd.DataFrame:
    """Reflect a share of the weights of every group of a trained network, train on, and count those that return.

    The same share of every group is drawn, and the groups together hold all weights. So all reflected weights together
    are a random sample of the layer. Momentum is reflected with the weights: in a motion without a target, reflected
    weights return as often as untouched ones leave. If more return, gradients draw them to where they were.

    Parameters
    ----------
    trained : TrainedRun
        Its network and optimizer are changed.
    run_dir : Path
        The run directory, whose checkpoint is loaded again for every repeat.
    draws : Drawer
        The groups.
    epochs : int
        Epochs to train on, with the settings of the last epoch.
    share : float
        Share of each group to reflect, between 0 and 1.
    lr : float, optional
        Learning rate; by default that of the last epoch.
    repeats : int
        Continuations, each with other draws and another order of the images.
    on_epoch : callable
        Called after every epoch with the number of epochs so far, and of all.

    Returns
    -------
    DataFrame
        One row per layer (and one for all layers, if there are several) and group (and one for "all" weights): row
        (layer, or total for all layers), layer ("all" in total rows), group, reflected (mean count), repeats,
        returned_fraction and left_fraction, with _low and _high over the repeats, and decay_time (T) of the
        continuation.
    """
    if not 0.0 < share < 1.0:
        raise InputError(f"the share of weights to reflect must lie between 0 and 1, not {share:g}")
    rate = trained.config.learning_rate(trained.epochs - 1) if lr is None else lr
    found: list[dict[tuple[str, str], Counts]] = []
    decay_time = math.nan
    for repeat in range(repeats):
        checkpoint.load_state(run_dir, trained.model, trained.optimizer)
        before = _signs(trained.model, draws)
        chosen = _reflected(trained, draws, share, repeat)
        told = partial(_tell, on_epoch, repeat * epochs, repeats * epochs)
        decay_time = _train_on(trained, epochs, rate, repeat, told)
        found.append(_counted(draws, chosen, before, _signs(trained.model, draws)))
    return pd.DataFrame(_rows(found, decay_time))


def _tell(on_epoch: Callable[[int, int], object], before: int, total: int, done: int) -> None:
    on_epoch(before + done, total)


def _signs(model: torch.nn.Module, draws: Drawer) -> dict[str, NDArray[np.bool_]]:
    """Whether each binary weight is +1, by layer, flat."""
    layers = next(iter(draws.members.values()))
    with torch.no_grad():
        return {name: (_layer(model, name).binary_weight() > 0).flatten().numpy(force=True) for name in layers}


def _layer(model: torch.nn.Module, name: str) -> BinaryConv2d:
    return cast("BinaryConv2d", model.get_submodule(name))


def _reflected(
    trained: TrainedRun, draws: Drawer, share: float, repeat: int
) -> dict[tuple[str, str], NDArray[np.intp]]:
    """Reflect a share of each group; return the flat indices of the reflected weights by layer and group."""
    chosen = {
        (layer, group): draws.draw(layer, group, repeat, round(share * len(members)))
        for group, of in draws.members.items()
        for layer, members in of.items()
    }
    for layer in dict.fromkeys(layer for layer, _ in chosen):
        some = np.concatenate([indices for (name, _), indices in chosen.items() if name == layer])
        change(_layer(trained.model, layer), some, "negate", trained.optimizer, np.random.default_rng(0))
    return chosen


def _train_on(trained: TrainedRun, epochs: int, lr: float, repeat: int, on_epoch: Callable[[int], object]) -> float:
    """Train for some epochs with the settings of the last one, and return T of the binary weights."""
    config, model, optimizer = trained.config, trained.model, trained.optimizer
    last = trained.epochs - 1
    tau = config.tau_of(last)
    if tau is not None:
        set_tau(model, tau)
    set_progress(model, last / config.epochs)
    for group in optimizer.param_groups:
        group["lr"] = lr
    ours = Processes(0, 1, trained.device)
    step = Step(replace(config, compile=False), model, optimizer, ours, trained.update, trained.data.normalized)
    model.train()
    for epoch in range(epochs):
        seed = epoch_seed(config.seed, repeat)  # another order of the images in every repeat
        torch.manual_seed(epoch_seed(seed, trained.epochs + epoch))
        order = batches(len(trained.data.train_labels), config.batch_size, seed, trained.epochs + epoch)
        for part in in_updates([each for each in order if len(each) >= 2], config.accumulate):
            step(part, trained.data.train_batch(part.indices, augment=config.augment))
        on_epoch(epoch + 1)
    binary = optimizer.param_groups[0]
    rule = rule_of(optimizer, binary)
    updates = step.update - trained.update
    return math.nan if rule is None else updates * rule.decay_time(lr, binary["weight_decay"])


def _counted(
    draws: Drawer,
    chosen: Mapping[tuple[str, str], NDArray[np.intp]],
    before: Mapping[str, NDArray[np.bool_]],
    after: Mapping[str, NDArray[np.bool_]],
) -> dict[tuple[str, str], Counts]:
    counts = {}
    for (layer, group), some in chosen.items():
        rest = np.setdiff1d(draws.members[group][layer], some, assume_unique=True)
        same = before[layer] == after[layer]
        counts[layer, group] = Counts(some.size, int(same[some].sum()), rest.size, rest.size - int(same[rest].sum()))
    return counts


def _rows(found: Sequence[Mapping[tuple[str, str], Counts]], decay_time: float) -> list[dict[str, Any]]:
    """A row for each layer and group, and for all layers and all groups."""
    layers, groups = (list(dict.fromkeys(key[index] for key in found[0])) for index in (0, 1))
    places = [("layer", layer, [layer]) for layer in layers] + ([("total", ALL, layers)] if layers[1:] else [])
    rows = []
    for kind, layer, some_layers in places:
        for group, some_groups in [*((each, [each]) for each in groups), (ALL, groups)]:
            sums = [_summed(counts, some_layers, some_groups) for counts in found]
            row: dict[str, Any] = {"row": kind, "layer": layer, "group": group}
            row |= {"reflected": np.mean([each.reflected for each in sums]), "repeats": len(found)}
            row |= _over_repeats("returned_fraction", [_share(each.returned, each.reflected) for each in sums])
            row |= _over_repeats("left_fraction", [_share(each.left, each.untouched) for each in sums])
            rows.append(row | {"decay_time": decay_time})
    return rows


def _summed(counts: Mapping[tuple[str, str], Counts], layers: Sequence[str], groups: Sequence[str]) -> Counts:
    some = [counts[layer, group] for layer in layers for group in groups]
    names = ("reflected", "returned", "untouched", "left")
    return Counts(*(sum(getattr(each, name) for each in some) for name in names))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _over_repeats(name: str, values: Sequence[float]) -> dict[str, float]:
    mean = student(values, within=(0.0, 1.0))
    return {name: mean.estimate, f"{name}_low": mean.low, f"{name}_high": mean.high}
