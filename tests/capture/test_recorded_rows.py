"""A sample of output channels: bitwise the rows of the whole record, in memory in proportion, the same when resumed."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import recu_analysis as ra
from recu_analysis.analysis.arms import layers_of
from recu_analysis.capture.adapters import registry
from recu_analysis.errors import InputError, StoreError
from recu_analysis.nn import BinaryConv2d, BinaryLinear
from recu_analysis.training.config import TrainingConfig
from tests.capture.plain_loops import assert_same_windows, sgd, step, tiny
from tests.cli_runner import run_cli
from tests.messages import says
from tests.run_files import contents

SAMPLED = {"channels": 0.3, "channel_seed": 1}
KEPT = {"quantities": ["gradient-stats", "ema"]}
UPDATES, MARK, STOP = 40, 20, 27


class Shifted(nn.Linear):
    """Signs of the weight plus a learned shift of each channel, of which an adapter tells."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.shift = nn.Parameter(torch.linspace(-0.1, 0.1, sizes[1])[:, None])

    def forward(self, values):
        effective = self.weight + self.shift
        return functional.linear(values, effective + (effective.sign() - effective).detach())


@pytest.fixture(autouse=True)
def _own_adapters(monkeypatch):
    monkeypatch.setattr(registry, "_registered", list(registry._registered))
    ra.adapter("shifted", Shifted)(lambda module: module.weight + module.shift)


def network(memory_format=torch.contiguous_format):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        BinaryConv2d(8, 12, 3, padding=1),
        BinaryConv2d(12, 12, 3, padding=1, groups=4, center=False),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        BinaryLinear(48, 20),
        Shifted(20, 10),
    ).to(memory_format=memory_format)


def update(model, optimizer, seed):
    generator = torch.Generator().manual_seed(seed)
    images, labels = torch.randn(8, 3, 6, 6, generator=generator), torch.randint(0, 10, (8,), generator=generator)
    optimizer.zero_grad()
    functional.cross_entropy(model(images), labels).backward()
    optimizer.step()


def trained(path, form, *, stop=None, model=None, **options):
    """A recorded training; with `stop`, another recorder goes on in the middle of a window."""
    model = network() if model is None else model
    optimizer = FORMS[form](model.parameters())
    recorder = ra.record(model, optimizer, path, **options)
    for number in range(1, UPDATES + 1):
        update(model, optimizer, number)
        if number % MARK == 0:
            recorder.mark(epoch=number)
        if number == stop:
            state = recorder.state_dict()
            recorder.close()
            recorder = ra.record(model, optimizer, path, state=state, **options)
    recorder.close()
    return ra.open_run(path)


FORMS = {
    "SGD": lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
    "AdamW": lambda weights: torch.optim.AdamW(weights, lr=0.01, weight_decay=0.1, amsgrad=True),
    "RMSprop": lambda weights: torch.optim.RMSprop(weights, lr=0.001),
}


def assert_rows_of(sampled, whole, layers):
    """Every quantity of the windows of a sampled run has the rows of the whole run; returns the names of these."""
    compared = set()
    for some, every in zip(sampled.windows, whole.windows, strict=True):
        for name in layers:
            few, all_ = some[name], every[name]
            assert few.weight.shape == (len(few.channels), *all_.weight.shape[1:])
            for row in every.quantities.values():
                if row.of not in {"weights", "flipped", "channels"} or row.merge == "union":
                    continue
                wanted, found = all_.array(row.name), few.array(row.name)
                assert (wanted is None) == (found is None), row.name
                if wanted is not None:
                    assert found.tobytes() == wanted[few.channels].tobytes(), (name, row.name)
                    compared |= {row.name}
            assert few.start.tobytes() == all_.start[few.channels].tobytes()
            assert few.summary.updates == all_.summary.updates
            assert few.summary.more.get("map") == all_.summary.more.get("map")
    return compared


@pytest.mark.parametrize("form", FORMS)
def test_a_sample_has_bitwise_the_rows_of_the_whole_record(tmp_path, form):
    """Convolutions, with groups and without centring, a linear layer, and one whose effective weight is given."""
    whole = trained(tmp_path / "whole", form, **KEPT)
    sampled = trained(tmp_path / "sampled", form, **KEPT, **SAMPLED)
    resumed = trained(tmp_path / "resumed", form, stop=STOP, **KEPT, **SAMPLED)
    compared = assert_rows_of(sampled, whole, ["1", "2", "5", "6"])
    always = {"weight", "path", "zpath", "flips", "first_flip", "last_flip", "ema", "grad", "scale", "effective"}
    of_form = {"RMSprop": set(), "AdamW": {"noise"}, "SGD": {"noise", "momentum"}}[form]
    assert compared == always | {"signed_grad", "small_grads"} | of_form
    assert {name: len(sampled.windows[1][name].channels) for name in ("1", "5", "6")} == {"1": 4, "5": 6, "6": 3}
    assert any(sampled.windows[1][name].flips.any() for name in ("1", "2", "5")), "no flip would say nothing"
    assert_same_windows(sampled.path, resumed.path)
    assert set(ra.verify(sampled)["verdict"]) == {"whole"}


def test_norms_are_those_of_the_recorded_channels(tmp_path):
    whole = trained(tmp_path / "whole", "SGD")
    sampled = trained(tmp_path / "sampled", "SGD", **SAMPLED)
    for name, center in (("1", True), ("2", False)):
        few, every = sampled.windows[2][name], whole.windows[2][name]
        rows = every.weight[few.channels].reshape(len(few.channels), -1).astype(np.float64)
        rows -= center * rows.mean(axis=1, keepdims=True)
        assert few.summary.more["norm_end"] == pytest.approx(np.linalg.norm(rows), rel=1e-12)
        assert few.summary.more["norm_end"] < 0.8 * every.summary.more["norm_end"]


def test_other_layouts_and_dtypes(tmp_path):
    """channels_last, and weights of 16 bits, of which lost updates are counted."""
    for number, change in enumerate((lambda m: m.to(memory_format=torch.channels_last), lambda m: m.bfloat16())):
        runs = []
        for name, options in (("whole", {}), ("sampled", SAMPLED)):
            torch.manual_seed(0)
            model = change(nn.Sequential(BinaryConv2d(8, 12, 3), nn.Flatten(), BinaryLinear(12 * 4, 9)))
            optimizer = FORMS["SGD"](model.parameters())
            dtype = model[0].weight.dtype
            with ra.record(model, optimizer, tmp_path / f"{name}{number}", every=10, **KEPT, **options):
                for seed in range(20):
                    optimizer.zero_grad()
                    generator = torch.Generator().manual_seed(seed)
                    model(torch.randn(4, 8, 4, 4, generator=generator).to(dtype)).square().mean().backward()
                    optimizer.step()
            runs.append(ra.open_run(tmp_path / f"{name}{number}"))
        compared = assert_rows_of(runs[1], runs[0], ["0", "2"])
        assert ("unchanged" in compared) == (dtype == torch.bfloat16)


def test_traces_are_of_recorded_weights_and_named_by_their_place_in_the_layer(tmp_path):
    few = trained(tmp_path / "few", "SGD", traces=4, **SAMPLED).windows[1]["1"].channels
    chosen = {"1": [(int(few[1]), 3, 1, 2), (int(few[0]), 0, 0, 0)]}
    whole = ra.traces(trained(tmp_path / "whole", "SGD", traces=chosen))
    sampled = ra.traces(trained(tmp_path / "sampled", "SGD", traces=chosen, **SAMPLED))
    assert list(whole) == list(sampled)
    exact = [name for name in whole if name != "group"]
    assert whole[exact].equals(sampled[exact])
    width = 8 * 9
    drawn = ra.traces(tmp_path / "few", layers="1")
    assert set(drawn["flat_index"] // width) <= set(few.tolist())
    assert drawn["flat_index"].nunique() == 4
    other = next(channel for channel in range(12) if channel not in few)
    with pytest.raises(InputError) as error:
        trained(tmp_path / "other", "SGD", traces={"1": [(other, 0, 0, 0)]}, **SAMPLED)
    says(str(error.value), f"channel {other}", "'1'", "channels=0.3, channel_seed=1", str(few[0]))


def test_memory_and_disk_are_in_proportion(tmp_path):
    """Bytes of all tensors and arrays that the recording of a layer holds, counted: 5 % of the channels, 5 %."""
    sizes, files = {}, {}
    for share in (1.0, 0.05):
        model = nn.Sequential(nn.Flatten(), BinaryLinear(64, 400))
        optimizer = FORMS["SGD"](model.parameters())
        recorder = ra.record(model, optimizer, tmp_path / str(share), channels=share, **KEPT)
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.randn(4, 64)).square().mean().backward()
            optimizer.step()
        sizes[share] = held(recorder._recordings[0])
        recorder.mark()
        recorder.close()
        run = ra.open_run(tmp_path / str(share))
        files[share] = sum(entry.stop - entry.start for entry in run.windows[1].file.entries.values())
    own = 400 * 64
    assert sizes[1.0] > 60 * own, "the sums of a weight take that many bytes"
    assert sizes[0.05] == pytest.approx(0.05 * sizes[1.0], rel=0.03, abs=1024 * 8 + 400)
    assert files[0.05] == pytest.approx(0.05 * files[1.0], rel=0.02)


def held(recording):
    """Bytes of the memory of tensors and arrays that can be reached, without the layer itself, each memory once."""
    waiting, met, memory = [recording], {id(recording.layer), id(recording.layer.parameter)}, {}
    while waiting:
        each = waiting.pop()
        if id(each) in met:
            continue
        met.add(id(each))
        if isinstance(each, torch.Tensor):
            memory[each.untyped_storage().data_ptr()] = each.untyped_storage().nbytes()
        elif isinstance(each, np.ndarray):
            memory[each.__array_interface__["data"][0]] = each.nbytes
        elif isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list | tuple):
            waiting += each
        elif type(each).__module__.startswith("recu_analysis"):
            names = [*getattr(each, "__dict__", {}), *getattr(type(each), "__slots__", ())]
            waiting += [getattr(each, name) for name in names if hasattr(each, name)]
    return sum(memory.values())


def test_all_channels_are_recorded_without_a_word_more(tmp_path):
    runs = [trained(tmp_path / name, "SGD", **more) for name, more in (("a", {}), ("b", {"channels": 1.0}))]
    assert_same_windows(*(run.path for run in runs))
    assert [spec.to_dict() for spec in runs[0].header.layers] == [spec.to_dict() for spec in runs[1].header.layers]
    assert all("channels" not in spec.to_dict() for spec in runs[0].header.layers)
    assert runs[0].windows[1]["1"].channels.tolist() == [*range(12)]


@pytest.mark.parametrize("way", ["resume", "state"])
@pytest.mark.parametrize(("first", "second", "named"), [
    (SAMPLED, {}, "give channels=0.3, channel_seed=1"),
    (SAMPLED, SAMPLED | {"channel_seed": 2}, "channels=0.3, channel_seed=2"),
    ({}, SAMPLED, "leave out channels="),
])  # fmt: skip
def test_a_run_is_resumed_with_its_own_channels(tmp_path, way, first, second, named):
    model = network()
    optimizer = FORMS["SGD"](model.parameters())
    recorder = ra.record(model, optimizer, tmp_path / "run", **first)
    update(model, optimizer, 1)
    recorder.mark()
    state = recorder.state_dict()
    recorder.close()
    again = {"resume": 1} if way == "resume" else {"state": state}
    before = contents(tmp_path / "run")
    with pytest.raises(StoreError) as error:
        ra.record(model, optimizer, tmp_path / "run", **again, **second)
    says(str(error.value), "cannot be resumed", named)
    assert contents(tmp_path / "run") == before
    ra.record(model, optimizer, tmp_path / "run", **again, **first).close()
    assert not ra.open_run(tmp_path / "run").problems


@pytest.mark.parametrize("bad", [
    {"channels": 0}, {"channels": 2}, {"channels": float("nan")}, {"channels": "a"}, {"channels": True},
    {"channels": None}, {"channels": -0.5}, {"channel_seed": -1}, {"channel_seed": 0.5}, {"channel_seed": True},
    {"channel_seed": 2**63},
])  # fmt: skip
def test_bad_shares_and_seeds_are_one_sentence(tmp_path, bad):
    model = network()
    with pytest.raises(InputError) as error:
        ra.record(model, FORMS["SGD"](model.parameters()), tmp_path / "run", **bad)
    (name, value), = bad.items()  # fmt: skip
    says(str(error.value), f"{name} must be", str(value))
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A whole and a sampled run of one training, by `tiny`, which commands read."""
    folder = tmp_path_factory.mktemp("pair")
    for name, options in (("whole", {}), ("sampled", {"channels": 0.5, "channel_seed": 3})):
        model = tiny()
        optimizer = sgd(model, lr=0.1)
        with ra.record(model, optimizer, folder / name, configuration={"seed": 0}, **options) as recorder:
            for seed in range(40):
                step(model, optimizer, seed)
                if seed % 10 == 9:
                    recorder.mark(epoch=seed // 10, val_top1=50.0)
    return folder


NOTE = "50 % (channels=0.5, channel_seed=3) of the output channels"


@pytest.mark.parametrize("words", [["dead-weights"], ["flips", "--format", "latex"], ["updates"], ["info"]])
def test_tables_say_the_share_once(pair, words):
    said, silent = (run_cli(words[0], pair / name, *words[1:]) for name in ("sampled", "whole"))
    assert said.exit_code == silent.exit_code == 0
    plain = " ".join(said.stdout.replace("\\", "").replace(",%", " %").split())
    assert plain.count(NOTE) == 1, said.stdout
    assert "sampled channels" not in silent.stdout + said.stderr


def test_a_sampled_and_a_whole_run_are_compared_and_told_apart(pair):
    done = run_cli("compare", pair / "whole", pair / "sampled")
    assert done.exit_code == 0, done.stderr
    assert f"sampled: sampled channels: {NOTE}" in " ".join(done.stdout.split())
    runs = [ra.open_run(pair / name) for name in ("whole", "sampled")]
    assert layers_of(runs[0]) == layers_of(runs[1])
    assert runs[1].layers["channels"].tolist() == ["4 of 8", "2 of 3"]
    assert "channels" not in runs[0].layers


def test_a_sampled_run_is_thinned_and_its_windows_merge(pair, tmp_path):
    thin = ra.thin(pair / "sampled", windows=[0, 2, 4], output=tmp_path / "thin")
    whole = ra.thin(pair / "whole", windows=[0, 2, 4], output=tmp_path / "whole")
    assert_rows_of(thin, whole, ["1", "3"])
    assert set(ra.verify(thin)["verdict"]) == {"whole"}


def test_captions_say_the_share(pair, tmp_path):
    ra.draw_figure("fig2", {"a": pair / "sampled"}, directory=tmp_path, formats="png")
    caption = (tmp_path / "fig2.tex").read_text(encoding="utf-8").replace(r"\,\%", " %").replace("\\", "")
    assert f"Sampled channels: {NOTE}" in caption


def test_what_needs_all_weights_refuses_a_sample(pair):
    with pytest.raises(InputError) as error:
        ra.intervene(tiny(), pair / "sampled", lambda *_: None)
    says(str(error.value), "'1'", "channels=0.5, channel_seed=3", "all of its weights")
    with pytest.raises(InputError) as error:
        TrainingConfig(channels=0.5, revive="tail-silent")
    says(str(error.value), "revive", "channels")
