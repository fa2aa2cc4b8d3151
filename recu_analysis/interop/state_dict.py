"""The layers of a saved state: the tensors of each layer, and its weight."""

from __future__ import annotations

from types import SimpleNamespace

import torch

#: The normalization layer after a flat weight in Bi-Real and ReActNet, from which the number of channels follows.
FOLLOWED_BY = {
    "binary_conv": "bn1",
    "binary_3x3": "bn1",
    "binary_pw": "bn2",
    "binary_pw_down1": "bn2_1",
    "binary_pw_down2": "bn2_2",
}


def layers_in(tensors: dict[str, torch.Tensor]) -> dict[str, SimpleNamespace]:
    """The tensors of every layer that has a weight with at least two axes, as attributes of a namespace.

    The namespace of a flat weight also has a `shape`, if the number of channels follows from the state.
    """
    owners: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        owner, _, leaf = key.rpartition(".")
        owners.setdefault(owner, {})[leaf] = tensor
    layers = {}
    for owner, own in owners.items():
        weight = own.get("weight", own.get("weights"))
        if weight is not None and weight.ndim >= 2:
            layers[owner] = SimpleNamespace(**own)
            if "weights" in own:
                _give_shape(layers[owner], owner, tensors)
    return layers


def _give_shape(layer: SimpleNamespace, owner: str, tensors: dict[str, torch.Tensor]) -> None:
    """Set the shape of a flat weight, if the normalization layer after it is known."""
    parent, _, name = owner.rpartition(".")
    path = ".".join(filter(None, (parent, FOLLOWED_BY.get(name), "weight")))
    channels = tensors[path].numel() if name in FOLLOWED_BY and path in tensors else 0
    if channels and layer.weights.numel() % channels == 0:
        layer.shape = (channels, layer.weights.numel() // channels)


def weight_of(layer: SimpleNamespace) -> tuple[torch.Tensor, tuple[int, ...]]:
    """The weight of a layer from `layers_in`, and its shape, output channel first."""
    latent = getattr(layer, "weight", getattr(layer, "weights", None))
    assert isinstance(latent, torch.Tensor)  # noqa: S101 - every layer has a weight
    return latent, getattr(layer, "shape", tuple(latent.shape))
