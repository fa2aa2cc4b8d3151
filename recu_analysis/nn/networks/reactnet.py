"""The ReActNet-like ResNet-18 that the authors train in two stages on ImageNet."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from recu_analysis.nn.networks.parts import Convolution, check_images, convolutions, stage

BLOCKS = 4


class LearnableBias(nn.Module):
    """A bias for each channel, which moves the threshold of a sign or of a PReLU. It starts at 0."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The values, of shape (batch, C, H, W), plus the bias."""
        return values + self.bias


class ReActBlock(nn.Module):
    """One binary convolution between learnable biases, a shortcut around it, and a PReLU.

    If the block halves the image and doubles the channels, its shortcut pools 2x2 and has a real 1x1 convolution.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, conv: Convolution) -> None:
        super().__init__()
        self.move0 = LearnableBias(in_channels)
        self.conv = conv(in_channels, channels, 3, stride=stride, padding=1)
        self.bn = nn.BatchNorm2d(channels)
        self.move1 = LearnableBias(channels)
        self.nonlinear = nn.PReLU(channels)
        self.move2 = LearnableBias(channels)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1:
            narrow = nn.Conv2d(in_channels, channels, 1, bias=False)
            self.downsample = nn.Sequential(nn.AvgPool2d(2, stride), narrow, nn.BatchNorm2d(channels))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Activations of the next block."""
        total = self.bn(self.conv(self.move0(values))) + self.downsample(values)
        result: torch.Tensor = self.move2(self.nonlinear(self.move1(total)))
        return result


class ReActNet18(nn.Module):
    """ResNet-18 with the module names of the authors' two-stage resnet18_1w1a: one convolution in each of 16 blocks.

    Its convolutions are initialized as torch does and its BatchNorms with 1, unlike those of `ImageNetResNet`.

    Parameters
    ----------
    num_classes : int
    conv : callable
        Makes the convolutions, except the first and those of shortcuts.
    """

    def __init__(self, num_classes: int, conv: Convolution) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(64)
        self.layer1 = stage(ReActBlock, (64, 64), BLOCKS, conv)
        self.layer2 = stage(ReActBlock, (64, 128), BLOCKS, conv)
        self.layer3 = stage(ReActBlock, (128, 256), BLOCKS, conv)
        self.layer4 = stage(ReActBlock, (256, 512), BLOCKS, conv)
        self.fc = nn.Linear(512, num_classes)
        for weight in convolutions(self):
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of shape (batch, classes) for images of shape (batch, 3, H, W), H and W multiples of 32."""
        check_images("reactnet18", images, 32)
        values = functional.max_pool2d(self.bn(self.conv(images)), 3, stride=2, padding=1)
        values = self.layer4(self.layer3(self.layer2(self.layer1(values))))
        logits: torch.Tensor = self.fc(values.mean(dim=(2, 3)))
        return logits
