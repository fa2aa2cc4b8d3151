"""recu-analyze info as a user types it."""

from __future__ import annotations

from recu_analysis.store.header import LayerSpec
from recu_analysis.store.writer import RunWriter
from recu_analysis.testing import layer_state, random_walk
from recu_analysis.theory.standardize import WeightTransform
from tests.cli_runner import refusal, run_cli
from tests.messages import says


def test_it_says_what_a_run_is(trained_run):
    done = run_cli("info", trained_run)
    assert (done.exit_code, done.stderr) == (0, "")
    says(done.stdout, "18 binary, 267264 weights", "3, numbers 0 to 2", "12, up to number 12", "exact: every update")


def test_long_values_go_on_below_themselves_on_a_terminal_only(trained_run):
    lines = run_cli("info", trained_run, terminal=60).stdout.splitlines()
    assert max(map(len, lines)) <= 60
    (versions,) = [line for line in run_cli("info", trained_run).stdout.splitlines() if line.startswith("versions ")]
    assert "torch" in versions
    assert "numpy" in versions


def test_damage_makes_the_exit_code(damaged_path):
    assert run_cli("info", damaged_path).exit_code == 1


def test_a_folder_of_ordinary_checkpoints_is_told(tmp_path):
    (tmp_path / "epoch1.pth").touch()
    says(refusal("info", tmp_path), tmp_path, "checkpoints", "epoch1.pth", "1 in all")


def test_a_run_that_is_being_written_says_so(tmp_path):
    walk, spec = random_walk((4, 10), 4), LayerSpec("layer", (4, 10), "float32", "synthetic", WeightTransform())
    writer = RunWriter(tmp_path / "run", [spec], configuration={}, environment={})
    says(run_cli("info", tmp_path / "run").stdout, "being written now", "none")
    writer.write_window({"layer": layer_state(walk, 1, 0, center=False)}, first_update=1, last_update=0)
    writer.write_window({"layer": layer_state(walk, 1, 2, center=False)}, first_update=1, last_update=2)
    writer.flush()
    says(run_cli("info", tmp_path / "run").stdout, "being written now", "2, numbers 0 to 1")
    writer.close()
    assert "being written" not in run_cli("info", tmp_path / "run").stdout
