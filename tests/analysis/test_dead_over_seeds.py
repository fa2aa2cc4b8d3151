"""Dead weights of several runs: means over seeds against numpy and scipy, an experiment beside another."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import recu_analysis as ra
from recu_analysis.analysis.dead_over_seeds import dead_weights_over_seeds
from recu_analysis.analysis.deadness import totals
from recu_analysis.errors import InputError, WindowNotFoundError
from tests.messages import says

ARM, OTHER = ([f"checkpoints/fashion/{name}-{seed}" for seed in range(3)] for name in ("recu", "baseline"))
DIGITS = ["checkpoints/tau/0.85-0", "checkpoints/tau/0.85-1"]


def test_means_and_intervals_are_those_of_scipy():
    table = dead_weights_over_seeds([*ARM, *OTHER], windows="5:", tail_tau=0.9)
    for group, paths in (("recu-0, recu-1, recu-2", ARM), ("baseline-0, baseline-1, baseline-2", OTHER)):
        rows = table[table["arm"] == group].set_index("layer")
        seeds = [ra.dead_weights(path, windows="5:", tail_tau=0.9) for path in paths]
        for name in ("silent_fraction_tail", "mobility_core", "dead_fraction", "autocorrelation"):
            every = {layer: [each.set_index("layer")[name][layer] for each in seeds] for layer in seeds[0]["layer"]}
            every["all"] = [totals(each)[name] for each in seeds]
            for layer, values in every.items():
                reach = stats.t.ppf(0.975, 2) * np.std(values, ddof=1) / np.sqrt(3)
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


def test_what_cannot_be_shown_beside_each_other():
    with pytest.raises(WindowNotFoundError) as error:
        dead_weights_over_seeds([ARM[0], DIGITS[0]], windows="3:9")
    says(str(error.value), "0.85-0", "3:9")
    with pytest.raises(InputError, match=r"twice|once"):
        dead_weights_over_seeds([ARM[0], ARM[0]])
