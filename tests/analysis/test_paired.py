"""Differences seed by seed: against the rows of each run, with two pairs, and with seeds that differ."""

import math

import numpy as np
import pytest
from scipy import stats

from recu_analysis import compare, open_run, paired_differences
from recu_analysis.analysis.channel_errors import channel_errors_query, standard_errors
from recu_analysis.analysis.final_windows import equal_windows
from recu_analysis.analysis.paired import OUTCOMES
from recu_analysis.testing import random_walk, synthetic_run
from tests.editing import edit_run, marks_of, write_marks


def trained(folder, name, seed, accuracy, draw):
    made = synthetic_run(folder / f"{name}-{seed}", {"a": random_walk((16, 20), 8, seed=draw, step=0.6)})
    edit_run(made.path, configuration={"recu": name == "recu", "seed": seed})
    write_marks(made.path, [mark | {"val_top1": accuracy} for mark in marks_of(made.path)])
    return open_run(made.path)


@pytest.fixture
def runs(tmp_path):
    accuracies = {"free": (90.2, 91.0, 93.1), "recu": (90.0, 90.85, 92.85)}
    return {
        f"{name}-{seed}": trained(tmp_path, name, seed, each, draw)
        for draw, (name, seed, each) in enumerate((n, s, v) for n, vs in accuracies.items() for s, v in enumerate(vs))
    }


def test_differences_are_those_of_the_rows_of_each_pair(runs):
    table, rows = paired_differences(runs), compare(runs).set_index("run")
    assert table["run"].tolist() == ["recu-0", "recu-1", "recu-2", "recu-0, recu-1, recu-2"]
    assert table["reference"].tolist() == ["free-0", "free-1", "free-2", "free-0, free-1, free-2"]
    assert table["pairs"].tolist() == [1, 1, 1, 3]
    mean = table.iloc[3]
    for name in OUTCOMES:
        each = [rows.loc[f"recu-{seed}", name] - rows.loc[f"free-{seed}", name] for seed in range(3)]
        assert table[name].tolist() == pytest.approx([*each, np.mean(each)])
        if name in ("val_top1", "autocorrelation"):
            expected = stats.t.interval(0.95, 2, np.mean(each), stats.sem(each))
            assert (mean[f"{name}_low"], mean[f"{name}_high"]) == pytest.approx(expected)
    unpaired = compare(runs)["val_top1"].to_numpy().reshape(2, 3)
    assert mean["val_top1_high"] < 0 < np.ptp(unpaired[0]), "the difference is clear in pairs only"


def test_an_interval_is_not_below_the_noise_of_channels(runs):
    spans = equal_windows(runs, None)
    noise = {name: standard_errors(channel_errors_query(run, spans[name]).run()) for name, run in runs.items()}
    mean = paired_differences(runs).iloc[3]
    for name in ("dead_fraction", "silent_fraction_tail", "mobility_core", "mobility_ratio"):
        floor = 1.959964 * math.sqrt(sum(each[name] ** 2 for each in noise.values())) / 3
        assert (mean[f"{name}_high"] - mean[f"{name}_low"]) / 2 >= floor * 0.999999


def test_two_pairs_have_no_interval_and_one_pair_is_not_shown(runs):
    two = paired_differences({name: run for name, run in runs.items() if name != "free-1"})
    assert two["pairs"].tolist() == [1, 1, 2]
    assert two["val_top1"].tolist() == pytest.approx([-0.2, -0.25, -0.225])
    assert two.filter(regex="_(low|high)$").isna().all(axis=None)
    assert paired_differences({name: runs[name] for name in ("free-0", "recu-0", "recu-1")}).empty
