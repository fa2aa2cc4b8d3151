"""Options that commands share, their notes and warnings, and errors as one sentence with an exit code."""

from __future__ import annotations

import functools
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click
from click import get_current_context
from click.core import ParameterSource

from recu_analysis.cli import completion
from recu_analysis.cli.bar import progress_bar
from recu_analysis.errors import RecuError, RecuWarning, WindowsWarning, needing_torch, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from recu_analysis.analysis.query import Query
    from recu_analysis.store.run import Run

Function = TypeVar("Function", bound=Callable[..., Any])
Result = TypeVar("Result")

INTERRUPTED = 130
#: Threads that share the layers of a run if the user does not say; more need more memory than a user may expect.
MOST_JOBS = 4

#: Commands that take lists of runs.
_SEVERAL = "claims, compare, dead-weights, figures, fit, flips, report and updates"


def no_list(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """The path that the user gave; wrong usage if it is a list of runs."""
    if value is None:
        return value
    from recu_analysis.analysis.run_list import is_run_list  # takes as long to import as a small command

    if is_run_list(Path(value)):
        raise click.BadParameter(
            f"{printable(str(value))} is a list of runs, which this command does not take; give the folder of one run, "
            f"or use {_SEVERAL}, which take lists"
        )
    return value


run_argument = click.argument("run", metavar="RUN", type=click.Path(path_type=Path), callback=no_list)
runs_argument = click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    context.find_root().meta[f"recu.{parameter.name}"] = value


def _meta() -> dict[str, Any]:
    """State of the whole command: values of shared options, and whether a run is damaged."""
    context = click.get_current_context(silent=True)
    return context.find_root().meta if context else {}


def quiet() -> bool:
    """Whether the user asked for results and errors only."""
    return bool(_meta().get("recu.quiet"))


def color() -> bool | None:
    """Whether to color, by --color or by NO_COLOR (no-color.org); None: only on a terminal."""
    asked = {"always": True, "never": False}.get(_meta().get("recu.color") or "auto")
    return False if asked is None and os.environ.get("NO_COLOR") else asked


def note(text: str) -> None:
    """Print a note on standard error, unless the user asked for quiet."""
    if not quiet():
        click.echo(printable(text), err=True, color=color())


def warn(text: str) -> None:
    """Print on standard error what the user must know to read the result."""
    click.echo(f"{click.style('Warning:', fg='yellow', bold=True)} {printable(text)}", err=True, color=color())


def check_heeded(flag: str, given: bool, *, needing: Iterable[str] = (), excluded: Iterable[str] = ()) -> None:
    """UsageError if an option was typed that has no effect without, or beside, another one.

    Parameters
    ----------
    flag : str
        The other option, such as "--continue".
    given : bool
        Whether it was given.
    needing, excluded : iterable of str
        Names of the parameters that have an effect only with it, and only without it.
    """
    context = get_current_context()
    for name in excluded if given else needing:
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            option = next(each.opts[0] for each in context.command.params if each.name == name)
            raise click.UsageError(
                f"{option} has no effect with {flag}; remove one of them"
                if given
                else f"{option} has no effect without {flag}; add {flag}, or remove {option}"
            )


def opened(path: Path) -> Run:
    """Open a run; damaged parts are left out, with a warning and exit code 1."""
    from recu_analysis.store.run import open_run

    return _with_warnings(open_run(path))


def _with_warnings(run: Run) -> Run:
    """Warn of what a reader of the run must know, and return the run."""
    from recu_analysis.store.notes import notes

    for problem in run.problems:
        warn(problem)
        _meta()["recu.damaged"] = True
    for text in notes(run):
        warn(f"{run.path}: {text}")
    _meta().setdefault("recu.opened", {})[run.path] = run
    for text in gap_warnings(run):
        warn(text)
    return run


def sampled_notes() -> list[str]:
    """The notes of a table on the channels that the command's runs record."""
    from recu_analysis.store.labels import labels_of
    from recu_analysis.store.notes import sampled_channels

    runs = list(_meta().get("recu.opened", {}).values())
    return sampled_channels(dict(zip(labels_of(runs), runs, strict=True)))


def gap_warnings(run: Run) -> list[str]:
    """A sentence for every gap of a run."""
    return [f"{gap}; windows before and after are not counted together" for gap in run.gaps]


def opened_all(paths: Sequence[Path]) -> list[Run]:
    """Open runs; a list of runs stands for the runs that it names."""
    from recu_analysis.analysis.run_list import is_run_list, open_listed, read_run_list

    runs: list[Run] = []
    for path in paths:
        if is_run_list(path):
            runs += [_with_warnings(open_listed(entry)) for entry in read_run_list(path)]
        else:
            runs.append(opened(path))
    return runs


def labeled(paths: Sequence[Path]) -> dict[str, Run]:
    """Runs by their labels; InputError if a run is given twice."""
    from recu_analysis.store.labels import labels_of

    runs = opened_all(paths)
    return dict(zip(labels_of(runs), runs, strict=True))


def answered(query: Query[Result], runs: Iterable[Run], *, measured: bool = False) -> Result:
    """Answer a command's query in one pass over its runs, and warn of weights that are left out.

    These are weights that are NaN or infinite at the end and, if scales, errors or entropies are `measured`, constant
    channels.
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
    """Print on standard error what went wrong, in one sentence."""
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {printable(text)}", err=True, color=color())


def fail_of_system(error: OSError) -> None:
    """Print on standard error what the system refused: an operation on a file, else writing standard output."""
    reason = error.strerror or str(error)
    if error.filename is None and _is_nowhere():
        fail("the current folder was deleted; change into a folder that exists, and try again")
    elif error.filename is None:
        discard_output()
        fail(f"standard output cannot be written: {reason}; free space, or write it elsewhere")
    else:
        fail(f"{error.filename} cannot be read or written: {reason}; look whether it is still there, and try again")


def _is_nowhere() -> bool:
    """Whether the current folder was deleted; it can be listed then, but has no path."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


@contextmanager
def notes_of_windows() -> Iterator[None]:
    """Print warnings, each once; after what runs inside, note which runs ended before the chosen windows, together."""
    from recu_analysis.store.labels import together

    cut: dict[tuple[int, str], dict[str, WindowsWarning]] = {}
    other = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if isinstance(message, WindowsWarning):
            cut.setdefault((message.last, message.windows), {})[message.run] = message
        elif isinstance(message, RecuWarning):
            warn(str(message))
        else:
            other(message, category, *place, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("always", WindowsWarning)
        warnings.showwarning = show
        yield
    for alike in cut.values():
        (_, first), *others = alike.items()
        note(str(first).replace(f"{first.run} ends", f"{together(alike)} end") if others else str(first))


def discard_output() -> None:
    """Redirect standard output to the null device: writing to it failed, and Python still flushes it at exit."""
    with suppress(OSError):  # standard output may be closed, or no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def common(function: Function) -> Function:
    """Give a command --quiet, --color and --debug, and turn its errors into one sentence and an exit code."""

    @functools.wraps(function)
    def guarded(*arguments: Any, **named: Any) -> Any:
        try:
            with needing_torch(), notes_of_windows():
                result = function(*arguments, **named)
        except RecuError as error:
            _debug_trace()
            fail(str(error))
            sys.exit(1)
        except BrokenPipeError:
            discard_output()  # the reader, such as head, closed the pipe
            sys.exit(0)
        except OSError as error:  # a run that is deleted while it is read, a full disk behind standard output
            _debug_trace()
            fail_of_system(error)
            sys.exit(1)
        except KeyboardInterrupt:
            fail("stopped by Ctrl-C; every written file is complete")
            sys.exit(INTERRUPTED)
        if _meta().get("recu.damaged"):
            sys.exit(1)
        return result

    for option in (
        click.option(
            "--debug",
            is_flag=True,
            expose_value=False,
            callback=_remember,
            help="Show the Python traceback of an error.",
        ),
        click.option(
            "--color",
            type=click.Choice(["auto", "always", "never"]),
            default="auto",
            expose_value=False,
            callback=_remember,
            help="Color the output; auto: on a terminal, unless NO_COLOR is set.",
        ),
        click.option(
            "--quiet",
            "-q",
            is_flag=True,
            expose_value=False,
            callback=_remember,
            help="Print only results, warnings and errors.",
        ),
    ):
        guarded = option(guarded)
    return guarded  # type: ignore[return-value]


def _debug_trace() -> None:
    if _meta().get("recu.debug"):
        click.echo("\n".join(map(printable, traceback.format_exc().rstrip().split("\n"))), err=True)


def jobs(function: Function) -> Function:
    """Give a command --jobs and --scheduler: who works on the layers of its analyses."""

    @functools.wraps(function)
    def spread(*arguments: Any, jobs: int | None, scheduler: str | None, **named: Any) -> Any:
        from recu_analysis.analysis.cluster import connected
        from recu_analysis.analysis.parallel import workers

        if jobs is not None and scheduler is not None:
            raise click.UsageError("--jobs is of this machine, --scheduler of a cluster; give one of them")
        threads = min(os.cpu_count() or 1, MOST_JOBS) if jobs is None else jobs
        if threads == 1 and scheduler is None:
            return function(*arguments, **named)
        with (
            nullcontext(threads) if scheduler is None else connected(scheduler) as of,
            progress_bar("layers", hidden=quiet()) as tell,
            workers(of, on_layer=tell),
        ):
            return function(*arguments, **named)

    for option in (
        click.option(
            "--scheduler",
            metavar="ADDRESS",
            help="Let the workers of the dask scheduler at ADDRESS, such as tcp://host:8786, share the layers; results "
            "do not change. They must see the runs under the same paths.",
        ),
        click.option(
            "--jobs",
            "-j",
            type=click.IntRange(min=1),
            show_default=f"cores, at most {MOST_JOBS}",
            metavar="N",
            help="Number of threads, which share the layers; results do not change. Each needs memory for one layer.",
        ),
    ):
        spread = option(spread)
    return spread  # type: ignore[return-value]


class WindowsType(click.ParamType[Any]):
    """A choice of windows: 7, 10:20 (without 20), 10: or :20."""

    name = "A:B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> slice:
        """The slice that the user wrote; wrong usage if the text is not one."""
        from recu_analysis.analysis.selection import as_slice

        try:
            return as_slice(value)
        except RecuError as error:
            self.fail(str(error), param, ctx)


class TailTauType(click.ParamType[Any]):
    """A level of the tail in (0.5, 1], or the word window."""

    name = "TAU|window"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """The level that the user wrote; wrong usage if the text is not one."""
        if value == "window":
            return "window"
        try:
            level = float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor the word window", param, ctx)
        if not 0.5 < level <= 1.0:
            self.fail(f"tau must be in (0.5, 1], not {value}", param, ctx)
        return level


unsafe_load = click.option(
    "--unsafe-load",
    is_flag=True,
    help="Load any Python object in the file. DANGER: this runs whatever code it contains, with your rights. Use it "
    "only for files from people you trust.",
)

layer_option = click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="GLOB",
    shell_complete=completion.layers,
    help="Only layers whose names match GLOB; repeatable.",
)
windows_option = click.option(
    "--windows",
    type=WindowsType(),
    help="Windows from A up to, but not including, B: 8:13, 12:, :8 or 12. Default: the final windows, just long "
    "enough to tell dead weights from slow ones, or all windows of a run that is too short.",
)
windows_end_option = click.option(
    "--windows",
    type=WindowsType(),
    help="The weights at the end of these windows, such as 12 or :9 (without 9); by default at the end of the run.",
)
tail_tau_option = click.option(
    "--tail-tau",
    type=TailTauType(),
    metavar="TAU|window",
    default=0.85,
    show_default=True,
    help="The tail is the share 2 (1 - TAU) of each layer's weights with the largest |z|; window: the layer's own tau.",
)
