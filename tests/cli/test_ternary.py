"""recu-analyze tradeoff --levels 3 as a user types it."""

import json

import pytest

from tests.cli_runner import refusal, run_cli, wrong_usage
from tests.messages import says


def test_it_prints_both_distributions_beside_signs():
    done = run_cli("tradeoff", "--levels", 3, "--b", 1, terminal=80)
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    laplace = next(line.split() for line in lines if line.startswith("laplace") and " 1.000 " in line)
    assert laplace == ["laplace", "1.0000", "1.000", "63.2", "2.0000", "0.5285", "0.8964", "1.0000", "0.9128"]
    assert sum(line.startswith("normal") for line in lines) == 9
    says(done.stdout, "1.000 (laplace), 0.767", "BitNet")


def test_it_draws_and_writes(tmp_path):
    drawing = tmp_path / "made" / "levels.svg"
    done = run_cli("tradeoff", "--levels", 3, "--threshold", 0.1, 0.9, "--format", "json", "--figure", drawing)
    rows = json.loads(done.stdout)
    assert (rows[0]["threshold"], rows[-1]["threshold"], len(rows)) == (0.1, 0.9, 18)
    assert sorted(path.name for path in drawing.parent.iterdir()) == [
        f"levels.{e}" for e in ("csv", "json", "svg", "tex")
    ]
    says((drawing.parent / "levels.json").read_text(), "--levels 3 --threshold 0.1 0.9")


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["--threshold", -1, 1], ["threshold", "-1"]),
        (["--threshold", 1, 0.5], ["threshold", "1 to 0.5"]),
        (["--threshold", 0.5, 0.5, "--figure", "x.pdf"], ["two ends", "0.5"]),
        (["--points", 1], ["2 points"]),
    ],
)
def test_what_it_cannot_do_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch, arguments, facts):
    monkeypatch.chdir(tmp_path)
    says(refusal("tradeoff", "--levels", 3, *arguments), *facts)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["--levels", 3, "--tau", 0.6, 0.9], ["--tau", "--levels 3"]),
        (["--levels", 3, "--run", "x"], ["--run", "--levels 3"]),
        (["--threshold", 0, 1], ["--threshold", "--levels 3"]),
        (["--levels", 4], ["--levels", "'4'"]),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(arguments, facts):
    says(wrong_usage("tradeoff", *arguments), *facts)
