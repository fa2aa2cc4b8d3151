"""What a table of modules prints."""

import pandas as pd

from recu_analysis.analysis.module_table import MOST, ModuleTable


def table(count=3, name="layer", why="no adapter knows Conv2d"):
    columns = {"name": [f"{name}{at}" for at in range(count)], "binary": [at % 2 == 0 for at in range(count)]}
    columns |= {"shape": ["16x16x3x3"] * count, "verified": [(None, True, False)[at % 3] for at in range(count)]}
    return ModuleTable({**columns, "why": [why] * count})


def test_it_prints_name_answers_and_why_in_80_columns_and_is_a_dataframe():
    lines = str(table()).split("\n")
    assert [line.split()[:3] for line in lines[:4]] == [
        ["name", "binary", "verified"],
        ["layer0", "yes", "no"],  # "no adapter": verified is not known
        ["layer1", "no", "yes"],
        ["layer2", "yes", "no"],
    ]
    assert lines[-1] == "columns: name, binary, shape, verified, why"
    why = "because " * 20
    long = str(table(2 * MOST, "encoder.layers.attention.output.projection", why)).split("\n")
    assert max(map(len, long)) <= 80
    assert long[0] == "all names begin with encoder.layers.attention.output."
    assert long[-2] == f"and {MOST} more modules"
    begins = [at for at, line in enumerate(long) if line.startswith("projection")]
    assert [long[at].split()[0] for at in begins] == [f"projection{at}" for at in range(MOST)], "distinct"
    assert "".join(long[begins[0] : begins[1]]).count("because") == why.count("because"), "the whole reason"
    assert type(table()[["name"]]) is type(table().copy()) is pd.DataFrame


def test_what_is_no_table_of_modules_any_more_prints_as_pandas_does():
    renamed = table()
    renamed.columns = ["a", "b", "c", "d", "e"]
    assert str(renamed) == str(pd.DataFrame(renamed))
    assert "Empty DataFrame" in str(table(0))
