"""convert: make the convolutions and linear layers of a network binary, in place."""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pandas as pd
from torch import nn
from torch.nn.utils import parametrize

from recu_analysis.analysis.module_table import ModuleTable
from recu_analysis.errors import InputError, LayerNotFoundError, hint, listed
from recu_analysis.nn.layers import BinaryConv2d, BinaryLinear, become_binary, binarizer_of
from recu_analysis.nn.sizes import too_few_weights
from recu_analysis.store.layer_selection import as_patterns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.nn.binarizer import Binarizer

#: How many layers an error lists. It counts the others.
LISTED = 8
#: Modules of torch that may use the weights of their layers without calling the layers.
BYPASSING = (nn.MultiheadAttention, nn.TransformerEncoderLayer)


def convert(
    model: nn.Module,
    *,
    layers: str | Sequence[str] | None = None,
    binarizer: str | Binarizer = "recu",
    **ingredients: Any,
) -> pd.DataFrame:
    """Make convolutions and linear layers of a network binary, in place.

    A layer becomes a `BinaryConv2d` or a `BinaryLinear`. It stays the same object: it keeps weight, bias, hooks,
    device, dtype and mode, and an existing optimizer still trains them. The layer gets tau, which `set_tau` sets, and
    the parameter alpha, drawn from torch's generator; alpha is frozen if the weight is. Make the optimizer afterwards,
    give it the new parameters, or choose ``alpha="none"``.

    Parameters
    ----------
    model : torch.nn.Module
        It must not be in DistributedDataParallel yet, because that would not know the new parameters.
    layers : str or sequence of str, optional
        Patterns (``*``, ``?``, ``[...]``) of module names. By default every layer except the first and the last, in the
        order of the definition of the network.
    binarizer, **ingredients
        As in `BinaryConv2d`.

    Returns
    -------
    DataFrame
        A row for each Conv2d and each Linear. Columns: name, converted (bool), kind (the class before), shape (such as
        16x3x3x3), why. Some layers are never converted: layers of a class derived from Conv2d or Linear, with
        fewer than two weights in a channel, with a weight that another module shares or that is computed from other
        tensors, with a replaced forward, and layers in nn.MultiheadAttention and nn.TransformerEncoderLayer.

    Raises
    ------
    LayerNotFoundError
        If a pattern matches no convolution or linear layer.
    InputError
        If there is nothing to convert, or an argument is wrong. The network is then unchanged.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(128, 10))
    >>> convert(model)[["name", "converted"]].values.tolist()
    [['0', False], ['1', True], ['3', False]]
    """
    _check_model(model)
    options = binarizer_of(convert, binarizer, ingredients)
    found = {name: each for name, each in model.named_modules() if isinstance(each, (nn.Conv2d, nn.Linear))}
    chosen = _chosen(model, list(found), as_patterns(layers))
    obstacles = _obstacles(model)
    rows, left = [], []
    for name, layer in found.items():
        obstacle = chosen[name] or obstacles.get(id(layer), "")
        if obstacle:
            left.append(f"{name or '(itself)'}: {obstacle}")
        why = obstacle or ("neither first nor last" if layers is None else "chosen by layers=")
        rows.append((name, not obstacle, type(layer).__name__, "x".join(map(str, _shape(layer))), why))
    table = pd.DataFrame(rows, columns=["name", "converted", "kind", "shape", "why"]).astype({"converted": bool})
    if not table["converted"].any():
        seen = listed(left, LISTED) if left else "it has neither a Conv2d nor a Linear"
        raise InputError(f"no layer of {type(model).__name__} can become binary; {seen}")
    for layer, converted in zip(found.values(), table["converted"], strict=True):
        if converted:
            become_binary(layer, options)
    return ModuleTable(table)


def _check_model(model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise InputError(f"the model to convert must be a torch.nn.Module, not {model!r:.40}")
    if any(isinstance(each, nn.parallel.DistributedDataParallel) for each in model.modules()):
        raise InputError("the network is in DistributedDataParallel, which ignores new parameters; convert it before")


def _chosen(model: nn.Module, names: list[str], patterns: Sequence[str] | None) -> dict[str, str]:
    """By layer, the reason why it was not chosen; empty if it was chosen."""
    if patterns is None:
        ends = {names[-1]: "last layer stays real", names[0]: "first layer stays real"} if names else {}
        return {name: ends.get(name, "") for name in names}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise LayerNotFoundError(
                f"no convolution or linear layer of {type(model).__name__} matches {pattern!r}; {hint(pattern, names)}"
            )
    return {
        name: "" if any(fnmatchcase(name, pattern) for pattern in patterns) else "not chosen by layers="
        for name in names
    }


def _obstacles(model: nn.Module) -> dict[int, str]:
    """By the id of a layer, the reason why it cannot become binary; only for such layers."""
    modules = list(model.modules())
    users = Counter(id(tensor) for each in modules for tensor in each._parameters.values() if tensor is not None)
    bypassed = {
        id(inner): f"in {type(each).__name__}"
        for each in modules
        if isinstance(each, BYPASSING)
        for inner in each.modules()
    }
    layers = [each for each in modules if isinstance(each, (nn.Conv2d, nn.Linear))]
    found = {id(each): bypassed.get(id(each)) or _obstacle(each, users) for each in layers}
    return {layer: why for layer, why in found.items() if why}


def _obstacle(layer: nn.Conv2d | nn.Linear, users: Counter[int]) -> str:
    weight = layer._parameters.get("weight")
    if isinstance(layer, (BinaryConv2d, BinaryLinear)):
        return "it is binary already"
    if weight is None or parametrize.is_parametrized(layer):
        return "its weight is computed"
    if type(layer) not in (nn.Conv2d, nn.Linear):
        return "a class derived from torch's"
    if "forward" in vars(layer):
        return "its forward was replaced"
    if users[id(weight)] > 1:
        return "its weight is shared"
    if not weight.is_floating_point():
        return f"its weight is {str(weight.dtype).removeprefix('torch.')}, not real"
    return "too few weights per channel" if too_few_weights(weight.shape) else ""


def _shape(layer: nn.Conv2d | nn.Linear) -> tuple[int, ...]:
    """Shape of the weight, from the layer's sizes: the weight may be computed, or not exist yet."""
    if isinstance(layer, nn.Conv2d):
        return (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel_size)
    return layer.out_features, layer.in_features
