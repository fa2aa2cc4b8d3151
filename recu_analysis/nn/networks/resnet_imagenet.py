"""ResNet-18 and ResNet-34 for ImageNet, binary except for the first, the last and the downsampling layers."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from recu_analysis.nn.networks.parts import Convolution, check_images, convolutions, stage

#: Initial weight of every BatchNorm2d. In the first forward passes only the shortcuts carry a signal.
INITIAL_NORM = 1e-8


class BasicBlock(nn.Module):
    """Two binary convolutions, a shortcut around each, and a hardtanh after each sum.

    If the block halves the image and doubles the channels, its first shortcut is a real 1x1 convolution.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, conv: Convolution) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, channels, 3, stride=stride, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = conv(channels, channels, 3, stride=1, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1:
            narrow = nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(narrow, nn.BatchNorm2d(channels))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Activations of the next block."""
        middle = functional.hardtanh(self.bn1(self.conv1(values)) + self.downsample(values))
        return functional.hardtanh(self.bn2(self.conv2(middle)) + middle)


class ImageNetResNet(nn.Module):
    """ResNet with the module names and the initialization of the authors' networks for ImageNet.

    Parameters
    ----------
    num_classes : int
    conv : callable
        Makes the convolutions, except the first and those of shortcuts.
    blocks : tuple of int
        Blocks of each of the four stages.
    """

    def __init__(self, num_classes: int, conv: Convolution, blocks: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = stage(BasicBlock, (64, 64), blocks[0], conv)
        self.layer2 = stage(BasicBlock, (64, 128), blocks[1], conv)
        self.layer3 = stage(BasicBlock, (128, 256), blocks[2], conv)
        self.layer4 = stage(BasicBlock, (256, 512), blocks[3], conv)
        self.bn2 = nn.BatchNorm1d(512)
        self.fc = nn.Linear(512, num_classes)
        for weight in convolutions(self):
            nn.init.kaiming_normal_(weight)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.constant_(module.weight, INITIAL_NORM)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of shape (batch, classes) for images of shape (batch, 3, H, W), H and W multiples of 32."""
        check_images("an ImageNet ResNet", images, 32)
        values = functional.hardtanh(self.bn1(self.conv1(images)))
        values = functional.max_pool2d(values, 3, stride=2, padding=1)
        values = self.layer4(self.layer3(self.layer2(self.layer1(values))))
        logits: torch.Tensor = self.fc(self.bn2(values.mean(dim=(2, 3))))
        return logits


def resnet18_imagenet(num_classes: int, conv: Convolution) -> ImageNetResNet:
    """ResNet-18 as the authors' resnet18_1w1a for ImageNet."""
    return ImageNetResNet(num_classes, conv, (2, 2, 2, 2))


def resnet34_imagenet(num_classes: int, conv: Convolution) -> ImageNetResNet:
    """ResNet-34 as the authors' resnet34_1w1a for ImageNet."""
    return ImageNetResNet(num_classes, conv, (3, 4, 6, 3))
