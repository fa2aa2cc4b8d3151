"""Traces: the values of a few chosen weights of each layer after every update."""

from __future__ import annotations

import math
import operator
import zlib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from recu_analysis.capture.recorded_rows import RecordedRows
from recu_analysis.errors import InputError, LayerNotFoundError, hint, kind_of_value, listed
from recu_analysis.store.quantities import TABLE, TRACES

if TYPE_CHECKING:
    from recu_analysis.capture.accumulate import Accumulator, Array
    from recu_analysis.store.channels import Sample, Sampling
    from recu_analysis.store.header import LayerSpec

#: Which weights are traced: a number per layer, or, by patterns of layer names, a number or places of weights.
TracesArgument: TypeAlias = int | Mapping[str, Any] | None
#: Updates for which there is room at first; the room doubles when it is full.
ROOM = 256
#: Channels that an error lists before it counts the rest.
LISTED = 8


def chosen_weights(
    shapes: Mapping[str, tuple[int, ...]], traces: TracesArgument, sampling: Sampling | None = None
) -> dict[str, tuple[int, ...]]:
    """Flat indices among the recorded weights of those to trace, ascending, by layer.

    A number of weights is drawn without replacement by a generator of its own, from the layer's name. So the choice
    does not depend on other layers, and torch's generators stay as they are. If channels are sampled, it is drawn from
    the recorded weights.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Shape of the latent weight by layer.
    traces : int, or mapping of str to int or sequence, optional
        As for `recu_analysis.record`.
    sampling : Sampling, optional
        How output channels are sampled; all are recorded by default.

    Raises
    ------
    InputError
        If it is neither, or a weight does not exist or is not recorded.
    LayerNotFoundError
        If a pattern matches no layer.
    """
    if traces is None:
        return {}
    wanted: Mapping[str, Any] = traces if isinstance(traces, Mapping) else {"*": traces}
    found = {}
    for pattern, which in wanted.items():
        matching = [name for name in shapes if fnmatchcase(name, str(pattern))]
        if not matching:
            raise LayerNotFoundError(f"no recorded layer matches {pattern!r} of traces; {hint(str(pattern), shapes)}")
        for name in matching:
            sample = None if sampling is None else sampling.of(name, shapes[name][0])
            places = isinstance(which, Sequence | np.ndarray) and not isinstance(which, str | bytes)
            found[name] = (
                _recorded(name, shapes[name], sample, _named(name, shapes[name], which))
                if places
                else drawn_weights(name, RecordedRows(shapes[name], sample).shape, _count(which))
            )
    return found


def _recorded(name: str, shape: tuple[int, ...], sample: Sample | None, places: tuple[int, ...]) -> tuple[int, ...]:
    """The places of weights of a layer among its recorded weights."""
    if sample is None:
        return places
    width = math.prod(shape[1:])
    for place in places:
        if place // width not in sample.recorded:
            raise InputError(
                f"weight {place} of layer {name!r} to trace is in output channel {place // width}, which {sample} does "
                f"not record; trace weights of channels {listed([*map(str, sample.recorded)], LISTED)}"
            )
    return tuple(sample.recorded.index(place // width) * width + place % width for place in places)


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


def drawn_weights(name: str, shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Ascending flat indices of some weights of a layer, the same in every run; all weights if it has fewer."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    weights = math.prod(shape)
    return tuple(sorted(generator.choice(weights, min(count, weights), replace=False).tolist()))


def _named(name: str, shape: tuple[int, ...], places: Sequence[Any]) -> tuple[int, ...]:
    """Flat indices of weights that are given as flat indices or as indices of each axis."""
    found, weights = set(), math.prod(shape)
    for place in places:
        try:
            several = tuple(map(operator.index, place)) if isinstance(place, Sequence) else (operator.index(place),)
            flat = np.ravel_multi_index(several, shape if len(several) > 1 else (weights,))
        except (TypeError, ValueError):
            raise InputError(
                f"layer {name!r} of shape {'x'.join(map(str, shape))} has no weight {place!r:.60} to trace; give a "
                f"flat index below {weights}, or one index for each axis"
            ) from None
        found.add(int(flat))
    return tuple(sorted(found))


class Traces:
    """The traced weights of one layer over its open window, in one tensor on the layer's device.

    Parameters
    ----------
    spec : LayerSpec
        Its `traced` are the weights.
    device : torch.device
    """

    def __init__(self, spec: LayerSpec, device: torch.device) -> None:
        self._spec = spec
        self._chosen = torch.tensor(spec.traced, dtype=torch.int64, device=device)
        # Each update has the rows of `TRACES`. The dtype of the latent weight holds all of them without loss.
        dtype = getattr(torch, spec.dtype)
        self._room = torch.empty(ROOM, len(TRACES), len(spec.traced), dtype=dtype, device=device)
        self._updates = 0

    def add(self, movement: Accumulator) -> None:
        """Add the update that `movement` has just seen."""
        if self._updates == len(self._room):
            self._room = torch.cat([self._room, torch.empty_like(self._room)])
        self._room[self._updates] = movement.look(self._chosen)
        self._updates += 1

    def state(self) -> dict[str, torch.Tensor]:
        """A copy on the CPU of the open window."""
        return {"traces": self._room[: self._updates].to("cpu", copy=True)}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore the open window from `state`; raise KeyError or RuntimeError if it does not fit."""
        saved = state["traces"].to(self._room)
        self._room, self._updates = torch.cat([saved, torch.empty_like(self._room)]), len(saved)

    def take(self) -> dict[str, Array]:
        """Return the window's arrays by the names of their rows, one row per update, and begin a new window."""
        seen = self.state()["traces"].numpy()
        self._updates = 0
        return {name: seen[:, row].astype(TABLE[name].dtype_in(self._spec.dtype)) for row, name in enumerate(TRACES)}
