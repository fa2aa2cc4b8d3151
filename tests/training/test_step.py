"""One update: accumulation, bfloat16, channels last and torch.compile against plain autograd; what T counts."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

from recu_analysis.errors import InputError
from recu_analysis.nn import BinaryConv2d, build_network, set_tau
from recu_analysis.store.run import open_run
from recu_analysis.training import loop
from recu_analysis.training.config import TrainingConfig
from recu_analysis.training.data import batches
from recu_analysis.training.distributed import Processes
from recu_analysis.training.loop import train
from recu_analysis.training.step import Step, in_updates

pytestmark = pytest.mark.usefixtures("few_digits")

#: One update of 100 images in batches of 32, 32, 32 and 4.
ONE_UPDATE = {"epochs": 1, "warm_up": 0, "batch_size": 32, "accumulate": 4}


def kept(run_dir, kind):
    """Tensors of a kind in a checkpoint, by their name or number."""
    tensors = load_file(run_dir / "checkpoints/last.safetensors")
    return {name.partition("/")[2]: tensor for name, tensor in tensors.items() if name.startswith(f"{kind}/")}


def plain_gradients(context=None, layout=torch.contiguous_format):
    """Gradient of the mean loss of the 100 images, each batch of its own mean and variance, and the weights."""
    data = loop.load_dataset("digits", None)
    torch.manual_seed(0)
    model = build_network("resnet20").to(memory_format=layout)
    losses = []
    for batch in batches(100, 32, seed=0, epoch=0):
        with context or torch.autocast("cpu", enabled=False):
            logits = model(data.train_images[batch].contiguous(memory_format=layout))
        losses.append(cross_entropy(logits.float(), data.train_labels[batch], reduction="sum"))
    (sum(losses) / 100).backward()
    latent = [module.weight for module in model.modules() if isinstance(module, BinaryConv2d)]
    others = [each for each in model.parameters() if all(each is not weight for weight in latent)]
    return [(each.grad, each.detach(), 1e-2) for each in latent] + [(each.grad, each.detach(), 5e-4) for each in others]


def trained_gradients(run_dir, expected):
    """Gradients of a run's first update: its momentum less the weight decay."""
    momentum = kept(run_dir, "momentum")
    return [momentum[str(index)] - decay * weight for index, (_, weight, decay) in enumerate(expected)]


def largest_difference(ours, theirs):
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, theirs, strict=True))


def assert_recorded_as_checkpointed(run_dir):
    """The last window has the weights of the checkpoint, and paths are those of the one update of each epoch."""
    run, state = open_run(run_dir), kept(run_dir, "model")
    for layer in run.layer_names:
        np.testing.assert_array_equal(run.windows[-1][layer].weight, state[f"{layer}.weight"].numpy())
        for before, after in pairwise(run.windows):
            moved = np.abs(after[layer].weight.astype(float) - before[layer].weight)
            np.testing.assert_allclose(after[layer].path, moved, rtol=1e-6)


def test_accumulated_gradients_are_the_mean_over_all_their_images(tmp_path):
    train(TrainingConfig(**ONE_UPDATE), tmp_path / "run")
    expected = plain_gradients()
    # Rounding: a wrong weight of the short last batch would make tenths.
    assert largest_difference(trained_gradients(tmp_path / "run", expected), [each[0] for each in expected]) < 1e-3


def test_random_signs_change_no_size_of_a_gradient_and_only_binary_weights_are_trained(tmp_path, monkeypatch):
    first, step = {}, torch.optim.SGD.step

    def watched(self, *args, **kwargs):
        first.setdefault(control, [[each.grad for each in group["params"]] for group in self.param_groups])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    for control in ("none", "signs"):
        train(TrainingConfig(epochs=1, batch_size=100, warm_up=0, control=control), tmp_path / control)
    (latent, _), (signed, others) = first["none"], first["signs"]
    assert others == [None] * len(others)
    for ours, theirs in zip(signed, latent, strict=True):
        assert torch.equal(ours.abs(), theirs.abs())
        assert 0.3 < (ours.sign() == theirs.sign()).double().mean() < 0.7


def test_bfloat16_is_that_of_autocast_and_the_weights_stay_float32(tmp_path):
    train(TrainingConfig(**ONE_UPDATE, bfloat16=True), tmp_path / "run")
    expected = plain_gradients(torch.autocast("cpu", torch.bfloat16))
    ours = trained_gradients(tmp_path / "run", expected)
    assert largest_difference(ours, [each[0] for each in expected]) < 5e-4
    assert largest_difference(ours, [each[0] for each in plain_gradients()]) > 1e-3
    assert {tensor.dtype for name, tensor in kept(tmp_path / "run", "model").items() if "num" not in name} == {
        torch.float32
    }


def test_channels_last_reaches_the_network_and_the_recording_stays_right(tmp_path, monkeypatch):
    seen = []

    def watched(self, values):
        seen.append((values.is_contiguous(memory_format=torch.channels_last), self.weight.stride()[1]))
        return forward(self, values)

    forward = torch.nn.Conv2d.forward
    monkeypatch.setattr(torch.nn.Conv2d, "forward", watched)
    train(TrainingConfig(**ONE_UPDATE, channels_last=True), tmp_path / "run")
    assert set(seen) == {(True, 1)}
    expected = plain_gradients(layout=torch.channels_last)
    assert largest_difference(trained_gradients(tmp_path / "run", expected), [each[0] for each in expected]) < 1e-3
    assert_recorded_as_checkpointed(tmp_path / "run")


@pytest.mark.parametrize("fields", [{"optimizer": "sgd"}, {"optimizer": "adam", "lr": 0.01}])
def test_updates_learning_rates_and_t_count_optimizer_steps(tmp_path, fields):
    config = TrainingConfig(epochs=2, warm_up=0, batch_size=32, accumulate=3, schedule="constant", **fields)
    train(config, tmp_path / "run")
    kept_share = 1 - 0.9 if config.optimizer == "sgd" else math.nan  # Adam scales the decay with the gradients
    for number, window in enumerate(open_run(tmp_path / "run").windows[1:]):
        assert (window.first_update, window.last_update) == (2 * number + 1, 2 * number + 2)
        for layer in window.header.layers.values():
            assert layer.updates == 2
            sums = (layer.lr, layer.lr_decay, layer.decay_time)
            wanted = (2 * config.lr, 2e-2 * config.lr, 2e-2 * config.lr / kept_share)
            assert sums == pytest.approx(wanted, nan_ok=True)


def test_the_last_update_has_what_is_left():
    parts = list(in_updates(torch.arange(23).split(5), 2))
    assert [len(part.indices) for part in parts] == [5, 5, 5, 5, 3]
    assert [part.images for part in parts] == [10, 10, 10, 10, 3]
    assert [(part.first, part.last) for part in parts] == [(True, False), (False, True)] * 2 + [(True, True)]
    assert torch.cat([part.indices for part in parts]).tolist() == list(range(23))


# torch's own tracing warns of a use that is none.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_compiled_passes_give_the_same_weights(tmp_path, monkeypatch):
    config = {"epochs": 1, "warm_up": 0, "batch_size": 50}
    train(TrainingConfig(**config), tmp_path / "plain")
    compiled, compile_it = [], torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda model, **more: compiled.append(model) or compile_it(model, backend="eager", **more)
    )
    train(TrainingConfig(**config, compile=True), tmp_path / "run")
    assert len(compiled) == 1
    ours, theirs = kept(tmp_path / "run", "model"), kept(tmp_path / "plain", "model")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    first, second = (open_run(tmp_path / name).header.layers for name in ("run", "plain"))
    assert first == second
    assert all(layer.verified for layer in (*first, *second)), "an example shows what a compiled pass does not"


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_a_compiler_that_fails_is_one_sentence(tmp_path, monkeypatch):
    def broken(graph, inputs):
        raise RuntimeError("no working C++ compiler\nand more")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=broken))
    with pytest.raises(InputError, match=r"torch.compile failed \(.*no working C\+\+ compiler\).*--compile") as caught:
        train(TrainingConfig(epochs=1, warm_up=0, batch_size=50, compile=True), tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()

    # A folder that cannot go, as a link cannot, is left empty, and the sentence is the same.
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(InputError, match=r"torch.compile failed"):
        train(TrainingConfig(epochs=1, warm_up=0, batch_size=50, compile=True), tmp_path / "link")
    assert list((tmp_path / "target").iterdir()) == []


@pytest.mark.faults
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_a_compiler_that_fails_in_a_resumption_deletes_nothing(tmp_path, monkeypatch):
    def broken(graph, inputs):
        raise RuntimeError("no working C++ compiler")

    config, compile_it = TrainingConfig(epochs=1, warm_up=0, batch_size=50, compile=True), torch.compile
    monkeypatch.setattr(torch, "compile", partial(compile_it, backend="eager"))
    train(config, tmp_path / "run", should_stop=lambda: True)
    monkeypatch.setattr(torch, "compile", partial(compile_it, backend=broken))
    with pytest.raises(InputError, match=r"torch.compile failed"):
        train(config, tmp_path / "run", resume=True)
    assert not open_run(tmp_path / "run").problems
    assert (tmp_path / "run/history/segment-0000/window-000001").is_dir()


def trained_in_double(config, device):
    """Weights after eight updates with real digits, in float64: there rounding turns no sign."""
    torch.manual_seed(0)
    model = build_network("resnet20").to(device, torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    data = loop.load_dataset("digits", None)
    step = Step(config, model, optimizer, Processes(0, 1, torch.device(device)), 0, lambda images: images.double())
    for part in in_updates(list(batches(100, 25, seed=0, epoch=0)) * 2 * config.accumulate, config.accumulate):
        set_tau(model, 0.85 + 0.01 * step.update)
        step(part, (data.train_images[part.indices], data.train_labels[part.indices]))
    assert step.update == 8
    return [parameter.detach().cpu() for parameter in model.parameters()]


ON_A_GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]
COMPILED = [pytest.mark.extras, pytest.mark.skipif(not shutil.which("c++"), reason="needs a C++ compiler")]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("device", [pytest.param("cpu", marks=COMPILED), pytest.param("cuda", marks=ON_A_GPU)])
def test_compiled_passes_train_as_others(device, accumulate):
    config = TrainingConfig(epochs=1, warm_up=0, batch_size=25, accumulate=accumulate, device=device)
    plain, compiled = (trained_in_double(replace(config, compile=on), device) for on in (False, True))
    for one, other in zip(plain, compiled, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("mask", ["clamped", "random"])
def test_a_training_compiled_for_a_gpu_is_recorded(tmp_path, mask):
    config = TrainingConfig(epochs=6, warm_up=0, batch_size=100, device="cuda", compile=True, mask=mask)
    train(config, tmp_path / "run")
    assert_recorded_as_checkpointed(tmp_path / "run")
