"""Settings declared once, as fields of a dataclass: type, default, choices, range and help."""

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
    """A check whether a value is of one of these types; bool does not count as int."""
    return lambda value: type(value) in types


#: The types of settings; for each the description in errors and the check of a value from JSON or a caller.
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
    """Description of one setting.

    Attributes
    ----------
    name : str
    kind : type
        A key of `KINDS`.
    default : object
    text : str
        Help text.
    choices : tuple of str
        Allowed words; empty if any value is allowed.
    least, above, below : float
        Range of a number.
    refusal : str
        Beginning of the error about the range, if the bounds alone are not enough.
    usual : str
        Default shown on the command line, if it depends on other settings.
    flag, metavar : str or None
        Name of the option and of its value on the command line, if not the name and type of the setting.
    ingredient : str or None
        Name of the argument of `BinaryConv2d`, if it is a part of the method ReCU.
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
        """The name in a sentence, without underscores."""
        return self.name.replace("_", " ")

    def check(self, value: Any) -> None:
        """Raise InputError unless the setting can have this value."""
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
    """A dataclass field that is a setting; `more` are further attributes of `Setting`."""
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
    """Class decorator that adds a description of each setting to the docstring of a dataclass."""
    parts = [cleandoc(described.__doc__ or ""), "", "Attributes", "----------"]
    for each, setting in zip(fields(described), settings_of(described).values(), strict=True):
        kind = f"{{{', '.join(setting.choices)}}}" if setting.choices else each.type
        parts += [
            f"{setting.name} : {kind}, default {setting.default!r}",
            fill(setting.text, 116, initial_indent="    ", subsequent_indent="    "),
        ]
    described.__doc__ = "\n".join(parts)
    return described
