"""One table in all six forms, names from runs escaped in each, and the formats of numbers and intervals."""

import json
import math
from html.parser import HTMLParser

import pandas as pd
import pytest

from recu_analysis.analysis.markup import Surroundings, in_mathtext, in_unicode
from recu_analysis.analysis.rendering import (
    FORMATS,
    Column,
    count,
    estimate,
    explanations,
    fitting,
    heading,
    laid_out,
    number,
    of_claim,
    printable,
    render,
    shown,
    shown_alike,
    with_interval,
)
from recu_analysis.errors import InputError

NAN = float("nan")
HOSTILE = "a_b&<script>|$x^2$\\%#{~}`*[l](u)\n\x1b[31m"
TABLE = pd.DataFrame(
    {
        "layer": ["a_b", "c"],
        "weights": [9, 1200],
        "exact": [True, False],
        "mobility": [0.0012345678912, NAN],
        "mobility_low": [0.001, NAN],
        "mobility_high": [0.0015, NAN],
    }
)
COLUMNS = (
    Column("layer"),
    Column("weights", "n", 4),
    Column("exact", "seen"),
    Column("mobility", "mob.", 4, ends=9),
)


def test_text_has_the_headings_and_the_room_of_its_columns():
    assert render(TABLE, "table", COLUMNS).splitlines() == [
        "layer    n seen mob.      95 %",
        "a_b      9 yes  1.23 1.00 1.50",
        "c     1200 no      -         -",
    ]


def test_csv_and_json_hold_what_the_table_holds():
    assert render(TABLE, "csv", COLUMNS).splitlines() == [
        "layer,weights,exact,mobility,mobility_low,mobility_high",
        "a_b,9,True,0.00123456789,0.001,0.0015",
        "c,1200,False,,,",
    ]
    first, second = json.loads(render(TABLE, "json", COLUMNS))
    assert first["mobility"] == 0.0012345678912
    assert second == {"layer": "c", "weights": 1200, "exact": False} | dict.fromkeys(TABLE.columns[3:])


AROUND = Surroundings("Mobility of a|b.", "tab:mobility", ["windows 1:2", "|z| <b>"])


def test_markdown_has_a_line_a_row_and_its_notes_below():
    lines = [
        "| layer | weights | exact | mobility (10⁻³ std per update) |",
        "| :--- | ---: | :--- | ---: |",
        r"| a\_b | 9 | yes | 1.23 (1.00 to 1.50) |",
        "| c | 1200 | no | - |",
    ]
    assert render(TABLE, "markdown", COLUMNS).splitlines() == lines
    notes = ["", r"- Mobility of a\|b.", "- windows 1:2", r"- \|z\| &lt;b&gt;"]
    assert render(TABLE, "markdown", COLUMNS, AROUND).splitlines() == lines + notes


class Cells(HTMLParser):
    """The texts of the cells, and every tag."""

    def __init__(self, text):
        super().__init__()
        self.cells, self.tags = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag in {"td", "th"}:
            self.cells.append("")

    def handle_data(self, data):
        if data.strip():
            self.cells[-1] += data


def test_html_is_a_table():
    found = Cells(render(TABLE, "html", COLUMNS))
    assert found.cells[:4] == ["layer", "weights", "exact", "mobility (10⁻³ std per update)"]
    assert found.cells[4:8] == ["a_b", "9", "yes", "1.23 (1.00 to 1.50)"]
    assert found.tags == {"table", "thead", "tbody", "tr", "th", "td"}
    text = render(TABLE, "html", COLUMNS, AROUND)
    assert "<caption>Mobility of a|b.</caption>" in text
    assert text.splitlines()[-2:] == ["<p>windows 1:2</p>", "<p>|z| &lt;b&gt;</p>"]


@pytest.mark.parametrize("where", ["cell", "heading"])
def test_names_from_runs_are_escaped(where):
    table = pd.DataFrame({"layer": [HOSTILE], "x": [1]} if where == "cell" else {"layer": ["a"], HOSTILE: [1]})
    text, latex, markdown, page = (render(table, each) for each in ("table", "latex", "markdown", "html"))
    assert all("\x1b" not in each for each in (text, latex, markdown, page))
    assert len(text.splitlines()) == 2
    assert len(latex.splitlines()) == 7
    shown_name = r"a\_b\&" if where == "cell" else r"a \\ b\&"  # a long heading is broken at its spaces
    assert shown_name + r"\textless{}script\textgreater{}\textbar{}\$x\textasciicircum{}2\$\textbackslash{}" in latex
    assert len(markdown.splitlines()) == 3
    assert r"&lt;script&gt;\|\$x^2\$\\%#{\~}\`\*\[l\](u)\\n\\x1b\[31m |" in markdown
    found = Cells(page)
    assert "script" not in found.tags
    assert printable(HOSTILE.replace("_", " ") if where == "heading" else HOSTILE) in found.cells
    assert json.loads(render(table, "json")) == table.to_dict(orient="records")


@pytest.mark.parametrize("table_format", FORMATS)
def test_an_empty_table_has_its_headings(table_format):
    text = render(TABLE.iloc[:0], table_format, COLUMNS)
    assert ("weights" in text) == (table_format not in {"json", "table"})


def test_an_unknown_format_is_refused():
    with pytest.raises(InputError, match="no format of a table is called 'xlsx'; known are table, csv"):
        render(TABLE, "xlsx")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("silent_fraction_tail", 0.12345, "12.3"),
        ("mobility", 0.0012345, "1.23"),
        ("weights", 12, "12"),
        ("update_magnitude", 0.000123456, "0.0001235"),
        ("qe_exact", 0.00001234, "1.23e-05"),
        ("not in the vocabulary", 1.23456, "1.235"),
        ("layer", "a", "a"),
        ("autocorrelation", NAN, "-"),
        ("decay_time", None, "-"),
        ("exact", True, "yes"),
        ("flip_risk_ratio", math.inf, "inf"),
        ("val_top1", 10**400, "inf"),
        ("val_top1", -(10**400), "-inf"),
    ],
)
def test_a_value_has_its_factor_and_digits(name, value, text):
    assert shown(name, value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (9.996, "10.0"), (99.96, "100"), (1234.4, "1234"), (12345.0, ">999"), (-0.123, "-0.1")],
)
def test_digits_give_way_where_there_is_no_room(value, text):
    assert fitting(value, 2, 4) == text


def test_a_column_has_equal_digits_unless_a_number_would_look_like_zero():
    for values, width, texts in (
        ([0.999, 1.0], 4, ["100", "100"]),
        ([0.999, 1.0], 5, ["99.9", "100.0"]),
        ([0.004, 1.0], 4, ["0.4", "100"]),
        ([float("nan"), 0.5], 4, ["-", "50.0"]),
        ([-1e-9, 0.5], 4, ["0.0", "50.0"]),
    ):
        assert shown_alike("silent_fraction", values, width) == texts, values


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (589_824, "589824"), (2_359_296, "2.359M"), (11.2e6, "11.2M"), (5e9, "5G")]
)
def test_counts_fit_six_characters(value, text):
    assert count(value) == fitting(value, 0, 6) == text
    assert len(text) <= 6


def test_an_estimate_has_its_interval_and_its_spread():
    row = {"dead_fraction": 0.5, "dead_fraction_low": 0.25, "dead_fraction_high": 0.75, "dead_fraction_std": 0.1}
    assert estimate(row, "dead_fraction") == "50.0 (25.0 to 75.0), std 10.0"
    assert estimate(row | {"dead_fraction_high": NAN, "dead_fraction_std": NAN}, "dead_fraction") == "50.0"
    assert estimate({"note": "a", "note_std": "b", "note_low": None}, "note") == "a"


def test_missing_numbers_are_dashes():
    assert number(NAN, ".2f") == "-"


def test_a_column_is_as_wide_as_its_heading_and_texts_are_set_to_the_left():
    names = pd.DataFrame(
        {"layer": ["a_b", "层"], "shape": ["3x3", "16x3"], "windows": ["8:13", "-"], "mobility": [1e-3, NAN]}
    )
    columns = [Column(name, meaning="m") for name in ("layer", "shape", "windows")]
    assert laid_out(names, [*columns, Column("mobility", "mobility*", 4)]).lines() == [
        "layer shape windows mobility*",
        "a_b   3x3   8:13         1.00",
        "层    16x3  -               -",
    ]


def test_columns_of_a_group_stand_under_its_name():
    table = pd.DataFrame({name: [0.5] for name in ("layer", "mobility_tail", "mobility_core", "silent_fraction_tail")})
    columns = [Column("layer", width=5), *(Column(name, width=4) for name in table.columns[1:])]
    assert laid_out(table, columns).lines() == [
        "       mobility % silent",
        "layer tail core     tail",
        "  0.5  500  500     50.0",
    ]


def test_a_column_is_explained_under_the_heading_that_is_shown():
    columns = (
        Column("autocorrelation"),
        Column("mobility_tail", ends=9),
        Column("silent_fraction_core"),
        Column("autocorrelation"),
        Column("qe_exact", "exact", group="QE", meaning="An error."),
        Column("not in the vocabulary"),
    )
    assert explanations(columns) == [
        "ac (cosine): Cosine between z at the start and z at the end of the windows.",
        "mobility tail (10^-3 std per update): Mean |change of z| per update, over the weights of the tail.",
        "% silent core: Of the weights of the core, those that did not flip.",
        "QE exact: An error.",
        "95 %: The 95 % interval of the column before it.",
    ]


@pytest.mark.parametrize(
    ("words", "mathematics"),
    [
        (heading("mobility"), "mobility ($10^{-3}$ std per update)"),
        (heading("abs_z"), "$|z|$ at the start (std)"),
        (heading("gradient"), "mean $|$gradient$|$, layer's mean = 1"),
        (heading("tau"), r"level $\tau$"),
        (heading("qe_exact_relative"), r"exact error / $\hat{b}^{2}$"),
        (heading("b_star"), "target scale $b^*$"),
        (heading("rho"), r"restored fraction $\rho$"),
    ],
)
def test_symbols_of_the_vocabulary_are_set_as_mathematics(words, mathematics):
    assert in_mathtext(words) == mathematics


def test_powers_are_raised_digits_on_pages():
    assert in_unicode(heading("mobility")) == "mobility (10⁻³ std per update)"


@pytest.mark.parametrize(
    ("value", "written", "claim"),
    [
        ((0.5, 0.25, 0.75), "0.5 (0.25 to 0.75)", "0.5 (0.25 to 0.75)"),
        ((0.5, math.nan, math.nan), "0.5", "0.5"),
        ((0.5, 0.25, math.nan), "0.5", "0.5"),
        ((2.0, 2.0, 2.0), "2 (2 to 2)", "2"),
        ((math.nan, math.nan, math.nan), "-", ""),
    ],
)
def test_a_missing_interval_is_not_written(value, written, claim):
    assert with_interval(*value) == written
    assert of_claim(*value) == claim
