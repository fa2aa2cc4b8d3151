"""What gradients restore: against a loop over a training, under gradients without a signal, and what is refused."""

from itertools import pairwise

import numpy as np
import pytest
import torch

import recu_analysis as ra
from recu_analysis.analysis.earned import GROUPS
from recu_analysis.errors import InputError
from recu_analysis.nn.layers import BinaryLinear
from recu_analysis.testing import synthetic_run
from tests.analysis.test_cohorts import tail
from tests.capture.level_layers import QUANTIZERS, Quantized, offsets, push, snapshot

LR, DECAY, MOMENTUM = 0.1, 0.02, 0.9


def train(path, *, windows, updates, signs=False, adamw=False):
    """Train two binary layers and record them; the weights after each update, and the momentum before each window.

    With `signs`, the loss is multiplied by 1 or -1 at random in each update, so its gradients have no signal.
    """
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(0)
    model = torch.nn.Sequential(BinaryLinear(24, 16), torch.nn.BatchNorm1d(16), BinaryLinear(16, 12))
    inputs, targets = torch.randn(256, 24, generator=generator), torch.randint(0, 12, (256,), generator=generator)
    if adamw:
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=1.0)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
    layers = {"0": model[0].weight, "2": model[2].weight}
    weights, momenta = [{name: each.detach().numpy().copy() for name, each in layers.items()}], []
    with ra.record(model, optimizer, path, quantities=["gradient-stats"]) as recorder:
        for window in range(windows):
            kept = {name: optimizer.state[each].get("momentum_buffer") for name, each in layers.items()}
            momenta.append({name: 0.0 if each is None else each.numpy().copy() for name, each in kept.items()})
            for _ in range(updates):
                chosen = torch.randint(0, 256, (32,), generator=generator)
                loss = torch.nn.functional.cross_entropy(model(inputs[chosen]), targets[chosen])
                loss = loss * (2 * torch.randint(0, 2, (), generator=generator) - 1) if signs else loss
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                weights.append({name: each.detach().numpy().copy() for name, each in layers.items()})
            recorder.mark(epoch=window)
    return weights, momenta


def alone(updates, first):
    """a and b of a window of these updates, by PyTorch's rule; the first update of all has no momentum."""
    found = []
    for w, m in ((1.0, 0.0), (0.0, 1.0)):
        for at in range(updates):
            m = DECAY * w if first and at == 0 else MOMENTUM * m + DECAY * w
            w -= LR * m
        found.append(w)
    return found


def centered(values):
    rows = np.asarray(values, dtype=np.float64)
    return rows - rows.mean(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("earned") / "run"
    return path, *train(path, windows=3, updates=20)


def by_hand(weights, momentum, members, *, first):
    """Rho, and the parts of the autocorrelation of some weights, from the weights and momentum of a window."""
    a, b = alone(20, first)
    start, end = centered(weights[0]), centered(weights[1])
    pushed = b * centered(momentum) if np.ndim(momentum) else np.zeros_like(start)
    made = end - a * start - pushed
    before, after = (each.std(axis=1, ddof=1, keepdims=True) for each in (start, end))
    z, z_end = (start / before)[members], (end / after)[members]
    size = np.sqrt((z @ z) * (z_end @ z_end))
    parts = [float(z @ (part / after)[members]) / size for part in (a * start, pushed, made)]
    return [(start * made)[members].sum() / ((1 - a) * (start[members] ** 2).sum()), float(z @ z_end) / size, *parts]


def test_rho_and_the_split_are_those_of_a_loop(trained):
    path, weights, momenta = trained
    table = ra.earned(path).set_index(["layer", "window", "group"]).sort_index()
    assert table["exact_split"].all()
    columns = ["rho", "autocorrelation", "inherited", "momentum", "restored"]
    marks = [0, 20, 40, 60]
    for name in ("0", "2"):
        silent = None
        for window, (first, last) in enumerate(pairwise(marks), start=1):
            ends = weights[first][name], weights[last][name]
            z = centered(ends[0]) / centered(ends[0]).std(axis=1, ddof=1, keepdims=True)
            far = tail(z.ravel()).reshape(z.shape)
            groups = {"all": np.ones_like(far), "tail": far, "core": ~far}
            if silent is not None:
                groups |= {"silent": silent, "flipped": ~silent, "tail-silent": far & silent}
                groups |= {"tail-flipped": far & ~silent, "core-silent": ~far & silent, "core-flipped": ~far & ~silent}
            assert set(table.loc[(name, window)].index) == set(groups)
            for group, members in groups.items():
                found, expected = (
                    table.loc[(name, window, group)],
                    by_hand(ends, momenta[window - 1][name], members, first=window == 1),
                )
                assert found[columns].tolist() == pytest.approx(expected, abs=1e-5), (name, window, group)
                assert found["weights"] == members.sum()
            signs = np.array([centered(weights[at][name]) < 0 for at in range(first, last + 1)])
            silent = (signs == signs[0]).all(axis=0)
    momentum = table.loc[("0", 2, "all"), "momentum"]
    assert abs(momentum) > 0.01, "the momentum at the start matters here, so the test sees it"


@pytest.mark.parametrize("name", ["bitnet", "twn", "bitnet of groups"])
def test_rho_of_weights_with_more_levels_is_that_of_a_loop(tmp_path, name):
    torch.manual_seed(0)
    layer = Quantized(24, 16, *QUANTIZERS[name])
    optimizer = torch.optim.SGD(layer.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
    drift = torch.randn(16, 24)
    with ra.record(layer, optimizer, tmp_path / "run", quantities=["gradient-stats"]) as recorder:
        for _ in range(2):
            history, momentum = [snapshot(layer)], optimizer.state[layer.weight].get("momentum_buffer")
            momentum = None if momentum is None else momentum.double().numpy().copy()
            for _ in range(20):
                push(layer, optimizer, 0.02 * (drift + torch.randn(16, 24)))
                history.append(snapshot(layer))
            recorder.mark()
    a, b = alone(20, first=False)
    table = ra.earned(tmp_path / "run", windows=2).set_index("group")
    (z, offset), (z_end, _) = (offsets(layer, *history[at]) for at in (0, -1))
    start, end = (history[at][0].double().numpy() for at in (0, -1))
    made = end - a * start - b * momentum
    far = tail(offset.ravel()).reshape(offset.shape)
    for group, members in {"all": np.ones_like(far), "tail": far, "core": ~far}.items():
        row, v0 = table.loc[group], start[members]
        assert row["rho"] == pytest.approx((v0 * made[members]).sum() / ((1 - a) * (v0**2).sum()), abs=1e-5)
        cosine = (z * z_end)[members].sum() / np.sqrt((z[members] ** 2).sum() * (z_end[members] ** 2).sum())
        assert row["autocorrelation"] == pytest.approx(cosine, abs=1e-5)
        to_end = z_end / end  # one over the standard deviation of each weight's scale group
        ratio = (z * made * to_end)[members].sum() / (z * a * start * to_end)[members].sum()
        assert row["restored"] / row["inherited"] == pytest.approx(ratio, abs=1e-4)


def test_merged_windows_and_all_layers_together(trained):
    path, *_ = trained
    merged = ra.earned(path, windows="2:").set_index(["layer", "group"]).sort_index()
    assert set(merged.loc["0"].index) == set(GROUPS), "silence is that of the one window before"
    assert merged["rho_low"].isna().all(), "merged windows have no interval from one training"
    assert merged["updates"].unique().tolist() == [40]
    each, total = (ra.earned(path, network=network) for network in (False, True))
    for window, group in ((1, "all"), (3, "core-flipped")):
        of, (whole,) = (
            rows[(rows["window"] == window) & (rows["group"] == group)].to_dict("records") for rows in (each, total)
        )
        assert whole["layer"] == "all"
        assert whole["weights"] == sum(row["weights"] for row in of)
        assert min(row["rho"] for row in of) <= whole["rho"] <= max(row["rho"] for row in of)
        if group == "all":  # standard errors of the sums are added: the weights of both layers have about one size
            halves = [row["rho_high"] - row["rho"] for row in of]
            assert min(halves) <= whole["rho_high"] - whole["rho"] <= max(halves)


def test_the_interval_holds_0_if_the_gradients_have_no_signal(tmp_path):
    train(tmp_path / "noise", windows=8, updates=15, signs=True)
    table = ra.earned(tmp_path / "noise")
    rows = table[table["group"] == "all"]
    held = (rows["rho_low"] <= 0.0) & (rows["rho_high"] >= 0.0)
    assert len(rows) == 16
    assert held.sum() >= 13
    assert (rows["rho_high"] - rows["rho_low"]).median() < 1.0, "wide intervals would hold 0 in any case"


def test_adamw_has_a_split_but_no_interval(tmp_path):
    train(tmp_path / "adamw", windows=2, updates=5, adamw=True)
    rows = ra.earned(tmp_path / "adamw")
    assert rows["exact_split"].all()
    assert rows["rho_low"].isna().all()
    assert rows["momentum"].abs().max() == 0.0
    np.testing.assert_allclose(rows.loc[rows["group"] == "all", "decay_time"], 0.05)


def test_without_gradient_stats_it_is_approximate_and_imports_are_refused(run, synthetic, tmp_path):
    rows = ra.earned(run, layers="second", windows="2:4")
    assert not rows["exact_split"].any()
    whole = rows[rows["group"] == "all"].iloc[0]
    start, end = (centered(synthetic.history["second"][synthetic.marks[at]]) for at in (1, 3))
    kept = (1.0 - 0.1) ** 10
    made = end - kept * start
    assert whole["rho"] == pytest.approx((start * made).sum() / ((1 - kept) * (start**2).sum()), rel=1e-4)
    imported = synthetic_run(tmp_path / "imported", exact=False).path
    with pytest.raises(InputError, match="imported"):
        ra.earned(imported)
