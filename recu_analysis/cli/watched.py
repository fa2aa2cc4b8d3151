"""A folder that is watched while its run is written, replaced or removed; no lock is taken."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.logged import last_logged
from recu_analysis.analysis.progress import NewestWindows, pace_logged, pace_of_files
from recu_analysis.cli.options import gap_warnings
from recu_analysis.errors import RecuError
from recu_analysis.store import format as names
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.store.locked_folder import absolute
from recu_analysis.store.notes import notes
from recu_analysis.store.places import as_place
from recu_analysis.store.run import open_run
from recu_analysis.store.segments import numbered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from recu_analysis.analysis.progress import Pace
    from recu_analysis.store.run import Run


class Watched:
    """A run, or the folder where a run will be.

    Parameters
    ----------
    path : Path
    layers : sequence of str, optional
        Patterns of layer names; all layers by default.

    Attributes
    ----------
    run : Run or None
        The run at the last look that found one; None before that.
    absent : RecuError, OSError or None
        Why no run can be read now.
    newest : NewestWindows
        The newest windows of `run`.
    """

    def __init__(self, path: Path, layers: Sequence[str] | None = None) -> None:
        self.path = as_place(path)
        self.run: Run | None = None
        self.absent: RecuError | OSError | None = None
        self.newest = NewestWindows(layers)
        self._layers = layers
        self._grew = self._locked = False
        self._stamp: tuple[Any, ...] | None = None

    def look(self) -> bool:
        """Open the run if anything was written since the last look; return whether it was."""
        stamp = tuple(_stamp(absolute(self.path)))
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            run = open_run(self.path)
        except (RecuError, OSError) as error:
            self.absent = error
            return True
        if self.run is None or run.id != self.run.id:  # another run may have begun in the same folder
            self.newest, self._grew, self._locked = NewestWindows(self._layers), False, False
        else:
            self._grew |= len(run.windows) > len(self.run.windows)
        self.run, self.absent = run, None
        return True

    def read_next(self, count: int) -> bool:
        """Read the newest unread window among the newest `count`; return whether one was read.

        Raises
        ------
        LayerNotFoundError
            If a pattern matches no layer of the run.
        """
        unread = self.newest.unread(self.run, count) if self.run and self.absent is None else []
        if not unread or self.run is None:
            return False
        kept = self.newest.read(self.run, unread[0])
        if not kept:
            self._stamp = None  # the run was removed meanwhile: the next look reports it
        return kept

    @property
    def layers(self) -> list[str]:
        """Names of the layers that are shown; LayerNotFoundError if a pattern matches none."""
        return [spec.name for spec in select_layers(self.run, self._layers)] if self.run else []

    @property
    def recording(self) -> bool:
        """Whether a process writes the run now: by its lock, or by new windows if no lock was ever seen."""
        if self.run is None or self.absent is not None:
            return False
        locked = self.run.being_written
        self._locked |= locked
        return locked or (self._grew and not self._locked)

    @property
    def fresh(self) -> bool:
        """Whether the run was seen being recorded, so that file times are real; otherwise files may be copies."""
        return self.recording or self._grew or self._locked

    @property
    def epochs(self) -> tuple[float, int | None]:
        """The last logged epoch, or NaN; the planned number of epochs, or None if another trainer made the run."""
        if self.run is None:
            return float("nan"), None
        try:
            return last_logged(self.run, "epoch"), planned_epochs(self.run)
        except RecuError:  # damaged metrics are among the problems of the run
            return float("nan"), None

    @property
    def pace(self) -> Pace | None:
        """The speed of the run: by fresh file times, else as our trainer logged it; None if neither is known."""
        if self.run is None:
            return None
        found = pace_of_files(self.run) if self.fresh else None
        if found is None and planned_epochs(self.run) is not None:
            with contextlib.suppress(RecuError):
                found = pace_logged(self.run)
        return found

    @property
    def age(self) -> float | None:
        """Seconds since the last window was written; None if file times do not show it."""
        if self.run is None or not self.fresh or not len(self.run.windows):
            return None
        try:
            return max(time.time() - self.run.windows[-1].file.path.stat().st_mtime, 0.0)
        except OSError:
            return None

    def warnings(self, count: int) -> list[str]:
        """Warnings about the newest `count` windows, each once."""
        if self.run is None:
            return []
        written = [*notes(self.run), *gap_warnings(self.run)]
        found = [*self.run.problems, *self.newest.problems, *written, *self._nonfinite(count)]
        return list(dict.fromkeys(found))

    @property
    def damaged(self) -> bool:
        """Whether something of the run cannot be read."""
        return self.run is not None and bool(self.run.problems or self.newest.problems)

    def _nonfinite(self, count: int) -> Iterator[str]:
        """A sentence if weights are NaN or infinite in the newest of `count` windows."""
        assert self.run is not None  # noqa: S101 - asked by warnings
        table = self.newest.table(self.run, count)
        newest = table[table["window"] == table["window"].max()]
        bad = newest[newest["nonfinite"] > 0]
        if len(bad):
            first = bad.iloc[0]
            more = f", and some in {len(bad) - 1} more layers" if len(bad) > 1 else ""
            yield (
                f"{first['nonfinite']:.0f} weights of layer {first['layer']} are NaN or infinite in window "
                f"{first['window']}{more}; they are left out"
            )


def planned_epochs(run: Run) -> int | None:
    """The planned epochs of a training of `recu_analysis.training`; None for any other run."""
    from recu_analysis.training.config import TrainingConfig

    if not {"network", "dataset", "epochs"} <= run.configuration.keys():
        return None
    try:
        return TrainingConfig.from_dict(run.configuration).epochs
    except RecuError:
        return None


def _stamp(path: Path) -> Iterator[Any]:
    """Values that change whenever something is written into a run."""
    history = path / names.HISTORY
    try:
        segments = [folder for _, folder in numbered(history, names.SEGMENT_NAME)]
        windows = [folder for segment in segments[-1:] for _, folder in numbered(segment, names.WINDOW_NAME)[-1:]]
    except RecuError as error:
        yield str(error)
        return
    for place in (path, history, *segments, *(segment / names.METRICS_FILE for segment in segments), *windows):
        try:
            found = place.stat()
        except OSError as error:
            yield place, error.errno
        else:
            yield place, found.st_ino, found.st_mtime_ns, found.st_size
