"""What standardization makes of the scale, against scipy's distributions and plain samples."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from recu_analysis.errors import InputError
from recu_analysis.theory.scale import IRNET_SCALE, measured_scale_ratio, scale_ratio, standardized_scale
from recu_analysis.theory.standardize import WeightTransform, standard_scores

SCALES = st.floats(1e-6, 1e6)


@given(SCALES, st.floats(0.01, 100.0))
def test_every_scale_becomes_the_target(b, target):
    law = stats.laplace(scale=b)
    assert standardized_scale(b, target) == pytest.approx(b / (law.std() / (math.sqrt(2) * target)), rel=1e-12)
    assert standardized_scale(b, target) == pytest.approx(target, rel=1e-12)
    assert standardized_scale(b) == pytest.approx(b / law.std(), rel=1e-12) == IRNET_SCALE


@given(st.floats(0.3, 60.0))
def test_ratio_is_that_of_quadrature(beta):
    """Moments of exp(-|x|^beta), where beta < 2 in u = x^(beta/2), which has no far tail."""
    fold = max(1.0, 2.0 / beta)
    end = 50 ** (1 / (fold * beta))

    def moment(power):
        def integrand(u):
            return u ** (fold * (power + 1) - 1) * math.exp(-(u ** (fold * beta)))

        return integrate.quad(integrand, 0, end, epsabs=0, epsrel=1e-12, limit=200)[0]

    ratio = moment(1) / math.sqrt(moment(0) * moment(2))
    assert scale_ratio(beta) == pytest.approx(math.sqrt(2) * ratio, abs=1e-10)


def test_known_ratios_and_their_limit():
    assert scale_ratio([1.0, 2.0]) == pytest.approx([1.0, 2 / math.sqrt(math.pi)], rel=1e-13)
    ratios = scale_ratio(np.geomspace(0.05, 1e6, 200))
    assert (np.diff(ratios) > 0).all()
    assert ratios[-1] < math.sqrt(1.5)
    assert ratios[-1] == pytest.approx(math.sqrt(1.5), rel=1e-10)


@pytest.mark.parametrize("law", [stats.laplace(scale=3.0), stats.norm(scale=0.01), stats.gennorm(1.5)])
def test_measured_ratio_is_b_hat_of_a_layer_that_standardizes_over_its_target(law):
    weight = law.rvs((32, 2000), random_state=3)
    layer = WeightTransform(center=True, target=2.0, eps=0.0)
    expected = np.abs(layer.standardized(weight)).mean() / 2.0
    assert measured_scale_ratio(standard_scores(weight)) == pytest.approx(expected, rel=1e-12)
    beta = {"laplace": 1.0, "norm": 2.0, "gennorm": 1.5}[law.dist.name]
    assert expected == pytest.approx(float(scale_ratio(beta)), abs=0.01)


def test_measured_ratio_of_any_shape_and_dtype():
    assert measured_scale_ratio(np.array([[-128, 0]], np.int8)) == pytest.approx(64 * math.sqrt(2))
    assert measured_scale_ratio(1.0) == pytest.approx(math.sqrt(2))
    assert math.isnan(measured_scale_ratio([1.0, np.nan]))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: standardized_scale(0.0), r"scale b.*positive number, not 0"),
        (lambda: standardized_scale(1.0, np.inf), r"scale b.*positive number, not inf"),
        (lambda: standardized_scale(1j), r"scales.*real.*not of type complex128"),
        (lambda: scale_ratio([1.0, -2.0]), r"shape.*positive number, not -2"),
        (lambda: scale_ratio("2"), r"shapes.*real.*not of type <U1"),
        (lambda: measured_scale_ratio([]), "at least one standard score"),
        (lambda: measured_scale_ratio([1j]), r"real.*not of type complex128"),
    ],
)
def test_what_is_refused(call, text):
    with pytest.raises(InputError, match=text):
        call()
