"""A bucket in memory, for tests that need no server: what is in it are the bytes of its objects."""

from __future__ import annotations

from typing import Any

from recu_analysis.errors import StoreError
from recu_analysis.store.bucket import Entry


class MemoryBucket:
    """The methods of a `Bucket`; `read` counts bytes, and requests that `refuses` names fail."""

    def __init__(self, name: str) -> None:
        self.name, self.content, self.bytes_read, self.refuses = name, {}, 0, ""

    def _answer(self, method: str, key: str) -> None:
        if self.refuses and self.refuses in f"{method} {key}":
            raise StoreError(f"s3://{self.name}/{key}: refused")

    def objects(self, folder: str) -> dict[str, Entry]:
        self._answer("LIST", folder)
        return {key: Entry(len(self.content[key]), 1.0) for key in sorted(self.content) if key.startswith(f"{folder}/")}

    def names(self, folder: str) -> list[str]:
        below = [key.removeprefix(f"{folder}/").partition("/") for key in self.objects(folder)]
        return sorted({name + slash for name, slash, _ in below})

    def entry(self, key: str) -> Entry | None:
        return Entry(len(self.content[key]), 1.0) if key in self.content else None

    def read(self, key: str, start: int = 0, stop: int | None = None, *, patient: bool = False) -> memoryview | None:
        self._answer("GET", key)
        if key not in self.content:
            return None
        part = self.content[key][start:stop]
        self.bytes_read += len(part)
        return memoryview(part)

    def put(self, key: str, content: Any) -> None:
        self._answer("PUT", key)
        self.content[key] = content if isinstance(content, bytes) else content.read()

    def create(self, key: str, content: bytes) -> bool:
        self._answer("PUT", key)
        return self.content.setdefault(key, content) == content

    def delete(self, keys: list[str]) -> None:
        for key in keys:
            self.content.pop(key, None)
