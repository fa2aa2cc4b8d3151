"""recu-analyze dead-weights as a user types it: its table in every format, its options, and what it cannot tell."""

from __future__ import annotations

import json

import numpy as np
import pytest

import recu_analysis as ra
from recu_analysis.store.tensors import TensorFile
from recu_analysis.testing import random_walk, synthetic_run
from tests.cli_runner import refusal, run_cli, wrong_usage
from tests.messages import says
from tests.run_files import window_file


def test_it_fits_80_columns_and_explains_itself(trained_run):
    done = run_cli("dead-weights", trained_run)
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    says(lines[0], "The windows are too short to tell dead weights from slow ones: ")
    told = " ".join(done.stdout.split("\n\n")[0].split())
    says(told, "of the weights of this one training stand far from zero and did not change their sign in epochs 0 to 1")
    says(told, "; noise of one size would leave at most ")
    says(told, "windows 1 to 2, epochs 0 to 1, 12 updates, every update")
    says(told, "all windows: null autocorrelation above 1/2 (0.")
    assert sum(line.startswith("layer") and "conv" in line for line in lines) == 18
    assert any(line.startswith("all ") and "267264" in line for line in lines)
    says(done.stdout, "% silent tail: Of the weights of the tail", "mobility core (10^-3 std per update): ")
    assert "Of the weights" not in run_cli("dead-weights", trained_run, "--quiet").stdout
    says(next(line for line in lines if line.startswith("layer ")), "silent*", "noise ")
    assert any(line.startswith("* dead by the criterion tail-silent: ") for line in lines)
    assert any(line.startswith("T = ") and "weight decay" in line and "momentum" in line for line in lines)
    assert "too short" in " ".join(lines)


def test_the_same_numbers_in_every_format(trained_run, tmp_path):
    rows = json.loads(run_cli("dead-weights", trained_run, "--format", "json", "--layer", "layer2.*").stdout)
    assert [row["row"] for row in rows] == ["layer"] * 6 + ["total"]
    assert rows[-1]["dead"] == sum(row["dead"] for row in rows[:-1])
    assert rows[-1]["updates"] == rows[0]["updates"]
    assert isinstance(rows[0]["first_window"], int)
    text = run_cli("dead-weights", trained_run, "--layer", "layer2.*").stdout
    assert f"{100 * rows[0]['tail_silent_fraction']:.1f}" in text
    output = tmp_path / "table.csv"
    done = run_cli("dead-weights", trained_run, "--format", "csv", "-o", output)
    assert done.stdout == ""
    assert output.read_text().splitlines()[0].startswith("row,layer,weights,first_window")
    latex = run_cli("dead-weights", trained_run, "--format", "latex").stdout
    says(
        latex,
        r"\caption{Dead latent weights of run",
        r"\label{tab:dead-weights-run}",
        "\\midrule\n\\raggedright all & 267264",
    )


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["none"], ["none", "does not exist", "recu-analyze train", "ra.record"]),
        (["empty"], ["empty is empty"]),
        (["run", "--layer", "x*"], ["'x*'", "first, second"]),
        (["run", "--windows", "7:9"], ["run", "0 to 4", "7:9"]),
    ],
)
def test_bad_input_is_one_sentence(synthetic_path, monkeypatch, arguments, facts):
    monkeypatch.chdir(synthetic_path.parent)
    (synthetic_path.parent / "empty").mkdir()
    says(refusal("dead-weights", *arguments), *facts)


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["run", "--windows", "9:7"], ["9:7", "after its start"]),
        (["run", "--tail-tau", 0.2], ["(0.5, 1]", "0.2"]),
        (["run", "--criterion", "gone"], ["'gone'"]),
        ([], ["Missing argument", "RUN"]),
    ],
)
def test_options_that_no_run_could_take_are_wrong_usage(arguments, facts):
    says(wrong_usage("dead-weights", *arguments), *facts)


def test_damage_is_told_beside_what_is_whole(damaged_path):
    done = run_cli("dead-weights", damaged_path)
    assert done.exit_code == 1
    says(done.stderr, "Warning: window 1 (", "cut short")
    says(done.stdout, "\nwindows 3 to 4, ")
    says(refusal_after_warnings("dead-weights", damaged_path, "--windows", "2:5"), "update 5", "missing")


def refusal_after_warnings(*arguments):
    """The last sentence of a command that warns, and then refuses."""
    done = run_cli(*arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    *warnings, last = done.stderr.splitlines()
    assert warnings
    assert all(each.startswith("Warning: ") for each in warnings)
    return last


@pytest.mark.parametrize("more", [[], ["--jobs", 2]])
def test_a_flipped_bit_in_the_body_names_the_tensor(synthetic_path, more):
    shard = window_file(synthetic_path, 4)
    content = bytearray(shard.read_bytes())
    content[TensorFile(shard, "shard").entries["zpath/second"].start] ^= 4
    shard.write_bytes(content)
    says(refusal("dead-weights", synthetic_path, *more), "damaged", "'zpath/second'", "checksum")


def test_nan_weights_are_counted_and_the_table_goes_on(tmp_path):
    walk = random_walk((4, 30), 4)
    walk[4, 1, 2] = np.nan
    path = synthetic_run(tmp_path / "run", {"a": walk, "b": random_walk((4, 30), 4)}).path
    done = run_cli("dead-weights", path)
    assert done.exit_code == 0
    says(done.stderr, "Warning: NaN or infinite in windows 1 to 4: 1 weights of a (30 left out with their channels)")
    assert " of 210 weights, " in done.stdout, "three of four channels, and the other layer"
    walk[4] = np.nan
    path = synthetic_run(tmp_path / "all", {"a": walk, "b": walk}).path
    done = run_cli("dead-weights", path, "--columns", "layer,dead_fraction")
    assert done.stderr.count("\n") == 1
    says(done.stderr, "120 weights of each of a, b (120 left")
    says(done.stdout, "\ndead by the criterion tail-silent: cannot be told, since all weights are left")


def test_weights_that_were_no_numbers_for_a_while_are_told(tmp_path):
    walk = random_walk((4, 30), 4)
    walk[3, 1, 2] = np.nan
    path = synthetic_run(tmp_path / "run", {"a": walk}, windows=1).path
    says(run_cli("dead-weights", path).stderr, "infinite in window 1: some weights, for a while, of a (30 left")


@pytest.mark.parametrize("command", ["dead-weights", "updates", "fit"])
def test_long_layer_names_stay_distinct_on_a_terminal_and_whole_in_a_pipe(tmp_path, command):
    names = [f"model.encoder.layer.{at}.attention.self.query_projection" for at in (10, 11, 20)]
    path = synthetic_run(tmp_path / "run", {name: random_walk((4, 30), 4) for name in names}).path
    lines = run_cli(command, path, terminal=80).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "all names in the first column begin with model.encoder.layer." in lines
    at = next(at for at, line in enumerate(lines) if line.startswith("layer "))
    assert len({line.split()[0] for line in lines[at + 1 : at + 4]}) == 3
    assert [line.split()[0] for line in run_cli(command, path).stdout.splitlines() if line.startswith("model")][
        :3
    ] == names


def test_seeds_are_a_block_with_intervals():
    arm, other = "checkpoints/fashion/recu-{}", "checkpoints/tau/0.85-{}"
    paths = [*(arm.format(seed) for seed in range(3)), *(other.format(seed) for seed in range(2))]
    done = run_cli("dead-weights", *paths, terminal=80)
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    says(lines[0], "recu-0, recu-1, recu-2: 12.1 % (95 % interval ")
    says(" ".join(lines[:8]), "more than noise alone would leave, which is 4.3 %", "0.85-0, 0.85-1: ")
    heads = [line for line in lines if " seeds on " in line]
    says(heads[0], "recu-0, recu-1, recu-2", "3 seeds", "fashion-mnist-16", "windows 8 and 12", "epochs 4")
    says(heads[1], "0.85-0, 0.85-1", "2 seeds", "digits", "window 24", "552 updates")
    assert sum(line.startswith("two seeds are few") for line in lines) == 1
    for table_format in ("markdown", "latex", "html"):
        says(
            run_cli("dead-weights", *paths, "--format", table_format).stdout, "epochs 4 to 11, 3,752 updates", "digits"
        )
    says(run_cli("compare", "--seeds", *paths, "--format", "markdown").stdout, "| data set |", "digits")
    assert sum(line.startswith("all ") for line in lines) == 2
    rows = json.loads(run_cli("dead-weights", *paths, "--windows", "8:", "--format", "json").stdout)
    assert [row["row"] for row in rows] == [*["layer"] * 5, "total", "layer", "total"]
    table = ra.dead_weights_over_seeds(paths, windows="8:")
    assert [row["dead_fraction_low"] for row in rows] == table["dead_fraction_low"].tolist()
    latex = run_cli("dead-weights", *paths, "--format", "latex").stdout
    assert latex.count("\\midrule") == 4, "below the headings, around a total between blocks, before the last"


def test_runs_without_a_seed_are_told(synthetic_path, tmp_path):
    other = synthetic_run(tmp_path / "other", seed=9).path
    done = run_cli("dead-weights", synthetic_path, other)
    assert done.exit_code == 0
    says(done.stderr, "no seed in the configuration")
    says(done.stdout, "run: one seed (no interval), windows 3 to 4")
    assert not [word for word in ("means", "95 %") if word in done.stdout]
    says(refusal("dead-weights", synthetic_path, synthetic_path), "given twice")
