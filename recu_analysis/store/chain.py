"""The order of a run's windows: repeated states, updates that are in no window, and contradictions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from recu_analysis.errors import WindowNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from recu_analysis.store.shard import ShardHeader
    from recu_analysis.store.window import Window


@dataclass(slots=True)
class Chain:
    """The valid windows, each linked to its predecessor, and a sentence per contradiction or missing predecessor."""

    windows: list[Window] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    #: Whether the last state was refused. The window after it then has no known start.
    _broken: bool = False

    def add(self, window: Window) -> None:
        """Add the next window that is not superseded, unless it repeats the end of the last one or contradicts it."""
        last = self.windows[-1] if self.windows else None
        if last is None:
            if window.number and not window.header.is_state:  # else window 0, the state at the start, is lost
                self.missing.append(missing_before(window))
            self.windows.append(window)
        elif window.header.is_state and window.follows(last):
            self._broken = False
        elif problem := _contradiction(window, last):
            self.contradictions.append(problem)
            self._broken = True
        else:
            if not window.header.is_state and not self._broken and not window.follows(last):
                self.missing.append(missing_before(window))
            self.windows.append(replace(window, previous=None if self._broken else last))
            self._broken = False


def chained(windows: Iterable[Window]) -> Chain:
    """Link windows, given in the order of their segments and numbers, each to its predecessor."""
    chain = Chain()
    for window in windows:
        chain.add(window)
    return chain


def missing_before(window: Window) -> str:
    """The sentence about a window without a predecessor."""
    return f"the recording before {window.where}, up to update {window.first_update - 1}, is missing"


def _contradiction(window: Window, last: Window) -> str | None:
    """How the weights, the updates or the number of a window contradict the window before; None if they do not."""
    after, before = window.header, last.header
    if after.is_state and after.counts_on(before):
        layer = window.other_weights(last)[0]
        return (
            f"{window.where} continues with other weights of layer {layer!r:.80} than those at the end of "
            f"{last.where}, update {last.last_update}; later windows are not connected with earlier ones"
        )
    ends = {name: layer.next_update for name, layer in before.layers.items()}
    if any(layer.first_update < ends.get(name, 0) for name, layer in after.layers.items()):
        return (
            f"{window.where} begins at update {window.first_update}, before the end of {last.where} at update "
            f"{last.last_update}"
        )
    if window.number <= last.number:
        return f"{window.where} comes after {last.where} but has no higher number"
    return None


def start_known(window: Window) -> bool:
    """Whether the predecessor of a window exists; a state is its own start."""
    return window.header.is_state or window.connected


def begins_anew(window: Window) -> bool:
    """Whether a recording began, or continued after unseen updates, with the state before this window."""
    return window.previous is None or window.previous.header.is_state


def gap(window: Window) -> str | None:
    """The sentence about updates that are in no window before a state; None for every other window."""
    if not window.header.is_state or window.previous is None:
        return None
    unseen = _unseen(window.header, window.previous.header)
    return f"{unseen} in no window: the recording continued at update {window.last_update}, in {window.where}"


def _unseen(window: ShardHeader, before: ShardHeader) -> str:
    """The updates between two windows, for the first layer that has some, with the verb."""
    spans = {
        name: (before.layers[name].next_update, layer.first_update - 1)
        for name, layer in window.layers.items()
        if name in before.layers and layer.first_update > before.layers[name].next_update
    }
    if not spans:
        return "the movement of the weights in between is"
    name, (first, last) = next(iter(spans.items()))
    alike = len(set(spans.values())) == 1 and spans.keys() == window.layers.keys()
    of_layer = "" if alike else f" of layer {name!r:.80}"
    return f"update {first}{of_layer} is" if first == last else f"updates {first} to {last}{of_layer} are"


def check_connected(windows: Sequence[Window]) -> None:
    """Raise WindowNotFoundError unless the start of the first window is known and each window follows the one before.

    The message names the updates that are in no window, or the missing window.
    """
    for window in windows:
        if not window.header.is_state:
            _ = window.before
    for before, window in pairwise(windows):
        follows = window.connected if window.previous is before else window.follows(before)
        if not follows:
            raise WindowNotFoundError(
                f"{_unseen(window.header, before.header)} in no window between {before.where} and {window.where}; "
                "choose windows on one side of this gap"
            )
