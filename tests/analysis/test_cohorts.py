"""Cohorts and transitions against a plain loop over weights and updates."""

import numpy as np
import pandas as pd
import pytest

from recu_analysis import layer_table, open_run
from recu_analysis.analysis.cohorts import cohorts, transitions
from recu_analysis.errors import WindowNotFoundError
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.standardize import standard_scores


def flipped(walk, first, last):
    """Whether each weight's effective sign changed in some update from first to last."""
    rows = walk.astype(np.float64).reshape(len(walk), walk.shape[1], -1)
    signs = (rows - rows.mean(axis=2, keepdims=True) < 0).reshape(len(rows), -1)
    return (signs[first : last + 1] != signs[first - 1 : last]).any(axis=0)


def tail(z, level=0.85):
    order = np.argsort(-np.abs(z), kind="stable")
    mask = np.zeros(z.size, dtype=bool)
    mask[order[: round(2 * (1 - level) * z.size)]] = True
    return mask


@pytest.fixture(scope="module")
def scores(synthetic):
    return {name: [standard_scores(w).ravel() for w in walk] for name, walk in synthetic.history.items()}


def test_a_cohort_is_drawn_once_and_followed(run, synthetic, scores):
    table = cohorts(run, windows="2:").set_index(["layer", "cohort", "window"])
    for name, walk in synthetic.history.items():
        members = tail(scores[name][5])
        for cohort, mask in (("tail", members), ("core", ~members)):
            for window in (2, 3, 4):
                row = table.loc[name, cohort, window]
                first, last = synthetic.marks[window - 1] + 1, synthetic.marks[window]
                assert row["weights"] == mask.sum()
                assert row["silent_fraction"] == pytest.approx(1 - flipped(walk, first, last)[mask].mean())
                assert row["untouched_fraction"] == pytest.approx(1 - flipped(walk, 6, last)[mask].mean())
                assert row["distance"] == pytest.approx(np.abs(scores[name][last][mask]).mean(), rel=1e-5)
                assert row["tail_fraction"] == pytest.approx(tail(scores[name][first - 1])[mask].mean())
    assert table.loc["first", "tail", 2]["tail_fraction"] == 1.0


def test_transitions_have_the_rates_of_tail_and_core(run, synthetic, scores):
    table = transitions(run).set_index(["layer", "window"])
    for name, walk in synthetic.history.items():
        for window in (2, 3, 4):
            edges = synthetic.marks[window - 2], synthetic.marks[window - 1], synthetic.marks[window]
            before, after = flipped(walk, edges[0] + 1, edges[1]), flipped(walk, edges[1] + 1, edges[2])
            members = tail(scores[name][edges[0]])
            for part, mask in (("", members), ("_core", ~members)):
                row = table.loc[name, window]
                for column, of in (("died", mask & before), ("revived", mask & ~before)):
                    expected = (~after if column == "died" else after)[of]
                    found = row[f"{column}_fraction{part}"]
                    assert found == pytest.approx(expected.mean()) if expected.size else np.isnan(found)


def test_revival_is_that_of_the_layer_table(run):
    merged = transitions(run).merge(layer_table(run), on=["layer", "window"], suffixes=("", "_table"))
    np.testing.assert_allclose(merged["revived_fraction"], merged["revived_fraction_table"])
    np.testing.assert_allclose(merged["revived_fraction_core"], merged["revived_fraction_core_table"])


def test_windows_that_are_not_there(run, tmp_path):
    with pytest.raises(WindowNotFoundError, match="none of the windows 5:; it has 0 to 4"):
        cohorts(run, windows="5:")
    with pytest.raises(WindowNotFoundError, match="hold no updates"):
        cohorts(run, windows=0)
    pd.testing.assert_frame_equal(cohorts(run), cohorts(run, windows="0:"))
    one = open_run(synthetic_run(tmp_path / "run", {"a": random_walk((4, 30), 4)}, windows=1).path)
    assert transitions(one).empty
