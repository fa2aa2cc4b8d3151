"""The layers of a saved state: the tensors that belong together, and the weight among them."""

from __future__ import annotations

from types import SimpleNamespace

import torch

#: The normalisation that follows a flat weight in Bi-Real and ReActNet: it alone knows the number of channels.
FOLLOWED_BY = {
    "binary_conv": "bn1",
    "binary_3x3": "bn1",
    "binary_pw": "bn2",
    "binary_pw_down1": "bn2_1",
    "binary_pw_down2": "bn2_2",
}


def layers_in(tensors: dict[str, torch.Tensor]) -> dict[str, SimpleNamespace]:
    """The tensors of every layer that has a weight of at least two axes, as attributes.

    A flat weight has its `shape` beside it where the state tells how many channels it has.
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
    """Say how many channels a flat weight has, where the normalisation behind it is known."""
    parent, _, name = owner.rpartition(".")
    path = ".".join(filter(None, (parent, FOLLOWED_BY.get(name), "weight")))
    channels = tensors[path].numel() if name in FOLLOWED_BY and path in tensors else 0
    if channels and layer.weights.numel() % channels == 0:
        layer.shape = (channels, layer.weights.numel() // channels)


def weight_of(layer: SimpleNamespace) -> tuple[torch.Tensor, tuple[int, ...]]:
    """The weight of one of `layers_in`, and its shape with the output channel first."""
    latent = getattr(layer, "weight", getattr(layer, "weights", None))
    assert isinstance(latent, torch.Tensor)  # noqa: S101 - what has none is no layer
    return latent, getattr(layer, "shape", tuple(latent.shape))
