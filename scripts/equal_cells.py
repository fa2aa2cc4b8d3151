"""Collect the output of one checkout on its own runs: every command, figure and public table, as JSON lines.

`scripts/equal.py` runs this in two checkouts and compares. The checkout may be older or newer than this file: what it
calls otherwise is in the lists of names, SPELLINGS. Windows are given to whatever takes them; compare, claims and
figures take none.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import sys
from dataclasses import fields, is_dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
import pandas as pd
from click.testing import CliRunner
from matplotlib.figure import Figure

import recu_analysis as ra
from recu_analysis.cli import cli

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

#: A table: its source, its runs, its columns, and the text of every cell.
Table = tuple[str, str, list[str], list[list[str]]]
#: Spellings of a command, option, function or argument, by the name used here; the first that exists is used.
SPELLINGS: dict[str, list[str]] = {"run": ["run", "runs"]}
CRITERIA = ("tail-silent", "tail", "silent", "still", "tail-still")
NETWORKS = ("resnet20", "resnet18", "vgg_small", "resnet18_imagenet", "resnet34_imagenet", "reactnet18", "ternary-lm")


def collected() -> Iterator[Table]:
    """All tables; those that need no run come first."""
    every = sorted(file.parent for file in Path("checkpoints").rglob("run.json"))
    if not every:
        sys.exit("Error: checkpoints/ holds no run, so there is nothing to compare")
    yield "runs", "checkpoints", ["name", "there"], [[str(run), "yes"] for run in every]
    yield from of_no_run()
    runs = [run for run in every if of_signs(run)]
    for run in every:
        if run not in runs:
            yield from of_levels(run)
    for run in runs:
        yield of_files(run)
        for words in commands_of_run(run):
            yield from command(str(run), *words)
        yield from tables_of_run(run)
    yield from of_groups(runs)


def of_signs(run: Path) -> bool:
    """Whether the weights of a run are signs: only then are most tables defined."""
    layers = json.loads((run / "run.json").read_bytes())["layers"]
    return all(layer.get("quantizer", {}).get("kind", "sign") == "sign" for layer in layers)


def of_levels(run: Path) -> Iterator[Table]:
    """Tables of one run with more than two levels, and how commands about signs refuse it."""
    yield of_files(run)
    for name in ("info", "verify", "levels", "evaluate", "dead-weights", "updates", "flips", "causes", "claims", "fit"):
        yield from command(str(run), name, str(run))
    for name in (
        "levels",
        "state_transitions",
        "dead_weights",
        "tails",
        "flip_table",
        "by_magnitude",
        "survival",
        "earned",
    ):
        yield table(name, str(run), run=run)


def of_groups(runs: Sequence[Path]) -> Iterator[Table]:
    """Tables of several runs together: figures, tables of the paper, comparisons, claims."""
    closed = {label: rows for label, _, _, rows in figures("closed forms")}
    for folder, group in groups(runs, lambda run: ""):
        yield from (each for each in figures(str(folder), *map(str, group)) if each[3] != closed.get(each[0]))
        yield from (
            table("paper_table", str(folder), number=n, runs={run.name: run for run in group}) for n in range(1, 6)
        )
    yield from figures("all runs", *map(str, runs), "--only", ",".join(f"table{n}" for n in range(1, 6)))
    for folder, group in groups(runs, layers):
        for view in ([], ["--seeds"], ["--by-layer"], ["--curves"]):
            yield from command(f"{folder} {group[0].name}...", "compare", *map(str, group), *view)
        for name in ("dead-weights", "causes"):
            yield from command(f"{folder} {group[0].name}...", name, *map(str, group))
        yield table("earned_over_seeds", f"{folder} {group[0].name}...", runs=list(group), network=True)
    for folder, group in groups(runs, arm):
        beside = [run for run in runs if run.parent == folder and arm(run) in {"baseline", "none"} and run not in group]
        yield from of_claims(f"{folder} {arm(group[0])}", group, beside)


def commands_of_run(run: Path) -> list[list[str]]:
    """Output of the commands on one run, with their options."""
    path, window, end = str(run), "{}:{}".format(*chosen(run)), str(numbers(run)[-1])
    return [
        *(["info", path], ["verify", path], ["flips", path], ["evaluate", path]),
        *(["dead-weights", path, "--windows", window, "--criterion", criterion] for criterion in CRITERIA),
        *([name, path, "--windows", window, "--tail-tau", "window"] for name in ("dead-weights", "updates")),
        *([name, path, "--windows", window] for name in ("updates", "causes")),
        *(["fit", path, "--windows", end, *raw] for raw in ([], ["--raw"])),
        ["tradeoff", "--run", path],
    ]


def tables_of_run(run: Path) -> Iterator[Table]:
    """The public tables of one run, and the tables that are attributes of the run."""
    ask = partial(table, of=str(run), run=run)
    (first, end), last = chosen(run), numbers(run)[-1]
    span = named("WindowSpan")
    over, every, at_end = (span(start, stop) for start, stop in ((first, end), (0, last + 1), (last, last + 1)))
    yield from (ask("layer_table", windows=every, network=whole) for whole in (False, True))
    yield from (ask(name, windows=over) for name in ("dead_weights", "tails", "by_magnitude", "survival"))
    yield ask("cohorts", **cohort_from(first))
    yield ask("decorrelation_time", after=0)
    yield from (ask(name) for name in ("transitions", "flip_table", "earned"))
    yield from (ask("fit_table", windows=at_end, raw=raw) for raw in (False, True))
    yield ask("measured_tradeoff", windows=at_end)
    yield from (answered(f"run.{name}", str(run), partial(part, run, name)) for name in ("layers", "metrics"))


def cohort_from(window: int) -> dict[str, Any]:
    """The argument of `cohorts` that follows the weights from a window on: older checkouts take a number."""
    older = "start" in inspect.signature(named("cohorts")).parameters
    return {"start": window} if older else {"windows": f"{window}:"}


def part(run: Path, name: str) -> Any:
    """A table that is an attribute of the run."""
    found = opened(run)
    return getattr(found, spelled(name, dir(found)))


def of_claims(of: str, group: Sequence[Path], beside: Sequence[Path]) -> Iterator[Table]:
    """The claims of one arm, beside the runs without clamp in its folder."""
    others = [word for run in beside for word in ("--baseline", str(run))]
    yield from command(of, "claims", *map(str, group), *others)
    yield table("claims", of, runs=list(group), baseline=list(beside))


def of_no_run() -> Iterator[Table]:
    """Tables that need no run: closed forms, and the layers of networks."""
    for options in ([], ["--epochs", "12"], ["--b", "0.5", "--b", "2"]):
        yield from command("closed forms", "tradeoff", *options)
    yield table("tradeoff", "closed forms")
    yield from command("closed forms", "tradeoff", "--levels", "3")
    yield table("ternary_tradeoff", "closed forms")
    settings = {"lr": 0.1, "weight_decay": 0.01, "epochs": 12, "updates_per_epoch": 60}
    options = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    for more in ([], ["--adamw"], ["--nesterov", "--schedule", "step"]):
        yield from command("closed forms", "plan", *options, *more)
    yield table("plan", "closed forms", **settings)
    yield from figures("closed forms")
    for network in NETWORKS:
        yield from command(network, "layers", network)
        yield answered("ra.find_binary_layers", network, partial(binary_layers, network))


def binary_layers(network: str) -> pd.DataFrame:
    """The table of `find_binary_layers` for a network by name."""
    from recu_analysis.nn import build_network

    found: pd.DataFrame = named("find_binary_layers")(build_network(network))
    return found


def of_files(run: Path) -> Table:
    """The checksum of every file of a run, which covers digits that no table shows."""
    files = sorted(file for file in run.rglob("*") if file.is_file())
    rows = [[str(file.relative_to(run)), hashlib.sha256(file.read_bytes()).hexdigest()] for file in files]
    return "files", str(run), ["name", "sha256"], rows


def numbers(run: Path) -> list[int]:
    """Numbers of a run's windows with updates, from the names of its folders, independent of the package."""
    found = {int(folder.name.removeprefix("window-")) for folder in run.glob("history/segment-*/window-*")}
    return sorted(found - {0}) or [0]


def chosen(run: Path) -> tuple[int, int]:
    """The explicitly given windows, A up to B without B: the last two thirds of all windows."""
    known = numbers(run)
    return known[len(known) // 3], known[-1] + 1


def groups(runs: Sequence[Path], kind: Callable[[Path], str]) -> list[tuple[Path, list[Path]]]:
    """The runs of each folder, grouped by equal layers."""
    found: dict[tuple[Path, str], list[Path]] = {}
    for run in runs:
        found.setdefault((run.parent, kind(run)), []).append(run)
    return [(folder, group) for (folder, _), group in found.items()]


def layers(run: Path) -> str:
    """The layers of a run as one string; only runs with the same layers are compared."""
    return json.dumps([layer["name"] for layer in json.loads((run / "run.json").read_text())["layers"]])


def arm(run: Path) -> str:
    """The path of a run's folder without the number of its seed."""
    return re.sub(r"-\d+$", "", run.name)


def opened(given: Any) -> Any:
    """An argument with its runs opened: one run, several runs, or a mapping by label."""
    if isinstance(given, list):
        return [opened(each) for each in given]
    if isinstance(given, dict):
        return {label: opened(each) for label, each in given.items()}
    return named("open_run")(given) if isinstance(given, Path) else given


def spelled(name: str, there: Collection[str]) -> str:
    """The name of something in this checkout."""
    return next((other for other in SPELLINGS.get(name, []) if other in there), name)


def named(name: str) -> Any:
    """A public object of the package."""
    return getattr(ra, spelled(name, dir(ra)))


def command(of: str, *words: str) -> Iterator[Table]:
    """The output of a command with --format json, its exit code and its messages."""
    done = CliRunner(env={"COLUMNS": "80"}).invoke(cli, typed(*words, "--format", "json"))
    label = label_of(words)
    yield label, of, ["exit code", "said"], [[str(done.exit_code), repr(done.stderr)]]
    if done.stdout:
        yield answered(label, of, lambda: pd.DataFrame(json.loads(done.stdout), dtype=object))


def label_of(words: Sequence[str]) -> str:
    """A command line without its runs and windows, which `of` names or a rule chooses."""
    shown = (
        word
        for before, word in pairwise(["", *words])
        if not word.startswith("checkpoints/") and "--windows" not in (before, word)
    )
    return " ".join(dict.fromkeys(shown))


def typed(name: str, *words: str) -> list[str]:
    """A command line in the spelling of this checkout."""
    context = click.Context(cli)
    name = spelled(name, cli.list_commands(context))
    found = cli.get_command(context, name)
    options = {option for each in found.params for option in each.opts} if found else set()
    return [name, *(spelled(word, options) if word.startswith("--") else word for word in words)]


def figures(of: str, *words: str) -> Iterator[Table]:
    """The data of all figures and paper tables of some runs."""
    with TemporaryDirectory() as folder:
        done = CliRunner().invoke(cli, typed("figures", *words, "--format", "svg", "--output", folder))
        said = done.stderr.replace(folder, "figures")
        yield "figures", of, ["exit code", "said"], [[str(done.exit_code), repr(said)]]
        for file in sorted(Path(folder).glob("*.csv")):
            yield rows_of(f"figure {file.stem}", of, pd.read_csv(file, dtype=str, keep_default_na=False))


def table(name: str, of: str, **arguments: Any) -> Table:
    """The return value of a public function, as a table."""
    told = [f"{key}={value}" for key, value in arguments.items() if isinstance(value, int) and key != "start"]

    def call() -> Any:
        function = named(name)
        there = inspect.signature(function).parameters
        return function(**{spelled(key, there): opened(value) for key, value in arguments.items()})

    return answered(" ".join([f"ra.{name}", *told]), of, call)


def answered(label: str, of: str, ask: Callable[[], Any]) -> Table:
    """A result as a table; an error is a result too."""
    try:
        answer = ask()
    except Exception as error:  # an error on one side only is a difference
        return label, of, ["error"], [[f"{type(error).__name__}: {error}"]]
    return rows_of(label, of, answer if isinstance(answer, pd.DataFrame) else framed(answer))


def framed(answer: Any) -> pd.DataFrame:
    """Convert a value that is not a table to one row."""
    if is_dataclass(answer):
        return pd.DataFrame([{field.name: repr(getattr(answer, field.name)) for field in fields(answer)}])
    return pd.DataFrame([{"value": repr(answer)}])


def rows_of(label: str, of: str, frame: pd.DataFrame) -> Table:
    """A table with the text of every cell; floats are exact."""
    rows = [[text(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    return label, of, [str(name) for name in frame.columns], rows


def text(value: Any) -> str:
    """The text of a cell for the comparison."""
    return value if isinstance(value, str) else repr(value.item() if hasattr(value, "item") else value)


def draw_nothing() -> None:
    """Prevent matplotlib from rendering, because only the data of figures is compared."""
    for name in ("savefig", "draw_without_rendering"):
        setattr(Figure, name, lambda *_, **__: None)


def main() -> None:
    """Write the tables of the checkout in the working directory to a file."""
    output, spellings = sys.argv[1:]
    if not Path(ra.__file__).is_relative_to(Path.cwd()):
        sys.exit(f"Error: {ra.__file__} was imported, not the package in {Path.cwd()}")
    SPELLINGS.update(json.loads(spellings))
    draw_nothing()
    with Path(output).open("w", encoding="utf-8") as file:
        for each in collected():
            file.write(json.dumps(each) + "\n")


if __name__ == "__main__":
    main()
