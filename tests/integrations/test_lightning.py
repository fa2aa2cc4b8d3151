"""The Lightning callback against ra.record in a plain loop with the same seed; what stays after stops and errors."""

import os
import signal
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import recu_analysis as ra
from recu_analysis.errors import InputError, RunExistsError
from recu_analysis.nn import BinaryConv2d
from tests.capture.plain_loops import assert_recorded
from tests.integrations.same_windows import assert_same_windows

pytestmark = [pytest.mark.extras, pytest.mark.filterwarnings("ignore")]  # the library's warnings are not ours
IMAGES, BATCH, EPOCHS = 24, 4, 3
STEPS = IMAGES // BATCH


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), BinaryConv2d(4, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(IMAGES, 1, 8, 8, generator=generator), torch.randint(0, 8, (IMAGES,), generator=generator)


def loader():
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*images()), batch_size=BATCH)


@pytest.fixture(scope="module")
def tiny():
    """The class of a LightningModule: momentum, a learning rate that falls every epoch, a logged loss."""
    from lightning.pytorch import LightningModule

    class Tiny(LightningModule):
        def __init__(self, fail_at=None):
            super().__init__()
            self.net, self.fail_at = network(), fail_at

        def training_step(self, batch, index):
            if self.fail_at is not None and self.trainer.global_step == self.fail_at:
                self.fail()
            loss = functional.cross_entropy(self.net(batch[0]), batch[1])
            self.log("train_loss", loss, on_epoch=True, on_step=False)
            self.log("epoch_of_loss", float(self.current_epoch))
            return loss

        def on_train_epoch_end(self):
            if self.current_epoch % 2 == 0:
                self.log("late", float(self.current_epoch))

        def fail(self):
            raise FloatingPointError("the loss is not finite")

        def validation_step(self, batch, index):
            self.log("val_loss", functional.cross_entropy(self.net(batch[0]), batch[1]))

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=0.5, momentum=0.9, weight_decay=0.01)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)]

    return Tiny


def trainer(folder, *callbacks, **options):
    from lightning.pytorch import Trainer

    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    settings = {"accelerator": "cpu", "max_epochs": EPOCHS, "enable_checkpointing": False} | quiet
    return Trainer(callbacks=list(callbacks), default_root_dir=folder, **settings | options)


def callback(folder, **options):
    from recu_analysis.integrations.lightning import RecordLatentWeights

    return RecordLatentWeights(folder, **options)


def plain(folder, accumulate=1, epochs=EPOCHS):
    """The same training by hand, recorded with ra.record."""
    model = nn.ModuleDict({"net": network()})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    with ra.record(model, optimizer, folder) as recorder:
        for epoch in range(epochs):
            lr = schedule.get_last_lr()[0]
            for index, (inputs, labels) in enumerate(loader(), start=1):
                (functional.cross_entropy(model["net"](inputs), labels) / accumulate).backward()
                if index % accumulate == 0:
                    optimizer.step()
                    optimizer.zero_grad()
            schedule.step()
            recorder.mark(epoch=epoch, lr=lr)
    return ra.open_run(folder)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_windows_are_those_of_a_plain_loop(tmp_path, tiny, accumulate):
    ours = trainer(tmp_path, callback(tmp_path / "run"), accumulate_grad_batches=accumulate)
    ours.fit(tiny(), loader())
    run = ra.open_run(tmp_path / "run")
    assert_same_windows(run, plain(tmp_path / "plain", accumulate))
    assert run.windows[-1].last_update == EPOCHS * STEPS // accumulate
    assert run.metrics["epoch"].tolist() == [0, 1, 2]
    assert run.metrics["lr"].tolist() == [0.5, 0.25, 0.125]


@pytest.mark.parametrize("checkpoints", [False, True])
def test_marks_carry_what_was_logged_in_their_epoch(tmp_path, tiny, checkpoints):
    options = {"check_val_every_n_epoch": 2, "max_epochs": 4, "enable_checkpointing": checkpoints}
    ours = trainer(tmp_path, callback(tmp_path / "run"), **options)
    module = tiny()
    losses = []
    module.on_validation_end = lambda: losses.append(float(ours.callback_metrics["val_loss"]))
    ours.fit(module, loader(), loader())
    metrics = ra.open_run(tmp_path / "run").metrics
    assert metrics["window"].tolist() == [1, 2, 3, 4], "also where the checkpoint is saved before the epoch's end"
    assert metrics["epoch"].tolist() == metrics["epoch_of_loss"].tolist() == [0, 1, 2, 3]
    assert metrics["train_loss"].nunique() == 4
    sanity, *losses = losses
    assert sanity not in losses
    assert metrics["val_loss"].dropna().tolist() == losses
    assert metrics["val_loss"].isna().tolist() == [True, False, True, False]
    assert metrics["late"].fillna(-1).tolist() == [0, -1, 2, -1]


def saved(folder, tiny, **when):
    """Two epochs of a recorded training that saved checkpoints."""
    from lightning.pytorch.callbacks import ModelCheckpoint

    saving = ModelCheckpoint(folder, filename="{step}", save_top_k=-1, **when)
    trainer(folder, callback(folder / "run"), saving, max_epochs=2, enable_checkpointing=True).fit(tiny(), loader())


def test_a_training_resumed_after_an_epoch_has_the_windows_of_one_that_was_never_stopped(tmp_path, tiny):
    saved(tmp_path, tiny, every_n_epochs=1)
    trainer(tmp_path, callback(tmp_path / "run")).fit(tiny(), loader(), ckpt_path=tmp_path / "step=6.ckpt")
    run = ra.open_run(tmp_path / "run")
    assert [segment.start_update for segment in run.segments] == [0, 6]
    assert_same_windows(run, plain(tmp_path / "plain"))
    assert run.metrics["epoch"].tolist() == [0, 1, 2]


def test_a_training_resumed_within_an_epoch_goes_on_in_the_middle_of_its_window(tmp_path, tiny):
    saved(tmp_path, tiny, every_n_train_steps=8, save_on_train_epoch_end=False)
    before = ra.open_run(tmp_path / "run").windows
    assert [window.last_update for window in before] == [0, 6, 12], "a checkpoint ends no window"
    module = tiny()
    steps = [module.net[1].weight.detach().clone()]
    module.on_before_zero_grad = lambda _: steps.append(module.net[1].weight.detach().clone())
    trainer(tmp_path, callback(tmp_path / "run")).fit(module, loader(), ckpt_path=tmp_path / "step=8.ckpt")
    run = ra.open_run(tmp_path / "run")
    assert [window.last_update for window in run.windows][:3] == [0, 6, 12]
    assert run.metrics["epoch"].tolist() == [0, 1, 2]
    checkpoint = torch.load(tmp_path / "step=8.ckpt", weights_only=True)
    window = run.windows[2]["net.1"]
    state = checkpoint["recu_analysis.latent_weights"]
    start = (state["path/net.1"] + state["path_rest/net.1"]).reshape(window.path.shape).numpy()
    after = [checkpoint["state_dict"]["net.1.weight"], *steps[2:]]
    moved = sum(np.abs(np.diff([each.numpy() for each in after[:5]], axis=0)), np.zeros(window.path.shape))
    np.testing.assert_allclose(window.path, start + moved, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(run.windows[-1]["net.1"].weight, module.net[1].weight.detach())


def test_a_checkpoint_without_its_run_begins_one(tmp_path, tiny):
    first = trainer(tmp_path, callback(tmp_path / "run"), max_epochs=1)
    first.fit(tiny(), loader())
    first.save_checkpoint(tmp_path / "saved.ckpt")
    trainer(tmp_path, callback(tmp_path / "other")).fit(tiny(), loader(), ckpt_path=tmp_path / "saved.ckpt")
    other = ra.open_run(tmp_path / "other")
    assert [window.last_update for window in other.windows] == [0, 6, 12]
    assert other.metrics["epoch"].tolist() == [1, 2]


def test_a_second_fit_of_the_same_trainer_goes_on_and_of_another_is_refused(tmp_path, tiny):
    recording, module = callback(tmp_path / "run"), tiny()
    ours = trainer(tmp_path, recording, max_epochs=1)
    ours.fit(module, loader())
    ours.fit_loop.max_epochs = 2
    ours.fit(module, loader())
    assert [window.last_update for window in ra.open_run(tmp_path / "run").windows] == [0, 6, 12]
    with pytest.raises(RunExistsError, match="is not empty"):
        trainer(tmp_path, recording).fit(tiny(), loader())
    ours.fit_loop.max_epochs = 3
    with pytest.raises(InputError, match="differ from those at which state= was taken"):
        ours.fit(tiny(), loader())


def test_weights_loaded_by_hand_resume_where_the_user_says(tmp_path, tiny):
    module = tiny()
    trainer(tmp_path, callback(tmp_path / "run", traces=2), max_epochs=1).fit(module, loader())
    options = {"resume": 6, "every": 4, "traces": 2}
    trainer(tmp_path, callback(tmp_path / "run", **options), max_epochs=1).fit(module, loader())
    run = ra.open_run(tmp_path / "run")
    assert [window.last_update for window in run.windows] == [0, 6, 10, 12]
    assert ra.traces(run)["update"].max() == 12


def test_an_exception_leaves_the_open_window_partial(tmp_path, tiny):
    with pytest.raises(FloatingPointError, match="not finite"):
        trainer(tmp_path, callback(tmp_path / "run")).fit(tiny(fail_at=8), loader())
    windows = ra.open_run(tmp_path / "run").windows
    assert [(window.last_update, window.partial) for window in windows] == [(0, False), (6, False), (8, True)]


def test_an_exception_after_an_epoch_leaves_its_window_whole(tmp_path, tiny):
    module = tiny()
    module.on_train_epoch_end = module.fail
    with pytest.raises(FloatingPointError, match="not finite"):
        trainer(tmp_path, callback(tmp_path / "run")).fit(module, loader())
    run = ra.open_run(tmp_path / "run")
    assert [(window.last_update, window.partial) for window in run.windows] == [(0, False), (6, False)]
    assert run.metrics["epoch"].tolist() == [0]


def test_ctrl_c_leaves_the_open_window_partial(tmp_path, tiny):
    module = tiny(fail_at=8)
    module.fail = lambda: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        trainer(tmp_path, callback(tmp_path / "run")).fit(module, loader())
    windows = ra.open_run(tmp_path / "run").windows
    assert windows[-1].partial
    assert windows[-1].last_update == 8


def test_two_optimizers_stepped_by_hand(tmp_path, tiny):
    class Two(tiny):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False
            self.other = BinaryConv2d(1, 2, 8)

        def training_step(self, batch, index):
            both = self.optimizers()
            (super().training_step(batch, index) + self.other(batch[0]).square().mean()).backward()
            for optimizer in both if index % 2 else both[:1]:
                optimizer.step()
                optimizer.zero_grad()

        def configure_optimizers(self):
            return [torch.optim.SGD(part.parameters(), lr=0.1) for part in (self.net, self.other)]

    ours = trainer(tmp_path, callback(tmp_path / "run"), max_epochs=2)
    ours.fit(Two(), loader())
    run = ra.open_run(tmp_path / "run")
    assert ours.global_step == 18
    assert [window.last_update for window in run.windows] == [0, 6, 12]
    assert [run.windows[1][name].summary.updates for name in ("net.1", "other")] == [6, 3]
    ours.save_checkpoint(tmp_path / "saved.ckpt")
    module = Two()
    trainer(tmp_path, callback(tmp_path / "run")).fit(module, loader(), ckpt_path=tmp_path / "saved.ckpt")
    run = ra.open_run(tmp_path / "run")
    assert [window.last_update for window in run.windows] == [0, 6, 12, 18]
    last = run.windows[-1]["other"]
    assert (last.summary.first_update, last.summary.updates) == (7, 3), "each optimizer's updates are numbered on"
    np.testing.assert_array_equal(last.weight, module.other.weight.detach())
    np.testing.assert_array_equal(
        last.start, torch.load(tmp_path / "saved.ckpt", weights_only=True)["state_dict"]["other.weight"]
    )


def test_distributed_training_records_the_module_within(tmp_path, tiny):
    module, wrapped = tiny(), []
    module.on_train_epoch_end = lambda: wrapped.append(type(ours.model).__name__)
    with mock.patch.dict(os.environ):  # Lightning leaves its addresses there
        options = {"strategy": "ddp", "devices": 1, "use_distributed_sampler": False}
        ours = trainer(tmp_path, callback(tmp_path / "run"), **options)
        ours.fit(module, loader())
        torch.distributed.destroy_process_group()
    assert wrapped == ["DistributedDataParallel"] * EPOCHS
    assert_same_windows(ra.open_run(tmp_path / "run"), plain(tmp_path / "plain"))


def test_steps_that_a_gradient_scaler_skips_are_no_updates(tmp_path, tiny):
    """In float16 with a scale at which the gradients of the first batches overflow."""
    from lightning.pytorch.plugins import MixedPrecision

    module, scaler = tiny(), torch.amp.GradScaler("cpu", init_scale=2.0**24)
    weight = module.net[1].weight
    history = [weight.detach().numpy().copy()]
    configure = module.configure_optimizers

    def watched():
        optimizers, schedules = configure()
        optimizers[0].register_step_post_hook(lambda *_: history.append(weight.detach().numpy().copy()))
        return optimizers, schedules

    module.configure_optimizers = watched
    ours = trainer(tmp_path, callback(tmp_path / "run"), plugins=[MixedPrecision("16-mixed", "cpu", scaler)])
    ours.fit(module, loader())
    run = ra.open_run(tmp_path / "run")
    skipped = EPOCHS * STEPS - (len(history) - 1)
    assert skipped > STEPS, "in the first epoch every step is skipped"
    assert scaler.get_scale() == 2.0 ** (24 - skipped)
    assert [window.last_update for window in run.windows] == [0, 2 * STEPS - skipped, len(history) - 1]
    assert run.metrics["update"].tolist() == [0, 2 * STEPS - skipped, len(history) - 1]
    for window in run.windows[1:]:
        states = history[window.first_update - 1 : window.last_update + 1]
        assert_recorded(window["net.1"], states, first_update=window.first_update)


def test_the_package_of_the_older_name_takes_the_callback_too(tmp_path):
    from pytorch_lightning import LightningModule, Trainer

    class Small(LightningModule):
        def __init__(self):
            super().__init__()
            self.net = network()

        def training_step(self, batch, index):
            return functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    recording = callback(tmp_path / "run")
    ours = Trainer(callbacks=[recording], max_epochs=2, accelerator="cpu", default_root_dir=tmp_path, **quiet)
    ours.fit(Small(), loader())
    assert [window.last_update for window in ra.open_run(tmp_path / "run").windows] == [0, 6, 12]
    assert ra.open_run(tmp_path / "run").metrics["epoch"].tolist() == [0, 1]
