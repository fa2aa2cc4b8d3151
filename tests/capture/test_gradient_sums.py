"""Statistics of gradients equal second trainings from zero and plain float64 loops, for every form of optimizer."""

import copy
import inspect
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.amp import GradScaler
from torch.nn import functional

import recu_analysis as ra
from recu_analysis.capture.adapters import registry
from recu_analysis.capture.gradient_sums import SAMPLE, GradientStats, UpdateOf
from recu_analysis.capture.recorded_rows import RecordedRows
from recu_analysis.capture.traces import drawn_weights
from recu_analysis.nn import BinaryLinear, build_network
from recu_analysis.store.header import LayerSpec
from recu_analysis.store.record import merged
from recu_analysis.store.thin import thin
from recu_analysis.store.verify import verify
from recu_analysis.theory.inheritance import UpdateRule
from recu_analysis.theory.standardize import WeightTransform
from tests.capture.plain_loops import assert_same_windows, loss_of, sgd, step, tiny

STATS = "gradient-stats"
#: The class, its settings, and its response R to a gradient, in the first update of all and later.
FORMS = {
    "plain": (torch.optim.SGD, {}, (1.0, 1.0)),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}, (10.0, 10.0)),
    "dampening": (torch.optim.SGD, {"momentum": 0.8, "dampening": 0.3}, (5.0, 3.5)),
    "Nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}, (10.0, 10.0)),
    "AdamW": (torch.optim.AdamW, {}, (1.0, 1.0)),
}


class Plain:
    """Plain float64 loops over the updates of one layer, window by window."""

    def __init__(self, name, weight, optimizer, response, center=True):
        self.name, self.weight, self.response, self.center = name, weight, response, center
        self.sample = list(drawn_weights(name, tuple(weight.shape), SAMPLE))
        self.updates, self.windows = 0, []
        self.settings = inspect.signature(type(optimizer)).parameters.keys() - {"params"}
        self.begin(optimizer)

    def values(self, tensor):
        return tensor.detach().double().numpy().reshape(self.weight.shape).copy()

    def begin(self, optimizer):
        """A window begins: a second training starts from a weight and a momentum of zero."""
        self.start = self.values(self.weight)
        buffer = optimizer.state.get(self.weight, {}).get("momentum_buffer")
        self.momentum = np.zeros(self.start.shape) if buffer is None else self.values(buffer)
        self.started = buffer is not None
        self.group = next(g for g in optimizer.param_groups if any(each is self.weight for each in g["params"]))
        self.steps, self.decay = [], 1.0
        self.total, self.sizes, self.noise, self.small = (np.zeros(self.start.shape) for _ in range(4))
        self.shadow = nn.Parameter(torch.zeros_like(self.weight))
        self.again = type(optimizer)([self.shadow], **{k: v for k, v in self.group.items() if k in self.settings})
        if self.weight in optimizer.state:
            self.again.state[self.shadow] = copy.deepcopy(optimizer.state[self.weight])
            if self.started:
                self.again.state[self.shadow]["momentum_buffer"].zero_()

    @property
    def earned(self):
        return self.values(self.shadow)

    def add(self, gradient, optimizer):
        """An update that was just made with this gradient, None if there was none."""
        lr, decay = self.group["lr"], self.group["weight_decay"]
        self.steps.append((gradient, lr, decay))
        self.shadow.grad = None if gradient is None else torch.tensor(gradient, dtype=self.shadow.dtype)
        self.again.param_groups[0].update(lr=lr, weight_decay=decay)
        self.again.step()
        if gradient is None:
            return
        response = self.response[min(self.updates, 1)]
        self.updates += 1
        state, moves = optimizer.state[self.weight], gradient
        if "exp_avg_sq" in state:
            beta, square = self.group["betas"][1], state.get("max_exp_avg_sq", state["exp_avg_sq"])
            moves = gradient / (np.sqrt(self.values(square) / (1 - beta ** float(state["step"]))) + self.group["eps"])
        left = (1 - lr * decay * response) ** 2
        self.noise = left * self.noise + (lr * response * moves) ** 2
        self.decay *= left
        sign = -1 if self.group["maximize"] else 1
        self.total, self.sizes = self.total + sign * gradient, self.sizes + np.abs(gradient)
        ranked = np.sort(np.abs(gradient).reshape(-1)[self.sample])
        self.small = self.small + (np.abs(gradient) <= 0.2 * ranked[(len(ranked) - 1) // 2])

    def along(self):
        """Sum of (c_u p_u)^2: one weight an update, to which only this update has a gradient, of 1."""
        means = self.start.mean(axis=tuple(range(1, self.start.ndim)), keepdims=True)
        center = self.start - means if self.center else self.start
        c = nn.Parameter(torch.zeros(len(self.steps), dtype=torch.float64))
        settings = {key: self.group[key] for key in ("momentum", "dampening", "nesterov", "maximize")}
        optimizer = torch.optim.SGD([c], lr=0.0, **settings)
        if self.started and settings["momentum"]:
            optimizer.state[c]["momentum_buffer"] = torch.zeros_like(c)
        p = np.zeros(len(self.steps))
        for update, (gradient, lr, decay) in enumerate(self.steps):
            if gradient is None:
                continue
            p[update] = (gradient * center).sum()
            optimizer.param_groups[0].update(lr=lr, weight_decay=decay)
            c.grad = torch.zeros_like(c)
            c.grad[update] = 1.0
            optimizer.step()
        return (self.earned * center).sum(), ((c.detach().numpy() * p) ** 2).sum()

    def end(self, optimizer):
        """The window ends."""
        along = None if "betas" in self.group else self.along()
        arrays = {"signed_grad": self.total, "grad": self.sizes, "noise": self.noise, "small_grads": self.small}
        self.windows.append((self.start, self.momentum, self.earned, self.decay, along, arrays))
        self.begin(optimizer)

    def assert_recorded(self, run, exact=1e-10):
        """The windows of a run are those of the loops; `exact` is the tolerance of the split."""
        assert len(run.windows) == 1 + len(self.windows)
        for window, (start, momentum, earned, decay, along, arrays) in zip(run.windows[1:], self.windows, strict=True):
            record, more = window[self.name], window[self.name].summary.more
            (a, b), _ = more["map"]
            if along is None:
                assert record.momentum is None
                assert not {"earned_along", "earned_variance"} & more.keys()
            else:
                np.testing.assert_allclose(record.momentum, momentum, rtol=1e-6, atol=1e-12)
                size = np.linalg.norm(start) * np.linalg.norm(earned)
                assert more["earned_along"] == pytest.approx(along[0], rel=exact, abs=exact * size)
                assert more["earned_variance"] == pytest.approx(along[1], rel=100 * exact)
                b = b * record.momentum
            np.testing.assert_allclose(record.weight, a * start + b * (along is not None) + earned, atol=exact, rtol=0)
            assert more["noise_decay"] == pytest.approx(decay, rel=1e-12)
            assert record.unchanged is None
            for name, wanted in arrays.items():
                np.testing.assert_allclose(getattr(record, name), wanted, rtol=2e-6, atol=1e-9, err_msg=name)


def trained(path, model, optimizer, plain, losses, every, *, skipped, stop, decay=0.02):
    """A recorded training with changing rates; `skipped` gives the weight without a gradient by update."""
    recorder = ra.record(model, optimizer, path, quantities=[STATS], every=every)
    for update, loss in enumerate(losses):
        if update == stop:
            state = recorder.state_dict()
            recorder.close()
            recorder = ra.record(model, optimizer, path, quantities=[STATS], every=every, state=state)
        for number, group in enumerate(optimizer.param_groups):
            group["lr"] = 0.1 * (1.0 + number + math.cos(0.3 * update))
            group["weight_decay"] = decay * (1 + number + update % 3)
        optimizer.zero_grad()
        loss(model).backward()
        if update in skipped:
            skipped[update].grad = None
        given = [None if each.weight.grad is None else each.values(each.weight.grad) for each in plain]
        optimizer.step()
        for each, gradient in zip(plain, given, strict=True):
            each.add(gradient, optimizer)
            if (update + 1) % every == 0:
                each.end(optimizer)
    recorder.close()
    return ra.open_run(path)


def of_form(form, groups):
    kind, settings, response = FORMS[form]
    return kind(groups, lr=0.1, **settings), response


@pytest.mark.parametrize("form", FORMS)
def test_the_split_and_the_sums_equal_a_second_training_from_zero(tmp_path, form):
    """In two parameter groups, with changing rates, updates without a gradient, and a stop within a window."""
    runs = []
    for name, stop in (("whole", None), ("resumed", 6)):
        model = tiny().double()
        groups = [{"params": [model[1].weight]}, {"params": [*model[2].parameters(), *model[3].parameters()]}]
        optimizer, response = of_form(form, groups)
        layers = {} if stop is None else {"1": model[1].weight, "3": model[3].weight}
        plain = [Plain(*layer, optimizer, response) for layer in layers.items()]
        losses = [lambda model, seed=seed: 3.0 * loss64(model, seed) for seed in range(12)]
        path = tmp_path / name
        skipped = dict.fromkeys((0, 5, 8), model[1].weight)
        runs.append(trained(path, model, optimizer, plain, losses, 4, skipped=skipped, stop=stop))
    for each in plain:
        each.assert_recorded(runs[-1])
    assert_same_windows(*(run.path for run in runs))
    assert set(verify(runs[0])["verdict"]) == {"whole"}
    assert np.mean(runs[0].windows[1]["3"].small_grads > 0) > 0.05, "a test without small gradients would say nothing"


def loss64(model, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (16,), generator=generator)
    return functional.cross_entropy(model(torch.randn(16, 12, generator=generator, dtype=torch.float64)), labels)


@pytest.mark.faults
@pytest.mark.parametrize("form", FORMS)
def test_200_updates_of_a_resnet20(tmp_path, form):
    torch.manual_seed(0)
    model = build_network("resnet20").double()
    found = [name for name, layer in model.named_modules() if hasattr(layer, "tau")]
    optimizer, response = of_form(form, model.parameters())
    plain = [Plain(name, model.get_submodule(name).weight, optimizer, response) for name in (found[0], found[-1])]

    def loss(model, seed):
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(4, 3, 8, 8, generator=generator, dtype=torch.float64)
        return functional.cross_entropy(model(images), torch.randint(0, 10, (4,), generator=generator))

    losses = [lambda model, seed=seed: loss(model, seed) for seed in range(200)]
    skipped = dict.fromkeys((0, *range(7, 200, 7)), plain[0].weight)
    path = tmp_path / "run"
    run = trained(path, model, optimizer, plain, losses, 50, skipped=skipped, stop=120, decay=0.002)
    for each in plain:
        each.assert_recorded(run)


def applied(way, model, optimizer, scaler, update):
    """Make the update whose gradient was just computed; whether it was one."""
    if scaler:
        optimizer.zero_grad()
        scaler.scale(loss_of(model, update)).backward()
        if update == 5:
            model[1].weight.grad[0, 0] = math.inf
        scaler.step(optimizer)
        scaler.update()
    elif "closure" in way:
        optimizer.zero_grad()
        optimizer.step(lambda: loss_of(model, update).backward())
    else:
        optimizer.step()
    return not scaler or update != 5


WAYS = ["fused and scaled", "closure", "AdamW, closure", "maximize", "clipped", "not centered", "amsgrad", "foreach"]


@pytest.mark.parametrize("way", WAYS)
def test_gradients_are_those_that_the_optimizer_gets(tmp_path, way):
    model = tiny()
    if way == "not centered":
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), BinaryLinear(12, 3, bias=False, center=False))
    settings = {"fused and scaled": {"fused": True}, "foreach": {"foreach": True}, "maximize": {"maximize": True}}
    adam = way in {"AdamW, closure", "amsgrad"}
    optimizer = sgd(model, lr=0.1, **settings.get(way, {}))
    if adam:
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1, amsgrad=way == "amsgrad")
    scaler = GradScaler("cpu", init_scale=1024.0) if "scaled" in way else None
    layer = model[1].weight
    plain = Plain("1", layer, optimizer, (1.0, 1.0) if adam else (2.0, 2.0), center=way != "not centered")
    with ra.record(model, optimizer, tmp_path / "run", quantities=[STATS], every=4):
        for update in range(9):
            optimizer.zero_grad()
            loss_of(model, update).backward()
            if way == "clipped":
                nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            gradient = plain.values(layer.grad)
            if not applied(way, model, optimizer, scaler, update):
                continue
            plain.add(gradient, optimizer)
            if len(plain.steps) == 4:
                plain.end(optimizer)
    run = ra.open_run(tmp_path / "run")
    if len(plain.steps):
        plain.end(optimizer)
    plain.assert_recorded(run, exact=1e-6)


def given(kind, gradients, updates, dtype=torch.float64):
    """What `GradientStats` keeps after these gradients, on a CPU or as on a device."""
    spec = LayerSpec("a", (6, 40), str(dtype).removeprefix("torch."), "sign", WeightTransform())
    seen = torch.randn(6, 40, dtype=dtype, generator=torch.Generator().manual_seed(1))
    stats = GradientStats(spec, seen, RecordedRows((6, 40)), rounds=False)
    stats.begin(None, updates[0].rule)
    for gradient, update in zip(gradients, updates, strict=True):
        along = getattr(stats, kind)(gradient, update, *update.noise)
        stats._along.add(along, update.rule, update.lr, update.weight_decay, first=update.first)
    return stats.take(seen)


@pytest.mark.parametrize("way", ["SGD", "AdamW", "not known"])
def test_a_device_has_the_numbers_of_the_cpu(way, monkeypatch):
    """NaN, and gradients that are 0, included; products wait on the device, and are read before they are many."""
    monkeypatch.setattr("recu_analysis.capture.earned_along.MOST_WAITING", 3)
    generator = torch.Generator().manual_seed(2)
    gradients = [torch.randn(6, 40, generator=generator) for _ in range(8)]
    gradients[3][:, :7] = 0.0
    gradients[4].zero_()
    rule = None if way == "not known" else UpdateRule.of(way, {"momentum": 0.9, "dampening": 0.5})
    group, square = {"betas": (0.9, 0.99), "eps": 1e-8}, torch.rand(6, 40, generator=generator)
    updates = [
        UpdateOf(rule, 0.1 / (1 + u), 0.3, group, {"exp_avg_sq": square, "step": 3.0}, u == 0, u == 7, divisor=-8.0)
        for u in range(8)
    ]
    for broken in (False, True):
        if broken:
            gradients[6][2, 3] = math.nan
        (numbers, arrays), (others, wanted) = (
            given(kind, gradients, updates) for kind in ("_add_on_cpu", "_add_on_device")
        )
        assert arrays.keys() == wanted.keys()
        assert numbers.keys() == others.keys()
        assert ("earned_along" in numbers) == (way == "SGD" and not broken)
        for name, value in numbers.items():
            assert value == pytest.approx(others[name], rel=1e-12)
        for name, array in arrays.items():
            np.testing.assert_allclose(array, wanted[name], rtol=1e-6, err_msg=name)
            assert np.isnan(array).sum() == (broken and name not in {"small_grads", "momentum"})


def test_a_layer_whose_gradients_are_zero_or_absent(tmp_path):
    """Without a gradient there is no update, so nothing decays; gradients that are all 0 are all small."""
    model = tiny()
    optimizer = sgd(model)
    model[1].weight.requires_grad_(False)
    with ra.record(model, optimizer, tmp_path / "run", quantities=[STATS]) as recorder:
        for update in range(3):
            optimizer.zero_grad()
            loss_of(model, update).backward()
            model[3].weight.grad.zero_()
            optimizer.step()
        recorder.mark()
    window = ra.open_run(tmp_path / "run").windows[1]
    frozen, still = window["1"], window["3"]
    for record, small, decay in ((frozen, 0, 1.0), (still, 3, (1 - 0.5 * 0.01 * 2.0) ** 6)):
        assert (record.small_grads == small).all()
        assert not any(each.any() for each in (record.grad, record.signed_grad, record.noise, record.momentum))
        assert record.summary.more["noise_decay"] == pytest.approx(decay)
        assert record.summary.more["earned_along"] == record.summary.more["earned_variance"] == 0.0


def test_windows_merge_into_the_window_without_marks_between(tmp_path):
    runs = []
    for every in (12, 4):
        model = tiny()
        optimizer = sgd(model)
        with ra.record(model, optimizer, tmp_path / str(every), quantities=[STATS], every=every):
            for update in range(12):
                step(model, optimizer, update)
        runs.append(ra.open_run(tmp_path / str(every)))
    whole, parts = runs[0].windows[1]["1"], merged(runs[1].windows[1:], "1")
    thinned = thin(runs[1], windows=[0, 3], output=tmp_path / "thin")
    thin_record = thinned.windows[1]["1"]
    for name in ("momentum", "signed_grad", "grad", "noise", "small_grads"):
        for other in (parts, thin_record):
            np.testing.assert_allclose(getattr(other, name), getattr(whole, name), rtol=1e-5, atol=1e-7, err_msg=name)
    assert parts.summary.more["noise_decay"] == pytest.approx(whole.summary.more["noise_decay"])
    assert not {"earned_along", "earned_variance"} & thin_record.summary.more.keys()
    assert {"earned_along", "earned_variance"} <= whole.summary.more.keys()
    assert thin_record.unchanged is None
    assert parts.unchanged is None
    assert set(verify(thinned)["verdict"]) == {"whole"}


def test_values_that_16_bits_do_not_change(tmp_path):
    model = nn.Sequential(nn.Flatten(), BinaryLinear(12, 8, bias=False)).bfloat16()
    layer = model[1].weight
    optimizer = torch.optim.SGD([layer], lr=0.01, momentum=0.5)
    count = np.zeros(layer.shape, int)
    with ra.record(model, optimizer, tmp_path / "run", quantities=[STATS]) as recorder:
        for update in range(6):
            generator = torch.Generator().manual_seed(update)
            layer.grad = (0.3 * torch.randn(layer.shape, generator=generator)).bfloat16()
            layer.grad[0] = 0.0  # such a step is not lost
            before = layer.detach().clone()
            optimizer.step()
            still = (layer.detach() == before).numpy()
            count[1:] += still[1:]
        recorder.mark()
    record = ra.open_run(tmp_path / "run").windows[1]["1"]
    np.testing.assert_array_equal(record.unchanged, count)
    assert record.unchanged.dtype == np.uint16
    assert 0 < count.sum() < 6 * count[1:].size, "a test in which all moves or nothing does would say nothing"


def test_other_tensors_of_a_run_are_the_same_bytes(tmp_path):
    digests = []
    for quantities in ((), ("grad",), (STATS,)):
        model = tiny()
        optimizer = sgd(model)
        path = tmp_path / "-".join(("run", *quantities))
        with ra.record(model, optimizer, path, quantities=quantities, every=4):
            for update in range(8):
                step(model, optimizer, update)
        digests.append([window.header.digests for window in ra.open_run(path).windows])
    for bare, sizes, stats in zip(*digests, strict=True):
        assert bare.items() < sizes.items() < stats.items()


class Told(nn.Linear):
    """A binary layer of whose effective weight an adapter tells."""

    def forward(self, values):
        return functional.linear(values, (self.weight * 2.0).sign())


def test_where_an_adapter_gives_the_effective_weight_the_latent_weight_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_registered", list(registry._registered))
    ra.adapter("told", Told)(lambda layer: layer.weight * 2.0)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), Told(12, 3, bias=False))
    optimizer = sgd(model, lr=0.1)
    plain = Plain("1", model[1].weight, optimizer, (2.0, 2.0), center=False)
    with ra.record(model, optimizer, tmp_path / "run", quantities=[STATS], every=4):
        for update in range(4):
            model[1].weight.grad = torch.randn(3, 12, generator=torch.Generator().manual_seed(update))
            gradient = plain.values(model[1].weight.grad)
            optimizer.step()
            plain.add(gradient, optimizer)
    plain.end(optimizer)
    plain.assert_recorded(ra.open_run(tmp_path / "run"), exact=1e-6)


def test_an_optimizer_that_is_not_known_has_neither_noise_nor_momentum(tmp_path):
    model = tiny()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.01, momentum=0.5)
    with ra.record(model, optimizer, tmp_path / "run", quantities=[STATS], every=2):
        for update in range(4):
            step(model, optimizer, update)
    run = ra.open_run(tmp_path / "run")
    record = run.windows[2]["1"]
    assert record.noise is record.momentum is None
    assert not {"noise_decay", "earned_along", "earned_variance"} & record.summary.more.keys()
    assert record.grad.all()
    assert record.signed_grad.all()
    assert merged(run.windows[1:], "1").noise is None
    assert set(verify(run)["verdict"]) == {"whole"}
