"""Recording into an object store: a store that fails for good ends the recording, never the training."""

from __future__ import annotations

import warnings
from typing import Any

from recu_analysis.errors import RecordingWarning
from recu_analysis.store.writer import RunWriter


class ObjectRunWriter(RunWriter):
    """A `RunWriter` that warns, once, where that one raises the error of an earlier window; only `flush` raises it."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._told = False
        super().__init__(*arguments, **named)

    def flush(self) -> None:
        """Block until everything queued is in the store; raise the first error of the background thread."""
        super().flush()
        if self.error is not None:
            raise self.error

    def _raise_error(self) -> None:
        if self.error is None or self._told:
            return
        self._told = True
        last = f"it has all windows up to {self.saved}" if self.saved >= 0 else "it has no window of this recording"
        warnings.warn(
            f"{self.error}; the training goes on, but nothing more is recorded in {self.path}: {last}",
            RecordingWarning,
            stacklevel=4,
        )
