"""Traces: the values of a few chosen weights of each layer after every update."""

from __future__ import annotations

import operator
import zlib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from recu_analysis.capture.accumulate import storable
from recu_analysis.errors import InputError, LayerNotFoundError, hint, kind_of_value
from recu_analysis.store.quantities import TABLE, TRACES

if TYPE_CHECKING:
    from recu_analysis.capture.accumulate import Accumulator, Array
    from recu_analysis.store.header import LayerSpec

#: Which weights are traced: a number per layer, or, by patterns of layer names, a number or places of weights.
TracesArgument: TypeAlias = int | Mapping[str, Any] | None


def chosen_weights(specs: Sequence[LayerSpec], traces: TracesArgument) -> dict[str, tuple[int, ...]]:
    """Flat indices of the weights to trace, ascending, by layer.

    A number of weights is drawn without replacement by a generator of its own, from the layer's name. So the choice
    does not depend on other layers, and torch's generators stay as they are.

    Parameters
    ----------
    specs : sequence of LayerSpec
    traces : int, or mapping of str to int or sequence, optional
        As for `recu_analysis.record`.

    Raises
    ------
    InputError
        If it is neither, or a weight does not exist.
    LayerNotFoundError
        If a pattern matches no layer.
    """
    if traces is None:
        return {}
    if not isinstance(traces, Mapping):
        count = _count(traces)
        return {spec.name: _drawn(spec, count) for spec in specs}
    names = [spec.name for spec in specs]
    found = {}
    for pattern, wanted in traces.items():
        matching = [spec for spec in specs if fnmatchcase(spec.name, str(pattern))]
        if not matching:
            raise LayerNotFoundError(f"no recorded layer matches {pattern!r} of traces; {hint(str(pattern), names)}")
        for spec in matching:
            places = isinstance(wanted, Sequence | np.ndarray) and not isinstance(wanted, str | bytes)
            found[spec.name] = _named(spec, wanted) if places else _drawn(spec, _count(wanted))
    return found


def _count(number: Any) -> int:
    try:
        count = operator.index(number)
    except TypeError:
        count = 0
    if count < 1 or isinstance(number, bool):
        shown = number if isinstance(number, int) else kind_of_value(number)
        raise InputError(
            f"traces must be a number of weights per layer, at least 1, or a mapping of layer names to numbers or to "
            f"places of weights, not {shown}"
        )
    return count


def _drawn(spec: LayerSpec, count: int) -> tuple[int, ...]:
    generator = np.random.default_rng(zlib.crc32(spec.name.encode()))
    places = generator.choice(spec.weights, min(count, spec.weights), replace=False)
    return tuple(sorted(places.tolist()))


def _named(spec: LayerSpec, places: Sequence[Any]) -> tuple[int, ...]:
    """Flat indices of weights that are given as flat indices or as indices of each axis."""
    found = set()
    for place in places:
        try:
            several = tuple(map(operator.index, place)) if isinstance(place, Sequence) else (operator.index(place),)
            flat = np.ravel_multi_index(several, spec.shape if len(several) > 1 else (spec.weights,))
        except (TypeError, ValueError):
            raise InputError(
                f"layer {spec.name!r} of shape {'x'.join(map(str, spec.shape))} has no weight {place!r:.60} to trace; "
                f"give a flat index below {spec.weights}, or one index for each axis"
            ) from None
        found.add(int(flat))
    return tuple(sorted(found))


class Traces:
    """The traced weights of one layer over its open window, on the layer's device.

    Parameters
    ----------
    chosen : sequence of int
        Flat indices of the weights.
    spec : LayerSpec
    device : torch.device
    """

    def __init__(self, chosen: Sequence[int], spec: LayerSpec, device: torch.device) -> None:
        self._chosen = torch.tensor(chosen, dtype=torch.int64, device=device)
        self._dtypes = {name: TABLE[name].dtype_in(spec.dtype) for name in TRACES}
        self._rows: dict[str, list[torch.Tensor]] = {name: [] for name in TRACES}

    def add(self, weight: torch.Tensor, movement: Accumulator) -> None:
        """Add the update that resulted in `weight`, which `movement` has already seen."""
        z, negative = movement.look(self._chosen)
        values = storable(weight).reshape(-1)[self._chosen]
        for name, row in zip(TRACES, (values, z.float(), 1 - 2 * negative.long()), strict=True):
            self._rows[name].append(row)

    def state(self) -> dict[str, torch.Tensor]:
        """Copies on the CPU of the open window."""
        return {name: torch.from_numpy(array) for name, array in self._arrays().items()}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore the open window from `state`; raise KeyError or RuntimeError if it does not fit."""
        self._rows = {name: list(state[name].to(self._chosen.device).unbind()) for name in TRACES}

    def take(self) -> dict[str, Array]:
        """Return the window's arrays by the names of their rows, one row per update, and begin a new window."""
        taken = self._arrays()
        for rows in self._rows.values():
            rows.clear()
        return taken

    def _arrays(self) -> dict[str, Array]:
        empty = np.empty((0, len(self._chosen)))
        return {
            name: (torch.stack(rows).to("cpu", copy=True).numpy() if rows else empty).astype(self._dtypes[name])
            for name, rows in self._rows.items()
        }
