"""Norms of weights and momentum, and gradients along the weights, equal a plain float64 loop."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.amp import GradScaler

import recu_analysis as ra
from recu_analysis.capture import norms
from recu_analysis.nn import BinaryLinear
from recu_analysis.store.record import merged
from tests.capture.plain_loops import sgd

UPDATES, EVERY = 12, 4


def network(center):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), BinaryLinear(12, 8, bias=False, center=center))


def plain(values, center):
    """Float64 numpy, without the mean of each row if `center`."""
    rows = values.detach().double().numpy().copy()
    return rows - rows.mean(axis=1, keepdims=True) if center else rows


def loss_of(model, update):
    generator = torch.Generator().manual_seed(update)
    return (model(torch.randn(16, 12, generator=generator)) * torch.randn(16, 8, generator=generator)).sum()


def gradients_of(model, optimizer, update, parts=1):
    optimizer.zero_grad()
    for part in range(parts):
        loss_of(model, update + 100 * part).backward()
    return model[1].weight.grad.double().numpy().copy()


def make_step(way, model, optimizer, scaler, update):
    """Make one update and return its gradient."""
    gradient = gradients_of(model, optimizer, update, parts=3 if way == "accumulation" else 1)
    if way == "closure":
        optimizer.zero_grad()
        optimizer.step(lambda: loss_of(model, update).backward())
    elif scaler:
        optimizer.zero_grad()
        scaler.scale(loss_of(model, update)).backward()
        scaler.step(optimizer)
        scaler.update()
    elif way == "sparse":
        model[1].weight.grad = model[1].weight.grad.to_sparse()
        optimizer.step()
    else:
        optimizer.step()
    return gradient


WAYS = ["plain", "not centered", "accumulation", "closure", "fused and scaled", "maximize", "sparse", "AdamW"]


@pytest.mark.parametrize("way", WAYS)
def test_all_equal_a_plain_loop(tmp_path, way):
    model, center = network(way != "not centered"), way != "not centered"
    more = {"fused and scaled": {"fused": True}, "maximize": {"maximize": True}}.get(way, {})
    if way == "AdamW":
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    elif way == "sparse":
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    else:
        optimizer = sgd(model, lr=0.1, nesterov=way == "plain", **more)
    scaler = GradScaler("cpu", init_scale=1024.0) if "scaled" in way else None
    weight, wanted = model[1].weight, []
    with ra.record(model, optimizer, tmp_path / "run", every=EVERY):
        for update in range(UPDATES):
            before = plain(weight, center)
            if update % EVERY == 0:
                buffer = optimizer.state[weight].get("momentum_buffer") if update else None
                momentum = 0.0 if buffer is None else np.linalg.norm(plain(buffer, center))
                start, radial = np.linalg.norm(before), 0.0
            optimizer.param_groups[0]["lr"] = 0.1 / (1 + update)
            gradient = make_step(way, model, optimizer, scaler, update)
            sign = -1.0 if way == "maximize" else 1.0
            radial += sign * optimizer.param_groups[0]["lr"] * (before * gradient).sum() / (before**2).sum()
            if update % EVERY == EVERY - 1:
                wanted.append((start, np.linalg.norm(plain(weight, center)), momentum, radial))
    run = ra.open_run(tmp_path / "run")
    for window, expected in zip(run.windows[1:], wanted, strict=True):
        found = window["1"].summary.more
        names = ("norm_start", "norm_end", "lr_radial")
        np.testing.assert_allclose([found[name] for name in names], [*expected[:2], expected[3]], rtol=1e-6, atol=1e-9)
        if way == "AdamW":
            assert "momentum_norm" not in found
        else:
            assert found["momentum_norm"] == pytest.approx(expected[2], rel=1e-9)
    whole = merged(run.windows[1:], "1").summary.more
    assert (whole["norm_start"], whole["norm_end"]) == pytest.approx((wanted[0][0], wanted[-1][1]))
    assert whole["lr_radial"] == pytest.approx(sum(each[3] for each in wanted), rel=1e-6)
    assert abs(wanted[0][3]) > 1e-9, "a test without gradients along the weights would say nothing"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("center", [False, True])
def test_both_kernels_have_the_numbers_of_numpy(dtype, center):
    generator = torch.Generator().manual_seed(2)
    weight = (torch.randn(5, 3, 4, generator=generator) + 2.0).to(dtype)
    gradient = torch.randn(3, 5, 4, generator=generator).to(dtype).transpose(0, 1)
    rows, given = (plain(each.reshape(5, 12), center) for each in (weight, gradient))
    wanted = 0.3 * (rows * given).sum() / (rows**2).sum()
    found = norms.Norms(center, 0.0).along(weight.requires_grad_(), gradient, None, 0.3)
    along, length = norms._products_on_device(weight, gradient, center)
    assert found == pytest.approx(wanted, rel=1e-12)
    assert float(0.3 * along / length) == pytest.approx(wanted, rel=1e-12 if dtype == torch.float64 else 1e-4)
    assert norms.norm(weight, center=center) == pytest.approx(np.linalg.norm(rows), rel=1e-12)


def test_a_device_adds_in_float64_and_goes_on_bitwise():
    whole, halves = (norms.Norms(True, 1.0) for _ in range(2))
    for update in range(6):
        part = torch.tensor(1.0 / (3 + update))  # float32, as on a GPU
        whole.add(part)
        halves.add(part)
        if update == 2:
            state, halves = halves.tensor(), norms.Norms(True, 1.0)
            halves.load(state)
    assert torch.equal(whole.tensor()[2], halves.tensor()[2])
    assert float(whole.radial) == pytest.approx(sum(float(np.float32(1.0 / (3 + n))) for n in range(6)), rel=1e-15)


def test_weights_that_are_not_finite_or_all_equal_have_what_can_be_said(tmp_path):
    for number, value in enumerate((math.nan, 0.25)):
        model = network(center=True)
        optimizer = sgd(model)
        with torch.no_grad():
            model[1].weight.fill_(value)
        with ra.record(model, optimizer, tmp_path / str(number)) as recorder:
            model[1].weight.grad = torch.ones(8, 12)
            optimizer.step()
            recorder.mark()
        run = ra.open_run(tmp_path / str(number))
        assert not run.problems
        more = run.windows[1]["1"].summary.more
        assert more.get("norm_start") == (None if math.isnan(value) else 0.0)
        assert "lr_radial" not in more
