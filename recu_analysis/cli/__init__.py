"""The command line: one thin file per command; only commands that need torch or matplotlib import them."""

from __future__ import annotations

import io
import sys
from importlib import import_module
from typing import Any

import rich_click as click
from click.exceptions import NoSuchCommand

from recu_analysis.errors import sentence
from recu_analysis.version import __version__

#: Command names and their modules, which are imported when needed.
COMMANDS = {
    "demo": "demo",
    "plan": "plan",
    "train": "train",
    "evaluate": "evaluate",
    "import": "import_",
    "watch": "watch",
    "info": "info",
    "verify": "verify",
    "thin": "thin",
    "layers": "layers",
    "dead-weights": "dead_weights",
    "updates": "updates",
    "flips": "flips",
    "levels": "levels",
    "causes": "causes",
    "compare": "compare",
    "claims": "claims",
    "fit": "fit",
    "intervene": "intervene",
    "tradeoff": "tradeoff",
    "figures": "figures",
    "report": "report",
}


class LazyGroup(click.RichGroup):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands, in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; Ctrl-C while it is loaded ends with 130, as it does while the command works."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # click would say "Aborted." and exit with 1
            click.echo("Error: stopped by Ctrl-C before anything was done", err=True)
            sys.exit(130)
        except click.UsageError as error:
            raise _escaped(error) from None

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        """The context of the command line; wrong usage in one line."""
        try:
            return super().make_context(*arguments, **more)
        except click.UsageError as error:
            raise _escaped(error) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that was typed; wrong usage with near names if there is none of that name."""
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:  # click searches only loaded commands, and none is
            raise NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"recu_analysis.cli.{COMMANDS[cmd_name]}").command
        assert isinstance(command, click.Command)  # noqa: S101 - every module of COMMANDS has one
        return command


def _escaped(error: click.UsageError) -> click.UsageError:
    """Wrong usage without characters that a terminal would obey: what was typed may be a name from a run."""
    message = error.format_message()
    told = sentence(message)
    return error if told == message else click.UsageError(told, error.ctx)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, prog_name="recu-analyze")
def cli() -> None:
    """See which latent weights of a binary neural network are dead, when they die, and what revives them.

    Start with: recu-analyze demo
    """


def main(arguments: list[str] | None = None, **extra: Any) -> Any:
    """Run the command line and exit: 0 done, 1 wrong data or input, 2 wrong usage, 130 after Ctrl-C."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name may hold a character that the terminal's encoding lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return cli(arguments, prog_name="recu-analyze", **extra)
    except OSError as error:  # of --help and --version; commands handle their own
        from recu_analysis.cli.options import fail_of_system

        fail_of_system(error)
        sys.exit(1)
