"""README and the pages of docs/, and the blocks of code on them, wherever they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
#: Text of every page by its name, such as README.md or howto/paper.md.
PAGES = {"README.md": (ROOT / "README.md").read_text(encoding="utf-8")} | {
    path.relative_to(ROOT / "docs").as_posix(): path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "docs").rglob("*.md"))
}
#: A fenced block, perhaps indented, after a comment that says why it is not run, and the output that follows it.
FENCED = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+?) -->\s*)?"
    r"^(?P<indent> *)```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^(?P=indent)```"
    r"(?:(?=\n\n```text\n(?P<output>.*?)^```))?",
    re.MULTILINE | re.DOTALL,
)
PROGRAM = "recu-analyze"
#: Languages in whose blocks a line is what a reader types.
TYPED = {"bash", "sh", "shell", "console"}


class Block(NamedTuple):
    """A block of a page: its language, its lines, why it is not run (a comment above it), and the output below it."""

    page: str
    language: str
    code: str
    reason: str | None
    line: int
    output: str | None


def blocks(*languages: str) -> list[Block]:
    """Every fenced block in one of these languages, page by page in their order."""
    return [
        Block(
            page,
            found["language"],
            re.sub(rf"^{found['indent']}", "", found["code"], flags=re.MULTILINE),
            found["reason"],
            text.count("\n", 0, found.start("code")),
            found["output"],
        )
        for page, text in PAGES.items()
        for found in FENCED.finditer(text)
        if found["language"] in languages
    ]


def lines_of(block: Block) -> list[str]:
    """The lines of a block, those that a backslash continues as one."""
    return re.sub(r"\\\n\s*", "", block.code).splitlines()


class Typed(NamedTuple):
    """A command that a page shows, as the words of a shell; and why it is not run, where the page says so."""

    page: str
    words: list[str]
    reason: str | None


def commands() -> list[Typed]:
    """Every command of ours that a reader may type: lines of fenced blocks, and of indented ones."""
    lines = [(block.page, line, block.reason) for block in blocks(*TYPED) for line in lines_of(block)]
    for page, text in PAGES.items():
        indented = re.findall(r"^ {4} *.+$", FENCED.sub("", text), flags=re.MULTILINE)
        lines += [(page, line, None) for line in indented]
    found = []
    for page, line, reason in lines:
        if (typed := line.strip().removeprefix("$ ")).startswith(f"{PROGRAM} "):
            found.append(Typed(page, shlex.split(typed, comments=True)[1:], reason))
    return found
