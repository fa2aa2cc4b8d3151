"""recu-analyze verify as a user types it: exit codes, streams, 80 columns."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from recu_analysis.testing import synthetic_run


def verify(*arguments):
    command = [sys.executable, "-m", "recu_analysis", "verify", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "80", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


@pytest.fixture
def path(tmp_path):
    return synthetic_run(tmp_path / "run", windows=10).path


def test_a_whole_run(path):
    done = verify(path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert lines[1].split()[:8] == ["0", "0", "to", "10", "1", "to", "20", lines[1].split()[7]]
    assert lines[1].endswith("whole")
    assert lines[-1].startswith("14 files, ")
    assert lines[-1].endswith(": 14 whole")


def test_damage_exits_with_1_and_names_the_tensor(path):
    file = path / "history/segment-0000/window-000003/00001-of-00001.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    shutil.rmtree(path / "history/segment-0000/window-000007")
    done = verify(path)
    assert done.returncode == 1
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert [line.split()[-1] for line in done.stdout.splitlines()[1:6]] == [
        "whole",
        "damaged",
        "whole",
        "missing",
        "whole",
    ]
    first, second = done.stderr.splitlines()
    assert first.startswith("Error: window 3 (")
    assert "is damaged: tensor 'last_flip/second' does not match its checksum" in first
    assert second.endswith("window-000007) is missing, though its metrics were logged")
    rows = json.loads(verify(path, "--format", "json").stdout)
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
    done = verify(tmp_path / "none")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
