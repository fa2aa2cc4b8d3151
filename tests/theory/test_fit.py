"""Fits of Laplace, normal and generalized normal against scipy, and the memory that they take."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recu_analysis.errors import InputError
from recu_analysis.theory import blocks
from recu_analysis.theory import fit as fits
from recu_analysis.theory.fit import fit, ks_distance, ks_laplace, laplace_scale

LAWS = {"laplace": stats.laplace(scale=0.7), "normal": stats.norm(scale=2.0), "gennorm": stats.gennorm(1.4, scale=3.0)}


def sample(name="laplace", size=(24, 90), seed=2):
    return LAWS[name].rvs(size, random_state=seed)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_likelihood_aic_and_distances_are_scipys(name, dtype):
    values = sample(name).astype(dtype)
    flat = values.ravel().astype(np.float64)
    found = fit(values)
    laplace, normal = stats.laplace(scale=np.abs(flat).mean()), stats.norm(scale=np.sqrt((flat**2).mean()))
    general = stats.gennorm(*stats.gennorm.fit(flat, 1.5, floc=0, scale=flat.std()))
    aic = {law: 2 * k - 2 * law.logpdf(flat).sum() for law, k in ((laplace, 1), (normal, 1), (general, 2))}
    assert found.weights == flat.size
    assert found.scale.estimate == pytest.approx(laplace.std() / math.sqrt(2))
    assert found.deviation == pytest.approx(normal.std())
    assert found.shape.estimate == pytest.approx(general.args[0], rel=1e-3)
    assert found.log_likelihood == pytest.approx(laplace.logpdf(flat).sum(), rel=1e-12)
    assert found.aic_normal == pytest.approx(aic[normal] - aic[laplace], rel=1e-9)
    assert found.aic_gennorm == pytest.approx(aic[general] - aic[laplace], abs=1e-3)
    assert found.ks_laplace == pytest.approx(stats.kstest(flat, laplace.cdf).statistic, abs=1e-12)
    assert found.ks_normal == pytest.approx(stats.kstest(flat, normal.cdf).statistic, abs=1e-12)
    assert not found.flat


@pytest.mark.parametrize(("name", "best"), [("laplace", "laplace"), ("normal", "normal"), ("gennorm", "gennorm")])
def test_the_law_behind_the_weights_wins(name, best):
    found = fit(sample(name, (60, 900)))
    aic = {"laplace": 0.0, "normal": found.aic_normal, "gennorm": found.aic_gennorm}
    if best == "gennorm":
        assert min(aic, key=aic.get) == "gennorm"
    else:
        assert aic[best] < aic[{"laplace": "normal", "normal": "laplace"}[best]]
        assert aic["gennorm"] > aic[best] - 6  # its extra parameter buys no more than chance gives


@pytest.mark.parametrize(("location", "where"), [("zero", lambda v: 0.0), ("mean", np.mean), ("median", np.median)])
@pytest.mark.parametrize("size", [(9, 11), (10, 10)])
def test_the_location_is_subtracted_first(location, where, size):
    values = sample("normal", size) + 0.8
    found = fit(values, location=location)
    assert found.location == pytest.approx(where(values))
    shifted = fit(values - where(values))
    for name in ("deviation", "log_likelihood", "ks_laplace", "ks_normal", "aic_normal"):
        assert getattr(found, name) == pytest.approx(getattr(shifted, name), rel=1e-9)
    assert found.shape.low == pytest.approx(shifted.shape.low, rel=1e-6)


@pytest.mark.parametrize("unit", [1e-200, 1e-5, 1e200])
def test_the_unit_changes_only_what_has_one(unit):
    values = sample("gennorm")
    small, plain = fit(values * unit), fit(values)
    for name in ("ks_laplace", "ks_normal", "aic_normal", "aic_gennorm"):
        assert getattr(small, name) == pytest.approx(getattr(plain, name), rel=1e-6)
    assert small.scale.high == pytest.approx(plain.scale.high * unit)
    assert small.deviation == pytest.approx(plain.deviation * unit)
    assert small.log_likelihood == pytest.approx(plain.log_likelihood - values.size * math.log(unit))


@given(st.integers(1, 60), st.integers(1, 30))
def test_scale_is_the_plain_mean(channels, each):
    values = np.random.default_rng(channels).normal(size=(channels, each))
    assert laplace_scale(values).estimate == pytest.approx(np.mean(np.abs(values)), rel=1e-13)


@pytest.mark.parametrize("channels", [10, 512, 513, 2000])
def test_scale_sums_its_groups_however_the_weights_are_cut(monkeypatch, channels):
    values = sample(size=(channels, 7))
    whole = laplace_scale(values)
    monkeypatch.setattr(blocks, "_BLOCK", 50)
    cut = laplace_scale(values)
    assert (cut.estimate, cut.low, cut.high) == pytest.approx((whole.estimate, whole.low, whole.high), rel=1e-12)
    assert whole.low < whole.estimate < whole.high
    # The half width is that of the mean of independent channels, nearly.
    error = np.abs(values).mean(axis=1).std(ddof=1) / math.sqrt(channels)
    assert (whole.high - whole.low) / 2 == pytest.approx(stats.t(channels - 1).ppf(0.975) * error, rel=0.15)


def test_small_integers_are_numbers():
    values = np.array([[-128, 1, 3], [4, 5, 100]], np.int8)
    assert laplace_scale(values).estimate == pytest.approx(241 / 6)
    assert fit(values).deviation == pytest.approx(math.sqrt((values.astype(float) ** 2).mean()))


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_distances_however_the_values_are_cut(monkeypatch, size):
    values = np.sort(np.round(sample(size=500), 1))  # with ties
    monkeypatch.setattr(fits, "_VALUES", size)
    assert ks_laplace(values, 0.7) == pytest.approx(stats.kstest(values, LAWS["laplace"].cdf).statistic, abs=1e-12)
    assert ks_distance(values, LAWS["normal"].cdf) == pytest.approx(
        stats.kstest(values, LAWS["normal"].cdf).statistic, abs=1e-12
    )


def test_flat_weights_have_no_shape_and_the_rest():
    found = fit(np.tile([-1.0, 1.0, 1.0], (10, 9)))
    assert found.flat
    assert math.isnan(found.shape.estimate)
    assert math.isnan(found.aic_gennorm)
    assert found.scale.estimate == pytest.approx(1.0)
    assert found.ks_laplace > 0.3
    steep = fit(stats.gennorm(0.02).rvs((10, 300), random_state=0))
    assert math.isnan(steep.shape.estimate)
    assert not steep.flat


def test_the_level_widens_the_intervals():
    wide, narrow = fit(sample(), level=0.99), fit(sample(), level=0.8)
    for name in ("scale", "shape"):
        outer, inner = getattr(wide, name), getattr(narrow, name)
        assert outer.low < inner.low < inner.estimate < inner.high < outer.high


@pytest.mark.parametrize(
    ("shape", "location"),
    [
        ((512, 16384), "zero"),
        ((512, 16384), "mean"),
        ((512, 16384), "median"),
        ((8_388_608,), "zero"),
    ],
)
def test_memory_is_one_copy_and_little_more(shape, location):
    values = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    tracemalloc.start()
    fit(values, location=location)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < values.nbytes + 30e6 < 2 * values.nbytes


def test_the_weights_stay_as_they_were():
    values = sample("normal", (9, 11)) + 0.8
    before = values.copy()
    for location in ("zero", "mean", "median"):
        fit(values, location=location)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize(
    ("values", "options", "text"),
    [
        ([], {}, r"weights.*one element.*shape \(0,\)"),
        (1.0, {}, r"weights.*one axis.*shape \(\)"),
        ([3.0], {}, "at least 2 weights, not 1"),
        ([2.0, 2.0, 2.0], {}, "all 3 weights are 2"),
        (np.zeros((4, 3)), {}, "all 12 weights are 0"),
        ([1.0, np.nan, np.inf], {}, r"2 of 3 weights.*NaN"),
        ([1j, 2.0], {}, r"weights.*real.*not of type complex128"),
        (["1", "2"], {}, r"weights.*real.*not of type <U1"),
        (None, {}, r"weights.*real.*not of type object"),
        ([1.0, 2.0], {"location": "mode"}, r"'mode'.*zero, mean, median"),
        ([1.0, 2.0], {"level": 1.0}, "0 and 1, not 1"),
        ([1.0, 2.0], {"level": math.nan}, "0 and 1, not nan"),
    ],
)
def test_what_is_refused(values, options, text):
    with pytest.raises(InputError, match=text):
        fit(values, **options)
