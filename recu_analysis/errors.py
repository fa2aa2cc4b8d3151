"""The exceptions that a caller can act on, and the message for an unknown name."""

from __future__ import annotations

import re
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: Up to FEW names are always all shown. Of more names without a near match, the first MANY are shown.
FEW, MANY = 5, 30
#: Words of a message from this length on are cut; paths are shorter on most systems.
LONGEST = 1000


def printable(text: str) -> str:
    """A text in one line, with what a terminal would obey or not show as Python escapes.

    Names of layers, runs and files, settings and metrics are data, and may hold any character: control characters, line
    breaks, marks that change the direction of writing. Every text for a terminal passes through this.
    """
    return text if text.isprintable() else "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def sentence(text: str) -> str:
    """A message in one line, as `printable`; what was given by mistake does not fill the screen."""
    return re.sub(rf"\S{{{LONGEST},}}", lambda word: f"{word[0][:60]}... ({len(word[0])} characters)", printable(text))


class RecuError(Exception):
    """Base of every error that recu-analysis raises on purpose; its message is one sentence for the user."""

    def __str__(self) -> str:
        """The message, which may hold names from files."""
        return sentence(super().__str__())


class InputError(RecuError, ValueError):
    """A value from the caller is out of range or of the wrong type."""


class IncomparableError(InputError):
    """The movement of some runs cannot be compared, because no windows of theirs are alike."""


class StoreError(RecuError):
    """A run directory cannot be read or written."""


class NotARunError(StoreError):
    """The path is not a run directory."""


class DamagedError(StoreError):
    """A file of a run directory differs from what was written."""


class RunExistsError(StoreError):
    """A run directory already exists, and the caller did not ask to continue it."""


class NoRoomError(StoreError):
    """The file system has too little free space."""


class LostProcessError(RecuError):
    """Another process of a sharded training has ended, so no later window can be whole."""


class LayerNotFoundError(RecuError, LookupError):
    """No layer of the run has the given name or matches the given pattern."""


class WindowNotFoundError(RecuError, LookupError):
    """The run does not have the requested windows."""


class NotRecordedError(RecuError, LookupError, AttributeError):
    """The run was recorded without the requested quantity, so its records have no such attribute."""


class SignsOnlyError(InputError):
    """A statistic is defined for signs only, and a layer has more than two levels.

    Parameters
    ----------
    layer : str
        Name of the layer.
    levels : int
        Number of its levels.
    """

    def __init__(self, layer: str, levels: int) -> None:
        super().__init__(
            f"this is defined for signs only, and the weights of layer {layer!r:.80} have {levels} levels; "
            "recu-analyze levels shows such layers, and layers= or --layer chooses others"
        )


class QueryError(RecuError, AttributeError):
    """A query cannot be answered as written; the message tells its author what to change."""


class NoBinaryLayersError(RecuError):
    """No layer of the model is recognized as binary."""


class RecorderError(RecuError):
    """Recording cannot start or continue."""


class DataError(RecuError):
    """A data set is missing or damaged."""


class CheckpointError(RecuError):
    """A checkpoint file cannot be read or written, or does not fit the network."""


class MissingExtraError(RecuError, ImportError):
    """An optional library, which only one part of recu-analysis needs, is not installed."""


class RecuWarning(UserWarning):
    """Base of every warning of recu-analysis; its message is one sentence for the user."""

    def __str__(self) -> str:
        """The message, which may hold names from files."""
        return sentence(super().__str__())


class RecordingWarning(RecuWarning):
    """A warning about something that the recording could not observe."""


class WindowsWarning(RecuWarning):
    """A warning that a run ends before the windows that the caller chose.

    Attributes
    ----------
    run : str
        Folder of the run.
    last : int
        Number of its last window.
    windows : str
        The chosen windows, such as 8:13.
    """

    def __init__(self, run: str, last: int, windows: str) -> None:
        super().__init__(f"{run} ends with window {last}, so the windows {windows} end there")
        self.run, self.last, self.windows = run, last, windows


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
    """The error for an unknown name, with near matches."""
    return InputError(f"no {kind} is called {name!r}; {hint(name, known)}")


def hint(name: str, known: Iterable[str]) -> str:
    """Text for the message about an unknown name: the nearest of many names, otherwise the known names."""
    names = list(known)
    near = near_names(name, names) if len(names) > FEW else []
    return f"did you mean {' or '.join(near)}?" if near else f"known are {listed(names, MANY)}"


def near_names(name: str, known: Sequence[str]) -> list[str]:
    """The known names that a mistyped name may mean: similar ones, else the few that begin with the same parts."""
    near = get_close_matches(str(name), known, n=3, cutoff=0.7)
    beginning = str(name)
    while not near and "." in beginning:
        beginning = beginning.rpartition(".")[0]
        near = [each for each in known if each.startswith(f"{beginning}.")]
    return near if len(near) <= FEW else []


def listed(names: Sequence[str], most: int) -> str:
    """The first `most` names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def kind_of_value(value: object) -> str:
    """Description of a value of the wrong type for a message: its type, and the value of a number or a text."""
    if value is None:
        return "None"
    kind = type(value).__name__
    return f"{kind} {value!r:.60}" if isinstance(value, str | int | float) else f"a {kind}"
