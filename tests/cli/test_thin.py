"""recu-analyze thin as a user types it: exit codes, streams, nothing half-written."""

import json

import pytest

from recu_analysis.testing import synthetic_run
from tests.cli_runner import refusal, run_cli, wrong_usage
from tests.messages import says
from tests.run_files import contents


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    return synthetic_run(tmp_path_factory.mktemp("thin") / "run", windows=10).path


def test_thin_says_what_it_made(whole_run, tmp_path):
    done = run_cli("thin", whole_run, "--windows", "0,1,5, 10", "--layer", "second", "-o", tmp_path / "small")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.startswith(f"{tmp_path}/small has 4 of 11 windows, ")
    assert run_cli("verify", tmp_path / "small").exit_code == 0
    tables = [
        json.loads(run_cli("dead-weights", where, "--layer", "second", "--windows", window, "--format", "json").stdout)
        for where, window in ((whole_run, "6:11"), (tmp_path / "small", "10"))
    ]
    (before, _), (after, _) = tables
    assert (before.pop("first_window"), after.pop("first_window")) == (6, 10)
    assert after == {
        name: pytest.approx(value, rel=1e-5) if isinstance(value, float) else value for name, value in before.items()
    }


@pytest.mark.parametrize(
    ("ask", "arguments", "facts"),
    [
        (refusal, ["--windows", "0,12"], ["0 to 10", "12"]),
        (refusal, ["--windows", "0,5"], ["window 10 must be kept", "add 10"]),
        (wrong_usage, ["--windows", "0:5"], ["0,1,5,20", "'0:5'"]),
        (refusal, ["--windows", "0,10", "--layer", "x*"], ["'x*'", "first, second"]),
        (wrong_usage, [], ["Missing option", "--windows"]),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(whole_run, tmp_path, ask, arguments, facts):
    says(ask("thin", whole_run, *arguments, "-o", tmp_path / "small"), *facts)
    assert not any(tmp_path.iterdir())


def test_what_exists_is_refused(whole_run):
    says(refusal("thin", whole_run, "--windows", "0,10", "-o", whole_run), whole_run, "exists", "another folder")


@pytest.mark.parametrize("inside", ["small", "history/small", "new/deep/small"])
def test_a_copy_inside_a_run_is_refused(whole_run, inside):
    before = contents(whole_run)
    told = refusal("thin", whole_run, "--windows", "0,10", "-o", whole_run / inside)
    says(told, whole_run / inside, f"inside the run {whole_run}", "choose a folder outside")
    assert contents(whole_run) == before
