"""Several processes: torchrun on two of them against one process that takes both shares; and what a single one sees."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

from recu_analysis.errors import InputError
from recu_analysis.nn import BinaryConv2d, build_network
from recu_analysis.store.run import open_run
from recu_analysis.training import loop
from recu_analysis.training.data import batches
from recu_analysis.training.distributed import Processes, process_group
from tests.messages import says

#: What each of the two processes does; rank 1 alone asks to stop, and rank 1 alone meets a NaN.
SCRIPT = """
import json, math, os, sys
from pathlib import Path

import torch

from recu_analysis.errors import RecuError
from recu_analysis.training import loop
from recu_analysis.training.config import TrainingConfig
from recu_analysis.training.data import Dataset, load_dataset

torch.set_num_threads(1)
out, rank = Path(sys.argv[1]), int(os.environ["RANK"])
whole = load_dataset("digits")
images, ended = whole.train_images[:100].clone(), {}

def data(*_):
    return Dataset(images, whole.train_labels[:100], whole.val_images[:40], whole.val_labels[:40], classes=10)

def run(name, resume=False, should_stop=lambda: False, **fields):
    told = []
    config = TrainingConfig(**{"epochs": 1, "warm_up": 0, "batch_size": 32} | fields)
    try:
        result = loop.train(config, out / name, resume=resume, should_stop=should_stop, on_batch=told.append)
        ended[name] = [result.epochs, result.stopped, result.val_top1, result.first, len(told)]
    except RecuError as error:
        ended[name] = str(error)

loop.load_dataset = data
run("even", batch_size=100)
run("uneven", batch_size=33, accumulate=4)
calls = iter(range(1, 100))
run("parts", epochs=2, should_stop=lambda: rank == 1 and next(calls) == 6)
ended["stopped"] = ended["parts"]
run("parts", epochs=2, resume=True)
run("whole", epochs=2)
run("small", batch_size=3)
if rank == 1:
    images.fill_(math.nan)
run("nan")
(out / f"{rank}.json").write_text(json.dumps(ended))
"""

#: On a loaded machine, a thread of PyTorch's Gloo now and then outlives its process group and aborts the process.
GLOO_ABORTS = "terminate called without an active exception"


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """The folder in which two processes have run the script, and what each of them says."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for _ in range(3):
        out = tmp_path_factory.mktemp("distributed")
        (out / "script.py").write_text(SCRIPT)
        done = subprocess.run(
            [*command, str(out / "script.py"), str(out)],
            timeout=300,
            capture_output=True,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        if GLOO_ABORTS not in done.stderr:
            break
    assert done.returncode == 0, done.stderr[-4000:]
    return out, [json.loads((out / f"{rank}.json").read_text()) for rank in (0, 1)]


def rank_gradients(batch_size):
    """In one process: the gradients of each rank's mean loss, its images, the weights and their decay."""
    data = loop.load_dataset("digits", None)
    torch.manual_seed(0)
    model = build_network("resnet20")
    latent = [module.weight for module in model.modules() if isinstance(module, BinaryConv2d)]
    others = [each for each in model.parameters() if all(each is not weight for weight in latent)]
    gradients = []
    for batch in batches(100, batch_size, seed=0, epoch=0):
        for share in (batch[0::2], batch[1::2]) if len(batch) >= 4 else ():
            loss = cross_entropy(model(data.train_images[share]), data.train_labels[share])
            gradients.append((len(share), torch.autograd.grad(loss, [*latent, *others])))
    return gradients, [(each.detach(), 1e-2) for each in latent] + [(each.detach(), 5e-4) for each in others]


@pytest.mark.usefixtures("few_digits")
@pytest.mark.parametrize(
    ("name", "batch_size", "shares", "tolerance"),
    # Three batches, each loss scaled, round differently; equal weights for unequal shares would be 4e-2 off.
    [("even", 100, [50, 50], 1e-6), ("uneven", 33, [17, 16] * 3, 1e-5)],
)
def test_the_gradient_is_the_mean_of_those_of_the_ranks(two_processes, name, batch_size, shares, tolerance):
    gradients, parameters = rank_gradients(batch_size)
    # 33 images: 17 and 16; a last batch of one image is left out.
    assert [images for images, _ in gradients] == shares
    means = [sum(n * each[index] for n, each in gradients) / sum(shares) for index in range(len(parameters))]
    largest = max(float(mean.abs().max()) for mean in means)
    momentum = load_file(two_processes[0] / name / "checkpoints/last.safetensors")
    for index, (mean, (weight, decay)) in enumerate(zip(means, parameters, strict=True)):
        # After the only update the momentum is the gradient and the weight decay.
        ours, expected = momentum[f"momentum/{index}"], mean + decay * weight
        torch.testing.assert_close(ours, expected, rtol=0.0, atol=tolerance * largest)


def test_only_the_first_process_records_and_talks(two_processes):
    out, (first, second) = two_processes
    for name in ("even", "whole"):
        run = open_run(out / name)
        assert not run.problems
        assert [path.name for path in (out / name / "history").iterdir()] == ["segment-0000"]
        assert first[name][:3] == second[name][:3]
        assert (first[name][3], second[name][3]) == (True, False)
    assert (first["whole"][4], second["whole"][4]) == (8, 0)
    assert open_run(out / "whole").metrics["update"].tolist() == [4, 8]


def test_one_that_is_asked_to_stop_stops_all_and_all_resume(two_processes):
    out, (first, second) = two_processes
    assert first["stopped"][:2] == second["stopped"][:2] == [1, True]
    assert first["parts"][:2] == second["parts"][:2] == [2, False]
    parts, whole = open_run(out / "parts"), open_run(out / "whole")
    assert [window.last_update for window in parts.windows] == [0, 4, 8]
    for layer in whole.layer_names:
        assert parts.windows[2][layer].weight.tobytes() == whole.windows[2][layer].weight.tobytes()


def test_a_nan_in_one_stops_all_at_that_update(two_processes):
    out, ended = two_processes
    (said,) = {each["nan"] for each in ended}
    says(said, "nan at update 1", "learning rate below 0.1")
    assert [window.last_update for window in open_run(out / "nan").windows] == [0]


def test_too_small_batches_are_refused(two_processes):
    for each in two_processes[1]:
        says(each["small"], "2 images in each of the 2 processes", "at least 4, not 3")
    assert not (two_processes[0] / "small").exists()


def test_a_single_process_is_left_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with process_group("cpu") as ours:
        assert (ours.rank, ours.count, ours.first) == (0, 1, True)
        with ours.own_draws(0, 1):
            assert torch.equal(torch.rand(3), expected)
        assert ours.share(torch.arange(5)).tolist() == [0, 1, 2, 3, 4]
        assert ours.total([1.5, 2.0]) == [1.5, 2.0]


def test_processes_draw_differently_within_and_alike_after():
    two = [Processes(rank, 2, torch.device("cpu")) for rank in (0, 1)]
    within, after = [], []
    for each in two:
        torch.manual_seed(7)
        with each.own_draws(3, 1, 4):
            within.append(torch.rand(each.rank + 2).tolist())
        after.append(torch.rand(1).item())
    assert within[0] != within[1][:2]
    assert after[0] == after[1]
    assert sorted(torch.cat([each.share(torch.arange(7)) for each in two]).tolist()) == list(range(7))


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"WORLD_SIZE": "two"}, r"WORLD_SIZE.*whole number, not 'two'"),
        ({"WORLD_SIZE": "2"}, r"RANK.*torchrun"),
    ],
)
def test_an_environment_that_is_not_torchruns_is_one_sentence(monkeypatch, environment, text):
    monkeypatch.delenv("RANK", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=text), process_group("cpu"):
        pass


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without CUDA")
def test_without_cuda_auto_is_the_cpu_and_cuda_is_refused():
    with process_group("auto") as ours:
        assert ours.device == torch.device("cpu")
    with pytest.raises(InputError, match="no CUDA device on this machine"), process_group("cuda"):
        pass
