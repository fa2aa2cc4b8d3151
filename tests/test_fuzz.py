"""The fuzzer of make test-fuzz: it finds what is planted, says what it tried, and repeats itself with its seed."""

import shutil
import subprocess
import sys

import pytest

from tests.cli_runner import Done
from tests.fuzz import __main__ as fuzz
from tests.fuzz import guided, parsers


@pytest.fixture
def fuzzer(tmp_path):
    made = fuzz.Fuzzer(tmp_path / "place", seed=3)
    yield made
    shutil.rmtree(made.room)


def tried(fuzzer, monkeypatch, answer, count=12):
    """What is run in so many inputs, each answered alike."""
    seen = []

    def run(*words):
        seen.append(tuple(word.replace(str(fuzzer.room), "") for word in words))
        return answer(*words)

    monkeypatch.setattr(fuzz, "run_cli", run)
    for _ in range(count):
        fuzzer.one()
    return seen


def test_answers_are_no_findings_and_a_traceback_is_one(fuzzer, monkeypatch):
    tried(fuzzer, monkeypatch, lambda *_: Done(1, "", "Error: a sentence\n"))
    assert fuzzer.findings == []
    assert fuzzer.count == 12
    assert [*fuzzer.corpus.iterdir()]

    def broken(*_):
        raise KeyError("window")

    tried(fuzzer, monkeypatch, broken)
    assert len(fuzzer.findings) == 12
    assert all("KeyError: 'window'" in text for text in fuzzer.findings)
    assert "Traceback" in (fuzzer.place / "findings/0001/told.txt").read_text()


def test_other_numbers_without_a_word_are_a_finding(fuzzer, monkeypatch):
    tried(fuzzer, monkeypatch, lambda *words: Done(0, "1" if "whole" in words[1] else "2", ""), count=40)
    assert any("other numbers" in text for text in fuzzer.findings)


def test_a_seed_repeats_its_inputs(fuzzer, tmp_path, monkeypatch):
    again = fuzz.Fuzzer(tmp_path / "again", seed=3)
    first, second = (tried(each, monkeypatch, lambda *_: Done(0, "", "")) for each in (fuzzer, again))
    shutil.rmtree(again.room)
    assert first == second


def test_every_parser_reads_its_files_and_lets_other_errors_through(tmp_path, monkeypatch):
    parsers.seeds(tmp_path)
    chosen = {file.read_bytes()[0] for file in tmp_path.iterdir()}
    assert chosen == {*range(len(parsers.PARSERS))}
    for file in tmp_path.iterdir():
        data = file.read_bytes()
        if data[0] < len(parsers.PARSERS) - 2:  # the last two need files beside them
            parsers.PARSERS[data[0]](data[1:])
        parsers.one(data[:-3])
    monkeypatch.setattr(parsers, "read_state", lambda _: {}["x"])
    with pytest.raises(KeyError):
        parsers.one(bytes([len(parsers.PARSERS) - 1]))


def test_without_atheris_the_guided_fuzzer_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "atheris", None)
    with pytest.raises(SystemExit, match="pip install atheris, or use make test-fuzz"):
        guided.main()


@pytest.mark.extras
def test_the_guided_fuzzer_starts(tmp_path):
    pytest.importorskip("atheris")
    command = [sys.executable, "-m", "tests.fuzz.guided", tmp_path / "corpus", "-runs=20"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Done 20 runs" in done.stderr
