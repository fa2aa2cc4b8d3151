"""Selection of a run's layers by pattern; numbers of windows, and text for lists of them."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from recu_analysis.errors import InputError, LayerNotFoundError, hint, kind_of_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run

#: Ranges of numbers up to which a sentence lists all of them.
MOST_STRETCHES = 8
#: No window has this number or a larger one.
MOST_WINDOWS = 10**15


def select_layers(run: Run, patterns: Sequence[str] | str | None) -> tuple[LayerSpec, ...]:
    """The layers of a run whose names match one of the patterns; all layers without patterns.

    Parameters
    ----------
    run : Run
    patterns : str, sequence of str or None
        Shell-style patterns, such as "layer2.*".

    Returns
    -------
    tuple of LayerSpec

    Raises
    ------
    InputError
        If a pattern is not a text, or the sequence is empty.
    LayerNotFoundError
        If a pattern matches no layer; the message suggests near names.
    """
    wanted = as_patterns(patterns)
    if wanted is None:
        return run.header.layers
    for pattern in wanted:
        if not any(fnmatchcase(name, pattern) for name in run.layer_names):
            raise LayerNotFoundError(f"no layer of {run.path} matches {pattern!r}; {hint(pattern, run.layer_names)}")
    return tuple(spec for spec in run.header.layers if any(fnmatchcase(spec.name, pattern) for pattern in wanted))


def as_patterns(patterns: Any) -> list[str] | None:
    """Patterns of layer names as a list; None for None.

    Raises
    ------
    InputError
        If it is neither a text nor a sequence of texts, or the sequence is empty.
    """
    if patterns is None or isinstance(patterns, str):
        return None if patterns is None else [patterns]
    if not isinstance(patterns, Iterable) or isinstance(patterns, bytes | Mapping):
        raise InputError(f"layers are chosen by a pattern or a sequence of patterns, not by {kind_of_value(patterns)}")
    wanted = list(patterns)
    for pattern in wanted:
        if not isinstance(pattern, str):
            raise InputError(f"a pattern of layer names is a text, not {kind_of_value(pattern)}")
    if not wanted:
        raise InputError("layers= holds no pattern, so no layer is chosen; give a pattern, or None for all layers")
    return wanted


def select_layer(run: Run, pattern: str) -> LayerSpec:
    """The one layer of a run whose name matches a pattern.

    Parameters
    ----------
    run : Run
    pattern : str

    Returns
    -------
    LayerSpec

    Raises
    ------
    InputError
        If the pattern is not a text, or matches several layers.
    LayerNotFoundError
        If it matches no layer; the message suggests near names.
    """
    if not isinstance(pattern, str):
        raise InputError(f"one layer is chosen by its name or a pattern, a text, not by {kind_of_value(pattern)}")
    layers = select_layers(run, pattern)
    if layers[1:]:
        names = ", ".join(layer.name for layer in layers)
        raise InputError(f"{pattern!r} matches {len(layers)} layers of {run.path}; name one of {names}")
    return layers[0]


def window_number(value: Any) -> int:
    """A window's number; InputError if it is not a whole number from 0 on."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise InputError(f"a window is given by its number, not by {kind_of_value(value)}") from None
    if number < 0:
        raise InputError(f"windows are numbered from 0, so the number {_short(number)} is not a window")
    if number >= MOST_WINDOWS:
        raise InputError(f"the number {_short(number)} is too large for a window; give a number below {MOST_WINDOWS:,}")
    return number


def _short(number: int) -> str:
    """A whole number in a message, as its size if Python would not write it or nobody would read it."""
    digits = int(number.bit_length() * 0.30103) + 1
    return str(number) if digits < 20 else f"of about {digits:,} digits"


def numbers_text(numbers: Sequence[int]) -> str:
    """Text for ascending window numbers, such as "0 to 4", or "0, 4 to 7 and 12" if some are missing."""
    groups: list[list[int]] = []
    for number in numbers:
        if groups and number == groups[-1][-1] + 1:
            groups[-1].append(number)
        else:
            groups.append([number])
    parts = [_short(each[0]) if len(each) == 1 else f"{_short(each[0])} to {_short(each[-1])}" for each in groups]
    if len(parts) > MOST_STRETCHES:
        return ", ".join([*parts[: MOST_STRETCHES - 2], "...", parts[-1]])
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if parts[1:] else parts[0]
