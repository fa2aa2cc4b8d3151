"""The statistic of a column follows from its name."""

import pytest

from recu_analysis.analysis.column_names import group_of, is_known, statistic
from recu_analysis.errors import InputError


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
