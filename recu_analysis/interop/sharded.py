"""One model in several files with an index of them, as transformers and accelerate write it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from recu_analysis.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

#: End of the name of an index.
INDEX = ".index.json"
#: Number of absent files and tensors that a message names.
LISTED = 3


def shards(path: Path) -> dict[Path, list[str]]:
    """The files of an index, and the names of the tensors in each.

    Parameters
    ----------
    path : Path
        The index, such as model.safetensors.index.json.

    Returns
    -------
    dict of Path to list of str

    Raises
    ------
    CheckpointError
        If the index cannot be read, or names a file that is not beside it.
    """
    found: dict[Path, list[str]] = {}
    for name, file in _weight_map(path).items():
        # The names come from the file, and could otherwise lead anywhere.
        if not isinstance(file, str) or file in ("", ".", "..") or "/" in file or "\0" in file:
            raise CheckpointError(
                f"{path} is damaged: it puts {name!r} in {file!r:.80}, which is not the name of a file"
            )
        found.setdefault(path.parent / file, []).append(name)
    for shard in found:
        if not os.path.isfile(shard):  # noqa: PTH113 - False for any name, also one that is too long
            raise CheckpointError(f"{path} needs {shard.name!r:.80}, which is not in its folder; get the missing file")
    return found


def _weight_map(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        content = None
    found = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(found, dict) or not found:
        raise CheckpointError(f"{path} is damaged: it is not an index of the files of a model")
    return found
