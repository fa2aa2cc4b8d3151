"""Which modules of a model are binary, and what each does to its latent weights before their sign."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import torch

from recu_analysis.errors import InputError, NoBinaryLayersError
from recu_analysis.nn.layers import BinaryConv2d, BinaryLinear
from recu_analysis.store.format import LayerSpec
from recu_analysis.theory.standardize import WeightTransform

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

#: Modules that an error lists before it says how many more there are.
LISTED = 8


@dataclass(frozen=True, slots=True)
class BinaryLayer:
    """A module whose latent weights are recorded.

    Attributes
    ----------
    name : str
        The module's name in the model.
    module : torch.nn.Module
    adapter : str
        What recognised it.
    transform : WeightTransform
        What it does to its weights before their sign.
    why : str
        The reason, for people.
    """

    name: str
    module: torch.nn.Module
    adapter: str
    transform: WeightTransform
    why: str

    @property
    def weight(self) -> torch.nn.Parameter:
        """The latent weight, shape (C_out, ...)."""
        return self.module.get_parameter("weight")

    @property
    def tau(self) -> float | None:
        """The quantile level that the layer holds now; None where it does not clamp."""
        tau = getattr(self.module, "tau", None)
        return float(tau) if self.transform.clamp and isinstance(tau, torch.Tensor) else None

    @property
    def scale(self) -> NDArray[np.float32] | None:
        """The learned alpha, one entry a channel; None where the layer has none."""
        alpha = getattr(self.module, "alpha", None)
        return alpha.detach().float().cpu().numpy().reshape(-1).copy() if isinstance(alpha, torch.Tensor) else None

    @property
    def spec(self) -> LayerSpec:
        """What run.json says of the layer."""
        dtype = "float64" if self.weight.dtype == torch.float64 else "float32"
        return LayerSpec(self.name, tuple(self.weight.shape), dtype, self.adapter, self.transform)


def binary_layers(model: torch.nn.Module, layers: Sequence[str] | None = None) -> list[BinaryLayer]:
    """The binary layers of a model, in its order; a weight that several modules share is taken once.

    Parameters
    ----------
    model : torch.nn.Module
    layers : sequence of str, optional
        Patterns (``*``, ``?``, ``[...]``) of module names to take instead of what is recognised. A matching
        module that is not recognised is taken to binarise its `weight` by its plain sign.

    Raises
    ------
    NoBinaryLayersError
        If there is none; the text lists what was seen.
    InputError
        If a pattern matches no module that has a weight.
    """
    found: list[BinaryLayer] = []
    seen: set[int] = set()
    for name, module in _weighted(model):
        chosen = layers is None or any(fnmatchcase(name, pattern) for pattern in layers)
        layer = _match(name, module, asked=layers is not None) if chosen else None
        if layer is not None and id(layer.weight) not in seen:
            seen.add(id(layer.weight))
            found.append(layer)
    unmatched = [pattern for pattern in layers or [] if not any(fnmatchcase(layer.name, pattern) for layer in found)]
    if unmatched:
        raise InputError(f"no module with a weight matches {unmatched[0]!r}; the model has {_listed(model)}")
    if not found:
        raise NoBinaryLayersError(
            f"no binary layer was recognised in {type(model).__name__}; it has {_listed(model)}; name the layers that "
            'are binary, such as layers=["layer1.*"]'
        )
    return found


def find_binary_layers(model: torch.nn.Module) -> pd.DataFrame:
    """Every module with a weight, whether it is taken as binary, and why.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    DataFrame
        Columns name, shape, binary, adapter (empty where not taken), why.

    Raises
    ------
    NoBinaryLayersError
        If no module is binary.
    """
    import pandas as pd

    taken = {layer.name: layer for layer in binary_layers(model)}
    rows = []
    for name, module in _weighted(model):
        layer = taken.get(name)
        shape = "x".join(map(str, module.get_parameter("weight").shape))
        why = layer.why if layer else f"{type(module).__name__} is not known to be binary"
        rows.append((name, shape, layer is not None, layer.adapter if layer else "", why))
    return pd.DataFrame(rows, columns=["name", "shape", "binary", "adapter", "why"])


def _weighted(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    """Modules that hold a floating-point weight of at least two axes, with their names."""
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, torch.nn.Parameter) and weight.is_floating_point() and weight.ndim >= 2:
            yield name, module


def _match(name: str, module: torch.nn.Module, *, asked: bool) -> BinaryLayer | None:
    if isinstance(module, (BinaryConv2d, BinaryLinear)):
        why = f"{type(module).__name__} of recu_analysis.nn"
        return BinaryLayer(name, module, "recu-analysis", module.weight_transform, why)
    if asked:
        return BinaryLayer(name, module, "sign", WeightTransform(), "asked for by name; taken to use its plain sign")
    return None


def _listed(model: torch.nn.Module) -> str:
    seen = [f"{name or '(itself)'}: {type(module).__name__}" for name, module in _weighted(model)]
    more = f" and {len(seen) - LISTED} more" if len(seen) > LISTED else ""
    return ", ".join(seen[:LISTED]) + more if seen else "no module with a weight"
