"""Settings declared once, as fields of a dataclass: type, default, choices, range and help; the rest follows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from functools import cache
from inspect import cleandoc
from textwrap import fill
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")
Class = TypeVar("Class", bound=type)


def _of(*types: type) -> Callable[[Any], bool]:
    """Whether a value is of one of these types; bool is not taken for an int."""
    return lambda value: type(value) in types


#: The types that a setting may have, how an error calls its values, and which these are: JSON and callers bring others.
KINDS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    str: ("a text", _of(str)),
    str | None: ("a text or None", _of(str, NoneType)),
    bool: ("True or False", _of(bool)),
    int: ("a whole number", _of(int)),
    float: ("a number", _of(int, float)),
    float | None: ("a number or None", _of(int, float, NoneType)),
    tuple[float, float]: (
        "a tuple with a pair of numbers",
        lambda value: type(value) is tuple and [type(each) in (int, float) for each in value] == [True, True],
    ),
    tuple[str, ...]: ("a tuple of words", _of(tuple)),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """What a field says of itself.

    Attributes
    ----------
    name : str
    kind : type
        A key of `KINDS`.
    default : object
    text : str
        Its help.
    choices : tuple of str
        The words that it may be, or hold; empty where any will do.
    least, above, below : float
        Its range, if it is a number.
    refusal : str
        How an error about its range begins, where there is more to say than the bounds.
    usual : str
        What the command line takes in place of the default, if that depends on other settings.
    flag, metavar : str or None
        What the command line calls it, and its values, if not by its name and its type.
    ingredient : str or None
        What `BinaryConv2d` calls it, if it is a part of the method ReCU.
    """

    name: str
    kind: Any
    default: Any
    text: str
    choices: tuple[str, ...] = ()
    least: float = -math.inf
    above: float = -math.inf
    below: float = math.inf
    refusal: str = ""
    usual: str = ""
    flag: str | None = None
    metavar: str | None = None
    ingredient: str | None = None

    @property
    def words(self) -> str:
        """Its name in a sentence."""
        return self.name.replace("_", " ")

    def check(self, value: Any) -> None:
        """InputError unless the setting can have this value."""
        what, fits = KINDS[self.kind]
        if not fits(value):
            raise InputError(f"{self.words} must be {what}, not {value!r}")
        for word in (value if isinstance(value, tuple) else (value,)) if self.choices else ():
            if word not in self.choices:
                raise InputError(f"{self.words} must be one of {', '.join(self.choices)}, not {word!r}")
        if isinstance(value, int | float) and not (self.least <= value and self.above < value < self.below):
            raise InputError(f"{self.refusal or f'{self.words} must be a number {self._bounds()}'}, not {value!r}")

    def _bounds(self) -> str:
        bounds = {"at least": self.least, "above": self.above, "below": self.below}
        return " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound))


def option(default: Value, text: str, **more: Any) -> Value:
    """A field that is a setting: its default, its help, and what else a `Setting` says, by name."""
    return field(default=default, metadata={"text": text, **more})


@cache
def settings_of(described: type) -> dict[str, Setting]:
    """The settings of a dataclass, by name and in order."""
    kinds = get_type_hints(described)
    return {
        each.name: Setting(name=each.name, kind=kinds[each.name], default=each.default, **each.metadata)
        for each in fields(described)
    }


def documented(described: Class) -> Class:
    """Let the docstring of a dataclass say what each of its settings is."""
    parts = [cleandoc(described.__doc__ or ""), "", "Attributes", "----------"]
    for each, setting in zip(fields(described), settings_of(described).values(), strict=True):
        kind = f"{{{', '.join(setting.choices)}}}" if setting.choices else each.type
        parts += [
            f"{setting.name} : {kind}, default {setting.default!r}",
            fill(setting.text, 116, initial_indent="    ", subsequent_indent="    "),
        ]
    described.__doc__ = "\n".join(parts)
    return described
