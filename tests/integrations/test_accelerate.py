"""What accelerate has prepared is recorded as it is: accumulated and skipped steps, mixed precision, resumed."""

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import recu_analysis as ra
from tests.capture.plain_loops import assert_recorded, sgd, tiny, weights

pytestmark = [pytest.mark.extras, pytest.mark.filterwarnings("ignore")]  # the library's warnings are not ours
BATCHES, EPOCHS = 6, 2
#: Batches of a training whose loss is not finite.
OVERFLOW = (2, 7)


@pytest.fixture
def accelerator():
    """Make an Accelerator on the CPU; there may be one state of it a process."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState

    def make(**options):
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
        return Accelerator(cpu=True, **options)

    yield make
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def batches():
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(BATCHES * 4, 12, generator=generator)
    return DataLoader(TensorDataset(images, torch.randint(0, 3, (BATCHES * 4,), generator=generator)), batch_size=4)


def train(accelerator, model, optimizer, loader, recorder, history, epochs, overflow=()):
    """The loop of accelerate's documentation; `history` gets the weights after every step that was made."""
    batch, spoiled = 0, False
    for epoch in epochs:
        for images, labels in loader:
            with accelerator.accumulate(model):
                loss = functional.cross_entropy(model(images), labels)
                accelerator.backward(loss * float("nan") if batch in overflow else loss)
                spoiled |= batch in overflow
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
            if accelerator.sync_gradients:
                history += [] if spoiled else [weights(accelerator.unwrap_model(model))]
                spoiled = False
            batch += 1
        recorder.mark(epoch=epoch, loss=accelerator.gather(loss).mean())


def assert_history(run, history):
    for window in run.windows[1:]:
        for layer in run.layer_names:
            states = np.stack([each[layer] for each in history])[window.first_update - 1 : window.last_update + 1]
            assert_recorded(window[layer], states, first_update=window.first_update)
    assert any(window[layer].flips.any() for window in run.windows[1:] for layer in run.layer_names)


#: What the Accelerator and the optimizer are made with, and the last updates of the windows.
CASES = {
    "a plain loop": ({}, {}, [0, 6, 12]),
    "recorded before it is prepared": ({}, {}, [0, 6, 12]),
    "accumulated": ({"gradient_accumulation_steps": 4}, {}, [0, 2, 4]),
    "bfloat16": ({"mixed_precision": "bf16", "gradient_accumulation_steps": 2}, {}, [0, 3, 6]),
    "skipped": ({"mixed_precision": "fp16"}, {}, [0, 5, 10]),
    "skipped, accumulated": ({"mixed_precision": "fp16", "gradient_accumulation_steps": 2}, {}, [0, 2, 4]),
    "skipped by a fused optimizer": ({"mixed_precision": "fp16"}, {"fused": True}, [0, 5, 10]),
}


@pytest.mark.parametrize("case", CASES)
def test_every_update_is_recorded_and_nothing_else(tmp_path, accelerator, case):
    options, more, ends = CASES[case]
    ours, plain = accelerator(**options), tiny()
    scaled = options.get("mixed_precision") == "fp16"
    if scaled:  # on a CPU accelerate makes none
        ours.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    given = plain, sgd(plain, **more)
    model, optimizer, loader = ours.prepare(*given, batches())
    recorded = given if case == "recorded before it is prepared" else (model, optimizer)
    history, example = [weights(plain)], next(iter(loader))[0]
    with ra.record(*recorded, tmp_path / "run", example=example, quantities=["grad"]) as recorder:
        train(ours, model, optimizer, loader, recorder, history, range(EPOCHS), OVERFLOW if scaled else ())
    run = ra.open_run(tmp_path / "run")
    assert [window.last_update for window in run.windows] == ends
    assert len(history) == ends[-1] + 1
    assert_history(run, history)
    for window in run.windows[1:]:
        norm = np.sqrt(sum((window[layer].grad ** 2).sum() for layer in run.layer_names)) / window.updates
        assert 0 < norm <= 1.0, "gradients are clipped to 1 and have no scale"
    assert run.metrics["loss"].notna().all()
    assert all(layer.verified for layer in run.header.layers)


def test_a_training_goes_on_from_a_saved_state(tmp_path, accelerator):
    history = []
    for epochs in ([0], [1]):
        ours, plain = accelerator(gradient_accumulation_steps=2), tiny()
        model, optimizer, loader = ours.prepare(plain, sgd(plain), batches())
        if epochs == [1]:
            ours.load_state(tmp_path / "saved")
        history += [] if history else [weights(plain)]
        resume = ra.open_run(tmp_path / "run").windows[-1].last_update if epochs == [1] else None
        with ra.record(model, optimizer, tmp_path / "run", resume=resume) as recorder:
            train(ours, model, optimizer, loader, recorder, history, epochs)
        ours.save_state(tmp_path / "saved")
    run = ra.open_run(tmp_path / "run")
    assert [window.last_update for window in run.windows] == [0, 3, 6]
    assert run.metrics["epoch"].tolist() == [0, 1]
    assert_history(run, history)
