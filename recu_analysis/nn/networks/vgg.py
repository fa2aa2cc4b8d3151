"""VGG-small for images of 32x32, binary except for the first and the last layer."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from recu_analysis.errors import InputError
from recu_analysis.nn.networks.parts import Convolution, convolutions

#: Channels after each convolution. The first convolution is real.
CHANNELS = (128, 128, 256, 256, 512, 512)
#: Convolutions whose output is pooled before its normalization.
POOLED = (1, 3, 5)
SIZE = 32


class VGGSmall(nn.Module):
    """VGG-small with the module names and the initialization of the authors' vgg_small_1w1a.

    Parameters
    ----------
    num_classes : int
    conv : callable
        Makes the convolutions, except the first.
    """

    def __init__(self, num_classes: int, conv: Convolution) -> None:
        super().__init__()
        self.conv0: nn.Module = nn.Conv2d(3, CHANNELS[0], 3, padding=1, bias=False)
        self.bn0 = nn.BatchNorm2d(CHANNELS[0])
        for index in range(1, len(CHANNELS)):
            self.add_module(f"conv{index}", conv(CHANNELS[index - 1], CHANNELS[index], 3, padding=1))
            self.add_module(f"bn{index}", nn.BatchNorm2d(CHANNELS[index]))
        self.fc = nn.Linear(CHANNELS[-1] * (SIZE // 2 ** len(POOLED)) ** 2, num_classes)
        for weight in convolutions(self):
            nn.init.kaiming_normal_(weight, mode="fan_out")
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of shape (batch, classes) for images of shape (batch, 3, 32, 32)."""
        if images.shape[1:] != (3, SIZE, SIZE):
            raise InputError(f"vgg_small takes images of shape (batch, 3, 32, 32), not {tuple(images.shape)}")
        values = images
        for index in range(len(CHANNELS)):
            values = self.get_submodule(f"conv{index}")(values)
            if index in POOLED:
                values = functional.max_pool2d(values, 2)
            values = functional.hardtanh(self.get_submodule(f"bn{index}")(values))
        logits: torch.Tensor = self.fc(values.flatten(1))
        return logits
