"""Which layers of a run are meant, and how a sentence lists the numbers of windows."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from recu_analysis.errors import InputError, LayerNotFoundError, hint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run

#: Stretches of numbers that a sentence still lists in full.
MOST_STRETCHES = 8


def select_layers(run: Run, patterns: Sequence[str] | str | None) -> tuple[LayerSpec, ...]:
    """The layers of a run whose names match one of the patterns; all without patterns.

    Raises
    ------
    LayerNotFoundError
        If a pattern matches nothing; the text says what may be meant.
    """
    wanted = [patterns] if isinstance(patterns, str) else list(patterns or ["*"])
    for pattern in wanted:
        if not any(fnmatchcase(name, pattern) for name in run.layer_names):
            raise LayerNotFoundError(f"no layer of {run.path} matches {pattern!r}; {hint(pattern, run.layer_names)}")
    return tuple(spec for spec in run.header.layers if any(fnmatchcase(spec.name, pattern) for pattern in wanted))


def select_layer(run: Run, pattern: str) -> LayerSpec:
    """The one layer of a run whose name matches a pattern.

    Raises
    ------
    InputError
        If the pattern matches several layers.
    LayerNotFoundError
        If it matches none; the text says what may be meant.
    """
    layers = select_layers(run, pattern)
    if layers[1:]:
        names = ", ".join(layer.name for layer in layers)
        raise InputError(f"{pattern!r} matches {len(layers)} layers; name one of {names}")
    return layers[0]


def numbers_text(numbers: Sequence[int]) -> str:
    """Rising numbers of windows as a sentence has them: 0 to 4, or 0, 4 to 7 and 12 where some are missing."""
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
