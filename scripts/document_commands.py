"""Write docs/commands.md from the help of every command, and update transcripts and tables on the other pages."""

from __future__ import annotations

import html
import re
import shlex
from inspect import cleandoc
from pathlib import Path

import click
from click.testing import CliRunner

from recu_analysis.analysis.column_names import statistic
from recu_analysis.analysis.markup import in_unicode
from recu_analysis.analysis.vocabulary import STATISTICS
from recu_analysis.cli import cli
from recu_analysis.store.quantities import TABLE

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "commands.md"
PROGRAM = "recu-analyze"
#: Columns of the table of quantities, with their headings.
COLUMNS = {"name": "name", "of": "of", "dtype": "dtype", "merge": "merges by", "kept": "kept", "unit": "unit"}
COLUMNS |= {"about": "holds"}
OPENING = """\
<!-- Made by scripts/document_commands.py from the help of every command; do not edit. -->

# Commands

Every command says this under `--help`. Tables go to standard output and everything else to standard error, so that a
table can be piped or, with `--output`, kept. Exit codes: 0 done, 1 the data or the input is wrong, 2 wrong usage, 130
stopped by Ctrl-C, which leaves whole files. An error is one sentence; `--debug` shows where it arose.

The ending of the file chooses the format of a table: `-o t.csv`, `.json`, `.tex`, `.md`, `.html` or `.txt`. `--columns`
chooses columns by their names in CSV. On a terminal, long names are shortened or numbered until a line fits; a pipe and
a file get them in full. CSV and JSON of `dead-weights` hold the row of all layers too; column `row` marks it, and in
pandas `table[table.row == "layer"]` leaves it out. A table in LaTeX is a float, and needs booktabs.

Every command takes `--quiet`, `--color` and `--debug`; they are not repeated below. `python -m recu_analysis` is
another way to write `recu-analyze`.
"""
#: A transcript: a fast command with the same output everywhere, and its output.
TRANSCRIPT = re.compile(rf"^```console\n\$ {PROGRAM} (.+)\n[\s\S]*?^```$", re.MULTILINE)
#: A table of a window's content: tensors, or values of a layer.
QUANTITIES = re.compile(r"(<!-- (tensors|numbers): .*-->\n)[\s\S]*?(<!-- end -->)")
#: The table of the columns of all tables.
VOCABULARY = re.compile(r"(<!-- vocabulary: .*-->\n)[\s\S]*?(<!-- end -->)")
#: Options of every command, described above.
SHARED = {"--quiet", "--color", "--debug", "--help"}


def main() -> None:
    """Write the page of commands, and update the other pages."""
    PAGE.write_text(page(), encoding="utf-8")
    for other in DOCS.rglob("*.md"):
        text = other.read_text(encoding="utf-8")
        other.write_text(renewed(text), encoding="utf-8")


def renewed(text: str) -> str:
    """A page with current transcripts and tables."""
    return VOCABULARY.sub(vocabulary, QUANTITIES.sub(quantities, TRANSCRIPT.sub(transcript, text)))


def quantities(found: re.Match[str]) -> str:
    """The rows of `recu_analysis.store.quantities` that are tensors, or those that are values of a layer."""
    numbers = found[2] == "numbers"
    names = ["name", "dtype", "merge", "kept", "unit", "about"] if numbers else [*COLUMNS]
    rows = [row for row in TABLE.values() if (row.of == "layer") == numbers]
    cells = [[row.name, *(html.escape(getattr(row, name), quote=False) for name in names[1:])] for row in rows]
    return found[1] + "\n".join(["", *table([COLUMNS[name] for name in names], cells), "", found[3]])


def vocabulary(found: re.Match[str]) -> str:
    """A row for every entry of `recu_analysis.analysis.vocabulary`."""
    known = [statistic(name) for name in STATISTICS]
    cells = [
        [each.name, *(escaped(in_unicode(text)) for text in (each.label, each.unit, each.meaning))] for each in known
    ]
    return found[1] + "\n".join(["", *table(["column", "label", "unit", "meaning"], cells), "", found[2]])


def table(names: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a table, with its first column formatted as code."""
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    for name, *others in rows:
        lines.append("| " + " | ".join([f"`{name}`", *(text.replace("|", "\\|") for text in others)]) + " |")
    return lines


def transcript(found: re.Match[str]) -> str:
    """A transcript with the current output of its command, 80 columns wide."""
    done = CliRunner(env={"COLUMNS": "80"}).invoke(cli, shlex.split(found[1]), catch_exceptions=False)
    return f"```console\n$ {PROGRAM} {found[1]}\n{done.stdout}```"


def page() -> str:
    """The whole page in Markdown."""
    context = click.Context(cli, info_name=PROGRAM)
    commands = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    contents = "\n".join(
        f"- [`{name}`](#{name}): {escaped(summary(command))}" for name, command in commands.items() if command
    )
    sections = (section(name, command, context) for name, command in commands.items() if command)
    return "\n".join([OPENING, contents, "", *sections])


def summary(command: click.Command) -> str:
    """The first paragraph of a command's help, on one line."""
    return paragraphs(command.help)[0]


def section(name: str, command: click.Command, parent: click.Context) -> str:
    """The section on one command: usage, help, options, example."""
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join([PROGRAM, name, *command.collect_usage_pieces(context)])
    parts = [f"## {name}", f"```text\n{usage}\n```", *(escaped(text) for text in paragraphs(command.help))]
    parts += [option(record) for record in records(command, context)]
    parts += [example(text) for text in paragraphs(command.epilog)]
    return "\n\n".join(parts) + "\n"


def records(command: click.Command, context: click.Context) -> list[tuple[str, str]]:
    """Names and help of a command's own options."""
    own = (each for each in command.params if isinstance(each, click.Option) and not SHARED.intersection(each.opts))
    found = (each.get_help_record(context) for each in own)
    return [record for record in found if record]


def option(record: tuple[str, str]) -> str:
    """One option as an entry of a definition list."""
    names, text = record
    return f"`{names}`\n\n:   {escaped(' '.join(text.split()))}"


def example(text: str) -> str:
    """The example at the end of a command's help."""
    before, found, line = text.partition(f"{PROGRAM} ")
    return f"{escaped(before.strip())}\n\n```bash\n{found}{line}\n```" if found else escaped(text)


def paragraphs(text: str | None) -> list[str]:
    """The paragraphs of a help text, each on one line."""
    return [" ".join(part.split()) for part in cleandoc(text or "").split("\n\n") if part.strip()]


def escaped(text: str) -> str:
    """A text in which Markdown finds nothing to do."""
    for mark in "\\*_[]`":
        text = text.replace(mark, f"\\{mark}")
    return html.escape(text, quote=False)


if __name__ == "__main__":
    main()
