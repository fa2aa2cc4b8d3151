"""A training without a signal: ResNet-20 on digits, labels drawn anew for every batch, beside what noise alone gives.

python -m benchmarks.control [--short]
"""

from __future__ import annotations

import math
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

import recu_analysis as ra
from benchmarks.movement import facts
from recu_analysis.training.config import TrainingConfig
from recu_analysis.training.data import batches, load_dataset
from recu_analysis.training.optim import build

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Epochs and seeds of the full control and of the short one. An epoch has 23 updates; T is at most 1 after 100.
FULL, SHORT = (16, (0, 1, 2)), (8, (0,))
#: Trainings at once, one thread each.
PROCESSES = 2
#: Measured and null: table, column, and title.
SHOWN = (
    ("dead", "autocorrelation", "autocorrelation"),
    ("dead", "silent_fraction_tail", "silence, tail"),
    ("dead", "silent_fraction_core", "silence, core"),
    ("flips", "flip_ratio", "flip ratio"),
    ("flips", "locked_fraction", "locked share, half way"),
    ("tails", "flip_risk_ratio", "flip risk, tail to core"),
    ("tails", "mobility_ratio", "mobility, tail to core"),
    ("tails", "distance_ratio_tail", "O/E, tail"),
    ("tails", "distance_ratio_core", "O/E, core"),
)


def main(arguments: Sequence[str]) -> None:
    """Train every seed, and print measured beside null; --short trains one."""
    epochs, seeds = SHORT if "--short" in arguments else FULL
    print(f"control: ResNet-20 on digits without a clamp, {epochs} epochs, labels drawn anew for every batch")
    print(f"means over layers in the final windows; seeds: {len(seeds)}; +- is the standard error over seeds")
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        show(list(pool.map(control, seeds, [epochs] * len(seeds))))


def control(seed: int, epochs: int) -> pd.DataFrame:
    """Train with a seed, and return measured values and nulls."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        train(Path(folder) / "run", TrainingConfig(epochs=epochs, seed=seed, recu=False))
        return measured(Path(folder) / "run")


def train(path: Path, config: TrainingConfig) -> None:
    """Train and record a network whose labels say nothing, with the recipe of the demo."""
    data = load_dataset(config.dataset)
    model, optimizer = build(config, data.classes, torch.device("cpu"))
    generator = torch.Generator().manual_seed(config.seed)
    with ra.record(model, optimizer, path) as recorder:
        for epoch in range(config.epochs):
            lr = config.learning_rate(epoch)
            for group in optimizer.param_groups:
                group["lr"] = lr
            model.train()
            for indices in batches(len(data.train_labels), config.batch_size, config.seed, epoch):
                images, _ = data.train_batch(indices, augment=False)
                labels = torch.randint(data.classes, (len(indices),), generator=generator)
                optimizer.zero_grad(set_to_none=True)
                functional.cross_entropy(model(data.normalized(images)), labels).backward()
                optimizer.step()
            recorder.mark(epoch=epoch, lr=lr)


def measured(path: Path) -> pd.DataFrame:
    """Measured value and null of each statistic, means over layers."""
    run = ra.open_run(path)
    flips, dead = ra.flip_table(run), ra.dead_weights(run)
    last = flips["window"] >= dead["first_window"].iloc[0]
    half = flips["window"] == flips["window"].max() // 2
    tables = {"dead": dead, "tails": ra.tails(run), "flips": flips[last], "half": flips[half]}
    rows = {}
    for table, column, title in SHOWN:
        values = tables["half" if column == "locked_fraction" else table]
        rows[title] = values[column].mean(), values[f"{column}_null"].mean()
    final = facts(path, by_window=False)
    for column, title in (("equilibrium", "mobility / equilibrium"), ("between", "mobility / norms"), ("all", "rho")):
        rows[title] = final[column].mean(), 0.0 if column == "all" else 1.0
    return pd.DataFrame(rows, index=["measured", "null"]).T


def show(found: Sequence[pd.DataFrame]) -> None:
    """Print the mean over seeds of measured values, nulls and their differences."""
    print(f"  {'':26}{'measured':>10}{'null':>9}{'difference':>20}")
    for title in found[0].index:
        ours, null = (np.array([each.loc[title, column] for each in found]) for column in ("measured", "null"))
        apart = ours - null
        error = f" +- {apart.std(ddof=1) / math.sqrt(apart.size):.3f}" if apart.size > 1 else ""
        cells = f"{ours.mean():10.4f}{null.mean():9.4f}{f'{apart.mean():+.3f}{error}':>20}"
        print(f"  {title:26}{cells}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
