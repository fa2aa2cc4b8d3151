"""Tail and core beside each other: statistics against a plain loop, the null of pure distance, AUC against sklearn."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from recu_analysis import open_run, tails
from recu_analysis.analysis.distance import auc
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.standardize import standard_scores


@pytest.fixture(scope="module")
def table(run):
    return tails(run).set_index("layer")


@pytest.mark.parametrize("layer", ["first", "second"])
def test_columns_against_a_plain_loop(table, synthetic, layer):
    z = np.array([standard_scores(w).ravel() for w in synthetic.history[layer]])[10:]
    raw = synthetic.history[layer].astype(np.float64).reshape(21, -1)[10:]
    order = np.argsort(-np.abs(z[0]), kind="stable")
    tail = np.isin(np.arange(z.shape[1]), order[: round(0.3 * z.shape[1])])
    flips = ((z[1:] < 0) != (z[:-1] < 0)).sum(axis=0)
    changed = (z[-1] < 0) != (z[0] < 0)
    slope = np.linalg.lstsq(z[0][:, None], z[-1], rcond=None)[0][0]
    spread = np.sqrt(np.mean((z[-1] - slope * z[0]) ** 2))
    expected = norm.cdf(-slope * np.abs(z[0]) / spread)
    row = table.loc[layer]
    assert row[["slope", "spread"]].tolist() == pytest.approx([slope, spread], rel=1e-5)
    for name, members in (("tail", tail), ("core", ~tail)):
        mobility = np.abs(np.diff(z, axis=0)).mean(axis=0)[members]
        assert row[f"mobility_{name}"] == pytest.approx(mobility.mean(), rel=1e-4)
        assert row[f"magnitude_{name}"] == pytest.approx(
            np.abs(np.diff(raw, axis=0)).mean(axis=0)[members].mean(), rel=1e-4
        )
        assert row[f"flip_probability_{name}"] == pytest.approx((flips[members] > 0).mean())
        assert row[f"sign_changes_{name}"] == pytest.approx(changed[members].mean())
        assert row[f"sign_changes_by_distance_{name}"] == pytest.approx(expected[members].mean(), rel=1e-4)
        assert row[f"flips_per_path_{name}"] == pytest.approx(flips[members].sum() / (10 * mobility.sum()), rel=1e-4)
        total = expected[members].sum()
        known = changed[members].sum() / total if total >= 1.0 else np.nan  # less than one weight tells nothing
        assert row[f"distance_ratio_{name}"] == pytest.approx(known, rel=1e-4, nan_ok=True)
    assert row["flip_risk_ratio"] == pytest.approx((flips[tail] > 0).mean() / (flips[~tail] > 0).mean())
    assert row["auc"] == pytest.approx(roc_auc_score(flips == 0, np.abs(z[0])))


def test_auc_is_that_of_sklearn_with_ties():
    generator = np.random.default_rng(0)
    score = generator.integers(0, 6, 400).astype(float)
    positive = generator.random(400) < 0.3
    assert auc(score, positive) == pytest.approx(roc_auc_score(positive, score))
    assert np.isnan(auc(score, np.ones(400, bool)))


def test_steps_that_do_not_depend_on_z_change_as_many_signs_as_distance_lets_them(tmp_path):
    # One large normal step: the null is true, for the tail and for the core.
    walk = random_walk((64, 500), 1, step=1.0)
    row = tails(open_run(synthetic_run(tmp_path / "run", {"a": walk}, windows=1).path)).iloc[0]
    for name in ("tail", "core"):
        low, high = row[f"distance_ratio_{name}_low"], row[f"distance_ratio_{name}_high"]
        assert low < row[f"distance_ratio_{name}"] < high
        assert row[f"distance_ratio_{name}"] == pytest.approx(1.0, abs=0.05)
    # A step this large changes the unit of z, which pulls the tail in.
    assert row["mobility_ratio"] == pytest.approx(1.0, abs=0.3)


def test_a_tail_that_does_not_move_is_stuck(tmp_path):
    generator = np.random.default_rng(2)
    start = generator.normal(size=(16, 400))
    far = np.abs(start) > 1.0
    walk = np.stack([np.where(far, start, generator.uniform(-0.9, 0.9, start.shape)) for _ in range(7)])
    row = tails(open_run(synthetic_run(tmp_path / "run", {"a": walk.astype(np.float32)}, windows=2).path)).iloc[0]
    assert row["distance_ratio_tail_high"] < 0.5
    assert row["mobility_ratio_high"] < 0.5
