"""In the Python reference, a default that is a named constant is shown as its value: 0.85, not TAIL_TAU."""

from __future__ import annotations

import ast
from typing import Any

import griffe


class ConstantDefaults(griffe.Extension):
    """Replaces the names of constants by their values where these are plain literals."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Look at every function, now that every module is known."""
        self._visit(pkg)

    def _visit(self, found: griffe.Module | griffe.Class) -> None:
        for member in found.members.values():
            if isinstance(member, (griffe.Module, griffe.Class)):
                self._visit(member)
            elif isinstance(member, griffe.Function):
                for parameter in member.parameters:
                    if isinstance(parameter.default, griffe.ExprName):
                        parameter.default = self._value(member.module, parameter.default)

    @staticmethod
    def _value(module: griffe.Module, name: griffe.ExprName) -> str | griffe.Expr:
        try:
            constant = module[name.name]
            value = (constant.final_target if constant.is_alias else constant).value
            return repr(ast.literal_eval(str(value)))
        except (KeyError, ValueError, SyntaxError, AttributeError, griffe.AliasResolutionError):
            return name
