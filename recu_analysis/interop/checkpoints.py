"""Checkpoint files of any training: the tensors and numbers in each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from recu_analysis.errors import CheckpointError, listed
from recu_analysis.interop.checkpoint_files import MODELS
from recu_analysis.interop.distributed_checkpoint import METADATA, read_distributed
from recu_analysis.interop.pytorch import exact, is_plain, read_file, require_file
from recu_analysis.interop.safetensors_file import open_safetensors
from recu_analysis.interop.sharded import INDEX, shards

if TYPE_CHECKING:
    from pathlib import Path

#: Entries of a saved dict that may hold the tensors.
CONTAINERS = ("state_dict", "model_state_dict", "model")
#: Prefixes of all names by DataParallel and torch.compile; then the prefixes of Lightning and of recu-analyze train.
WRAPPERS = ("module.", "_orig_mod.")
OUTER = "model."
OWN = "model/"
#: Entries that number a checkpoint, the finest first, and the limit of valid numbers.
NUMBERS = ("global_step", "epoch")
LARGEST = 2**31
#: Tensors that a message names before it counts the rest.
LISTED = 5
#: File of transformers beside a model.
TRAINER_STATE = "trainer_state.json"


@dataclass(frozen=True, slots=True)
class SavedState:
    """The content of one checkpoint file.

    Attributes
    ----------
    path : Path
    tensors : dict of str to Tensor
        Tensors on the CPU, by the network's names.
    numbers : dict of str to int
        Those of `NUMBERS` that the file has.
    odd : tuple of str
        Names and types of skipped tensors: sparse, quantized, complex, of a type without exact float32, or larger than
        their data in the file.
    """

    path: Path
    tensors: dict[str, torch.Tensor]
    numbers: dict[str, int]
    odd: tuple[str, ...] = ()


def read_state(path: Path, *, unsafe_load: bool = False) -> SavedState:
    """Read a checkpoint; no code in it runs without `unsafe_load`.

    Parameters
    ----------
    path : Path
    unsafe_load : bool
        Restore any Python object, which runs any code that the file contains.

    Returns
    -------
    SavedState

    Raises
    ------
    CheckpointError
        If the file is missing or damaged, has no named tensors, or has objects that only code can restore.
    """
    require_file(path)
    if path.name.endswith(INDEX):
        content: Any = _read_shards(path, unsafe_load=unsafe_load)
        entries: Mapping[Any, Any] = {}
    elif path.name == METADATA:
        entries = content = read_distributed(path, CONTAINERS, NUMBERS)
    elif path.suffix == ".safetensors":
        entries, content = _read_safetensors(path)
    else:
        content = read_file(path, unsafe_load=unsafe_load)
        entries = content if isinstance(content, Mapping) else {}
    try:
        tensors, odd = _tensors(content)
    except RecursionError:
        raise CheckpointError(f"{path} is nested too deeply, or holds itself, so it is not read") from None
    if not tensors and odd:
        raise CheckpointError(
            f"{path} has no ordinary tensors of real numbers, only {listed(odd, LISTED)}; save it in another type"
        )
    if not tensors:
        raise CheckpointError(
            f"{path} has no named tensors, neither at the top nor in an entry {', '.join(CONTAINERS[:-1])} or model"
        )
    return SavedState(path, _plain_names(tensors), _numbers(_trainer_state(path) | dict(entries)), tuple(odd))


def _read_shards(path: Path, *, unsafe_load: bool) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for shard, names in shards(path).items():
        safe = shard.suffix == ".safetensors"
        found = _read_safetensors(shard)[1] if safe else read_file(shard, unsafe_load=unsafe_load)
        absent = [name for name in names if not isinstance(found, Mapping) or name not in found]
        if absent:
            raise CheckpointError(
                f"{shard} does not have {absent[0]!r}, which {path.name} puts there; get both files again"
            )
        content |= {name: found[name] for name in names}
    return content


def _trainer_state(path: Path) -> dict[str, Any]:
    """What transformers writes beside a model: its global_step and epoch; empty if it is not there."""
    folders = [path.parent, path.parent.parent] if path.name == METADATA else [path.parent]
    beside = next((file for folder in folders if (file := folder / TRAINER_STATE).is_file()), None)
    if path.name not in MODELS or beside is None:
        return {}
    try:
        content = json.loads(beside.read_bytes())
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise CheckpointError(f"{beside} cannot be read, so the step of {path.name} is not known; repair or remove it")
    return content


def _read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        with open_safetensors(path) as file:
            return dict(file.metadata() or {}), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None


def _tensors(content: Any) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The named tensors in a file's content or in one of its `CONTAINERS`, and the names of skipped tensors."""
    if isinstance(content, torch.nn.Module):
        content = content.state_dict()
    if not isinstance(content, Mapping):
        return {}, []
    skipped: list[str] = []
    for name in CONTAINERS:
        inner = content.get(name)
        if isinstance(inner, (Mapping, torch.nn.Module)):
            found, odd = _tensors(inner)
            if found:
                return found, odd
            skipped += odd
    named = {
        name: tensor for name, tensor in content.items() if isinstance(name, str) and isinstance(tensor, torch.Tensor)
    }
    plain = {name: exact(tensor.detach()) for name, tensor in named.items() if is_plain(tensor)}
    odd = [f"{name} ({_kind(tensor)})" for name, tensor in named.items() if name not in plain]
    return plain, [*skipped, *odd]


def _kind(tensor: torch.Tensor) -> str:
    kind = tensor.dtype if tensor.layout is torch.strided else tensor.layout
    return str(kind).removeprefix("torch.")


def _plain_names(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors without the prefixes of wrappers, unless two tensors would then have the same name.

    In a checkpoint of recu-analyze train, only tensors whose names begin with model/ are used.
    """
    tensors = {name.removeprefix(OWN): tensor for name, tensor in tensors.items() if name.startswith(OWN)} or tensors
    plain = {_unwrapped(name): tensor for name, tensor in tensors.items()}
    if all(name.startswith(OUTER) for name in plain):
        plain = {_unwrapped(name.removeprefix(OUTER)): tensor for name, tensor in plain.items()}
    return plain if len(plain) == len(tensors) else tensors


def _unwrapped(name: str) -> str:
    while name.startswith(WRAPPERS):
        name = name.partition(".")[2]
    return name.replace("._orig_mod.", ".")


def _numbers(entries: Mapping[Any, Any]) -> dict[str, int]:
    found = {}
    for name in NUMBERS:
        value = entries.get(name)
        if isinstance(value, torch.Tensor) and value.numel() == 1 and is_plain(value):
            value = value.item()
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 12:
            value = int(value)
        if isinstance(value, (int, float)) and 0 <= value < LARGEST and int(value) == value:
            found[name] = int(value)
    return found
