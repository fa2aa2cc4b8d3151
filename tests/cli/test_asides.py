"""What stands below a table in LaTeX: notes on columns that it has, noise in one sentence, and no verdict."""

import math
import re

import pandas as pd
import pytest

from recu_analysis.analysis.rendering import Column
from recu_analysis.cli.asides import NOISE_ALONE, NOT_KNOWN, Aside, in_latex, of_run
from recu_analysis.testing import random_walk, synthetic_run
from tests.cli_runner import run_cli


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    walks = [{"stage.conv": random_walk((8, 30), 8, seed=seed, step=0.6)} for seed in range(2)]
    return [synthetic_run(folder / name, walk).path for name, walk in zip("ab", walks, strict=True)]


def notes(*arguments):
    latex = run_cli(*arguments, "--format", "latex").stdout
    return re.search(r"\\raggedright ([^\n]*)}\n\\end\{table", latex)[1].split(r" \\ ")


def test_only_notes_on_shown_columns_stay_each_once():
    told = ["a", Aside("a verdict"), "a", Aside("T is 3", about="decay_time"), of_run("x", Aside("tail", about="tail"))]
    rows = pd.DataFrame({"layer": ["b"], "silent_fraction_tail": [0.5], "decay_time": [3.0], "flips_null": [0.1]})
    assert in_latex(told, rows, [Column("layer"), Column("silent_fraction_tail")]) == ["a", "x: tail"]
    columns = [Column("decay_time"), Column("flips_null")]
    assert in_latex(told, rows, columns) == ["a", "T is 3", NOISE_ALONE]
    assert in_latex(told, rows.assign(flips_null=math.nan), columns)[-1] == f"{NOISE_ALONE}; {NOT_KNOWN}"
    assert of_run("x", "y") == "x: y"


def test_tables_in_latex_hold_no_verdict_and_explain_noise_once(paths):
    text = run_cli("dead-weights", paths[0]).stdout
    assert "T = sum of lr" in text
    found = notes("dead-weights", paths[0])
    assert [note.partition(":")[0] for note in found][-1] == "noise alone"
    assert not [note for note in found if note.startswith("T ") or "noise alone would" in note]
    chosen = notes("dead-weights", paths[0], "--columns", "layer,dead_fraction,decay_time")
    assert [note for note in chosen if note.startswith("T = ")]
    assert not [note for note in chosen if note.startswith(("tail:", "noise alone"))]
    assert [note for note in notes("flips", paths[0]) if note.startswith("C2I")]
    assert not [note for note in notes("flips", paths[0], "--columns", "window,flip_ratio") if "C2I" in note]


def test_what_is_the_same_of_all_runs_is_told_once(paths):
    found = notes("updates", *paths, "--windows", "1:5")
    assert found[0] == "windows 1 to 4, epochs 0 to 3, 8 updates, every update seen"
    assert len(found) == len({*found})
