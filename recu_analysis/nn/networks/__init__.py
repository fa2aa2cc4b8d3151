"""Networks by name, with the authors' module names."""

from __future__ import annotations

from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any

from torch import nn

from recu_analysis.errors import InputError, unknown
from recu_analysis.nn.layers import BinaryConv2d
from recu_analysis.nn.networks.parts import real_convolution
from recu_analysis.nn.networks.reactnet import ReActNet18
from recu_analysis.nn.networks.resnet_cifar import ResNet18, ResNet20
from recu_analysis.nn.networks.resnet_imagenet import resnet18_imagenet, resnet34_imagenet
from recu_analysis.nn.networks.ternary_lm import TernaryLM
from recu_analysis.nn.networks.vgg import VGGSmall
from recu_analysis.nn.quantized import QuantizedConv2d, TernaryLinear, quantizer_of, reset_steps

if TYPE_CHECKING:
    from collections.abc import Callable

#: Called with the number of classes and a function that makes a convolution.
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "resnet20": ResNet20,
    "resnet18": ResNet18,
    "vgg_small": VGGSmall,
    "resnet18_imagenet": resnet18_imagenet,
    "resnet34_imagenet": resnet34_imagenet,
    "reactnet18": ReActNet18,
}
#: Networks for text: called with the number of classes and a function that makes a linear layer.
TEXT_NETWORKS: dict[str, Callable[..., nn.Module]] = {"ternary-lm": TernaryLM}
#: Ending of the name of a network's real-valued twin.
REAL = "-real"


def build_network(
    name: str,
    num_classes: int = 10,
    *,
    levels: int = 2,
    bits: int = 1,
    **binary: Any,
) -> nn.Module:
    """A network with binary or quantized layers, or its real-valued twin, initialized from torch's global generator.

    Parameters
    ----------
    name : str
        resnet20, resnet18, vgg_small for small images; resnet18_imagenet, resnet34_imagenet, reactnet18 for large ones;
        ternary-lm for text as bytes. With the ending -real the twin: it has an ordinary layer in place of each binary
        or ternary one, and is otherwise the same.
    num_classes : int
        At least 1.
    levels, bits : int
        Of the weights: 3 levels are ternary (`QuantizedConv2d`), 2 to 4 bits have steps of a learned size. ternary-lm
        is ternary, and a twin is real, without them.
    **binary
        Options of every binary layer, as in `BinaryConv2d`, except that bias is False by default. Other layers take
        none.

    Raises
    ------
    InputError
        If no network has that name, `num_classes` is below 1, there are no such levels or bits, or a network without
        binary layers gets options of them.
    """
    _check_kinds(name, num_classes)
    base = name.removesuffix(REAL)
    if base not in NETWORKS | TEXT_NETWORKS:
        ending = name[len(base) :]
        raise unknown("network", name, [network + ending for network in NETWORKS | TEXT_NETWORKS])
    if num_classes < 1:
        raise InputError(f"a network needs at least one class, not {num_classes}")
    quantizer = quantizer_of(levels, bits)
    if binary and (base != name or base in TEXT_NETWORKS or quantizer is not None):
        which = f"{name} with {quantizer.count} levels" if quantizer is not None else name
        raise InputError(f"{which} has no binary layers, so it takes none of their options ({', '.join(binary)})")
    if base != name and quantizer is not None:
        raise InputError(f"{name} has real weights; omit levels and bits")
    if base in TEXT_NETWORKS:
        if bits != 1:
            raise InputError(f"{name} has ternary weights; omit bits")
        return TEXT_NETWORKS[base](num_classes, partial(nn.Linear if base != name else TernaryLinear, bias=False))
    if base != name:
        return NETWORKS[base](num_classes, real_convolution)
    if quantizer is None:
        return NETWORKS[base](num_classes, partial(BinaryConv2d, **{"bias": False, **binary}))
    model = NETWORKS[base](num_classes, partial(QuantizedConv2d, bias=False, quantizer=quantizer))
    reset_steps(model)  # some networks initialize their weights after the layers did
    return model


def _check_kinds(name: Any, num_classes: Any) -> None:
    if not isinstance(name, str):
        raise InputError(f"the name of a network must be a text, not {name!r:.40}")
    if not isinstance(num_classes, Integral):
        raise InputError(f"the number of classes must be a whole number, not {num_classes!r:.40}")
