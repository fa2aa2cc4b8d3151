"""Folders of torch.distributed.checkpoint: their tensors, without restoring the objects of their pickle."""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from typing import TYPE_CHECKING, Any, Final

import torch

from recu_analysis.errors import CheckpointError
from recu_analysis.interop.pytorch import read_archive
from recu_analysis.store.format import MAX_HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

#: The file that says where each part of each tensor lies.
METADATA: Final = ".metadata"
#: Classes and functions of torch that the file names; none of them is called.
_NAMED: Final = frozenset(
    {
        *("Metadata", "TensorStorageMetadata", "BytesStorageMetadata", "TensorProperties", "ChunkStorageMetadata"),
        *("MetadataIndex", "StorageMeta", "_MEM_FORMAT_ENCODING", "_StorageInfo", "_get_layout"),
        *("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"),
    }
)
#: Bytes before the content of a frame: its opcode and its length.
_FRAME: Final = 9
#: How deep a part lies in the state; of a name that the file does not split, the first part is its beginning.
_Place = tuple[str, ...]


class _Stand:
    """What stands for an object of the file: what it was made of, or its state."""

    given: Any = ()

    def __init__(self, *given: object) -> None:
        self.given = given

    def __setstate__(self, state: object) -> None:
        self.given = state


class _Plain(pickle.Unpickler):
    """Restores dicts, texts and numbers, and a `_Stand` for each object of torch; refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name of the file."""
        if (module, name) in {("torch", "Size"), ("collections", "OrderedDict")}:
            return tuple if name == "Size" else dict
        if module == "torch" and isinstance(found := getattr(torch, name, None), torch.dtype):
            return found
        if name in _NAMED and module.partition(".")[0] in {"torch", "pathlib"}:
            return _Stand
        raise pickle.UnpicklingError(f"{module}.{name}")


def read_distributed(path: Path, containers: Collection[str], beside: Collection[str]) -> dict[str, Any]:
    """The tensors of a folder of torch.distributed.checkpoint.

    Parameters
    ----------
    path : Path
        Its file .metadata.
    containers : collection of str
        Entries of the state that may hold the model. If it has none of them, all entries are read.
    beside : collection of str
        Entries that are read with them, such as epoch.

    Returns
    -------
    dict
        Tensors, and what else was saved, in a dict for each entry of the state.

    Raises
    ------
    CheckpointError
        If a file is missing or damaged, has objects that only code can restore, or lies elsewhere.
    """
    tensors, parts, places = _metadata(path)
    told = {name: places.get(name) or (name,) for name in tensors}
    held = any(place[0] in containers and place[1:] for place in told.values())
    chosen = [name for name, place in told.items() if not held or place[0] in {*containers, *beside}]
    content: dict[str, Any] = {}
    for name in chosen:
        value = _value(path, name, tensors[name], parts.get(name, []))
        first, *rest = told[name]
        if rest:
            content.setdefault(first, {})[".".join(rest)] = value
        else:
            content[first] = value
    return content


def _metadata(path: Path) -> tuple[dict[str, Any], dict[str, list[tuple[Any, Any]]], dict[str, _Place]]:
    """What each entry is, where its parts lie, and its place in the state."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_HEADER_BYTES + 1)
        _check_frames(text)
        state = _Plain(io.BytesIO(text)).load().given
        tensors = {str(name): entry.given for name, entry in state["state_dict_metadata"].items()}
        places = {str(name): tuple(map(str, place)) for name, place in (state.get("planner_data") or {}).items()}
        parts: dict[str, list[tuple[Any, Any]]] = {}
        for index, place in state["storage_data"].items():
            parts.setdefault(index.given["fqn"], []).append((index.given.get("offset"), place.given))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    except Exception as error:  # a damaged pickle can raise anything
        what = f"it has {error}, which" if isinstance(error, pickle.UnpicklingError) else "it"
        raise CheckpointError(
            f"{path} cannot be read: {what} is not what torch.distributed.checkpoint writes; get the folder again"
        ) from None
    return tensors, parts, places


def _check_frames(text: bytes) -> None:
    """Raise UnpicklingError unless the frames of a pickle lie one after the other: Python may read others for ever."""
    end = 0
    for opcode, length, at in pickletools.genops(text):
        if opcode.name == "FRAME" and at is not None and length is not None:
            if at < end or at + _FRAME + length > len(text):
                raise pickle.UnpicklingError("a frame that overlaps another one or the end")
            end = at + _FRAME + length


def _value(path: Path, name: str, entry: Any, parts: list[tuple[Any, Any]]) -> Any:
    """An entry, put together from its parts."""
    pieces = [(offset, _piece(path, name, place)) for offset, place in parts]
    try:
        if not isinstance(entry, dict) or "size" not in entry:
            return pieces[0][1]
        size = tuple(entry["size"])
        if len(pieces) == 1 and tuple(pieces[0][1].shape) == size:
            return pieces[0][1]
        # Only what the files hold is allocated.
        if sum(piece.numel() for _, piece in pieces) != math.prod(size):
            raise ValueError("parts are missing")
        whole = torch.zeros(size, dtype=pieces[0][1].dtype)
        seen = torch.zeros(size, dtype=torch.bool)
        for offset, piece in pieces:
            span = tuple(slice(at, at + length) for at, length in zip(offset, piece.shape, strict=True))
            whole[span] = piece
            seen[span] = True
        if not seen.all():
            raise ValueError("parts overlap")
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path.parent} is damaged: the parts of {name!r:.80} do not fit: {error}") from None
    return whole


def _piece(path: Path, name: str, place: Any) -> Any:
    """One part, read from the file that the metadata names."""
    try:
        file, offset, length = place["relative_path"], place["offset"], place["length"]
        if place.get("transform_descriptors"):
            raise CheckpointError(f"{path.parent} is compressed, which is not read; save it without extensions")
        if not isinstance(file, str) or file in {"", ".", ".."} or "/" in file or "\0" in file:
            raise CheckpointError(
                f"{path} is damaged: it puts {name!r:.80} in {file!r:.80}, which is not the name of a file"
            )
        shard = path.parent / file
        if shard.is_symlink() or not shard.is_file():
            raise CheckpointError(f"{path} needs {file!r:.80}, which is not in its folder; get the missing file")
        if not 0 <= offset <= offset + length <= shard.stat().st_size:
            raise CheckpointError(f"{shard} is cut short: {name!r:.80} lies beyond its end; get the file again")
        with shard.open("rb") as opened:
            opened.seek(offset)
            return read_archive(shard, io.BytesIO(opened.read(length)))
    except (KeyError, TypeError, AttributeError):
        raise CheckpointError(f"{path} is damaged: it does not say where {name!r:.80} lies") from None
    except OSError as error:
        raise CheckpointError(f"{path.parent} cannot be read: {error.strerror}") from None
