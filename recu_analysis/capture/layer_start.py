"""How the recording of a layer begins: whose updates it counts, and what cannot be recorded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch

from recu_analysis.capture.accumulator_choice import accumulator_of
from recu_analysis.capture.decay import rule_of
from recu_analysis.capture.layer_recording import LayerRecording
from recu_analysis.capture.optional_sums import optional_sums
from recu_analysis.errors import RecorderError
from recu_analysis.store.quantities import GRADIENT_STATS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from recu_analysis.capture.adapters import BinaryLayer
    from recu_analysis.capture.recorded_rows import Part

#: Models with at least this many latent weights are recorded by several threads, one layer per thread at a time.
THREADED_WEIGHTS = 1_000_000


def record_layer(
    layer: BinaryLayer,
    optimizers: Sequence[torch.optim.Optimizer],
    updates: Sequence[int],
    quantities: Collection[str],
    traced: Sequence[int],
    part: Part,
) -> LayerRecording:
    """Begin the recording of a layer; its updates are those of the optimizer that holds its weight.

    Parameters
    ----------
    layer : BinaryLayer
    optimizers : sequence of Optimizer
    updates : sequence of int
        Number of earlier updates of each optimizer.
    quantities : collection of str
        Quantities that the recording keeps.
    traced : sequence of int
        Flat indices among the recorded weights of those to trace, if traces are among the quantities.
    part : Part
        What this process records of it.

    Returns
    -------
    LayerRecording

    Raises
    ------
    RecorderError
        If no optimizer or several optimizers hold the weight, or it has no dense values.
    """
    _refuse_without_values(layer)
    holders = [
        index
        for index, optimizer in enumerate(optimizers)
        if any(each is layer.parameter for group in optimizer.param_groups for each in group["params"])
    ]
    if not holders:
        raise RecorderError(
            f"the optimizer does not hold the weight of binary layer {layer.name!r}; create the optimizer from the "
            "model's parameters after moving the model to its device, or exclude the layer with layers=[...]"
        )
    if len(holders) > 1:
        raise RecorderError(
            f"{len(holders)} optimizers hold the weight of binary layer {layer.name!r}, so its updates cannot be "
            "numbered; give each weight to one optimizer"
        )
    spec, recorded, whole, rows = part
    if rows is not None and GRADIENT_STATS in quantities:
        raise RecorderError(
            f"gradient-stats of layer {layer.name!r} cannot be recorded: they need gradients of the whole layer, whose "
            "rows other processes hold; leave out gradient-stats, or train with DistributedDataParallel"
        )
    if rows is not None and not spec.quantizer.binary:
        raise RecorderError(
            f"layer {layer.name!r} has more than two levels, which processes that share its rows cannot record yet; "
            "choose other layers with layers=[...], or train with DistributedDataParallel"
        )
    recording = LayerRecording(
        layer,
        recorded,
        spec,
        holders[0],
        accumulator_of(layer, recorded, spec, quantities),
        first_update=updates[holders[0]] + 1,
        quantities=quantities,
        optional_sums=optional_sums(recorded.of(layer.weight).detach(), quantities),
        whole=whole,
        rows=rows,
    )
    optimizer = optimizers[recording.optimizer]
    recording.decay.rule = rule_of(optimizer, recording.group_in(optimizer))  # of a window without updates, too
    if "traces" in quantities:
        recording.trace(traced)
    return recording


def pool_for(recordings: Sequence[LayerRecording]) -> ThreadPoolExecutor | None:
    """Threads for the kernel, which releases the interpreter lock; None for small models or a GPU."""
    on_cpu = all(recording.layer.weight.device.type == "cpu" for recording in recordings)
    threads, weights = torch.get_num_threads(), sum(recording.spec.weights for recording in recordings)
    return ThreadPoolExecutor(threads) if on_cpu and threads > 1 and weights >= THREADED_WEIGHTS else None


def _refuse_without_values(layer: BinaryLayer) -> None:
    if layer.parameter.is_meta:
        raise RecorderError(
            f"the weight of binary layer {layer.name!r} is on the meta device, which has no values to record; move the "
            "model to a real device, for example with to_empty(), and load its weights before recording"
        )
    if layer.parameter.layout != torch.strided:
        raise RecorderError(
            f"the weight of binary layer {layer.name!r} is sparse, but only dense weights can be recorded; convert it "
            "with to_dense(), or exclude the layer with layers=[...]"
        )
