"""Several processes: the same numbers to the bit, errors as one sentence, and nothing left when they stop."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recu_analysis import dead_weights, layer_table, open_run
from recu_analysis.analysis.cohorts import cohorts, transitions
from recu_analysis.analysis.compare import compare
from recu_analysis.analysis.differences import curves, statistics_query
from recu_analysis.analysis.distance import channel_sums_query, tails
from recu_analysis.analysis.fits import fit_table
from recu_analysis.analysis.flips import flip_table
from recu_analysis.analysis.magnitude import by_magnitude
from recu_analysis.analysis.measured import measured_tradeoff
from recu_analysis.analysis.parallel import by_layer, processes
from recu_analysis.analysis.selection import WindowSpan
from recu_analysis.errors import DamagedError, InputError
from recu_analysis.testing import random_walk, synthetic_run

ANALYSES = {
    "dead_weights": dead_weights,
    "layer_table": layer_table,
    "tails": tails,
    "flip_table": flip_table,
    "fit_table": fit_table,
    "by_magnitude": by_magnitude,
    "transitions": transitions,
    "cohorts": lambda run: cohorts(run, windows="1:"),
    "measured_tradeoff": measured_tradeoff,
    "sums of claims": lambda run: pd.DataFrame(np.concatenate(channel_sums_query(run, WindowSpan(1, 5)).run())),
    "compare": lambda run: compare({"run": run}),
    "curves": lambda run: curves({"run": run}),
    "differences": lambda run: pd.DataFrame(statistics_query(run, WindowSpan(1, 5), 0.85, None).run()).astype(str),
}


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    shapes = {"a": (4, 3, 3, 3), "b": (8, 40), "c": (3, 50)}
    history = {name: random_walk(shape, 12, seed=len(name)) for name, shape in shapes.items()}
    return synthetic_run(tmp_path_factory.mktemp("parallel") / "run", history).path


def tables(path):
    run = open_run(path)
    return {name: analysis(run) for name, analysis in ANALYSES.items()}


def test_any_number_of_processes_gives_the_same_bits(three):
    expected = tables(three)
    for count in (1, 2, 3):
        with processes(count):
            found = tables(three)
        for name, table in expected.items():
            pd.testing.assert_frame_equal(found[name], table, check_exact=True, obj=name)


def killed(run, spec, argument):
    os.kill(os.getpid(), signal.SIGKILL)


def windows_there(run, spec, argument):
    return [window.number for window in run.windows]


def test_what_goes_wrong_elsewhere_is_one_sentence_here(three):
    run = open_run(three)
    with processes(2):
        with pytest.raises(InputError, match="too few for 200 bins"):
            by_magnitude(run, bins=200)
        with pytest.raises(DamagedError, match="was killed, perhaps for lack of memory; use fewer processes"):
            by_layer(killed, run, run.header.layers, [None] * 3)


def test_processes_see_the_windows_that_the_first_one_saw(three, tmp_path):
    run = open_run(shutil.copytree(three, tmp_path / "run"))
    earlier = replace(run, windows=run.windows[:3])
    with processes(2):
        assert by_layer(windows_there, earlier, run.header.layers, [None] * 3) == [[0, 1, 2]] * 3
        shutil.rmtree(run.path / "history/segment-0000/window-000004")
        with pytest.raises(DamagedError, match="were removed while they were read"):
            by_layer(windows_there, run, run.header.layers, [None] * 3)


def test_no_process_is_no_number_of_them():
    for count, fact in [(0, "needs at least 1 process, not 0"), ("4", "not str '4'"), (2.0, "not float 2.0")]:
        with pytest.raises(InputError, match=fact), processes(count):
            pass


SLOW = """
import rich_click as click
from recu_analysis import open_run
from recu_analysis.analysis.parallel import by_layer
from recu_analysis.cli import options
from tests.analysis.test_parallel import sleep

@click.command()
@options.run_argument
@click.argument("folder")
@options.common
@options.jobs
def command(run, folder):
    layers = open_run(run).header.layers
    by_layer(sleep, open_run(run), layers, [folder] * len(layers))

if __name__ == "__main__":
    command()
"""


def sleep(run, spec, folder):
    Path(folder, spec.name).write_text(str(os.getpid()))
    time.sleep(60)


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_analysis_leaves_no_process(three, tmp_path, number):
    script, folder = tmp_path / "slow.py", tmp_path / "working"
    script.write_text(SLOW)
    folder.mkdir()
    started = subprocess.Popen(
        [sys.executable, script, three, folder, "--jobs", "2"],
        start_new_session=True,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    # A file that has just been made is still empty.
    workers = wait_for(
        lambda: [int(text) for file in folder.iterdir() if (text := file.read_text())], lambda found: len(found) == 2
    )
    assert len(workers) == 2
    # As a terminal does: to the whole group.
    os.killpg(started.pid, number) if number == signal.SIGINT else started.kill()
    errors = started.communicate(timeout=30)[1].decode()
    assert wait_for(lambda: [worker for worker in workers if alive(worker)], lambda left: not left) == []
    if number == signal.SIGINT:
        assert errors == "Error: stopped by Ctrl-C; every written file is complete\n"
        assert started.returncode == 130


def wait_for(value, enough):
    for _ in range(300):
        if enough(found := value()):
            return found
        time.sleep(0.1)
    return found


@pytest.mark.parametrize("count", [1025, 10**10])
def test_far_more_processes_than_cores_are_refused(count):
    with pytest.raises(InputError, match="at most 1024 processes"), processes(count):
        pass
