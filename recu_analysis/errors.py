"""The kinds of errors that a caller can act on, and what they say of names that are not known."""

from __future__ import annotations

from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: So few names are all shown, however near one of them is; and of many without a near one so many.
FEW, MANY = 5, 30


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


class NotRecordedError(RecuError, LookupError, AttributeError):
    """The run was recorded without the quantity that is asked for, which its records lack as an attribute."""


class QueryError(RecuError, AttributeError):
    """A query is made in a way that cannot be answered; its text says to who wrote it what to do."""


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


class RecordingWarning(UserWarning):
    """Something that a recording could not see, which those who read it should know."""


@contextmanager
def needing_torch() -> Iterator[None]:
    """Raise MissingExtraError if what runs inside imports PyTorch and it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError(
            "PyTorch is not installed: recording, training and networks need it, reading a run does not; "
            "pip install torch installs it"
        ) from None


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not known, with those that may be meant."""
    return InputError(f"no {kind} is called {name!r}; {hint(name, known)}")


def hint(name: str, known: Iterable[str]) -> str:
    """What to say after a name that is not known: the nearest ones of many, else which there are."""
    names = list(known)
    near = get_close_matches(str(name), names, n=3, cutoff=0.7) if len(names) > FEW else []
    return f"did you mean {' or '.join(near)}?" if near else f"known are {listed(names, MANY)}"


def listed(names: Sequence[str], most: int) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def kind_of_value(value: object) -> str:
    """What a value of the wrong kind is, for a message: its type, and a number or a text also as it is."""
    if value is None:
        return "None"
    kind = type(value).__name__
    return f"{kind} {value!r:.60}" if isinstance(value, str | int | float) else f"a {kind}"
