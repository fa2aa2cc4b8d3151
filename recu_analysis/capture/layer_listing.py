"""Tables of the layers of a network or a checkpoint: binary or real, and why."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis.analysis.module_table import ModuleTable
from recu_analysis.capture.adapters.find import judged_layers
from recu_analysis.capture.adapters.state_dict_layers import known_layers
from recu_analysis.capture.verification import Verification

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

#: Reason for a saved layer that no adapter recognizes; layers of BinaryNet or IR-Net look like real ones.
NOTHING = "no tensor beside it shows that it is binary"
COLUMNS = ["name", "shape", "weights", "binary", "why"]


def find_binary_layers(
    model: torch.nn.Module, *, layers: Sequence[str] | str | None = None, example: Any = None
) -> pd.DataFrame:
    """Every module with a parameter of at least two axes, whether it is recorded as binary, and why or why not.

    Parameters
    ----------
    model : torch.nn.Module
    layers : str or sequence of str, optional
        Patterns of module names, as `record` takes them.
    example : Tensor, tuple, list or dict, optional
        Input of the model, as for `record`. The forward pass is then compared with the states that would be recorded.

    Returns
    -------
    DataFrame
        One row per module; no module needs to be binary. Columns name, binary, adapter (empty if not binary), shape,
        why. With an example also verified, before why: whether the forward pass used the states that would be recorded,
        None if this could not be seen; `why` then describes any difference. Printed, it shows name, answers and why.

    Raises
    ------
    InputError
        If `model` is not a module, a pattern matches no module with a weight, or the model cannot be called with the
        example.
    """
    table, found = judged_layers(model, layers)
    if example is None:
        return ModuleTable(table)
    shown = Verification.of_example(model, found, example).comparisons()
    for name, comparison in shown.items():
        if comparison.share:
            difference = (
                f"{comparison.share:.2%} of its states differ in the forward pass, where the weight {comparison.looks}"
            )
            table.loc[table["name"] == name, "why"] += f"; {difference}"
    verified = [None if name not in shown else not shown[name].share for name in table["name"]]
    with_verified = table.assign(verified=pd.Series(verified, dtype="object"))
    return ModuleTable(with_verified[[*table.columns.drop("why"), "verified", "why"]])


def list_network(model: torch.nn.Module) -> pd.DataFrame:
    """Every layer of a network, whether it is binary, and why.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    DataFrame
        Columns name, shape (such as 16x3x3x3), weights (number of weights), binary, why. Layers without a weight of at
        least two axes, such as normalization layers, are left out. The table may have no binary layer.
    """
    found, _ = judged_layers(model)
    columns = (found[name].tolist() for name in ("name", "shape", "binary", "why"))
    return _table([(name, _shape(shape), binary, why) for name, shape, binary, why in zip(*columns, strict=True)])


def list_state(state: Mapping[str, torch.Tensor]) -> pd.DataFrame:
    """Every layer of a saved state; it is binary if an adapter recognizes it by the tensors beside its weight.

    Parameters
    ----------
    state : mapping of str to Tensor
        A state_dict with the network's own names.

    Returns
    -------
    DataFrame
        Columns as in `list_network`.
    """
    return _table(
        [
            (name, shape, adapter is not None, NOTHING if adapter is None else adapter.reason("layer"))
            for name, (shape, adapter) in known_layers(dict(state)).items()
        ]
    )


def _table(rows: list[tuple[str, tuple[int, ...], bool, str]]) -> pd.DataFrame:
    last = len(rows) - 1
    content = [
        (
            name,
            "x".join(map(str, shape)),
            prod(shape),
            binary,
            why if binary else _why_real(shape, why, first=index == 0, last=index == last),
        )
        for index, (name, shape, binary, why) in enumerate(rows)
    ]
    return pd.DataFrame(content, columns=COLUMNS).astype({"weights": "int64", "binary": "bool"})


def _why_real(shape: tuple[int, ...], otherwise: str, *, first: bool, last: bool) -> str:
    """The usual reason why a layer with this place and shape is real, or `otherwise`."""
    if first and len(shape) == 4:
        return "first convolution stays real"
    if last and len(shape) == 2:
        return "last layer stays real"
    if shape[2:] == (1, 1):
        return "1x1 convolutions stay real"
    return otherwise


def _shape(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("x")))
