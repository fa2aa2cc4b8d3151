"""Choice of the accumulator for a layer's state, movement and flips."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from recu_analysis.capture.accumulate import CpuAccumulator, DeviceAccumulator
from recu_analysis.capture.effective import EffectiveAccumulator
from recu_analysis.capture.levels import CpuLevels, DeviceLevels
from recu_analysis.nn.fused_dispatch import fused_for
from recu_analysis.store.quantities import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import torch

    from recu_analysis.capture.accumulate import Accumulator, Array
    from recu_analysis.capture.adapters import BinaryLayer
    from recu_analysis.capture.recorded_rows import RecordedRows
    from recu_analysis.store.header import LayerSpec


def accumulator(
    weight: torch.Tensor, *, center: bool, quantities: Collection[str] = QUANTITIES, numbers: Array | None = None
) -> Accumulator:
    """The accumulator of a latent weight, on its device, for a layer with a transform.

    On a CUDA GPU with Triton, an update is one kernel. On other devices it is a sequence of torch operations.
    `numbers` are those of the rows' channels in the layer.
    """
    if weight.device.type == "cpu":
        return CpuAccumulator(weight, center=center, quantities=quantities, numbers=numbers)
    if fused_for(weight) is None:
        return DeviceAccumulator(weight, center=center, quantities=quantities, numbers=numbers)
    from recu_analysis.capture.cuda import CudaAccumulator

    return CudaAccumulator(weight, center=center, quantities=quantities, numbers=numbers)


def layer_accumulator(
    weight: torch.Tensor,
    spec: LayerSpec,
    effective: Callable[[], torch.Tensor] | None,
    quantities: Collection[str] = QUANTITIES,
    steps: Callable[[], tuple[torch.Tensor, torch.Tensor]] | None = None,
) -> Accumulator:
    """The accumulator of a layer: for its quantizer, its transform, or its explicit effective weight if it has none.

    `weight`, and what `effective` and `steps` return, are those of the recorded channels.
    """
    if not spec.quantizer.binary:
        assert steps is not None  # noqa: S101 - only recordings have such layers
        return levels_for(weight)(weight, spec.quantizer, steps, quantities=quantities, numbers=spec.channel_numbers)
    kind = partial(accumulator, numbers=spec.channel_numbers)
    if spec.transform is not None:
        return kind(weight, center=spec.center, quantities=quantities)
    assert effective is not None  # noqa: S101 - a layer has one or the other
    of_latent = {"path"} if spec.z == "effective" else {"path", "zpath"}
    return EffectiveAccumulator(weight, effective, kind, of_latent, quantities)


def levels_for(weight: torch.Tensor) -> type[CpuLevels | DeviceLevels]:
    """The accumulator of a latent weight with more than two levels, on its device; chosen as by `accumulator`."""
    if weight.device.type == "cpu":
        return CpuLevels
    if fused_for(weight) is None:
        return DeviceLevels
    from recu_analysis.capture.cuda_levels import CudaLevels

    return CudaLevels


def accumulator_of(
    layer: BinaryLayer, recorded: RecordedRows, spec: LayerSpec, quantities: Collection[str]
) -> Accumulator:
    """The accumulator of a layer, which begins with its current weights."""
    effective = None if layer.effective is None else partial(_effective_rows, layer.effective, recorded)
    steps = partial(_steps, layer, recorded)
    return layer_accumulator(recorded.of(layer.weight), spec, effective, quantities, steps)


def _steps(layer: BinaryLayer, recorded: RecordedRows) -> tuple[torch.Tensor, torch.Tensor]:
    """Steps and zero points of the recorded channels."""
    step, zero = layer.steps()
    return recorded.of_groups(step), recorded.of_groups(zero)


def _effective_rows(effective: Callable[[], torch.Tensor], recorded: RecordedRows) -> torch.Tensor:
    return recorded.of(effective())
