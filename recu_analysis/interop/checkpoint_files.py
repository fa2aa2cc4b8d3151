"""The checkpoints that files, folders and patterns stand for, in natural order."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from recu_analysis.errors import CheckpointError
from recu_analysis.interop.sharded import INDEX

if TYPE_CHECKING:
    from collections.abc import Sequence

SUFFIXES = (".pth", ".pt", ".pth.tar", ".th", ".ckpt", ".safetensors")
#: Names of the model in a folder that a framework writes as one checkpoint, the first that exists.
MODELS = ("model.safetensors", f"model.safetensors{INDEX}", "pytorch_model.bin", f"pytorch_model.bin{INDEX}")
#: What frameworks write beside the model: optimizer.pt, rng_state_0.pth, scheduler_1.bin, ...
BESIDE = re.compile(
    r"(optimizer|scheduler|scaler|sampler|rng_state|random_states|training_args)(_[0-9]+)*\.(pt|pth|bin)"
)

#: Name of one of the files of a model that has an index.
SHARD = re.compile(r"-[0-9]+-of-[0-9]+\.")


def checkpoint_files(sources: Sequence[str | Path]) -> list[Path]:
    """The checkpoints of files, folders and patterns, in the natural order of their paths (2 before 10).

    A folder stands for the checkpoints in it, and for those of its folders that hold one checkpoint of a framework, as
    checkpoint-500 of transformers does. A checkpoint in several files is given by its index.

    Parameters
    ----------
    sources : sequence of str or Path

    Returns
    -------
    list of Path

    Raises
    ------
    CheckpointError
        If a folder has no checkpoint, or a pattern matches no checkpoint.
    """
    found = {path.absolute(): path for source in sources for path in _expanded(str(source))}
    return sorted(found.values(), key=natural)


def _expanded(source: str) -> list[Path]:
    path = Path(source)
    if path.is_dir():
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
    if model is None:
        return others
    return [model, *(file for file in others if not SHARD.search(file.name))]


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
