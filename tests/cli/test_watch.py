"""recu-analyze watch: what it prints once, and what it shows of a run that grows, stops, goes away and returns."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import click

from recu_analysis.analysis.layers import layer_table
from recu_analysis.cli.watch import look
from recu_analysis.cli.watch_view import BARS, UNKNOWN, bars, duration, screen
from recu_analysis.cli.watched import Watched
from recu_analysis.store.header import LayerSpec
from recu_analysis.store.run import open_run
from recu_analysis.store.writer import RunWriter
from recu_analysis.testing import layer_state, random_walk, synthetic_run
from recu_analysis.theory.standardize import WeightTransform
from tests.cli_runner import refusal, run_cli, wrong_usage
from tests.messages import says
from tests.run_files import contents, window_file

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"


class Growing:
    """A run that is written window by window, two updates each."""

    def __init__(self, path, *, resume=None, configuration=None):
        walk = random_walk((4, 10), 40)
        self.walk, transform = walk, WeightTransform()
        specs = [LayerSpec("layer", (4, 10), "float32", "synthetic", transform)]
        self.writer = RunWriter(path, specs, configuration=configuration or {}, environment={}, resume=resume)
        self.update, self.epoch = resume or 0, (resume or 0) // 2
        self._write(self.update + 1, self.update)

    def grow(self):
        """One more window and its mark."""
        number = self._write(self.update + 1, self.update + 2)
        self.update += 2
        self.writer.write_metrics({"window": number, "update": self.update, "epoch": self.epoch, "loss": 0.5})
        self.epoch += 1
        self.writer.flush()

    def _write(self, first, last):
        state = layer_state(self.walk, first, last, center=False)
        return self.writer.write_window({"layer": state}, first_update=first, last_update=last)


def seen(watched, width=80, height=24):
    """The screen after one more look, and how many windows that read."""
    read = look(watched, lambda: width, lambda: None)
    lines = [click.unstyle(line) for line in screen(watched, width, height, 2.0)]
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines), lines
    return "\n".join(lines), read


def tells(text, *facts):
    """Assert that a screen says some facts, wherever its lines break."""
    says(" ".join(text.split()), *facts)


def test_once_prints_lines_of_80_columns_for_a_pipe_and_touches_nothing(synthetic_path):
    before = contents(synthetic_path)
    done = run_cli("watch", synthetic_path, "--once")
    assert (done.exit_code, done.stderr) == (0, "")
    says(
        done.stdout,
        synthetic_path,
        "epoch 3",
        "window 4",
        "update 20",
        "val_top1 53",
        "windows 1 to 4 (4 of 4; epochs 0 to 3)",
    )
    says(done.stdout, "10^-3 std", "per 1000 weights and update", "30 %")
    says(" ".join(done.stdout.split()), "2 of 2 layers", "too short")
    table = layer_table(open_run(synthetic_path)).set_index(["window", "layer"])
    for layer in ("first", "second"):
        row = next(line for line in done.stdout.splitlines() if line.startswith(layer))
        newest = table.loc[4, layer]
        says(row, f"{1e3 * newest['mobility']:.1f}", f"{100 * newest['silent_fraction_core']:.1f}")
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines()[1:])) <= 80
    assert contents(synthetic_path) == before


def test_once_refuses_what_is_no_run_and_without_it_a_terminal_is_needed(tmp_path, synthetic):
    says(refusal("watch", tmp_path / "none", "--once"), "none", "does not exist")
    says(refusal("watch", synthetic.path), "terminal", "--once")
    says(refusal("watch", synthetic.path, "--once", "--layer", "thrid"), "thrid")
    assert run_cli("watch", synthetic.path, "--once", "--layer", "sec*").stdout.count(BARS[-1]) > 0


def test_the_time_between_looks_is_a_number(synthetic_path):
    for wrong in ("nan", "inf", "0", "x"):
        says(wrong_usage("watch", synthetic_path, "--every", wrong), "--every")


def test_a_run_is_followed_from_before_it_is_there(tmp_path):
    path = tmp_path / "run"
    watched = Watched(path)
    tells(seen(watched)[0], "waiting", "does not exist")
    growing = Growing(path)
    growing.writer.flush()
    says(seen(watched)[0], "being recorded", "1 layers", "before the first window")
    for number in range(1, 4):
        growing.grow()
        text, read = seen(watched)
        assert read == 1, "each window is read once"
        says(text, "being recorded", f"epoch {number - 1} ", f"window {number}", f"update {2 * number}", "loss 0.5")
    assert seen(watched)[1] == 0
    assert "s left" not in text, "only our trainer says how many epochs there will be"
    growing.writer.close()
    says(seen(watched)[0], "no recording process seen")
    going_on = Growing(path, resume=6)
    going_on.grow()
    text, read = seen(watched)
    assert read == 1
    says(text, "windows 1 to 4 (4 of 4")
    going_on.writer.close()


def test_a_run_that_goes_away_returns_or_begins_anew(tmp_path):
    path, away = tmp_path / "run", tmp_path / "away"
    growing = Growing(path)
    growing.grow()
    growing.writer.close()
    watched = Watched(path)
    says(seen(watched)[0], "no recording process seen")
    path.rename(away)
    tells(seen(watched)[0], "run not readable", "does not exist", "window 1", "10^-3 std")
    away.rename(path)
    text, read = seen(watched)
    assert read == 0, "it is the same window"
    assert "not readable" not in text
    shutil.rmtree(path)
    again = Growing(path)
    again.grow()
    again.grow()
    text, read = seen(watched)
    assert read == 2, "of another run"
    again.writer.close()


def test_time_left_is_told_of_our_own_training(tmp_path):
    growing = Growing(tmp_path, configuration={"network": "resnet20", "dataset": "digits", "epochs": 5})
    growing.grow()
    growing.grow()
    for number in range(3):
        time = window_file(tmp_path, 2).stat().st_mtime + 1000 - 60 * (2 - number)  # no time since the last one
        os.utime(window_file(tmp_path, number), (time, time))
    watched = Watched(tmp_path)
    tells(
        seen(watched)[0],
        "epoch 1 (the first is 0), 2 of 5 done",
        "1 min 0 s a window (file times)",
        "about 3 min 0 s left",
    )
    for _ in range(3):
        growing.grow()
    says(seen(watched)[0], "complete", "5 of 5 done")
    growing.writer.close()
    assert "s left" not in seen(watched)[0]


def test_damage_is_told_once_and_the_rest_is_shown(damaged_path, tmp_path):
    done = run_cli("watch", damaged_path, "--once")
    assert done.exit_code == 1
    assert done.stderr.count("window 1 ") == done.stderr.count("Warning: "), done.stderr
    says(done.stdout, "windows 2 to 4")
    path = synthetic_run(tmp_path / "other").path
    content = bytearray(window_file(path, 4).read_bytes())
    content[open_run(path).windows[-1].file.entries["weight/second"].start] ^= 1
    window_file(path, 4).write_bytes(content)
    watched = Watched(path)
    for _ in range(2):
        text = seen(watched, 100, 30)[0]
        assert text.count("Warning: ") == 1
        tells(text, "window 4 (history/", "weight/second")
    rows = [line for line in text.splitlines() if line.startswith(("first", "second"))]
    assert sum(UNKNOWN in row for row in rows) == 1, "the other layer is shown"


def test_weights_that_are_no_numbers_are_told(tmp_path):
    walk = random_walk((4, 10), 4)
    walk[3:, 0, 0] = float("nan")
    synthetic_run(tmp_path, {"a": walk}, windows=2)
    done = run_cli("watch", tmp_path, "--once")
    says(done.stderr, "1 weights", "layer a", "NaN or infinite", "window 2")


def test_layers_and_windows_are_as_many_as_fit_and_names_stay_distinct(tmp_path):
    walks = {f"module.backbone.layer{at}.conv": random_walk((2, 6), 12, seed=at) for at in range(12)}
    walks |= {
        f"module.backbone.stage.block{at}.convolution": walks[f"module.backbone.layer{at}.conv"] for at in range(2)
    }
    synthetic_run(tmp_path, walks, windows=12)
    watched = Watched(tmp_path)
    says(seen(watched)[0], "(9 of 12; epochs 3 to 11)", "more layers", "--layer", "module.backbone.,", "layer0.conv ")
    rows = [line.split()[0] for line in seen(watched, 120, 40)[0].splitlines() if "█" in line]
    assert len(set(rows)) == len(walks)
    for size in ((80, 12), (40, 8)):
        assert len(screen(watched, *size, 2.0)) <= size[1]
    done = run_cli("watch", tmp_path, "--once")
    for name in walks:
        says(done.stdout, f"\n{name} ")


def test_a_thinned_run_that_is_complete_shows_its_epochs_and_the_times_that_were_logged():
    done = run_cli("watch", CHECKPOINTS / "fashion" / "recu-0", "--once")
    says(done.stdout, "complete", "12 of 12 done", "an epoch (logged", "windows 4, 8 and 12 (3 of 3; epochs 0 to 11)")


def test_bars_and_times():
    assert bars([0.0, 0.5, 1.0, float("nan")], 1.0, 5) == f" {BARS[0]}{BARS[4]}{BARS[7]}{UNKNOWN}"
    assert bars([0.0], 0.0, 1) == BARS[0]
    times = {0.25: "0.25 s", 42.4: "42 s", 135.0: "2 min 15 s", 1500: "25 min", 3599: "1 h 0 min", 3e5: "3.5 days"}
    assert {seconds: duration(seconds) for seconds in times} == times


def test_ctrl_c_leaves_the_terminal_as_it_was(synthetic):
    """On a terminal of its own: the other screen is left, the cursor is back, and the last view stays."""
    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-m", "recu_analysis", "watch", str(synthetic.path), "--every", "30"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
    )
    os.close(theirs)
    text = b""
    try:
        while "windows 1 to 4" not in text.decode(errors="ignore"):
            text += os.read(ours, 4096)
        program.send_signal(signal.SIGINT)
        while True:
            try:
                more = os.read(ours, 4096)
            except OSError:  # as Linux says that nobody has the terminal open
                break
            if not more:
                break
            text += more
        assert program.wait(timeout=30) == 130
    finally:
        program.kill()
        os.close(ours)
    left, entered, after = text.rpartition(b"\x1b[?1049l")
    assert entered
    assert b"\x1b[?1049h" in left
    assert text.rindex(b"\x1b[?25h") > text.rindex(b"\x1b[?25l")
    says(after.decode(), "windows 1 to 4")
    assert "Error" not in after.decode()
    assert max(len(click.unstyle(line)) for line in after.decode().splitlines()) <= 80
