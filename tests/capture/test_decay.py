"""The recorded map, rule and decay time equal a plain loop over the updates; they are absent where not defined."""

import math

import numpy as np
import pytest
import torch

import recu_analysis as ra
from recu_analysis.analysis.selection import decay_time
from recu_analysis.store.record import merged
from recu_analysis.store.thin import thin
from recu_analysis.store.verify import verify
from recu_analysis.theory.inheritance import UpdateRule
from tests.capture.plain_loops import assert_same_windows, loss_of, sgd, step, tiny
from tests.cli_runner import run_cli

UPDATES, EVERY = 12, 4


def frozen(update):
    """Updates without a gradient of layer 1, of both layers' first update and of a window's."""
    return update in {0, 5, 8}


def plain_map(updates):
    """The map of SGD by a loop over (lr, decay, settings, first) of each update, for a unit of w and a unit of m."""
    columns = []
    for w, m in ((1.0, 0.0), (0.0, 1.0)):
        for lr, decay, settings, first in updates:
            mu, intake = settings.get("momentum", 0.0), 1.0 - settings.get("dampening", 0.0)
            m = decay * w if first else mu * m + intake * decay * w
            w -= lr * (decay * w + mu * m if settings.get("nesterov") else m)
        columns.append((w, m))
    return np.array(columns).T


def trained(path, optimizer_of, stop=None):
    """A training with schedules, in two parameter groups; layer 1 has no gradient in some updates."""
    model = tiny()
    optimizer = optimizer_of(model)
    with_rates = {"1": [], "3": []}
    recorder = ra.record(model, optimizer, path, every=EVERY)
    for update in range(UPDATES):
        if update == stop:
            state = recorder.state_dict()
            recorder.close()
            recorder = ra.record(model, optimizer, path, every=EVERY, state=state)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] / (1 + update)
        optimizer.zero_grad()
        loss_of(model, update).backward()
        if frozen(update):
            model[1].weight.grad = None
        for group, (name, rates) in zip(optimizer.param_groups, with_rates.items(), strict=True):
            first = not any(each[-1] for each in rates)
            rates.append((group["lr"], group["weight_decay"], first, not (name == "1" and frozen(update))))
        optimizer.step()
    recorder.close()
    return ra.open_run(path), with_rates


def two_groups(kind, **settings):
    def optimizer_of(model):
        groups = [
            {"params": [model[1].weight], "lr": 0.5, "initial_lr": 0.5, "weight_decay": 0.1},
            {"params": [*model[2].parameters(), *model[3].parameters()], "initial_lr": 0.3, "weight_decay": 0.02},
        ]
        return kind(groups, lr=0.3, **settings)

    return optimizer_of


@pytest.mark.parametrize(
    "settings",
    [{}, {"momentum": 0.9}, {"momentum": 0.8, "dampening": 0.3}, {"momentum": 0.9, "nesterov": True}],
    ids=str,
)
def test_the_map_and_the_sums_of_sgd_equal_a_plain_loop(tmp_path, settings):
    run, rates = trained(tmp_path / "run", two_groups(torch.optim.SGD, **settings))
    rule = UpdateRule.of("SGD", settings)
    for name, all_updates in rates.items():
        maps = []
        for number, window in enumerate(run.windows[1:]):
            own = all_updates[number * EVERY : (number + 1) * EVERY]
            moved = [(lr, decay, settings, first) for lr, decay, first, gradient in own if gradient]
            summary = window[name].summary
            maps.append(plain_map(moved))
            np.testing.assert_allclose(summary.more["map"], maps[-1], rtol=1e-12, atol=1e-15)
            assert summary.more["rule"] == rule.to_list()
            assert summary.updates == EVERY
            assert summary.lr == pytest.approx(sum(lr for lr, *_ in moved))
            assert summary.more["gradient_updates"] == len(moved)
            assert summary.lr_decay == pytest.approx(sum(lr * decay for lr, decay, *_ in moved))
            assert summary.decay_time == pytest.approx(sum(lr * decay for lr, decay, *_ in moved) * rule.response)
        whole = merged(run.windows[1:], name).summary.more
        np.testing.assert_allclose(whole["map"], maps[2] @ maps[1] @ maps[0], rtol=1e-12)
        assert whole["rule"] == rule.to_list()
        thinned = thin(run, windows=[0, 3], output=tmp_path / f"thin{name}")
        assert thinned.windows[1][name].summary.more == whole
        assert set(verify(thinned)["verdict"]) == {"whole"}


def test_of_adamw_only_the_decay_is_inherited(tmp_path):
    run, rates = trained(tmp_path / "run", two_groups(torch.optim.AdamW))
    for name, all_updates in rates.items():
        left = math.prod(1.0 - lr * decay for lr, decay, _, gradient in all_updates if gradient)
        time = sum(lr * decay for lr, decay, _, gradient in all_updates if gradient)
        summary = merged(run.windows[1:], name).summary
        np.testing.assert_allclose(summary.more["map"], np.diag([left, 1.0]), rtol=1e-12)
        assert summary.decay_time == pytest.approx(time)
        assert "momentum_norm" not in summary.more


class Doubled(torch.optim.SGD):
    """What it does beside the step of SGD, nobody knows."""


@pytest.mark.parametrize(
    ("kind", "settings", "time"),
    [
        (torch.optim.Adam, {}, None),
        (torch.optim.RMSprop, {"momentum": 0.5}, None),
        (torch.optim.NAdam, {"decoupled_weight_decay": True}, 1.0),
        (Doubled, {"momentum": 0.5}, 2.0),
    ],
)
def test_what_is_not_defined_is_absent(tmp_path, kind, settings, time):
    run, rates = trained(tmp_path / "run", two_groups(kind, **settings))
    for name, all_updates in rates.items():
        for window in run.windows[1:]:
            more = window[name].summary.more
            assert not {"map", "rule", "momentum_norm"} & more.keys()
            assert {"norm_start", "norm_end", "lr_radial"} <= more.keys()
        summary = merged(run.windows[1:], name).summary
        moved = sum(lr * decay for lr, decay, _, gradient in all_updates if gradient)
        assert math.isnan(summary.decay_time) if time is None else summary.decay_time == pytest.approx(moved * time)


def test_readers_of_t_survive_a_run_without_it(tmp_path):
    run, _ = trained(tmp_path / "run", two_groups(torch.optim.Adam))
    assert math.isnan(decay_time(run))
    assert set(verify(thin(run, windows=[0, 3], output=tmp_path / "thin"))["verdict"]) == {"whole"}
    for command in (
        ["info"],
        ["verify"],
        ["dead-weights", "--windows", "1:4"],
        ["layers"],
        ["compare", tmp_path / "thin"],
    ):
        name, *others = command
        text = run_cli(name, run.path, *others).stdout
        assert "not known" in text or name not in {"info", "dead-weights"}, text
        assert "not defined for the optimizer" in text or name != "dead-weights", text
    run_cli("report", run.path, "-o", tmp_path / "page.html")


def test_other_settings_within_a_window_have_no_single_rule_but_a_map(tmp_path):
    model = tiny()
    optimizer = sgd(model)
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        for update in range(4):
            optimizer.param_groups[0]["momentum"] = 0.5 + 0.1 * update
            step(model, optimizer, update)
        recorder.mark()
        step(model, optimizer, 4)
        recorder.mark()
    first, second = (window["1"].summary.more for window in ra.open_run(tmp_path / "run").windows[1:])
    wanted = plain_map([(0.5, 0.01, {"momentum": 0.5 + 0.1 * update}, update == 0) for update in range(4)])
    np.testing.assert_allclose(first["map"], wanted, rtol=1e-12)
    assert "rule" not in first
    assert second["rule"] == pytest.approx([0.8, 1.0, 0.0, 1.0, 0.0])


def test_another_optimizer_after_a_resumption_has_another_rule(tmp_path):
    model = tiny()
    for optimizer, resume in ((sgd(model), None), (torch.optim.AdamW(model.parameters()), 2)):
        with ra.record(model, optimizer, tmp_path / "run", resume=resume) as recorder:
            for update in range(2):
                step(model, optimizer, update)
            recorder.mark()
    run = ra.open_run(tmp_path / "run")
    rules = [UpdateRule.from_list(window["1"].summary.more["rule"]).decoupled for window in run.windows[1:]]
    assert rules == [False, True]
    whole = merged(run.windows[1:], "1").summary.more
    assert "rule" not in whole
    assert "map" in whole


def test_a_recording_that_stops_within_a_window_goes_on_bitwise(tmp_path):
    for settings in ({"momentum": 0.9}, {"momentum": 0.8, "dampening": 0.3}):
        paths = [tmp_path / f"{name}{len(settings)}" for name in ("whole", "resumed")]
        for path, stop in zip(paths, (None, 6), strict=True):
            trained(path, two_groups(torch.optim.SGD, **settings), stop)
        assert_same_windows(*paths)


def test_a_map_that_overflows_is_absent(tmp_path):
    model = tiny().double()
    optimizer = torch.optim.SGD([model[1].weight, model[3].weight], lr=1e200, weight_decay=1.0)
    with ra.record(model, optimizer, tmp_path / "run", only=()) as recorder:
        for _ in range(2):
            model[1].weight.grad, model[3].weight.grad = (torch.zeros_like(model[i].weight) for i in (1, 3))
            optimizer.step()
        recorder.mark()
    run = ra.open_run(tmp_path / "run")
    assert not run.problems
    assert "map" not in run.windows[1]["1"].summary.more
