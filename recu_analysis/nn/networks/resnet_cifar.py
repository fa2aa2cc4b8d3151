"""ResNet-20 and ResNet-18 for small images, binary except for the first and the last layer."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from recu_analysis.nn.networks.parts import Convolution, check_images, convolutions, pool_and_pad, stage


class _Block(nn.Module):
    """Two binary convolutions with batch normalization, and a shortcut without parameters.

    If the block halves the image and doubles the channels, its shortcut pools 2x2 and pads with zero channels.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, conv: Convolution) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, channels, 3, stride=stride, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = conv(channels, channels, 3, stride=1, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)
        self._stride = stride
        self._channels = channels

    def _shortcut(self, values: torch.Tensor) -> torch.Tensor:
        return values if self._stride == 1 else pool_and_pad(values, self._channels)


class TwoShortcutBlock(_Block):
    """Block of ResNet-20: a shortcut around each convolution, and a hardtanh after each sum."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Activations of the next block."""
        middle = functional.hardtanh(self.bn1(self.conv1(values)) + self._shortcut(values))
        return functional.hardtanh(self.bn2(self.conv2(middle)) + middle)


class OneShortcutBlock(_Block):
    """Block of the authors' ResNet-18 for CIFAR: one shortcut around both convolutions.

    Their paper has a shortcut around each convolution. Their code and this class do not.
    """

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Activations of the next block."""
        middle = functional.hardtanh(self.bn1(self.conv1(values)))
        return functional.hardtanh(self.bn2(self.conv2(middle)) + self._shortcut(values))


class ResNet20(nn.Module):
    """ResNet-20 with the module names of the authors' resnet20_1w1a, for images of 16x16 to 32x32.

    Parameters
    ----------
    num_classes : int
    conv : callable
        Makes the convolutions, except the first.
    """

    def __init__(self, num_classes: int, conv: Convolution) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = stage(TwoShortcutBlock, (16, 16), 3, conv)
        self.layer2 = stage(TwoShortcutBlock, (16, 32), 3, conv)
        self.layer3 = stage(TwoShortcutBlock, (32, 64), 3, conv)
        self.bn2 = nn.BatchNorm1d(64)
        self.linear = nn.Linear(64, num_classes)
        nn.init.kaiming_normal_(self.conv1.weight)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of shape (batch, classes) for images of shape (batch, 3, H, W), H and W multiples of 4."""
        check_images("resnet20", images, 4)
        values = functional.hardtanh(self.bn1(self.conv1(images)))
        values = self.layer3(self.layer2(self.layer1(values)))
        logits: torch.Tensor = self.linear(self.bn2(values.mean(dim=(2, 3))))
        return logits


class ResNet18(nn.Module):
    """ResNet-18 with the module names of the authors' resnet18_1w1a for CIFAR, for images of 16x16 to 32x32.

    Parameters
    ----------
    num_classes : int
    conv : callable
        Makes the convolutions, except the first.
    """

    def __init__(self, num_classes: int, conv: Convolution) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = stage(OneShortcutBlock, (64, 64), 2, conv)
        self.layer2 = stage(OneShortcutBlock, (64, 128), 2, conv)
        self.layer3 = stage(OneShortcutBlock, (128, 256), 2, conv)
        self.layer4 = stage(OneShortcutBlock, (256, 512), 2, conv)
        # In the order of the authors' modules: the order of the parameters in their saved optimizers.
        self.linear = nn.Linear(512, num_classes)
        self.bn2 = nn.BatchNorm1d(512)
        for weight in convolutions(self):
            nn.init.kaiming_normal_(weight)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of shape (batch, classes) for images of shape (batch, 3, H, W), H and W multiples of 8."""
        check_images("resnet18", images, 8)
        values = self.bn1(self.conv1(images))
        values = self.layer4(self.layer3(self.layer2(self.layer1(values))))
        logits: torch.Tensor = self.linear(self.bn2(values.mean(dim=(2, 3))))
        return logits
