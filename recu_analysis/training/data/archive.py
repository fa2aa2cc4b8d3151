"""Reading named files of known size, from a folder or from a .tar.gz without unpacking it."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from typing import TYPE_CHECKING

from recu_analysis.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Limit for the rest of a tar beside its data files: headers, padding, and small files of documentation.
BESIDE = 2**20

#: Smallest and largest size of a file in bytes; equal if the size is known.
Bounds = tuple[int, int]


def read_folder(folder: Path, bounds: Mapping[str, Bounds], hint: str) -> dict[str, bytes]:
    """Files of a folder by name; the size of each file is checked before it is read.

    Parameters
    ----------
    folder : Path
    bounds : mapping of str to Bounds
        File name -> smallest and largest size.
    hint : str
        Advice at the end of an error.

    Raises
    ------
    DataError
        If a file is missing, has a wrong size or cannot be read.
    """
    return {name: _read_file(folder / name, *expected, hint) for name, expected in bounds.items()}


def _read_file(path: Path, least: int, most: int, hint: str) -> bytes:
    try:
        if not path.is_file():
            raise DataError(f"{path} is missing: it should have {_span(least, most)} bytes; {hint}")
        with path.open("rb") as file:
            _check_size(str(path), path.stat().st_size, least, most, hint)
            return file.read(most)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; {hint}") from None


def _check_size(where: str, size: int, least: int, most: int, hint: str) -> None:
    if not least <= size <= most:
        what = "truncated" if size < least else "not the published file"
        raise DataError(f"{where} is {what}: it has {size:,} bytes but should have {_span(least, most)}; {hint}")


def _span(least: int, most: int) -> str:
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


class _Capped:
    """A stream that raises an error if it is longer than a published archive."""

    def __init__(self, file: gzip.GzipFile, left: int) -> None:
        self._file, self._left = file, left

    def read(self, count: int) -> bytes:
        """The next bytes; EOFError beyond the limit."""
        content = self._file.read(min(count, self._left + 1))
        self._left -= len(content)
        if self._left < 0:
            raise EOFError("it is larger than the published archive")
        return content


def read_packed(archive: Path, folder: str, bounds: Mapping[str, Bounds], hint: str) -> dict[str, bytes]:
    """Files of a folder in a .tar.gz by name; nothing is written to disk.

    Parameters
    ----------
    archive : Path
    folder : str
        Folder in the archive.
    bounds : mapping of str to Bounds
        File name -> smallest and largest size.
    hint : str
        Advice at the end of an error.

    Raises
    ------
    DataError
        If the archive cannot be read, or a file is missing or has a wrong size.
    """
    wanted = {f"{folder}/{name}": name for name in bounds}
    found: dict[str, bytes] = {}
    cap = BESIDE + sum(most for _, most in bounds.values())
    try:
        with gzip.open(archive) as file, tarfile.open(fileobj=(capped := _Capped(file, cap)), mode="r|") as tar:  # type: ignore[call-overload]
            for member in tar:
                name = wanted.get(member.name.removeprefix("./"))
                if name is not None and member.isreg():
                    _check_size(f"{archive}:{member.name}", member.size, *bounds[name], hint)
                    found[name] = tar.extractfile(member).read()
            while capped.read(BESIDE):  # read to the end, where the checksum is
                pass
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{archive} is damaged ({error}); {hint}") from None
    missing = [path for path, name in wanted.items() if name not in found]
    if missing:
        raise DataError(f"{archive} has no {missing[0]}; {hint}")
    return found
