"""The sealed header of a window's file, its safetensors metadata, and whether it follows another window."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

from recu_analysis.errors import DamagedError
from recu_analysis.store.consistency import contradiction
from recu_analysis.store.format import FORMAT_VERSION, SHARD_FORMAT
from recu_analysis.store.header import LayerWindow, of_type
from recu_analysis.store.quantities import TABLE
from recu_analysis.store.sealing import dump_json, load_json, seal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recu_analysis.store.quantities import Quantity

#: Fields of a shard's header that need a conversion when they are read and written.
_APART = frozenset({"layers", "marks", "more"})


@dataclass(frozen=True, slots=True)
class ShardHeader:
    """The sealed header of one shard of a window.

    In a window without updates, `first_update` is `last_update` + 1. `marks` is the number of lines of metrics that the
    segment had before the window, None if unknown. `more` are fields that this version does not know; a copy of the run
    keeps them.
    """

    run_id: str
    segment: int
    window: int
    first_update: int
    last_update: int
    exact: bool
    partial: bool
    layers: dict[str, LayerWindow] = field(repr=False)
    digests: dict[str, str] = field(repr=False)
    marks: int | None = None
    more: dict[str, Any] = field(default_factory=dict, repr=False)

    def to_metadata(self) -> dict[str, str]:
        """The sealed header as safetensors metadata."""
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _APART}
        own |= {} if self.marks is None else {"marks": self.marks}
        layers = {name: layer.to_dict() for name, layer in self.layers.items()}
        header = dump_json({**self.more, **own, "layers": layers})
        return {"format": f"{SHARD_FORMAT}{FORMAT_VERSION}", "header": header, "seal": seal(header)}

    @property
    def is_state(self) -> bool:
        """Whether the window has no updates: it holds the weights at which a recording begins or continues."""
        return self.last_update < self.first_update

    def counts_on(self, other: ShardHeader) -> bool:
        """Whether the updates of every layer continue those of another window with the same layers."""
        ends = {name: layer.next_update for name, layer in other.layers.items()}
        return ends == {name: layer.first_update for name, layer in self.layers.items()}

    def other_weights(self, other: ShardHeader) -> list[str]:
        """The layers whose final weights differ from those of another window, by their digests."""
        names = {name: f"weight/{name}" for name in self.layers}
        return [name for name, tensor in names.items() if self.digests.get(tensor) != other.digests.get(tensor)]

    def joins(self, layer: str) -> bool:
        """Whether the weights of a layer are in several shards; a joined header lists their digests."""
        return "," in str(self.digests.get(f"weight/{layer}", ""))

    @classmethod
    def from_metadata(
        cls,
        metadata: Mapping[str, str],
        where: str,
        version: int = FORMAT_VERSION,
        quantities: Mapping[str, Quantity] = TABLE,
    ) -> Self:
        """The header in the metadata of a file; raise DamagedError if its seal is broken or it is not valid.

        Parameters
        ----------
        metadata : mapping of str to str
            Metadata of the safetensors file.
        where : str
            Name of the file for messages.
        version : int
            Format of the run.
        quantities : mapping of str to Quantity
            Rows of the run.
        """
        header = metadata.get("header", "")
        if metadata.get("format") != f"{SHARD_FORMAT}{version}":
            raise DamagedError(f"{where} is not a window of this run: its format is {metadata.get('format')!r:.60}")
        if seal(header) != metadata.get("seal"):
            raise DamagedError(f"{where} is damaged: its header does not match its seal")
        content = load_json(header, where)
        try:
            layers = {name: LayerWindow.from_dict(entry, quantities) for name, entry in content.pop("layers").items()}
            own = {each.name: content.pop(each.name) for each in fields(cls) if each.name not in _APART}
            own["marks"] = content.pop("marks", None)
            for name in ("segment", "window", "first_update", "last_update", *(["marks"] if own["marks"] else [])):
                of_type(own[name], int)
            for name in ("exact", "partial"):
                of_type(own[name], bool)
            of_type(own["digests"], dict)
            found = cls(layers=layers, **own, more=content)
        except (KeyError, TypeError, AttributeError) as error:
            raise DamagedError(f"{where} is damaged: its header cannot be read: {error}") from None
        problem = contradiction(found)
        if problem:
            raise DamagedError(f"{where} is damaged: its numbers contradict each other: {problem}")
        return found
