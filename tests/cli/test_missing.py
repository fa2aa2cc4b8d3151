"""What is not known is a dash, an empty cell or a sentence, never "nan", of runs of which much is missing."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.standardize import WeightTransform
from tests.cli_runner import run_cli
from tests.editing import edit_run, marks_of, write_marks
from tests.messages import says

COMMANDS = {
    "claims": ["claims", "small", "free"],
    "claims of one layer": ["claims", "broken", "--baseline", "free", "--layer", "few"],
    "compare": ["compare", "small", "broken", "free"],
    "seeds": ["compare", "small", "broken", "free", "--seeds"],
    "by layer": ["compare", "small", "broken", "free", "--by-layer"],
    "curves": ["compare", "small", "broken", "free", "--curves"],
    **{name: [name, "broken"] for name in ("dead-weights", "updates", "flips", "fit")},
}


@pytest.fixture(scope="module")
def four_runs(tmp_path_factory):
    """Runs with layers of few channels, or of NaN, and without any metrics."""
    folder = tmp_path_factory.mktemp("missing")
    for seed, name in enumerate(("small", "broken", "free", "nothing")):
        history = {
            layer: random_walk((4, 30), 12, step=0.6, seed=seed + 5 * at) for at, layer in enumerate(("few", "odd"))
        }
        for layer in {"broken": ["odd"], "nothing": ["few", "odd"]}.get(name, []):
            history[layer] = np.full_like(history[layer], np.nan)
        made = synthetic_run(folder / name, history, transform=WeightTransform(target=2.0, clamp=name != "free"))
        edit_run(made.path, configuration={"seed": 0, "recu": name})
        write_marks(made.path, [{name: mark[name] for name in ("window", "update")} for mark in marks_of(made.path)])
    return folder


def says_nan(text):
    """Whether a number in a text is NaN; sentences about weights that are may say so."""
    return re.search(r"\bnan\b(?! or infini)", text, re.IGNORECASE)


def shown(folder, words, *more):
    paths = [folder / word if (folder / word).is_dir() else word for word in words]
    done = run_cli(*paths, *more)
    assert done.exit_code == 0, done
    return done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_no_text_says_nan(four_runs, command):
    for form in ("table", "csv", "latex"):
        text = shown(four_runs, COMMANDS[command], "--format", form)
        assert not says_nan(text), form
    rows = json.loads(shown(four_runs, COMMANDS[command], "--format", "json"))
    assert command == "curves" or any(value is None for row in rows for value in row.values()), "all is known"


def test_a_claim_without_an_interval_says_so(four_runs):
    rows = {row["id"]: row for row in json.loads(shown(four_runs, ["claims", "small", "free"], "--format", "json"))}
    for name in ("C1a", "C1b", "C2"):
        assert (rows[name]["low"], rows[name]["verdict"]) == (None, "cannot tell")
        assert rows[name]["estimate"] is not None
    says(rows["C1b"]["why"], "interval", "8 channels", "3 seeds")
    assert re.search(r"tail to core: \d\.\d\d, where noise alone gives \d\.\d\d$", rows["C1b"]["why"])


def test_pages_and_figures_say_no_nan(four_runs, tmp_path):
    shown(four_runs, ["report", "small", "broken", "free", "nothing"], "-o", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text()
    cells = re.findall(r"<(?:td|th|li|p|bdi)(?: [^>]*)?>([^<]*)<", page)
    assert len(cells) > 50
    assert re.search(r"unknown whether the windows of nothing are long enough", page)
    assert not [cell for cell in cells if says_nan(cell)]
    shown(four_runs, ["figures", "small", "free"], "--only", "claims", "--format", "svg", "-o", str(tmp_path))
    assert not re.search(r">[^<]*\bnan\b", (tmp_path / "claims.svg").read_text(), re.IGNORECASE)
