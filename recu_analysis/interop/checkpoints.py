"""Checkpoint files of any training: their selection and order, and the tensors and numbers in each."""

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
from recu_analysis.interop.pytorch import exact, is_plain, read_file

if TYPE_CHECKING:
    from collections.abc import Sequence

SUFFIXES = (".pth", ".pt", ".pth.tar", ".th", ".ckpt", ".safetensors")
#: Entries of a saved dict that may hold the tensors.
CONTAINERS = ("state_dict", "model_state_dict", "model")
#: Prefixes of all names by DataParallel and torch.compile; then the prefixes of Lightning and of recu-analyze train.
WRAPPERS = ("module.", "_orig_mod.")
OUTER = "model."
OWN = "model/"
#: Entries that number a checkpoint, the finest first, and the limit of valid numbers.
NUMBERS = ("global_step", "epoch")
LARGEST = 2**31


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


def checkpoint_files(sources: Sequence[str | Path]) -> list[Path]:
    """The files of files, folders and patterns, in the natural order of their paths (2 before 10).

    Parameters
    ----------
    sources : sequence of str or Path

    Returns
    -------
    list of Path

    Raises
    ------
    CheckpointError
        If a folder has no checkpoint, or a pattern matches no file.
    """
    found = {path.absolute(): path for source in sources for path in _expanded(str(source))}
    return sorted(found.values(), key=natural)


def _expanded(source: str) -> list[Path]:
    path = Path(source)
    if path.is_dir():
        files = [file for file in path.iterdir() if file.name.endswith(SUFFIXES) and file.is_file()]
        if not files:
            raise CheckpointError(f"{path} has no checkpoint: no file in it ends in {', '.join(SUFFIXES)}")
        return files
    if not path.exists() and glob.has_magic(source):
        files = [Path(file) for file in glob.glob(source, recursive=True)]  # noqa: PTH207 - patterns may be absolute
        if not files:
            raise CheckpointError(f"no file matches {source!r}; check the folder and the pattern")
        return [file for file in files if file.is_file()]
    return [path]


def natural(path: Path) -> list[str | int]:
    """Sorting key that puts epoch2 before epoch10."""
    return [int(part) if index % 2 else part for index, part in enumerate(re.split(r"([0-9]+)", str(path)))]


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
    entries: Mapping[Any, Any]
    odd: list[str] = []
    if path.suffix == ".safetensors":
        entries, saved = _read_safetensors(path)
        tensors, odd = _tensors(saved)
    else:
        content = read_file(path, unsafe_load=unsafe_load)
        entries = content if isinstance(content, Mapping) else {}
        tensors, odd = _tensors(content)
    if not tensors:
        raise CheckpointError(
            f"{path} has no named tensors, neither at the top nor in an entry {', '.join(CONTAINERS[:-1])} or model"
        )
    return SavedState(path, _plain_names(tensors), _numbers(entries), tuple(odd))


def _read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {}), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None


def _tensors(content: Any) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The named tensors in a file's content or in one of its `CONTAINERS`, and the names of skipped tensors."""
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
    plain = {name: exact(tensor.detach()) for name, tensor in named.items() if is_plain(tensor)}
    return plain, [f"{name} ({_kind(tensor)})" for name, tensor in named.items() if name not in plain]


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
