"""Recording on a GPU: the state stays there, and the record equals the CPU's."""

import numpy as np
import pytest
import torch
from torch.nn import functional

import recu_analysis as ra
from recu_analysis.capture.accumulate import CpuAccumulator, DeviceAccumulator
from recu_analysis.capture.accumulator_choice import accumulator, layer_accumulator
from recu_analysis.capture.adapters import binary_layers
from recu_analysis.capture.effective import EffectiveAccumulator
from recu_analysis.nn import build_network
from tests.capture import codebase_layers as codebases
from tests.capture.plain_loops import assert_recorded, tiny

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]


@pytest.mark.parametrize(
    ("shape", "center", "dtype"),
    [
        ((64, 32, 3, 3), True, torch.float32),
        ((16, 3000), False, torch.float32),
        ((6, 1), True, torch.float32),
        ((8, 45), True, torch.float64),
    ],
)
def test_the_kernels_agree(shape, center, dtype):
    torch.manual_seed(0)
    weight = torch.randn(shape, dtype=dtype)
    weight[1] = 0.5
    sums = CpuAccumulator(weight, center=center), accumulator(weight.cuda(), center=center)
    assert isinstance(sums[1], DeviceAccumulator)
    for update in range(1, 21):
        weight = weight + 0.05 * torch.randn(shape, dtype=dtype)
        weight[1] = 0.5
        weight[2] *= update != 7
        sums[0].advance(weight, update)
        sums[1].advance(weight.cuda(), update)
    first, second = (each.take() for each in sums)
    for name in ("weight", "flipped", "flips", "first_flip", "last_flip"):
        np.testing.assert_array_equal(first[name], second[name])
    for name in ("path", "zpath"):
        np.testing.assert_allclose(first[name], second[name], rtol=1e-5)
    assert not second["zpath"].reshape(shape[0], -1)[1].any()


@pytest.mark.parametrize("levels", [2, 3])
def test_an_update_does_not_wait_for_the_device(tmp_path, levels):
    torch.manual_seed(0)
    model = build_network("resnet20", levels=levels).cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    images, labels = torch.randn(32, 3, 32, 32).cuda(), torch.randint(0, 10, (32,)).cuda()
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            functional.cross_entropy(model(images), labels).backward()
            torch.cuda.set_sync_debug_mode("error")
            try:
                optimizer.step()
            finally:
                torch.cuda.set_sync_debug_mode("default")
        recorder.mark(epoch=0)
    run = ra.open_run(tmp_path / "run")
    final = dict(model.named_modules())
    for name in run.layer_names:
        np.testing.assert_array_equal(run.windows[1][name].weight, final[name].weight.detach().cpu().numpy())
        assert (run.windows[1][name].path > 0).any()


def test_an_explicit_effective_weight_is_asked_for_on_the_device():
    torch.manual_seed(0)
    layers = [codebases.rbnn()]
    layers.append(codebases.rbnn().cuda())
    layers[1].load_state_dict(layers[0].state_dict())
    sums = [
        layer_accumulator(found.weight, found.spec, found.effective)
        for found in (binary_layers(layer)[0] for layer in layers)
    ]
    assert all(isinstance(each, EffectiveAccumulator) for each in sums)
    for update in range(1, 11):
        step = 0.05 * torch.randn(layers[0].weight.shape)
        for layer, each in zip(layers, sums, strict=True):
            layer.weight.data += step.to(layer.weight.device)
            each.advance(layer.weight, update)
    first, second = (each.take() for each in sums)
    for name in ("weight", "flipped", "flips"):
        np.testing.assert_array_equal(first[name], second[name])
    np.testing.assert_allclose(first["effective"], second["effective"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("before", "after"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_model_that_moves_while_it_is_recorded_is_followed(tmp_path, before, after):
    model = tiny().to(before)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    generator = torch.Generator().manual_seed(0)
    history = [model[1].weight.detach().cpu().numpy().copy()]
    quantities = ("path", "zpath", "flip_times", "ema", "gradient-stats")
    with ra.record(model, optimizer, tmp_path / "run", quantities=quantities) as recorder:
        for update in range(6):
            if update == 3:
                model.to(after)
            for parameter in model.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter.device)
            optimizer.step()
            history.append(model[1].weight.detach().cpu().numpy().copy())
        recorder.mark()
    assert_recorded(ra.open_run(tmp_path / "run").windows[1]["1"], history)


@pytest.mark.parametrize("fused", [False, True])
def test_skipped_updates_are_not_counted(tmp_path, fused):
    model = tiny().cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, fused=fused)
    scaler = torch.amp.GradScaler("cuda", init_scale=1024.0)
    history = [model[1].weight.detach().cpu().numpy().copy()]
    quantities = ("path", "zpath", "flip_times", "gradient-stats")
    with ra.record(model, optimizer, tmp_path / "run", quantities=quantities) as recorder:
        for update in range(6):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(torch.randn(16, 12).cuda()), torch.arange(16).cuda() % 3)
            scaler.scale(loss).backward()
            if update in {1, 4}:
                model[3].weight.grad[0, 0] = float("inf")
            scaler.step(optimizer)
            scaler.update()
            if update not in {1, 4}:
                history.append(model[1].weight.detach().cpu().numpy().copy())
        recorder.mark()
    record = ra.open_run(tmp_path / "run").windows[1]["1"]
    assert_recorded(record, history)
    np.testing.assert_allclose(record.grad * 0.5, record.path, rtol=1e-3, atol=1e-6)
