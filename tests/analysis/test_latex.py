"""Tables in LaTeX: booktabs, captions and notes, totals, and what is done so that they fit a page of two columns."""

import pandas as pd

from recu_analysis.analysis.markup import Surroundings
from recu_analysis.analysis.rendering import Column, render

TABLE = pd.DataFrame({"layer": ["a_b", "c"], "mobility": [0.00123, float("nan")], "exact": [True, False]}).assign(
    mobility_low=[0.001, float("nan")], mobility_high=[0.0015, float("nan")]
)
AROUND = Surroundings("Mobility of a_b.", "tab:a", ["every 50 % seen", "T = lr x decay"])


def test_a_tabular_has_labels_units_and_intervals():
    assert render(TABLE, "latex").splitlines() == [
        r"\begin{tabular}{lrl}",
        r"\toprule",
        r"layer & \shortstack[r]{mobility \\ ($10^{-3}$ std \\ per \\ update)} & exact \\",
        r"\midrule",
        r"a\_b & 1.23 (1.00 to 1.50) & yes \\",
        r"c & -- & no \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_a_float_has_caption_label_notes_and_a_rule_before_the_total():
    table = TABLE.assign(row=["layer", "total"])
    lines = render(table, "latex", around=AROUND).splitlines()
    assert lines[0] == r"% \usepackage{booktabs}"
    assert (lines[1], lines[-1]) == (r"\begin{table}", r"\end{table}")
    assert r"\caption{Mobility of a\_b.}" in lines
    assert r"\label{tab:a}" in lines
    assert lines[lines.index(r"a\_b & 1.23 (1.00 to 1.50) & yes \\") + 1] == r"\midrule"
    assert lines[-2] == r"\par\smallskip\parbox{\linewidth}{\raggedright every 50 \% seen \\ T = lr x decay}"
    assert not any("row" in line.split(" & ") for line in lines)


def test_a_wide_table_gets_the_page_then_its_intervals_below_their_numbers_then_its_names_in_lines():
    names = ("mobility", "silent_fraction", "slope", "auc", "shape", "density")
    table = pd.DataFrame({each: [0.5] for name in names for each in (name, f"{name}_low", f"{name}_high")})
    narrow, wide, wider = (
        render(table, "latex", [Column(name) for name in names[:count]], AROUND) for count in (2, 4, 6)
    )
    assert r"\begin{table}" in narrow
    assert r"\begin{table*}" in wide
    assert r"0.500 (0.500 to 0.500)" in wide
    assert r"\begin{tabular}[t]{@{}r@{}}0.500 \\ (0.500 to 0.500)\end{tabular}" in wider
    long = pd.DataFrame({"layer": ["first.layer." * 12], "run": ["short"], "weights": [-3]})
    broken = render(long, "latex", around=AROUND)
    assert r"\raggedright first.\allowbreak{}layer.\allowbreak{}" in broken
    assert r"short & $-$3 \tabularnewline" in broken


def test_what_a_row_begins_with_is_no_argument_of_the_row_before():
    assert "{}[1, 2] &" in render(pd.DataFrame({"what": ["a", "[1, 2]"], "n": [1, 2]}), "latex")
    assert r"-{}-format" in render(pd.DataFrame({"what": ["--format"]}), "latex")


def test_a_note_keeps_its_star_and_its_bracket():
    text = render(TABLE, "latex", around=Surroundings("A.", "tab:a", ["first", "* dead: 3", "[1] a source"]))
    assert r"first \\ {}* dead: 3 \\ {}[1] a source" in text
