"""Writing the shards of one process beside those of the process that began the run."""

from __future__ import annotations

import atexit
import os
from typing import TYPE_CHECKING, Any

from recu_analysis.errors import StoreError
from recu_analysis.store import format as names
from recu_analysis.store.background import Background
from recu_analysis.store.durable import as_store_error, check_room, commit
from recu_analysis.store.sealing import refusal
from recu_analysis.store.segments import read_segment
from recu_analysis.store.shard import ShardHeader
from recu_analysis.store.shard_file import save_shard, window_file_bytes
from recu_analysis.store.writer import RunWriter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.shard_file import ShardPlace
    from recu_analysis.store.state import LayerState


class FirstShardWriter(RunWriter):
    """A `RunWriter` of the first shard: metrics of a window wait until all its shards are on disk."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._waiting: list[Mapping[str, Any]] = []
        self._confirmed: int | None = None
        super().__init__(*arguments, **named)

    def write_metrics(self, line: Mapping[str, Any]) -> None:
        """Keep a line of metrics for `confirm`."""
        self._waiting.append(line)

    def confirm(self, saved: int) -> None:
        """Queue the lines of the windows up to number `saved`, all of whose shards are on disk."""
        while self._waiting and (self._waiting[0]["window"] is None or self._waiting[0]["window"] <= saved):
            super().write_metrics(self._waiting.pop(0))
        self._confirmed = saved if saved >= 0 else None

    @property
    def _last_whole(self) -> int | None:
        """Number of the last window with all its shards: another process may not have written a later one."""
        return self._confirmed


class ShardWriter:
    """The writer of one shard of every window; run.json and the metrics are written by a `RunWriter`.

    Parameters
    ----------
    place : ShardPlace
        Of the writer that began the segment.
    shard : tuple of int
        Index of the shard, from 1, and the number of shards.

    Attributes
    ----------
    saved : int
        Number of the last window whose shard is on disk; -1 if there is none.

    Raises
    ------
    StoreError
        If this process does not see the folder of the segment.
    """

    def __init__(self, place: ShardPlace, shard: tuple[int, int]) -> None:
        self.saved = -1
        self._place, self._shard, self._next_window = place, shard, place.next_window
        self._closed = False
        self._process = os.getpid()
        try:
            read_segment(place.folder, place.segment, names.FORMAT_VERSION)
        except StoreError as error:
            raise StoreError(
                f"this process does not see {place.folder}, which another process of the training has just made "
                f"({error}); record into a folder that all machines see under the same path"
            ) from None
        self._background = Background("recu-analysis shard writer")
        atexit.register(self._finish)

    @property
    def run_id(self) -> str:
        """Random identifier of the run."""
        return self._place.run_id

    def write_window(
        self,
        states: Mapping[str, LayerState],
        *,
        first_update: int,
        last_update: int,
        partial: bool = False,
        more: Mapping[str, Any] | None = None,
    ) -> int:
        """Queue the shard of a window, as `RunWriter.write_window`; return the window's number."""
        self._raise_error()
        number = self._next_window
        self._next_window += 1
        header = ShardHeader(
            run_id=self.run_id,
            segment=self._place.segment,
            window=number,
            first_update=first_update,
            last_update=last_update,
            exact=True,
            partial=partial,
            layers={layer: state.summary for layer, state in states.items()},
            digests={},
            more=dict(more or {}),
        )
        self._background.put(lambda: self._save(header, states))
        return number

    def _save(self, header: ShardHeader, states: Mapping[str, LayerState]) -> None:
        folder = self._place.folder
        with as_store_error(folder, "cannot be written"):
            check_room(folder, window_file_bytes(states), f"a shard of window {header.window}")
            save_shard(folder, header, states, self._shard)
            self.saved = header.window

    def write_metrics(self, line: Mapping[str, Any]) -> None:
        """Ignore metrics, which the first writer writes."""

    def rewrite_layers(self, layers: Sequence[LayerSpec]) -> None:
        """Ignore the layers, which the first writer writes."""

    def refuse(self, reason: str) -> None:
        """Queue a note for readers that the run must not be trusted, as `RunWriter.refuse`."""
        segment = self._place.folder
        text = refusal(self._place.segment, reason)
        file = segment.parents[1] / names.REFUSED_FILE
        self._background.put(
            lambda: commit(segment / names.STAGING, file, lambda each: each.write_text(text, encoding="utf-8")),
            in_any_case=True,
        )

    def flush(self) -> None:
        """Block until everything queued is on disk; raise the first error of the background thread."""
        self._background.wait()
        self._raise_error()

    def close(self) -> None:
        """Write everything queued, and stop the thread. May be called again."""
        self._finish()
        self._raise_error()

    def abandon(self) -> None:
        """Discard the queue; the first writer undoes the start. May be called again."""
        self._finish(discard=True)

    def _finish(self, *, discard: bool = False) -> None:
        if self._closed or os.getpid() != self._process:
            return
        self._background.stop(discard=discard)
        self._closed = True
        atexit.unregister(self._finish)

    @property
    def error(self) -> Exception | None:
        """The error because of which nothing more is written; None if there is none."""
        return self._background.error

    def _raise_error(self) -> None:
        if self.error is not None:
            raise self.error
