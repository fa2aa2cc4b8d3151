"""The kinds of errors that a caller can act on."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class RecuError(Exception):
    """Base of every error that recu-analysis raises on purpose; its text is one sentence for the user."""


class InputError(RecuError, ValueError):
    """A value that the caller gave is out of its range or of the wrong kind."""


class StoreError(RecuError):
    """A run directory cannot be read or written."""


class NotARunError(StoreError):
    """The path is not a run directory."""


class DamagedError(StoreError):
    """A file of a run directory is not what was written."""


class RunExistsError(StoreError):
    """A run directory is already there and was not to be continued."""


class NoRoomError(StoreError):
    """The file system has too little free space."""


class LayerNotFoundError(RecuError, LookupError):
    """No layer of the run has that name or matches that pattern."""


class WindowNotFoundError(RecuError, LookupError):
    """The run does not have the windows asked for."""


class NotRecordedError(RecuError, LookupError):
    """The run was recorded without the quantity that is asked for."""


class NoBinaryLayersError(RecuError):
    """A model has no layer that is known to be binary."""


class RecorderError(RecuError):
    """Recording cannot start or go on."""


class DataError(RecuError):
    """A data set is missing or damaged."""


class CheckpointError(RecuError):
    """A checkpoint file cannot be read or written, or does not fit the network."""


class MissingExtraError(RecuError, ImportError):
    """A library is not installed that only one part of recu-analysis needs."""


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not known, with the nearest ones of many, else with all of them."""
    names = list(known)
    near = get_close_matches(name, names, n=3) if len(names) > 5 else []
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(names)}"
    return InputError(f"no {kind} is called {name!r}; {hint}")
