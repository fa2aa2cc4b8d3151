"""Any bit of a run's small files that changes is found: by verify, and by the readers that meet it."""

import shutil

import pytest

from recu_analysis import open_run
from recu_analysis.errors import RecuError
from recu_analysis.store.verify import DAMAGE, verify
from recu_analysis.testing import random_walk, synthetic_run
from tests.cli_runner import run_cli
from tests.editing import edit_run, marks_of, write_marks

SEGMENT = "history/segment-0000"
METRICS = f"{SEGMENT}/metrics.jsonl"
SMALL = ("run.json", f"{SEGMENT}/segment.json", f"{SEGMENT}/end.json", METRICS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run with a name beyond ASCII, a number with an exponent, and one window."""
    path = tmp_path_factory.mktemp("bits") / "run"
    return synthetic_run(path, {"ü": random_walk((2, 3), 2, step=0.5)}, windows=1).path


@pytest.fixture
def path(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def found(path):
    """Whether verify finds damage."""
    try:
        return not {*verify(path)["verdict"]}.isdisjoint(DAMAGE)
    except RecuError:
        return True


def told(path):
    """Whether reading everything small of a run tells damage."""
    try:
        run = open_run(path)
        return bool(run.problems) or len(run.metrics) < 0
    except RecuError:
        return True


def values(path):
    run = open_run(path)
    return run.header, list(run.marks()), [window.header for window in run.windows]


@pytest.mark.parametrize("name", SMALL)
def test_every_byte_of_a_small_file_counts(path, name):
    file, before = path / name, values(path)
    content = file.read_bytes()
    for at in range(len(content)):
        file.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        # What verify alone finds is a number or letter that is written otherwise, such as 1E-05.
        assert told(path) or (found(path) and values(path) == before), at
    file.write_bytes(content)
    assert not found(path)


@pytest.mark.parametrize("name", SMALL)
def test_verify_finds_what_no_value_shows(path, name):
    """All eight bits of the bytes in which a flip can leave every value as it is."""
    file = path / name
    content = file.read_bytes()
    for at in [at for at, byte in enumerate(content) if byte in b"eE\\\n"][-12:]:
        for bit in range(8):
            file.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
            assert found(path), (at, bit)


@pytest.fixture
def logged(tmp_path):
    """A run with four lines of metrics."""
    return synthetic_run(tmp_path / "logged", windows=4).path


CHANGES = {
    "the first line lost": lambda lines: lines[1:],
    "a line lost": lambda lines: lines[:2] + lines[3:],
    "the last line lost": lambda lines: lines[:-1],
    "a line doubled": lambda lines: [*lines[:2], lines[1], *lines[2:]],
    "the last line doubled": lambda lines: [*lines, lines[-1]],
    "a line moved": lambda lines: [lines[1], lines[0], *lines[2:]],
    "the last line cut": lambda lines: [*lines[:-1], lines[-1][:-9]],
    "all lines lost": lambda lines: [],
}


@pytest.mark.parametrize("change", CHANGES)
def test_lines_of_metrics_lost_doubled_and_moved(logged, change):
    file = logged / METRICS
    file.write_bytes(b"".join(CHANGES[change](file.read_bytes().splitlines(keepends=True))))
    assert run_cli("verify", logged).exit_code == 1
    done = run_cli("info", logged)
    assert done.exit_code == 1
    assert "metrics.jsonl" in done.stderr


def test_a_line_of_a_longer_run_at_the_end(logged):
    marks = marks_of(logged)
    write_marks(logged, [*marks, marks[-1]])
    assert found(logged)
    assert told(logged)


def test_a_reader_of_windows_alone_is_told_of_the_last_one(logged):
    shutil.rmtree(logged / SEGMENT / "window-000004")
    (logged / METRICS).unlink()
    assert any("window 4 " in text and "is missing" in text for text in open_run(logged).problems)
    (logged / SEGMENT / "end.json").unlink()
    assert not any("window 4 " in text for text in open_run(logged).problems), "a recording may die before its end"


def test_an_edited_segment(logged, tmp_path):
    edit_run(logged, configuration={"lr": 0.5})
    assert not found(logged), "a forged seal of run.json alone contradicts nothing"
    other = synthetic_run(tmp_path / "other", windows=2).path
    for name in ("segment.json", "end.json"):
        whole = (logged / SEGMENT / name).read_bytes()
        (logged / SEGMENT / name).write_bytes(whole.replace(b'"segment":0', b'"segment":1'))
        assert found(logged)
        assert told(logged)
        (logged / SEGMENT / name).write_bytes(whole)
    shutil.copy(other / SEGMENT / "end.json", logged / SEGMENT / "end.json")
    assert found(logged), "the end of a shorter recording"
