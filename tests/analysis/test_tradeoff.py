"""The table of the closed forms, what a run has in their place, and what both refuse."""

import numpy as np
import pytest
from scipy import stats

from recu_analysis import open_run, tradeoff
from recu_analysis.analysis.measured import measured_tradeoff
from recu_analysis.analysis.selection import WindowSpan
from recu_analysis.errors import InputError, LayerNotFoundError, WindowNotFoundError
from recu_analysis.testing import synthetic_run
from recu_analysis.theory import entropy, laplace, quantization
from recu_analysis.theory.empirical import differential_entropy
from recu_analysis.theory.standardize import WeightTransform


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
        (((0.9, 0.8),), r"tau.*0.9 to 0.8"),
        (((0.5, 0.8),), r"tau.*\(0\.5, 1\], not 0\.5"),
        (((0.6, 0.8), -1.0), r"scale b.*positive number, not -1"),
        (((0.6, 0.8), 1.0, 1), r"tau.*2 points.*1000000, not 1"),
    ],
)
def test_what_is_refused(arguments, text):
    with pytest.raises(InputError, match=text):
        tradeoff(*arguments)


def test_levels_of_a_schedule():
    table = tradeoff((0.85, 0.99), b=[1.0, 2.0], epochs=10)
    assert table.columns[0] == "epoch"
    assert table["epoch"].tolist() == list(range(10)) * 2
    i = np.arange(10)
    eq_24 = (0.14 * np.exp(i / 10) + np.e * 0.85 - 0.99) / (np.e - 1)
    np.testing.assert_allclose(table["tau"], np.tile(eq_24, 2), rtol=1e-12)
    np.testing.assert_array_equal(table["qe_exact"], quantization.exact(table["tau"], table["b"]))
    assert tradeoff((0.9, 0.9), epochs=3)["tau"].tolist() == [0.9] * 3


@pytest.mark.parametrize(
    ("arguments", "options", "text"),
    [
        (((0.9, 0.8),), {"epochs": 5}, r"tau.*start 0.9.*end 0.8"),
        (((0.8, 0.9),), {"epochs": 0}, r"schedule.*epoch, not 0"),
        (((0.8, 0.9),), {"epochs": -3}, r"schedule.*epoch, not -3"),
        (((0.8, 1.1),), {"epochs": 5}, r"tau.*\(0\.5, 1\], not 1\.1"),
        (((0.8, 0.9), "2"), {}, r"scales.*real.*not of type <U1"),
    ],
)
def test_bad_schedules_and_scales_are_refused(arguments, options, text):
    with pytest.raises(InputError, match=text):
        tradeoff(*arguments, **options)


def two_layers():
    generator = np.random.default_rng(5)
    walks = {
        "normal": generator.normal(size=(3, 12, 4, 3, 3)),
        "laplace": generator.laplace(size=(3, 16, 50)) * np.geomspace(0.1, 4.0, 16)[:, None],
    }
    return {name: walk.astype(np.float32) for name, walk in walks.items()}


def recorded(path, walks, transform=None):
    return open_run(synthetic_run(path / "run", walks, windows=2, transform=transform).path)


def expected_row(rows, tau, target):
    """The measured columns of one layer and level, from the recorded weights in plain numpy."""
    centered = rows - rows.mean(axis=1, keepdims=True)
    w = centered
    if target is not None:
        w = centered / (np.sqrt(rows.var(axis=1, ddof=1, keepdims=True) + 1e-5) / (np.sqrt(2) * target))
    b = np.abs(w).mean()
    bound = np.inf if tau == 1 else -b * np.log(2 - 2 * tau)
    clamped = np.clip(w, -bound, bound)
    alpha = np.abs(clamped).mean()
    inside = np.sort(w[np.abs(w) < bound])
    shares = [np.mean(w <= -bound), np.mean(w >= bound), inside.size / w.size]
    return {
        "b": b,
        "clamped_fraction": np.mean(np.abs(w) > bound),
        "alpha_measured": alpha,
        "qe_measured": np.mean((np.abs(clamped) - alpha) ** 2),
        "qe_latent_measured": np.mean((np.abs(w) - alpha) ** 2),
        "entropy_measured": stats.entropy(shares) + shares[2] * differential_entropy(inside),
    }


@pytest.mark.parametrize("target", [2.0, None])
@pytest.mark.parametrize("window", [None, WindowSpan(0, 2)])
def test_measured_beside_the_closed_forms(tmp_path, target, window):
    run = recorded(tmp_path, two_layers(), WeightTransform(center=True, target=target, clamp=True))
    table = measured_tradeoff(run, tau=(0.6, 1.0), points=3, windows=window)
    assert table["layer"].tolist() == ["normal"] * 3 + ["laplace"] * 3
    assert table["window"].unique().tolist() == [2 if window is None else 1]
    for _, row in table.iterrows():
        weight = run.windows[row["window"]][row["layer"]].weight.astype(np.float64)
        expected = expected_row(weight.reshape(len(weight), -1), row["tau"], target)
        assert row[list(expected)].astype(float).to_dict() == pytest.approx(expected, rel=1e-5, abs=1e-6)
        closed = tradeoff((row["tau"], row["tau"]), row["b"]).iloc[0]
        assert row[closed.index].astype(float).to_dict() == pytest.approx(closed.to_dict(), rel=1e-12)


def test_channels_without_numbers_are_left_out(tmp_path):
    walks = two_layers()
    walks["normal"][-1, 3, 0, 0, 0] = np.nan
    walks["normal"][-1, 5] = 0.25
    run = recorded(tmp_path, walks)
    row = measured_tradeoff(run, tau=(0.9, 0.9), layers="norm*").iloc[0]
    rows = np.delete(run.windows[-1]["normal"].weight.astype(np.float64).reshape(12, -1), [3, 5], axis=0)
    expected = expected_row(rows, 0.9, 2.0)
    assert row[list(expected)].astype(float).to_dict() == pytest.approx(expected, rel=1e-5)
    assert row["constant_channels"] == 1


def test_layers_without_weights_to_measure_are_refused(tmp_path):
    walks = two_layers()
    walks["normal"][1] = np.nan
    walks["normal"][2] = 1.0
    run = recorded(tmp_path, walks)
    with pytest.raises(InputError, match=r"layer normal.*window 2: 12 of 12 channels.*con"):
        measured_tradeoff(run)
    with pytest.raises(InputError, match=r"layer normal.*window 1: 12 of 12 channels.*N"):
        measured_tradeoff(run, windows=WindowSpan(1, 2))
    plain = recorded(tmp_path / "plain", walks, WeightTransform())
    with pytest.raises(InputError, match=r"window 2: 12 of 12 channels.*constant"):
        measured_tradeoff(plain)
    assert len(measured_tradeoff(run, layers="laplace", points=2)) == 2


def test_what_measured_tradeoff_refuses(tmp_path):
    run = recorded(tmp_path, two_layers())
    with pytest.raises(LayerNotFoundError, match=r"'conv'.*normal, laplace"):
        measured_tradeoff(run, layers="conv")
    with pytest.raises(WindowNotFoundError, match="none of the windows 9:10; it has 0 to 2"):
        measured_tradeoff(run, windows=WindowSpan(9, 10))
    with pytest.raises(InputError, match=r"tau.*2 points.*1000000, not 1"):
        measured_tradeoff(run, points=1)
