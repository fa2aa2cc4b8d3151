"""The shards of one window, read as one file: the rows of every layer, joined in order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.errors import DamagedError
from recu_analysis.store.tensors import TensorEntry, TensorFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from recu_analysis.store.header import LayerSpec, LayerWindow
    from recu_analysis.store.quantities import Quantity
    from recu_analysis.store.shard import ShardHeader

#: The number of a layer that says which rows of it a shard holds: the first, and one past the last.
ROWS = "rows"


@dataclass(slots=True)
class JoinedFile:
    """The tensors of several shards under their names, as a `TensorFile` has those of one.

    Parameters
    ----------
    files : sequence of TensorFile
        The shards, in the order of their numbers.
    headers : sequence of ShardHeader
        Their headers.
    where : str
        Name of the window in messages.
    quantities : mapping of str to Quantity
        Rows of the run: they tell along which axis a tensor is joined.

    Attributes
    ----------
    path : Path
        The first shard.
    metadata : dict of str to str
        That of the first shard.
    entries : dict of str to TensorEntry
        Dtype, joined shape and joined bytes; the place starts at 0, because it is in several files.
    size : int
        Bytes of all shards.

    Raises
    ------
    DamagedError
        If parts of a tensor do not fit together.
    """

    files: Sequence[TensorFile]
    headers: Sequence[ShardHeader]
    where: str
    quantities: Mapping[str, Quantity]
    path: Path = field(init=False)
    metadata: dict[str, str] = field(init=False, repr=False)
    entries: dict[str, TensorEntry] = field(init=False, repr=False)
    size: int = field(init=False)
    _parts: dict[str, list[int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.path, self.metadata = self.files[0].path, self.files[0].metadata
        self.size = sum(each.size for each in self.files)
        self._parts = {}
        for at, each in enumerate(self.files):
            for name in each.entries:
                self._parts.setdefault(name, []).append(at)
        self.entries = {name: self._joined_entry(name, parts) for name, parts in self._parts.items()}

    def _axis(self, name: str) -> int:
        """The axis along which a tensor is joined: traced weights are columns, everything else has rows."""
        row = self.quantities.get(name.partition("/")[0])
        return 1 if row is not None and row.of == "traced" else 0

    def _joined_entry(self, name: str, parts: Sequence[int]) -> TensorEntry:
        entries, axis = [self.files[at].entries[name] for at in parts], self._axis(name)
        shapes = [list(each.shape) for each in entries]
        if len(parts) == 1:
            length = entries[0].stop - entries[0].start
            return TensorEntry(entries[0].dtype, entries[0].shape, 0, length)
        fits = all(len(shape) > axis for shape in shapes) and len({each.dtype for each in entries}) == 1
        if not fits or len({(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}) != 1:
            raise DamagedError(f"{self.where} is damaged: the parts of tensor {name!r:.80} do not fit together")
        shape = (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])
        return TensorEntry(entries[0].dtype, shape, 0, sum(each.stop - each.start for each in entries))

    def entry(self, name: str) -> TensorEntry:
        """Dtype, shape and bytes of a tensor; raise DamagedError if there is no tensor of that name."""
        entry = self.entries.get(name)
        if entry is None:
            raise DamagedError(f"{self.where} is damaged: it has no tensor {name!r:.80}")
        return entry

    def read(self, name: str, expected_digest: str | None = None) -> np.ndarray[Any, Any]:
        """Read one tensor; the array is read only. Each part is compared with the digest in its own shard.

        Raises
        ------
        DamagedError
            If the tensor is missing, a shard has been cut since it was opened, or a digest differs.
        """
        entry = self.entry(name)
        parts = self._parts[name]
        read = [self.files[at].read(name, expected_digest and self._digest(name, at)) for at in parts]
        if len(read) == 1:
            return read[0]
        joined = np.concatenate(read, axis=self._axis(name), dtype=entry.dtype)
        joined.flags.writeable = False
        return joined

    def _digest(self, name: str, at: int) -> str:
        digest = self.headers[at].digests.get(name)
        if digest is None:
            raise DamagedError(f"{self.files[at].where} is damaged: it has no checksum of tensor {name!r:.80}")
        return digest

    def blocks(self, name: str, expected_digest: str) -> Iterator[np.ndarray[Any, Any]]:
        """Yield one tensor as flat blocks, as `TensorFile.blocks` does, part after part."""
        self.entry(name)
        if self._axis(name):
            yield self.read(name, expected_digest).reshape(-1)
            return
        for at in self._parts[name]:
            yield from self.files[at].blocks(name, self._digest(name, at))


def joined_header(headers: Sequence[ShardHeader], specs: Mapping[str, LayerSpec], wheres: Sequence[str]) -> ShardHeader:
    """The header of a window in several shards; raise DamagedError if these contradict each other.

    The digest of a tensor in several shards is the list of their digests, with commas.

    Parameters
    ----------
    headers : sequence of ShardHeader
        In the order of the shards.
    specs : mapping of str to LayerSpec
        Layers of the run by name.
    wheres : sequence of str
        Names of the shards in messages.
    """
    first = headers[0]
    for other, where in zip(headers[1:], wheres[1:], strict=True):
        for name in ("first_update", "last_update", "exact", "partial"):
            if getattr(other, name) != getattr(first, name):
                raise DamagedError(f"{where} is damaged: its {name} is not that of {wheres[0]}")
    names = dict.fromkeys(name for each in headers for name in each.layers)
    digests: dict[str, list[str]] = {}
    for each in headers:
        for tensor, digest in each.digests.items():
            digests.setdefault(tensor, []).append(str(digest))
    return replace(
        first,
        layers={name: _joined_layer(name, headers, specs.get(name), wheres) for name in names},
        digests={tensor: ",".join(parts) for tensor, parts in digests.items()},
        # What a shard says of the model's weights at its end is of its own rows.
        more={name: value for name, value in first.more.items() if name != "moved"},
    )


def _joined_layer(
    name: str, headers: Sequence[ShardHeader], spec: LayerSpec | None, wheres: Sequence[str]
) -> LayerWindow:
    """The numbers of a layer, which all its shards must have; its rows must be all of them, in order."""
    held = [(each.layers[name], where) for each, where in zip(headers, wheres, strict=True) if name in each.layers]
    numbers, end = None, 0
    for layer, where in held:
        own = replace(layer, more={key: value for key, value in layer.more.items() if key != ROWS})
        rows = layer.more.get(ROWS)
        if not isinstance(rows, list) or len(rows) != 2 or rows[0] != end or rows[1] <= rows[0]:
            raise DamagedError(
                f"{where} is damaged: it has rows {rows!r:.60} of layer {name!r:.80}, not rows from {end} on"
            )
        if numbers is not None and repr(own.to_dict()) != repr(numbers.to_dict()):
            raise DamagedError(f"{where} is damaged: its numbers of layer {name!r:.80} are not those of {held[0][1]}")
        numbers, end = own, rows[1]
    if numbers is None or (spec is not None and end != spec.shape[0]):
        raise DamagedError(f"{wheres[-1]} is damaged: the shards have {end} rows of layer {name!r:.80}, not all")
    return numbers
