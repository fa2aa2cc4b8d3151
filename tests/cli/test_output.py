"""Tables on standard output and in files."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import rich_click as click

from recu_analysis.analysis.rendering import Column
from recu_analysis.cli.output import View, as_text, size, table_lines, write_table
from recu_analysis.cli.target import Target
from recu_analysis.errors import StoreError
from recu_analysis.testing import random_walk, synthetic_run
from tests.cli_runner import run_cli, run_program
from tests.messages import says

TABLE = pd.DataFrame({"layer": ["a_b", "c"], "value": [0.123456789123, float("nan")], "count": [1, 2]})


@pytest.mark.parametrize(
    ("value", "text"), [(12, "12 B"), (2048, "2.0 KiB"), (3 * 2**20, "3.0 MiB"), (2**31, "2.0 GiB")]
)
def test_sizes(value, text):
    assert size(value) == text


def test_a_file_is_replaced_as_a_whole(tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_text("old")
    write_table(View(TABLE), Target("csv", path))
    assert path.read_text().startswith("layer,value")
    assert list(tmp_path.iterdir()) == [path]
    assert capsys.readouterr().err == f"wrote {path}\n"


def test_a_text_has_notes_and_a_sentence_a_column_within_the_width():
    view = View(TABLE, (Column("layer"), Column("count", meaning="So many " * 5)), above=["one"], below=["two"])
    assert click.unstyle(as_text(view, 30)).splitlines() == [
        "one",
        "",
        "layer count",
        "a_b       1",
        "c         2",
        "",
        "two",
        "",
        "layer: Name of the layer; all",
        "  for the whole network.",
        "count: So many So many So many",
        "  So many So many",
    ]


def test_names_are_cut_on_a_terminal_only_and_never_the_total():
    names = [f"model.encoder.block{at}.attention.query" for at in (1, 2)]
    table = pd.DataFrame({"row": ["layer", "layer", "total"], "layer": [*names, "all"], "count": [1, 2, 3]})
    columns = (Column("layer"), Column("count"))
    narrow = [click.unstyle(line) for line in table_lines(table, columns, 30)]
    assert narrow[:2] == ["all names in the first column", "  begin with model.encoder."]
    assert [line.split() for line in narrow[2:]] == [
        ["layer", "count"],
        ["block1.attention.query", "1"],
        ["block2.attention.query", "2"],
        ["all", "3"],
    ]
    assert [line.split()[0] for line in table_lines(table, columns)][1:] == [*names, "all"]
    lines = [click.unstyle(line) for line in table_lines(table, columns, 16)]
    assert [line.split()[0] for line in lines[1:4]] == ["#1", "#2", "all"], "too narrow for a part of every name"
    assert "".join(lines[5:]).replace(" ", "") == "".join(f"#{at}is{name}" for at, name in enumerate(names, start=1))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_behind_standard_output_is_one_sentence(monkeypatch):
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(StoreError) as caught:
            write_table(View(TABLE), Target("csv"))
        full.write("what is flushed at exit finds a sink")
    says(str(caught.value), "standard output", "No space left on device")


COMMANDS = (
    "dead-weights RUN",
    "updates RUN",
    "flips RUN",
    "fit RUN",
    "compare RUN OTHER",
    "compare RUN OTHER --seeds",
    "compare RUN OTHER --by-layer",
    "compare RUN OTHER --curves",
    "claims RUN --baseline OTHER",
    "claims RUN --columns id,claim,why",
    "verify RUN",
    "info RUN",
    "layers resnet20",
    "tradeoff --points 3 --run RUN",
    "tradeoff --epochs 3",
)


@pytest.mark.extras
def test_the_table_of_every_command_compiles_and_fits_a_page_of_two_columns(tmp_path):
    if not shutil.which("pdflatex"):
        pytest.skip("needs pdflatex")
    runs = {"RUN": "checkpoints/fashion/recu-0", "OTHER": "checkpoints/fashion/baseline-0"}
    compile_tables(
        tmp_path,
        [[runs.get(word, word) for word in command.split()] for command in COMMANDS],
        [r"\documentclass[10pt,twocolumn,letterpaper]{article}", r"\usepackage[margin=0.8in]{geometry}"],
    )


@pytest.mark.extras
def test_dead_weights_of_seeds_fit_a_page_of_article(tmp_path):
    """Three arms, and layers with long names without dots."""
    if not shutil.which("pdflatex"):
        pytest.skip("needs pdflatex")
    arms = [f"checkpoints/fashion/{arm}-{seed}" for arm in ("recu", "baseline", "rescaled") for seed in range(3)]
    names = [f"transformerencoderlayer{at:02}selfattentionqueryprojection" for at in range(24)]
    entries = []
    for at, arm in enumerate(("ReCU with tau 0.85 to 0.99", "without a clamp, decay 5e-4", "a mask of 30 % at random")):
        for seed in range(2):
            walks = {name: random_walk((4, 20), 8, seed=seed, step=0.6) for name in names}
            synthetic_run(tmp_path / f"s{at}-{seed}", walks)
            entries.append(f"[[run]]\nfolder = 's{at}-{seed}'\narm = '{arm}'\nseed = {seed}\n")
    (tmp_path / "runs.toml").write_text("".join(entries))
    tables = [["dead-weights", *arms], ["dead-weights", str(tmp_path / "runs.toml")]]
    compile_tables(tmp_path, tables, [r"\documentclass{article}"])


def compile_tables(tmp_path, commands, head):
    """Compile the tables of some commands in one document; nothing is wider or higher than its page."""
    page = [*head, r"\usepackage{booktabs}", r"\begin{document}"]
    for at, words in enumerate(commands):
        assert run_cli(*words, "-o", tmp_path / f"t{at}.tex").exit_code == 0, words
        page.append(rf"\input{{t{at}}}\clearpage")
    (tmp_path / "all.tex").write_text("\n".join([*page, r"\end{document}"]))
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert "Float too large" not in done.stdout


@pytest.mark.parametrize("letters", [b"\xff", b"caf\xe9 \xed\xb3\xbf"])
def test_a_folder_whose_name_is_not_utf_8_has_its_tables(tmp_path, letters):
    path = tmp_path / os.fsdecode(letters)
    synthetic_run(path)
    for ending in ("csv", "json", "html", "md", "tex", "txt"):
        file = tmp_path / f"t.{ending}"
        assert run_cli("info", path, "-o", file).exit_code == 0
        assert "udc" in file.read_text(encoding="utf-8")
    piped = run_program("info", path, "--format", "csv")
    assert (piped.exit_code, piped.stderr) == (0, "")
    assert f"run,{tmp_path}/" + os.fsdecode(letters).encode(errors="backslashreplace").decode() in piped.stdout


def test_a_csv_for_a_terminal_holds_no_control_characters(monkeypatch, capsys):
    table = pd.DataFrame({"layer": ["a\x1b]0;title\x07\x9b31m", "b"]})
    write_table(View(table), Target("csv"))
    assert "\x1b]0;title\x07\x9b31m" in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    write_table(View(table), Target("csv"))
    assert capsys.readouterr().out == "layer\na\\x1b]0;title\\x07\\x9b31m\nb\n"
