"""Axes to draw into, small tables with known contents, and no figure left open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture
def axes() -> Axes:
    return Figure(figsize=(3.25, 2.2), layout="constrained").subplots()


@pytest.fixture
def histogram(normal_weights: pd.DataFrame) -> pd.DataFrame:
    return normal_weights.copy()


@pytest.fixture(scope="session")
def normal_weights() -> pd.DataFrame:
    """40 bins of 9216 normal weights; every second tail bin is dead."""
    edges = np.linspace(-4.0, 4.0, 41)
    counts = np.histogram(np.random.default_rng(0).standard_normal(9216), edges)[0]
    tail = np.abs(edges[:-1] + 0.1) > 1.04
    dead = tail & (np.arange(40) % 2 == 0)
    return pd.DataFrame(
        {
            "left": edges[:-1],
            "right": edges[1:],
            "core": np.where(tail, 0, counts),
            "tail_active": np.where(tail & ~dead, counts, 0),
            "dead": np.where(dead, counts, 0),
        }
    )


@pytest.fixture
def magnitude() -> pd.DataFrame:
    """20 bins of two runs."""
    z = np.linspace(0.05, 2.5, 20)
    runs = {"ReCU": (2e-3 - 5e-4 * z, 0.4 * np.exp(-z)), "baseline": (1e-3 + 0.0 * z, 0.3 * np.exp(-z))}
    return pd.concat(
        pd.DataFrame(
            {"run": run, "bin": range(20), "abs_z": z, "mobility": moved, "flip_probability": flips, "weights": 460}
        )
        for run, (moved, flips) in runs.items()
    )


@pytest.fixture
def silent() -> pd.DataFrame:
    """5 layers over 6 epochs, the first without movement."""
    rows = [
        {
            "layer": f"layer{layer}",
            "epoch": epoch,
            "silent_fraction_tail": np.nan if epoch == 0 else 0.7 + 0.01 * layer + 0.02 * epoch,
            "silent_fraction_core": np.nan if epoch == 0 else 0.4 + 0.01 * layer + 0.01 * epoch,
        }
        for epoch in range(6)
        for layer in range(5)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def accuracies() -> pd.DataFrame:
    """Two runs of 24 epochs that rise from 20 % to 99 and 97 %."""
    epoch = np.arange(1, 25)
    rise = 1.0 - np.exp(-(epoch - 1) / 1.5)
    return pd.concat(
        pd.DataFrame(
            {"run": run, "epoch": epoch, "train_top1": 20 + (top - 20) * rise, "val_top1": 20 + (top - 21) * rise}
        )
        for run, top in (("ReCU", 99.0), ("baseline", 97.0))
    )
