"""Scalars for dashboards: what is logged, once each, while the run grows; and what is said without a library."""

import importlib
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import recu_analysis as ra
from recu_analysis.errors import InputError, LayerNotFoundError, MissingExtraError, NotARunError
from recu_analysis.integrations import tensorboard, wandb
from recu_analysis.integrations.callback_base import scalars_of
from recu_analysis.integrations.extra import missing
from recu_analysis.integrations.scalars import COLUMNS, OTHERS, WindowLogger
from recu_analysis.nn import BinaryLinear
from recu_analysis.testing import synthetic_run


class Writer:
    def __init__(self):
        self.logged = []

    def add_scalar(self, tag, scalar_value, global_step):
        self.logged.append((tag, scalar_value, global_step))


def test_scalars_are_those_of_the_weights_at_the_last_update_of_each_window(synthetic):
    writer = Writer()
    tensorboard.log_windows(ra.open_run(synthetic.path), writer, ["mobility", "flip_ratio"])
    expected = {}
    for layer, history in synthetic.history.items():
        rows = history.reshape(*history.shape[:2], -1).astype(np.float64)
        centered = rows - rows.mean(axis=2, keepdims=True)
        z = centered / centered.std(axis=2, ddof=1, keepdims=True)
        for low, high in pairwise(synthetic.marks):
            moved = np.abs(np.diff(z[low : high + 1], axis=0))
            flipped = np.diff(centered[low : high + 1] < 0, axis=0)
            expected[f"mobility/{layer}", high] = moved.mean()
            expected[f"flip_ratio/{layer}", high] = flipped.mean()
    assert {(tag, update): value for tag, value, update in writer.logged} == pytest.approx(expected, rel=1e-5)
    assert len(writer.logged) == len(expected)


def test_what_can_be_logged_is_in_the_table_and_is_a_number(synthetic):
    table = ra.layer_table(ra.open_run(synthetic.path))
    for name in (*COLUMNS, *OTHERS):
        assert np.issubdtype(table[name].dtype, np.number), name
    assert not set(COLUMNS) & set(OTHERS)


def test_what_is_not_a_number_is_left_out(tmp_path):
    history = {"constant": np.ones((5, 2, 3), np.float32)}
    path = synthetic_run(tmp_path / "run", history, windows=1).path
    sent = {}
    columns = ["b_hat", "gennorm_shape", "mobility", "constant_channels"]
    WindowLogger(path, lambda update, values: sent.update(values), columns).update()
    assert sent == {"mobility/constant": 0.0, "constant_channels/constant": 2.0}


def trained(model, optimizer):
    optimizer.zero_grad()
    model(torch.randn(8, 6)).square().sum().backward()
    optimizer.step()


def test_windows_are_sent_once_while_the_run_grows_and_again_where_it_went_back(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(BinaryLinear(6, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sent = []
    logger = WindowLogger(tmp_path / "run", lambda update, values: sent.append((update, values["mobility/0"])))
    with pytest.raises(NotARunError):
        logger.update()
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        for count in (0, 1, 1):
            recorder.flush()
            assert logger.update() == count
            assert logger.update() == 0
            before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            trained(model, optimizer)
            trained(model, optimizer)
            recorder.mark()
    assert logger.update() == 1
    model.load_state_dict(before)
    with ra.record(model, optimizer, tmp_path / "run", resume=4) as recorder:
        trained(model, optimizer)
        trained(model, optimizer)
        recorder.mark()
    assert logger.update() == 1
    assert [update for update, _ in sent] == [2, 4, 6, 6]
    assert sent[2][1] != sent[3][1]
    afterwards = WindowLogger(tmp_path / "run", lambda *_: None, after=4)
    assert afterwards.update() == 1


def test_patterns_choose_layers(synthetic):
    names = ra.open_run(synthetic.path).layer_names
    writer = Writer()
    tensorboard.ScalarLogger(synthetic.path, writer, ["lr"], layers=names[0]).update()
    assert {tag for tag, _, _ in writer.logged} == {f"lr/{names[0]}"}
    with pytest.raises(LayerNotFoundError):
        tensorboard.ScalarLogger(synthetic.path, writer, layers="nothing").update()


@pytest.mark.parametrize("columns", [["mobilty"], ["layer"], "lr"])
def test_a_column_that_is_none_is_refused_before_training(tmp_path, columns):
    with pytest.raises(InputError, match=r"no column to log is called '.*'; (known are mobility, |did you mean )"):
        tensorboard.ScalarLogger(tmp_path / "run", Writer(), columns)


def test_wandb_draws_over_updates_whatever_its_own_step_is(synthetic):
    class Run:
        def __init__(self):
            self.axes, self.logged = {}, []

        def define_metric(self, name, step_metric=None):
            self.axes[name] = step_metric

        def log(self, data):
            self.logged.append(data)

    run = Run()
    wandb.log_windows(ra.open_run(synthetic.path), run, ["autocorrelation"])
    assert run.axes == {"autocorrelation/*": "latent_update"}
    assert [data["latent_update"] for data in run.logged] == list(synthetic.marks[1:])


@pytest.mark.parametrize("library", ["lightning", "transformers"])
def test_a_missing_library_is_one_sentence(library, monkeypatch):
    for name in [library, *(name for name in sys.modules if name.startswith(f"{library}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"recu_analysis.integrations.{library}", raising=False)
    with pytest.raises(MissingExtraError) as caught:
        importlib.import_module(f"recu_analysis.integrations.{library}")
    assert str(caught.value) == f'{library} is not installed; install it with: pip install "recu-analysis[{library}]"'
    assert isinstance(caught.value, ImportError)


def test_a_library_that_is_there_but_broken_says_what_is_wrong_itself():
    broken = ModuleNotFoundError("No module named 'torchmetrics'", name="torchmetrics")
    assert missing("lightning", broken) is broken
    changed = ImportError("cannot import name 'Callback'", name="lightning.pytorch")
    assert missing("lightning", changed) is changed


def test_only_numbers_with_names_of_their_own_are_marked():
    logged = {"loss": torch.tensor(0.5), "top1": np.float32(2), "steps": 3, "bad": float("inf"), "name": "a"}
    refused = {"window": 1.0, "update": 1.0, "epoch": 1.0, "lr": 1.0, "done": True, "many": torch.zeros(3)}
    values = scalars_of(logged | refused)
    assert set(values) == {"loss", "top1", "steps", "bad"}
    assert (values["loss"], values["top1"], values["steps"]) == (0.5, 2.0, 3)
    assert np.isnan(values["bad"])


def test_the_integrations_load_no_library():
    code = (
        "import recu_analysis.integrations, recu_analysis.integrations.tensorboard, recu_analysis.integrations.wandb\n"
        "import sys; print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"lightning", "transformers", "tensorboard", "wandb", "torch"} & set(done.stdout.split())
