"""The commands as a user types them: a real small training, its tables, bad input, exit codes and streams."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from recu_analysis import open_run
from recu_analysis.cli import cli
from recu_analysis.cli.train import interruptible
from recu_analysis.errors import InputError
from recu_analysis.store.durable import lock_directory
from recu_analysis.store.tensors import TensorFile
from recu_analysis.testing import random_walk, synthetic_run

SMALL = ["--epochs", "2", "--warm-up", "1", "--batch-size", "256", "--seed", "3"]


def run_cli(*arguments, **more):
    command = [sys.executable, "-m", "recu_analysis", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "80", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, **more)


def run_here(*arguments):
    """The same without a process of its own, which takes seconds to load what the command needs."""
    done = CliRunner(env={"COLUMNS": "80"}).invoke(cli, [*map(str, arguments)])
    return SimpleNamespace(returncode=done.exit_code, stdout=done.stdout, stderr=done.stderr)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "run"
    done = run_cli("train", "--run-dir", path, *SMALL)
    assert done.returncode == 0, done.stderr
    return path, done


@pytest.fixture
def synthetic(tmp_path):
    return synthetic_run(tmp_path / "run").path


def test_train_says_how_large_it_becomes_and_what_is_next(trained):
    path, done = trained
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"recording into {path}: about 10.5 MiB in all",
        f"2 epochs are recorded in {path}; next: recu-analyze dead-weights {path}",
    ]
    run = open_run(path)
    assert len(run.layer_names) == 18
    assert run.metrics["epoch"].tolist() == [0, 1]
    assert run.configuration["seed"] == 3


def test_dead_weights_fits_80_columns_and_explains_itself(trained):
    path, _ = trained
    done = run_cli("dead-weights", path)
    assert done.returncode == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "windows 2:3, 6 updates, every update seen"
    assert lines[1].startswith("the last half of the run: no final stretch has memory of at most 1/2 (0.")
    assert sum(line.startswith("layer") and "conv" in line for line in lines) == 18
    assert any(line.startswith("all ") and "267264" in line for line in lines)
    assert any(line.startswith("dead (tail-silent): ") for line in lines)
    assert any(line.startswith("T = sum of lr x weight decay / (1 - momentum): ") for line in lines)
    assert "too short" in lines[-2]


def test_the_same_numbers_in_every_format(trained, tmp_path):
    path, _ = trained
    rows = json.loads(run_cli("dead-weights", path, "--format", "json", "--layer", "layer2.*").stdout)
    assert len(rows) == 6
    text = run_cli("dead-weights", path, "--layer", "layer2.*").stdout
    assert f"{100 * rows[0]['silent_fraction']:.1f}" in text
    output = tmp_path / "table.csv"
    done = run_cli("dead-weights", path, "--format", "csv", "-o", output)
    assert done.stdout == ""
    assert output.read_text().splitlines()[0].startswith("layer,weights,first_window")
    assert "\\bottomrule" in run_cli("dead-weights", path, "--format", "latex").stdout


def test_info_says_what_a_run_is(trained):
    path, _ = trained
    done = run_cli("info", path)
    assert done.returncode == 0
    for text in (
        "18 binary, 267264 weights",
        "3, numbers 0 to 2",
        "12, up to number 12",
        "exact: every update was seen",
    ):
        assert text in done.stdout


def test_an_existing_run_is_refused_and_a_finished_one_not_repeated(trained):
    path, _ = trained
    done = run_cli("train", "--run-dir", path, *SMALL)
    assert done.returncode == 1
    assert done.stderr == f"Error: {path} exists already; go on with it by --resume, or replace it by --overwrite\n"
    assert run_cli("train", "--run-dir", path, *SMALL, "--resume").returncode == 0
    assert run_cli("train", "--run-dir", path, "--resume", "--overwrite").returncode == 2


def test_ctrl_c_stops_cleanly_and_resume_gives_the_same_weights(trained, tmp_path):
    whole, _ = trained
    path = tmp_path / "run"
    command = [sys.executable, "-m", "recu_analysis", "train", "--run-dir", str(path), *SMALL]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    ) as done:
        deadline = time.monotonic() + 120
        while not (path / "history/segment-0000/metrics.jsonl").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        done.send_signal(signal.SIGINT)
        errors = done.stderr.read()
    assert done.returncode == 130
    assert "stopped by Ctrl-C after 1 of 2 epochs; go on with --resume" in errors
    assert not open_run(path).problems
    assert run_cli("train", "--run-dir", path, *SMALL, "--resume").returncode == 0
    first, second = open_run(whole), open_run(path)
    assert [w.number for w in second.windows] == [0, 1, 2]
    for a, b in zip(first.windows, second.windows, strict=True):
        for name in first.layer_names:
            for quantity in ("weight", "path", "zpath", "flips", "last_flip"):
                np.testing.assert_array_equal(getattr(a[name], quantity), getattr(b[name], quantity))


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["dead-weights", "none"], 1, "Error: none does not exist; recu-analyze train and recu_analysis.record make"),
        (["dead-weights", "empty"], 1, "Error: empty is empty;"),
        (["info", "checkpoints"], 1, "Error: checkpoints holds ordinary checkpoints (epoch1.pth, 1 in all)"),
        (["dead-weights", "run", "--layer", "x*"], 1, "matches 'x*'; known are first, second"),
        (["dead-weights", "run", "--window", "7:9"], 1, "Error: run has the windows 0 to 4, not all of 7:9"),
        (["dead-weights", "run", "--window", "9:7"], 2, "is empty: its end"),
        (["dead-weights", "run", "--tail-tau", "0.2"], 2, "tau must lie in (0.5, 1], not 0.2"),
        (["dead-weights", "run", "--criterion", "gone"], 2, "'gone' is not one of"),
        (["dead-weights"], 2, "Missing argument 'RUN'"),
        (["train", "--run-dir", "x", "--epochs", "0"], 1, "Error: a training needs at least one epoch, not 0"),
        (["train", "--run-dir", "x", "--network", "resnet2"], 1, "did you mean resnet20 or resnet18?"),
        (["train", "--run-dir", "x", "--tau", "0.9", "0.8"], 1, "Error: tau must not fall"),
        (["train", "--run-dir", "x", "--accumulate", "0"], 1, "Error: an update needs at least one batch, not 0"),
        (["train", "--run-dir", "x", "--binarizer", "bnn", "--scale", "none"], 1, "Error: scale is an option of the"),
        (["train", "--run-dir", "x", "--scale", "some"], 2, "'some' is not a valid float"),
        (["train", "--run-dir", "x", "--schedule", "sine"], 2, "'sine' is not one of"),
        (["train", "--run-dir", "x", "--mask", "random", "--no-recu"], 2, "which --no-recu leaves out"),
        (["train", "--run-dir", "x", "--tau", "0.6", "0.7", "--no-recu"], 2, "which --no-recu leaves out"),
        (["train", "--run-dir", "x", "--tau", "0.6", "0.7", "--binarizer", "bnn"], 2, "which bnn has not"),
        (["train", "--run-dir", "x", "--data-dir", "empty"], 1, "leave --data-dir away"),
        (["train", "--run-dir", "x", "--image-size", "16"], 1, "leave --image-size away"),
        (["train", "--run-dir", "empty", "--resume"], 1, "empty is not a run directory"),
        (["train", "--run-dir", "checkpoints"], 1, "checkpoints exists already and is not a run directory"),
        (["train", "--run-dir", "x", "--resume"], 1, "x does not exist, so there is no training to go on with"),
        (["train", "--run-dir", "x", "--dataset", "fashion-mnist", "--data-dir", "empty"], 1, "gz is missing"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path, arguments, code, text):
    synthetic_run(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/epoch1.pth").touch()
    done = run_cli(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert text in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    if code == 1:
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_the_second_ctrl_c_interrupts_but_not_under_torchrun(monkeypatch):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interruptible() as stopped:
            signal.raise_signal(signal.SIGINT)
            assert stopped()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
        with interruptible() as stopped:
            assert not stopped()
            for _ in range(3):
                signal.raise_signal(signal.SIGINT)
            assert stopped()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_damage_is_told_beside_what_is_whole(synthetic):
    shard = next((synthetic / "history/segment-0000/window-000001").iterdir())
    shard.write_bytes(shard.read_bytes()[:-5])
    done = run_cli("dead-weights", synthetic)
    assert done.returncode == 1
    assert "Warning: window 1 (" in done.stderr
    assert "is cut short" in done.stderr
    assert "windows 4:5" in done.stdout
    done = run_cli("dead-weights", synthetic, "--window", "2:5")
    assert done.returncode == 1
    assert "the window that ends at update 5 is missing" in done.stderr
    assert run_cli("info", synthetic).returncode == 1


def test_a_flipped_bit_in_the_body_names_the_tensor(synthetic):
    shard = next((synthetic / "history/segment-0000/window-000004").iterdir())
    content = bytearray(shard.read_bytes())
    content[TensorFile(shard, "shard").entries["zpath/second"].start] ^= 4
    shard.write_bytes(content)
    for more in ((), ("--jobs", "2")):
        done = run_cli("dead-weights", synthetic, *more)
        assert done.returncode == 1
        assert "is damaged: tensor 'zpath/second' does not match its checksum" in done.stderr
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["dead-weights", "updates", "fit"])
def test_several_processes_print_the_same(synthetic, command):
    one, two = (run_cli(command, synthetic, "--format", "csv", "--jobs", jobs) for jobs in ("1", "2"))
    assert (one.returncode, two.returncode) == (0, 0)
    assert one.stdout == two.stdout != ""
    assert one.stderr == two.stderr


def test_no_processes_are_wrong_usage(synthetic):
    assert run_cli("flips", synthetic, "--jobs", "0").returncode == 2


def test_nan_weights_are_counted_and_the_table_goes_on(tmp_path):
    walk = random_walk((4, 30), 4)
    walk[4, 1, 2] = np.nan
    path = synthetic_run(tmp_path / "run", {"a": walk, "b": random_walk((4, 30), 4)}).path
    done = run_cli("dead-weights", path)
    assert done.returncode == 0
    assert "Warning: layer a: 1 weights are NaN or infinite in windows 3:5; they and their channels" in done.stderr
    assert "are left out, 30 weights in all\n" in done.stderr
    assert " of 210 weights, " in done.stdout, "three of four channels, and the other layer"


def test_weights_that_were_no_numbers_for_a_while_are_told(tmp_path):
    walk = random_walk((4, 30), 4)
    walk[3, 1, 2] = np.nan
    path = synthetic_run(tmp_path / "run", {"a": walk}, windows=1).path
    done = run_cli("dead-weights", path)
    told = "layer a: weights were for a while NaN or infinite in windows 1:2; they and their channels are left out, "
    assert f"Warning: {told}30 weights in all\n" in done.stderr


def test_latex_has_the_columns_of_the_text_table(tmp_path):
    path = synthetic_run(tmp_path / "run", {"a": random_walk((16, 30), 4, step=0.5)}).path
    for command, columns in (("dead-weights", 12), ("updates", 8), ("flips", 10), ("fit", 9)):
        lines = CliRunner().invoke(cli, [command, str(path), "--format", "latex"]).stdout.splitlines()
        assert len(lines[0].removeprefix(r"\begin{tabular}{").removesuffix("}")) == columns
        assert lines[0].endswith("r}"), "numbers to the right"


def test_long_layer_names_are_shortened_and_still_fit(tmp_path):
    name = "model.encoder.layer.11.attention.self.query"
    path = synthetic_run(tmp_path / "run", {name: random_walk((4, 30), 4)}).path
    done = run_cli("dead-weights", path)
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "…" in done.stdout
    assert json.loads(run_cli("dead-weights", path, "--format", "json").stdout)[0]["layer"] == name


def test_colour_and_quiet(synthetic, tmp_path):
    assert "\x1b[" not in run_cli("dead-weights", synthetic).stdout
    assert "\x1b[1m" in run_cli("dead-weights", synthetic, "--color", "always").stdout
    done = run_cli("dead-weights", synthetic, "--quiet", "-o", tmp_path / "t.txt", "--color", "always")
    assert done.stderr == ""
    assert "\x1b[" not in (tmp_path / "t.txt").read_text()


def test_a_reader_that_goes_away_is_no_error(synthetic):
    command = f"{sys.executable} -m recu_analysis dead-weights {synthetic} | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stderr == ""


def test_debug_shows_where_an_error_arises(tmp_path):
    done = run_cli("info", tmp_path / "none", "--debug")
    assert "Traceback" in done.stderr
    assert "NotARunError" in done.stderr


def test_tradeoff_reproduces_the_closed_forms():
    done = run_cli("tradeoff", "--tau", 0.6, 0.9, "--points", 4)
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[1] == ["0.6000", "2.0000", "0.4463", "0.4000", "0.0119", "4.1079", "6.5600", "1.0318"]
    assert run_cli("tradeoff", "--tau", 0.9, 0.6).stderr.startswith("Error: tau goes from its lower")
    assert run_cli("tradeoff", "--b", -1).returncode == 1
    assert run_cli("tradeoff", "--tau", "x", 1).returncode == 2


def test_version_and_help():
    assert run_cli("--version").stdout == "recu-analyze, version 0.1.0\n"
    text = run_cli("--help").stdout
    assert all(name in text for name in ("demo", "train", "info", "dead-weights"))
    for name in (
        "demo",
        "train",
        "info",
        "dead-weights",
        "updates",
        "flips",
        "compare",
        "claims",
        "fit",
        "tradeoff",
        "figures",
    ):
        shown = run_cli(name, "--help").stdout
        assert "Example: recu-analyze" in shown
        assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.skipif(shutil.which("git") is None, reason="finds the root by git")
def test_module_and_script_are_the_same(synthetic):
    script = Path(sys.executable).parent / "recu-analyze"
    if not script.exists():
        pytest.skip("the package is not installed here")
    done = subprocess.run([script, "info", synthetic], capture_output=True, text=True)
    assert done.stdout == run_cli("info", synthetic).stdout


def test_tradeoff_takes_the_levels_of_a_schedule_and_measures_a_run(synthetic, tmp_path):
    rows = json.loads(run_cli("tradeoff", "--epochs", 5, "--format", "json").stdout)
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3, 4]
    assert rows[0]["tau"] == 0.85
    drawing = tmp_path / "made" / "curve.svg"
    done = run_cli("tradeoff", "--run", synthetic, "--layer", "first", "--points", 3, "--figure", drawing)
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert sum(line.startswith("first ") for line in done.stdout.splitlines()) == 3
    assert sorted(path.name for path in drawing.parent.iterdir()) == [
        f"curve.{end}" for end in ("csv", "json", "svg", "tex")
    ]
    assert done.stderr == f"drew {drawing}, with data (csv), LaTeX (tex) and provenance (json) beside it\n"
    assert str(tmp_path) not in (drawing.parent / "curve.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--points", 3, "--epochs", 3], 2, "exclude each other"),
        (["--layer", "x"], 2, "name it by --run"),
        (["--epochs", 0], 1, "Error: a schedule needs at least one epoch, not 0\n"),
        (["--tau", 0.9, 0.9, "--figure", "x.pdf"], 1, "Error: a figure over tau needs two ends, not 0.9 twice"),
        (["--figure", "x.gif"], 1, "Error: no figure format is called 'gif'; known are pdf, png, svg, pgf\n"),
        (["--figure", "x"], 1, "Error: x does not say in which format to draw; end it in .pdf, .png or .svg\n"),
        (["--run", "nowhere"], 1, "Error: nowhere "),
    ],
)
def test_tradeoff_refuses_what_it_cannot_do(tmp_path, arguments, code, text):
    done = run_cli("tradeoff", *arguments, cwd=tmp_path)
    assert done.returncode == code
    assert text in " ".join(done.stderr.replace("│", " ").split()) + "\n"
    assert done.stdout == ""
    assert not any(tmp_path.iterdir())


def test_fit_prints_three_tables_within_80_columns(trained):
    path, _ = trained
    done = run_cli("fit", path, "--layer", "layer3.*")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "state at the end of window 2"
    assert sum(line.startswith("layer3.") for line in lines) == 18
    rows = json.loads(run_cli("fit", path, "--layer", "layer3.*", "--format", "json").stdout)
    assert len(rows) == 6
    assert all(row["shape_low"] < row["shape"] < row["shape_high"] for row in rows)
    assert all(1.0 < row["b_ratio"] < 1.5**0.5 for row in rows)


def test_fit_says_what_it_left_out(tmp_path):
    walk = random_walk((8, 30), 4)
    walk[-1, 3] = np.nan
    flat = np.ones((5, 4, 30), np.float32)
    path = synthetic_run(tmp_path / "run", {"damaged": walk, "flat": flat}).path
    done = run_cli("fit", path)
    assert done.returncode == 0
    assert "Warning: layer damaged: 1 of 8 channels hold NaN or infinity, left out" in done.stderr
    assert "Warning: layer flat: 4 of 4 channels are constant, left out" in done.stderr
    assert "pooled" in run_cli("fit", path, "--raw").stderr
    assert run_cli("fit", path, "--window", 9).stderr == f"Error: {path} has the windows 0 to 4, not 9\n"
    assert run_cli("fit", tmp_path / "none").returncode == 1


@pytest.mark.parametrize("command", [["updates"], ["flips"], ["claims"], ["compare"]])
def test_weights_that_are_no_numbers_are_told(tmp_path, command):
    walk = random_walk((8, 30), 4)
    walk[-1, 3, :2] = np.nan
    done = run_here(*command, synthetic_run(tmp_path / "run", {"damaged": walk}).path)
    assert done.returncode == 0
    what = "2 of its weights are NaN or infinite at the end; they and their channels are left out"
    assert done.stderr.startswith(f"Warning: layer damaged of {tmp_path / 'run'}: {what}\n")


@pytest.mark.parametrize("command", [["claims"], ["tradeoff", "--run"], ["figures", "--only", "scores"]])
def test_constant_channels_are_told_where_something_is_measured(tmp_path, command):
    walk = random_walk((8, 30), 4)
    walk[:, [0, 5]] = 0.5
    path = synthetic_run(tmp_path / "run", {"half": walk, "whole": random_walk((8, 30), 4)}).path
    output = ["--output", tmp_path / "figures"] if command[0] == "figures" else []
    done = run_here(*command, path, *output)
    assert done.returncode == 0, done.stderr
    what = "2 of its channels are constant at the end; measured scales, errors and entropies leave them out"
    assert done.stderr.startswith(f"Warning: layer half of {path}: {what}\n")
    assert done.stderr.count("channels are constant") == 1
    assert "channels are constant" not in run_here("flips", path).stderr


@pytest.mark.parametrize("command", ["dead-weights", "updates", "flips", "fit", "claims", "compare", "report"])
def test_damaged_windows_are_told_and_make_the_exit_code(synthetic, tmp_path, command):
    shard = next((synthetic / "history/segment-0000/window-000001").iterdir())
    shard.write_bytes(shard.read_bytes()[:-5])
    done = run_here(command, synthetic, *(["-o", tmp_path / "page.html"] if command == "report" else []))
    assert done.returncode == 1
    assert done.stderr.startswith("Warning: window 1 (")
    assert done.stdout or (tmp_path / "page.html").exists(), "what is whole is shown"
    if command == "flips":
        assert done.stderr.endswith(
            "Warning: windows before 3 are left out: what happened between them and the later ones is lost\n"
        )


def test_figures_are_listed_and_drawn(synthetic, tmp_path):
    listed = run_here("figures", "--list").stdout.splitlines()
    assert "fig3       quantisation error over tau (the paper's Fig. 3)" in listed
    done = run_here("figures", "--only", "fig3,schedule", "-o", tmp_path / "drawn")
    assert done.returncode == 0
    assert {path.stem for path in (tmp_path / "drawn").iterdir()} == {"fig3", "schedule"}
    wrong = run_here("figures", "--only", "fig2,schedule", "--width", 3, "--format", "svg", "-o", tmp_path / "some")
    assert wrong.returncode == 1
    assert "fig2 is left out: the figure fig2 shows runs; name at least one run directory" in wrong.stderr
    assert run_here("figures", "--only", "fig2", "-o", tmp_path / "nothing").returncode == 1
    assert not (tmp_path / "nothing").exists()
    assert 'width="216pt"' in (tmp_path / "some" / "schedule.svg").read_text()
    for option, word, near in (
        ("--only", "shedule", "schedule"),
        ("--venue", "icvv", "iccv"),
        ("--only", "fig3,table9", "table5"),
    ):
        refused = run_here("figures", option, word, "-o", tmp_path / "none")
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert f"{near}" in refused.stderr.split("did you mean")[1]
    assert "known are pdf, png, svg, pgf" in run_here("figures", "--format", "pdt", "-o", tmp_path / "none").stderr
    assert run_here("figures", "--width", "wide", "-o", tmp_path / "none").returncode == 1
    twice = run_here("figures", synthetic, synthetic, "--only", "magnitude", "-o", tmp_path / "none")
    assert "is named twice; give every run once" in twice.stderr
    assert not (tmp_path / "none").exists()


def test_updates_and_flips_fit_80_columns_and_give_every_number(synthetic):
    for name, columns in (
        ("updates", {"mobility_ratio_low", "distance_ratio_tail"}),
        ("flips", {"flip_ratio_predicted"}),
    ):
        done = run_here(name, synthetic)
        assert (done.returncode, done.stderr) == (0, "")
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert columns <= set(json.loads(run_here(name, synthetic, "--format", "json").stdout)[0])
        if name == "updates":
            assert "the last half of the run: no final stretch has memory of at most 1/2" in done.stdout
            assert "Memory (mem) is above 0.5 in 2 of 2 layers: there these windows are too short" in done.stdout
    assert run_here("updates", synthetic, "--layer", "nothing").returncode == 1
    assert run_here("flips", synthetic / "nowhere").returncode == 1


def test_compare_shows_runs_side_by_side(tmp_path):
    paths = [synthetic_run(tmp_path / name, seed=seed).path for seed, name in enumerate(("one", "two"))]
    done = run_here("compare", *paths)
    short = "Warning: memory stays above 0.5 in one, two: too short to tell dead weights from slow ones\n"
    assert (done.returncode, done.stderr) == (0, short)
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert [line.split()[0] for line in done.stdout.splitlines()[3:5]] == ["one", "two"]
    assert "2 seeds" not in run_here("compare", "--seeds", *paths).stdout, "neither says a seed"
    assert "is named twice; give every run once" in run_here("compare", paths[0], paths[0]).stderr


def test_runs_in_folders_of_one_name_are_told_apart(tmp_path):
    paths = [synthetic_run(tmp_path / name / "run", seed=seed).path for seed, name in enumerate(("one", "two"))]
    done = run_here("compare", *paths, "--format", "csv", "--quiet")
    assert (done.returncode, [line.split(",")[0] for line in done.stdout.splitlines()[1:]]) == (
        0,
        ["one/run", "two/run"],
    )
    drawn = run_here("figures", *paths, "--only", "magnitude", "--format", "svg", "-o", tmp_path / "drawn")
    assert drawn.returncode == 0
    assert "one/run" in (tmp_path / "drawn" / "magnitude.csv").read_text()


def test_a_run_that_is_being_written_is_drawn_with_a_word_about_it(tmp_path):
    path = synthetic_run(tmp_path / "run").path
    lock = lock_directory(path)
    try:
        done = run_cli("figures", path, "--only", "silence", "--format", "svg", "-o", tmp_path / "drawn")
    finally:
        os.close(lock)
    assert done.returncode == 0
    assert "run is still being written; figures show it up to update 20, so draw them again" in done.stderr
    assert (tmp_path / "drawn" / "silence.svg").exists()
    assert "still being written" not in run_cli("figures", path, "--only", "fig3", "-o", tmp_path / "drawn").stderr


def test_ctrl_c_while_the_command_line_is_loaded_is_one_sentence():
    """The interrupt comes while the first module that takes long is imported."""
    code = (
        "import sys, runpy\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'rich_click': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "runpy.run_module('recu_analysis', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr == "Error: stopped by Ctrl-C before anything was done\n"


@pytest.mark.parametrize(("holds", "resumed"), [(None, False), ([], False), (["lock"], False), (["run.json"], True)])
def test_the_demo_goes_on_with_a_run_and_takes_an_empty_folder_for_a_new_one(tmp_path, monkeypatch, holds, resumed):
    told = []

    def stopped(*_, resume, **__):
        told.append(resume)
        raise InputError("no further")

    monkeypatch.setattr("recu_analysis.cli.train.run_training", stopped)
    for name in holds or []:
        (tmp_path / "recu").mkdir(exist_ok=True)
        (tmp_path / "recu" / name).touch()
    if holds == []:
        (tmp_path / "recu").mkdir()
    assert run_here("demo", "--directory", tmp_path).returncode == 1
    assert told == [resumed]
