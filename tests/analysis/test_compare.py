"""Runs side by side: what differs, the windows they share, and means over seeds."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from recu_analysis import open_run
from recu_analysis.analysis.compare import check_same_layers, compare, differing_settings, over_seeds
from recu_analysis.analysis.deadness import dead_weights, totals
from recu_analysis.errors import InputError
from recu_analysis.testing import random_walk, synthetic_run


def with_settings(path, **settings):
    """A synthetic run whose configuration has these settings."""
    made = synthetic_run(path, {"a": random_walk((8, 30), 8, seed=settings["seed"])})
    file = made.path / "run.json"
    content = json.loads(file.read_text())
    content["configuration"] = settings
    file.write_text(json.dumps(content))
    return open_run(made.path)


@pytest.fixture
def runs(tmp_path):
    made = {f"clamped-{seed}": with_settings(tmp_path / f"c{seed}", recu=True, seed=seed) for seed in range(3)}
    return made | {"free-0": with_settings(tmp_path / "f0", recu=False, seed=0)}


def test_rows_are_those_of_the_shared_windows(runs):
    table = compare(runs).set_index("run")
    assert (table["first_window"].unique().tolist(), table["last_window"].unique().tolist()) == ([3], [4])
    for label, run in runs.items():
        total = totals(dead_weights(run))
        assert table.loc[label, "dead_fraction"] == total["dead_fraction"]
        assert table.loc[label, "val_top1"] == 53.0


def test_only_settings_that_differ_are_shown(runs):
    table = differing_settings(runs)
    assert table.columns.tolist() == ["run", "recu", "seed"]
    assert table["seed"].tolist() == [0, 1, 2, 0]
    assert differing_settings({"one": runs["free-0"]}).columns.tolist() == ["run"]


def test_groups_differ_in_more_than_their_seed(runs):
    table = over_seeds(runs)
    assert table["group"].tolist() == ["clamped-0, clamped-1, clamped-2", "free-0"]
    assert table["seeds"].tolist() == [3, 1]
    values = compare(runs)["mobility_tail"].to_numpy()[:3]
    low, high = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    row = table.iloc[0]
    assert row["mobility_tail"] == pytest.approx(values.mean())
    np.testing.assert_allclose([row["mobility_tail_low"], row["mobility_tail_high"]], [low, high])
    assert math.isnan(table.iloc[1]["mobility_tail_low"])


def test_runs_of_different_networks_are_refused(runs, tmp_path):
    other = open_run(synthetic_run(tmp_path / "other").path)
    with pytest.raises(InputError, match=r"free-0 and other have different layers, such as 'a'; compare runs of one"):
        check_same_layers({"free-0": runs["free-0"], "other": other})
