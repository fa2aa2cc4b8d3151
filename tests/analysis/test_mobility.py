"""Mobility beside its forecasts: weights in equilibrium, weights that are too wide for it, and no forecast."""

import numpy as np
import pytest

from recu_analysis.analysis.mobility import mobility_query, regime
from recu_analysis.errors import InputError
from recu_analysis.store.run import open_run
from recu_analysis.testing import synthetic_run
from recu_analysis.theory.standardize import WeightTransform

DECAY, NAN = 0.02, float("nan")


def under_noise(width, seed=0):
    """Weights of a width over that in equilibrium, which decay and noise of one size move; 60 updates."""
    generator = np.random.default_rng(seed)
    steps = [width * generator.normal(size=(16, 300))]
    for _ in range(60):
        steps.append((1.0 - DECAY) * steps[-1] + np.sqrt(2.0 * DECAY) * generator.normal(size=(16, 300)))
    return np.array(steps, np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("mobility") / "run"
    history = {"settled": under_noise(1.0), "wide": under_noise(2.5, seed=1)}
    free = WeightTransform(center=True, target=2.0, clamp=False)
    return synthetic_run(path, history, windows=6, transform=free, decay_time=DECAY).path


def test_measured_and_forecast_agree_under_noise(folder):
    table = mobility_query(open_run(folder)).run().set_index(["layer", "window"])
    later = table.loc["settled"].iloc[1:]
    assert later["mobility"].to_numpy() == pytest.approx(np.sqrt(2.0 * DECAY * 2.0 / np.pi), rel=0.05)
    assert later["mobility_forecast"].to_numpy() == pytest.approx(later["mobility"].to_numpy(), rel=0.1)
    assert later["mobility_equilibrium"].to_numpy() == pytest.approx(np.sqrt(2.0 * DECAY * 2.0 / np.pi))
    assert table.loc[("wide", 2), "regime"] == "out of equilibrium"
    assert table.loc[("wide", 2), "mobility_forecast"] < 0.9 * table.loc[("wide", 2), "mobility_equilibrium"]


def test_a_window_that_begins_with_the_training_has_no_forecast(folder):
    table = mobility_query(open_run(folder), ":3", "settled").run()
    assert table["window"].tolist() == [1, 2]
    assert table["mobility_forecast"].isna().tolist() == [True, False]
    assert table["regime"].tolist() == ["not forecast", "equilibrium"]


def test_regimes():
    assert [regime(1.0, each) for each in (0.95, 0.85, 1.15, NAN)] == [
        *("equilibrium", "out of equilibrium", "out of equilibrium", "not forecast"),
    ]
    assert regime(NAN, 1.0) == "out of equilibrium"  # nothing decays, so there is none


def test_checkpoints_are_refused(tmp_path):
    with pytest.raises(InputError, match="imported from checkpoints"):
        mobility_query(open_run(synthetic_run(tmp_path, exact=False).path))
