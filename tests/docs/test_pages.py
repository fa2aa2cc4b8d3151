"""What the pages say: transcripts that are true, fields, tensors, criteria and figures that are there."""

import json
import re
import shlex
from pathlib import Path

import pytest

import recu_analysis as ra
from recu_analysis.store import format as names
from recu_analysis.store.quantities import MORE_QUANTITIES, QUANTITIES, RULES, TABLE
from recu_analysis.store.run import open_run
from recu_analysis.store.verify import VERDICTS
from recu_analysis.testing import synthetic_run
from tests.cli_runner import run_cli
from tests.docs.pages import PAGES, blocks
from tests.run_files import window_file


@pytest.mark.parametrize("block", blocks("console"), ids=lambda block: f"{block.page}:{block.line}")
def test_transcripts_are_true(block):
    command, _, output = block.code.partition("\n")
    dollar, program, *arguments = shlex.split(command)
    assert (dollar, program) == ("$", "recu-analyze")
    done = run_cli(*arguments)
    assert done.exit_code == 0
    assert done.stdout == output, "run: python scripts/document_commands.py"


def test_the_program_that_checks_digests_finds_what_is_damaged(tmp_path, monkeypatch):
    on_the_page = [block.code for block in blocks("python") if block.page == "run-directory.md"]
    (program,) = [code for code in on_the_page if "xxh3_128" in code]
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


def test_every_plot_function_is_in_the_gallery():
    code = "".join(block.code for block in blocks("python") if block.page == "gallery.md")
    functions = [name for name in ra.__all__ if name.startswith("plot_")]
    assert functions
    assert [name for name in functions if f"ra.{name}(" not in code] == []
