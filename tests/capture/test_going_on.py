"""Going on with a run: only with the weights that it ended with, and what was not recorded is told and never merged."""

import numpy as np
import pytest
import torch

import recu_analysis as ra
from recu_analysis.analysis.selection import decay_time, known_windows
from recu_analysis.errors import InputError, StoreError, WindowNotFoundError
from recu_analysis.store.record import merged
from recu_analysis.store.verify import DAMAGE, verify
from tests.capture.plain_loops import assert_same_windows, sgd, step, tiny
from tests.cli_runner import run_cli
from tests.messages import says
from tests.run_files import contents


def trained(path, updates=60, every=20, keep=()):
    """A recording, and the model's state after some of the updates."""
    model = tiny()
    optimizer, states = sgd(model), {}
    with ra.record(model, optimizer, path) as recorder:
        for update in range(1, updates + 1):
            step(model, optimizer, update)
            if update in keep:
                states[update] = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            if update % every == 0:
                recorder.mark(epoch=update)
    return model, states


@pytest.mark.parametrize("where", ["1.weight", "3.weight"])
def test_other_weights_are_not_gone_on_with(tmp_path, where):
    model, states = trained(tmp_path / "run", 8, 4, keep=[8])
    before = contents(tmp_path / "run")
    other = dict(states[8])
    other[where] = other[where].clone()
    other[where].view(-1)[5] += 1e-3
    model.load_state_dict(other)
    with pytest.raises(StoreError, match=rf"update 8.*weights of layer '{where[0]}'"):
        ra.record(model, sgd(model), tmp_path / "run", resume=8)
    assert contents(tmp_path / "run") == before
    model.load_state_dict(states[8])
    ra.record(model, sgd(model), tmp_path / "run", resume=8).close()


@pytest.mark.parametrize(("stored", "loaded"), [(-0.0, 0.0), (0.0, -0.0), (np.nan, -np.nan)])
def test_the_same_numbers_in_other_bits_are_the_same_weights(tmp_path, stored, loaded):
    model = tiny()
    model[1].weight.data.view(-1)[3] = stored
    with ra.record(model, sgd(model), tmp_path / "run"):
        pass
    model[1].weight.data.view(-1)[3] = loaded
    optimizer = sgd(model)
    with ra.record(model, optimizer, tmp_path / "run", resume=0) as recorder:
        step(model, optimizer, 1)
        recorder.mark()
    run = ra.open_run(tmp_path / "run")
    assert [window.number for window in run.windows] == [0, 1]
    assert (run.problems, run.gaps) == ((), ())


def gone_on_inside(path):
    """20, 40 and 60 are windows' ends; a crash leaves a checkpoint of update 50, and from there it goes on."""
    model, states = trained(path, keep=[50])
    model.load_state_dict(states[50])
    optimizer = sgd(model)
    with ra.record(model, optimizer, path, resume=50) as recorder:
        for update in range(51, 71):
            step(model, optimizer, update)
            if update % 10 == 0:
                recorder.mark(epoch=update)
    return ra.open_run(path)


def test_updates_in_no_window_are_told_and_not_merged_over(tmp_path):
    run = gone_on_inside(tmp_path / "run")
    assert run.problems == ()
    (text,) = run.gaps
    says(text, "updates 41 to 50", "at update 50", "window 3 (")
    ends = [(window.number, window.last_update) for window in run.windows]
    assert ends == [(0, 0), (1, 20), (2, 40), (3, 50), (4, 60), (5, 70)]
    assert [window.number for window in known_windows(run)] == [4, 5]
    assert np.isnan(decay_time(run))
    for chosen in (run.windows[1:], run.windows[2:5], [run.windows[2], run.windows[4]]):
        with pytest.raises(WindowNotFoundError, match=r"41 to 50.*window 2 \("):
            merged(chosen, "1")
    with pytest.raises(WindowNotFoundError, match="updates 41 to 50 are in no window"):
        ra.dead_weights(run, windows=ra.WindowSpan(1, 6))
    with pytest.raises(WindowNotFoundError, match="updates 41 to 50 are in no window"):
        ra.cohorts(run, windows="1:")
    merged(run.windows[4:], "1")
    table = ra.dead_weights(run)
    assert set(table["updates"]) <= {10, 20}
    rows = ra.layer_table(run).set_index(["window", "layer"])
    assert rows.loc[(4, "1"), "revived_fraction"] != rows.loc[(4, "1"), "revived_fraction"]


def test_every_command_says_which_updates_are_in_no_window(tmp_path):
    path = gone_on_inside(tmp_path / "run").path
    found = verify(path)
    assert not set(found["verdict"]) & set(DAMAGE)
    (row,) = found[found["detail"].str.startswith("updates 41 to 50")].to_dict(orient="records")
    assert (row["verdict"], row["window"]) == ("whole", 3)
    for command in ("info", "fit", "dead-weights", "updates", "flips", "verify"):
        done = run_cli(command, path)
        assert done.exit_code == 0, done
        assert "updates 41 to 50 are in no window" in done.stdout + done.stderr, command
        assert "every update was seen" not in done.stdout + done.stderr


def test_several_optimizers_go_on_with_their_own_counts(tmp_path):
    """One steps three times as often; at a window's end nothing is between what was recorded and what follows."""
    for name, stop in (("whole", None), ("resumed", 6)):
        model = tiny()
        optimizers = [sgd(model[1]), sgd(model[3])]
        recorder = ra.record(model, optimizers, tmp_path / name)
        for update in range(12):
            if update == stop:
                recorder.close()
                recorder = ra.record(model, optimizers, tmp_path / name, resume=6)
            generator = torch.Generator().manual_seed(update)
            for index, layer in enumerate((model[1], model[3])):
                if index == 0 or update % 3 == 0:
                    layer.weight.grad = torch.randn(layer.weight.shape, generator=generator)
                    optimizers[index].step()
            if update % 3 == 2:
                recorder.mark(epoch=update)
        recorder.close()
    run = ra.open_run(tmp_path / "resumed")
    assert (run.problems, run.gaps) == ((), ())
    assert len(run.segments) == 2
    assert_same_windows(tmp_path / "whole", tmp_path / "resumed")


def test_an_update_that_was_never_recorded_is_refused(tmp_path):
    model, _ = trained(tmp_path / "run", 4, 4)
    before = contents(tmp_path / "run")
    with pytest.raises(InputError, match="it was recorded up to update 4"):
        ra.record(model, sgd(model), tmp_path / "run", resume=9)
    assert contents(tmp_path / "run") == before
