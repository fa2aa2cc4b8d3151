"""Every Python snippet of README and docs/ runs, page by page, and every command is one that the options allow."""

import ast
import re
from pathlib import Path

import click
import matplotlib.pyplot as plt
import pytest

import recu_analysis as ra
from recu_analysis.capture.adapters import registry
from recu_analysis.cli import COMMANDS, cli
from tests.cli_runner import run_cli
from tests.docs import hidden
from tests.docs.pages import PAGES, PROGRAM, blocks, commands

SNIPPETS = blocks("python")
#: What a snippet imports that is no dependency; such a snippet runs in `make test-extras`.
EXTRAS = re.compile(
    r"^from (recu_analysis\.integrations\.|torch\.utils\.)?(lightning|transformers|accelerate|tensorboard|wandb)\b",
    re.MULTILINE,
)
#: Pages that take more than some seconds.
SLOW = {"gallery.md"}
WITH_EXTRAS = sorted({snippet.page for snippet in SNIPPETS if EXTRAS.search(snippet.code)} | SLOW)
#: Commands that only read what is there, and write where they are told.
READING = {
    "claims",
    "compare",
    "dead-weights",
    "figures",
    "fit",
    "flips",
    "info",
    "levels",
    "report",
    "tradeoff",
    "updates",
    "verify",
}


@pytest.fixture
def page_folder(tmp_path, monkeypatch):
    """The folder in which a reader of a page sits; adapters and figures of the page are gone afterwards."""
    hidden.workspace(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_registered", list(registry.registered()))
    yield tmp_path
    plt.close("all")


def run_page(page, capsys, *, extras):
    names = hidden.taken_for_granted()
    for snippet in SNIPPETS:
        if snippet.page != page or snippet.reason:
            continue
        if not extras and EXTRAS.search(snippet.code):
            return  # what follows may go on from there
        # Lines are counted as those of the page are.
        capsys.readouterr()
        hidden.run("\n" * snippet.line + snippet.code, page, names)
        if snippet.output is not None:
            assert capsys.readouterr().out == snippet.output, f"{page}:{snippet.line}"


@pytest.mark.parametrize("page", sorted({snippet.page for snippet in SNIPPETS} - SLOW))
def test_python_runs_page_by_page_and_prints_what_the_page_shows(page, page_folder, capsys):
    run_page(page, capsys, extras=False)


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore")  # the libraries' warnings are not ours
@pytest.mark.parametrize("page", WITH_EXTRAS)
def test_python_that_needs_an_extra_runs_too(page, page_folder, monkeypatch, capsys):
    if page not in SLOW:
        for name in ("lightning", "transformers", "tensorboard"):
            pytest.importorskip(name, reason="needs the extras")
        hidden.quiet_lightning(monkeypatch)
    run_page(page, capsys, extras=True)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: f"{snippet.page}:{snippet.line}")
def test_python_names_what_is_public(snippet):
    used = {
        node.attr
        for node in ast.walk(ast.parse(snippet.code))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ra"
    }
    assert used <= set(ra.__all__)


def test_the_whole_example_is_recorded(page_folder, capsys):
    (code,) = [snippet.code for snippet in SNIPPETS if snippet.code.startswith("# runs as it stands\n")]
    hidden.make_room(code)
    exec(compile(code, "recording.md", "exec"), {"__name__": "example"})
    run = ra.open_run("runs/mine")
    assert run.layer_names == ["3"]
    assert run.header.layers[0].adapter == "sign-linear"
    assert [window.updates for window in run.windows] == [0, 29, 29, 29, 29, 29]
    assert "silent_fraction_tail" in capsys.readouterr().out


def command_of(name):
    command = cli.get_command(click.Context(cli, info_name=PROGRAM), name)
    assert command, f"no command is called {name}"
    return command


def test_every_command_parses():
    typed = commands()
    assert len(typed) > 50
    for page, words, _ in typed:
        name, *arguments = words
        try:
            context = click.Context(cli, info_name=PROGRAM)
            command_of(name).make_context(name, arguments, parent=context)  # parses, and runs nothing
        except click.exceptions.Exit:  # --help and --version
            pass
        except click.ClickException as error:
            pytest.fail(f"{page}: {PROGRAM} {' '.join(words)}: {error.format_message()}")


def test_commands_within_sentences_have_the_options_that_they_name():
    for page, text in PAGES.items():
        for words in re.findall(rf"`{PROGRAM} ([^`]+)`", text):
            name, *arguments = words.split()
            options = (
                {option for each in command_of(name).params for option in each.opts} if name in COMMANDS else set()
            )
            for option in re.findall(r"(?<!\S)--?[a-z][\w-]*", " ".join(arguments)):
                assert option in options, f"{page}: {PROGRAM} {words}"


def expanded(words):
    """The words with the files for which a pattern stands, as a shell gives them."""
    return [found for word in words for found in (matching(word) or [word])]


def matching(word):
    return sorted(map(str, Path().glob(word))) if re.search(r"[*?]", word) else []


@pytest.mark.extras
def test_commands_that_only_read_run(page_folder):
    done, left_out = [], []
    for page, words, reason in commands():
        name, *arguments = expanded(words)
        missing = [word for word in arguments if re.match(r"(runs|checkpoints)/", word) and not Path(word).exists()]
        if reason or name not in READING or "--help" in arguments or [name, *arguments] in done:
            continue
        if missing:
            left_out.append((page, words, missing))
            continue
        found = run_cli(name, *arguments)
        # What stands in for the demo has some of its layers.
        assert found.exit_code == 0 or "no layer of runs/demo/" in found.stderr, (
            f"{page}: {PROGRAM} {' '.join(words)}: {found.stderr}"
        )
        done.append([name, *arguments])
    assert len(done) > 30, left_out
