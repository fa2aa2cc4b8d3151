"""Restored fraction and causes of silence on simulated weights whose causes are known: coverage, confusion table, V.

python -m benchmarks.causes [--short]
"""

from __future__ import annotations

import math
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.special import ndtr

import recu_analysis as ra
from recu_analysis.analysis.rates import kept_part, momentum_part, rates
from recu_analysis.errors import RecordingWarning
from recu_analysis.nn import BinaryLinear
from recu_analysis.theory.causes import CAUSES, THRESHOLDS, Evidence, causes, shares
from recu_analysis.theory.inheritance import UpdateRule
from recu_analysis.theory.noise import arrived
from recu_analysis.theory.restored import restored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recu_analysis.store.window import Window as RecordedWindow
    from recu_analysis.theory.causes import Thresholds

    Values = NDArray[np.float64]

MOMENTUM, DECAY = 0.9, 1e-2
#: Updates of a window, and the learning rate that gives it a decay time T of 3.
UPDATES, LR = 600, 0.05
#: Distance beyond which a weight is in the tail, in standard deviations: 30 % of normal weights.
TAIL = 1.0364
#: Planted kinds of weights: the drift of their gradient, as a displacement of their equilibrium in standard deviations
#: of noise; the size of the noise of their gradient; and the cause that should be found.
KINDS = {
    "noise": (0.0, 1.0, "undetermined"),
    "drift of 1": (1.0, 1.0, "held"),
    "drift of 2": (2.0, 1.0, "held"),
    "masked": (0.0, 0.01, "masked"),
    "rounded": (0.0, 1.0, "lost to rounding"),
    "far away": (5.0, 0.01, "out of reach"),
    "slow": (0.0, 1e-5, "slow channel"),
}
#: How V is checked: optimizer, its settings, updates of a window, and its T.
CHECKED: tuple[tuple[type[torch.optim.Optimizer], dict[str, Any], int, float], ...] = (
    (torch.optim.SGD, {"momentum": 0.0}, 600, 3.0),
    (torch.optim.SGD, {"momentum": 0.9}, 600, 3.0),
    (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}, 600, 3.0),
    (torch.optim.SGD, {"momentum": 0.9}, 60, 3.0),
    (torch.optim.SGD, {"momentum": 0.9}, 60, 0.3),
    (torch.optim.SGD, {"momentum": 0.9}, 20, 3.0),
    (torch.optim.SGD, {"momentum": 0.9}, 20, 0.3),
    (torch.optim.AdamW, {}, 600, 3.0),
    (torch.optim.AdamW, {}, 60, 3.0),
    (torch.optim.AdamW, {}, 60, 0.3),
    (torch.optim.AdamW, {}, 20, 0.3),
)
#: Kinds that start wide, because their gradients are too small to keep them so.
WIDE = ("masked", "rounded", "slow")


@dataclass(frozen=True, slots=True)
class Window:
    """What a plain loop of updates made of some weights; arrays of shape (rows, weights).

    Attributes
    ----------
    start : ndarray of float64
        Weights before the first update.
    earned : ndarray of float64
        w_end - a w_start - b m_start.
    kept : float
        a.
    variance : ndarray of float64
        V, by the recurrence that a recorder uses.
    noise : ndarray of float64, shape (rows,)
        Variance of the sum of w_start E over the tail of each row, by the recurrence that a recorder uses.
    path, zpath, flips, small, unchanged : ndarray
        Path of the weights and of z, flips, and in how many updates the gradient was small, or the value unchanged.
    """

    start: Values
    earned: Values
    kept: float
    variance: Values
    noise: Values
    path: Values
    zpath: Values
    flips: Values
    small: Values
    unchanged: Values


def noise(generator: np.random.Generator, rows: int, weights: int) -> Values:
    """Gradients without a signal and of variance 1, half of which is common to the weights of a row.

    The size differs between updates by a factor that is common to all, as for minibatches that are harder than others.
    """
    common = generator.normal(size=(rows, 4)) @ np.random.default_rng(7).normal(size=(4, weights)) / 2.0
    size = np.exp(0.3 * generator.normal() - 0.09)
    found: Values = size * (common + generator.normal(size=(rows, weights))) / math.sqrt(2.0)
    return found


def settled(generator: np.random.Generator, drift: Values, size: Values, lr: float) -> tuple[Values, Values]:
    """Weights and momentum after a training of T = 4 with gradients of that drift and size."""
    w, m = np.zeros(drift.shape), np.zeros(drift.shape)
    for _ in range(round(4.0 * (1.0 - MOMENTUM) / (lr * DECAY))):
        m = MOMENTUM * m + drift + size * noise(generator, *w.shape) + DECAY * w
        w = w - lr * m
    return w, m


def moved(
    generator: np.random.Generator, state: tuple[Values, Values], drift: Values, size: Values, lr: Values, stuck: Values
) -> tuple[Window, tuple[Values, Values]]:
    """A window of SGD with these learning rates, and the state after it; weights that are stuck keep their value."""
    (w, m), (a, b), rule = state, alone(lr), UpdateRule(MOMENTUM)
    start, z = w, w / w.std(axis=1, keepdims=True)
    variance, path, zpath, flips, small, unchanged = (np.zeros(w.shape) for _ in range(6))
    group = np.where(np.abs(start) > TAIL * start.std(axis=1, keepdims=True), start, 0.0)
    along = np.zeros((len(w), 2, 2))
    for rate in lr:
        g = drift + size * noise(generator, *w.shape)
        matrix, gain = rule.matrix(float(rate), DECAY), rule.gain(float(rate))
        along = matrix @ along @ matrix.T + (g * group).sum(axis=1)[:, None, None] ** 2 * np.outer(gain, gain)
        small += np.abs(g) < 0.2 * np.median(np.abs(g))
        m = MOMENTUM * m + g + DECAY * w
        new = np.where(stuck, w, w - rate * m)
        variance = variance * (1.0 - rate * DECAY / (1.0 - MOMENTUM)) ** 2 + (rate * g / (1.0 - MOMENTUM)) ** 2
        flips += (new < 0.0) != (w < 0.0)
        path += np.abs(new - w)
        unchanged += new == w
        before, w, z = z, new, new / new.std(axis=1, keepdims=True)
        zpath += np.abs(z - before)
    earned = w - a * start - b * state[1]
    return Window(start, earned, a, variance, along[:, 0, 0], path, zpath, flips, small, unchanged), (w, m)


def alone(lr: Values) -> tuple[float, float]:
    """Return a and b: what becomes of a weight of 1, and of a momentum of 1, without gradients."""
    ends = []
    for x, m in ((1.0, 0.0), (0.0, 1.0)):
        for rate in lr:
            m = MOMENTUM * m + DECAY * x
            x -= rate * m
        ends.append(x)
    return ends[0], ends[1]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often the intervals of rho hold 0 under noise, the mean of rho, and its spread and its standard error."""

    held: float
    mean: float
    spread: float
    error: float


def coverage(windows: int, *, falling: bool = False, weights: int = 64, seed: int = 0) -> Coverage:
    """Rho of the tails of many windows in which there is only noise; the learning rate is constant, or falls to 0.1."""
    generator = np.random.default_rng(seed)
    ones, updates, lr = np.ones((windows, weights)), 300, 0.1
    rates = np.linspace(lr, lr / 10.0, updates) if falling else np.full(updates, lr)
    state = settled(generator, 0.0 * ones, ones, lr)
    window, _ = moved(generator, state, 0.0 * ones, ones, rates, np.False_)
    tails = np.abs(window.start) > TAIL * window.start.std(axis=1, keepdims=True)
    found = [
        restored(window.start[at][tail], window.earned[at][tail], window.kept, float(window.noise[at]))
        for at, tail in enumerate(tails)
    ]
    held = [each.interval().low <= 0.0 <= each.interval().high for each in found]
    rho = np.array([each.rho for each in found])
    return Coverage(
        float(np.mean(held)), float(rho.mean()), float(rho.std()), float(np.mean([each.error for each in found]))
    )


def population(channels: int, weights: int = 144, seed: int = 0) -> tuple[Evidence, dict[str, NDArray[np.bool_]]]:
    """A layer with weights of every kind: its evidence, and which weights of each kind are silent and in the tail.

    The last eighth of the channels is slow. In the others, 7 of 12 weights have only noise, and each other kind has
    one of 12. Silent weights are chosen in one window, the evidence is that of the next.
    """
    generator = np.random.default_rng(seed)
    kind = np.broadcast_to(np.maximum(np.arange(weights) % 12 - 6, 0), (channels, weights)).copy()
    kind[-(channels // 8) :] = len(KINDS) - 1
    numbers = np.array([[drift, size] for drift, size, _ in KINDS.values()])
    side = generator.choice([-1.0, 1.0], size=kind.shape)
    wide = math.sqrt(LR / (2.0 * DECAY * (1.0 - MOMENTUM)))  # of weights in equilibrium with noise of size 1
    drift, size = -side * numbers[kind, 0] * wide * DECAY, numbers[kind, 1]
    w, m = settled(generator, drift, size, LR)
    for at in map([*KINDS].index, WIDE):
        here = kind == at
        w[here], m[here] = wide * generator.normal(size=np.count_nonzero(here)), 0.0
    stuck, lr = kind == [*KINDS].index("rounded"), np.full(UPDATES, LR)
    first, state = moved(generator, (w, m), drift, size, lr, stuck)
    second, _ = moved(generator, state, drift, size, lr, stuck)
    chosen = (first.flips == 0) & (np.abs(first.start) > TAIL * wide)
    evidence = Evidence(
        updates=UPDATES,
        decay_time=LR * DECAY / (1.0 - MOMENTUM) * UPDATES,
        mobility=second.zpath.mean(axis=1) / UPDATES,
        side=np.sign(second.start),
        distance=np.abs(second.start),
        path=second.path,
        pull=second.earned / np.sqrt(second.variance),
        small=second.small,
        unchanged=second.unchanged,
    )
    return evidence, {name: chosen & (kind == at) for at, name in enumerate(KINDS)}


def confusion(channels: int, thresholds: Thresholds = THRESHOLDS, seed: int = 0) -> dict[str, dict[str, float]]:
    """The share of every cause that is found, by planted kind."""
    evidence, members = population(channels, seed=seed)
    codes = causes(evidence, thresholds)
    return {name: shares(codes[chosen]) for name, chosen in members.items()}


def forecast(drift: float) -> float:
    """The share of weights with this drift that is held, if t is normal with variance 1."""
    kept = math.exp(-LR * DECAY / (1.0 - MOMENTUM) * UPDATES)
    return float(ndtr(drift * math.sqrt((1.0 - kept) / (1.0 + kept)) - THRESHOLDS.pulled))


@dataclass(frozen=True, slots=True)
class Quality:
    """How well V tells noise in one window.

    Attributes
    ----------
    recorded, corrected : float
        Measured variance of what noise made of weights, over the recorded V, and over V times `arrived`.
    beyond : float
        The share of weights that noise moved to one side by more than 1.645 in t, as the causes compute t. 5 % if V is
        right for each weight.
    """

    recorded: float
    corrected: float
    beyond: float


def quality(make: type[torch.optim.Optimizer], settings: dict[str, Any], updates: int, time: float) -> list[Quality]:
    """How well V tells noise in two consecutive windows of this T."""
    torch.set_num_threads(1)
    generator, lr = torch.Generator().manual_seed(0), 0.01
    layer = BinaryLinear(128, 128)
    decay = time * (1.0 - settings.get("momentum", 0.0)) / (updates * lr)
    optimizer = make(layer.parameters(), lr=lr, weight_decay=decay, **settings)
    warnings.simplefilter("ignore", RecordingWarning)  # there is no forward pass to check
    with tempfile.TemporaryDirectory() as folder:
        with ra.record(layer, optimizer, Path(folder) / "run", quantities=["gradient-stats"]) as recorder:
            for _ in range(2):
                for _ in range(updates):
                    layer.weight.grad = torch.randn(layer.weight.shape, generator=generator)
                    optimizer.step()
                recorder.mark()
        run = ra.open_run(Path(folder) / "run")
        return [_quality(run, window) for window in run.windows[1:]]


def _quality(run: ra.Run, window: RecordedWindow) -> Quality:
    (name,) = run.layer_names
    kept, pushed = kept_part(run, [window], name), momentum_part([window], name)
    part = window[name]
    earned = part.weight - kept * part.start - (pushed * part.momentum if pushed else 0.0)
    variance = part.noise * arrived(rates(run, [window], name))
    beyond = np.mean(np.abs(earned) > THRESHOLDS.pulled * np.sqrt(variance)) / 2.0
    spread = float(np.var(earned))
    return Quality(spread / float(np.mean(part.noise)), spread / float(np.mean(variance)), float(beyond))


def main(arguments: list[str]) -> None:
    """Print all tables; a tenth of the windows and weights with --short."""
    short = "--short" in arguments
    print(
        "two consecutive windows of noise: variance of what it made of weights over the recorded V, over V times what"
    )
    print("has arrived by the end, and the share of weights that t calls held (5 % is said)")
    for make, settings, updates, time in CHECKED:
        told = ", ".join([make.__name__, *(f"{name} {value}" for name, value in settings.items())])
        cells = "; ".join(
            f"{each.recorded:.2f}, {each.corrected:.2f}, {100.0 * each.beyond:.1f} %"
            for each in quality(make, settings, updates, time)
        )
        print(f"  {told:>32}, T {time:g} in {updates:3} updates: {cells}", flush=True)
    print("rho of tails under noise that is common to many weights: share of 95 % intervals that hold 0", flush=True)
    for falling in (False, True):
        found = coverage(300 if short else 4000, falling=falling)
        rate = "falling " if falling else "constant"
        print(
            f"  learning rate {rate}: {found.held:.3f}, mean {found.mean:+.4f}, standard deviation {found.spread:.4f}, "
            f"mean standard error {found.error:.4f}",
            flush=True,
        )
    channels = 64 if short else 512
    evidence, members = population(channels)
    print(f"causes of silent tail weights in the next window (T = {evidence.decay_time:g}), by what was planted")
    for factor in (1.0, 0.5, 2.0):
        codes = causes(evidence, THRESHOLDS.scaled(factor))
        print(f"  thresholds times {factor:g}" if factor != 1.0 else "  thresholds as they are")
        print(f"  {'planted':>12}  weights" + "".join(f"{name:>18}" for name in CAUSES))
        for name, chosen in members.items():
            cells = "".join(f"{share:18.3f}" for share in shares(codes[chosen]).values())
            print(f"  {name:>12} {np.count_nonzero(chosen):8}{cells}", flush=True)
    told = ", ".join(f"{forecast(drift):.2f} for a drift of {drift:g}" for drift in (0.0, 1.0, 2.0))
    print(f"  held, if t is normal: {told}")


if __name__ == "__main__":
    main(sys.argv[1:])
