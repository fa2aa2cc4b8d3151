"""The table of ternary weights: its rows, and what it refuses."""

import pytest

from recu_analysis import ternary_tradeoff
from recu_analysis.errors import InputError
from recu_analysis.theory.ternary import ternary


def test_rows_are_the_closed_forms():
    table = ternary_tradeoff((0.0, 1.0), [0.5, 2.0], 3)
    assert table["distribution"].tolist() == ["laplace"] * 6 + ["normal"] * 6
    assert table["threshold"].tolist() == [0.0, 0.5, 1.0] * 4
    for row in table.itertuples():
        found = ternary(row.threshold, row.b, row.distribution)
        assert (row.zeros, row.ternary_scale, row.qe_ternary) == (found.zeros, found.scale, found.error)
        assert (row.qe_absmean, row.state_entropy) == (found.absmean_error, found.entropy)
        assert row.qe_binary == ternary(0.0, row.b, row.distribution).error
    assert ternary_tradeoff((0.7, 0.7), 1.0)["threshold"].tolist() == [0.7] * 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (((1.0, 0.5),), "threshold must go from its lower.*1 to 0.5"),
        (((-1.0, 0.5),), "at least 0, not -1"),
        (((0.0, 0.5), -2.0), "positive number, not -2"),
        (((0.0, 0.5), 1.0, 1), "over the threshold needs at least 2 points"),
    ],
)
def test_what_is_refused(arguments, text):
    with pytest.raises(InputError, match=text):
        ternary_tradeoff(*arguments)
