"""Options that several commands share, and the decorator that turns errors into one sentence and an exit code."""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from recu_analysis.analysis.rendering import printable
from recu_analysis.cli import completion
from recu_analysis.errors import RecuError, needing_torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from recu_analysis.analysis.query import Query
    from recu_analysis.store.run import Run

Function = TypeVar("Function", bound=Callable[..., Any])
Result = TypeVar("Result")

INTERRUPTED = 130

run_argument = click.argument("run", metavar="RUN", type=click.Path(path_type=Path))


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    context.find_root().meta[f"recu.{parameter.name}"] = value


def _meta() -> dict[str, Any]:
    """What options and runs said that concerns the whole command."""
    context = click.get_current_context(silent=True)
    return context.find_root().meta if context else {}


def quiet() -> bool:
    """Whether the user asked for results and errors only."""
    return bool(_meta().get("recu.quiet"))


def color() -> bool | None:
    """What the option says of colour, or else NO_COLOR (no-color.org); None leaves it to the terminal."""
    asked = {"always": True, "never": False}.get(_meta().get("recu.color") or "auto")
    return False if asked is None and os.environ.get("NO_COLOR") else asked


def note(text: str) -> None:
    """Tell the user something on standard error, unless they asked for quiet."""
    if not quiet():
        click.echo(printable(text), err=True, color=color())


def warn(text: str) -> None:
    """Tell the user on standard error what they must know to read the result."""
    click.echo(f"{click.style('Warning:', fg='yellow', bold=True)} {printable(text)}", err=True, color=color())


def opened(path: Path) -> Run:
    """Open a run to be shown; what is damaged in it is said and left out, and makes the exit code 1."""
    from recu_analysis.store.run import open_run

    return _with_warnings(open_run(path))


def _with_warnings(run: Run) -> Run:
    """The run, of which was said what its reader must know."""
    from recu_analysis.store.notes import notes

    for problem in run.problems:
        warn(problem)
        _meta()["recu.damaged"] = True
    for text in notes(run):
        warn(f"{run.path}: {text}")
    for gap in run.gaps:
        warn(f"{gap}; what follows is not counted together with what came before")
    return run


def opened_all(paths: Sequence[Path]) -> list[Run]:
    """Open runs to be shown; a list of runs stands for those that it names."""
    from recu_analysis.analysis.run_list import is_run_list, open_listed, read_run_list

    runs: list[Run] = []
    for path in paths:
        if is_run_list(path):
            runs += [_with_warnings(open_listed(entry)) for entry in read_run_list(path)]
        else:
            runs.append(opened(path))
    return runs


def labeled(paths: Sequence[Path]) -> dict[str, Run]:
    """Runs by what they are called; InputError where one is given twice."""
    from recu_analysis.store.labels import labels_of

    runs = opened_all(paths)
    return dict(zip(labels_of(runs), runs, strict=True))


def answered(query: Query[Result], runs: Iterable[Run], *, measured: bool = False) -> Result:
    """Answer a command's query in one pass over its runs, and say what of their layers is left out.

    That is what is NaN or infinite at the end, and constant channels where scales, errors or entropies are `measured`.
    """
    from recu_analysis.analysis.finite import constant_query, nonfinite_query
    from recu_analysis.analysis.query import attempt, gather, gathered, value

    several = {run: gather(nonfinite_query(run), constant_query(run) if measured else value({})) for run in runs}
    result: Result | RecuError
    result, omissions = gather(attempt(lambda: query, RecuError), gathered(several)).run()
    for run, (nonfinite, constant) in omissions.items():
        for layer, count in nonfinite.items():
            warn(
                f"layer {layer} of {run.path}: {count} of its weights are NaN or infinite at the end; they and "
                "their channels are left out"
            )
        for layer, count in constant.items():
            warn(
                f"layer {layer} of {run.path}: {count} of its channels are constant at the end; measured scales, "
                "errors and entropies leave them out"
            )
    if isinstance(result, RecuError):
        raise result
    return result


def fail(text: str) -> None:
    """Tell the user on standard error what went wrong, in one sentence."""
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {printable(text)}", err=True, color=color())


def discard_output() -> None:
    """Give standard output, which takes no more, a sink for what Python still flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def common(function: Function) -> Function:
    """Give a command --quiet, --color and --debug, and turn its errors into one sentence and an exit code."""

    @functools.wraps(function)
    def guarded(*arguments: Any, **named: Any) -> Any:
        try:
            with needing_torch():
                result = function(*arguments, **named)
        except RecuError as error:
            _debug_trace()
            fail(str(error))
            sys.exit(1)
        except BrokenPipeError:
            discard_output()  # the reader, such as head, has seen enough
            sys.exit(0)
        except KeyboardInterrupt:
            fail("stopped by Ctrl-C; every file that was written is whole")
            sys.exit(INTERRUPTED)
        if _meta().get("recu.damaged"):
            sys.exit(1)
        return result

    for option in (
        click.option("--debug", is_flag=True, expose_value=False, callback=_remember, help="Show where errors arise."),
        click.option(
            "--color",
            type=click.Choice(["auto", "always", "never"]),
            default="auto",
            expose_value=False,
            callback=_remember,
            help="Colour the output; auto: on a terminal, unless NO_COLOR is set.",
        ),
        click.option(
            "--quiet", "-q", is_flag=True, expose_value=False, callback=_remember, help="Results and errors only."
        ),
    ):
        guarded = option(guarded)
    return guarded  # type: ignore[return-value]


def _debug_trace() -> None:
    if _meta().get("recu.debug"):
        traceback.print_exc()


def jobs(function: Function) -> Function:
    """Give a command --jobs, and let the analyses in it use so many processes."""

    @functools.wraps(function)
    def spread(*arguments: Any, jobs: int, **named: Any) -> Any:
        from recu_analysis.analysis.parallel import processes

        with processes(jobs):
            return function(*arguments, **named)

    return click.option(
        "--jobs",
        "-j",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        metavar="N",
        help="Processes to read and compute with, layer by layer; the numbers stay the same.",
    )(spread)  # type: ignore[return-value]


class WindowsType(click.ParamType[Any]):
    """A choice of windows: 7, 10:20 (without 20), 10: or :20."""

    name = "A:B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> slice:
        """The slice that the user wrote; wrong usage if it is none."""
        from recu_analysis.analysis.selection import as_slice

        try:
            return as_slice(value)
        except RecuError as error:
            self.fail(str(error), param, ctx)


class TailTauType(click.ParamType[Any]):
    """A level of the tail in (0.5, 1], or the word window."""

    name = "TAU|window"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """The level that the user wrote; wrong usage if it is none."""
        if value == "window":
            return "window"
        try:
            level = float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor the word window", param, ctx)
        if not 0.5 < level <= 1.0:
            self.fail(f"tau must lie in (0.5, 1], not {value}", param, ctx)
        return level


unsafe_load = click.option(
    "--unsafe-load",
    is_flag=True,
    help="Restore any object in the file. DANGER: this runs whatever code it contains, as you. Only for files whose "
    "makers you trust.",
)

layer_option = click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="GLOB",
    shell_complete=completion.layers,
    help="Only layers whose names match; repeatable.",
)
windows_option = click.option(
    "--windows",
    type=WindowsType(),
    help="Windows A up to B, without B: 8:13, 12:, :8 or 12; by default the final windows, which are long enough.",
)
tail_tau_option = click.option(
    "--tail-tau",
    type=TailTauType(),
    metavar="TAU|window",
    default=0.85,
    show_default=True,
    help="The tail is the 2 (1 - TAU) of the weights with the largest |z|; window: the run's own tau.",
)
