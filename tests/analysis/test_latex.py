"""Tables in LaTeX: booktabs, captions and notes, totals, and what is done so that they fit a page of two columns."""

import re

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


def test_a_first_column_that_repeats_stands_once_above_each_block():
    table = pd.DataFrame({"arm": ["ReCU"] * 2 + ["a_b"] * 2, "layer": ["one", "two"] * 2, "weights": [1, 2, 3, 4]})
    lines = render(table, "latex", around=AROUND).splitlines()
    heads = [line for line in lines if line.startswith(r"\multicolumn{2}{l}{")]
    assert heads == [r"\multicolumn{2}{l}{ReCU} \\", r"\multicolumn{2}{l}{a\_b} \\"]
    assert lines[lines.index(heads[1]) - 1] == r"\midrule"
    assert not any(line.startswith("arm") for line in lines)
    assert "multicolumn" not in render(table.iloc[[0, 2]], "latex", around=AROUND), "nothing repeats"


def test_intervals_are_those_of_the_terminal_and_names_that_no_line_holds_are_shortened():
    names = [f"transformerencoderlayer{at:02}selfattentionqueryprojection" for at in range(24)]
    shown = ("dead_fraction", "silent_fraction_tail", "silent_fraction_core")
    table = pd.DataFrame(
        {"layer": names, "autocorrelation": 0.5}
        | {f"{n}{e}": 0.5 for n in (*shown, "autocorrelation") for e in ("", "_low", "_high")}
    )
    columns = [Column("layer"), *(Column(name, ends=10) for name in shown), Column("autocorrelation")]
    text = render(table, "latex", columns, AROUND)
    rows = [line.removeprefix(r"\raggedright ") for line in text.splitlines() if "(50.0 to 50.0)" in line]
    assert len({row.split(" & ")[0] for row in rows}) == 24
    assert all(f"{at:02}" in row.split(" & ")[0] for at, row in enumerate(rows))
    assert max(len(row.split(" & ")[0]) for row in rows) < 40
    assert all(row.endswith(r"& 0.500 \tabularnewline") for row in rows)
    assert "long names in column layer are shortened" in text
    assert "shortened" not in render(table.assign(layer="layer.1"), "latex", columns, AROUND)


def test_a_table_that_is_higher_than_a_page_is_in_parts_with_the_headings_of_their_blocks():
    """Blocks stay whole where they fit a page, every row stands once, and no total is alone."""
    for arms, count in (("abc", 24), ("ab", 56), *(("a", each) for each in range(44, 90))):
        layers = [*(f"layer{at}" for at in range(count)), "all"]
        table = pd.DataFrame({"arm": [arm for arm in arms for _ in layers], "layer": layers * len(arms), "weights": 1})
        table["row"] = ["total" if name == "all" else "layer" for name in table["layer"]]
        parts = render(table, "latex", around=AROUND).split(r"\begin{table}")[1:]
        assert len(parts) > 1
        rows = [[line.split(" & ")[0] for line in part.splitlines() if line.endswith(r"& 1 \\")] for part in parts]
        assert [name for part in rows for name in part] == layers * len(arms)
        assert count != 24 or rows == [layers] * 3
        assert max(map(len, rows)) < 56
        assert min(map(len, rows)) > 1
        for number, part in enumerate(parts, 1):
            assert f"Part {number} of {len(parts)}." in part
            assert (r"\label{tab:a}" if number == 1 else rf"\label{{tab:a-{number}}}") in part
            assert ("every 50" in part) == (number == 1), "notes stand once"
            assert part.split(r"\midrule")[1].splitlines()[1].startswith(r"\multicolumn{2}{l}{")
    assert "Part" not in render(TABLE, "latex", around=AROUND)


def test_names_have_two_lines_at_most():
    names = [f"model.encoder.layers.{at}.self_attention.query_projection.quantizer.binary" for at in range(24)]
    table = pd.DataFrame({"layer": names} | {f"column{at}": 123456.0 for at in range(10)})
    text = render(table, "latex", around=AROUND)
    assert "model.encoder.layers." in text.rpartition(r"\parbox")[2], "the note says what is cut"
    firsts = [line.split(" & ")[0] for line in text.splitlines() if line.startswith(r"\raggedright") and "e+05" in line]
    assert len(set(firsts)) == 24
    shown = [re.sub(r"\\raggedright |\\allowbreak\{\}|\\", "", name) for name in firsts]
    line = float(re.search(r"p\{(\d+)pt", text).group(1)) / 4.0  # in digits
    assert line < max(map(len, shown)) <= 2 * line / 0.8
