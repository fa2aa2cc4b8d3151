"""The table of the closed forms, and what it refuses."""

import numpy as np
import pytest

from recu_analysis import tradeoff
from recu_analysis.errors import InputError
from recu_analysis.theory import entropy, laplace, quantization


def test_columns_are_the_closed_forms_of_every_scale_and_level():
    table = tradeoff((0.6, 0.9), b=[0.5, 2.0], points=4)
    assert table["tau"].tolist() == pytest.approx([0.6, 0.7, 0.8, 0.9] * 2)
    assert table["b"].tolist() == [0.5] * 4 + [2.0] * 4
    for name, function in {
        "quantile": laplace.quantile,
        "alpha": quantization.alpha,
        "qe_exact": quantization.exact,
        "qe_printed": quantization.printed,
        "qe_latent": quantization.latent,
        "entropy": entropy.clamped_entropy,
    }.items():
        np.testing.assert_array_equal(table[name], function(table["tau"].to_numpy(), table["b"].to_numpy()))


def test_defaults_and_a_fixed_tau():
    assert tradeoff().shape == (100, 8)
    assert tradeoff((0.9, 0.9))["tau"].tolist() == [0.9]
    assert np.isinf(tradeoff((0.9, 1.0))["quantile"].iloc[-1])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (((0.9, 0.8),), "tau goes from its lower to its higher end, not from 0.9 to 0.8"),
        (((0.5, 0.8),), r"tau must lie in \(0\.5, 1\], not 0\.5"),
        (((0.6, 0.8), -1.0), "the Laplace scale b must be a positive number, not -1"),
        (((0.6, 0.8), 1.0, 1), "a table over tau needs at least 2 points and at most 1000000, not 1"),
    ],
)
def test_what_is_refused(arguments, text):
    with pytest.raises(InputError, match=text):
        tradeoff(*arguments)
