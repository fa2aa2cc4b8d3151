"""The plan of a training, against a simulated training on noise and against a real one."""

import math
from pathlib import Path

import numpy as np
import pytest

import recu_analysis as ra
from recu_analysis.analysis.plan import DENSITY
from recu_analysis.errors import InputError
from recu_analysis.theory.schedule import learning_rate
from tests.messages import facts

TRAINED = Path(__file__).parents[2] / "checkpoints" / "mask" / "baseline"
SETTINGS = {"lr": 0.1, "weight_decay": 1e-2, "epochs": 12, "updates_per_epoch": 60, "warm_up": 2}


def simulated(weights=4000):
    """By epoch: mobility and flips, and the cosine of each epoch's start with the end, of SGD on noise.

    The gradient is at right angles to the weights, and as large as 1 / |w|, as under a standardization.
    """
    generator = np.random.default_rng(5)
    w = generator.normal(size=weights)
    # Noise of squared size `weights` / |w|^2 holds |w|^4 in equilibrium at lr / (1 - momentum) weights / (2 decay).
    w *= 1.5 * (weights / 2.0 / 0.01) ** 0.25 / np.linalg.norm(w)
    m, starts, rows = np.zeros(weights), [], []
    for epoch in range(12):
        starts.append(w)
        path = flips = 0.0
        for _ in range(60):
            g = generator.normal(size=weights)
            g = (g - (g @ w) / (w @ w) * w) / np.linalg.norm(w)
            m = 0.9 * m + g + 0.01 * w
            new = w - learning_rate(epoch, 12, 0.1, "cosine", 2) * m
            path += np.abs(new / new.std() - w / w.std()).mean()
            flips += np.mean((new < 0) != (w < 0))
            w = new
        rows.append([path / 60.0, flips / 60.0])
    left = [(start @ w) / np.linalg.norm(start) / np.linalg.norm(w) for start in starts]
    return np.array(rows), np.array(left)


def test_the_forecast_is_that_of_a_simulated_training():
    table = ra.plan(**SETTINGS, start_norm=1.5)
    moved, left = simulated()
    early = table["epoch"].between(1, 8)  # the momentum is 0 at first, and later holds steps of rates that fell since
    np.testing.assert_allclose(table["mobility_forecast"][early], moved[early, 0], rtol=0.06)
    np.testing.assert_allclose(table["flip_ratio_forecast"][early], moved[early, 1], rtol=0.12)
    np.testing.assert_allclose(table["autocorrelation_null"], left, atol=0.06)
    assert table["long_enough"].tolist() == (left <= 0.5).tolist()
    ratio = table["mobility_forecast"] / table["mobility_equilibrium"]
    assert table["settled"].tolist() == (abs(ratio - 1.0) <= 0.1).tolist()
    assert table["settled"].any()
    assert not table["settled"].all()


def test_decay_time_is_that_of_a_real_training():
    run = ra.open_run(TRAINED)
    configured = run.configuration
    table = ra.plan(
        lr=configured["lr"],
        weight_decay=configured["binary_weight_decay"],
        epochs=configured["epochs"],
        updates_per_epoch=23,
        warm_up=configured["warm_up"],
        momentum=configured["momentum"],
    )
    layers = ra.layer_table(run)
    recorded = layers[layers["layer"] == run.layer_names[1]].set_index("window")["decay_time"]
    assert table["decay_time"].sum() == pytest.approx(recorded.sum(), rel=1e-6)
    assert table["decay_time"].iloc[-1] == pytest.approx(recorded.iloc[-1], rel=1e-6)


def test_windows_of_several_epochs_are_those_of_one_joined():
    single, several = ra.plan(**SETTINGS), ra.plan(**SETTINGS, window_epochs=5)
    assert several["epoch"].tolist() == [4, 9, 11]
    assert several["updates"].tolist() == [300, 300, 120]
    assert several["decay_time"].sum() == pytest.approx(single["decay_time"].sum())
    assert several["autocorrelation_null"].tolist() == pytest.approx(
        single["autocorrelation_null"].iloc[[0, 5, 10]].tolist()
    )
    assert several["flip_ratio_forecast"].iloc[0] == pytest.approx(single["mobility_forecast"][:5].mean() * DENSITY)
    assert (several["power"] <= single["power"].iloc[[0, 5, 10]].to_numpy()).all(), "short windows tell more"


def test_other_optimizers_and_no_decay():
    nesterov, adamw = ra.plan(**SETTINGS, nesterov=True), ra.plan(**SETTINGS, adamw=True)
    assert nesterov["decay_time"].sum() == pytest.approx(ra.plan(**SETTINGS)["decay_time"].sum())
    wider = nesterov["mobility_equilibrium"] / ra.plan(**SETTINGS)["mobility_equilibrium"]
    assert wider.tolist() == pytest.approx([math.sqrt(0.1 * 1.9**3 + 0.9**4)] * 12), "the ratio of both S / R"
    assert adamw["decay_time"].sum() == pytest.approx(nesterov["decay_time"].sum() / 10.0)
    still = ra.plan(**SETTINGS | {"weight_decay": 0.0})
    assert still["mobility_forecast"].isna().all()
    assert not still["long_enough"].any()
    assert not still["settled"].any()


def test_refusals():
    for wrong in (
        {"lr": -1.0},
        {"weight_decay": math.nan},
        {"momentum": 1.0},
        {"epochs": 0},
        {"epochs": 2.5},
        {"updates_per_epoch": 0},
        {"updates_per_epoch": True},
        {"warm_up": 12},
        {"warm_up": 1.0},
        {"schedule": "cosin"},
        {"window_epochs": 0},
        {"window_epochs": 1.5},
        {"start_norm": 0.0},
        {"lr": 1e308},
        {"weight_decay": 1e308},
        {"start_norm": 1e300},
        {"start_norm": 1e-300},
        {"updates_per_epoch": 10**400},
    ):
        with pytest.raises(InputError):
            ra.plan(**SETTINGS | wrong)


def test_no_argument_is_ignored():
    for wrong, words in (
        ({"adamw": True, "momentum": 0.9}, ["momentum belongs to SGD", "adamw"]),
        ({"adamw": True, "nesterov": True}, ["Nesterov's momentum belongs to SGD", "adamw"]),
        ({"beta1": 0.9}, ["beta1 belongs to AdamW"]),
        ({"momentum": 0.0, "nesterov": True}, ["Nesterov", "above 0"]),
        ({"adamw": True, "beta1": 1.5}, ["beta1 must be", "1.5"]),
    ):
        with pytest.raises(InputError, match=facts(*words)):
            ra.plan(**SETTINGS | wrong)
    for first, second in (
        ({}, {"momentum": 0.9}),
        ({"adamw": True}, {"adamw": True, "beta1": 0.9}),
    ):
        assert ra.plan(**SETTINGS | first).equals(ra.plan(**SETTINGS | second))
    for different in (
        {"momentum": 0.5},
        {"nesterov": True},
        {"adamw": True},
        {"schedule": "step"},
        {"start_norm": 3.0},
    ):
        assert not ra.plan(**SETTINGS | different).equals(ra.plan(**SETTINGS)), different
    assert not ra.plan(**SETTINGS, adamw=True, beta1=0.5).equals(ra.plan(**SETTINGS, adamw=True))


def test_no_forecast_where_decay_alone_makes_weights_grow():
    """SGD is stable below lr x weight decay = 2 (1 + momentum), with Nesterov's momentum 2 (1 + m) / (1 + 2 m)."""
    for settings, limit in (
        ({"momentum": 0.9}, 3.8),
        ({"momentum": 0.0}, 2.0),
        ({"momentum": 0.9, "nesterov": True}, 3.8 / 2.8),
        ({"adamw": True}, 2.0),
    ):
        stable = ra.plan(**SETTINGS | settings | {"lr": 10.0, "weight_decay": 0.0999 * limit})
        assert stable["autocorrelation_null"].between(-1.0, 1.0).all(), settings
        with pytest.raises(InputError, match=facts("decay alone", "diverges")):
            ra.plan(**SETTINGS | settings | {"lr": 10.0, "weight_decay": 0.1001 * limit})


def test_no_forecast_where_the_momentum_never_settles():
    short = SETTINGS | {"epochs": 1, "updates_per_epoch": 10, "warm_up": 0}
    assert len(ra.plan(**short, momentum=0.9)) == 1
    for settings in ({"momentum": 0.91}, {"adamw": True, "beta1": 0.91}, {"momentum": 1.0 - 1e-12}):
        with pytest.raises(InputError, match=facts("remembers", "10; give")):
            ra.plan(**short | settings)
