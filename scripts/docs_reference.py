"""The Python reference of `make docs`: every public name on the page of its group, tables with their columns."""

from __future__ import annotations

import ast
import html
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.exceptions import PluginError

from recu_analysis.analysis.column_names import SPREADS, statistic
from recu_analysis.analysis.markup import in_unicode
from scripts.public_tables import columns

if TYPE_CHECKING:
    from mkdocs.structure.pages import Page

PACKAGE = Path(__file__).parents[1] / "recu_analysis"
#: Where a page of docs/reference/ wants the public names of its group.
MARKER = "<!-- public names -->"
#: A dash between a name and a description that is not there.
NO_DESCRIPTION = re.compile(r'\u2013\s*<div class="doc-md-description">\s*</div>')
#: The group of a public name, by the longest of these with which its module begins.
GROUPS = {
    "capture": "recording",
    "interop": "recording",
    "theory.standardize": "recording",
    "theory.levels": "recording",
    "store": "runs",
    "analysis.run_list": "runs",
    "analysis.selection": "runs",
    "analysis.parallel": "runs",
    "analysis": "tables",
    "analysis.claims": "comparing",
    "analysis.compare": "comparing",
    "analysis.differences": "comparing",
    "plots": "figures",
    "figures": "figures",
    "report": "figures",
    "nn": "layers",
    "intervention": "comparing",
    "errors": "errors",
}
#: The unit of a value, where the commands print a multiple of it in another one.
UNITS = {
    "%": "share, 0 to 1",
    "10^-3 std per update": "std per update",
    "per 1000 weights and update": "per weight and update",
    "percentage points": "difference of shares, -1 to 1",
}


@cache
def groups() -> dict[str, list[str]]:
    """The public names of every group, as the package's stub lists them."""
    found: dict[str, list[str]] = {}
    for node in ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            found.setdefault(group_of(node.module or ""), []).extend(alias.name for alias in node.names)
    return found


def group_of(module: str) -> str:
    """The group of the names of a module; PluginError where it has none yet."""
    beginnings = [known for known in GROUPS if f"{module}.".startswith(f"{known}.")]
    if not beginnings:
        raise PluginError(f"no page of the reference takes names of {module}; give it a group in {__file__}")
    return GROUPS[max(beginnings, key=len)]


def entry(name: str, known: dict[str, list[str]]) -> str:
    """What a page says of a public name: its docstring, and the columns of the table that it returns."""
    listed = f"\n\n**Columns of the table:**\n\n{column_list(known[name])}" if name in known else ""
    return f"::: recu_analysis.{name}{listed}"


def column_list(names: list[str]) -> str:
    """The columns of a table with unit and meaning, the ends of an interval beside what they belong to."""
    lines = []
    for name in names:
        base, _, spread = name.rpartition("_")
        if spread in SPREADS and base in names:
            continue
        forms = [name, *(f"{name}_{end}" for end in SPREADS if f"{name}_{end}" in names)]
        known = statistic(name)
        unit = known.unit if known.factor == 1.0 else UNITS[known.unit]
        called = ", ".join(f"**`{form}`**" for form in forms) + (f" ({escaped(unit)})" if unit else "")
        lines.append(f"- {called} \u2013 {escaped(known.meaning)}")
    return "\n".join(lines)


def escaped(text: str) -> str:
    """A text of the vocabulary in which Markdown finds nothing to do."""
    return html.escape(in_unicode(text), quote=False).replace("*", "\\*")


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Put every public name of a group onto its page."""
    if MARKER not in markdown:
        return markdown
    names = groups().get(Path(page.file.src_path).stem, [])
    tables = columns()
    return markdown.replace(MARKER, "\n\n".join(entry(name, tables) for name in names))


def on_page_content(content: str, **_: Any) -> str:
    """Mend what the entries show: a dash before no description, and a type that was taken for a subtraction."""
    return NO_DESCRIPTION.sub("", content).replace("path - like", "path-like")
