"""Gradients against distance in a real short training, and the signs that no clamp changes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import recu_analysis as ra
from recu_analysis.analysis.mask import LEVELS, gradients, signs_changed
from recu_analysis.errors import InputError, NotRecordedError
from recu_analysis.nn import BinaryLinear, set_tau
from recu_analysis.testing import random_walk, synthetic_run


def trained(path, **options):
    """One layer under SGD at tau = 0.85, its gradients recorded, and their plain sum of the last window."""
    torch.manual_seed(0)
    layer = BinaryLinear(60, 16, **options)
    set_tau(layer, 0.85)
    optimizer = torch.optim.SGD([layer.weight], lr=1e-3)
    given, wanted = torch.randn(40, 60), torch.randn(40, 16)
    with ra.record(layer, optimizer, path, quantities=("path", "zpath", "flip_times", "grad")) as recorder:
        for window in range(2):
            total = torch.zeros_like(layer.weight)
            start = layer.weight.detach().clone()
            for _ in range(4):
                optimizer.zero_grad()
                ((layer(given) - wanted) ** 2).mean().backward()
                total += layer.weight.grad.abs()
                optimizer.step()
            recorder.mark(epoch=window)
    return ra.open_run(path), start.double().numpy(), total.numpy()


@pytest.mark.parametrize("options", [{}, {"clamp": False}, {"mask": "random"}])
def test_gradients_by_distance_are_those_of_a_plain_loop(tmp_path, options):
    run, start, total = trained(tmp_path / "run", **options)
    table = gradients(run, bins=4)
    z = (start - start.mean(1, keepdims=True)) / start.std(1, ddof=1, keepdims=True)
    order = np.argsort(np.abs(z), axis=None)
    expected = [total.reshape(-1)[part].mean() / total.mean() for part in np.split(order, 4)]
    np.testing.assert_allclose(table["gradient"], expected, rtol=1e-5)
    assert (table["gradient_low"] <= table["gradient"]).all()
    assert (table["gradient"] <= table["gradient_high"]).all()
    clamped = table["gradient"].iloc[-1] < 0.3 * table["gradient"].iloc[0]
    assert clamped == (options == {})
    assert (table["signs_changed"].unique().tolist(), table["signs"].unique().tolist()) == ([0], [8 * 16 * 60])


def test_signs_are_counted_by_level_and_scale(tmp_path, monkeypatch):
    walk = random_walk((16, 20), 8, seed=1)
    run = ra.open_run(synthetic_run(tmp_path / "run", {"a": walk}).path)
    table = signs_changed(run)
    assert table["tau"].tolist() == [tau for tau in LEVELS for _ in range(2)]
    assert table["scale"].tolist() == [math.sqrt(0.5), 2.0] * 4
    assert (table["changed"] == 0).all()
    with pytest.raises(InputError, match="tau must lie in"):
        signs_changed(run, levels=(0.4,))
    # A clamp that was not symmetric would be found.
    from recu_analysis.analysis import mask

    class Skewed(mask.WeightTransform):
        def clamped(self, standardized, tau):
            return np.maximum(standardized, 0.1)

    monkeypatch.setattr(mask, "WeightTransform", Skewed)
    negative = int((walk[-1].astype(float) < walk[-1].astype(float).mean(1, keepdims=True)).sum())
    assert signs_changed(run)["changed"].unique().tolist() == [negative]


def test_a_run_without_gradients_says_how_to_get_them(tmp_path):
    run = ra.open_run(synthetic_run(tmp_path / "run").path)
    with pytest.raises(NotRecordedError, match=r"--record grad.*ra\.record"):
        gradients(run)
