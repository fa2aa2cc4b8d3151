"""Survival and hazard on the clock T, against a plain loop over weights and updates, and of noise against its null."""

from pathlib import Path

import numpy as np
import pytest
import torch

import recu_analysis as ra
from recu_analysis.errors import InputError, NotRecordedError
from recu_analysis.nn.layers import BinaryLinear
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.inheritance import UpdateRule
from recu_analysis.theory.standardize import WeightTransform, standard_scores
from tests.analysis.test_cohorts import tail

TRAINED = Path(__file__).parents[2] / "checkpoints" / "mask" / "baseline"


def test_survival_and_hazard_are_those_of_a_loop(run, synthetic):
    table = ra.survival(run, windows="2:5", spans=5).set_index(["layer", "group"])
    start = synthetic.marks[1]
    for name, walk in synthetic.history.items():
        z = np.array([standard_scores(w).ravel() for w in walk[start : synthetic.marks[4] + 1]])
        flipped = np.sign(z[1:]) != np.sign(z[:-1])
        far = tail(z[0])
        for group, members in (("tail", far), ("core", ~far)):
            rows = table.loc[(name, group)]
            assert rows["update"].tolist() == [start + 3, start + 6, start + 9, start + 12, start + 15]
            assert rows["decay_time_past"].tolist() == pytest.approx([0.3, 0.6, 0.9, 1.2, 1.5])
            alive = [np.mean(~flipped[:past, members].any(axis=0)) for past in (3, 6, 9, 12, 15)]
            assert rows["survival_fraction"].tolist() == pytest.approx(alive)
            for at, before in enumerate([1.0, *alive[:-1]]):
                expected = np.log(before / alive[at]) / 0.3 if alive[at] else np.nan
                assert rows["hazard"].iloc[at] == pytest.approx(expected, nan_ok=True)
            assert rows["weights"].unique().tolist() == [members.sum()]


def test_spans_are_equal_in_decay_time_and_no_more_than_updates():
    """The second window of this run has an eighth of the updates of the first, and a ninetieth of its T."""
    run = ra.open_run(TRAINED)
    for spans in (1, 6, 1000):
        table = ra.survival(run, windows=":", layers=run.layer_names[1], spans=spans)
        rows = table[table["group"] == "tail"]
        assert rows["update"].iloc[-1] == 184
        assert rows["decay_time_past"].iloc[-1] == pytest.approx(1.035, rel=1e-4)
        assert rows["update"].is_monotonic_increasing
        assert len(rows) == spans if spans < 100 else 100 < len(rows) <= 184
    assert rows["decay_time_past"].to_numpy()[rows["update"] == 161] == pytest.approx(1.02361, rel=1e-4)


def test_of_noise_alone_the_null_is_what_is_measured(tmp_path):
    generator, rule = np.random.default_rng(0), UpdateRule(0.9)
    matrix, gain = rule.matrix(0.1, 0.02), rule.gain(0.1)
    w, m = np.zeros((2, 32, 300))
    steps = []
    for update in range(-600, 81):
        force = generator.normal(size=w.shape)
        w, m = (matrix[at, 0] * w + matrix[at, 1] * m + gain[at] * force for at in (0, 1))
        steps += [w] if update >= 0 else []
    centered = WeightTransform(center=True, target=2.0)
    walks = {"a": np.array(steps, np.float32)}
    path = synthetic_run(tmp_path / "run", walks, windows=8, transform=centered, decay_time=0.02, momentum=0.9).path
    # At the first update of a training there is no momentum, as there is here.
    table = ra.survival(path, windows="2:", spans=4)
    np.testing.assert_allclose(table["survival_fraction_null"], table["survival_fraction"], atol=0.03)
    np.testing.assert_allclose(table["hazard_null"], table["hazard"], rtol=0.2)


def test_refusals(tmp_path, run):
    layer = torch.nn.Sequential(BinaryLinear(40, 8))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, weight_decay=0.1)
    with ra.record(layer, optimizer, tmp_path / "short", only=("path",)) as recorder:
        layer(torch.randn(4, 40)).sum().backward()
        optimizer.step()
        recorder.mark(epoch=0)
    with pytest.raises(NotRecordedError, match="flip_times"):
        ra.survival(tmp_path / "short", windows=":")
    with pytest.raises(InputError, match="at least one span"):
        ra.survival(run, spans=0)
    walks = {"a": random_walk((4, 30), 8)}
    for name, options in (("imported", {"exact": False}), ("still", {"decay_time": 0.0})):
        path = synthetic_run(tmp_path / name, walks, **options).path
        with pytest.raises(InputError, match="decay"):
            ra.survival(path, windows=":")


def test_a_layer_without_decay_has_no_rows(tmp_path):
    model = torch.nn.Sequential(BinaryLinear(12, 12, bias=False), BinaryLinear(12, 8, bias=False))
    model[0].weight.requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    with ra.record(model, optimizer, tmp_path) as recorder:
        for _ in range(4):
            optimizer.zero_grad()
            model(torch.randn(4, 12)).square().mean().backward()
            optimizer.step()
        recorder.mark(epoch=0)
    assert ra.survival(tmp_path, windows=":")["layer"].unique().tolist() == ["1"]
    with pytest.raises(InputError, match="nothing decayed"):
        ra.survival(tmp_path, windows=":", layers="0")
