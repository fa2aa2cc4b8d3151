"""Histograms of standard scores beside fitted densities, compared with numpy and scipy.stats."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import recu_analysis as ra
from recu_analysis.analysis.scores import score_histogram
from recu_analysis.errors import InputError, WindowNotFoundError
from recu_analysis.testing import synthetic_run


@pytest.fixture(scope="module")
def laplace_run(tmp_path_factory):
    generator = np.random.default_rng(3)
    steps = 1e-3 * generator.laplace(size=(5, 16, 400)).cumsum(axis=0)
    history = {
        "a": (generator.laplace(size=(16, 400)) + steps).astype(np.float32),
        "flat": np.zeros((5, 4, 9), np.float32),
    }
    return synthetic_run(tmp_path_factory.mktemp("run") / "run", history), history["a"]


def test_densities_are_those_of_numpy_and_scipy(laplace_run):
    synthetic, walk = laplace_run
    table = score_histogram(ra.open_run(synthetic.path), layer="a", windows="0:5")
    for window, rows in table.groupby("window"):
        weight = walk[window].astype(np.float64)
        z = ((weight - weight.mean(1, keepdims=True)) / weight.std(1, ddof=1, keepdims=True)).ravel()
        edges = np.append(rows["left"], rows["right"].iloc[-1])
        assert np.allclose(rows["density"], np.histogram(z, edges)[0] / len(z) / np.diff(edges))
        x = (edges[:-1] + edges[1:]) / 2
        assert np.allclose(rows["laplace"], stats.laplace.pdf(x, scale=np.abs(z).mean()))
        assert np.allclose(rows["normal"], stats.norm.pdf(x, scale=np.sqrt(np.mean(z**2))))
        beta, _, scale = stats.gennorm.fit(z, floc=0)
        assert np.allclose(rows["gennorm"], stats.gennorm.pdf(x, beta, scale=scale), rtol=0.02)
        assert rows["shape"].iloc[0] == pytest.approx(beta, rel=0.01)
        assert rows["epoch"].isna().all() if window == 0 else rows["epoch"].eq(window - 1).all()


def test_by_default_the_first_the_middle_and_the_last_window(laplace_run):
    assert score_histogram(ra.open_run(laplace_run[0].path), layer="a")["window"].unique().tolist() == [0, 2, 4]


def test_unusable_layers_and_windows(laplace_run):
    run = ra.open_run(laplace_run[0].path)
    with pytest.raises(WindowNotFoundError, match="windows 9; it has 0 to 4"):
        score_histogram(run, layer="a", windows=9)
    with pytest.raises(InputError, match="matches 2 layers"):
        score_histogram(run, layer="*")
    with pytest.raises(InputError, match=r"layer flat.*window 0"):
        score_histogram(run, layer="flat")
