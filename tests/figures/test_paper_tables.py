"""The paper's tables: reported values as printed, own ones in their rows, and never one for the other."""

from __future__ import annotations

import json
import math

import pytest

import recu_analysis as ra
from recu_analysis.errors import InputError
from recu_analysis.figures import draw_figure
from recu_analysis.figures.paper_tables import OURS, REPORTED, TABLES
from tests.editing import marks_of, write_marks


@pytest.mark.parametrize(("number", "rows"), [(1, 10), (2, 6), (3, 8), (4, 21), (5, 19)])
def test_without_runs_there_are_reported_values_only(number, rows):
    table = ra.paper_table(number)
    assert len(table) == rows
    assert set(table["source"]) == {REPORTED}
    assert table[["seeds", "runs", "setting"]].isna().all(axis=None)
    assert table["top1_mean"].between(40, 95).all()


def test_reported_values_are_those_of_the_paper():
    best = ra.paper_table(1).set_index("tau").loc["0.94"]
    assert (best["top1_mean"], best["top1_std"]) == (86.67, 0.34)
    ours = ra.paper_table(4).set_index(["network", "method"]).loc[("ResNet-20", "ReCU")]
    assert ours["top1_mean"] == 87.4
    assert ra.paper_table(5).set_index(["network", "method"]).loc[("ResNet-34", "ReCU"), "top5_mean"] == 85.8


def test_seeds_of_a_row_are_averaged_and_rows_are_told_by_configuration(trained):
    runs = {
        "a": trained("a", 90.0, tau=[0.94, 0.94], seed=0),
        "b": trained("b", 92.0, tau=[0.94, 0.94], seed=1),
        "c": trained("c", 80.0, recu=False),
        "d": trained("d", 70.0, tau=[0.94, 0.94], mask="random"),
        "e": trained("e", 60.0),
        "f": trained("f", 50.0, tau=[0.95, 0.95]),
    }
    table = ra.paper_table(1, runs)
    ours = table[table["source"] == OURS].set_index("tau")
    assert ours["runs"].to_dict() == {"0.94": "a b", "1.00": "c", "0.95": "f"}
    assert (ours.loc["0.94", "top1_mean"], ours.loc["0.94", "seeds"]) == (91.0, 2)
    assert ours.loc["0.94", "top1_std"] == pytest.approx(math.sqrt(2.0))
    assert math.isnan(ours.loc["1.00", "top1_std"])
    shown = ["tau", "source", "top1_mean", "top1_std"]
    assert table.loc[table["source"] == REPORTED, shown].equals(ra.paper_table(1)[shown])
    assert ra.paper_table(2, runs).dropna(subset="runs")["runs"].tolist() == ["e"]


def test_runs_without_a_seed_are_rows_of_their_own(trained, tmp_path):
    runs = {name: trained(name, top1, seed=None) for name, top1 in {"a": 90.0, "b": 92.0}.items()}
    ours = ra.paper_table(2, runs).dropna(subset="runs")
    assert ours[["top1_mean", "seeds", "runs"]].to_numpy().tolist() == [[90.0, 1, "a"], [92.0, 1, "b"]]
    assert [words.rpartition(", ")[2] for words in ours["setting"]] == ["run a", "run b"]
    text = draw_figure("table2", runs, directory=tmp_path / "drawn")[1].read_text()
    assert r"$90.00$ (1) & $92.00$ (1) \\" in text


def test_a_mean_is_over_as_many_seeds_as_the_row_says(trained):
    """Of two seeds one logged no top-5 accuracy, and a third run nothing at all."""
    runs = {
        name: trained(name, seed=seed, dataset="imagenet", network="resnet18_imagenet")
        for seed, name in enumerate(("a", "b", "c"))
    }
    for name, logged in (("a", {"val_top5": 99.0}), ("c", {"val_top1": None})):
        write_marks(runs[name].path, [mark | logged for mark in marks_of(runs[name].path)])
        runs[name] = ra.open_run(runs[name].path)
    (row,) = ra.paper_table(5, runs).dropna(subset="runs").to_dict(orient="records")
    assert (row["seeds"], row["runs"], row["top1_mean"]) == (2, "a b", 90.0)
    assert math.isnan(row["top5_mean"])


def test_other_settings_are_other_columns(trained):
    runs = {
        "a": trained("a", scale=math.sqrt(0.5)),
        "b": trained("b", scale=math.sqrt(0.5), initial_scale=0.5946),
        "c": trained("c", scale=2.0),
    }
    ours = ra.paper_table(3, runs).dropna(subset="runs")
    assert ours["b_star"].tolist() == ["sqrt(2)/2", "sqrt(2)/2", "2"]
    assert ours["setting"].tolist() == [
        f"resnet20, digits, 4 epochs, tau = 0.85 to 0.99, initial scale = {scale}" for scale in ("1", "0.595", "1")
    ]


def test_a_setting_that_an_old_run_lacks_is_what_it_did(trained):
    old = trained("old")
    for compiled in (False, True):
        runs = {"old": old, "new": trained(f"new-{compiled}", compile=compiled, initial_scale=0.5)}
        settings = ra.paper_table(2, runs).dropna(subset="runs")["setting"].tolist()
        assert ["compile = False" in words for words in settings] == [compiled, False]
        assert ["compile = True" in words for words in settings] == [False, compiled]


def test_tables_of_methods_take_runs_on_their_own_data_only(trained):
    runs = {"digits": trained("digits"), "cifar": trained("cifar", dataset="cifar10", network="vgg_small")}
    ours = ra.paper_table(4, runs).dropna(subset="runs")
    assert ours[["network", "method", "runs"]].to_numpy().tolist() == [["VGG-small", "ReCU", "cifar"]]
    assert ra.paper_table(5, runs)["runs"].isna().all()


@pytest.mark.parametrize("name", TABLES)
def test_latex_says_which_column_is_whose(trained, tmp_path, name):
    runs = {"a": trained("a"), "b": trained("b", 91.0, seed=1), "c": trained("c", scale=1.0)}
    files = draw_figure(name, runs, directory=tmp_path / "drawn")
    assert [path.name for path in files] == [f"{name}.csv", f"{name}.tex", f"{name}.json"]
    text = files[1].read_text()
    assert r"\multicolumn" in text
    assert "not measured by us" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len({line.count("&") for line in rows[1:]}) == 1
    # A column without any value is not drawn.
    none = name in {"table1", "table4", "table5"}
    assert ("No value of ours is shown" in text, "{Ours" in text) == (none, not none)
    assert json.loads(files[2].read_text())["reported"].endswith(f"Table {name[-1]}")
    again = draw_figure(name, runs, directory=tmp_path / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]


def test_own_values_stand_in_their_own_column(trained, tmp_path):
    runs = {"a": trained("a", 90.0), "b": trained("b", 92.0, seed=1)}
    text = draw_figure("table2", runs, directory=tmp_path / "drawn")[1].read_text()
    assert r"0.85 & 0.99 & $86.89 \pm 0.19$ & $91.00 \pm 1.41$ (2) \\" in text
    assert r"0.85 & 1.00 & $86.76 \pm 0.16$ &  \\" in text


def test_names_in_captions_are_data(trained, tmp_path):
    text = draw_figure("table2", {"a": trained("a", dataset=r"$x$_\input")}, directory=tmp_path)[1].read_text()
    assert r"Ours: resnet20, \$x\$\_\textbackslash{}input, 4 epochs" in text


@pytest.mark.parametrize("settings", [{"tau": 0.9}, {"tau": None, "scale": "2"}, {"tau": ["a", "b"], "scale": None}])
def test_configurations_of_others_are_no_rows(trained, settings):
    runs = {"theirs": trained("theirs", **settings)}
    assert all(ra.paper_table(number, runs)["runs"].isna().all() for number in (1, 2, 4, 5))
    ra.paper_table(3, runs)


def test_other_methods_are_no_rows_of_recu(trained):
    runs = {"theirs": trained("theirs", binarizer="xnor", recu=False, dataset="cifar10", tau=[0.9, 0.9])}
    for number in (1, 2, 3, 4):
        assert ra.paper_table(number, runs)["runs"].isna().all(), number


def test_no_other_table_is_known():
    with pytest.raises(InputError, match="1 to 5, not 6"):
        ra.paper_table(6)
