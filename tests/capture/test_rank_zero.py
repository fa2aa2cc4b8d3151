"""Two processes train one model in their own loop: rank 0 records what both did, the other makes the same calls."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import recu_analysis as ra
from tests.capture.plain_loops import assert_recorded

REPOSITORY = Path(__file__).parents[2]
SCRIPT = """
import sys
from pathlib import Path

import numpy as np
import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.tensor import Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

import recu_analysis as ra
from recu_analysis.errors import NoBinaryLayersError, RecorderError
from tests.capture.plain_loops import loss_of, sgd, tiny, weights


class Ternary(nn.Linear):
    def forward(self, x):
        value = (self.weight / self.weight.abs().mean()).round().clamp(-1, 1)
        return nn.functional.linear(x, self.weight + (value - self.weight).detach())


def wrapped(model):
    return FullyShardedDataParallel(model, use_orig_params=True, device_id=torch.device("cpu"))


def split(model):
    mesh = init_device_mesh("cpu", (2,))
    weight = distribute_tensor(model[1].weight.detach(), mesh, [Shard(0)])
    model[1].weight = nn.Parameter(weight)
    return model


torch.set_num_threads(1)
distributed.init_process_group("gloo")
rank, out = distributed.get_rank(), Path(sys.argv[1])

plain = tiny(seed=rank)  # DDP gives all the weights of rank 0
model = DistributedDataParallel(plain)
optimizer = sgd(model)
history, seen = [weights(plain)], []
quantities = ("path", "zpath", "flip_times", "grad")
recorder = ra.record(model, optimizer, out / "run", every=4, quantities=quantities)
for update in range(10):
    optimizer.zero_grad()
    loss_of(model, 10 * update + rank).backward()
    optimizer.step()
    history.append(weights(plain))
    if recorder.update == 6:
        state = recorder.state_dict()
        recorder.close()
        distributed.barrier()
        recorder = ra.record(model, optimizer, out / "run", every=4, quantities=quantities, state=state)
    seen.append(recorder.update)
recorder.mark(epoch=0)
recorder.flush()
recorder.close()
np.savez(out / f"{rank}.npz", first=recorder.window_bytes > 0, seen=seen, **{
    name: np.stack([each[name] for each in history]) for name in ("1", "3")
})
refused = ""
try:
    ra.record(nn.Linear(2, 2), optimizer, out / "none")
except NoBinaryLayersError as error:
    refused = str(error)
(out / f"{rank}.txt").write_text(refused)
for name, shard in {"fsdp1": wrapped, "tensor": split}.items():
    model = shard(tiny())
    try:
        ra.record(model, torch.optim.SGD(model.parameters()), out / name)
    except RecorderError as error:
        (out / f"{name}-{rank}.txt").write_text(str(error))
model = DistributedDataParallel(nn.Sequential(Ternary(12, 4)))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
ra.record(model, optimizer, out / "ternary", layers=["0"])
model(torch.randn(4, 12)).sum().backward()
try:
    optimizer.step()
except RecorderError as error:
    (out / f"ternary-{rank}.txt").write_text(str(error))
distributed.destroy_process_group()
"""


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """The folder in which two processes have run the script."""
    out = tmp_path_factory.mktemp("ranks")
    (out / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    subprocess.run([*command, str(out / "script.py"), str(out)], check=True, timeout=120, env=environment)
    return out


def test_rank_0_records_the_training_of_both(two_ranks):
    run = ra.open_run(two_ranks / "run")
    history = np.load(two_ranks / "0.npz")
    assert run.layer_names == ["1", "3"]
    assert [window.last_update for window in run.windows] == [0, 4, 8, 10]
    assert run.metrics["epoch"].tolist() == [0]
    for window in run.windows[1:]:
        for layer in run.layer_names:
            states = history[layer][window.first_update - 1 : window.last_update + 1]
            assert_recorded(window[layer], states, first_update=window.first_update)
            assert window[layer].grad.any()


def test_the_other_process_counts_the_same_updates_and_writes_nothing(two_ranks):
    first, second = (np.load(two_ranks / f"{rank}.npz") for rank in (0, 1))
    assert (bool(first["first"]), bool(second["first"])) == (True, False)
    assert first["seen"].tolist() == second["seen"].tolist() == list(range(1, 11))
    np.testing.assert_array_equal(first["1"], second["1"])
    assert len(ra.open_run(two_ranks / "run").segments) == 2, "the two of rank 0"


def test_a_model_that_cannot_be_recorded_is_refused_in_every_process(two_ranks):
    assert all("no binary layer was recognized in Linear" in (two_ranks / f"{rank}.txt").read_text() for rank in (0, 1))


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("fsdp1", r"module '\(itself\)' is wrapped by FullyShardedDataParallel"),
        ("tensor", "parameter '1.weight' is a shard"),
    ],
)
def test_shards_are_refused_in_every_process(two_ranks, kind, what):
    for rank in (0, 1):
        text = (two_ranks / f"{kind}-{rank}.txt").read_text()
        assert re.match(f"sharded weights.*{what}", text)
    assert not (two_ranks / kind).exists()


def test_a_layer_that_uses_other_states_is_refused_in_every_process(two_ranks):
    texts = [(two_ranks / f"ternary-{rank}.txt").read_text() for rank in (0, 1)]
    assert texts[0] == texts[1]
    assert "three values per channel" in texts[0]
    assert len(ra.open_run(two_ranks / "ternary").problems) == 1
