"""Dead weights of several runs: means over seeds against numpy and scipy, an experiment beside another."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import recu_analysis as ra
from recu_analysis.analysis.channel_errors import channel_errors_query, standard_errors
from recu_analysis.analysis.dead_over_seeds import dead_weights_over_seeds, dead_weights_over_seeds_query
from recu_analysis.analysis.deadness import totals
from recu_analysis.analysis.selection import WindowSpan
from recu_analysis.errors import InputError, WindowNotFoundError
from recu_analysis.testing import random_walk, synthetic_run
from tests.editing import edit_run
from tests.messages import says

ARM, OTHER = ([f"checkpoints/fashion/{name}-{seed}" for seed in range(3)] for name in ("recu", "baseline"))
DIGITS = ["checkpoints/tau/0.85-0", "checkpoints/tau/0.85-1"]


def noise(path, layer):
    """The standard errors of a layer's row of a run, or of all its layers."""
    layers = None if layer == "all" else layer
    return standard_errors(channel_errors_query(ra.open_run(path), WindowSpan(5, 13), 0.9, layers).run())


def test_means_and_intervals_are_those_of_scipy_and_not_below_the_noise_of_channels():
    table = dead_weights_over_seeds([*ARM, *OTHER], windows="5:", tail_tau=0.9)
    for group, paths in (("recu-0, recu-1, recu-2", ARM), ("baseline-0, baseline-1, baseline-2", OTHER)):
        rows = table[table["arm"] == group].set_index("layer")
        seeds = [ra.dead_weights(path, windows="5:", tail_tau=0.9) for path in paths]
        for name in ("silent_fraction_tail", "mobility_core", "dead_fraction", "autocorrelation"):
            every = {layer: [each.set_index("layer")[name][layer] for each in seeds] for layer in seeds[0]["layer"]}
            every["all"] = [totals(each)[name] for each in seeds]
            for layer, values in every.items():
                errors = [noise(path, layer).get(name, 0.0) for path in paths]
                floor = 1.959964 * np.sqrt(np.mean(np.square(errors)) / 3)
                reach = max(stats.t.ppf(0.975, 2) * np.std(values, ddof=1) / np.sqrt(3), floor)
                assert rows.loc[layer, name] == pytest.approx(np.mean(values))
                assert rows.loc[layer, f"{name}_low"] == pytest.approx(np.mean(values) - reach)
                assert rows.loc[layer, f"{name}_high"] == pytest.approx(np.mean(values) + reach)
        assert rows["row"].tolist() == ["layer"] * len(seeds[0]) + ["total"]


def test_other_data_sets_have_final_windows_of_their_own():
    table = dead_weights_over_seeds([ARM[0], *DIGITS])
    assert table.groupby("dataset")["updates"].first().to_dict() == {"digits": 552, "fashion-mnist-16": 3752}
    assert table.groupby("dataset")["seeds"].first().to_dict() == {"digits": 2, "fashion-mnist-16": 1}
    alone = ra.dead_weights(ARM[0])
    shown = table[(table["dataset"] != "digits") & (table["row"] == "layer")]
    np.testing.assert_array_equal(shown["dead_fraction"], alone["dead_fraction"])
    assert shown["dead_fraction_low"].isna().all()
    pd.testing.assert_frame_equal(dead_weights_over_seeds(ARM[0]), dead_weights_over_seeds([ra.open_run(ARM[0])]))


def test_intervals_of_shares_stay_between_0_and_100_per_cent():
    table = dead_weights_over_seeds([*OTHER, *DIGITS])
    shares = [name for name in table if "fraction" in name]
    assert shares
    known = table[shares].dropna(axis=1)
    assert known.min().min() == 0.0, "the interval of some layer would go below 0"
    assert known.max().max() <= 1.0


def test_what_cannot_be_shown_beside_each_other():
    with pytest.raises(WindowNotFoundError) as error:
        dead_weights_over_seeds([ARM[0], DIGITS[0]], windows="3:9")
    says(str(error.value), "0.85-0", "3:9")
    with pytest.raises(InputError, match=r"twice|once"):
        dead_weights_over_seeds([ARM[0], ARM[0]])


def test_each_run_has_windows_of_its_own_and_a_mean_needs_equally_many_updates(tmp_path):
    listed = []
    for seed, updates in enumerate((24, 48)):
        path = synthetic_run(tmp_path / f"run{seed}", {"a": random_walk((8, 40), updates, seed=seed)}, windows=6).path
        listed.append(f"[[run]]\nfolder = '{path}'\narm = 'x'\nseed = {seed}\n")
    runs = tmp_path / "runs.toml"
    runs.write_text("".join(listed), encoding="utf-8")
    with pytest.raises(InputError) as error:
        dead_weights_over_seeds(runs, windows="1:")
    says(str(error.value), "windows 1:", "24 in run0", "48 in run1")
    blocks = dead_weights_over_seeds_query(ra.open_runs(runs)).run()
    assert {span.start for span in blocks[0].spans.values()} != {blocks[0].spans["run0"].start}
    assert blocks[0].rows["first_window"].isna().all()


def test_experiments_have_different_names_and_one_data_set_each(tmp_path):
    entry = "[[run]]\nfolder = '{}'\n"
    runs = tmp_path / "runs.toml"
    arms = [entry.format(Path(path).resolve()) + "arm = 'baseline-0'\nseed = 7\n" for path in ARM[:1]]
    runs.write_text("".join([*arms, entry.format(Path(OTHER[0]).resolve())]), encoding="utf-8")
    with pytest.raises(InputError, match=r"two experiments are called 'baseline-0'"):
        dead_weights_over_seeds(runs)
    listed = []
    for seed, dataset in enumerate(("digits", "fashion-mnist")):
        path = synthetic_run(tmp_path / dataset, seed=seed).path
        edit_run(path, configuration={"dataset": dataset})
        listed.append(entry.format(path) + f"arm = 'x'\nseed = {seed}\n")
    runs.write_text("".join(listed), encoding="utf-8")
    with pytest.raises(InputError, match="their data sets differ"):
        dead_weights_over_seeds(runs)
