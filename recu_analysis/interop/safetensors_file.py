"""Opening a safetensors file of others, wherever it lies: the library itself waits for pipes and takes only UTF-8."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from safetensors import safe_open

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def open_safetensors(path: Path) -> Iterator[Any]:
    """Open a safetensors file for reading as tensors of torch, as `safetensors.safe_open`.

    Parameters
    ----------
    path : Path

    Raises
    ------
    OSError
        If it cannot be read, or is no regular file.
    SafetensorError
        If it is damaged.
    """
    if path.exists() and not path.is_file():
        raise OSError("it is not a regular file")
    with (
        path.open("rb") as file,
        safe_open(path if _is_utf8(path) else f"/dev/fd/{file.fileno()}", framework="pt") as opened,
    ):
        yield opened


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
