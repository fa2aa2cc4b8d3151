"""Reading a pickle of arrays, texts and numbers without running code in it.

A pickle is a program for a small stack machine. The machine in this file knows only the instructions that the published
CIFAR files use, and treats the four names in them as inert symbols: not even numpy is called.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

_RECONSTRUCT = "numpy._core.multiarray._reconstruct"
_NDARRAY, _DTYPE, _ENCODE = "numpy.ndarray", "numpy.dtype", "_codecs.encode"
#: Allowed names in a pickle -> names used here; numpy has moved one of them.
NAMES = {
    "numpy.core.multiarray._reconstruct": _RECONSTRUCT,
    **{name: name for name in (_RECONSTRUCT, _NDARRAY, _DTYPE, _ENCODE)},
}
#: Maximal number of instructions: several times that of the largest published file, and small enough for any memory.
MOST_STEPS = 2_000_000


@dataclass(frozen=True, slots=True)
class _Name:
    text: str


@dataclass(slots=True)
class Pickled:
    """The parts of an array or a dtype in a pickle.

    Attributes
    ----------
    name : str
    arguments : tuple
    state : tuple
        For an array: version, shape, dtype, whether it is in Fortran order, and its bytes as Latin-1 text.
    """

    name: str
    arguments: tuple[Any, ...]
    state: tuple[Any, ...] = ()

    def pixels(self, shape: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The uint8 array of the given shape.

        Raises
        ------
        ValueError
            If it is not an array of uint8 with this shape.
        """
        if self.name != _RECONSTRUCT or len(self.state) != 5:
            raise ValueError("its data is not an array")
        _, found, kind, fortran, text = self.state
        if found != shape or kind.name != _DTYPE or kind.arguments[0] not in ("u1", "|u1", "uint8"):
            raise ValueError(f"its data is not an array of {shape[0]} x {shape[1]} bytes")
        values = np.frombuffer(text.encode("latin-1"), np.uint8)
        return values.reshape(shape, order="F" if fortran else "C")


@dataclass(slots=True)
class _Machine:
    """The stack machine; texts and bytes of Python 2 and 3 are stored as str, bytes as Latin-1."""

    where: str
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def since_mark(self) -> list[Any]:
        """Remove and return the values above the last mark of the stack."""
        start = self.marks.pop()
        values, self.stack[start:] = self.stack[start:], []
        return values

    def tuple_of(self, count: int) -> None:
        values = tuple(self.pop() for _ in range(count))[::-1]
        self.stack.append(values)

    def pop(self) -> Any:
        return self.stack.pop()

    def name(self, module: str, name: str) -> None:
        full_name = NAMES.get(f"{module}.{name}")
        if full_name is None:
            raise DataError(
                f"{self.where} names {module}.{name}, which no CIFAR file does, so it is refused and no code in it was "
                "run; download the archive again from its publisher"
            )
        self.stack.append(_Name(full_name))

    def extend(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise TypeError("it appends to a value that is not a list")
        self.stack[-1].extend(values)

    def update(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict) or not all(isinstance(key, str) for key in values[::2]):
            raise TypeError("it has keys that are not text")
        self.stack[-1].update(zip(values[::2], values[1::2], strict=True))

    def reduce(self) -> None:
        """Replace the call of a name by a record of its arguments."""
        arguments, called = self.pop(), self.pop()
        if not isinstance(called, _Name) or not isinstance(arguments, tuple):
            raise TypeError("it calls a value that is not a name")
        if called.text == _ENCODE:
            text, codec = arguments
            if not isinstance(text, str) or codec != "latin1":
                raise TypeError("it encodes a value that is not bytes")
            self.stack.append(text)
        else:
            self.stack.append(Pickled(called.text, arguments))

    def build(self) -> None:
        state = self.pop()
        if not isinstance(self.stack[-1], Pickled) or not isinstance(state, tuple):
            raise TypeError("it sets the state of a value that is not an array")
        self.stack[-1].state = state


_STEPS: dict[str, Callable[[_Machine, Any], object]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda machine, _: None),
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "NONE": lambda machine, _: machine.stack.append(None),
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1"), lambda machine, number: machine.stack.append(number)),
    **dict.fromkeys(("SHORT_BINSTRING", "BINSTRING"), lambda machine, text: machine.stack.append(text)),
    **dict.fromkeys(("SHORT_BINUNICODE", "BINUNICODE"), lambda machine, text: machine.stack.append(text)),
    **dict.fromkeys(("SHORT_BINBYTES", "BINBYTES"), lambda machine, raw: machine.stack.append(raw.decode("latin-1"))),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "APPEND": lambda machine, _: machine.extend([machine.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.update([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.update(machine.since_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), lambda machine, slot: machine.memo.update({slot: machine.stack[-1]})),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, slot: machine.stack.append(machine.memo[slot])),
    "MEMOIZE": lambda machine, _: machine.memo.update({len(machine.memo): machine.stack[-1]}),
    **dict.fromkeys(("GLOBAL", "INST"), lambda machine, names: machine.name(*names.split(" ", 1))),
    "STACK_GLOBAL": lambda machine, _: machine.name(*[machine.pop(), machine.pop()][::-1]),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
}


def read_pickle(content: bytes, where: str) -> dict[str, Any]:
    """Read the dictionary in a pickle of protocol 2 to 4.

    Parameters
    ----------
    content : bytes
    where : str
        Name of the file in errors.

    Returns
    -------
    dict
        Of int, str (bytes as Latin-1 text), bool, None, list, tuple, dict and `Pickled`.

    Raises
    ------
    DataError
        If it names anything but the reconstruction of a numpy array, is damaged, or is not a dictionary.
    """
    machine = _Machine(where)
    try:
        for count, (step, argument, _) in enumerate(pickletools.genops(content)):
            if count == MOST_STEPS:
                raise ValueError(f"it has more than {MOST_STEPS:,} instructions")
            if step.name not in _STEPS:
                raise ValueError(f"it has the instruction {step.name}")
            _STEPS[step.name](machine, argument)
        result = machine.pop()
    except (ValueError, TypeError, LookupError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{where} is damaged or not a pickle of a CIFAR batch: {reason}") from None
    if not isinstance(result, dict):
        raise DataError(f"{where} is not a pickle of a CIFAR batch: it has no dictionary")
    return result
