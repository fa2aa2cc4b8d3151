"""The rates of windows: recorded, from run.json, inferred from old runs, and refused."""

import math

import numpy as np
import pytest
import torch

import recu_analysis as ra
from recu_analysis.analysis.rates import kept_part, rates
from recu_analysis.errors import InputError
from recu_analysis.nn import BinaryLinear
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.inheritance import UpdateRule
from tests.editing import edit_run
from tests.messages import says

WALK = {"a": random_walk((4, 30), 8)}


def of(run):
    """The windows with updates, and the rates of layer a."""
    windows = run.windows[1:]
    return windows, rates(run, windows, "a")


def test_an_old_run_of_sgd_has_the_momentum_that_its_decay_time_tells(tmp_path):
    run = ra.open_run(synthetic_run(tmp_path / "run", WALK, decay_time=0.02, momentum=0.9).path)
    windows, found = of(run)
    for window, each in zip(windows, found, strict=True):
        assert each.rule == UpdateRule(pytest.approx(0.9))
        assert (each.lr, each.weight_decay, each.updates) == (pytest.approx(0.1), pytest.approx(0.02), window.updates)
    assert kept_part(run, windows, "a") == pytest.approx(
        np.linalg.matrix_power(UpdateRule(0.9).matrix(0.1, 0.02), 8)[0, 0], rel=1e-6
    )
    assert kept_part(run, [], "a") == 1.0


@pytest.mark.parametrize(
    ("optimizers", "rule"),
    [
        (
            [{"class": "torch.optim.sgd.SGD", "groups": [{"momentum": 0.8, "nesterov": True}]}],
            UpdateRule(0.8, 1, 1, 0.8),
        ),
        (
            [{"class": "torch.optim.adamw.AdamW", "groups": [{"betas": [0.5, 0.9]}]}],
            UpdateRule(0.5, 0.5, decoupled=True),
        ),
        ([{"class": "SGD", "groups": [{"momentum": 0.8}, {"momentum": 0.9}]}], "different momentum"),
        ([{"class": "torch.optim.adam.Adam", "groups": [{"weight_decay": 0.1}]}], "use AdamW"),
        ([{"class": "my.Lion", "groups": [{}]}], "not for 'Lion'"),
        ([{"groups": 3}], "does not tell the settings"),
    ],
)
def test_without_recorded_rules_run_json_names_the_optimizer(tmp_path, optimizers, rule):
    path = synthetic_run(tmp_path / "run", WALK).path
    edit_run(path, environment={"optimizers": optimizers})
    run = ra.open_run(path)
    if isinstance(rule, UpdateRule):
        assert of(run)[1][0].rule == rule
        return
    with pytest.raises(InputError) as refused:
        of(run)
    says(str(refused.value), rule)


def test_updates_without_a_gradient_have_no_part_in_the_rates(tmp_path):
    """Against a plain loop: PyTorch changes nothing where the gradient is None. The second layer never has one."""
    model = torch.nn.Sequential(BinaryLinear(6, 16, bias=False), BinaryLinear(16, 4, bias=False))
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9, lr=0.1, weight_decay=0.01)
    seen, matrix = [], np.eye(2)
    with ra.record(model, optimizer, tmp_path / "run", every=10):
        for update in range(30):
            rate, decay = 0.1 / (1 + update), 0.01 * (1 + update % 3)
            optimizer.param_groups[0].update(lr=rate, weight_decay=decay)
            for layer in model:
                layer.weight.grad = None
            if update % 4 and update < 20:
                model[0].weight.grad = torch.randn(16, 6)
                seen.append((update // 10, rate, decay))
                matrix = UpdateRule(0.9).matrix(rate, decay, first=update == 1) @ matrix
            optimizer.step()
    run = ra.open_run(tmp_path / "run")
    for number, found in enumerate(rates(run, run.windows[1:], "0")):
        own = [(rate, decay) for window, rate, decay in seen if window == number]
        total = sum(rate for rate, _ in own)
        assert found.updates == len(own)
        assert found.lr * len(own) == pytest.approx(total)
        assert found.weight_decay * total == pytest.approx(sum(rate * decay for rate, decay in own))
    assert kept_part(run, run.windows[1:], "0") == pytest.approx(matrix[0, 0], rel=1e-12)
    assert [each.updates for each in rates(run, run.windows[1:], "1")] == [0, 0, 0]
    assert kept_part(run, run.windows[1:], "1") == 1.0
    table = ra.dead_weights(run, windows=":").set_index("layer")
    assert 0.0 < table.loc["0", "mobility_core_null"] < 1.0
    assert np.isnan(table.loc["1", "silent_fraction_null"])
    assert table["autocorrelation_null"].tolist() == pytest.approx([matrix[0, 0], 1.0], rel=0.5)


def test_what_cannot_be_known_is_refused(tmp_path):
    for name, options, words in (
        ("imported", {"exact": False}, "imported from checkpoints"),
        ("undecayed", {"decay_time": 0.0}, "no weight decay"),
    ):
        run = ra.open_run(synthetic_run(tmp_path / name, WALK, **options).path)
        with pytest.raises(InputError) as refused:
            of(run)
        says(str(refused.value), words)
    imported = ra.open_run(tmp_path / "imported")
    assert math.isnan(kept_part(imported, imported.windows[1:], "a"))


@pytest.mark.parametrize("known", [True, False])
def test_a_recording_of_today_has_its_rule_or_refuses(tmp_path, known):
    """An optimizer of one's own has no rule, whatever its settings are called."""
    model = torch.nn.Sequential(BinaryLinear(6, 4, bias=False))
    kind = torch.optim.SGD if known else type("Mine", (torch.optim.SGD,), {})
    optimizer = kind(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(5, 6)).square().sum().backward()
            optimizer.step()
        recorder.mark(epoch=0)
    run = ra.open_run(tmp_path / "run")
    windows = run.windows[1:]
    if known:
        (found,) = rates(run, windows, run.layer_names[0])
        assert found.rule == UpdateRule(0.9)
        step = UpdateRule(0.9).matrix(0.1, 0.01) @ UpdateRule(0.9).matrix(0.1, 0.01)
        first = UpdateRule(0.9).matrix(0.1, 0.01, first=True)
        assert kept_part(run, windows, run.layer_names[0]) == pytest.approx((step @ first)[0, 0], rel=1e-12)
        return
    with pytest.raises(InputError, match="update is not known"):
        rates(run, windows, run.layer_names[0])
