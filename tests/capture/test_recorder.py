"""record(): every statistic of a real training against a plain loop, the hook's manners, what stays after errors."""

import signal
import threading
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional

import recu_analysis as ra
from recu_analysis.capture.layer_start import THREADED_WEIGHTS
from recu_analysis.errors import InputError, RecorderError, RunExistsError
from recu_analysis.nn import BinaryConv2d, BinaryLinear, build_network
from recu_analysis.training.data import batches, load_dataset
from tests.capture.plain_loops import assert_recorded, assert_same_windows, sgd, step, tiny
from tests.messages import says

UPDATES = 50


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """50 updates of a real ResNet-20 on the digits, recorded, and every weight after every update."""
    path = tmp_path_factory.mktemp("resnet20") / "run"
    data = load_dataset("digits")
    torch.manual_seed(0)
    model = build_network("resnet20")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    modules = {name: each for name, each in model.named_modules() if isinstance(each, BinaryConv2d)}
    history = {name: [each.weight.detach().numpy().copy()] for name, each in modules.items()}
    indices = [batch for epoch in range(10) for batch in batches(len(data.train_labels), 32, 0, epoch)]
    with ra.record(model, optimizer, path) as recorder:
        for update, batch in enumerate(indices[:UPDATES], start=1):
            optimizer.zero_grad()
            functional.cross_entropy(model(data.train_images[batch]), data.train_labels[batch]).backward()
            optimizer.step()
            for name, each in modules.items():
                history[name].append(each.weight.detach().numpy().copy())
            if update in {20, 27}:
                recorder.mark(epoch=update)
        recorder.mark(epoch=UPDATES)
    return ra.open_run(path), history


def test_every_statistic_of_a_real_training_equals_the_plain_loop(recorded):
    run, history = recorded
    assert len(run.layer_names) == 18
    bounds = [0, 20, 27, UPDATES]
    for name, weights in history.items():
        for number, (low, high) in enumerate(pairwise(bounds), start=1):
            record = run.windows[number][name]
            assert_recorded(record, weights[low : high + 1], first_update=low + 1)
        assert (record.flips > 0).any(), "a test without flips would say nothing"


def test_windows_number_updates_over_the_run(recorded):
    run, _ = recorded
    assert [(w.number, w.first_update, w.last_update) for w in run.windows] == [
        (0, 1, 0),
        (1, 1, 20),
        (2, 21, 27),
        (3, 28, 50),
    ]
    assert list(run.metrics["window"]) == [1, 2, 3]


@pytest.mark.parametrize("every", [None, 3])
def test_training_is_bitwise_the_same_with_and_without_recording(tmp_path, every):
    weights = []
    for record in (False, True):
        model = tiny()
        optimizer = sgd(model)
        recorder = ra.record(model, optimizer, tmp_path / "run", every=every) if record else None
        for update in range(10):
            step(model, optimizer, update)
        if recorder:
            recorder.close()
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*weights)


def test_cut_closes_a_window_that_the_next_mark_names_if_no_update_comes_between(tmp_path):
    model = tiny()
    optimizer = sgd(model)
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        recorder.close_window()
        for update in range(6):
            step(model, optimizer, update)
            if update % 2:
                recorder.close_window()
            if update in {3, 4}:
                recorder.mark(epoch=update)
        recorder.flush()
        windows = ra.open_run(tmp_path / "run").windows
        assert [window.last_update for window in windows] == [0, 2, 4, 5, 6]
    run = ra.open_run(tmp_path / "run")
    assert len(run.windows) == 5
    assert run.metrics["window"].tolist() == [2, 3]
    assert run.metrics["epoch"].tolist() == [3, 4]


def test_every_closes_windows_by_itself_and_mark_does_too(tmp_path):
    model = tiny()
    optimizer = sgd(model)
    with ra.record(model, optimizer, tmp_path / "run", every=3) as recorder:
        for update in range(8):
            step(model, optimizer, update)
        recorder.mark(epoch=0)
        recorder.mark(epoch=1)
    run = ra.open_run(tmp_path / "run")
    assert [window.last_update for window in run.windows] == [0, 3, 6, 8]
    assert run.metrics["window"].tolist()[:1] == [3]
    assert len(run.metrics) == 2
    assert np.isnan(run.metrics["window"][1])
    assert run.metrics["update"].tolist() == [8, 8]


def test_sums_of_learning_rate_and_decay(tmp_path):
    model = tiny()
    optimizer = sgd(model)
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        for update in range(4):
            optimizer.param_groups[0]["lr"] = 0.1 * (update + 1)
            step(model, optimizer, update)
        recorder.mark()
    summary = ra.open_run(tmp_path / "run").windows[1]["1"].summary
    assert summary.updates == 4
    assert summary.lr == pytest.approx(1.0)
    assert summary.lr_decay == pytest.approx(0.01)
    assert summary.decay_time == pytest.approx(0.02)
    assert summary.tau == pytest.approx(0.85)


def test_momentum_of_1_does_not_stop_the_training(tmp_path):
    model = tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=1.0, weight_decay=0.01)
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        step(model, optimizer, 0)
        recorder.mark()
    summary = ra.open_run(tmp_path / "run").windows[1]["1"].summary
    assert summary.lr_decay == pytest.approx(0.001)
    assert not np.isfinite(summary.decay_time)


def test_metrics_take_tensors_and_add_the_learning_rate(tmp_path):
    model = tiny()
    optimizer = sgd(model)
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        step(model, optimizer, 0)
        recorder.mark(epoch=0, loss=torch.tensor(1.5), accuracy=np.float32(0.5), broken=float("nan"), name="a")
    metrics = ra.open_run(tmp_path / "run").metrics
    assert metrics.loc[0, ["lr", "loss", "accuracy"]].tolist() == [0.5, 1.5, 0.5]
    assert "broken" not in metrics
    assert metrics.loc[0, "name"] == "a"


def test_a_mark_right_after_every_names_that_window(tmp_path):
    model = tiny()
    optimizer = sgd(model)
    with ra.record(model, optimizer, tmp_path / "run", every=2) as recorder:
        for update in range(4):
            step(model, optimizer, update)
            if update % 2:
                recorder.mark(epoch=update // 2)
    run = ra.open_run(tmp_path / "run")
    assert run.metrics["window"].tolist() == [1, 2]
    assert ra.layer_table(run)["epoch"].dropna().unique().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("metrics", "text"),
    [
        ({"window": 3}, r"mark\(\).*'window' itself"),
        ({"loss": [1.0]}, r"mark\(\).*'loss' is a list"),
        ({"loss": torch.ones(2)}, r"mark\(\).*'loss' is a Tensor"),
        ({"loss": np.ones(2)}, r"mark\(\).*'loss' is a ndarray"),
        ({"loss": torch.ones((), device="meta")}, r"mark\(\).*'loss' is a Tensor"),
        ({"loss": pd.DataFrame([[1.0]])}, r"mark\(\).*'loss' is a DataFrame"),
    ],
)
def test_metrics_that_cannot_be_logged_are_refused_and_nothing_is_lost(tmp_path, metrics, text):
    model = tiny()
    optimizer = sgd(model)
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        step(model, optimizer, 0)
        with pytest.raises(InputError, match=text):
            recorder.mark(**metrics)
        recorder.mark(loss=np.ones(1))
    run = ra.open_run(tmp_path / "run")
    assert [(window.last_update, window.partial) for window in run.windows] == [(0, False), (1, False)]
    assert run.metrics["loss"].tolist() == [1.0]


def test_an_exception_removes_only_our_hook_and_leaves_whole_files(tmp_path):
    model = tiny()
    optimizer = sgd(model)
    calls = []
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    recorder = ra.record(model, optimizer, tmp_path / "run")

    def fails():
        with recorder:
            step(model, optimizer, 0)
            recorder.mark()
            step(model, optimizer, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    step(model, optimizer, 2)
    assert len(calls) == 3
    assert len(optimizer._optimizer_step_post_hooks) == 1
    run = ra.open_run(tmp_path / "run")
    assert [(window.last_update, window.partial) for window in run.windows] == [(0, False), (1, False), (2, True)]
    assert not run.problems


def test_resume_goes_on_with_numbers_and_state(tmp_path):
    whole, halves = tiny(), tiny()
    with ra.record(whole, optimizer := sgd(whole), tmp_path / "whole") as recorder:
        for update in range(8):
            step(whole, optimizer, update)
            if update % 2:
                recorder.mark(epoch=update)
    optimizer = sgd(halves)
    with ra.record(halves, optimizer, tmp_path / "halves") as recorder:
        for update in range(4):
            step(halves, optimizer, update)
            if update % 2:
                recorder.mark(epoch=update)
        torch.save((halves.state_dict(), optimizer.state_dict()), tmp_path / "state.pt")
        step(halves, optimizer, 99)
    model_state, optimizer_state = torch.load(tmp_path / "state.pt", weights_only=True)
    halves.load_state_dict(model_state)
    optimizer.load_state_dict(optimizer_state)
    with ra.record(halves, optimizer, tmp_path / "halves", resume=4) as recorder:
        assert recorder.update == 4
        for update in range(4, 8):
            step(halves, optimizer, update)
            if update % 2:
                recorder.mark(epoch=update)
    assert_same_windows(tmp_path / "whole", tmp_path / "halves")
    first, second = ra.open_run(tmp_path / "whole"), ra.open_run(tmp_path / "halves")
    assert second.metrics["update"].tolist() == first.metrics["update"].tolist()


def test_several_optimizers_count_their_own_updates(tmp_path):
    model = tiny()
    slow, fast = sgd(model[1]), sgd(model[3])
    with ra.record(model, [slow, fast], tmp_path / "run") as recorder:
        for update in range(6):
            for optimizer in (slow, fast) if update % 3 == 0 else (fast,):
                step(model, optimizer, update)
        recorder.mark()
    run = ra.open_run(tmp_path / "run")
    assert [run.windows[1][name].summary.updates for name in ("1", "3")] == [2, 6]
    assert run.windows[1].last_update == 6


def test_large_models_are_recorded_by_threads_with_the_same_numbers(tmp_path):
    wide = 1 + THREADED_WEIGHTS // 2000
    torch.manual_seed(0)
    model = nn.Sequential(BinaryLinear(1000, wide), BinaryLinear(wide, 1000))
    weights = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        twin = nn.Sequential(BinaryLinear(1000, wide), BinaryLinear(wide, 1000))
        twin.load_state_dict(model.state_dict())
        optimizer = sgd(twin)
        with ra.record(twin, optimizer, tmp_path / str(threads)) as recorder:
            assert (recorder._pool is None) == (threads == 1)
            for parameter in twin.parameters():
                parameter.grad = torch.ones_like(parameter) * parameter.detach().cos()
            optimizer.step()
            recorder.mark()
        weights[threads] = ra.open_run(tmp_path / str(threads)).windows[1]
    torch.set_num_threads(2)
    for name in ("0", "1"):
        for quantity in ("zpath", "path", "flips"):
            np.testing.assert_array_equal(getattr(weights[1][name], quantity), getattr(weights[2][name], quantity))


@pytest.fixture
def interrupts():
    """SIGINT raises KeyboardInterrupt, also where the tests were started with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_inside_the_hook_waits_until_every_layer_is_counted(tmp_path, monkeypatch, interrupts):
    model = tiny()
    optimizer = sgd(model)
    recorder = ra.record(model, optimizer, tmp_path / "run")
    first = recorder._recordings[0].accumulator
    advance = first.advance

    def interrupted(weight, update):
        signal.raise_signal(signal.SIGINT)
        advance(weight, update)

    monkeypatch.setattr(first, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt), recorder:
        step(model, optimizer, 0)
    window = ra.open_run(tmp_path / "run").windows[1]
    assert [window[name].summary.updates for name in ("1", "3")] == [1, 1]
    assert (window["3"].path > 0).any()


def test_recording_works_outside_the_main_thread(tmp_path):
    model = tiny()
    optimizer = sgd(model)

    def work():
        with ra.record(model, optimizer, tmp_path / "run") as recorder:
            step(model, optimizer, 0)
            recorder.mark()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(ra.open_run(tmp_path / "run").windows) == 2


def test_refusals(tmp_path):
    model = tiny()
    optimizer = sgd(model)
    with pytest.raises(RecorderError, match=r"optimizer.*binary layer '3'"):
        ra.record(model, sgd(model[1]), tmp_path / "a")
    assert not (tmp_path / "a").exists()
    with pytest.raises(InputError, match=r"every.*whole number.*not 0"):
        ra.record(model, optimizer, tmp_path / "a", every=0)
    with pytest.raises(InputError, match="at least one optimizer"):
        ra.record(model, [], tmp_path / "a")
    with (
        ra.record(model, optimizer, tmp_path / "a"),
        pytest.raises(RecorderError, match=r"optimizer.*already"),
    ):
        ra.record(model, optimizer, tmp_path / "b")
    with pytest.raises(RunExistsError, match=r"not empty.*another folder"):
        ra.record(model, optimizer, tmp_path / "a")
    recorder = ra.record(model, optimizer, tmp_path / "c")
    recorder.close()
    recorder.close()
    with pytest.raises(RecorderError, match="the recording is closed"):
        recorder.mark()


def test_a_failed_start_leaves_the_optimizer_free(tmp_path):
    model = tiny()
    optimizer = sgd(model)
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunExistsError, match="is a file"):
        ra.record(model, optimizer, tmp_path / "file")
    with ra.record(model, optimizer, tmp_path / "run"):
        pass


def test_marks_without_updates_log_and_write_no_window(tmp_path):
    model = tiny()
    optimizer = sgd(model)
    recorder = ra.record(model, optimizer, tmp_path / "run")
    recorder.mark(epoch=0)
    recorder.mark(epoch=1)
    recorder.close()
    recorder.close()
    run = ra.open_run(tmp_path / "run")
    assert len(run.windows) == 1
    assert run.metrics["epoch"].tolist() == [0, 1]
    assert "window" not in run.metrics
    for call in (recorder.mark, recorder.flush, recorder.state_dict):
        with pytest.raises(RecorderError, match="the recording is closed; call"):
            call()


def test_a_recorder_shows_where_it_stands_in_one_line_and_in_html(tmp_path):
    model = tiny()
    with ra.record(model, sgd(model), tmp_path / "<run>") as recorder:
        says(repr(recorder), "<Recorder ", "<run>: 2 layers, update 0, recording>")
        says(recorder._repr_html_(), "&lt;run&gt;", "recording", "<td>8x12</td>")
    says(repr(recorder), "closed")
    with pytest.raises(InputError, match="run_dir is the path"):
        ra.record(model, sgd(model), None)
    for wrong in ("abc", [1], 3):
        with pytest.raises(InputError, match="configuration must be a mapping of settings, not "):
            ra.record(model, sgd(model), tmp_path / "none", configuration=wrong)
    for argument, message in [
        ("layers", "chosen by a pattern"),
        ("quantities", "must be names"),
        ("state", "not a state"),
    ]:
        with pytest.raises(InputError, match=message):
            ra.record(model, sgd(model), tmp_path / "none", **{argument: 3})
    assert not (tmp_path / "none").exists()
