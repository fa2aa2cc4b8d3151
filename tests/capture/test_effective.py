"""Where an adapter gives the effective weight, z and all that is made of it are of that weight."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrize

import recu_analysis as ra
from recu_analysis.analysis.claims import distribution
from recu_analysis.analysis.final_windows import decorrelation_time
from recu_analysis.analysis.mask import signs_changed
from recu_analysis.analysis.measured import measured_tradeoff
from recu_analysis.analysis.scores import score_histogram
from recu_analysis.capture import importer
from recu_analysis.capture.adapters import registry
from recu_analysis.errors import NotRecordedError
from recu_analysis.store.run import open_run
from recu_analysis.store.thin import thin
from recu_analysis.store.verify import verify
from recu_analysis.theory.standardize import WeightTransform
from tests.cli_runner import run_cli
from tests.messages import says

OLD = Path(__file__).parents[1] / "data/format-1/whole"
ROTATION = torch.linalg.qr(torch.randn(40, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(5)))[0]
UPDATES, MARKS = 24, (8, 16, 24)


class Told(nn.Linear):
    """A binary layer of whose effective weight an adapter tells; `factor` is one a channel."""

    def __init__(self):
        super().__init__(40, 12, bias=False, dtype=torch.float64)
        self.factor = torch.ones(12, 1, dtype=torch.float64)

    def forward(self, values):
        return functional.linear(values, self.weight.sign())


@pytest.fixture(autouse=True)
def _forget_adapters():
    known = list(registry._registered)
    yield
    registry._registered[:] = known


def centered(layer):
    return layer.weight - layer.weight.mean(dim=1, keepdim=True)


def scaled(layer):
    return centered(layer) * layer.factor


def rotated(layer):
    return layer.weight @ ROTATION


def recorded(path, meaning, *, factor=None, checkpoints=None):
    """A run of random steps, and the effective weight before the first update and after each, if it is told."""
    ra.adapter("told", Told)(meaning)
    generator = torch.Generator().manual_seed(3)
    layer = Told()
    layer.weight.data = torch.randn(12, 40, dtype=torch.float64, generator=generator) + 0.3
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    history = []

    def look():
        told = meaning(layer)
        history.append(told.detach().numpy().copy() if isinstance(told, torch.Tensor) else layer.weight.detach())

    look()
    with ra.record(layer, optimizer, path) as recorder:
        for update in range(1, UPDATES + 1):
            layer.weight.grad = 0.3 * torch.randn(12, 40, dtype=torch.float64, generator=generator)
            if factor is not None:
                layer.factor = factor(update)
            optimizer.step()
            look()
            if update in MARKS:
                recorder.mark(epoch=update)
                if checkpoints is not None:
                    torch.save(layer.state_dict(), checkpoints / f"step{update}.pt")
    return open_run(path), np.stack(history)


def tables(run):
    """Every table that is made of z, or of effective weights."""
    yield "dead", ra.dead_weights(run)
    yield "layers", ra.layer_table(run)
    yield "tails", ra.tails(run)
    yield "flips", ra.flip_table(run)
    yield "magnitude", ra.by_magnitude(run, bins=5)
    yield "fit", ra.fit_table(run)
    yield "histogram", score_histogram(run, layer="*", bins=7)
    yield "mask", signs_changed(run)
    yield "tradeoff", measured_tradeoff(run)
    yield (
        "shape",
        pd.DataFrame([{"shape": distribution.median_shape(distribution.shape_query(run).run()).value.estimate}]),
    )
    yield "decorrelation time", pd.DataFrame([{"windows": decorrelation_time(run, after=0)}])


def assert_equal_tables(one, other):
    for (name, left), (_, right) in zip(tables(one), tables(other), strict=True):
        assert left.columns.tolist() == right.columns.tolist()
        for column in left:
            if left[column].dtype.kind == "f":
                np.testing.assert_allclose(left[column], right[column], 1e-6, 1e-12, err_msg=f"{name}: {column}")
            else:
                assert left[column].tolist() == right[column].tolist(), f"{name}: {column}"


@pytest.mark.parametrize(
    ("told", "transform"),
    [(centered, WeightTransform(center=True)), (lambda layer: layer.weight * 1.0, WeightTransform())],
    ids=["centred", "plain"],
)
def test_every_table_is_that_of_the_transform_that_says_the_same(tmp_path, told, transform):
    one, _ = recorded(tmp_path / "told", told)
    other, _ = recorded(tmp_path / "transform", lambda layer: transform)
    assert [run.header.layers[0].transform for run in (one, other)] == [None, transform]
    assert (one.windows[2][""].flips > 0).any()
    assert_equal_tables(one, other)


def by_channel(update):
    return torch.arange(1.0, 13.0, dtype=torch.float64)[:, None]


def by_update(update):
    return 1.0 + update * torch.arange(1.0, 13.0, dtype=torch.float64)[:, None] / 7.0


@pytest.mark.parametrize("factor", [by_channel, by_update])
def test_a_scale_does_not_change_z_nor_what_is_made_of_it(tmp_path, factor):
    one, _ = recorded(tmp_path / "scaled", scaled, factor=factor)
    other, _ = recorded(tmp_path / "centred", centered)
    for window in (1, 2, 3):
        np.testing.assert_allclose(one.windows[window][""].zpath, other.windows[window][""].zpath, rtol=1e-6)
    for name in ("dead_weights", "tails", "flip_table"):
        left, right = (getattr(ra, name)(run).select_dtypes("number") for run in (one, other))
        np.testing.assert_allclose(left, right, 1e-6, 1e-12)


def scores(effective):
    """The effective weight over its standard deviation, about its own mean, channel by channel and written out."""
    z = np.empty_like(effective)
    for channel, row in enumerate(effective):
        z[channel] = row / np.sqrt(((row - row.sum() / row.size) ** 2).sum() / (row.size - 1))
    return z


@pytest.mark.parametrize("told", [rotated, centered])
def test_z_and_its_path_are_those_of_a_plain_loop(tmp_path, told):
    run, history = recorded(tmp_path / "run", told)
    z = [scores(effective) for effective in history]
    np.testing.assert_array_equal(run.windows[0][""].effective, history[0])
    for window, (first, last) in zip(run.windows[1:], ((0, 8), (8, 16), (16, 24)), strict=True):
        path = sum(np.abs(z[update] - z[update - 1]) for update in range(first + 1, last + 1))
        np.testing.assert_allclose(window[""].zpath, path, rtol=1e-6)
        dead = ra.dead_weights(run, windows=ra.WindowSpan(window.number, window.number + 1)).iloc[0]
        far = np.sort(np.abs(z[first]), axis=None)[-round(0.3 * z[first].size)]
        tail = np.abs(z[first]) >= far
        assert dead["mobility_tail"] == pytest.approx(path[tail].mean() / (last - first))
        cosine = (z[first] * z[last]).sum() / np.sqrt((z[first] ** 2).sum() * (z[last] ** 2).sum())
        assert dead["autocorrelation"] == pytest.approx(cosine)


def test_an_import_has_the_z_of_the_effective_weight_too(tmp_path):
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    _, history = recorded(tmp_path / "run", rotated, checkpoints=checkpoints)
    ra.adapter("told", Told, fingerprint=True)(lambda thing: thing.weight.double() @ ROTATION)
    importer.import_checkpoints([checkpoints], tmp_path / "imported")
    run = open_run(tmp_path / "imported")
    assert run.header.layers[0].knows_z
    moved = np.abs(scores(history[16]) - scores(history[8]))
    np.testing.assert_allclose(run.windows[1][""].zpath, moved, rtol=1e-6)


def test_signs_alone_have_no_distance_so_that_z_stays_that_of_the_latent_weight(tmp_path):
    class Binarize(nn.Module):
        def forward(self, weight):
            return torch.where(weight < weight.mean(), -1.0, 1.0)

    torch.manual_seed(0)
    layer = nn.Linear(40, 12, bias=False)
    parametrize.register_parametrization(layer, "weight", Binarize())
    latent = layer.parametrizations.weight.original
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    history = [latent.detach().numpy().copy()]
    with ra.record(layer, optimizer, tmp_path / "run") as recorder:
        for _ in range(4):
            latent.grad = torch.randn(latent.shape)
            optimizer.step()
            history.append(latent.detach().numpy().copy())
        recorder.mark()
    z = [scores(weight.astype(np.float64)) for weight in history]
    run = open_run(tmp_path / "run")
    path = sum(np.abs(now - before) for before, now in itertools.pairwise(z))
    np.testing.assert_allclose(run.windows[1][""].zpath, path, rtol=1e-5)
    assert set(np.unique(run.windows[1][""].effective)) == {-1.0, 1.0}
    dead = ra.dead_weights(run, windows=ra.WindowSpan(1, 2)).iloc[0]
    assert dead["autocorrelation"] == pytest.approx(
        (z[0] * z[-1]).sum() / np.sqrt((z[0] ** 2).sum() * (z[-1] ** 2).sum())
    )
    assert dead["mobility_tail"] > 0


def test_what_recordings_say_of_z_goes_with_them(tmp_path):
    run, _ = recorded(tmp_path / "run", rotated)
    assert json.loads((run.path / "run.json").read_text())["layers"][0]["z"] == "effective"
    made = thin(run, windows=[0, 3], output=tmp_path / "thin")
    assert made.header.layers[0].knows_z
    plain, _ = recorded(tmp_path / "plain", lambda layer: WeightTransform())
    assert "z" not in json.loads((plain.path / "run.json").read_text())["layers"][0]


def test_the_zpath_of_a_run_that_does_not_say_whose_it_is_counts_for_nothing(tmp_path):
    shutil.copytree(OLD, tmp_path / "run")
    run = open_run(tmp_path / "run")
    window = ra.WindowSpan(2, 7)
    with pytest.raises(NotRecordedError, match=r"zpath.*layer 'odd'"):
        _ = run.windows[3]["odd"].zpath
    assert run.windows[3]["odd"].array("zpath").any()
    table = ra.dead_weights(run, windows=window).set_index("layer")
    assert table.loc["odd", ["still_fraction", "mobility_tail", "mobility_core"]].isna().all()
    assert table.loc[["first", "plain"], ["still_fraction", "mobility_tail", "mobility_core"]].notna().all(axis=None)
    assert table.loc["odd", ["silent_fraction_tail", "autocorrelation", "dead_fraction"]].notna().all()
    with pytest.raises(NotRecordedError, match=r"'still'.*zpath"):
        ra.dead_weights(run, criterion="still", windows=window)
    made = thin(run, windows=[0, 6], output=tmp_path / "thin", layers=["odd"])
    assert not made.header.layers[0].knows_z
    assert set(verify(made.path)["verdict"]) <= {"whole", "partial"}
    done = run_cli("dead-weights", tmp_path / "run", "--windows", "2:7")
    assert done.exit_code == 0
    says(done.stderr, "earlier version", "odd", "zpath")


class Offset(nn.Linear):
    """Signs of weights less an offset, which is another optimizer's."""

    def __init__(self):
        super().__init__(8, 6, bias=False)
        self.offset = nn.Parameter(torch.zeros(6, 1))

    def forward(self, values):
        weight = self.weight - self.offset
        return nn.functional.linear(values, weight + (weight.sign() - weight).detach())


@pytest.mark.parametrize("how", ["state", "resume"])
def test_effective_weights_go_on_from_those_that_were_seen_last(tmp_path, how):
    ra.adapter("offset", Offset)(lambda module: module.weight - module.offset)

    def train(path, stop):
        torch.manual_seed(0)
        model = nn.Sequential(Offset())
        optimizers = [torch.optim.SGD([each], lr=0.5) for each in (model[0].weight, model[0].offset)]
        recorder = ra.record(model, optimizers[0], path)
        for update in range(8):
            if update == 4 and how == "resume":
                recorder.mark(epoch=0)
            if update == 4 and stop:
                state = recorder.state_dict() if how == "state" else None
                recorder.close()
                recorder = ra.record(model, optimizers[0], path, **({"state": state} if state else {"resume": 4}))
            model.zero_grad()
            model(torch.randn(16, 8, generator=torch.Generator().manual_seed(update))).square().mean().backward()
            for each in optimizers:
                each.step()
        recorder.mark(epoch=1)
        recorder.close()
        return open_run(path).windows[-1]["0"]

    whole, stopped = train(tmp_path / "whole", stop=False), train(tmp_path / "stopped", stop=True)
    assert whole.flips.any()
    np.testing.assert_array_equal(whole.flips, stopped.flips)
    np.testing.assert_allclose(whole.zpath, stopped.zpath, rtol=1e-5)


def test_a_run_measures_z_to_its_end_as_it_began(tmp_path):
    class Soft(nn.Linear):
        slope = 20.0

        def forward(self, values):
            return nn.functional.linear(values, (self.slope * self.weight).clamp(-1, 1))

    ra.adapter("soft-slope", Soft, approximate=True)(lambda module: (module.slope * module.weight).clamp(-1, 1))
    model = nn.Sequential(Soft(8, 6, bias=False))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train(**options):
        with ra.record(model, optimizer, tmp_path / "run", **options) as recorder:
            model(torch.randn(16, 8)).square().mean().backward()
            optimizer.step()
            recorder.mark(epoch=0)
        return open_run(tmp_path / "run")

    before = ra.dead_weights(train())
    model[0].slope = 1e9  # signs by now, whose z would be that of the latent weights
    run = train(resume=1)
    assert run.header.layers[0].z == "effective"
    pd.testing.assert_frame_equal(ra.dead_weights(run, windows=ra.WindowSpan(1, 2)), before)
