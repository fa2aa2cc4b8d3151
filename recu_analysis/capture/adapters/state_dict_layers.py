"""The binary layers of a saved state: recognized by the tensors beside a weight, or named by the user."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recu_analysis.capture.adapters.registry import Adapter, Meaning, refuse_unusable, registered, scored
from recu_analysis.capture.steps import check_first, steps_of
from recu_analysis.errors import InputError, NoBinaryLayersError, listed, unknown
from recu_analysis.interop.state_dict import layers_in, weight_of
from recu_analysis.store.header import LayerSpec
from recu_analysis.theory.levels import Quantizer
from recu_analysis.theory.standardize import WeightTransform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.interop.checkpoints import SavedState

Array = np.ndarray[Any, np.dtype[Any]]

#: Layers that an error lists before it counts the rest.
LISTED = 8


@dataclass(frozen=True, slots=True)
class SavedLayer:
    """One binary layer of one checkpoint.

    Attributes
    ----------
    spec : LayerSpec
    weight : ndarray of float32 or float64, shape of the layer
    effective : ndarray or None
        The effective weight, if the layer has no transform.
    tau : float or None
    scale : ndarray of float32 or None
        The learned alpha.
    quantizer : Quantizer
        With its steps and zero points in this checkpoint; the sign for binary layers.
    """

    spec: LayerSpec
    weight: Array
    effective: Array | None
    tau: float | None
    scale: Array | None
    quantizer: Quantizer = field(default_factory=Quantizer)


def saved_layers(
    state: SavedState, patterns: Sequence[str] | None = None, adapter: str | None = None
) -> list[SavedLayer]:
    """The binary layers of a saved state, in its order.

    Parameters
    ----------
    state : SavedState
    patterns : sequence of str, optional
        Patterns of the names of the layers to import; layers that are not recognized use the plain sign.
    adapter : str, optional
        Name of the adapter for the layers of `patterns`, whether they are recognized or not.

    Returns
    -------
    list of SavedLayer

    Raises
    ------
    NoBinaryLayersError
        If no layer is recognized; the message lists the candidates.
    InputError
        If a pattern matches no layer, or a layer holds no latent weights.
    """
    names = sorted({each.name for each in registered()})
    if adapter is not None and adapter not in names:
        raise unknown("adapter", adapter, names)
    namespaces = layers_in(state.tensors)
    if not namespaces:
        seen = listed(list(state.tensors), LISTED)
        raise NoBinaryLayersError(
            f"{state.path} has no layer: none of its tensors ({seen}) is named weight and has at least two axes"
            f"{_left_out(state)}; in a copy of the file, rename the latent weights to NAME.weight"
        )
    chosen = namespaces
    if patterns is not None:
        _refuse_unmatched(patterns, namespaces, state)
        chosen = {name: t for name, t in namespaces.items() if any(fnmatchcase(name, p) for p in patterns)}
    found = []
    for name, namespace in chosen.items():
        try:
            layer = _read(name, namespace, asked=patterns is not None, adapter=adapter)
        except InputError as error:
            raise InputError(f"layer {name!r} of {state.path} cannot be imported: {error}") from None
        if layer is not None:
            found.append(layer)
    if not found:
        raise NoBinaryLayersError(
            f"no layer of {state.path} is recognized as binary by its tensors; it has {_listed(namespaces)}"
            f"{_left_out(state)}; name the binary ones with --layer, and their adapter with --adapter if they do not "
            "use the plain sign"
        )
    return found


def known_layers(tensors: dict[str, torch.Tensor]) -> dict[str, tuple[tuple[int, ...], Adapter | None]]:
    """Shape and adapter of every layer of a saved state; the adapter is None if no adapter recognizes the tensors.

    Parameters
    ----------
    tensors : dict of str to Tensor
        A state_dict with the network's own names.

    Returns
    -------
    dict of str to (tuple of int, Adapter or None)
    """
    namespaces = layers_in(tensors)
    return {name: (weight_of(namespace)[1], _recognized(namespace)[0]) for name, namespace in namespaces.items()}


def _read(name: str, namespace: SimpleNamespace, *, asked: bool, adapter: str | None) -> SavedLayer | None:
    found, meaning = _named(namespace, adapter) if adapter else _recognized(namespace)
    if found is None and not asked:
        return None
    if found is None:
        latent, shape = weight_of(namespace)
        adapter_name, meaning = "sign", WeightTransform()
    else:
        adapter_name, latent = found.name, getattr(namespace, found.weight.rpartition(".")[2])
        shape = found.shape_in(namespace, latent, meaning)
    refuse_unusable(latent, shape)
    dtype = "float64" if latent.dtype == torch.float64 else "float32"
    weight, quantizer = _array(latent, shape, dtype), Quantizer()
    if isinstance(meaning, Quantizer):
        quantizer, meaning = _with_steps(meaning, torch.from_numpy(weight)), WeightTransform()
    transform = meaning if isinstance(meaning, WeightTransform) else None
    rule = replace(quantizer, step=None, zero=None)
    return SavedLayer(
        LayerSpec(name, shape, dtype, adapter_name, transform, z=scored(meaning), quantizer=rule),
        weight,
        _array(meaning, shape, dtype) if isinstance(meaning, torch.Tensor) else None,
        _tau(namespace, transform),
        _scale(namespace, shape[0]),
        quantizer,
    )


def _with_steps(quantizer: Quantizer, weight: torch.Tensor) -> Quantizer:
    """A quantizer with the steps and zero points that it has at these weights; InputError if they are not latent."""
    rows = weight.reshape(quantizer.groups(tuple(weight.shape)), -1)
    if rows.shape[1] > quantizer.count and all(row.unique().numel() <= quantizer.count for row in rows):
        raise InputError(
            f"its weight has at most {quantizer.count} values in each scale group: it is already quantized and has no "
            "latent weights"
        )
    step, zero = steps_of(quantizer, weight)
    check_first(step, zero)
    return replace(quantizer, step=step.numpy(), zero=zero.numpy())


def _recognized(namespace: SimpleNamespace) -> tuple[Adapter | None, Meaning]:
    """The adapter that recognizes a layer by its tensors, and its meaning."""
    for adapter in registered():
        meaning = adapter.meaning(namespace) if adapter.fingerprint else None
        if meaning is not None:
            return adapter, meaning
    return None, None


def _named(namespace: SimpleNamespace, name: str) -> tuple[Adapter, Meaning]:
    """An adapter by its name, and its meaning for a layer."""
    for adapter in registered():
        meaning = adapter.meaning(_inside(namespace, adapter)) if adapter.name == name else None
        if meaning is not None:
            return adapter, meaning
    raise InputError(f"its tensors {', '.join(vars(namespace))} do not fit adapter {name!r}")


def _inside(namespace: SimpleNamespace, adapter: Adapter) -> SimpleNamespace:
    """A layer wrapped in a namespace of its parent, for an adapter of the parent."""
    return SimpleNamespace(**{adapter.owner: namespace}) if adapter.owner else namespace


def _array(tensor: Any, shape: tuple[int, ...], dtype: str) -> Array:
    return np.ascontiguousarray(tensor.detach().to(getattr(torch, dtype)).reshape(shape).numpy())


def _tau(namespace: SimpleNamespace, transform: WeightTransform | None) -> float | None:
    tau = getattr(namespace, "tau", None)
    if not isinstance(tau, torch.Tensor) or tau.numel() != 1 or transform is None or not transform.clamp:
        return None
    return float(tau)


def _scale(namespace: SimpleNamespace, channels: int) -> Array | None:
    alpha = getattr(namespace, "alpha", None)
    if not isinstance(alpha, torch.Tensor) or alpha.numel() != channels:
        return None
    return np.array(alpha.float().reshape(-1).numpy())


def _refuse_unmatched(patterns: Sequence[str], namespaces: dict[str, SimpleNamespace], state: SavedState) -> None:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in namespaces):
            raise InputError(
                f"no layer of {state.path} matches {pattern!r}; it has {_listed(namespaces)}{_left_out(state)}"
            )


def _left_out(state: SavedState) -> str:
    """The tensors that cannot be read as real numbers, for a message."""
    return f" (left out, not ordinary tensors of real numbers: {listed(state.odd, LISTED)})" if state.odd else ""


def _listed(namespaces: dict[str, SimpleNamespace]) -> str:
    shapes = {name or "(itself)": "x".join(map(str, weight_of(namespace)[1])) for name, namespace in namespaces.items()}
    return listed([f"{name} ({shape})" for name, shape in shapes.items()], LISTED)
