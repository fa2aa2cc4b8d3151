"""Revive latent weights in a training: change those of a cause, or as many random ones, before an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from recu_analysis.analysis.cause_groups import cause_groups_query
from recu_analysis.analysis.final_windows import final_windows
from recu_analysis.analysis.selection import WindowSpan, known_windows
from recu_analysis.analysis.weight_groups import weight_groups_query
from recu_analysis.store.run import open_run
from recu_analysis.theory.causes import CAUSE_GROUPS
from recu_analysis.training.changes import change

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    from recu_analysis.nn.layers import BinaryConv2d
    from recu_analysis.store.run import Run
    from recu_analysis.training.config import TrainingConfig
    from recu_analysis.training.revival import Revival


def revive(
    config: TrainingConfig,
    revival: Revival,
    run_dir: Path,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    epoch: int,
) -> int:
    """Change latent weights before an epoch, by what the run has recorded so far; return their number.

    The draws depend only on the seed of the training and on the epoch, so that a resumed training repeats them.
    """
    chosen = chosen_weights(open_run(run_dir), revival.cause)
    rng = np.random.default_rng([config.seed, epoch])
    for name, indices in chosen.items():
        layer = cast("BinaryConv2d", model.get_submodule(name))
        some = rng.choice(layer.weight.numel(), len(indices), replace=False) if revival.at_random else indices
        change(layer, some, config.revive_how, optimizer, rng)
    return sum(map(len, chosen.values()))


def chosen_weights(run: Run, cause: str) -> dict[str, NDArray[np.intp]]:
    """Layer -> flat indices of its weights with a cause, in the final windows of a run so far.

    Causes of silence are tested in the final windows, or in the second half if all windows are final.
    """
    span, windows = final_windows(run).span, known_windows(run)
    if cause not in CAUSE_GROUPS:
        masks = weight_groups_query(run, span, run.header.layers).run()
    else:
        if span.start <= windows[0].number:
            span = WindowSpan(windows[(len(windows) + 1) // 2].number, windows[-1].number + 1)
        masks = cause_groups_query(run, span, run.header.layers).run()
    return {name: np.flatnonzero(groups[cause]) for name, groups in masks.items()}
