"""Every column of every public table is in the vocabulary, and nothing else is."""

import pytest

from recu_analysis.analysis import vocabulary
from recu_analysis.analysis.column_names import GROUPS, SPREADS, group_of, is_known, statistic
from recu_analysis.analysis.statistic import Statistic
from recu_analysis.analysis.vocabulary import STATISTICS
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
