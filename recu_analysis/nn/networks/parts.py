"""Parts that the networks share: convolutions, stages of blocks, a shortcut, and the check of images."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Called as conv(in_channels, channels, kernel_size, stride=..., padding=...): `BinaryConv2d`, or a real convolution.
Convolution = Callable[..., nn.Module]


def real_convolution(in_channels: int, channels: int, kernel_size: int, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    """An ordinary convolution without bias, initialized as a binary one: Kaiming normal."""
    conv = nn.Conv2d(in_channels, channels, kernel_size, stride, padding, bias=False)
    nn.init.kaiming_normal_(conv.weight)
    return conv


def convolutions(model: nn.Module) -> Iterator[torch.Tensor]:
    """The weights of a model's convolutions, binary and real."""
    return (module.weight for module in model.modules() if isinstance(module, nn.Conv2d))


def stage(block: Callable[..., nn.Module], channels: tuple[int, int], count: int, conv: Convolution) -> nn.Sequential:
    """`count` blocks. The first maps channels[0] to channels[1], and halves the image if they differ.

    Blocks are called as block(in_channels, channels, stride, conv).
    """
    before, after = channels
    first = block(before, after, 1 if before == after else 2, conv)
    return nn.Sequential(first, *(block(after, after, 1, conv) for _ in range(count - 1)))


def pool_and_pad(values: torch.Tensor, channels: int) -> torch.Tensor:
    """The shortcut without parameters: 2x2 average pooling, and zero channels on both sides up to `channels`."""
    missing = (channels - values.shape[1]) // 2
    return functional.pad(functional.avg_pool2d(values, 2), (0, 0, 0, 0, missing, missing))


def check_images(name: str, images: torch.Tensor, multiple: int) -> None:
    """InputError unless images have the shape (batch, 3, H, W) with H and W multiples of `multiple`."""
    good = images.ndim == 4 and images.shape[1] == 3
    if not good or any(size % multiple or size < multiple for size in images.shape[2:]):
        raise InputError(
            f"{name} takes images of shape (batch, 3, H, W) with H and W multiples of {multiple}, "
            f"not {tuple(images.shape)}"
        )
