"""The checkpoints that files, folders and patterns stand for, in natural order."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from recu_analysis.errors import CheckpointError
from recu_analysis.interop.distributed_checkpoint import METADATA
from recu_analysis.interop.sharded import INDEX

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

SUFFIXES = (".pth", ".pt", ".pth.tar", ".th", ".ckpt", ".safetensors")
#: Names of the model in a folder that a framework writes as one checkpoint, the first that exists.
MODELS = ("model.safetensors", f"model.safetensors{INDEX}", "pytorch_model.bin", f"pytorch_model.bin{INDEX}", METADATA)
#: What frameworks write beside the model: optimizer.pt, rng_state_0.pth, scheduler_1.bin, ...
BESIDE = re.compile(
    r"(optimizer|scheduler|scaler|sampler|rng_state|random_states|training_args)(_[0-9]+)*\.(pt|pth|bin)"
)

#: Name of one of several files of a model, which has an index.
SHARD = re.compile(r"(.+)-[0-9]{5}-of-(?!00001)[0-9]{5}(\.safetensors|\.bin)")


def checkpoint_files(sources: Sequence[str | Path]) -> list[Path]:
    """The checkpoints of files, folders and patterns, in the natural order of their paths (2 before 10).

    A folder stands for the checkpoints in it, and for those of its folders that hold one checkpoint of a framework, as
    checkpoint-500 of transformers does. A checkpoint in several files is given by its index, one of
    torch.distributed.checkpoint by its folder.

    Parameters
    ----------
    sources : sequence of str or Path

    Returns
    -------
    list of Path

    Raises
    ------
    CheckpointError
        If a folder has no checkpoint, a pattern matches no checkpoint, or a file is a part of a model without index.
    """
    found = {path.absolute(): path for source in sources for path in _expanded(str(source))}
    return sorted((path for path in found.values() if not _is_part(path, found)), key=natural)


def _is_part(path: Path, found: Collection[Path]) -> bool:
    """Whether a file is a part of a model that is given by its index; CheckpointError for a part without index."""
    match = SHARD.fullmatch(path.name)
    if match is None:
        return False
    index = path.with_name(f"{match[1]}{match[2]}{INDEX}")
    if index.absolute() not in found:
        what = f"give {index.name}" if index.is_file() else f"get {index.name}, which says what is in each file"
        raise CheckpointError(f"{path} is one of several files of a model, so it is read by their index; {what}")
    return True


def _expanded(source: str) -> list[Path]:
    path = Path(source)
    try:
        is_folder = path.is_dir()
    except OSError as error:
        raise CheckpointError(f"{source!r:.200} cannot be read: {error.strerror}") from None
    if is_folder:
        if not (files := _in_folder(path)):
            raise CheckpointError(
                f"{path} has no checkpoint: no file in it ends in {', '.join(SUFFIXES)}, and no folder in it has "
                f"{' or '.join(MODELS[::2])}"
            )
        return files
    if not path.exists() and glob.has_magic(source):
        matches = [Path(match) for match in glob.glob(source, recursive=True)]  # noqa: PTH207 - may be absolute
        if not matches:
            raise CheckpointError(f"no file matches {source!r}; check the folder and the pattern")
        files = [file for match in matches for file in (_in_folder(match) if match.is_dir() else [match])]
        if not (files := [file for file in files if file.is_file() and not BESIDE.fullmatch(file.name)]):
            raise CheckpointError(
                f"{source!r} matches no checkpoint, only {matches[0]} and the like; check the pattern"
            )
        return files
    return [path]


def _in_folder(folder: Path) -> list[Path]:
    """The checkpoints of a folder, and those of its folders that hold one checkpoint of a framework."""
    try:
        below = sorted(child for child in folder.iterdir() if child.is_dir())
        return [*_own(folder), *(model for child in below if (model := _model(child)))]
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be read: {error.strerror}") from None


def _own(folder: Path) -> list[Path]:
    """The checkpoints that lie in a folder itself; of several forms of one model, one."""
    model = _model(folder)
    files = [file for file in folder.iterdir() if file.name.endswith(SUFFIXES) and file.is_file()]
    others = [file for file in files if not (file.name in MODELS or BESIDE.fullmatch(file.name))]
    indices = [file for file in folder.iterdir() if file.name.endswith(INDEX) and file.name not in MODELS]
    return [*([model] if model else []), *others, *indices]


def _model(folder: Path) -> Path | None:
    """The model in a folder that a framework wrote as one checkpoint."""
    return next((folder / name for name in MODELS if (folder / name).is_file()), None)


def natural(path: Path) -> list[str | int]:
    """Sorting key that puts epoch2 before epoch10."""
    return [int(part) if index % 2 else part for index, part in enumerate(re.split(r"([0-9]+)", str(path)))]


def labels(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of some paths that tell them apart; of one path, its name."""
    parts = [path.absolute().parts for path in paths]
    depth = 1
    while len({own[-depth:] for own in parts}) < len(set(parts)):
        depth += 1
    return [os.path.join(*own[-depth:]) for own in parts]  # noqa: PTH118 - names, not paths
