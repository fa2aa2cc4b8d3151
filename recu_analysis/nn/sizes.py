"""Checks of the sizes of a binary layer: as in torch, with a standard deviation in every channel."""

from __future__ import annotations

import math
from numbers import Integral
from typing import TYPE_CHECKING, Any

from recu_analysis.errors import InputError, unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The paddings of a convolution by name, and its padding modes.
PADDINGS = ("same", "valid")
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def _is_whole(size: Any) -> bool:
    return isinstance(size, Integral) and not isinstance(size, bool)


def pair(size: Any) -> tuple[Any, ...]:
    """A size along both axes of a convolution; one number stands for both."""
    return tuple(size) if isinstance(size, (tuple, list)) else (size, size)


def too_few_weights(shape: Sequence[int]) -> bool:
    """Whether weights of this shape leave a channel without a standard deviation."""
    return min(shape) < 1 or math.prod(shape[1:]) < 2


def check_shape(shape: tuple[int, ...]) -> None:
    """InputError unless every channel of weights of this shape has a standard deviation."""
    if too_few_weights(shape):
        raise InputError(
            "a binary layer needs at least one output channel and two weights in each for a standard deviation, "
            f"not weights of shape {shape}"
        )


def check_features(in_features: Any, out_features: Any) -> None:
    """InputError unless the features of a linear layer are whole numbers."""
    if not (_is_whole(in_features) and _is_whole(out_features)):
        raise InputError(
            f"features of a binary linear layer must be whole numbers, not {in_features!r} and {out_features!r}"
        )


def check_channels(in_channels: Any, out_channels: Any, groups: Any) -> None:
    """InputError unless the channels of a convolution are whole numbers that can be divided into its groups."""
    if not all(map(_is_whole, (in_channels, out_channels, groups))):
        raise InputError(
            "channels and groups of a binary convolution must be whole numbers, "
            f"not {in_channels!r}, {out_channels!r} and {groups!r}"
        )
    if groups < 1 or in_channels % groups or out_channels % groups:
        raise InputError(f"{in_channels} and {out_channels} channels cannot be divided into {groups} groups")


def check_geometry(kernel_size: Any, stride: Any, padding: Any, dilation: Any, padding_mode: Any) -> None:
    """InputError unless torch can convolve so. Torch itself checks only in the forward pass, or not at all."""
    least = {"kernel_size": (kernel_size, 1), "stride": (stride, 1), "dilation": (dilation, 1)}
    if not isinstance(padding, str):
        least["padding"] = padding, 0
    elif padding not in PADDINGS:
        raise unknown("padding", padding, PADDINGS)
    for name, (size, bound) in least.items():
        if len(pair(size)) != 2 or not all(_is_whole(each) and each >= bound for each in pair(size)):
            raise InputError(
                f"{name} of a binary convolution must be a whole number of at least {bound}, or two of them, "
                f"not {size!r}"
            )
    if padding == "same" and pair(stride) != (1, 1):
        raise InputError(f"padding='same' needs a stride of 1, not {stride}")
    if padding_mode not in PADDING_MODES:
        raise unknown("padding mode", padding_mode, PADDING_MODES)
