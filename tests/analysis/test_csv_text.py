"""CSV: names whole, numbers exact, and cells that no spreadsheet runs where the user asks."""

import csv
import io
import math

import pandas as pd
import pytest

from recu_analysis.analysis.csv_text import csv_text, defused, safe_cells

FORMULAS = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "  =1",
    "\x00=1",
    "\u200b=1",
    "\uff1d1+1",
    "-x.y",
]
#: What is no formula: ordinary names, and numbers in texts.
HARMLESS = ["layer1.0.conv1", "a=b", "1-2", "-", "-0.5", "+3", "-1e-05", "", "'=1"]


def cells(text):
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("name", FORMULAS)
def test_a_formula_is_defused_where_the_user_asks(name):
    table = pd.DataFrame({"layer": [name], name: [-0.5]})
    assert cells(csv_text(table)) == [["layer", name], [name, "-0.5"]]
    with safe_cells():
        assert cells(csv_text(table)) == [["layer", f"'{name}"], [f"'{name}", "-0.5"]]
    assert cells(csv_text(table))[1][0] == name


def test_numbers_and_ordinary_names_stay_as_they_are():
    numbers = {"float": [-1.5, math.nan], "int": [-3, 4], "object": [-(10**400), None], "bool": [True, False]}
    table = pd.DataFrame({"name": ["-7", "x"]} | numbers)
    with safe_cells():
        safe = csv_text(table)
    assert safe == csv_text(table)
    assert [defused(name) for name in HARMLESS] == HARMLESS
