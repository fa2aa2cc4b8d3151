"""A small network with binary layers of several kinds, trained and recorded in a second, and its images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

import recu_analysis as ra
from recu_analysis.nn import BinaryConv2d, BinaryLinear
from recu_analysis.theory.standardize import WeightTransform

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = 40


class ScaledSignConv(nn.Conv2d):
    """Signs of the weights times the mean size of each channel, of real inputs: a layer of a user's own."""

    def forward(self, values):
        size = self.weight.abs().mean(dim=(1, 2, 3), keepdim=True).detach()
        signs = self.weight + (torch.where(self.weight < 0, -1.0, 1.0) - self.weight).detach()
        return F.conv2d(values, signs * size, padding=1)


@ra.adapter("scaled sign of the tests", ScaledSignConv)
def _scaled(module: Any) -> WeightTransform:
    """Sign of w."""
    return WeightTransform()


class Network(nn.Module):
    """A user's own layer, then layers that center, that scale by their weights, and that do both."""

    def __init__(self):
        super().__init__()
        self.own = ScaledSignConv(2, 6, 3, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.recu = BinaryConv2d(6, 6, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(6)
        self.xnor = BinaryConv2d(6, 6, 3, padding=1, bias=False, binarizer="xnor")
        self.ir = BinaryLinear(6, 8, bias=False, binarizer="ir-net")
        self.norm3 = nn.BatchNorm1d(8)
        self.last = nn.Linear(8, 3)

    def forward(self, values):
        values = self.norm(self.own(values))
        values = values + self.norm2(self.recu(values))
        values = (values + self.xnor(values)).mean(dim=(2, 3))
        return self.last(self.norm3(self.ir(values)))


class Trained(NamedTuple):
    """A trained network, the run of its training, and images with labels."""

    model: Network
    run: Path
    images: torch.Tensor
    labels: torch.Tensor

    def evaluate(self, model):
        """Loss of each image, and whether it is right."""
        logits = model(self.images)
        return {
            "loss": F.cross_entropy(logits, self.labels, reduction="none"),
            "correct": logits.argmax(dim=1) == self.labels,
        }


def trained(folder: Path) -> Trained:
    """The network after 4 windows of 10 updates, in training mode as a training leaves it."""
    torch.manual_seed(0)
    model = Network()
    images = torch.randn(IMAGES, 2, 5, 5)
    labels = (images[:, 0].mean(dim=(1, 2)) > 0).long() + (images[:, 1, 2, 2] > 0).long()
    groups = [
        {"params": [each for each in model.parameters() if each.ndim > 1], "weight_decay": 0.1},
        {"params": [each for each in model.parameters() if each.ndim < 2]},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.5)
    with ra.record(model, optimizer, folder / "run") as recorder:
        for epoch in range(4):
            for _ in range(10):
                optimizer.zero_grad()
                F.cross_entropy(model(images), labels).backward()
                optimizer.step()
            recorder.mark(epoch=epoch)
    return Trained(model, folder / "run", images, labels)
