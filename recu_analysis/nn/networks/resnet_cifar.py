"""ResNet-20 for small images, binary but for its first and last layer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from recu_analysis.errors import InputError
from recu_analysis.nn.layers import BinaryConv2d

if TYPE_CHECKING:
    from collections.abc import Callable

CHANNELS = (16, 32, 64)
BLOCKS = 3


class BasicBlock(nn.Module):
    """Two binary convolutions, a shortcut around each, and a hardtanh after each sum.

    Where the block halves the image and doubles the channels, its first shortcut pools 2x2 and pads with zero
    channels: it has no parameters.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, conv: Callable[..., BinaryConv2d]) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, channels, 3, stride=stride, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = conv(channels, channels, 3, stride=1, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)
        self._stride = stride
        self._padding = (channels - in_channels) // 2

    def _shortcut(self, values: torch.Tensor) -> torch.Tensor:
        if self._stride == 1:
            return values
        return functional.pad(functional.avg_pool2d(values, 2), (0, 0, 0, 0, self._padding, self._padding))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Activations of the next block."""
        middle = functional.hardtanh(self.bn1(self.conv1(values)) + self._shortcut(values))
        return functional.hardtanh(self.bn2(self.conv2(middle)) + middle)


class ResNet20(nn.Module):
    """ResNet-20 with the module names of the authors' resnet20_1w1a, for images of 16x16 to 32x32.

    Parameters
    ----------
    num_classes : int
    **binary
        Options of every binary layer: scale, centre, clamp and mask of `BinaryConv2d`.
    """

    def __init__(self, num_classes: int, **binary: Any) -> None:
        super().__init__()
        conv = partial(BinaryConv2d, **binary)
        self.conv1 = nn.Conv2d(3, CHANNELS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(CHANNELS[0])
        self.layer1 = _stage(CHANNELS[0], CHANNELS[0], 1, conv)
        self.layer2 = _stage(CHANNELS[0], CHANNELS[1], 2, conv)
        self.layer3 = _stage(CHANNELS[1], CHANNELS[2], 2, conv)
        self.bn2 = nn.BatchNorm1d(CHANNELS[2])
        self.linear = nn.Linear(CHANNELS[2], num_classes)
        for module in (self.conv1, self.linear):
            nn.init.kaiming_normal_(module.weight)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of shape (batch, classes) for images of shape (batch, 3, H, W), H and W multiples of 4."""
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] % 4 or images.shape[3] % 4:
            raise InputError(
                "resnet20 takes images of shape (batch, 3, H, W) with H and W multiples of 4, halved twice, "
                f"not {tuple(images.shape)}"
            )
        values = functional.hardtanh(self.bn1(self.conv1(images)))
        values = self.layer3(self.layer2(self.layer1(values)))
        logits: torch.Tensor = self.linear(self.bn2(values.mean(dim=(2, 3))))
        return logits


def _stage(in_channels: int, channels: int, stride: int, conv: Callable[..., BinaryConv2d]) -> nn.Sequential:
    first = BasicBlock(in_channels, channels, stride, conv)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1, conv) for _ in range(BLOCKS - 1)))


def resnet20(num_classes: int, **binary: Any) -> ResNet20:
    """A new ResNet-20; see `ResNet20`."""
    return ResNet20(num_classes, **binary)
