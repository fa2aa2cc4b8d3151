"""Time of a training step with our binary layers, beside the same network of plain autograd operations."""

from __future__ import annotations

import argparse
import logging
import math
import os
import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.timing import ratio, take_turns
from recu_analysis.nn import BinaryConv2d
from recu_analysis.nn.networks import NETWORKS

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH, SIZE, CLASSES = 128, 32, 10
#: Number of rounds on a CPU, with one step of each network per round; a GPU has ten times as many.
ROUNDS = {"resnet20": 12, "resnet18": 4}


class Sign(torch.autograd.Function):
    """Sign of activations with the gradient of Eq. 7."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        """Signs, 0 at 0."""
        ctx.save_for_backward(values)
        return torch.sign(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        """Eq. 7."""
        (values,) = ctx.saved_tensors
        return gradient * (2 - torch.abs(2 * values)).clamp(min=0)


class Through(torch.autograd.Function):
    """Sign of weights with the identity as gradient."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        """Signs, 0 at 0."""
        return torch.sign(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        """The identity."""
        return gradient


class PlainConv(nn.Conv2d):
    """The method of ReCU in plain operations; the quantile goes through Python in each layer and pass."""

    def __init__(self, *sizes: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__(*sizes, stride=stride, padding=padding, bias=False)
        self.alpha = nn.Parameter(torch.rand(self.out_channels, 1, 1))
        self.register_buffer("tau", torch.tensor(0.85))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Output of the binary convolution."""
        rows = self.weight.flatten(1)
        centered = rows - rows.mean(-1, keepdim=True)
        scaled = centered / (torch.sqrt(centered.var(-1, keepdim=True) + 1e-5) / (2 * math.sqrt(2)))
        bound = -(scaled.detach().abs().mean() * torch.log(2 - 2 * self.tau)).item()
        clamped = torch.clamp(scaled, -bound, bound).view_as(self.weight)
        if self.training:
            values = values / torch.sqrt(values.var([1, 2, 3], keepdim=True) + 1e-5)
        signs = Through.apply(clamped)
        return functional.conv2d(Sign.apply(values), signs, None, self.stride, self.padding) * self.alpha


def step_of(network: str, conv: Callable[..., nn.Module], device: str, *, compiled: bool) -> Callable[[], None]:
    """A function that takes one training step."""
    torch.manual_seed(0)
    model = NETWORKS[network](CLASSES, conv).to(device)
    # CUDA graphs on a GPU, as in a training. Not for the plain network, which .item() splits into many graphs: with
    # CUDA graphs, its rounds took more than a minute instead of seconds.
    graphs = "reduce-overhead" if device == "cuda" and conv is not PlainConv else None
    forward = torch.compile(model, dynamic=False, mode=graphs) if compiled else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(BATCH, 3, SIZE, SIZE, device=device)
    labels = torch.randint(0, CLASSES, (BATCH,), device=device)
    wait = torch.cuda.synchronize if device == "cuda" else int

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(forward(images), labels).backward()
        optimizer.step()
        wait()

    return step


def compare(network: str, device: str, *, compiled: bool) -> None:
    """Print the ratio of the plain step's time to ours, measured by turns."""
    kinds = {"ours": partial(BinaryConv2d, bias=False), "plain": PlainConv}
    steps = {name: step_of(network, conv, device, compiled=compiled) for name, conv in kinds.items()}
    rounds = ROUNDS[network] * (10 if device == "cuda" else 1)
    times = take_turns(steps, rounds)
    middle, low, high = ratio(times, "plain", "ours")
    ours, plain = (1e3 * np.median(times[name]) for name in ("ours", "plain"))
    print(
        f"{network}, {device}, {'compiled' if compiled else 'eager'}: ours {ours:.1f} ms, plain {plain:.1f} ms, "
        f"plain / ours {middle:.2f} (median of {rounds} rounds, quartiles {low:.2f} to {high:.2f})"
    )


def main() -> None:
    """Measure every network on every available device, eager and compiled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=list(ROUNDS), action="append", help="Only this one; repeatable.")
    parser.add_argument("--device", choices=["cpu", "cuda"], action="append", help="Only this one; repeatable.")
    parser.add_argument("--eager", action="store_true", help="Without torch.compile, which takes minutes.")
    told = parser.parse_args()
    # The plain network's .item() breaks the graph in every layer; the compiler would warn each time.
    logging.getLogger("torch._dynamo").setLevel(logging.ERROR)
    devices = told.device or ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    compiler = os.environ.get("CXX") or "c++"
    compiled = not told.eager and shutil.which(compiler) is not None
    print(f"training step, batch {BATCH}, {SIZE}x{SIZE}, {torch.get_num_threads()} threads")
    for run in [partial(compare, n, d) for d in devices for n in told.network or ROUNDS]:
        run(compiled=False)
        if compiled:
            run(compiled=True)
    if not (compiled or told.eager):
        print(f"no {compiler} here: nothing compiled")
    if "cuda" not in devices:
        print("no GPU here: nothing measured on one")


if __name__ == "__main__":
    main()
