"""scripts/equal.py, which says whether two commits compute the same numbers, notices every kind of difference."""

import ast
import inspect
import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import click
import pytest

import recu_analysis as ra
from recu_analysis.cli import cli

SCRIPTS = Path(__file__).parents[1] / "scripts"


def script(name):
    spec = spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


equal, equal_cells = script("equal"), script("equal_cells")


def planted(values=("0.25", "nan"), columns=("layer", "memory")):
    """A table of two layers."""
    return ["dead-weights", "checkpoints/a", list(columns), [["conv1", values[0]], ["conv2", values[1]]]]


def found(old, new, renamed=None, intended=()):
    return equal.differences(equal.cells_of([old], renamed), equal.cells_of([new]), intended)


def test_the_same_tables_do_not_differ():
    assert found(planted(), planted()) == []


@pytest.mark.parametrize("changed", ["0.26", "0.25000000000000006", "nan", "None"])
def test_a_changed_digit_is_named(changed):
    (one,) = found(planted(), planted((changed, "nan")))
    assert one == (("dead-weights", "checkpoints/a", "conv1", "memory"), "0.25", changed, None)


def test_a_missing_row_column_or_table_differs_in_all_its_cells():
    name, of, columns, rows = planted()
    assert [each.new for each in found(planted(), [name, of, columns, rows[:1]])] == [equal.ABSENT] * 2
    assert len(found([name, of, columns, rows[1:]], planted())) == 2
    assert [each.cell.column for each in found([name, of, ["layer"], [["conv1"], ["conv2"]]], planted())] == [
        "memory",
        "memory",
    ]
    assert len(equal.differences({}, equal.cells_of([planted()]))) == 4


def test_rows_that_no_name_tells_apart_are_numbered():
    rows = [["0", "1.0"], ["0", "2.0"], ["1", "3.0"]]
    cells = equal.cells_of([["figure qe", "checkpoints/a", ["window", "error"], rows]])
    assert [cell.row for cell in cells if cell.column == "error"] == ["0", "0 #2", "1"]
    assert [cell.row for cell in equal.cells_of([["ra.horizon", "a", ["value"], [["1"], ["2"]]]])] == ["#1", "#2"]


def test_renamed_columns_are_the_same():
    new = planted(columns=("layer", "cosine"))
    assert len(found(planted(), new)) == 4
    assert found(planted(), new, {"memory": "cosine"}) == []
    assert found(planted(), new, {"dead-weights memory": "cosine", "memory": "wrong"}) == []


def test_what_is_intended_passes_with_its_reason(capsys):
    intended = [{"table": "dead-*", "row": "conv1", "column": "memory", "reason": "rounded"}]
    differ = found(planted(), planted(("0.26", "nan")), intended=intended)
    assert equal.report(4, differ, intended) == 0
    assert capsys.readouterr().out == "intended, 1 cells: rounded\n4 cells, 1 differ, 1 of them intended\n"
    differ = found(planted(), planted(("0.26", "0.5")), intended=intended)
    assert equal.report(4, differ, intended) == 1
    assert "dead-weights | checkpoints/a | conv2 | memory: nan -> 0.5\n" in capsys.readouterr().out


def test_an_intention_needs_a_reason(tmp_path):
    (tmp_path / "lists.toml").write_text('[[intended]]\ntable = "compare"\n', encoding="utf-8")
    with pytest.raises(SystemExit, match="needs a reason"):
        equal.lists(tmp_path / "lists.toml")
    renamed, spellings, intended = equal.lists(SCRIPTS / "equal.toml")
    assert all(isinstance(each, str) for each in renamed.values())
    assert all(isinstance(each, list) for each in spellings.values())
    assert all(entry["reason"] for entry in intended)


def test_what_is_no_commit_is_said_in_a_sentence():
    with pytest.raises(SystemExit, match="is not a commit"), equal.checkout("no-such-commit"):
        pass


def texts():
    """Every text in the source of what collects the tables."""
    source = ast.parse((SCRIPTS / "equal_cells.py").read_text(encoding="utf-8"))
    return {node.value for node in ast.walk(source) if isinstance(node, ast.Constant)}


def test_every_command_that_prints_json_is_compared():
    context = click.Context(cli)
    commands = {name: cli.get_command(context, name).params for name in cli.list_commands(context)}
    told = {name for name, params in commands.items() if "json" in [*formats(params)]}
    assert len(told) >= 11
    assert told - {"intervene", "levels"} <= texts()


def formats(params):
    for each in params:
        if "--format" in each.opts and isinstance(each.type, click.Choice):
            yield from each.type.choices


#: Tables that causes, compare and dead-weights write with --format json.
WRITTEN_BY_COMMANDS = {
    "causes_over_seeds",
    "compare",
    "curves",
    "dead_weights_over_seeds",
    "layer_differences",
    "over_seeds",
    "paired_differences",
    "rises_over_seeds",
}


def test_every_public_function_that_returns_a_table_is_compared():
    tables = {name for name in ra.__all__ if "DataFrame" in str(returned(getattr(ra, name)))}
    assert {"layer_table", "tails", "claims", "paper_table"} <= tables
    # convert changes a network, intervene needs one, older runs have no traces, shipped ones no more than two levels.
    apart = {"convert", "intervene", "traces", "levels", "state_transitions"}
    assert tables - WRITTEN_BY_COMMANDS - apart | {"decorrelation_time"} <= texts()


def returned(function):
    return inspect.signature(function).return_annotation if inspect.isfunction(function) else None


def test_a_run_is_collected_with_its_windows_given(monkeypatch):
    monkeypatch.chdir(SCRIPTS.parent)
    run = Path("checkpoints/tau/0.85-0")
    assert equal_cells.chosen(run) == (24, 25)
    assert equal_cells.chosen(Path("checkpoints/fashion/recu-0")) == (8, 13)
    tables = [*equal_cells.tables_of_run(run), *equal_cells.command(str(run), "fit", str(run), "--windows", "24")]
    assert not [each for each in tables if each[2] == ["error"]]
    assert ("fit", str(run), ["exit code", "said"], [["0", "''"]]) in tables
    assert len(equal.cells_of(json.loads(json.dumps(tables)))) > 1000


def test_other_spellings_are_taken_where_they_are(monkeypatch):
    monkeypatch.setattr(equal_cells, "SPELLINGS", {"--windows": ["--windows", "--window"]})
    assert equal_cells.spelled("--windows", {"--window"}) == "--window"
    assert equal_cells.typed("fit", "run", "--windows", "3") == ["fit", "run", "--windows", "3"]
    assert equal_cells.label_of(["fit", "checkpoints/a", "--windows", "3", "--raw"]) == "fit --raw"
