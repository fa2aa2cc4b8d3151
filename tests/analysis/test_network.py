"""The whole network's row against plain means over all of its weights at once."""

import math

import numpy as np
import pytest
from scipy import spatial

from recu_analysis import dead_weights, layer_table, open_run
from recu_analysis.analysis.deadness import totals
from recu_analysis.analysis.network import OF_A_LAYER
from recu_analysis.analysis.selection import WindowSpan
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.standardize import standard_scores

SHAPES = {"a": (4, 3, 3, 3), "b": (8, 41), "c": (3, 10)}


@pytest.fixture(scope="module")
def run_with_nan(tmp_path_factory):
    walks = {name: random_walk(shape, 12, step=0.3, seed=len(shape) + shape[0]) for name, shape in SHAPES.items()}
    walks["b"][5:, 2, 3] = np.nan  # its channel drops out from the second window on
    return open_run(synthetic_run(tmp_path_factory.mktemp("network") / "run", walks).path)


def pooled(run, position):
    """The weights of all layers, flat: z at the start, tail by rank in each layer, mobility, flips, which count."""
    parts = []
    for name in SHAPES:
        record = run.windows[position][name]
        z, z_end = (standard_scores(each).ravel() for each in (record.start, record.weight))
        zpath = record.zpath.ravel().astype(np.float64)
        valid = np.isfinite(z) & np.isfinite(z_end) & np.isfinite(zpath)
        distance = np.where(valid, np.abs(z), -1.0)
        tail = np.zeros(z.size, dtype=bool)
        tail[np.argsort(-distance, kind="stable")[: round(0.3 * valid.sum())]] = True
        parts.append((z, z_end, tail, zpath / record.window.updates, record.flips.ravel(), valid))
    return (np.concatenate(columns) for columns in zip(*parts, strict=True))


@pytest.mark.parametrize("position", [1, 2, 3, 4])
def test_means_are_those_over_all_weights(run_with_nan, position):
    table = layer_table(run_with_nan, network=True)
    row = table[table["window"] == position].iloc[0]
    z, z_end, tail, mobility, flips, valid = pooled(run_with_nan, position)
    assert row["layer"] == "all"
    assert row["weights"] == z.size
    assert row["counted"] == valid.sum()
    assert row["mobility"] == pytest.approx(mobility[valid].mean())
    assert row["mobility_tail"] == pytest.approx(mobility[valid & tail].mean())
    assert row["mobility_core"] == pytest.approx(mobility[valid & ~tail].mean())
    assert row["silent_fraction_tail"] == pytest.approx((flips[valid & tail] == 0).mean())
    assert row["flip_ratio_core"] == pytest.approx(flips[valid & ~tail].mean() / row["updates"])
    assert row["dead_fraction"] == pytest.approx((tail & (flips == 0))[valid].mean())
    assert row["autocorrelation"] == pytest.approx(1 - spatial.distance.cosine(z[valid], z_end[valid]), rel=0.02)
    if position > 1:
        _, _, before, _, earlier, known = pooled(run_with_nan, position - 1)
        dead, core = (known & valid & members & (earlier == 0) for members in (before, ~before))
        close = 0.02 if (known & ~valid).any() else 1e-6  # the layers are weighed by all that could revive
        assert row["revived_fraction"] == pytest.approx((flips[dead] > 0).mean(), rel=close)
        assert row["revived_fraction_core"] == pytest.approx((flips[core] > 0).mean(), rel=close)


def test_a_range_and_some_layers_have_one_row(run_with_nan):
    row = layer_table(run_with_nan, windows=WindowSpan(1, 5), layers=["a", "c"], network=True)
    assert row["weights"].tolist() == [4 * 27 + 30]
    assert row["updates"].tolist() == [12]
    layers = dead_weights(run_with_nan, windows=WindowSpan(1, 5), layers=["a", "c"])
    assert row["autocorrelation"].item() == pytest.approx(
        np.average(layers["autocorrelation"], weights=layers["counted"])
    )
    assert row["silent_fraction_tail"].item() == pytest.approx(totals(layers)["silent_fraction_tail"])


def test_what_belongs_to_a_layer_is_not_there_and_the_columns_are(run_with_nan):
    layers, network = layer_table(run_with_nan), layer_table(run_with_nan, network=True)
    assert list(network) == list(layers)
    assert network["window"].tolist() == [0, 1, 2, 3, 4]
    assert network[list(OF_A_LAYER)].isna().all(axis=None)
    assert network["tau"].tolist() == layers.groupby("window")["tau"].first().tolist()
    assert bool(network["exact"].all())
    first = network.iloc[0]
    assert math.isnan(first["mobility"])
    assert first["b_hat"] == pytest.approx(np.average(layers["b_hat"][:3], weights=layers["weights"][:3]))
