"""recu-analyze verify as a user types it: exit codes, streams, 80 columns."""

import json
import shutil

import pytest

from recu_analysis.testing import synthetic_run
from tests.cli_runner import refusal, run_cli
from tests.messages import says
from tests.run_files import window_file, window_folder


@pytest.fixture
def path(tmp_path):
    return synthetic_run(tmp_path / "run", windows=10).path


def test_a_whole_run(path):
    done = run_cli("verify", path)
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[1].split()[:8] == ["0", "0", "to", "10", "1", "to", "20", lines[1].split()[7]]
    assert lines[1].endswith("whole")
    assert lines[3].startswith("15 files, ")
    assert lines[3].endswith(": 15 whole")
    markdown = run_cli("verify", path, "--format", "markdown").stdout.splitlines()
    assert markdown[1] == "| :--- | :--- | ---: | ---: | ---: | ---: | ---: | :--- |", "texts to the left"
    assert markdown[-1].startswith("- 15 files, ")


def test_damage_exits_with_1_and_names_the_tensor(path):
    file = window_file(path, 3)
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    shutil.rmtree(window_folder(path, 7))
    done = run_cli("verify", path)
    assert done.exit_code == 1
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert [line.split()[-1] for line in done.stdout.splitlines()[1:6]] == [
        "whole",
        "damaged",
        "whole",
        "missing",
        "whole",
    ]
    first, second = done.stderr.splitlines()
    says(first, "Error: window 3 (", "damaged", "'last_flip/second'", "checksum")
    says(second, "window-000007", "missing")
    rows = json.loads(run_cli("verify", path, "--format", "json").stdout)
    assert {row["window"]: row["verdict"] for row in rows if row["verdict"] != "whole"} == {3: "damaged", 7: "missing"}
    assert rows[0] == {
        "file": "run.json",
        "verdict": "whole",
        "segment": None,
        "window": None,
        "first_update": None,
        "last_update": None,
        "bytes": (path / "run.json").stat().st_size,
        "detail": "",
    }


def test_what_is_no_run(tmp_path):
    says(refusal("verify", tmp_path / "none"), tmp_path / "none")
