"""Rises over seeds: means of what every seed has, beside each seed, in the table and on the command line."""

from __future__ import annotations

import math

import pandas as pd
import pytest

import recu_analysis as ra
from recu_analysis.cli import intervene as command
from recu_analysis.errors import InputError
from recu_analysis.testing import synthetic_run
from recu_analysis.theory.intervals import student
from tests.cli_runner import run_cli
from tests.editing import edit_run
from tests.messages import facts, says

RISES = {("tail-silent", "unchanged"): 0.3, ("tail-flipped", "unchanged"): 0.1, ("tail-silent", "tail-flipped"): 0.2}


def table(seed, *, empty=False):
    """Layer one, one that is called all, and both at once; no weight of layer one is in a group if it is empty."""
    rows = [
        {
            **{"row": row, "layer": layer, "group": group, "reference": reference, "batch_norm": norm},
            **{"negated": 0 if empty and layer == "one" else 10, "negated_fraction": 0.1, "images": 50, "repeats": 5},
            **{"loss": 0.5, "rise": rise + 0.01 * seed + scale, "predicted_rise": math.nan, "accuracy_change": -0.1},
        }
        for scale, (row, layer) in enumerate((("layer", "one"), ("layer", "all"), ("total", "all")))
        for (group, reference), rise in RISES.items()
        for norm in ("fixed", "re-estimated")
    ]
    found = pd.DataFrame(rows)
    found = found.assign(rise_low=found["rise"] - 1e-3, rise_high=found["rise"] + 1e-3, image_error=0.0, draw_error=0.0)
    return found.assign(accuracy_change_low=-0.2, accuracy_change_high=0.0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    for arm, decay in (("one", 0.1), ("two", 0.2)):
        for seed in range(3):
            path = synthetic_run(folder / f"{arm}-{seed}", seed=10 * seed).path
            edit_run(path, configuration={"network": "synthetic", "seed": seed, "decay": decay})
    return folder


def test_means_are_students_over_the_seeds_of_each_experiment(runs):
    labels = [f"{arm}-{seed}" for arm in ("one", "two") for seed in range(3)]
    tables = {label: table(at, empty=label == "one-2") for at, label in enumerate(labels)}
    found = ra.rises_over_seeds({label: runs / label for label in labels}, tables)
    assert len(found) == 6 * 18 + 12 + 18, (
        "layer one is not in the means of the seeds of which one has no weights there"
    )
    each = found[found["run"] == "two-1"].drop(columns=["arm", "run", "seeds"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(each, tables["two-1"], check_dtype=False)
    means = found[found["run"].isna() & (found["row"] == "layer") & (found["layer"] == "all")]
    means = means[(means["reference"] == "tail-flipped") & (means["batch_norm"] == "fixed")]
    assert means["seeds"].tolist() == [3, 3]
    for row, first in zip(means.itertuples(), (0, 3), strict=True):
        expected = student([1.2 + 0.01 * (first + seed) for seed in range(3)])
        assert (row.rise, row.rise_low, row.rise_high) == pytest.approx(
            (expected.estimate, expected.low, expected.high)
        )
    with pytest.raises(InputError, match=facts("tables are of b", "runs are a")):
        ra.rises_over_seeds({"a": runs / "one-0"}, {"b": tables["one-0"]})


def test_the_command_shows_each_experiment_with_its_seeds(runs, monkeypatch, tmp_path):
    measured = iter(range(100))
    monkeypatch.setattr(command, "_measured", lambda *_, **__: table(next(measured)))
    monkeypatch.setattr("recu_analysis.training.trained_run.position_of", lambda path: None)
    paths = [runs / f"{arm}-{seed}" for arm in ("one", "two") for seed in range(3)]
    done = run_cli("intervene", *paths)
    assert done.exit_code == 0, done.stderr
    says(done.stderr, "one-0: run 1 of 6", "two-2: run 6 of 6")
    assert max(map(len, done.stdout.splitlines())) <= 80
    told = " ".join(done.stdout.split())
    says(told, "one-0, one-1, one-2: means", "means over 3 seeds", "tail-silent minus tail-flipped")
    says(told, "all fixed 10.0 1.3100*", "all layers fixed 10.0 2.3100*")
    says(told, "fixed 2.2100 (2.1852 to 2.2348): 2.2000, 2.2100, 2.2200")
    says(told, "fixed 2.2400 (2.2152 to 2.2648): 2.2300, 2.2400, 2.2500", "Student's over the seeds")
    run_cli("intervene", *paths, "-o", tmp_path / "table.csv")
    assert len(pd.read_csv(tmp_path / "table.csv")) == 6 * 18 + 2 * 18
    one = run_cli("intervene", paths[0], "-o", tmp_path / "one.csv")
    assert one.exit_code == 0
    assert list(pd.read_csv(tmp_path / "one.csv").columns) == list(table(0).columns)
