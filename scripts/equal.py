"""Compare the numbers of two commits: every command, figure and public table, on all runs, cell by cell."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
#: Columns that identify a row; rows with the same values in them are numbered.
KEYS = ("name", "run", "arm", "group", "layer", "window", "epoch", "id", "what", "file", "source", "setting", "network")
ABSENT = "(absent)"

Table = tuple[str, str, Sequence[str], Sequence[Sequence[str]]]


class Cell(NamedTuple):
    """Position of a number; `of` names the runs."""

    table: str
    of: str
    row: str
    column: str


class Difference(NamedTuple):
    """A cell that differs, and the reason if this is intended."""

    cell: Cell
    old: str
    new: str
    reason: str | None


def cells_of(tables: Iterable[Table], renamed: Mapping[str, str] | None = None) -> dict[Cell, str]:
    """Every cell of some tables by its position, with the new names of renamed columns."""
    new = renamed or {}
    cells: dict[Cell, str] = {}
    for table, of, old_names, rows in tables:
        names = [new.get(f"{table} {name}", new.get(name, name)) for name in old_names]
        keys = [at for at, name in enumerate(names) if name in KEYS]
        seen: Counter[str] = Counter()
        for values in rows:
            key = " ".join(values[at] for at in keys)
            seen[key] += 1
            row = key if seen[key] == 1 and key else f"{key} #{seen[key]}".strip()
            cells |= {Cell(table, of, row, name): value for name, value in zip(names, values, strict=True)}
    return cells


def differences(
    old: Mapping[Cell, str], new: Mapping[Cell, str], intended: Sequence[Mapping[str, str]] = ()
) -> list[Difference]:
    """The cells that differ or exist on one side only."""
    found = []
    for cell in dict.fromkeys([*old, *new]):
        before, after = old.get(cell, ABSENT), new.get(cell, ABSENT)
        if before != after:
            found.append(Difference(cell, before, after, reason_for(cell, intended)))
    return found


def reason_for(cell: Cell, intended: Sequence[Mapping[str, str]]) -> str | None:
    """Why a cell may differ; None if it must not."""
    for entry in intended:
        if all(fnmatchcase(value, entry.get(part, "*")) for part, value in cell._asdict().items()):
            return entry["reason"]
    return None


def lists(file: Path) -> tuple[dict[str, str], dict[str, list[str]], list[dict[str, str]]]:
    """Read the renamed columns, the spellings and the intended differences."""
    with file.open("rb") as opened:
        known = tomllib.load(opened)
    intended: list[dict[str, str]] = known.get("intended", [])
    for entry in intended:
        if not entry.get("reason") or not set(entry) <= {*Cell._fields, "reason"}:
            sys.exit(f"Error: {file}: {entry} needs a reason, and may have only {', '.join(Cell._fields)} beside it")
    return known.get("renamed", {}), known.get("spellings", {}), intended


@contextlib.contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """A temporary folder with the package and the runs of a commit; the working tree for "."."""
    if commit == ".":
        yield ROOT
        return
    if git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}") is None:
        sys.exit(
            f"Error: {commit} is not a commit of this repository; use a branch, a tag, a hash, or . for this checkout"
        )
    packed = git("archive", commit, "recu_analysis", "checkpoints")
    if packed is None:
        sys.exit(f"Error: {commit} has no recu_analysis/ or no checkpoints/, so there is nothing to compare")
    with TemporaryDirectory(prefix="equal-") as folder, tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
        yield Path(folder)


def git(*words: str) -> bytes | None:
    """Output of a git command; None if it fails."""
    done = subprocess.run(["git", "-C", ROOT, *words], capture_output=True, check=False)  # noqa: S603, S607
    return None if done.returncode else done.stdout


def start(folder: Path, output: Path, spellings: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    """Start a process that imports the package of one checkout and collects its tables."""
    environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    script = Path(__file__).with_name("equal_cells.py").resolve()
    command = [sys.executable, str(script), str(output), json.dumps(spellings)]
    return subprocess.Popen(command, cwd=folder, env=environment)  # noqa: S603 - our own script


def collect(commits: Sequence[str], spellings: Mapping[str, Any]) -> list[list[Table]]:
    """The tables of each commit, collected in parallel."""
    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(checkout(commit)).resolve() for commit in commits]
        results = Path(stack.enter_context(TemporaryDirectory(prefix="equal-")))
        files = [results / str(number) for number in range(len(commits))]
        processes = [start(*each, spellings) for each in zip(folders, files, strict=True)]
        try:
            for commit, process in zip(commits, processes, strict=True):
                if process.wait():
                    sys.exit(f"Error: the tables of {commit} could not be collected; see the messages above")
        finally:
            for process in processes:
                process.kill()
                process.wait()
        return [[json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] for file in files]


def report(cells: int, found: Sequence[Difference], intended: Sequence[Mapping[str, str]] = ()) -> int:
    """Print every unintended difference and the counts; return 1 if there is an unintended difference."""
    for each in found:
        if each.reason is None:
            print(f"{' | '.join(each.cell)}: {each.old} -> {each.new}")
    reasons = Counter(each.reason for each in found if each.reason is not None)
    for reason in dict.fromkeys(entry["reason"] for entry in intended):
        print(f"intended, {reasons[reason]} cells: {reason}")
    print(f"{cells} cells, {len(found)} differ" + (f", {reasons.total()} of them intended" if intended else ""))
    return int(len(found) > reasons.total())


def main() -> int:
    """Compare the two commits given on the command line."""
    more = "Each commit reads its own checkpoints/. Exits with 1 if a cell differs that is not listed as intended."
    parser = argparse.ArgumentParser(description=f"{__doc__} {more}")
    parser.add_argument("old", metavar="OLD", help="a commit, or . for the working tree")
    parser.add_argument("new", metavar="NEW", help="a commit, or . for the working tree")
    parser.add_argument(
        "--lists",
        type=Path,
        default=Path(__file__).with_name("equal.toml"),
        help="file with the renamed columns and the intended differences",
    )
    arguments = parser.parse_args()
    renamed, spellings, intended = lists(arguments.lists)
    old, new = collect([arguments.old, arguments.new], spellings)
    before, after = cells_of(old, renamed), cells_of(new)
    return report(len(before | after), differences(before, after, intended), intended)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
