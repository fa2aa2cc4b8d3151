"""Where a run is: a folder of this machine, or the URL of an object store."""

from __future__ import annotations

import os
import re
from pathlib import Path

from recu_analysis.errors import InputError
from recu_analysis.store.object_path import ObjectPath

#: A URL. pathlib makes one slash of the two, so one is enough.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}", re.ASCII)
_LONGEST_KEY = 800


def as_place(path: str | os.PathLike[str]) -> Path:
    """A path from the user: an `ObjectPath` if it is a URL, otherwise a path with ``~`` expanded.

    A path that begins with s3:/ is always a URL, because pathlib shortens s3:// to it.

    Raises
    ------
    InputError
        If it is a URL of another kind, or one without a bucket and a folder, or with credentials.
    """
    if isinstance(path, ObjectPath):
        return path.fresh()
    text = os.fspath(path)
    match = _URL.fullmatch(text) if isinstance(text, str) else None
    if match is None or (match[1].lower() != "s3" and "://" not in text and Path(f"{match[1]}:").exists()):
        return Path(os.path.expanduser(text))  # noqa: PTH111 - keeps an unknown ~name
    if match[1].lower() != "s3":
        raise InputError(f"{match[1]}:// URLs cannot be used; give a folder, or s3://bucket/folder")
    return _object_path(match[2])


def _object_path(text: str) -> ObjectPath:
    bucket, *folders = [name for name in text.split("/") if name] or [""]
    if not folders or not _BUCKET.fullmatch(bucket):  # the text may hold a password, so the message does not
        raise InputError(
            "the URL of a run is s3://bucket/folder, with a bucket, a folder in it, and no credentials; those belong "
            "into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    key = "/".join(folders)
    if not key.isprintable() or {".", ".."} & set(folders) or len(key.encode(errors="replace")) > _LONGEST_KEY:
        raise InputError(
            f"{f's3://{text}'!r:.120} cannot be used: its folder must be printable text without . and .. and at most "
            f"{_LONGEST_KEY} bytes long"
        )
    return ObjectPath.of(bucket, key)


def lexists(path: Path) -> bool:
    """Whether something is at a path, be it a broken link."""
    return path.exists() if isinstance(path, ObjectPath) else os.path.lexists(path)


def local(path: str | os.PathLike[str], what: str) -> Path:
    """A path of this machine from the user; InputError, which says `what` needs one, if it is a URL."""
    place = as_place(path)
    if isinstance(place, ObjectPath):
        raise InputError(f"{what} needs a folder of this machine, not {place}")
    return Path(path)
