"""Names are data: no command passes on what a terminal obeys, and no name forges a line."""

import json
import warnings

import pytest

import recu_analysis as ra
from recu_analysis.errors import LayerNotFoundError, RecordingWarning, printable
from recu_analysis.testing import random_walk, synthetic_run
from tests.cli_runner import run_cli
from tests.editing import edit_run, marks_of, write_marks

#: Colors, a title of the window, a line break, one byte of C1, a mark that turns the direction of writing.
EVIL = "\x1b[31m\x1b]0;t\x07\nwindows 9\r\x9b2J\u202egnp\u2028[/b]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("names")


@pytest.fixture(scope="module")
def run(folder):
    """A run whose folder, layers, settings and metrics have such names."""
    path = synthetic_run(folder / f"run{EVIL.replace('/', '')}", {f"a{EVIL}": random_walk((3, 20), 8, step=0.5)}).path
    edit_run(
        path,
        configuration={f"key{EVIL}": f"value{EVIL}", "arm": f"arm{EVIL}", "seed": 0},
        environment={"model": EVIL, "command": [EVIL], "versions": {EVIL: EVIL}, "optimizers": [{"class": EVIL}]},
    )
    write_marks(path, [mark | {"epoch": at, f"m{EVIL}": EVIL} for at, mark in enumerate(marks_of(path))])
    return path


@pytest.fixture(scope="module")
def runs_list(folder, run):
    path = folder / "runs.toml"
    path.write_text(f"[[run]]\nfolder = {json.dumps(run.name)}\nlabel = {json.dumps(EVIL)}\narm = 'a'\nseed = 0\n")
    return path


def nothing_obeyed(done):
    for text in (done.stdout, done.stderr):
        ugly = [repr(each) for each in text if not each.isprintable() and each != "\n"]
        assert not ugly
        assert not any(line.startswith("windows 9") for line in text.split("\n"))


@pytest.mark.parametrize(
    "command",
    [
        ["info"],
        ["verify"],
        ["dead-weights"],
        ["dead-weights", "--format", "markdown"],
        ["flips"],
        ["updates"],
        ["watch", "--once"],
        ["compare", "--by-layer"],
        ["thin", "--windows", "1", "-o", "x"],
        ["layers"],
        ["info", "--debug", "-o", f"/dev/null/{EVIL}.txt"],
        ["info", "-o", f"x{EVIL}.xyz"],
        ["info", f"--{EVIL}"],
        ["dead-weights", "--layer", f"x{EVIL}"],
        ["dead-weights", "--windows", f"x{EVIL}"],
        ["dead-weights", "--columns", f"x{EVIL}"],
        ["figures", "--only", f"x{EVIL}"],
        [f"x{EVIL}"],
    ],
    ids=lambda words: " ".join(words[:2]).encode("unicode_escape").decode()[:30],
)
@pytest.mark.parametrize("terminal", [None, 60])
def test_nothing_that_a_terminal_obeys_is_printed(run, command, terminal):
    name, *more = command
    nothing_obeyed(run_cli(name, run, *more, terminal=terminal))


def test_a_list_of_runs_is_data_too(runs_list):
    nothing_obeyed(run_cli("dead-weights", runs_list))


@pytest.mark.parametrize("kind", [LayerNotFoundError, RecordingWarning])
def test_messages_in_python_are_one_line(kind):
    assert str(kind(f"no layer {EVIL}")) == f"no layer {printable(EVIL)}"
    assert printable(printable(EVIL)) == printable(EVIL)
    assert printable(EVIL).isprintable()


def test_errors_and_warnings_of_python_show_names_letter_by_letter(run):
    with pytest.raises(LayerNotFoundError) as caught:
        ra.dead_weights(run, layers="none")
    assert str(caught.value).isprintable()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ra.dead_weights(run, windows="2:9")
    assert [str(each.message).isprintable() for each in told] == [True]


def test_warnings_of_a_command_are_lines_of_its_own(tmp_path):
    from tests.capture.test_repeated_checkpoints import save  # torch is loaded here alone

    for name in ("epoch1.pth", f"best{EVIL.replace('/', '')}.pth"):
        save(tmp_path / name, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        done = run_cli("import", tmp_path / "*.pth", "--run-dir", tmp_path / "run")
    (line,) = [line for line in done.stderr.split("\n") if line.startswith("Warning: ")]
    assert "left out" in line
    assert line.isprintable()


def test_safe_csv_is_of_every_table(folder):
    path = synthetic_run(folder / "sum", {"=SUM(A1)": random_walk((3, 20), 8, step=0.5)}).path
    assert "\n=SUM(A1)," in run_cli("fit", path, "--format", "csv").stdout
    for command in ("dead-weights", "fit", "flips", "updates"):
        plain, safe = (run_cli(command, path, "--format", "csv", *more).stdout for more in ([], ["--safe-csv"]))
        assert safe == plain.replace("=SUM(A1)", "'=SUM(A1)")
    file = folder / "t.csv"
    assert run_cli("fit", path, "-o", file, "--safe-csv").exit_code == 0
    assert "'=SUM" in file.read_text()
    done = run_cli("fit", path, "--safe-csv")
    assert done.exit_code == 2
    assert "--safe-csv" in done.stderr


def test_safe_csv_is_of_the_data_beside_figures(folder, tmp_path):
    path = synthetic_run(folder / "drawn", {"=SUM(A1)": random_walk((3, 20), 8, step=0.5)}).path
    assert run_cli("figures", path, "--only", "fig2", "--format", "png", "-o", tmp_path, "--safe-csv").exit_code == 0
    text = (tmp_path / "fig2.csv").read_text()
    assert "'=SUM(A1)" in text
