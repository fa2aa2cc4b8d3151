"""Runs side by side: what differs, the windows they share, and means over seeds."""

import numpy as np
import pytest
from scipy import stats

from recu_analysis import open_run
from recu_analysis.analysis.compare import check_same_layers, compare, differing_settings, over_seeds
from recu_analysis.analysis.deadness import dead_weights, totals
from recu_analysis.analysis.differences import curves, layer_differences
from recu_analysis.analysis.final_windows import common_final_windows, equal_final_windows
from recu_analysis.analysis.selection import WindowSpan
from recu_analysis.errors import InputError, WindowNotFoundError
from recu_analysis.testing import random_walk, synthetic_run
from tests.editing import edit_run, marks_of, write_marks


def with_settings(path, **settings):
    """A synthetic run whose configuration has these settings."""
    return with_walk(path, random_walk((8, 30), 8, seed=settings["seed"]), **settings)


def with_walk(path, walk, **settings):
    made = synthetic_run(path, {"a": walk}, decay_time=0.2)
    edit_run(made.path, configuration=settings)
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
    assert table["arm"].tolist() == ["clamped-0, clamped-1, clamped-2", "free-0"]
    assert table["seeds"].tolist() == [3, 1]
    values = compare(runs)["mobility_tail"].to_numpy()[:3]
    low, high = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    row = table.iloc[0]
    assert row["mobility_tail"] == pytest.approx(values.mean())
    np.testing.assert_allclose([row["mobility_tail_low"], row["mobility_tail_high"]], [low, high])
    assert row["mobility_tail_std"] == pytest.approx(np.std(values, ddof=1))
    assert table.iloc[1][["mobility_tail_low", "mobility_tail_std"]].isna().all()


def test_runs_of_different_networks_are_refused(runs, tmp_path):
    other = open_run(synthetic_run(tmp_path / "other").path)
    with pytest.raises(InputError, match=r"free-0 and other.*'a'"):
        check_same_layers({"free-0": runs["free-0"], "other": other})


def test_final_windows_have_the_same_number_of_updates_or_are_refused(tmp_path):
    walk = random_walk((4, 12), 12, seed=0)
    fine = open_run(synthetic_run(tmp_path / "fine", {"a": walk}, windows=12).path)
    coarse = open_run(synthetic_run(tmp_path / "coarse", {"a": walk}, windows=3).path)
    runs = {"fine": fine, "coarse": coarse}
    chosen = equal_final_windows(runs)
    assert chosen["coarse"].last == 3
    assert chosen["fine"] == WindowSpan(4 * (chosen["coarse"].start - 1) + 1, 13)
    odd = open_run(synthetic_run(tmp_path / "odd", {"a": walk[:8]}, windows=1).path)
    with pytest.raises(InputError, match=r"final windows.*same number of updates"):
        compare({"fine": coarse, "odd": odd})
    assert common_final_windows({"coarse": coarse, "odd": odd})["odd"] == WindowSpan(1, 2)
    assert common_final_windows({}) == {}


def test_chosen_windows_are_the_same_in_every_run_and_hold_equally_many_updates(runs, tmp_path):
    both = {name: runs[name] for name in ("clamped-0", "free-0")}
    table = compare(both, windows="1:3").set_index("run")
    for label, run in both.items():
        expected = totals(dead_weights(run, windows="1:3"))
        assert table.loc[label, "dead_fraction"] == expected["dead_fraction"]
        assert table.loc[label, ["first_window", "last_window"]].tolist() == [1, 2]
    assert compare(both, windows=":3")["first_window"].tolist() == [1, 1], "window 0 is the initial state"
    assert over_seeds(both, windows="1:3")["mobility_core"].tolist() == table["mobility_core"].tolist()
    assert curves(both, windows="1:3")["window"].tolist() == [1, 2, 1, 2]
    assert set(layer_differences(both, windows="1:")["value"]) != set(layer_differences(both, windows="3:")["value"])
    coarse = open_run(synthetic_run(tmp_path / "coarse", {"a": random_walk((8, 30), 8)}, windows=2).path)
    for asked in (compare, layer_differences, over_seeds):
        with pytest.raises(InputError, match=r"windows 1:3 hold different numbers of updates \(4 in .*, 8 in coarse\)"):
            asked({"free-0": runs["free-0"], "coarse": coarse}, windows="1:3")
        with pytest.raises(WindowNotFoundError, match=r"7:9"):
            asked(both, windows="7:9")


def flips_and_path(walk, first, last):
    """Whether each weight of a walk flipped, and its sum of |dz|, by a plain loop."""

    def scores(weight):
        return (weight - weight.mean(1, keepdims=True)) / weight.std(1, ddof=1, keepdims=True)

    flipped, path = np.zeros(walk.shape[1:], bool), np.zeros(walk.shape[1:])
    for before, after in zip(walk[first:last], walk[first + 1 : last + 1], strict=True):
        a, b = scores(before.astype(float)), scores(after.astype(float))
        flipped |= (a < 0) != (b < 0)
        path += np.abs(b - a)
    return np.abs(scores(walk[first].astype(float))), flipped, path


def test_layer_differences_are_those_of_a_plain_loop(tmp_path):
    walks = {name: random_walk((16, 20), 8, seed=seed, step=0.6) for name, seed in (("one", 1), ("two", 2))}
    runs = {name: with_walk(tmp_path / name, walk, arm=name) for name, walk in walks.items()}
    table = layer_differences(runs).set_index("statistic")
    span = equal_final_windows(runs)["one"]
    first = runs["one"].windows[span.start].first_update - 1
    expected = {}
    for name, walk in walks.items():
        distance, flipped, path = flips_and_path(walk, first, 8)
        tail = distance >= np.sort(distance, axis=None)[-round(0.3 * distance.size)]
        expected[name] = (1 - flipped[tail].mean(), path[~tail].mean() / (8 - first))
    row = table.loc["silent_fraction_tail"]
    assert (row["run"], row["reference"], row["interval_over"], row["pairs"]) == ("two", "one", "channels", 1)
    assert row["difference"] == pytest.approx(expected["two"][0] - expected["one"][0])
    assert row["low"] < row["difference"] < row["high"]
    assert table.loc["mobility_core", "difference"] == pytest.approx(expected["two"][1] - expected["one"][1], rel=1e-4)


def test_the_rows_for_all_layers_are_those_of_the_whole_network(tmp_path):
    runs = {}
    for seed, name in enumerate(("one", "two")):
        walks = {layer: random_walk((16, size), 8, seed=seed, step=0.6) for layer, size in (("a", 20), ("b", 80))}
        path = synthetic_run(tmp_path / name, walks, decay_time=0.2).path
        edit_run(path, configuration={"arm": name})
        runs[name] = open_run(path)
    table = layer_differences(runs, windows="1:")
    assert table["row"].tolist() == ["layer"] * 12 + ["total"] * 6
    rows = table[table["row"] == "total"].set_index("statistic")
    whole = {name: totals(dead_weights(run, windows="1:")) for name, run in runs.items()}
    for name in ("silent_fraction_tail", "silent_fraction_core", "mobility_tail", "mobility_core"):
        assert rows.loc[name, ["reference_value", "value"]].tolist() == pytest.approx(
            [whole[each][name] for each in runs], rel=1e-5
        )
    ratios = compare(runs, windows="1:").set_index("run")["mobility_ratio"]
    assert rows.loc["mobility_ratio", "value"] == pytest.approx(ratios["two"], rel=1e-5)
    assert (rows["low"] < rows["difference"]).all()
    assert set(layer_differences(runs, layers="a")["row"]) == {"layer"}


def test_differences_over_seeds_are_paired(runs, tmp_path):
    free = {f"free-{seed}": with_settings(tmp_path / f"free{seed}", recu=False, seed=seed) for seed in (2, 0, 1)}
    table = layer_differences({name: run for name, run in runs.items() if name != "free-0"} | free)
    row = table[table["statistic"] == "mobility_tail"].iloc[0]
    assert (row["interval_over"], row["pairs"]) == ("seeds", 3)
    # The free runs are the same walks as the clamped ones of the same seed: paired, only the noise of channels is left.
    alone = [
        layer_differences({name: runs[name] for name in (f"clamped-{seed}",)} | {"free": free[f"free-{seed}"]})
        for seed in range(3)
    ]
    parts = [table.set_index("statistic").loc["mobility_tail"] for table in alone]
    half = np.sqrt(np.mean([(part["high"] - part["low"]) ** 2 / 4 for part in parts]) / 3)
    assert row["difference"] == 0.0
    assert (row["low"], row["high"]) == pytest.approx((-half, half))
    two = layer_differences({name: run for name, run in (runs | free).items() if name[-1] != "2"})
    assert two["interval_over"].eq("seeds").all()
    assert two[["low", "high"]].isna().all(axis=None)
    with pytest.raises(InputError, match="differ only in their seed"):
        layer_differences(free)


def test_curves_are_the_windows_one_by_one(runs, tmp_path):
    table = curves({"one": runs["free-0"]})
    assert table["window"].tolist() == [1, 2, 3, 4]
    assert {"run", "epoch", "val_top1", "autocorrelation"} <= set(table)
    for row in table.to_dict(orient="records"):
        window = WindowSpan(row["window"], row["window"] + 1)
        assert row["mobility_tail"] == totals(dead_weights(runs["free-0"], windows=window))["mobility_tail"]
    two = synthetic_run(tmp_path / "two").path
    of_layer = dead_weights(two, windows="4", layers="second")["mobility_tail"].tolist()
    assert curves(two, windows="4", layers="second")["mobility_tail"].tolist() == of_layer


def test_a_number_that_one_seed_lacks_has_neither_mean_nor_deviation(runs):
    path = runs["clamped-1"].path
    write_marks(path, [{name: value for name, value in mark.items() if name != "val_top1"} for mark in marks_of(path)])
    row = over_seeds(runs | {"clamped-1": open_run(path)}).iloc[0]
    assert row["seeds"] == 3
    assert row[["val_top1", "val_top1_low", "val_top1_high", "val_top1_std"]].isna().all()
    assert row[["mobility_tail", "mobility_tail_low", "mobility_tail_std"]].notna().all()


def test_the_one_seed_that_both_have_is_compared(runs, tmp_path):
    """Arms with the seeds 0, 1, 2 and 2, 5: of 2 in both, though neither arm begins with it."""
    free = {f"free-{seed}": with_settings(tmp_path / f"free{seed}", recu=False, seed=seed) for seed in (5, 2)}
    clamped = {name: run for name, run in runs.items() if name != "free-0"}
    row = layer_differences(clamped | free).set_index("statistic").loc["mobility_tail"]
    assert (row["interval_over"], row["pairs"], row["difference"]) == ("channels", 1, 0.0)
    assert row["low"] < 0.0 < row["high"]
