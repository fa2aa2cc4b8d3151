"""Networks by name, with the authors' module names."""

from __future__ import annotations

from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any

from recu_analysis.errors import InputError, unknown
from recu_analysis.nn.layers import BinaryConv2d
from recu_analysis.nn.networks.parts import real_convolution
from recu_analysis.nn.networks.reactnet import ReActNet18
from recu_analysis.nn.networks.resnet_cifar import ResNet18, ResNet20
from recu_analysis.nn.networks.resnet_imagenet import resnet18_imagenet, resnet34_imagenet
from recu_analysis.nn.networks.vgg import VGGSmall

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

#: Called with the number of classes and a function that makes a convolution.
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "resnet20": ResNet20,
    "resnet18": ResNet18,
    "vgg_small": VGGSmall,
    "resnet18_imagenet": resnet18_imagenet,
    "resnet34_imagenet": resnet34_imagenet,
    "reactnet18": ReActNet18,
}
#: Ending of the name of a network's real-valued twin.
REAL = "-real"


def build_network(
    name: str,
    num_classes: int = 10,
    **binary: Any,
) -> nn.Module:
    """A network with binary layers, or its real-valued twin, newly initialized from torch's global generator.

    Parameters
    ----------
    name : str
        resnet20, resnet18, vgg_small for small images; resnet18_imagenet, resnet34_imagenet, reactnet18 for large ones.
        With the ending -real the twin: it has an ordinary convolution in place of each binary one, and is otherwise the
        same.
    num_classes : int
        At least 1.
    **binary
        Options of every binary layer, as in `BinaryConv2d`, except that bias is False by default. A twin takes none.

    Raises
    ------
    InputError
        If no network has that name, `num_classes` is below 1, or a twin gets options of binary layers.
    """
    _check_kinds(name, num_classes)
    base = name.removesuffix(REAL)
    if base not in NETWORKS:
        ending = name[len(base) :]
        raise unknown("network", name, [network + ending for network in NETWORKS])
    if num_classes < 1:
        raise InputError(f"a network needs at least one class, not {num_classes}")
    if base == name:
        return NETWORKS[base](num_classes, partial(BinaryConv2d, **{"bias": False, **binary}))
    if binary:
        raise InputError(f"{name} has no binary layers, so it takes none of their options ({', '.join(binary)})")
    return NETWORKS[base](num_classes, real_convolution)


def _check_kinds(name: Any, num_classes: Any) -> None:
    if not isinstance(name, str):
        raise InputError(f"the name of a network must be a text, not {name!r:.40}")
    if not isinstance(num_classes, Integral):
        raise InputError(f"the number of classes must be a whole number, not {num_classes!r:.40}")
