"""Accuracy curves: validation solid, training dashed, the top of the axis readable."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import same_color

from recu_analysis.errors import InputError
from recu_analysis.plots.training import accuracy


def test_each_run_has_a_solid_validation_and_a_dashed_training_line(accuracies, axes):
    accuracy(accuracies, ax=axes)
    lines = axes.get_lines()
    assert len(lines) == 4
    for number, run in enumerate(("ReCU", "baseline")):
        training, validation = lines[2 * number : 2 * number + 2]
        rows = accuracies[accuracies["run"] == run]
        assert np.array_equal(training.get_ydata(), rows["train_top1"])
        assert np.array_equal(validation.get_ydata(), rows["val_top1"])
        assert (training.get_linestyle(), validation.get_linestyle()) == ("--", "-")
        assert same_color(training.get_color(), validation.get_color())
    assert lines[1].get_marker() != lines[3].get_marker()


def test_legend_names_runs_and_kinds(accuracies, axes):
    accuracy(accuracies, ax=axes)
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["ReCU", "baseline", "training", "validation"]


def test_axis_shows_the_top_and_all_but_the_start(accuracies, axes):
    accuracy(accuracies, ax=axes)
    low, high = axes.get_ylim()
    late = accuracies.loc[accuracies["epoch"] > 5, ["train_top1", "val_top1"]].to_numpy()
    assert 60 < low < late.min()
    assert late.max() < high < 101
    assert axes.get_yscale() == "linear"


def test_labels_have_units(accuracies, axes):
    accuracy(accuracies, ax=axes)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "top-1 accuracy (%)")


def test_missing_values_are_gaps(accuracies, axes):
    accuracies.loc[accuracies["epoch"] == 9, "val_top1"] = np.nan
    accuracy(accuracies, ax=axes)
    axes.figure.draw_without_rendering()
    assert np.isnan(axes.get_lines()[1].get_ydata()[8])


@pytest.mark.parametrize("empty", [["val_top1"], ["train_top1", "val_top1"]])
def test_what_was_not_measured_is_left_out(accuracies, axes, empty):
    accuracies[empty] = np.nan
    accuracy(accuracies, ax=axes)
    axes.figure.draw_without_rendering()


def test_one_epoch_can_be_drawn(accuracies, axes):
    accuracy(accuracies[accuracies["epoch"] == 1], ax=axes)
    axes.figure.draw_without_rendering()


def test_unusable_tables_are_refused(accuracies, axes):
    with pytest.raises(InputError, match="columns run, train_top1"):
        accuracy(accuracies.drop(columns=["run", "train_top1"]), ax=axes)
    with pytest.raises(InputError, match="no rows"):
        accuracy(accuracies[:0], ax=axes)
