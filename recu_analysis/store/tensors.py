"""Reading one untrusted safetensors file: bounded header, plain reads, checked digests."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.errors import DamagedError
from recu_analysis.store.format import MAX_HEADER_BYTES
from recu_analysis.store.object_path import ObjectFile, ObjectPath
from recu_analysis.store.sealing import digest, load_json, tensor_hasher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DTYPES = {"F32": "<f4", "F64": "<f8", "I8": "|i1", "U16": "<u2", "U32": "<u4", "I64": "<i8"}
#: Bytes per block when a tensor is read in blocks; a block fits in the processor's cache.
BLOCK_BYTES = 1 << 18


class TornError(DamagedError):
    """A file of tensors is shorter or longer than it was written."""


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """Location of a tensor in its file: dtype, shape, first byte and the byte after the last, from the file's start."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    stop: int


def open_regular(path: Path, where: str) -> int:
    """Open a regular file and return its descriptor; a link is not followed, a pipe does not block.

    Raises
    ------
    DamagedError
        If the file is missing or is not a regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        reason = "it is a link" if error.errno == errno.ELOOP else error.strerror
        raise DamagedError(f"{where} cannot be read: {reason}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DamagedError(f"{where} cannot be read: it is not a regular file")
    return descriptor


@contextlib.contextmanager
def open_for_reading(path: Path, where: str, buffering: int = -1) -> Iterator[Any]:
    """Open a regular file, or an object, for plain reads; raise DamagedError if it cannot be read."""
    if isinstance(path, ObjectPath):
        yield path.opened(where)
        return
    with os.fdopen(open_regular(path, where), "rb", buffering) as file:
        try:
            yield file
        except OSError as error:
            raise DamagedError(f"{where} cannot be read: {error.strerror}") from None


def _size(file: Any) -> int:
    size: int = file.size if isinstance(file, ObjectFile) else os.fstat(file.fileno()).st_size
    return size


def read_small(path: Path, where: str, limit: int = MAX_HEADER_BYTES) -> bytes:
    """Content of a small regular file, such as run.json; raise DamagedError if it has more than `limit` bytes."""
    with open_for_reading(path, where) as file:
        content: bytes = file.read(min(limit, _size(file)) + 1)  # read() allocates this many bytes
    if len(content) > limit:
        raise DamagedError(f"{where} is damaged: it is larger than {limit} bytes, the limit for such a file")
    return content


@dataclass(slots=True)
class TensorFile:
    """The header of a safetensors file, and its tensors on demand.

    Every tensor is read into its own memory. Its digest is checked the first time that this object reads it.

    Attributes
    ----------
    path : Path
    where : str
        Name of the file in messages.
    metadata : dict of str to str
    entries : dict of str to TensorEntry
    size : int
        Size of the file in bytes.
    """

    path: Path
    where: str
    metadata: dict[str, str] = field(init=False, repr=False)
    entries: dict[str, TensorEntry] = field(init=False, repr=False)
    size: int = field(init=False)
    _checked: set[str] = field(init=False, default_factory=set, repr=False)

    def __post_init__(self) -> None:
        with open_for_reading(self.path, self.where) as file:
            self.size = size = _size(file)
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
                raise TornError(f"{self.where} is cut short or damaged: {size} bytes cannot hold its header")
            content = load_json(file.read(length), self.where)
        metadata = content.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            raise DamagedError(f"{self.where} is damaged: its metadata is not text")
        self.metadata = metadata
        self.entries = {name: self._entry(name, entry, 8 + length) for name, entry in content.items()}
        self._check_layout(8 + length, size)

    def _entry(self, name: str, entry: Any, origin: int) -> TensorEntry:
        try:
            dtype, shape, (start, stop) = np.dtype(DTYPES[entry["dtype"]]), entry["shape"], entry["data_offsets"]
            if not all(type(number) is int and number >= 0 for number in (*shape, start, stop)):
                raise TypeError
        except (KeyError, TypeError, ValueError):
            raise DamagedError(f"{self.where} is damaged: its tensor {name!r:.80} has an unreadable entry") from None
        expected = dtype.itemsize
        for length in shape:
            expected *= length
        if stop - start != expected:
            raise DamagedError(f"{self.where} is damaged: its tensor {name!r:.80} has the wrong number of bytes")
        return TensorEntry(dtype, tuple(shape), origin + start, origin + stop)

    def _check_layout(self, origin: int, size: int) -> None:
        position = origin
        for entry in sorted(self.entries.values(), key=lambda entry: (entry.start, entry.stop)):
            if entry.start != position:
                raise DamagedError(f"{self.where} is damaged: its tensors overlap or leave gaps")
            position = entry.stop
        if position != size:
            kind = "cut short" if size < position else "longer than when it was written"
            raise TornError(f"{self.where} is {kind}: {size} bytes instead of {position}")

    def read(self, name: str, expected_digest: str | None = None) -> np.ndarray[Any, Any]:
        """Read one tensor; the array is read only.

        Parameters
        ----------
        name : str
        expected_digest : str, optional
            Digest of the tensor, compared at the first read.

        Returns
        -------
        ndarray

        Raises
        ------
        DamagedError
            If the tensor is missing, the file has been cut since it was opened, or the digest differs.
        """
        entry = self.entry(name)
        try:
            array = np.empty(entry.shape, entry.dtype)
        except ValueError:
            raise DamagedError(f"{self.where} is damaged: tensor {name!r:.80} has an impossible shape") from None
        with open_for_reading(self.path, self.where) as file:
            file.seek(entry.start)
            if not _read_into(file, array):
                raise TornError(f"{self.where} is cut short: tensor {name!r:.80} ends too early")
        if expected_digest is not None and name not in self._checked:
            if digest(name, array) != expected_digest:
                raise DamagedError(f"{self.where} is damaged: tensor {name!r:.80} does not match its checksum")
            self._checked.add(name)
        array.flags.writeable = False
        return array

    def blocks(self, name: str, expected_digest: str) -> Iterator[np.ndarray[Any, Any]]:
        """Yield one tensor as flat blocks in one buffer; a block is valid until the next one is read.

        The digest is compared after the last block, so results are valid only if the iteration ends.

        Raises
        ------
        DamagedError
            As in `read`.
        """
        entry = self.entry(name)
        if isinstance(self.path, ObjectPath):  # a request for each block would take longer
            yield self.read(name, expected_digest).reshape(-1)
            return
        hasher = None if name in self._checked else tensor_hasher(name, entry.dtype, entry.shape)
        buffer = np.empty(BLOCK_BYTES // entry.dtype.itemsize, entry.dtype)
        with open_for_reading(self.path, self.where, buffering=0) as file:
            file.seek(entry.start)
            left = (entry.stop - entry.start) // entry.dtype.itemsize
            while left:
                block = buffer[:left]
                if not _read_into(file, block):
                    raise TornError(f"{self.where} is cut short: tensor {name!r:.80} ends too early")
                if hasher:
                    hasher.update(block.data.cast("B"))
                yield block
                left -= block.size
        if hasher and hasher.hexdigest() != expected_digest:
            raise DamagedError(f"{self.where} is damaged: tensor {name!r:.80} does not match its checksum")
        self._checked.add(name)

    def entry(self, name: str) -> TensorEntry:
        """The location of a tensor; raise DamagedError if there is no tensor of that name."""
        entry = self.entries.get(name)
        if entry is None:
            raise DamagedError(f"{self.where} is damaged: it has no tensor {name!r:.80}")
        return entry


def _read_into(file: Any, array: np.ndarray[Any, Any]) -> bool:
    """Fill an array from a file; return False if the file ends too early."""
    if array.size == 0:
        return True
    view = array.data.cast("B")
    while view:
        count = file.readinto(view)
        if not count:
            return False
        view = view[count:]
    return True
