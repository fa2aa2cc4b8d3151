"""The Trainer callback against ra.record in a plain loop with the same seed, and what stays after stops and errors."""

import atexit
import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import recu_analysis as ra
from recu_analysis.errors import RunExistsError
from recu_analysis.nn import BinaryConv2d
from recu_analysis.nn.quantized import TernaryLinear, absmean_ternary, eight_bits
from tests.integrations.same_windows import QUANTITIES, assert_same_windows

pytestmark = [pytest.mark.extras, pytest.mark.filterwarnings("ignore")]  # the library's warnings are not ours
IMAGES, BATCH, EPOCHS = 24, 4, 3
STEPS = IMAGES // BATCH


class Tiny(nn.Module):
    def __init__(self, fail_at=None):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Conv2d(1, 4, 3), BinaryConv2d(4, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.fail_at, self.passes = fail_at, 0

    def forward(self, pixels, labels):
        if self.passes == self.fail_at:
            raise FloatingPointError("the loss is not finite")
        self.passes += 1
        logits = self.net(pixels)
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}


def images():
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(IMAGES, 1, 8, 8, generator=generator)
    labels = torch.randint(0, 8, (IMAGES,), generator=generator)
    return [{"pixels": image, "labels": label} for image, label in zip(pixels, labels, strict=True)]


@pytest.fixture(scope="module")
def trainer():
    """A Trainer in the order of the data, with momentum and a learning rate that falls every epoch."""
    from transformers import Trainer, TrainingArguments

    class InOrder(Trainer):
        def _get_train_sampler(self, *_):
            return torch.utils.data.SequentialSampler(self.train_dataset)

    def make(folder, *callbacks, model=None, **options):
        known = {"num_train_epochs": EPOCHS, "save_strategy": "no", "eval_strategy": "no", "logging_strategy": "epoch"}
        fixed = {"report_to": [], "disable_tqdm": True, "use_cpu": True, "max_grad_norm": 0.0}
        arguments = TrainingArguments(str(folder), per_device_train_batch_size=BATCH, **fixed, **known | options)
        model = model or Tiny()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9, weight_decay=0.01)
        steps = STEPS // arguments.gradient_accumulation_steps
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, steps, gamma=0.5)
        data = {"train_dataset": images(), "eval_dataset": images()[:8]}
        return InOrder(model, arguments, **data, callbacks=list(callbacks), optimizers=(optimizer, schedule))

    return make


def callback(folder, **options):
    from recu_analysis.integrations.transformers import RecordLatentWeights

    return RecordLatentWeights(folder, **options)


def plain(folder, accumulate=1):
    """The same training by hand, recorded with ra.record."""
    model = Tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9, weight_decay=0.01)
    loader = torch.utils.data.DataLoader(images(), batch_size=BATCH)
    with ra.record(model, optimizer, folder) as recorder:
        for epoch in range(EPOCHS):
            for group in optimizer.param_groups:
                group["lr"] = 0.5**epoch * 0.5
            for index, batch in enumerate(loader, start=1):
                (model(**batch)["loss"] / accumulate).backward()
                if index % accumulate == 0:
                    optimizer.step()
                    optimizer.zero_grad()
            recorder.mark(epoch=epoch)
    return ra.open_run(folder)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_windows_are_those_of_a_plain_loop(tmp_path, trainer, accumulate):
    trainer(tmp_path, callback(tmp_path / "run"), gradient_accumulation_steps=accumulate).train()
    run = ra.open_run(tmp_path / "run")
    assert_same_windows(run, plain(tmp_path / "plain", accumulate))
    assert run.windows[-1].last_update == EPOCHS * STEPS // accumulate
    assert run.metrics["epoch"].tolist() == [0, 1, 2]
    assert run.metrics["lr"].tolist() == [0.5, 0.25, 0.125]


def test_marks_carry_the_logs_and_the_evaluation_of_their_epoch(tmp_path, trainer):
    ours = trainer(tmp_path, callback(tmp_path / "run"), eval_strategy="epoch")
    ours.train()
    metrics = ra.open_run(tmp_path / "run").metrics
    logged = ours.state.log_history
    for name in ("loss", "eval_loss"):
        assert metrics[name].tolist() == [line[name] for line in logged if name in line]
        assert metrics[name].nunique() == EPOCHS
    assert not {"train_runtime", "total_flos"} & set(metrics)


@pytest.mark.parametrize("steps", [STEPS, 8])
def test_a_resumed_training_goes_on_with_the_run(tmp_path, trainer, steps):
    saving = {"save_strategy": "steps", "save_steps": steps}
    trainer(tmp_path, callback(tmp_path / "run"), num_train_epochs=2, **saving).train()
    ours = trainer(tmp_path, callback(tmp_path / "run"), **saving | {"save_strategy": "no"})
    ours.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{steps}"))
    run, expected = ra.open_run(tmp_path / "run"), plain(tmp_path / "plain")
    assert [segment.start_update for segment in run.segments] == [0, steps]
    if steps == STEPS:
        assert_same_windows(run, expected)
    assert [window.last_update for window in run.windows] == sorted({0, 6, steps, 12, 18})
    for quantity in QUANTITIES:
        last, wanted = (getattr(each.windows[-1]["net.1"], quantity) for each in (run, expected))
        np.testing.assert_array_equal(last, wanted)
    ends = {window.number: window.last_update for window in run.windows}
    assert [ends[number] for number in run.metrics["window"]] == [6, 12, 18]
    assert run.metrics["epoch"].tolist() == [0, 1, 2]


def test_a_step_that_a_gradient_scaler_skips_is_no_update(tmp_path, trainer):
    """As with float16 on a GPU: the Trainer's step counts what the optimizer never did."""
    saving = {"save_strategy": "epoch"}
    first = trainer(tmp_path, callback(tmp_path / "run"), num_train_epochs=2, **saving)
    step, calls = first.optimizer.step, []

    def skipping(closure=None):
        calls.append(closure)
        return step(closure) if len(calls) > 2 else None

    first.optimizer.step = skipping
    first.train()
    ours = trainer(tmp_path, callback(tmp_path / "run"))
    ours.train(resume_from_checkpoint=str(tmp_path / "checkpoint-12"))
    run = ra.open_run(tmp_path / "run")
    assert [(segment.start_update) for segment in run.segments] == [0, 10]
    assert [window.last_update for window in run.windows] == [0, 4, 10, 16]
    assert run.metrics["epoch"].tolist() == [0, 1, 2]


def test_a_callback_that_the_trainer_makes_of_a_checkpoint_goes_on_too(tmp_path, trainer):
    recording = callback(tmp_path / "run", every=4, traces=2)
    trainer(tmp_path, recording, num_train_epochs=1, save_strategy="epoch").train()
    ours = trainer(tmp_path, callback(tmp_path / "other"), restore_callback_states_from_checkpoint=True)
    ours.train(resume_from_checkpoint=str(tmp_path / "checkpoint-6"))
    run = ra.open_run(tmp_path / "run")
    assert [window.last_update for window in run.windows] == [0, 4, 6, 10, 12, 16, 18]
    assert (ra.traces(run).groupby("layer")["update"].nunique() >= 18).all()


def test_a_checkpoint_without_its_run_begins_one(tmp_path, trainer):
    trainer(tmp_path, num_train_epochs=1, save_strategy="epoch").train()
    ours = trainer(tmp_path, callback(tmp_path / "run"), save_strategy="epoch")
    ours.train(resume_from_checkpoint=str(tmp_path / "checkpoint-6"))
    assert [window.last_update for window in ra.open_run(tmp_path / "run").windows] == [0, 6, 12]


def test_a_second_training_into_the_same_folder_is_refused(tmp_path, trainer):
    ours = trainer(tmp_path, callback(tmp_path / "run"), num_train_epochs=1)
    ours.train()
    with pytest.raises(RunExistsError, match="is not empty"):
        ours.train()


def test_an_exception_leaves_the_open_window_partial_where_the_block_ends(tmp_path, trainer):
    with pytest.raises(FloatingPointError, match="not finite"), callback(tmp_path / "run") as recording:
        trainer(tmp_path, recording, model=Tiny(fail_at=8)).train()
    windows = ra.open_run(tmp_path / "run").windows
    assert [(window.last_update, window.partial) for window in windows] == [(0, False), (6, False), (8, True)]


def test_an_exception_in_the_evaluation_leaves_the_window_of_its_epoch_whole(tmp_path, trainer):
    with pytest.raises(FloatingPointError, match="not finite"), callback(tmp_path / "run") as recording:
        trainer(tmp_path, recording, model=Tiny(fail_at=STEPS), eval_strategy="epoch").train()
    run = ra.open_run(tmp_path / "run")
    assert [(window.last_update, window.partial) for window in run.windows] == [(0, False), (6, False)]
    assert run.metrics["epoch"].tolist() == [0]


def test_training_again_after_an_exception_closes_what_was_open(tmp_path, trainer):
    recording, model = callback(tmp_path / "run"), Tiny(fail_at=8)
    ours = trainer(tmp_path, recording, model=model, save_strategy="epoch")
    with pytest.raises(FloatingPointError, match="not finite"):
        ours.train()
    model.fail_at = None
    ours.train(resume_from_checkpoint=True)
    assert [window.last_update for window in ra.open_run(tmp_path / "run").windows] == [0, 6, 12, 18]


def test_an_exception_without_a_block_leaves_the_window_when_python_exits(tmp_path, trainer, monkeypatch):
    waiting = []
    monkeypatch.setattr(atexit, "register", lambda function: waiting.append(function))
    with pytest.raises(FloatingPointError, match="not finite"):
        trainer(tmp_path, callback(tmp_path / "run"), model=Tiny(fail_at=8)).train()
    assert not ra.open_run(tmp_path / "run").windows[-1].partial
    for function in reversed(waiting):
        function()
    assert ra.open_run(tmp_path / "run").windows[-1].partial


def out_of_memory_once(ours, after):
    """Let the training run out of memory after so many steps, the first time that it comes to them."""
    step, left = ours.training_step, [after]

    def training_step(*arguments, **named):
        left[0] -= 1
        if left[0] == -1:
            raise RuntimeError("CUDA out of memory.")
        return step(*arguments, **named)

    ours.training_step = training_step


@pytest.mark.parametrize("after", [0, 3])
def test_a_smaller_batch_after_out_of_memory_goes_on_with_the_run(tmp_path, trainer, after):
    ours = trainer(tmp_path, callback(tmp_path / "run"), auto_find_batch_size=True, num_train_epochs=1)
    out_of_memory_once(ours, after)
    ours.train()
    run = ra.open_run(tmp_path / "run")
    assert (run.problems, run.gaps) == ((), ())
    assert [window.first_update for window in run.windows][-1] == after + 1
    assert ours.state.train_batch_size < BATCH
    assert run.windows[-1].last_update == after + ours.state.global_step
    np.testing.assert_array_equal(run.windows[-1]["net.1"].weight, ours.model.net[1].weight.detach().numpy())


@pytest.mark.filterwarnings("default")
def test_a_smaller_batch_may_begin_a_run_of_its_own(tmp_path, trainer):
    ours = trainer(tmp_path, callback(tmp_path / "run", anew=True), auto_find_batch_size=True, num_train_epochs=1)
    out_of_memory_once(ours, 3)
    with pytest.warns(UserWarning, match="the training was restarted; the recording continues as a new run in .*run-2"):
        ours.train()
    assert ra.open_run(tmp_path / "run").windows[-1].last_update == 3
    assert ra.open_run(tmp_path / "run-2").windows[-1].last_update == ours.state.global_step


@pytest.mark.filterwarnings("default")
def test_a_training_that_begins_again_with_other_weights_begins_another_run(tmp_path, trainer):
    from transformers import TrainerCallback

    class GoesBack(TrainerCallback):
        before = None

        def on_train_begin(self, *_, model, **__):
            self.before = self.before or {name: tensor.clone() for name, tensor in model.state_dict().items()}
            model.load_state_dict(self.before)

    ours = trainer(tmp_path, GoesBack(), callback(tmp_path / "run"), auto_find_batch_size=True, num_train_epochs=1)
    out_of_memory_once(ours, 3)
    with pytest.warns(UserWarning, match="differ from those recorded at that update.*run-2"):
        ours.train()
    assert ra.open_run(tmp_path / "run").windows[-1].last_update == 3
    assert ra.open_run(tmp_path / "run-2").windows[-1].last_update == ours.state.global_step


def test_linear_layers_of_bitnet_are_recorded_with_their_own_states(tmp_path):
    from transformers.integrations.bitnet import AutoBitLinear, BitLinear

    torch.manual_seed(0)
    offline, packed = AutoBitLinear(16, 8), BitLinear(8, 4, bias=False, dtype=torch.float32)
    table = ra.find_binary_layers(nn.Sequential(AutoBitLinear(24, 16, online_quant=True), offline, packed))
    assert table["binary"].tolist() == [True, False, False]
    assert ["offline" in why or "packed" in why for why in table["why"]] == [False, True, True]
    model = nn.Sequential(AutoBitLinear(24, 16, online_quant=True), nn.ReLU(), AutoBitLinear(16, 3, online_quant=True))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    history = []
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        for _ in range(10):
            optimizer.zero_grad()
            functional.cross_entropy(model(torch.randn(8, 24)), torch.randint(0, 3, (8,))).backward()
            optimizer.step()
            weight = model[0].weight.detach()
            scale = 1.0 / weight.abs().mean().clamp_(min=1e-5)
            history.append((weight * scale).round().clamp(-1, 1).numpy())
        recorder.mark()
    run = ra.open_run(tmp_path / "run")
    assert [spec.verified for spec in run.header.layers] == [True, True]
    np.testing.assert_array_equal(run.window(1)["0"].states, history[-1])
    assert run.window(1)["0"].flips.sum() >= sum((b != a).sum() for a, b in itertools.pairwise(history)) > 0


@pytest.mark.parametrize("bias", [False, True])
def test_our_ternary_layer_computes_what_that_of_transformers_does(bias):
    from transformers.integrations.bitnet import ActQuant, AutoBitLinear, WeightQuant

    torch.manual_seed(0)
    theirs, ours = AutoBitLinear(24, 16, bias=bias, online_quant=True), TernaryLinear(24, 16, bias=bias)
    ours.load_state_dict(theirs.state_dict())
    inputs = torch.randn(3, 5, 24)
    given = [inputs.clone().requires_grad_() for _ in range(2)]
    outputs = [layer(values) for layer, values in zip((theirs, ours), given, strict=True)]
    upstream = torch.randn_like(outputs[0])
    for output in outputs:
        output.backward(upstream)
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(given[1].grad, given[0].grad, rtol=1e-6, atol=1e-6)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(absmean_ternary(theirs.weight), WeightQuant.apply(theirs.weight), rtol=1e-6, atol=0)
    torch.testing.assert_close(eight_bits(inputs), ActQuant.apply(inputs), rtol=1e-6, atol=1e-7)
