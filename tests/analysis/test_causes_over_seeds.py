"""Causes and rho over seeds: means and Student's intervals, not below the noise of each seed, of what seeds share."""

import numpy as np
import pytest
from scipy import stats

import recu_analysis as ra
from recu_analysis.testing import synthetic_run
from tests.editing import edit_run


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Three runs of one experiment."""
    folder, paths = tmp_path_factory.mktemp("seeds"), []
    for seed in range(3):
        path = synthetic_run(folder / f"run-{seed}", seed=10 * seed, gradient_stats=True).path
        edit_run(path, configuration={"network": "synthetic", "seed": seed})
        paths.append(path)
    return paths


def test_means_and_intervals_are_those_of_scipy(seeds):
    causes, each = ra.causes_over_seeds(seeds, windows="3:"), [ra.causes(path, windows="3:") for path in seeds]
    assert causes["seeds"].unique().tolist() == [3]
    values = np.array([table["share"] for table in each])
    np.testing.assert_allclose(causes["share"], values.mean(axis=0))
    reach = stats.t.ppf(0.975, 2) * values.std(axis=0, ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(causes["share_high"], np.minimum(values.mean(axis=0) + reach, 1.0))
    np.testing.assert_allclose(causes["weights"], np.mean([table["weights"] for table in each], axis=0))


def test_rho_is_not_more_certain_than_the_noise_of_each_seed_allows(seeds):
    rho, each = ra.earned_over_seeds(seeds, network=True), [ra.earned(path, network=True) for path in seeds]
    values = np.array([table["rho"] for table in each])
    np.testing.assert_allclose(rho["rho"], values.mean(axis=0))
    errors = np.array([(table["rho_high"] - table["rho_low"]) / 2.0 for table in each])
    floor = np.nan_to_num(np.sqrt((errors**2).mean(axis=0) / 3))  # groups have no error of their own
    reach = stats.t.ppf(0.975, 2) * values.std(axis=0, ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(rho["rho_high"] - rho["rho"], np.maximum(reach, floor), rtol=1e-6)
    assert (floor > reach).any()
