"""Selection of a run's layers by pattern, and text for lists of window numbers."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from recu_analysis.errors import InputError, LayerNotFoundError, hint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run

#: Ranges of numbers up to which a sentence lists all of them.
MOST_STRETCHES = 8


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
    LayerNotFoundError
        If a pattern matches no layer; the message suggests near names.
    """
    wanted = [patterns] if isinstance(patterns, str) else list(patterns or ["*"])
    for pattern in wanted:
        if not any(fnmatchcase(name, pattern) for name in run.layer_names):
            raise LayerNotFoundError(f"no layer of {run.path} matches {pattern!r}; {hint(pattern, run.layer_names)}")
    return tuple(spec for spec in run.header.layers if any(fnmatchcase(spec.name, pattern) for pattern in wanted))


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
        If the pattern matches several layers.
    LayerNotFoundError
        If it matches no layer; the message suggests near names.
    """
    layers = select_layers(run, pattern)
    if layers[1:]:
        names = ", ".join(layer.name for layer in layers)
        raise InputError(f"{pattern!r} matches {len(layers)} layers of {run.path}; name one of {names}")
    return layers[0]


def numbers_text(numbers: Sequence[int]) -> str:
    """Text for ascending window numbers, such as "0 to 4", or "0, 4 to 7 and 12" if some are missing."""
    groups: list[list[int]] = []
    for number in numbers:
        if groups and number == groups[-1][-1] + 1:
            groups[-1].append(number)
        else:
            groups.append([number])
    parts = [str(each[0]) if len(each) == 1 else f"{each[0]} to {each[-1]}" for each in groups]
    if len(parts) > MOST_STRETCHES:
        return ", ".join([*parts[: MOST_STRETCHES - 2], "...", parts[-1]])
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if parts[1:] else parts[0]
