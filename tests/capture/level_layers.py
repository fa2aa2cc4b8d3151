"""Layers with more than two levels that quantize by PyTorch's own operations, and their record by a plain loop."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import recu_analysis as ra
from recu_analysis.theory.levels import Quantizer


class Quantized(nn.Linear):
    """A linear layer with quantized weights and a straight-through estimator."""

    def __init__(self, inputs, outputs, quantizer, step=None, zero=None):
        super().__init__(inputs, outputs, bias=False)
        self.quantizer = quantizer
        if step is not None:
            self.step = nn.Parameter(torch.tensor(step))
        self.zero = zero

    def steps(self, weight):
        """Step and zero point of each scale group, as columns."""
        quantizer = self.quantizer
        groups = {"tensor": 1, "channel": len(weight)}.get(quantizer.group) or weight.numel() // quantizer.group
        rows, zero = weight.reshape(groups, -1), torch.zeros(groups, 1, dtype=weight.dtype)
        match quantizer.rule:
            case "absmean":
                mean = weight.abs().mean() if groups == 1 else rows.abs().mean(dim=1, keepdim=True)
                step = quantizer.factor * mean.clamp(min=quantizer.least)
            case "maxabs":
                step = rows.abs().amax(dim=1, keepdim=True) / quantizer.high
            case "minmax":
                least = rows.amin(dim=1, keepdim=True).clamp(max=0)
                step = (rows.amax(dim=1, keepdim=True).clamp(min=0) - least) / (quantizer.high - quantizer.low)
                zero = (quantizer.low - (least / step).round()).clamp(quantizer.low, quantizer.high)
            case _:
                step = self.step.detach().to(weight)
                zero = zero if self.zero is None else zero + self.zero
        return step.reshape(-1, 1).expand(groups, 1), zero

    def states(self, weight, step, zero):
        """The states of a weight, less the zero points in `values`."""
        rows, quantizer = weight.reshape(len(step), -1), self.quantizer
        if quantizer.kind == "ternary":
            states = (rows > step).to(rows) - (rows < -step).to(rows)
        else:
            units = rows * (1.0 / step) if quantizer.inverse else rows / step
            states = torch.clamp(torch.round(units) + zero, quantizer.low, quantizer.high)
        return states.reshape(weight.shape)

    def forward(self, batch):
        weight = self.weight
        with torch.no_grad():
            step, zero = self.steps(weight)
            states = self.states(weight, step, zero).reshape(len(step), -1)
            used = (step * (states - zero)).reshape(weight.shape)
        return functional.linear(batch, weight + (used - weight).detach())


@ra.adapter("quantized", Quantized)
def quantized(module):
    """of the tests: by its quantizer"""
    if module.quantizer.rule != "given":
        return module.quantizer
    return replace(module.quantizer, step=module.step, zero=module.zero)


#: Every kind of quantizer, with what the layer holds of it.
QUANTIZERS = {
    "bitnet": (Quantizer.bitnet(),),
    "bitnet of groups": (Quantizer.bitnet(4),),
    "absmean of channels": (Quantizer.twn(0.5),),
    "twn": (Quantizer.twn(),),
    "fixed threshold": (Quantizer("ternary", group="tensor"), 0.1),
    "learned steps": (Quantizer("uniform", -2, 1), [[0.15]] * 8),
    "maxabs, 4 bits": (Quantizer.of_bits(4, rule="maxabs", group=6),),
    "minmax, 3 bits": (Quantizer.of_bits(3, signed=False, rule="minmax"),),
    "given zero point": (Quantizer("uniform", 0, 7, group="tensor", inverse=True), 0.1, 3),
    "8 bits": (Quantizer("uniform", -128, 127, rule="maxabs", group="channel"),),
}


def tiny(name, dtype=torch.float32, seed=0):
    """A network with one quantized layer."""
    torch.manual_seed(seed)
    return nn.Sequential(Quantized(12, 8, *QUANTIZERS[name]), nn.BatchNorm1d(8), nn.Linear(8, 3)).to(dtype)


def update(model, optimizer, seed):
    """One update of the network."""
    generator = torch.Generator().manual_seed(seed)
    batch = torch.randn(16, 12, generator=generator).to(model[0].weight.dtype)
    labels = torch.randint(0, 3, (16,), generator=generator)
    optimizer.zero_grad()
    functional.cross_entropy(model(batch), labels).backward()
    optimizer.step()


def push(layer, optimizer, gradient):
    """One update of a quantized layer with this gradient of its weight."""
    optimizer.zero_grad()
    (layer(torch.eye(layer.weight.shape[1])) * gradient.T).sum().backward()
    optimizer.step()


def offsets(layer, weight, step, zero):
    """z and z - nearest threshold of each weight, by a loop over the weights and all thresholds."""
    quantizer, rows = layer.quantizer, weight.double().reshape(len(step), -1).numpy()
    scores, offset = np.empty_like(rows), np.empty_like(rows)
    for group, row in enumerate(rows):
        size, wide = float(step[group]), row.std(ddof=1)
        middles = [q + 0.5 - float(zero[group]) for q in range(quantizer.low, quantizer.high)]
        borders = [-size, size] if quantizer.kind == "ternary" else [size * each for each in middles]
        scores[group] = row / wide
        offset[group] = [min(((w - border) / wide for border in borders), key=abs) for w in row]
    return scores.reshape(weight.shape), offset.reshape(weight.shape)


def sgd(model, lr=0.2):
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.5, weight_decay=0.01)


def snapshot(layer):
    """Weights, steps and zero points of a layer, as the layer itself computes them."""
    weight = layer.weight.detach().clone()
    return weight, *(each.clone() for each in layer.steps(weight))


def plain_levels(layer, history, before=()):
    """What is recorded of the states of a layer by a loop over updates and weights; `before` came before the window."""
    quantizer, every = layer.quantizer, [*before, *history[1:]] if before else history
    count, size = quantizer.count, every[0][0].numel()
    flips, reversals, first, last = np.zeros(size, int), np.zeros(size, int), np.full(size, -1), np.full(size, -1)
    direction, transitions = np.zeros(size, int), np.zeros((count, count), int)
    by_weight = by_threshold = 0
    for number in range(1, len(every)):
        counts = number >= max(len(before), 1)
        (old, *old_steps), (new, *new_steps) = every[number - 1], every[number]
        three = (old, *old_steps), (new, *old_steps), (new, *new_steps)
        was, between, now = (layer.states(*each).reshape(-1).tolist() for each in three)
        for place in range(size):
            a, b, c = int(was[place]), int(between[place]), int(now[place])
            turn = (c > a) - (c < a)
            if counts:
                transitions[a - quantizer.low, c - quantizer.low] += 1
                by_weight += a != b
                by_threshold += b != c
                flips[place] += a != c
                reversals[place] += turn != 0 and direction[place] == -turn
                if a != c:
                    first[place] = number if first[place] < 0 else first[place]
                    last[place] = number
            direction[place] = turn or direction[place]
    shape = tuple(every[0][0].shape)
    dense = {"flips": flips, "reversals": reversals, "first_flip": first, "last_flip": last, "direction": direction}
    record = {name: values.reshape(shape) for name, values in dense.items()}
    return record | {"transitions": transitions, "weight_flips": by_weight, "threshold_flips": by_threshold}


def plain_movement(layer, history):
    """path and zpath by float64 loops; z is the weight over the standard deviation of its scale group."""
    path = zpath = 0.0
    scores = []
    for weight, step, _ in history:
        rows = weight.double().reshape(len(step), -1).numpy()
        scores.append((rows / rows.std(axis=1, ddof=1, keepdims=True)).reshape(weight.shape))
    for number in range(1, len(history)):
        path = path + np.abs(history[number][0].double().numpy() - history[number - 1][0].double().numpy())
        zpath = zpath + np.abs(scores[number] - scores[number - 1])
    return {"path": path, "zpath": zpath}
