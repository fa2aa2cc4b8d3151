"""Networks by name, with the authors' module names."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from recu_analysis.errors import InputError
from recu_analysis.nn.networks.resnet_cifar import resnet20

if TYPE_CHECKING:
    from torch import nn

NETWORKS = {"resnet20": resnet20}


def build_network(
    name: str,
    num_classes: int = 10,
    **binary: Any,
) -> nn.Module:
    """A network with binary layers, newly initialised from torch's global generator.

    Parameters
    ----------
    name : str
        resnet20.
    num_classes : int
        At least 1.
    **binary
        Options of every binary layer: scale, centre, clamp, mask of `BinaryConv2d`.

    Raises
    ------
    InputError
        If no network has that name, or there is no class.
    """
    if name not in NETWORKS:
        near = get_close_matches(name, NETWORKS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(NETWORKS)}"
        raise InputError(f"no network is called {name!r}; {hint}")
    if num_classes < 1:
        raise InputError(f"a network needs at least one class, not {num_classes}")
    return NETWORKS[name](num_classes, **binary)
