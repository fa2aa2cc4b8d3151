"""Benchmarks still fit the package: they are run by hand, and seldom."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from recu_analysis.analysis.distance import COLUMNS
from recu_analysis.theory.equilibrium import steps_between
from recu_analysis.theory.inheritance import UpdateRule
from recu_analysis.theory.noise import Rates

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py")))
def test_a_benchmark_is_there(name, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    assert import_module(f"benchmarks.{name}").__doc__


@pytest.mark.faults
def test_the_verdicts_on_every_shipped_arm_are_those_of_the_page_and_no_thinning_makes_another(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    benchmark = import_module("benchmarks.claims")
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for name, runs, baseline in benchmark.shipped():
        found = benchmark.verdicts(runs, baseline)
        assert benchmark.others(found) == [], name
        assert benchmark.line(name, found) in page


def test_a_simulated_layer_has_the_sums_of_its_channels(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    validate_ratios = import_module("benchmarks.validate_ratios")
    sums = validate_ratios.sums_of(np.random.default_rng(0), 10, 0.6)
    columns = [COLUMNS["weights_tail"], COLUMNS["weights_core"]]
    assert sums[:, columns].sum(axis=1).tolist() == [validate_ratios.WEIGHTS] * 10


def test_norms_at_both_ends_give_the_same_step_by_epoch_as_by_window(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    movement = import_module("benchmarks.movement")
    rule, lr, decay, ends = UpdateRule(0.9), 0.05, 2e-3, (20.0, 18.0)
    parts = [Rates(rule, lr, decay, updates) for updates in (400, 600)]
    assert movement.steps_over(parts, *ends) == pytest.approx(steps_between(rule, lr, decay, 1000, *ends), rel=1e-3)
    assert np.isnan(movement.steps_over(parts, 20.0, 20.0 * np.exp(-2e-4 * 5 * 1000)))  # decay alone


def test_a_null_is_near_the_truth_of_a_simulated_layer(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    validate_nulls = import_module("benchmarks.validate_nulls")
    process = validate_nulls.PROCESSES["Ornstein-Uhlenbeck"]
    found = validate_nulls.layer(process, 32, np.random.default_rng(0))
    assert found.null == pytest.approx(found.measured, abs=0.1)
