"""The processes that record one model: which rows each records, and what they tell each other."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from torch import distributed

from recu_analysis.capture.adapters.placement import Placement, is_distributed, placement_of
from recu_analysis.capture.adapters.sharded_layer import ShardedLayer
from recu_analysis.capture.rank_zero import is_first, refuse_unknown_shards
from recu_analysis.capture.shared_numbers import SharedNorms, SharedOutside, merged_norms, merged_outside
from recu_analysis.errors import LostProcessError, RecorderError
from recu_analysis.store.shard_writer import FirstShardWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import torch

    from recu_analysis.capture.adapters import BinaryLayer
    from recu_analysis.capture.layer_recording import LayerRecording
    from recu_analysis.capture.rank_zero import AnyWriter


class Alone:
    """A process that needs no other one: it records whole layers, or nothing.

    Attributes
    ----------
    records : bool
        Whether this process writes.
    shard : tuple of int
        Index of its shard, and the number of shards.
    """

    sharded = False

    def __init__(self, *, records: bool = True) -> None:
        self.records, self.shard = records, (0, 1)

    @contextlib.contextmanager
    def agreeing(self) -> Iterator[None]:
        """A context after which either every process goes on, or every process raises an error."""
        yield

    def gathered(self, mine: Any) -> list[Any]:
        """What every process gives, in the order of their ranks."""
        return [mine]

    def held(self, found: Sequence[BinaryLayer]) -> list[BinaryLayer]:
        """The layers of which this process holds rows."""
        return list(found)

    def finish(
        self,
        recordings: Sequence[LayerRecording],
        states: Mapping[str, Any],
        writer: AnyWriter,
        shares: Mapping[str, float | None],
    ) -> Mapping[str, float | None]:
        """Add the numbers that need all rows to the states of a window; return the shares of whole layers."""
        return shares

    def confirm(self, writer: AnyWriter) -> None:
        """Wait until everything queued is on disk, in every process."""
        writer.flush()

    def end(self) -> None:
        """Leave the other processes."""


class Together(Alone):
    """One of the processes over which a model is sharded; all of them create it, and make the same calls."""

    sharded = True

    def __init__(self) -> None:
        super().__init__()
        # A group of its own, on the CPU: it waits for nothing that the accelerators do.
        self._group: Any = distributed.new_group(backend="gloo")

    @contextlib.contextmanager
    def agreeing(self) -> Iterator[None]:
        """A context after which either every process goes on, or every process raises an error.

        Raises
        ------
        RecorderError
            If the context of another process raised an error; its own error, if this one did.
        """
        error: Exception | None = None
        try:
            yield
        except Exception as raised:  # the other processes must not wait for this one
            error = raised
        self._told(None, error)

    def _told(self, mine: Any, error: Exception | None) -> list[Any]:
        """What every process gives; if one has an error, every process raises one."""
        found = self.gathered((mine, None if error is None else str(error)))
        if error is not None:
            raise error
        for rank, (_, text) in enumerate(found):
            if text is not None:
                raise RecorderError(f"the process of rank {rank} cannot go on, so this one ends too: {text}")
        return [given for given, _ in found]

    def gathered(self, mine: Any) -> list[Any]:
        """What every process gives, in the order of their ranks; LostProcessError if one of them has ended."""
        try:
            found: list[Any] = [None] * distributed.get_world_size(self._group)
            distributed.all_gather_object(found, mine, group=self._group)
        except (RuntimeError, ValueError) as error:  # the group is gone
            raise LostProcessError(
                "another process of the training has ended, or makes other calls of the recorder; the run has the "
                "windows that all processes have written, so continue with resume= at the last of them"
            ) from error
        return found

    def held(self, found: Sequence[BinaryLayer]) -> list[BinaryLayer]:
        """The layers of which this process holds rows; raise RecorderError if the processes cannot share them."""
        placed = {
            each.name: placement_of(each.parameter, each.name) for each in found if is_distributed(each.parameter)
        }
        meshes = {(place.shard, place.replica): name for name, place in placed.items() if place.shard[1] > 1}
        if len(meshes) > 1:
            raise RecorderError(
                f"layers {' and '.join(map(repr, list(meshes.values())[:2]))} are sharded over different meshes; shard "
                "all binary layers over one mesh, or record some of them with layers=[...]"
            )
        alone = Placement((0, 0), (0, 1), replica=distributed.get_rank() > 0)
        first = next((place for place in placed.values() if place.shard[1] > 1), alone)
        self.shard, self.records = first.shard, not first.replica
        held: list[BinaryLayer] = []
        for each in found:
            place = placed.get(each.name)
            whole = (0, each.shape[0]) if self.shard[0] == 0 else (0, 0)
            rows = whole if place is None or place.shard[1] == 1 else place.rows
            sharded = ShardedLayer.of(each, rows)
            held += [sharded] if rows[1] > rows[0] else []
        return held

    def finish(
        self,
        recordings: Sequence[LayerRecording],
        states: Mapping[str, Any],
        writer: AnyWriter,
        shares: Mapping[str, float | None],
    ) -> Mapping[str, float | None]:
        """Add the numbers that need all rows to the states of a window; return the shares of whole layers.

        Beside short agreements, this is the only communication of a window: each process tells its parts, which
        windows it has written, and whether it failed.

        Parameters
        ----------
        recordings : sequence of LayerRecording
            Those of this process.
        states : mapping of str to LayerState
            Their states, changed in place.
        writer : RunWriter, ShardWriter or IdleWriter
        shares : mapping of str to (float or None)
            As `Verification.shares`, of the rows of this process.
        """
        mine = {
            each.layer.name: (
                each.norms.taken,
                each.outside.taken,
                each.spec.weights,
                shares.get(each.layer.name, -1.0),
            )
            for each in recordings
            if isinstance(each.norms, SharedNorms) and isinstance(each.outside, SharedOutside)
        }
        told = self._told((mine, writer.saved) if self.records else ({}, None), writer.error)
        everyone = [parts for parts, _ in told]
        for name, state in states.items():
            parts = [each[name] for each in everyone if name in each]
            state.summary.more.update(merged_norms([norms for norms, *_ in parts]))
            state.summary.more.update(merged_outside([outside for _, outside, *_ in parts]))
        self._confirm(writer, [saved for _, saved in told])
        judged = {name: [each[name][2:] for each in everyone if name in each] for each in everyone for name in each}
        return {name: _whole_share(parts) for name, parts in judged.items() if all(share != -1.0 for _, share in parts)}

    def confirm(self, writer: AnyWriter) -> None:
        """Wait until everything queued is on disk, in every process; the metrics of these windows are written then."""
        with self.agreeing():
            writer.flush()
        self._confirm(writer, self.gathered(writer.saved if self.records else None))
        writer.flush()

    def _confirm(self, writer: AnyWriter, saved: Sequence[int | None]) -> None:
        if isinstance(writer, FirstShardWriter):
            writer.confirm(min(each for each in saved if each is not None))

    def end(self) -> None:
        """Leave the group of the processes."""
        if self._group is not None and distributed.is_initialized():
            distributed.destroy_process_group(self._group)
        self._group = None


def _whole_share(parts: Sequence[tuple[int, float | None]]) -> float | None:
    """The share of a layer's weights with another state, from the weights and the shares of its parts."""
    known = [(weights, share) for weights, share in parts if share is not None]
    if len(known) < len(parts):
        return None
    return sum(weights * share for weights, share in known) / sum(weights for weights, _ in known)


def ranks_of(model: torch.nn.Module) -> Alone:
    """The processes that record a model: one, or those over which `fully_shard` has sharded it.

    Raises
    ------
    RecorderError
        If parameters are sharded in another way: by FSDP1, tensor parallelism or stage 3 of DeepSpeed.
    """
    if refuse_unknown_shards(model):
        return Together()
    return Alone(records=is_first(model))


def require_alike(ranks: Alone, layers: Sequence[BinaryLayer], settings: object) -> None:
    """Raise RecorderError in every process unless all of them have found the same layers and have the same settings."""
    mine = [(each.name, each.adapter, tuple(each.parameter.shape), str(each.parameter.dtype)) for each in layers]
    (names, wanted), *others = ranks.gathered((mine, repr(settings)))
    for rank, (found, given) in enumerate(others, start=1):
        if (found, given) != (names, wanted):
            odd = [each[0] for each in (*found, *names) if each not in found or each not in names]
            what = f"layers, such as {odd[0]!r:.80}," if odd else "layers or settings"
            raise RecorderError(
                f"the process of rank {rank} records other {what} than that of rank 0: call record() with the same "
                "model and the same arguments in every process"
            )
