"""Small inputs that once gave wrong numbers, tracebacks or silence: each stands for a kind of its own."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import recu_analysis as ra
from recu_analysis.capture.adapters import registry
from recu_analysis.errors import RecuError
from recu_analysis.figures.captions import escape_latex
from recu_analysis.nn import BinaryConv2d, BinaryLinear
from recu_analysis.theory.standardize import WeightTransform
from tests.cli_runner import run_cli, run_program

SGD = torch.optim.SGD


@pytest.fixture
def new(tmp_path):
    return tmp_path / "run"


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def tiny():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 16), BinaryLinear(16, 16), nn.BatchNorm1d(16), BinaryLinear(16, 16))


def grads(model, seed=0):
    torch.manual_seed(100 + seed)
    for parameter in model.parameters():
        parameter.grad = None
    model(torch.randn(8, 12)).square().mean().backward()


def trained(path, updates=3, lr=0.1, **mark):
    """A run of a mark an update, recorded as a user does."""
    model = tiny()
    optimizer = SGD(model.parameters(), lr=lr)
    with ra.record(model, optimizer, path) as recorder:
        for at in range(updates):
            grads(model, at)
            optimizer.step()
            recorder.mark(epoch=at, **{name: value(at) for name, value in mark.items()})
    return model, optimizer


def test_a_subclass_counts_once(new):
    class Clip(SGD):
        def step(self, closure=None):
            super().step(closure)
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.data.clamp_(-1, 1)

    model = tiny()
    SGD(model.parameters(), lr=0.1)
    optimizer = Clip(model.parameters(), lr=0.1)
    with ra.record(model, optimizer, new) as recorder:
        for at in range(10):
            grads(model, at)
            optimizer.step()
        recorder.mark(epoch=0)
    assert sum(window.updates for window in ra.open_run(new).windows) == 10


def test_steps_that_nobody_sees_are_an_error(new):
    class Sam(torch.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.1})

        def move(self, by):
            for parameter in self.param_groups[0]["params"]:
                if parameter.grad is not None:
                    parameter.data.add_(parameter.grad * by)

    model = tiny()
    optimizer = Sam(model.parameters())

    def run():
        with ra.record(model, optimizer, new) as recorder:
            for at in range(4):
                grads(model, at)
                optimizer.move(0.01)
                grads(model, at)
                optimizer.move(-0.05)
            recorder.mark(epoch=0)

    with pytest.raises(RecuError):
        run()


def test_a_ternary_layer_with_a_known_name_is_refused(new):
    class BitLinear(nn.Linear):
        def forward(self, x):
            scale = self.weight.abs().mean()
            ternary = (self.weight / scale).round().clamp(-1, 1) * scale
            return nn.functional.linear(x, self.weight + (ternary - self.weight).detach())

    model = nn.Sequential(nn.Linear(12, 32), BitLinear(32, 16))
    optimizer = SGD(model.parameters(), lr=0.1)

    def run():
        with ra.record(model, optimizer, new) as recorder:
            for at in range(3):
                grads(model, at)
                optimizer.step()
            recorder.mark(epoch=0)

    with pytest.raises(RecuError):
        run()


def test_a_recording_goes_on_only_with_its_weights(new):
    model, optimizer = trained(new)
    for at in range(17):
        grads(model, at)
        optimizer.step()
    with pytest.raises(RecuError):
        ra.record(model, optimizer, new, resume=3)


def test_a_gap_is_not_exact(new):
    model = tiny()
    optimizer = SGD(model.parameters(), lr=0.5)
    with ra.record(model, optimizer, new) as recorder:
        for at in range(60):
            grads(model, at)
            optimizer.step()
            if at == 49:
                kept = {name: value.clone() for name, value in model.state_dict().items()}
            if at % 20 == 19:
                recorder.mark(epoch=at // 20)
    model.load_state_dict(kept)
    optimizer = SGD(model.parameters(), lr=0.5)
    with ra.record(model, optimizer, new, resume=50) as recorder:
        for at in range(5):
            grads(model, at)
            optimizer.step()
        recorder.mark(epoch=1)
    with pytest.raises(RecuError):
        ra.dead_weights(new, windows=slice(1, None))
    last = ra.dead_weights(new, windows=slice(ra.open_run(new).windows[-1].number, None))
    assert last["updates"].max() == 5


def test_a_failed_start_leaves_nothing(new):
    class Bare(torch.optim.Optimizer):
        def __init__(self, inner):
            self.inner_thing = inner
            self.param_groups, self.state, self.defaults = inner.param_groups, inner.state, inner.defaults

        def step(self):
            self.inner_thing.step()

    model = tiny()
    inner = SGD(model.parameters(), lr=0.1)
    with pytest.raises(RecuError):
        ra.record(model, Bare(inner), new)
    ra.record(model, inner, new).close()


def test_an_optimizer_without_a_learning_rate(new):
    class Bop(torch.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"gamma": 1e-2})

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.sub_(group["gamma"] * parameter.grad.sign())

    model = tiny()
    optimizer = Bop(model.parameters())
    with ra.record(model, optimizer, new) as recorder:
        grads(model)
        optimizer.step()
        recorder.mark(epoch=0)
    assert sum(window.updates for window in ra.open_run(new).windows) == 1


def test_the_backend_of_a_notebook_does_not_reach_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.of_a_notebook")
    done = run_program("figures", "--only", "fig3", "--format", "svg", "-o", tmp_path)
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize("epochs", [("warmup", 1), (0, 1)])
def test_epochs_and_metrics_may_be_texts(new, epochs):
    model = tiny()
    optimizer = SGD(model.parameters(), lr=0.1)
    with ra.record(model, optimizer, new) as recorder:
        for epoch in epochs:
            grads(model)
            optimizer.step()
            recorder.mark(epoch=epoch, val_top1="n/a", stage="warmup")
    for command in ("flips", "dead-weights", "compare"):
        done = run_cli(command, new)
        assert (done.exit_code, done.stderr.count("Error: ")) in {(0, 0), (1, 1)}, done.stderr
        assert "Traceback" not in done.stderr


def test_an_edited_metric_is_found(new):
    trained(new, val_top1=lambda at: 50.0 + at)
    (file,) = new.rglob("metrics.jsonl")
    text = file.read_text()
    assert "52.0" in text
    file.write_text(text.replace("52.0", "62.0"))
    assert run_cli("verify", new).exit_code == 1


def test_a_name_is_no_command_of_latex():
    text = escape_latex(r"x $\input{/etc/passwd}$ y".replace("$", r"\$"))
    assert "\\input" not in text.replace("\\textbackslash{}input", "")


def test_the_state_of_a_recording_is_contiguous(new):
    model = nn.Sequential(BinaryConv2d(8, 8, 3), nn.Flatten()).to(memory_format=torch.channels_last)
    optimizer = SGD(model.parameters(), lr=0.1)
    with ra.record(model, optimizer, new, quantities=("path", "zpath", "flip_times", "ema", "grad")) as recorder:
        model(torch.randn(2, 8, 6, 6)).square().mean().backward()
        optimizer.step()
        assert all(tensor.is_contiguous() for tensor in recorder.state_dict().values())
        recorder.mark(epoch=0)


def test_a_quoted_pattern_that_matches_folders_is_one_sentence(tmp_path):
    for step in (500, 1000):
        (tmp_path / f"checkpoint-{step}").mkdir()
    done = run_cli("import", tmp_path / "checkpoint-*", "--run-dir", tmp_path / "r")
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1


def test_floats_of_8_bits_are_read_or_refused(tmp_path):
    weight = torch.randn(8, 16).to(torch.float8_e4m3fn)
    torch.save({"state_dict": {"0.weight": weight}}, tmp_path / "a.pth")
    done = run_cli("import", tmp_path / "a.pth", "--run-dir", tmp_path / "r", "--layer", "0")
    assert done.exit_code == 0
    np.testing.assert_array_equal(ra.open_run(tmp_path / "r").windows[0]["0"].weight, weight.float().numpy())


def test_an_explicit_effective_weight_has_the_same_z(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_registered", [*registry._registered])

    class A(nn.Linear):
        def forward(self, x):
            centered = self.weight - self.weight.mean(1, keepdim=True)
            return nn.functional.linear(x, centered + (centered.sign() - centered).detach())

    class B(A):
        pass

    ra.adapter("case-a", A)(lambda module: WeightTransform(center=True))
    ra.adapter("case-b", B)(lambda module: module.weight - module.weight.mean(1, keepdim=True))
    sums = []
    for kind in (A, B):
        torch.manual_seed(0)
        model = nn.Sequential(kind(16, 12, bias=False))
        model[0].weight.data.add_(0.5)
        optimizer = SGD(model.parameters(), lr=0.2)
        with ra.record(model, optimizer, tmp_path / kind.__name__) as recorder:
            for at in range(10):
                torch.manual_seed(at)
                optimizer.zero_grad()
                model(torch.randn(8, 16)).square().mean().backward()
                optimizer.step()
            recorder.mark(epoch=0)
        sums.append(ra.open_run(tmp_path / kind.__name__).windows[-1]["0"].zpath.sum())
    assert abs(sums[0] / sums[1] - 1) < 1e-5


def test_runs_without_configuration_are_no_seeds(tmp_path):
    for at in range(3):
        trained(tmp_path / f"r{at}", lr=0.1 * (at + 1))
    done = run_cli("compare", "--seeds", *(tmp_path / f"r{at}" for at in range(3)))
    assert "3 seeds" not in done.stdout
