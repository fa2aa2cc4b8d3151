"""Every column of every public table is in the vocabulary, and nothing else is."""

import pytest

from recu_analysis.analysis import vocabulary
from recu_analysis.analysis.statistic import Statistic
from recu_analysis.analysis.vocabulary import GROUPS, SPREADS, STATISTICS, group_of, is_known, statistic
from recu_analysis.errors import InputError
from scripts import public_tables


@pytest.fixture(scope="module")
def columns():
    return {name for listed in public_tables.columns().values() for name in listed}


def test_every_column_is_in_the_vocabulary(columns):
    assert [name for name in sorted(columns) if not is_known(name)] == []


def test_every_entry_is_a_column_of_some_table(columns):
    grouped = {name.rpartition("_")[0] for name in columns if group_of(name)}
    assert [name for name in STATISTICS if name not in columns | grouped] == []


def test_every_column_has_a_sentence_and_a_label(columns):
    for name in columns:
        known = statistic(name)
        assert known.meaning.endswith("."), name
        assert "{" not in known.meaning, name
        assert known.label, name


def test_entries_say_nothing_twice():
    parts = [each for each in vars(vocabulary).values() if isinstance(each, tuple) and isinstance(each[0], Statistic)]
    assert sum(map(len, parts)) == len(STATISTICS), "two entries have the same name"
    for name in STATISTICS:
        base, _, form = name.rpartition("_")
        assert not base or form not in SPREADS, name
        if form in GROUPS and base in STATISTICS:  # written out where the other group is no part of the same whole
            assert base in {"died_fraction", "revived_fraction"}, name


def test_forms_of_a_statistic_follow_from_its_name():
    tail = statistic("mobility_tail")
    assert (tail.name, tail.label, tail.unit, tail.factor, tail.digits) == (
        "mobility_tail",
        "mobility, tail",
        "10^-3 std per update",
        1e3,
        2,
    )
    assert tail.meaning == "Mean |change of z| per update, over the weights of the tail."
    low = statistic("distance_ratio_tail_low")
    assert low.label == "sign changes, O/E, tail, lower end"
    assert low.digits == statistic("distance_ratio").digits
    assert statistic("mobility_std").factor == 1e3
    assert (group_of("mobility_core"), group_of("mobility_ratio")) == ("core", "")


def test_units_stand_behind_labels():
    assert statistic("silent_fraction").heading == "silent weights (%)"
    assert statistic("flip_ratio").heading == "flips per 1000 weights and update"
    assert statistic("layer").heading == "layer"


@pytest.mark.parametrize("name", ["mobilty", "tail", "mobility_low_tail", "layer_", ""])
def test_an_unknown_statistic_is_refused(name):
    assert not is_known(name)
    with pytest.raises(InputError, match="no statistic is called"):
        statistic(name)
