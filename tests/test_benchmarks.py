"""Benchmarks still fit the package: they are run by hand, and seldom."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from recu_analysis.analysis.distance import COLUMNS

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py")))
def test_a_benchmark_is_there(name, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    assert import_module(f"benchmarks.{name}").__doc__


def test_a_simulated_layer_has_the_sums_of_its_channels(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    validate_ratios = import_module("benchmarks.validate_ratios")
    sums = validate_ratios.sums_of(np.random.default_rng(0), 10, 0.6)
    columns = [COLUMNS["weights_tail"], COLUMNS["weights_core"]]
    assert sums[:, columns].sum(axis=1).tolist() == [validate_ratios.WEIGHTS] * 10


def test_a_null_is_near_the_truth_of_a_simulated_layer(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    validate_nulls = import_module("benchmarks.validate_nulls")
    process = validate_nulls.PROCESSES["Ornstein-Uhlenbeck"]
    found = validate_nulls.layer(process, 32, np.random.default_rng(0))
    assert found.null == pytest.approx(found.measured, abs=0.1)
