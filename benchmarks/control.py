"""ResNet-20 on digits with and without a signal, beside the nulls and beside noise of the same sizes as its gradients.

python -m benchmarks.control [--short]
"""

from __future__ import annotations

import math
import sys
import tempfile
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch.nn import functional

import recu_analysis as ra
from benchmarks.movement import facts
from recu_analysis.errors import RecordingWarning
from recu_analysis.training.config import TrainingConfig
from recu_analysis.training.data import batches, load_dataset
from recu_analysis.training.optim import build

if TYPE_CHECKING:
    from collections.abc import Sequence

    #: For each epoch, update and layer: root mean square of the gradient in each channel, shape (C_out, 1, 1, 1).
    Sizes = list[list[list[torch.Tensor]]]

#: Epochs of the full control and of the short one. An epoch has 23 updates.
FULL, SHORT = 12, 6
SEED = 0
#: Trainings at once, one thread each.
PROCESSES = 2
#: The trainings. Fresh labels are some signal: the loss is least where the network says nothing, and gradients shrink.
KINDS = {
    "signs": "no signal: each value of a gradient has a random sign, only the binary weights are trained; steady rates",
    "labels": "hardly a signal: labels drawn anew for every batch; recipe of the demo",
    "digits": "a signal: recipe of the demo",
}
#: A constant learning rate, and three times the weight decay: the final windows begin long after the start.
STEADY: dict[str, Any] = {"schedule": "constant", "binary_weight_decay": 0.03}
#: Measured and null: table, column, and title.
SHOWN = (
    ("dead", "autocorrelation", "autocorrelation"),
    ("facts", "silence", "silence, tail"),
    ("facts", "silence_core", "silence, core"),
    ("flips", "flip_ratio", "flip ratio"),
    ("flips", "locked_fraction", "locked share, half way"),
    ("dead", "mobility_core", "mobility, core"),
    ("tails", "mobility_ratio", "mobility, tail to core"),
    ("tails", "flip_risk_ratio", "flip risk, tail to core"),
    ("tails", "distance_ratio_tail", "O/E, tail"),
    ("tails", "distance_ratio_core", "O/E, core"),
)


def main(arguments: Sequence[str]) -> None:
    """Train each kind, and print the results; --short trains for fewer epochs."""
    epochs = SHORT if "--short" in arguments else FULL
    print(f"control: ResNet-20 on digits without a clamp, {epochs} epochs; means over layers in the final windows")
    print("noise: the same weights moved by normal noise, in each update and channel of the size of the gradients")
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        for kind, found in zip(KINDS, pool.map(control, KINDS, [epochs] * len(KINDS)), strict=True):
            print(f"{kind}: {KINDS[kind]}\n{found.to_string(float_format='{:.4f}'.format, na_rep='-')}", flush=True)


def control(kind: str, epochs: int) -> pd.DataFrame:
    """Train a kind, then repeat it with noise; return measured values, those of the noise, and nulls."""
    torch.set_num_threads(1)
    config = TrainingConfig(epochs=epochs, seed=SEED, recu=False)
    if kind == "signs":
        config = replace(config, **STEADY)
    with tempfile.TemporaryDirectory() as folder:
        run, noise = Path(folder) / "run", Path(folder) / "noise"
        repeat(noise, config, train(run, config, kind))
        found = measured(run)
        found.insert(1, "noise", measured(noise)["measured"])
        return found


def train(path: Path, config: TrainingConfig, kind: str) -> Sizes:
    """Train and record a network of one of `KINDS` and return the sizes of its gradients."""
    data = load_dataset(config.dataset)
    model, optimizer = build(config, data.classes, torch.device("cpu"))
    latent, others = (group["params"] for group in optimizer.param_groups)
    for parameter in others:
        parameter.requires_grad_(kind != "signs")
    generator = torch.Generator().manual_seed(config.seed)
    sizes: Sizes = []
    with ra.record(model, optimizer, path) as recorder:
        for epoch in range(config.epochs):
            sizes.append([])
            lr = start(epoch, config, optimizer)
            model.train()
            for indices in batches(len(data.train_labels), config.batch_size, config.seed, epoch):
                images, labels = data.train_batch(indices, augment=False)
                if kind == "labels":
                    labels = torch.randint(data.classes, labels.shape, generator=generator)
                optimizer.zero_grad(set_to_none=True)
                functional.cross_entropy(model(data.normalized(images)), labels).backward()
                gradients = [weight.grad for weight in latent]
                sizes[-1].append([each.square().mean(dim=(1, 2, 3), keepdim=True).sqrt() for each in gradients])
                if kind == "signs":
                    for each in gradients:
                        each.mul_(2 * torch.randint(2, each.shape, generator=generator) - 1)
                optimizer.step()
            recorder.mark(epoch=epoch, lr=lr)
    return sizes


def repeat(path: Path, config: TrainingConfig, sizes: Sizes) -> None:
    """Record the binary weights of the same initial network, moved by noise of given sizes in place of gradients."""
    model, optimizer = build(config, load_dataset(config.dataset).classes, torch.device("cpu"))
    latent = optimizer.param_groups[0]["params"]
    generator = torch.Generator().manual_seed(config.seed)
    warnings.simplefilter("ignore", RecordingWarning)  # there is no forward pass to check
    with ra.record(model, optimizer, path) as recorder:
        for epoch, updates in enumerate(sizes):
            lr = start(epoch, config, optimizer)
            for of_layers in updates:
                for weight, size in zip(latent, of_layers, strict=True):
                    weight.grad = size * torch.randn(weight.shape, generator=generator)
                optimizer.step()
            recorder.mark(epoch=epoch, lr=lr)


def start(epoch: int, config: TrainingConfig, optimizer: torch.optim.Optimizer) -> float:
    """Set the learning rate of an epoch, and return it."""
    lr = config.learning_rate(epoch)
    for group in optimizer.param_groups:
        group["lr"] = lr
    return lr


def measured(path: Path) -> pd.DataFrame:
    """Measured value and null of each statistic, means over layers."""
    run = ra.open_run(path)
    flips, dead = ra.flip_table(run), ra.dead_weights(run)
    last = flips["window"] >= dead["first_window"].iloc[0]
    half = flips["window"] == flips["window"].max() // 2
    final = facts(path, by_window=False)
    tables = {"dead": dead, "tails": ra.tails(run), "flips": flips[last], "half": flips[half], "facts": final}
    rows = {"updates": (dead["updates"].iloc[0], math.nan)}
    for table, column, title in SHOWN:
        values = tables["half" if column == "locked_fraction" else table]
        # A mean over some layers could not stand beside that over all.
        rows[title] = values[column].mean(), values[f"{column}_null"].mean(skipna=False)
    for column, title in (("equilibrium", "mobility / equilibrium"), ("between", "mobility / norms"), ("all", "rho")):
        rows[title] = final[column].mean(), 0.0 if column == "all" else 1.0
    return pd.DataFrame(rows, index=["measured", "null"]).T


if __name__ == "__main__":
    main(sys.argv[1:])
