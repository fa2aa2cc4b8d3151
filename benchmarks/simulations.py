"""Simulations for docs/noise.md: forecast mobility, the split of decay and gradients, silence under noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.special import ndtr

from recu_analysis.analysis.deadness import TAIL_TAU, tail_mask
from recu_analysis.theory.equilibrium import mobility, relative_step
from recu_analysis.theory.inheritance import UpdateRule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

#: Number of weights whose mobility is simulated, updates before it is measured and while it is, and their rates.
WEIGHTS, SETTLING, MEASURED, LR, DECAY = 4096, 2500, 1000, 0.1, 2e-3
LR_ADAMW, DECAY_ADAMW = 0.01, 0.2
SGD = {
    "SGD": {"momentum": 0.9},
    "SGD, dampening 0.5": {"momentum": 0.9, "dampening": 0.5},
    "SGD, Nesterov": {"momentum": 0.9, "nesterov": True},
}
DRIFTS = (0.0, 0.3, 2.0)
#: Weights moved by noise until T, by steps that decay by this in one update.
MOVED, KAPPA, TIMES = 50_000, 0.002, (1.0, 3.0, 6.0)


def main() -> None:
    """Print every table."""
    generator = np.random.default_rng(0)
    forecasts(generator)
    split(generator)
    silence(generator)


def forecasts(generator: np.random.Generator) -> None:
    """Print measured over forecast mobility of weights whose loss does not depend on their norm."""
    print("mobility, measured / forecast at equilibrium, for gradients with a constant part of this many noise widths")
    print(f"  {'':22}" + "".join(f"{drift:>8g}" for drift in DRIFTS))
    for name, settings in SGD.items():
        rule = UpdateRule.of("SGD", settings)
        forecast = mobility(relative_step(rule, LR, DECAY))
        found = [moved(generator, settings, drift) / forecast for drift in DRIFTS]
        print(f"  {name:22}" + "".join(f"{each:8.3f}" for each in found), flush=True)
    rule = UpdateRule.of("AdamW", {})
    forecast = mobility(relative_step(rule, LR_ADAMW, DECAY_ADAMW))
    found = [moved(generator, None, drift) / forecast for drift in DRIFTS]
    print(f"  {'AdamW':22}" + "".join(f"{each:8.3f}" for each in found), flush=True)


def moved(generator: np.random.Generator, settings: dict[str, Any] | None, drift: float) -> float:
    """Mean abs(z_u - z_(u-1)) under PyTorch's SGD with these settings, or AdamW, at equilibrium."""
    weight = torch.nn.Parameter(torch.from_numpy(generator.standard_normal(WEIGHTS)))
    optimizer: torch.optim.Optimizer
    if settings is None:
        optimizer = torch.optim.AdamW([weight], lr=LR_ADAMW, weight_decay=DECAY_ADAMW)
    else:
        optimizer = torch.optim.SGD([weight], lr=LR, weight_decay=DECAY, **settings)
    constant = drift * torch.from_numpy(generator.standard_normal(WEIGHTS))
    total = 0.0
    with torch.no_grad():
        before = weight / weight.std()
        for update in range(SETTLING + MEASURED):
            gradient = constant + torch.from_numpy(generator.standard_normal(WEIGHTS))
            # A loss that ignores the norm has gradients at right angles to the weights, which shrink as the norm grows.
            gradient -= weight * (torch.dot(weight, gradient) / torch.dot(weight, weight))
            weight.grad = gradient / weight.norm()
            optimizer.step()
            now = weight / weight.std()
            total += float((now - before).abs().mean()) if update >= SETTLING else 0.0
            before = now
    return total / MEASURED


def split(generator: np.random.Generator) -> None:
    """Print how exactly w_end = a w_start + b m_start + E holds for PyTorch's SGD, E from a training of w = m = 0."""
    print("largest error of w_end = a w_start + b m_start + E over 300 updates, relative to the weights")
    gradients = torch.from_numpy(generator.standard_normal((350, 64)))
    for name, settings in SGD.items():
        start, momentum = trained(torch.from_numpy(generator.standard_normal(64)), None, gradients[:50], settings)
        end, _ = trained(start, momentum, gradients[50:], settings)
        earned, _ = trained(torch.zeros_like(start), torch.zeros_like(start), gradients[50:], settings)
        a, b = np.linalg.matrix_power(UpdateRule.of("SGD", settings).matrix(LR, DECAY), 300)[0]
        error = float((end - (a * start + b * momentum + earned)).abs().max() / end.std())
        past = abs(b) * float(momentum.std() / end.std())
        print(f"  {name:22} {error:.0e}; a = {a:.4f}, b m_start is {past:.4f} of the weights", flush=True)


def trained(
    start: torch.Tensor, momentum: torch.Tensor | None, gradients: torch.Tensor, settings: dict[str, Any]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights and momentum after updates with given gradients."""
    weight = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.SGD([weight], lr=LR, weight_decay=DECAY, **settings)
    if momentum is not None:
        optimizer.state[weight]["momentum_buffer"] = momentum.clone()
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
    return weight.detach(), optimizer.state[weight]["momentum_buffer"]


def silence(generator: np.random.Generator) -> None:
    """Print what noise leaves silent in the tail, and which share of that a rule would call held by gradients."""
    print("weights moved by noise alone, without momentum and with 0.9; silent: never crossed 0; tail at the start")
    print("held: of the silent tail, weights for whose value at the end gradients made more than half")
    print("      T   formula    silent      held    silent      held   (with momentum)")
    with_momentum, without = (path(generator, kept) for kept in (0.9, 0.0))
    for time, plain, heavy in zip(TIMES, without, with_momentum, strict=True):
        z = generator.standard_normal(1_000_000)
        far = np.abs(z[tail_mask(z, TAIL_TAU)])
        left = math.exp(-time)
        formula = float(np.mean(2.0 * ndtr(left * far / math.sqrt(1.0 - left**2)) - 1.0))
        print(f"  {time:5g}{formula:10.3f}" + "".join(f"{each:10.3f}" for each in (*plain, *heavy)), flush=True)


def path(generator: np.random.Generator, kept: float) -> list[tuple[float, float]]:
    """At each of `TIMES`: the share of the tail that is silent, and of this the share that is "held"."""
    lr, w, m = KAPPA * (1.0 - kept), generator.standard_normal(MOVED), np.zeros(MOVED)
    noise = math.sqrt(2.0 * lr / (1.0 + kept) * (1.0 - kept**2)) / lr
    found, silent, start = [], np.ones(MOVED, dtype=np.bool_), w
    marks = [round(time / KAPPA) for time in TIMES]
    for update in range(-100, marks[-1] + 1):  # the momentum fills first
        if update == 0:
            start, silent = w, np.ones_like(silent)
        m = kept * m + noise * generator.standard_normal(MOVED) + w
        w, before = w - lr * m, w
        silent &= (w < 0.0) == (before < 0.0)
        if update + 1 in marks:
            dead = silent & tail_mask(start, TAIL_TAU)
            earned = w - math.exp(-KAPPA * (update + 1)) * start
            found.append((dead.sum() / tail_mask(start, TAIL_TAU).sum(), float(np.mean((earned / w)[dead] > 0.5))))
    return found


if __name__ == "__main__":
    main()
