"""Checkpoint files of any training: which are meant, in which order, and the tensors and numbers that each holds."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open

from recu_analysis.errors import CheckpointError
from recu_analysis.interop.pytorch import is_plain, read_file

if TYPE_CHECKING:
    from collections.abc import Sequence

SUFFIXES = (".pth", ".pt", ".pth.tar", ".th", ".ckpt", ".safetensors")
#: Entries of a saved dict that hold the tensors.
CONTAINERS = ("state_dict", "model_state_dict", "model")
#: What DataParallel, torch.compile and Lightning put before every name.
WRAPPERS = ("module.", "_orig_mod.")
OUTER = "model."
OWN = "model/"
#: Entries that number a checkpoint, the finest first, and beyond what they are no such number.
NUMBERS = ("global_step", "epoch")
LARGEST = 2**31


@dataclass(frozen=True, slots=True)
class SavedState:
    """What one file holds.

    Attributes
    ----------
    path : Path
    tensors : dict of str to Tensor
        On the CPU, by the network's names.
    numbers : dict of str to int
        Of `NUMBERS`, those that the file has.
    odd : tuple of str
        Names of tensors that were not taken: sparse, quantised, complex, or of numbers that are not all in the file.
    """

    path: Path
    tensors: dict[str, torch.Tensor]
    numbers: dict[str, int]
    odd: tuple[str, ...] = ()


def checkpoint_files(sources: Sequence[str | Path]) -> list[Path]:
    """The files that are meant by files, folders and patterns, numbered names in natural order (2 before 10).

    Raises
    ------
    CheckpointError
        If a source holds or matches none.
    """
    found = {path.absolute(): path for source in sources for path in _expanded(str(source))}
    return sorted(found.values(), key=natural)


def _expanded(source: str) -> list[Path]:
    path = Path(source)
    if path.is_dir():
        files = [file for file in path.iterdir() if file.name.endswith(SUFFIXES) and file.is_file()]
        if not files:
            raise CheckpointError(f"{path} holds no checkpoint: no file in it ends in {', '.join(SUFFIXES)}")
        return files
    if not path.exists() and glob.has_magic(source):
        files = [Path(file) for file in glob.glob(source, recursive=True)]  # noqa: PTH207 - patterns may be absolute
        if not files:
            raise CheckpointError(f"no file matches {source!r}")
        return [file for file in files if file.is_file()]
    return [path]


def natural(path: Path) -> list[str | int]:
    """Sorting key by which epoch2 comes before epoch10."""
    return [int(part) if index % 2 else part for index, part in enumerate(re.split(r"([0-9]+)", str(path)))]


def read_state(path: Path, *, unsafe_load: bool = False) -> SavedState:
    """Read a checkpoint; nothing in it is run unless that was asked for.

    Parameters
    ----------
    path : Path
    unsafe_load : bool
        Restore any Python object, which runs whatever code the file contains.

    Raises
    ------
    CheckpointError
        If it is missing, damaged, or holds no tensors by name; or objects that only code could restore.
    """
    entries: Mapping[Any, Any]
    odd: list[str] = []
    if path.suffix == ".safetensors":
        entries, tensors = _read_safetensors(path)
    else:
        content = read_file(path, unsafe_load=unsafe_load)
        entries = content if isinstance(content, Mapping) else {}
        tensors, odd = _tensors(content)
    if not tensors:
        raise CheckpointError(
            f"{path} holds no tensors by name, neither itself nor in an entry {', '.join(CONTAINERS[:-1])} or model"
        )
    return SavedState(path, _plain_names(tensors), _numbers(entries), tuple(odd))


def _read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {}), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None


def _tensors(content: Any) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The named tensors of what a file holds, or of the entry in it that holds some; and names of those not taken."""
    if isinstance(content, torch.nn.Module):
        content = content.state_dict()
    if not isinstance(content, Mapping):
        return {}, []
    for name in CONTAINERS:
        inner = content.get(name)
        if isinstance(inner, (Mapping, torch.nn.Module)):
            found, odd = _tensors(inner)
            if found:
                return found, odd
    named = {
        name: tensor
        for name, tensor in content.items()
        if isinstance(name, str) and name.isprintable() and isinstance(tensor, torch.Tensor)
    }
    plain = {name: tensor.detach() for name, tensor in named.items() if is_plain(tensor)}
    return plain, [name for name in named if name not in plain]


def _plain_names(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors without what wrappers put before their names, unless two would then share one.

    Of a checkpoint of recu-analyze train, whose names begin with model/ or optimizer/, the model's.
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
