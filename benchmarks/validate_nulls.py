"""Nulls of noise alone on simulated layers whose motion is known: their bias, and coverage of intervals beside them.

python -m benchmarks.validate_nulls [--short]
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from scipy.special import ndtr

from recu_analysis.analysis.deadness import TAIL_TAU, Movement, tail_mask
from recu_analysis.analysis.distance import COLUMNS, RATIOS, channel_sums, mean_of
from recu_analysis.analysis.null import Null
from recu_analysis.nn.functional import recu, standardize
from recu_analysis.store.header import LayerSpec
from recu_analysis.theory.autocorrelation import cosine, null_products
from recu_analysis.theory.inheritance import UpdateRule
from recu_analysis.theory.intervals import over_channels
from recu_analysis.theory.noise import Rates, momentum_term, simulate
from recu_analysis.theory.standardize import WeightTransform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from recu_analysis.store.record import MergedRecord
    from recu_analysis.theory.intervals import Interval

    Values = NDArray[np.float64]
    Draw = Callable[[tuple[int, ...]], Values]
    Statistic = Callable[[Values], Values]

#: Weights of a 3x3 channel with 16 inputs; repetitions by number of channels, in full and in short.
WEIGHTS = 144
FULL, SHORT = {64: 100, 512: 20}, {64: 20}
#: What decay takes in one update, and the number of updates: T = 1.2. That of the shipped settings needs more updates.
KAPPA, UPDATES = 0.01, 120
SHIPPED, SHIPPED_UPDATES = {"lr": 0.1, "weight_decay": 2e-3}, 600
#: Standard deviation of the logarithm of what differs between channels.
UNEQUAL = 1.0
#: Part of the noise that is the same in all channels, but for its sign; and samples in a minibatch.
COMMON, SAMPLES = 0.3, 4
#: Level of the clamp that narrows z most, and updates until its motion is that of the equilibrium.
TAU, SETTLING = 0.85, 1500
#: Statistics of sums over channels, which have an interval over channels.
WITH_INTERVAL: dict[str, Statistic] = {
    "silence, tail": lambda totals: 1.0 - mean_of("flipped", "tail")(totals),
    "silence, core": lambda totals: 1.0 - mean_of("flipped", "core")(totals),
    **{name: RATIOS[name] for name in RATIOS if name != "magnitude_ratio"},
}


@dataclass(frozen=True, slots=True)
class Process:
    """A motion of weights without a signal: what its recorder would see, and its weights at every update.

    A slow process is repeated fewer times, by this factor.
    """

    rates: Rates
    weights: Callable[[Draw, int], Iterator[Values]]
    tau: float = 1.0
    fewer: int = 1


def ornstein_uhlenbeck(draw: Draw, channels: int) -> Iterator[Values]:
    """Decay and noise in equilibrium, without momentum."""
    w = draw((channels, WEIGHTS))
    yield w
    for _ in range(UPDATES):
        w = (1.0 - KAPPA) * w + math.sqrt(1.0 - (1.0 - KAPPA) ** 2) * draw(w.shape)
        yield w


def unequal_noise(draw: Draw, channels: int) -> Iterator[Values]:
    """The same decay in all channels, which begin alike, but noise that differs: channels widen or narrow."""
    noise = np.exp(UNEQUAL * draw((channels, 1))) * math.sqrt(1.0 - (1.0 - KAPPA) ** 2)
    w = draw((channels, WEIGHTS))
    yield w
    for _ in range(UPDATES):
        w = (1.0 - KAPPA) * w + noise * draw(w.shape)
        yield w


def unequal_speed(draw: Draw, channels: int) -> Iterator[Values]:
    """Channels in equilibrium at speeds that differ, which the rates of an optimizer do not tell."""
    left = 1.0 - KAPPA * np.exp(UNEQUAL * draw((channels, 1)))
    w = draw((channels, WEIGHTS))
    yield w
    for _ in range(UPDATES):
        w = left * w + np.sqrt(1.0 - left**2) * draw(w.shape)
        yield w


def reflecting(draw: Draw, channels: int) -> Iterator[Values]:
    """Steps between two walls, which keep z uniform; decorrelates as fast as decay by `KAPPA` does."""
    step = math.sqrt(8.0 * KAPPA) / math.pi  # the slowest mode between walls at -1 and 1 decays by (pi step)^2 / 8
    w = 2.0 * ndtr(draw((channels, WEIGHTS))) - 1.0
    yield w
    for _ in range(UPDATES):
        w = 1.0 - np.abs(np.mod(w + step * draw(w.shape) + 1.0, 4.0) - 2.0)
        yield w


def momentum_sgd(draw: Draw, channels: int) -> Iterator[Values]:
    """SGD with the settings of the shipped runs, in equilibrium; the momentum has 100 updates to fill."""
    lr, decay, kept = SHIPPED["lr"], SHIPPED["weight_decay"], 0.9
    # r^2 = 2 lr wd / (1 + mu) is the variance of a step, which noise of variance 1 makes lr^2 / (1 - mu^2).
    noise = math.sqrt(2.0 * lr * decay / (1.0 + kept) * (1.0 - kept**2)) / lr
    w, m = draw((channels, WEIGHTS)), np.zeros((channels, WEIGHTS))
    for update in range(SHIPPED_UPDATES + 101):
        m = kept * m + noise * draw(w.shape) + decay * w
        w = w - lr * m
        if update >= 100:
            yield w


def recu_noise(draw: Draw, channels: int) -> Iterator[Values]:
    """SGD with the same settings on a layer with ReCU's clamp: noise reaches its weights as gradients of PyTorch."""
    weight, tau = torch.nn.Parameter(torch.from_numpy(draw((channels, WEIGHTS)))), torch.tensor(TAU)
    optimizer = torch.optim.SGD([weight], lr=SHIPPED["lr"], momentum=0.9, weight_decay=SHIPPED["weight_decay"])
    for update in range(SETTLING + SHIPPED_UPDATES + 1):
        if update >= SETTLING:
            yield weight.detach().numpy().copy()
        optimizer.zero_grad()
        clamped = recu(standardize(weight), tau)
        (0.01 * clamped * torch.from_numpy(draw((channels, WEIGHTS)))).sum().backward()
        optimizer.step()


def minibatch(draw: Draw, channels: int) -> Iterator[Values]:
    """Decay and noise of few samples: all channels see the same inputs, and each has its own errors of the output."""
    w = draw((channels, WEIGHTS))
    yield w
    for _ in range(UPDATES):
        noise = draw((channels, SAMPLES)) @ draw((SAMPLES, WEIGHTS)) / math.sqrt(SAMPLES)
        w = (1.0 - KAPPA) * w + math.sqrt(1.0 - (1.0 - KAPPA) ** 2) * noise
        yield w


def common_noise(draw: Draw, channels: int) -> Iterator[Values]:
    """Decay and noise, a part of which is the same in all channels, with a sign that each channel keeps."""
    side = np.sign(draw((channels, 1)))

    def noise() -> Values:
        return math.sqrt(COMMON) * side * draw((1, WEIGHTS)) + math.sqrt(1.0 - COMMON) * draw((channels, WEIGHTS))

    w = noise()
    yield w
    for _ in range(UPDATES):
        w = (1.0 - KAPPA) * w + math.sqrt(1.0 - (1.0 - KAPPA) ** 2) * noise()
        yield w


def _plain(updates: int) -> Rates:
    return Rates(UpdateRule(), KAPPA, 1.0, updates)


_SHIPPED_RATES = Rates(UpdateRule(0.9), **SHIPPED, updates=SHIPPED_UPDATES)
PROCESSES = {
    "Ornstein-Uhlenbeck": Process(_plain(UPDATES), ornstein_uhlenbeck),
    "reflecting": Process(_plain(UPDATES), reflecting),
    "momentum SGD, shipped settings": Process(_SHIPPED_RATES, momentum_sgd),
    "channels of unequal noise": Process(_plain(UPDATES), unequal_noise),
    "channels of unequal speed": Process(_plain(UPDATES), unequal_speed),
    "noise of a minibatch": Process(_plain(UPDATES), minibatch),
    "noise common to channels": Process(_plain(UPDATES), common_noise),
    "ReCU's clamp": Process(_SHIPPED_RATES, recu_noise, tau=TAU, fewer=5),
}


@dataclass(frozen=True, slots=True)
class Layer:
    """What is measured on one simulated layer: statistics and nulls by name, intervals of both, and of their ratio."""

    measured: dict[str, float]
    null: dict[str, float]
    intervals: dict[str, Interval]
    over_null: dict[str, Interval]


def layer(process: Process, channels: int, generator: np.random.Generator) -> Layer:
    """Move a layer, and compute statistics, nulls and intervals from what a recorder would keep."""
    states = process.weights(generator.standard_normal, channels)
    start = end = next(states)
    z = before = scores(start)
    flips, last, path = np.zeros(z.shape, np.int64), np.zeros(z.shape, np.int64), np.zeros(z.shape)
    for update, end in enumerate(states, start=1):
        now = scores(end)
        turned = (now < 0.0) != (before < 0.0)
        flips[turned] += 1
        last[turned] = update
        path += np.abs(now - before)
        before = now
    moved = movement(z, before, flips, path, process.rates.updates)
    spread = deviations(start), deviations(end)
    growth = spread[1] / spread[0]
    bounds = [WeightTransform().bound(z, process.tau)]
    seed = int(generator.integers(1 << 31))
    found = simulate(moved.z, growth, moved.channel, [process.rates], bounds=bounds, seed=seed)
    null = Null.of(found, moved, found.chosen, (moved.updates,))
    spec = simulated_spec((channels, WEIGHTS))
    rule, lr, decay = process.rates.rule, process.rates.lr, process.rates.weight_decay
    kept = np.linalg.matrix_power(rule.matrix(lr, decay), process.rates.updates)[0, 0]
    kept = kept + momentum_term([process.rates], growth)
    sums, sums_of_null = channel_sums(spec, moved), channel_sums(spec, null)
    half = process.rates.updates // 2
    return Layer(
        {
            "autocorrelation": moved.autocorrelation,
            "locked share, first half": float(np.mean(last <= half)),
            **ratios(sums),
        },
        {
            "autocorrelation": cosine(null_products(*spread, WEIGHTS - 1, kept).sum(axis=0)),
            "locked share, first half": float(np.mean(null.last_flip <= half)),
            **ratios(sums_of_null),
        },
        {name: over_channels(sums, statistic) for name, statistic in WITH_INTERVAL.items()},
        {name: over_both(sums, sums_of_null, statistic) for name, statistic in WITH_INTERVAL.items()},
    )


def ratios(sums: Values) -> dict[str, float]:
    """The statistics `WITH_INTERVAL` of a layer."""
    return {name: float(of(sums.sum(axis=0, keepdims=True))[0]) for name, of in WITH_INTERVAL.items()}


def over_both(sums: Values, of_null: Values, statistic: Statistic) -> Interval:
    """The interval over channels of a statistic divided by its null, as claims C1a and C1b have it."""
    count = len(COLUMNS)
    both = np.concatenate([sums, of_null], axis=1)
    return over_channels(both, lambda totals: statistic(totals[:, :count]) / statistic(totals[:, count:]))


def deviations(weights: Values) -> Values:
    """Standard deviation of each channel, shape (channels,)."""
    result: Values = weights.std(axis=1, ddof=1)
    return result


def scores(weights: Values) -> Values:
    """Standard scores."""
    result: Values = (weights - weights.mean(axis=1, keepdims=True)) / deviations(weights)[:, None]
    return result


def simulated_spec(shape: tuple[int, ...]) -> LayerSpec:
    """The simulated layer."""
    return LayerSpec("simulated", shape, "float64", "simulated", None)


def movement(z: Values, z_end: Values, flips: NDArray[np.int64], path: Values, updates: int) -> Movement:
    """The movement of a layer, as a run would give it."""
    return Movement(
        z=z.reshape(-1),
        z_end=z_end.reshape(-1),
        tail=tail_mask(z.reshape(-1), TAIL_TAU),
        silent=flips.reshape(-1) == 0,
        mobility=path.reshape(-1) / updates,
        updates=updates,
        record=cast("MergedRecord", SimpleNamespace(path=path, start=z, spec=simulated_spec(z.shape))),
        valid=np.ones(z.size, dtype=np.bool_),
        nonfinite=0,
    )


def main(arguments: Sequence[str]) -> None:
    """Print the table of every process and number of channels."""
    print("nulls on simulated layers without a signal: true value, mean null, bias (null - true) with standard error")
    print("95 % intervals over channels: width, and how often they hold the true value, the null beside them, and 1;")
    print("and how often the interval of measured / null holds 1")
    for name, process in PROCESSES.items():
        for channels, repetitions in (SHORT if "--short" in arguments else FULL).items():
            generator = np.random.default_rng(channels)
            layers = [layer(process, channels, generator) for _ in range(repetitions // process.fewer)]
            show(f"{name}, {channels} channels", layers)


def show(name: str, layers: Sequence[Layer]) -> None:
    """Print the table of one process and number of channels."""
    heads = ("true", "null", "bias", "width", "holds true", "its null", "1", "ratio holds 1")
    print(f"  {name}, {len(layers)} layers")
    print(f"    {'':26}{heads[0]:>8}{heads[1]:>8}{heads[2]:>18}" + "".join(f"{head:>16}" for head in heads[3:]))
    for statistic in layers[0].measured:
        ours, null = (np.array([each[statistic] for each in part]) for part in _both(layers))
        apart = null - ours
        truth = float(ours.mean())
        error = apart.std(ddof=1) / math.sqrt(apart.size)
        cells = ""
        if statistic in WITH_INTERVAL:
            ends = np.array([[each.intervals[statistic].low, each.intervals[statistic].high] for each in layers])
            cells = f"{np.mean(ends[:, 1] - ends[:, 0]):16.3f}"
            cells += "".join(f"{_share(ends, point):>16}" for point in (truth, null, 1.0))
            both = np.array([[each.over_null[statistic].low, each.over_null[statistic].high] for each in layers])
            cells += f"{_share(both, 1.0):>16}"
        bias = f"{apart.mean():+.4f} +- {error:.4f}"
        print(f"    {statistic:26}{truth:8.3f}{null.mean():8.3f}{bias:>18}{cells}", flush=True)


def _both(layers: Sequence[Layer]) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    return [each.measured for each in layers], [each.null for each in layers]


def _share(ends: Values, point: Any) -> str:
    hits = (ends[:, 0] <= point) & (point <= ends[:, 1])
    return f"{hits.mean():.3f} +- {hits.std() / math.sqrt(hits.size):.3f}"


if __name__ == "__main__":
    main(sys.argv[1:])
