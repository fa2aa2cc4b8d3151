"""Benchmarks still fit the package: they are run by hand, and seldom."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from recu_analysis import open_run
from recu_analysis.analysis.distance import COLUMNS
from recu_analysis.training.config import TrainingConfig
from recu_analysis.training.optim import build

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


def test_a_null_is_near_the_truth_of_a_simulated_layer(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    validate_nulls = import_module("benchmarks.validate_nulls")
    process = validate_nulls.PROCESSES["Ornstein-Uhlenbeck"]
    found = validate_nulls.layer(process, 32, np.random.default_rng(0))
    assert found.null == pytest.approx(found.measured, abs=0.1)


def test_the_null_of_flips_of_states_is_near_the_truth_of_a_simulated_layer(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    validate_levels = import_module("benchmarks.validate_levels")
    process = validate_levels.PROCESSES["Ornstein-Uhlenbeck"]
    for quantizer in validate_levels.QUANTIZERS.values():
        true, null = validate_levels.layer(process, quantizer, np.random.default_rng(0))
        for statistic, tolerance in (("flips", 0.03), ("back", 0.03), ("oscillating", 0.03), ("silent", 0.15)):
            assert getattr(null, statistic) == pytest.approx(getattr(true, statistic), rel=tolerance), statistic


def test_noise_in_place_of_gradients_moves_each_channel_by_its_size(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT))
    control = import_module("benchmarks.control")
    config = TrainingConfig(epochs=3, recu=False)
    weights = build(config, 10, torch.device("cpu"))[1].param_groups[0]["params"]
    one_channel = [torch.eye(len(each))[0].reshape(-1, 1, 1, 1) * 5.0 for each in weights]
    control.repeat(tmp_path / "run", config, [[one_channel]])
    run = open_run(tmp_path / "run")
    lr, decay = config.learning_rate(0), config.binary_weight_decay
    for layer in run.layer_names:
        before, after = (window[layer].weight for window in run.windows)
        moved = (after - (1.0 - lr * decay) * before).reshape(len(after), -1)
        assert np.abs(moved[1:]).max() < 1e-6
        assert moved[0].std() == pytest.approx(5.0 * lr, rel=0.2)


def test_a_ratio_that_is_larger_than_in_the_release_is_told(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    ratios, timing = import_module("benchmarks.ratios"), import_module("benchmarks.timing")
    times = {"ours": np.array([2.0, 4.0, 6.0]), "a / plain copy": np.array([1.0, 1.0, 2.0])}
    line = timing.ratio_line(times, "ours", "a / plain copy")
    found = ratios.ratios_of(f"a table, 3 rounds\n  ours   2 ms\n  {line}\n")
    assert found == {"ours / a / plain copy": ratios.Ratio(3.0, 2.5, 3.5)}
    version, before = ratios.recorded(ratios.as_toml("1.2.3", {"kernel": found}))
    assert (version, before) == ("1.2.3", {"kernel": found})
    for middle, told in ((3.0, 0), (3.5, 0), (3.84, 0), (3.86, 1)):
        now = {"kernel": {"ours / a / plain copy": ratios.Ratio(middle, 0.0, 0.0)}}
        assert len(ratios.larger(before, now)) == told, middle
    (gone,) = ratios.larger(before, {"kernel": {}})
    assert "no longer measured" in gone
