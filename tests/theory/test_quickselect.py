"""Ranks against np.partition and np.median, for few and many values, ties, and samples that mislead."""

import numpy as np
import pytest

from recu_analysis.theory.quickselect import _SAMPLE, median, of_rank, places_of_ranks

MANY = 4 * _SAMPLE + 1001
GENERATOR = np.random.default_rng(0)
VALUES = {
    "few": GENERATOR.normal(size=1001),
    "normal": GENERATOR.normal(size=MANY),
    "even": GENERATOR.laplace(size=MANY + 1),
    "ties": GENERATOR.integers(0, 5, size=MANY).astype(np.float64),
    "constant": np.full(MANY, 2.5),
    "rising": np.sort(GENERATOR.normal(size=MANY)),
    "with infinity": np.append(GENERATOR.normal(size=MANY), [np.inf, -np.inf]),
}
# The sample sees only zeros, which are few.
_HIDDEN = GENERATOR.normal(1.0, 0.1, size=5 * _SAMPLE)
_HIDDEN[(np.arange(_SAMPLE) * 5.0).astype(np.intp)] = 0.0
VALUES["misleading"] = _HIDDEN


@pytest.mark.parametrize("name", VALUES)
def test_every_rank_is_that_of_the_ordered_values(name):
    values = VALUES[name]
    ordered = np.sort(values)
    for rank in (0, 1, values.size // 7, values.size // 2, int(values.size * 0.7), values.size - 2, values.size - 1):
        assert of_rank(values, rank) == ordered[rank]
    assert median(values) == np.median(values)


def test_places_are_those_of_a_stable_sort():
    finite = {name: np.abs(values) for name, values in VALUES.items() if np.isfinite(values).all()}
    far = np.append(finite["normal"], 1e9)  # all other values share an interval
    for values in (*finite.values(), far, np.zeros(MANY), np.full(MANY, 5e-324)):
        ranks = np.unique(np.linspace(0, values.size - 1, 300).astype(np.int64))
        assert np.array_equal(places_of_ranks(values, ranks), np.argsort(values, kind="stable")[ranks])


def test_nothing_has_no_median():
    assert np.isnan(median(np.empty(0)))
    assert median(np.array([3.0])) == 3.0
