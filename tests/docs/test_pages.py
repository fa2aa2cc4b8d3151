"""What the pages show: commands that exist, transcripts that are true, Python that runs, fields that are there."""

import ast
import json
import re
import shlex
from pathlib import Path

import click
import pytest

import recu_analysis as ra
from recu_analysis.capture.adapters import registry
from recu_analysis.cli import cli
from recu_analysis.store import format as names
from recu_analysis.store.quantities import MORE_QUANTITIES, QUANTITIES, RULES, TABLE
from recu_analysis.store.run import open_run
from recu_analysis.store.verify import VERDICTS
from recu_analysis.testing import synthetic_run
from tests.cli_runner import run_cli
from tests.run_files import window_file

PAGES = {path.name: path.read_text(encoding="utf-8") for path in (Path(__file__).parents[2] / "docs").glob("*.md")}


def blocks(language):
    """Every fenced block in a language, with the page that it is on."""
    for page, text in sorted(PAGES.items()):
        for block in re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
            yield page, block


COMMANDS = [(page, line) for page, block in blocks("bash") for line in block.splitlines()]
PYTHON = list(blocks("python"))
RUNNABLE = [block for _, block in PYTHON if block.startswith("# runs as it stands\n")]


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_every_command_is_one(page, line):
    program, *arguments = shlex.split(line, comments=True)
    assert program == "recu-analyze"
    group = click.Context(cli, info_name=program)
    command = cli.get_command(group, arguments[0])
    command.make_context(arguments[0], arguments[1:], parent=group)  # parses, and runs nothing


@pytest.mark.parametrize("block", [block for _, block in blocks("console")])
def test_transcripts_are_true(block):
    command, _, output = block.partition("\n")
    dollar, program, *arguments = shlex.split(command)
    assert (dollar, program) == ("$", "recu-analyze")
    done = run_cli(*arguments)
    assert done.exit_code == 0
    assert done.stdout == output, "run: python scripts/document_commands.py"


@pytest.mark.parametrize(("page", "block"), PYTHON)
def test_python_names_what_is_public(page, block):
    used = {
        node.attr
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ra"
    }
    assert used <= set(ra.__all__)


def test_the_whole_example_runs(tmp_path, monkeypatch, capsys):
    (block,) = RUNNABLE
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_registered", list(registry.registered()))
    exec(compile(block, "recording.md", "exec"), {"__name__": "example"})
    run = ra.open_run("runs/mine")
    assert run.layer_names == ["3"]
    assert run.header.layers[0].adapter == "sign-linear"
    assert [window.updates for window in run.windows] == [0, 29, 29, 29, 29, 29]
    assert "silent_fraction_tail" in capsys.readouterr().out


def test_the_program_that_checks_digests_finds_what_is_damaged(tmp_path, monkeypatch):
    (program,) = [block for page, block in PYTHON if page == "run-directory.md" and "xxh3_128" in block]
    monkeypatch.chdir(tmp_path)
    path = synthetic_run(tmp_path / "runs/mine").path
    exec(program, {})
    shard = window_file(path, 1)
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(AssertionError):
        exec(program, {})


def test_every_field_of_the_format_is_described(tmp_path):
    path = synthetic_run(tmp_path / "run").path
    run, segment = json.loads((path / "run.json").read_text()), path / "history/segment-0000"
    header = json.loads(open_run(path).windows[1].file.metadata["header"])
    written = [run, run["layers"][0], run["layers"][0]["transform"], header, header["layers"]["first"]]
    rows = re.findall(r"^\| (`.*?) \|", PAGES["run-directory.md"], flags=re.MULTILINE)
    assert {name for entry in written for name in entry} <= set(re.findall(r"`(\w+)`", " ".join(rows)))
    for name in ("segment.json", "metrics.jsonl"):
        for field in json.loads((segment / name).read_text().splitlines()[0]):
            assert re.search(rf"[`\"]{field}[`\"]", PAGES["run-directory.md"])


def test_every_tensor_and_verdict_is_described():
    page = PAGES["run-directory.md"]
    for name in TABLE:
        assert f"\n| `{name}` | " in page
    assert all(rule in page for rule in RULES)
    for quantity in (*QUANTITIES, *MORE_QUANTITIES):
        assert f"`{quantity}`" in page
        assert f'`"{quantity}"`' in PAGES["recording.md"]
    assert ", ".join(VERDICTS[:-1]) + " or " + VERDICTS[-1] in page
    assert f"`{names.SHARD_FORMAT}{names.FORMAT_VERSION}`" in page


def test_every_criterion_is_a_word():
    from recu_analysis.analysis.deadness import CRITERIA

    assert all(f"`{criterion}`" in PAGES["words.md"] for criterion in CRITERIA)


def test_every_figure_is_in_the_gallery():
    from recu_analysis.figures import FIGURES

    for name in FIGURES:
        assert re.search(rf"^## .*\b{name}\b", PAGES["gallery.md"], flags=re.MULTILINE)
    for picture in (Path(__file__).parents[2] / "figures").glob("*.png"):
        assert f"(pictures/{picture.name})" in PAGES["gallery.md"]
