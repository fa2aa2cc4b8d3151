"""Options for the settings of a training, made from the fields of its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.training.config import TrainingConfig
from recu_analysis.training.settings import settings_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from recu_analysis.cli.options import Function
    from recu_analysis.training.settings import Setting


class NumberOrNone(click.ParamType[float | None]):
    """A number, or the word none."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """The number; None for the word none."""
        return None if value in (None, "none") else float(click.FLOAT.convert(value, param, ctx))


def all_settings(function: Function) -> Function:
    """Give a command an option for every setting of a training, in their order."""
    for name in reversed(settings_of(TrainingConfig)):
        function = setting(name)(function)
    return function


def setting(name: str, **otherwise: Any) -> Callable[[Function], Function]:
    """The option of one setting; `otherwise` replaces keywords of `click.option`."""
    declared = settings_of(TrainingConfig)[name]
    flag = f"--{declared.flag or name.replace('_', '-')}"
    if declared.default is True:
        flag += f"/--no-{flag.removeprefix('--')}"
    keywords = {
        "default": None if declared.usual else declared.default,
        "show_default": declared.usual or True,
        "metavar": declared.metavar,
        "help": declared.text,
    }
    return click.option(flag, name, **(_typed(declared) | keywords | otherwise))


def _typed(declared: Setting) -> dict[str, Any]:
    """The keywords of `click.option` for the values of a setting."""
    if declared.choices:
        return {"type": click.Choice(declared.choices), "multiple": declared.kind == tuple[str, ...]}
    if declared.kind is bool:
        return {"is_flag": True}
    types = {str | None: str, float | None: NumberOrNone(), tuple[float, float]: (float, float)}
    return {"type": types.get(declared.kind, declared.kind)}
