"""The rows of a layer that are recorded, those of its recorded output channels, in any tensor of the layer's size."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from recu_analysis.capture.adapters.sharded_layer import ShardedLayer
from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recu_analysis.capture.adapters import BinaryLayer
    from recu_analysis.store.channels import Sample, Sampling
    from recu_analysis.store.header import LayerSpec


class RecordedRows:
    """The recorded output channels of a layer: all of them, or a sample.

    Parameters
    ----------
    shape : tuple of int
        Shape of the layer's weight, (C_out, ...).
    sample : Sample, optional
        The channels, if not all are recorded.

    Attributes
    ----------
    numbers : ndarray of int64
        Numbers of the recorded channels.
    """

    def __init__(self, shape: tuple[int, ...], sample: Sample | None = None) -> None:
        self._layer = shape
        self._index = None if sample is None else torch.tensor(sample.recorded)
        self.numbers: NDArray[np.int64] = np.arange(shape[0]) if sample is None else np.array(sample.recorded)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the recorded weights."""
        return (len(self.numbers), *self._layer[1:])

    def of(self, tensor: torch.Tensor) -> torch.Tensor:
        """The recorded rows of a tensor of the layer's size: a copy of these alone, or the tensor itself if all are."""
        if self._index is None:
            return tensor
        self._index = self._index.to(tensor.device)
        return tensor.detach().reshape(self._layer).index_select(0, self._index)

    def of_groups(self, values: torch.Tensor) -> torch.Tensor:
        """The values of the recorded rows, of one value for each scale group of the layer, or for all together."""
        if self._index is None:
            return values
        return values.reshape(self._layer[0], -1)[self._index.to(values.device)].reshape(-1)

    def of_state(self, state: Any) -> Any:
        """`of` an entry of the optimizer's state, such as a momentum; entries of another size stay as they are."""
        whole = isinstance(state, torch.Tensor) and state.numel() == math.prod(self._layer)
        return self.of(state) if whole else state

    def put(self, rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """The weight of the whole layer with other values in the recorded rows."""
        if self._index is None:
            return rows
        whole = weight.detach().reshape(self._layer).clone()
        whole[self._index.to(whole.device)] = rows.reshape(self.shape).to(whole)
        return whole


class Part(NamedTuple):
    """What this process records of a layer.

    Attributes
    ----------
    spec : LayerSpec
        The entry of what is recorded here.
    recorded : RecordedRows
        The rows in the tensors of this process.
    whole : LayerSpec or None
        The layer's entry in run.json, if other processes may record other rows; otherwise it is `spec`.
    rows : tuple of int or None
        With `whole`, the first of its rows that is recorded here, and one past the last.
    """

    spec: LayerSpec
    recorded: RecordedRows
    whole: LayerSpec | None = None
    rows: tuple[int, int] | None = None


def part_of(layer: BinaryLayer, sampling: Sampling | None) -> Part | None:
    """What this process records of a layer: all its channels or a sample, as far as they are here; None if none is."""
    if isinstance(layer, ShardedLayer):
        return _part_of_shard(layer, sampling)
    spec = recorded_spec(layer, sampling)
    return Part(spec, RecordedRows(layer.shape, spec.channels))


def recorded_spec(layer: BinaryLayer, sampling: Sampling | None) -> LayerSpec:
    """The entry in run.json of a layer that is not sharded, for a recording of all its channels or of a sample."""
    if sampling is None:
        return layer.spec
    if layer.quantizer.group == "tensor" and not layer.quantizer.binary:
        raise InputError(
            f"layer {layer.name!r} has one scale for all its weights, so z needs all output channels; leave out "
            "channels=, or choose other layers with layers=[...]"
        )
    sample = sampling.of(layer.name, layer.shape[0])
    return replace(layer.spec, shape=RecordedRows(layer.shape, sample).shape, channels=sample)


def _part_of_shard(layer: ShardedLayer, sampling: Sampling | None) -> Part | None:
    spec = layer.spec
    if sampling is None:
        whole = replace(spec, shape=spec.whole_shape, channels=None)
        return Part(spec, RecordedRows(layer.shape), whole, layer.rows)
    sample = sampling.of(layer.name, layer.channels)
    first, stop = (bisect_left(sample.recorded, row) for row in layer.rows)
    if first == stop:
        return None
    here = replace(sample, recorded=sample.recorded[first:stop])
    recorded = RecordedRows(layer.shape, replace(here, recorded=tuple(at - layer.rows[0] for at in here.recorded)))
    whole = replace(spec, shape=(len(sample.recorded), *layer.shape[1:]), channels=sample)
    return Part(replace(spec, shape=recorded.shape, channels=here), recorded, whole, (first, stop))
