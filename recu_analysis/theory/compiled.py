"""Compilation of loops with numba, also where no folder for the machine code can be written."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(*, fastmath: bool | set[str] = False, error_model: str = "python") -> Callable[[Function], Function]:
    """Compile a function when it is first called, and keep its machine code on disk for the next process.

    The code is kept beside the package, else below the home folder. In a container both may be read-only, and a disk
    may be full. The function is then compiled in every process.

    Parameters
    ----------
    fastmath : bool or set of str
    error_model : str
        As for `numba.njit`: with "python", a division by zero raises ZeroDivisionError; with "numpy", it gives infinity
        or NaN.
    """
    options: Any = {"nogil": True, "fastmath": fastmath, "error_model": error_model}

    def compile_later(function: Function) -> Function:
        made: Any
        try:
            made = numba.njit(cache=True, **options)(function)
        except RuntimeError:  # numba knows no folder that can be written
            made = numba.njit(**options)(function)
            return cast("Function", made)
        save = made._cache.save_overload

        def save_if_possible(*code: Any) -> None:
            with suppress(OSError):
                save(*code)

        made._cache.save_overload = save_if_possible
        return cast("Function", made)

    return compile_later
