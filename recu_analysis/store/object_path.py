"""The URL of a run in an object store, with the methods of a path that readers and writers of runs use."""

from __future__ import annotations

import errno
import os
import stat
from fnmatch import fnmatchcase
from pathlib import Path, PosixPath, PurePath
from typing import TYPE_CHECKING, Any, NoReturn, Self

from recu_analysis.errors import DamagedError, NotARunError, RunExistsError, StoreError, listed
from recu_analysis.store import format as names
from recu_analysis.store.bucket import PART_BYTES, Bucket, Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

#: Bytes of a window's file that are read first; the header of about 25 layers.
HEAD_BYTES = 1 << 15
#: Requests at once while a run is opened.
AT_ONCE = 16
#: Files that are read whole when a run is opened.
_SMALL = {names.RUN_FILE, names.REFUSED_FILE, names.SEGMENT_FILE, names.METRICS_FILE, names.END_FILE}
_TENSORS = ".safetensors"


class Listing:
    """The objects below one folder as they were at one moment, and what was read of them ahead.

    Parameters
    ----------
    bucket : Bucket
    root : str
        Key of the folder.

    Attributes
    ----------
    failure : StoreError or None
        The first request that failed. Whoever reads on in spite of errors asks for it at the end.
    """

    def __init__(self, bucket: Bucket, root: str) -> None:
        self.bucket, self.root = bucket, root
        self.failure: StoreError | None = None
        self._entries: dict[str, Entry] | None = None
        self._names: dict[str, set[str]] = {}
        self._ahead: dict[str, memoryview] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Listing, (self.bucket, self.root)

    def load(self) -> None:
        """List the run, and read its small files and the beginnings of its windows, several at a time.

        A recording may go on meanwhile. Its metrics name windows that are complete, so they are read before the
        windows are listed.
        """
        first = self.bucket.objects(self.root)
        small = [key for key, entry in first.items() if _is_small(key) and entry.size <= names.MAX_HEADER_BYTES]
        self._read_ahead(small, {})
        whole = {key: Entry(len(self._ahead[key]), first[key].written) for key in small if key in self._ahead}
        later = {
            key: entry for key, entry in self.bucket.objects(self.root).items() if key in first or not _is_small(key)
        }
        self._set(later | whole)
        heads = [key for key in later if key.endswith(_TENSORS) and f"/{names.HISTORY}/" in key]
        self._read_ahead(heads, {key: min(later[key].size, HEAD_BYTES) for key in heads if later[key].size})

    def _read_ahead(self, keys: Iterable[str], sizes: dict[str, int]) -> None:
        from concurrent.futures import ThreadPoolExecutor  # not loaded for folders

        with ThreadPoolExecutor(AT_ONCE) as pool:
            jobs = {key: pool.submit(self.bucket.read, key, 0, sizes.get(key)) for key in keys}
            try:
                found = {key: job.result() for key, job in jobs.items()}
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        self._ahead |= {key: content for key, content in found.items() if content is not None}

    def _set(self, entries: dict[str, Entry]) -> None:
        # Names that mean another place in a path, which any writer of the bucket can choose, are passed over.
        self._entries = {key: each for key, each in entries.items() if not {"", ".", ".."} & set(key.split("/"))}
        self._names = {}
        for key in self._entries:
            while key != self.root and key:
                key, _, name = key.rpartition("/")
                self._names.setdefault(key, set()).add(name)

    def _listed(self, key: str) -> bool:
        """Whether the listing tells what has this key; it is made now if it was not."""
        if key != self.root and not key.startswith(f"{self.root}/"):
            return False
        if self._entries is None:
            self._set(self.bucket.objects(self.root))
        return True

    def entry(self, key: str) -> Entry | None:
        """One object; None if there is none."""
        own = key != self.root and self._listed(key)  # a listing of a folder does not hold an object of its name
        return (self._entries or {}).get(key) if own else self.bucket.entry(key)

    def names(self, key: str) -> list[str]:
        """Names of what is directly in a folder."""
        found = self._names.get(key, ()) if self._listed(key) else self.bucket.names(key)
        return sorted(each.rstrip("/") for each in found)

    def read(self, key: str, start: int, stop: int) -> memoryview | None:
        """Some bytes of an object, which may have been read ahead; None if it is not there any more."""
        ahead = self._ahead.get(key)
        if ahead is not None and stop <= len(ahead):
            return ahead[start:stop]
        try:
            return self.bucket.read(key, start, stop)
        except StoreError as error:
            self.failure = self.failure or error
            raise

    def head(self, key: str, size: int) -> memoryview | None:
        """The first bytes of an object. Those of a window are needed once, so they are then forgotten."""
        ahead = self._ahead.pop(key, None) if key.endswith(_TENSORS) else self._ahead.get(key)
        return self.read(key, 0, min(size, HEAD_BYTES)) if ahead is None else ahead


def _is_small(key: str) -> bool:
    return key.rpartition("/")[2] in _SMALL


class ObjectPath(PosixPath):
    """An object or a folder of an object store: s3://bucket/key.

    A folder is there if objects are below it. Reading methods answer from one listing, which all paths share that were
    made from the same one. What is not overridden here, and every function of the system, raises OSError, because there
    is no such file on this machine.
    """

    listing: Listing

    @classmethod
    def of(cls, bucket: str, key: str) -> Self:
        """The path of a run, with a listing that is yet to be made."""
        return cls("s3:", bucket, key)._with(Listing(Bucket(bucket), key))

    def _with(self, listing: Listing) -> Self:
        self.listing = listing
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.parts, self.listing)

    def __str__(self) -> str:
        return f"s3://{'/'.join(self.parts[1:])}"

    def __repr__(self) -> str:
        return f"ObjectPath({str(self)!r})"

    def __fspath__(self) -> NoReturn:
        raise OSError(errno.EOPNOTSUPP, "it is in an object store, and this needs a folder of this machine", str(self))

    @property
    def key(self) -> str:
        """The key in the bucket."""
        return "/".join(self.parts[2:])

    def __truediv__(self, other: Any) -> Self:
        parts = other.parts if isinstance(other, PurePath) else PurePath(other).parts
        return type(self)(*self.parts, *parts)._with(self.listing)

    @property
    def parent(self) -> Self:
        """The folder above."""
        return type(self)(*self.parts[:-1])._with(self.listing)

    @property
    def parents(self) -> Any:
        """The folders above, up to those directly in the bucket."""
        return [type(self)(*self.parts[:end])._with(self.listing) for end in range(len(self.parts) - 1, 2, -1)]

    def relative_to(self, *other: Any) -> Any:
        """The part after another path, as a path of names alone."""
        return PurePath(*self.parts).relative_to(PurePath(*other[0].parts))

    def absolute(self) -> Self:
        """The path itself."""
        return self

    def resolve(self, strict: bool = False) -> Self:
        """The path itself: there are no links."""
        return self

    def fresh(self) -> Self:
        """The same path with a listing that is yet to be made."""
        return type(self)(*self.parts)._with(Listing(self.listing.bucket, self.key))

    # ------------------------------------------------------------------ what is there

    def exists(self) -> bool:
        """Whether it is an object, or objects are below it."""
        return self.is_dir() or self.is_file()

    def is_file(self) -> bool:
        """Whether it is an object."""
        return self.listing.entry(self.key) is not None

    def is_dir(self) -> bool:
        """Whether objects are below it."""
        return bool(self.listing.names(self.key))

    def is_symlink(self) -> bool:
        """False: there are no links."""
        return False

    def iterdir(self) -> Generator[Self, None, None]:
        """What is directly in a folder."""
        found = self.listing.names(self.key)
        if not found:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        yield from (self / name for name in found)

    def glob(self, pattern: str) -> Generator[Self, None, None]:
        """What is directly in a folder and matches a pattern."""
        yield from (self / name for name in self.listing.names(self.key) if fnmatchcase(name, pattern))

    def rglob(self, pattern: str) -> Generator[Self, None, None]:
        """What is in a folder or below it and matches a pattern."""
        for name in self.listing.names(self.key):
            if fnmatchcase(name, pattern):
                yield self / name
            yield from (self / name).rglob(pattern)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Size and time of an object; a folder has neither."""
        entry = self.listing.entry(self.key)
        if entry is None and not self.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        mode, size, when = (stat.S_IFREG, entry.size, entry.written) if entry else (stat.S_IFDIR, 0, 0.0)
        fields = (mode, 0, 0, 1, 0, 0, size, int(when), int(when), int(when))
        return os.stat_result(fields, {"st_mtime": when, "st_mtime_ns": int(when * 1e9)})

    def lstat(self) -> os.stat_result:
        """As `stat`."""
        return self.stat()

    def opened(self, where: str) -> ObjectFile:
        """The object, for reading; raise DamagedError if there is none."""
        entry = self.listing.entry(self.key)
        if entry is None:
            raise DamagedError(f"{where} cannot be read: {os.strerror(errno.ENOENT)}")
        return ObjectFile(self, where, entry.size)

    # ------------------------------------------------------------------ writing

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: a folder is there as soon as an object is in it."""

    def rmdir(self) -> None:
        """Do nothing: a folder without objects is not there."""

    def put(self, save: Callable[[Path], object], *, new: bool = False) -> None:
        """Write an object as a whole, or not at all.

        Parameters
        ----------
        save : callable
            Writes the file at the path that it is given, in the temporary folder of this machine.
        new : bool
            Whether there must be no object yet.

        Raises
        ------
        RunExistsError
            If `new`, and another process has written it.
        StoreError
            If the object store cannot be reached or refuses.
        """
        import tempfile  # not loaded for folders

        with tempfile.TemporaryDirectory(prefix="recu-analysis-") as room:
            temporary = Path(room) / "file.part"
            save(temporary)
            file = temporary.open("rb")
        with file:  # its name is deleted, so a process that is killed while it sends leaves nothing
            if not new:
                self.listing.bucket.put(self.key, file)
            elif not self.listing.bucket.create(self.key, file.read()):
                raise RunExistsError(f"another process has just begun to record into {self}; choose another URL")

    def append(self, text: str) -> None:
        """Append text to an object that this process alone writes, by writing it anew."""
        before = self.listing.bucket.read(self.key, patient=True)
        self.listing.bucket.put(self.key, (b"" if before is None else bytes(before)) + text.encode())

    def delete_below(self) -> None:
        """Delete the object, or all objects below the folder, as they are now."""
        bucket = self.listing.bucket
        bucket.delete([*bucket.objects(self.key)] or [self.key])


def _unpickled(parts: tuple[str, ...], listing: Listing) -> ObjectPath:
    return ObjectPath(*parts)._with(listing)


class ObjectFile:
    """An object that is read in ranges; the methods are those of a file."""

    def __init__(self, path: ObjectPath, where: str, size: int) -> None:
        self.size = size
        self._path, self._where, self._at = path, where, 0
        self._head = memoryview(b"")

    def seek(self, at: int) -> None:
        """Set the place of the next read."""
        self._at = at

    def read(self, count: int) -> bytes:
        """The next bytes; fewer at the end."""
        stop = min(self._at + count, self.size)
        if self._at == 0 and self.size:
            self._head = self._there(self._path.listing.head(self._path.key, self.size))
        part = self._head[self._at : stop] if stop <= len(self._head) else self._range(self._at, stop)
        self._at += len(part)
        return bytes(part)

    def readinto(self, view: memoryview) -> int:
        """Fill a buffer as far as one request does; return the number of bytes."""
        part = self._range(self._at, min(self._at + min(len(view), PART_BYTES), self.size))
        view[: len(part)] = part
        self._at += len(part)
        return len(part)

    def _range(self, start: int, stop: int) -> memoryview:
        if stop <= start:
            return memoryview(b"")
        return self._there(self._path.listing.read(self._path.key, start, stop))

    def _there(self, found: memoryview | None) -> memoryview:
        if found is None:
            raise DamagedError(f"{self._where} cannot be read: it was deleted meanwhile")
        return found


def require_run(folder: ObjectPath) -> None:
    """Read what opening a run needs, at once; raise NotARunError if there is no run."""
    bucket = folder.listing.bucket
    if bucket.entry((folder / names.RUN_FILE).key) is None:
        found = bucket.names(folder.key)
        raise NotARunError(
            f"{folder} is not a run: it has no {names.RUN_FILE}, but {listed(found, 5)}"
            if found
            else f"{folder} does not exist; ra.record creates runs"
        )
    folder.listing.load()


def failed(path: Path) -> None:
    """Raise the error of a request that failed while a run was read in spite of errors; only damage is passed over."""
    if isinstance(path, ObjectPath) and path.listing.failure is not None:
        raise path.listing.failure
