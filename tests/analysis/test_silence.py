"""Silence by noise alone: shares against the simulated weights themselves, by layer and window."""

import numpy as np
import pytest

from recu_analysis import open_run
from recu_analysis.analysis.deadness import MOVEMENT, movement
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.layers import layer_table_query
from recu_analysis.analysis.null import MOST_BY_WINDOW, null
from recu_analysis.analysis.query import per_layer
from recu_analysis.analysis.selection import WindowSpan
from recu_analysis.analysis.silence import null_dead_query, with_null_silence
from recu_analysis.testing import synthetic_run

RUN = "checkpoints/fashion/baseline-0"
LAYER = "layer1.2.conv2"


def simulated(run, spec, number, most=MOST_BY_WINDOW):
    moved = movement(spec, (yield over([run.window(number)], MOVEMENT)))
    return null(run, spec, moved, most)


def test_every_window_with_updates_has_the_shares_of_its_own_noise():
    run = open_run(RUN)
    table = with_null_silence(run, layer_table_query(run, layers=LAYER), layers=LAYER).run()
    assert table["window"].tolist() == [0, 4, 8, 12]
    assert np.isnan(table["silent_fraction_tail_null"][0])
    (found,) = per_layer(run, run.header.layers[1:2], simulated, 8).run()
    silent = found.flips == 0
    row = table.set_index("window").loc[8]
    assert row["silent_fraction_tail_null"] == pytest.approx(silent[found.tail].mean())
    assert row["silent_fraction_core_null"] == pytest.approx(silent[~found.tail].mean())
    only = with_null_silence(run, layer_table_query(run, numbers=[8], layers=LAYER), numbers=[8], layers=LAYER).run()
    assert only["silent_fraction_tail_null"].tolist() == [row["silent_fraction_tail_null"]]


def test_the_null_of_dead_weights_is_the_share_in_the_tail_and_silent():
    run = open_run(RUN)
    found = null_dead_query(run, LAYER, WindowSpan(8, 9)).run()
    (all_weights,) = per_layer(run, run.header.layers[1:2], simulated, 8, 16384).run()
    assert found == pytest.approx(((all_weights.flips == 0) & all_weights.tail).mean())


def test_without_rates_every_share_is_unknown(tmp_path):
    run = open_run(synthetic_run(tmp_path / "run", exact=False).path)
    table = with_null_silence(run, layer_table_query(run)).run()
    assert table["silent_fraction_tail"].notna().any()
    assert table["silent_fraction_tail_null"].isna().all()
