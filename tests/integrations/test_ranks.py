"""Two real processes train with a library that starts them: the first one records, once, what both did."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import recu_analysis as ra
from recu_analysis.store.verify import DAMAGE, verify
from tests.capture.plain_loops import assert_recorded

pytestmark = pytest.mark.extras
SCRIPT = Path(__file__).with_name("two_ranks.py")
STEPS = 3  # 24 images in batches of 4 by two processes
LAYERS = {"accelerate": "net.1", "lightning": "network.net.1", "transformers": "net.1"}


def train(library, out, epochs, resume="anew"):
    """Both processes to the end of an epoch; the weights that each had after every update."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[2]), "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
    arguments = [str(SCRIPT), library, str(out), str(epochs), resume]
    done = subprocess.run([*command, *arguments], env=environment, timeout=180, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-20000:]  # torchrun ends it with a summary that does not tell the cause
    return [np.load(out / f"{epochs}-{rank}.npy") for rank in (0, 1)]


@pytest.mark.parametrize("library", LAYERS)
def test_the_first_process_records_the_training_of_both_and_goes_on_with_it(tmp_path, library):
    first, second = train(library, tmp_path, 2)
    np.testing.assert_array_equal(first, second)
    resumed, _ = train(library, tmp_path, 3, "resume")
    history = np.concatenate([first, resumed[-STEPS:]])
    run, layer = ra.open_run(tmp_path / "run"), LAYERS[library]
    assert run.layer_names == [layer]
    assert [window.last_update for window in run.windows] == [0, 3, 6, 9]
    assert not any(window.partial for window in run.windows)
    assert run.metrics["epoch"].tolist() == [0, 1, 2]
    assert len(run.segments) == 2, "one a training, none of the other process"
    for window in run.windows[1:]:
        states = history[window.first_update - 1 : window.last_update + 1]
        assert_recorded(window[layer], states, first_update=window.first_update)
    assert run.windows[-1][layer].flips.any()
    assert not set(verify(run.path)["verdict"]) & set(DAMAGE)
