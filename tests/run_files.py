"""The files of a run directory: where a window lies, and what all of them hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def window_folder(path: Path, number: int, segment: int = 0) -> Path:
    """The folder of a window."""
    return path / f"history/segment-{segment:04}/window-{number:06}"


def window_file(path: Path, number: int, segment: int = 0) -> Path:
    """The file of a window, which one process wrote."""
    return window_folder(path, number, segment) / "00001-of-00001.safetensors"


def contents(path: Path) -> dict[str, bytes | None]:
    """The bytes of every file below a folder, by its name from there; None for a folder."""
    return {str(file.relative_to(path)): file.read_bytes() if file.is_file() else None for file in path.rglob("*")}
