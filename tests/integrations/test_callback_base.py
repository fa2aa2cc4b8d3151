"""What the callbacks share: a training that its library begins again by itself is never ended by the recording."""

import pytest
import torch

import recu_analysis as ra
from recu_analysis.integrations.callback_base import CallbackRecording
from tests.capture.plain_loops import sgd, step, tiny


def trained(folder, updates):
    """A recording that a library left open after so many updates, and what it recorded."""
    model = tiny()
    optimizer, recording = sgd(model), CallbackRecording(folder, traces=2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    recording.begin(model, [optimizer])
    for update in range(updates):
        step(model, optimizer, update)
    return recording, model, before


def again(recording, model, **named):
    """The library makes another optimizer, trains for two updates and ends."""
    optimizer = sgd(model)
    recording.begin_again(model, [optimizer], recording.update, **named)
    for update in (10, 11):
        step(model, optimizer, update)
    recording.close()


@pytest.mark.parametrize("anew", [False, True])
def test_where_nothing_was_recorded_the_run_begins_in_its_folder(tmp_path, anew):
    recording, model, _ = trained(tmp_path / "run", 0)
    again(recording, model, anew=anew)
    assert [window.last_update for window in ra.open_run(tmp_path / "run").windows] == [0, 2]
    assert [each.name for each in tmp_path.iterdir()] == ["run"]


def test_the_run_goes_on_where_the_weights_stand(tmp_path):
    recording, model, _ = trained(tmp_path / "run", 3)
    again(recording, model, anew=False)
    run = ra.open_run(tmp_path / "run")
    assert [(window.first_update, window.last_update) for window in run.windows] == [(1, 0), (1, 3), (4, 5)]
    assert (run.problems, run.gaps) == ((), ())
    assert set(ra.traces(run).groupby(["layer", "update"]).size()) == {2}


@pytest.mark.parametrize("anew", [False, True])
def test_other_weights_or_the_user_ask_for_a_run_beside(tmp_path, anew):
    (tmp_path / "run-2").mkdir()
    recording, model, before = trained(tmp_path / "run", 3)
    if not anew:
        model.load_state_dict(before)
    with pytest.warns(UserWarning, match=r"the recording continues as a new run in .*/run-3"):
        again(recording, model, anew=anew)
    assert ra.open_run(tmp_path / "run").windows[-1].last_update == 3
    run = ra.open_run(tmp_path / "run-3")
    assert run.windows[-1].last_update == 2
    assert torch.equal(torch.from_numpy(run.windows[-1]["1"].weight.copy()), model[1].weight.detach())
