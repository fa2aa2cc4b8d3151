"""Queries as values: put together, answered in one pass, errors as values, and what their authors do wrong."""

import shutil
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recu_analysis import open_run
from recu_analysis.analysis.layer_pass import ahead, over
from recu_analysis.analysis.layers import layer_table_query
from recu_analysis.analysis.query import attempt, gather, gathered, per_layer, value
from recu_analysis.errors import DamagedError, InputError, NotRecordedError, QueryError, WindowNotFoundError
from recu_analysis.testing import random_walk, synthetic_run


@pytest.fixture(scope="module")
def two_layers(tmp_path_factory):
    walks = {name: random_walk((4, 9), 12, seed=len(name)) for name in ("a", "bb")}
    return open_run(synthetic_run(tmp_path_factory.mktemp("query") / "run", walks, windows=6).path)


def ends_of(run, spec, number):
    last = (yield ahead(run.windows[-1])).end.sum()
    first = (yield over([run.windows[number]], {"end"})).end.sum()
    return float(first), float(last)


def refusing(run, spec, number):
    yield over([run.windows[number]], {"end"})
    raise InputError(f"nothing of {spec.name}")


def paths_of(run, spec):
    return float((yield over([run.windows[5]], {"path"})).path.sum())


def backwards(run, spec):
    yield over([run.windows[3]], {"end"})
    yield over([run.windows[2]], {"end"})


def not_listed(run, spec):
    return (yield over([run.windows[3]], {"start"})).path.sum()


def overlapping(run, spec):
    yield over([run.windows[3]], {"end"})
    return (yield over(run.windows[2:5], {"path"})).path.sum()


def not_listed_property(run, spec):
    return (yield over([run.windows[3]], {"end"})).z_start.sum()


def misspelt(run, spec):
    yield over([run.windows[3]], {"pth"})


def start_ahead(run, spec):
    yield ahead(run.windows[3], "start")


def of_nothing(run, spec):
    yield over([], {"end"})


def arguments_of(run, spec, argument):
    yield ahead(run.windows[-1])
    return repr(argument)


def arm_of(run, spec):
    yield ahead(run.windows[-1])
    return run.label, run.arm, run.stated_seed


def no_generator(run, spec):
    return 1


def changing(run, spec):
    record = yield over(run.windows[1:3], {"zpath", "silent", "start"})
    for shared in (record.zpath, record.silent, record.start, record.z_start):
        with pytest.raises(ValueError, match="read-only"):
            shared[...] = 0
    return True


def test_a_state_can_be_had_ahead_of_its_turn(two_layers):
    run = two_layers
    for spec, (first, last) in zip(run.header.layers, per_layer(run, run.header.layers, ends_of, 3).run(), strict=True):
        assert first == run.windows[3][spec.name].weight.sum()
        assert last == run.windows[-1][spec.name].weight.sum()


def test_results_follow_their_functions(two_layers):
    sums = per_layer(two_layers, two_layers.header.layers, paths_of)
    total = sums.then(sum)
    assert total.run() == sum(sums.run())
    assert gather(total, value(7)).run() == (total.run(), 7)
    assert gathered({"a": total, 1: value("x")}).run() == {"a": total.run(), 1: "x"}
    assert gather().run() == ()


def test_a_query_that_fails_leaves_the_others_their_answers(two_layers):
    layers = two_layers.header.layers
    bad, good = per_layer(two_layers, layers, refusing, 2), per_layer(two_layers, layers, ends_of, 5)
    found, error = gather(good, attempt(lambda: bad, InputError)).run()
    assert len(found) == len(layers)
    assert isinstance(error, InputError)
    assert "nothing of a" in str(error)
    with pytest.raises(InputError, match="nothing of a"):
        gather(good, bad).run()
    with pytest.raises(InputError, match="nothing of a"):
        attempt(lambda: bad, KeyError).run()


def test_what_cannot_even_be_asked_is_an_error_as_a_value_too():
    def make():
        raise InputError("no such layer")

    assert str(attempt(make, InputError).run()) == "no such layer"
    with pytest.raises(InputError):
        attempt(make, KeyError)


def test_only_those_that_need_what_is_damaged_fail(tmp_path):
    path = synthetic_run(tmp_path / "run", {"a": random_walk((4, 9), 12)}, windows=6).path
    (shard,) = (path / "history/segment-0000/window-000005").glob("*.safetensors")
    run, layers = open_run(path), open_run(path).header.layers
    expected = per_layer(run, layers, ends_of, 3).run()
    content = bytearray(shard.read_bytes())
    at = content.rindex(run.windows[5]["a"].path.tobytes())
    content[at] ^= 1
    shard.write_bytes(content)
    damaged = open_run(path)
    layers = damaged.header.layers
    whole, error = gather(
        per_layer(damaged, layers, ends_of, 3), attempt(lambda: per_layer(damaged, layers, paths_of), DamagedError)
    ).run()
    assert whole == expected
    assert isinstance(error, DamagedError)


def test_any_executor_gives_the_same_numbers(two_layers):
    query, submitted = layer_table_query(two_layers), []

    class Counting(ThreadPoolExecutor):
        def submit(self, *arguments, **named):
            submitted.append(arguments)
            return super().submit(*arguments, **named)

    with Counting(2) as threads:
        pd.testing.assert_frame_equal(query.run(threads), query.run(), check_exact=True)
    assert len(submitted) == 2, "a job a layer"


def test_what_queries_share_cannot_be_changed(two_layers):
    assert per_layer(two_layers, two_layers.header.layers, changing).run() == [True, True]


@pytest.mark.parametrize(
    ("task", "facts"),
    [
        (backwards, "backwards requests windows 2 to 2, which were already read"),
        (overlapping, "overlapping requests windows 2 to 4, which were already read"),
        (not_listed, "no part 'path'; add it to the requested parts"),
        (not_listed_property, "no part 'start'; add it to the requested parts"),
        (misspelt, "no part 'pth'; did you mean path"),
        (start_ahead, "no start; request it with over"),
        (of_nothing, "a task requests no window"),
    ],
)
def test_what_the_author_of_a_task_does_wrong_is_a_sentence(two_layers, task, facts):
    with pytest.raises(QueryError, match=facts):
        per_layer(two_layers, two_layers.header.layers, task).run()


def test_arguments_name_an_answer(two_layers):
    layers = two_layers.header.layers
    with pytest.raises(QueryError, match="arguments of ends_of must be hashable"):
        per_layer(two_layers, layers, ends_of, [3])
    three, four = (per_layer(two_layers, layers, ends_of, at) for at in (3, 4))
    assert np.diff(gather(three, four).run(), axis=0)[0, :, 0].all()
    alike = (1, True, 1.0, (1,), (True,), 0.0, -0.0)
    found = gather(*(per_layer(two_layers, layers[:1], arguments_of, each) for each in alike)).run()
    assert [answer for (answer,) in found] == [repr(each) for each in alike]


def test_a_task_is_a_generator_function_of_a_module(two_layers):
    def local(run, spec):
        yield ahead(run.windows[-1])

    for task in (no_generator, local):
        with pytest.raises(QueryError, match=f"{task.__name__} must be a generator function of a module"):
            per_layer(two_layers, two_layers.header.layers, task)


def test_two_runs_have_answers_of_their_own(two_layers, tmp_path):
    other = open_run(synthetic_run(tmp_path / "run", {"a": random_walk((4, 9), 12, seed=9)}, windows=6).path)
    queries = (per_layer(run, run.header.layers[:1], ends_of, 3) for run in (two_layers, other))
    for run, ((first, _),) in zip((two_layers, other), gather(*queries).run(), strict=True):
        assert first == run.windows[3]["a"].weight.sum()


def test_windows_with_one_missing_between_are_no_record(tmp_path):
    path = synthetic_run(tmp_path / "run", {"a": random_walk((4, 9), 12)}, windows=6).path
    shutil.rmtree(path / "history/segment-0000/window-000003")
    run = open_run(path)
    with pytest.raises(WindowNotFoundError, match="missing"):
        per_layer(run, run.header.layers, overlapping).run()


def test_other_threads_know_what_a_list_of_runs_says(two_layers):
    stated = replace(two_layers, label="mine", arm="ReCU", stated_seed=3)
    with ThreadPoolExecutor(1) as threads:
        assert per_layer(stated, stated.header.layers, arm_of).run(threads) == [("mine", "ReCU", 3)] * 2


def test_errors_hold_no_arrays(two_layers):
    error = attempt(lambda: per_layer(two_layers, two_layers.header.layers, refusing, 2), InputError).run()
    frames = [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)]
    assert "refusing" not in frames


def test_what_a_run_does_not_hold_is_said_and_no_fault_of_the_task(tmp_path):
    path = synthetic_run(tmp_path / "run", {"a": random_walk((4, 9), 12)}, windows=6).path
    run = open_run(path)
    (layer,) = run.header.layers
    unknown = replace(run, header=replace(run.header, layers=(replace(layer, transform=None),)))
    with pytest.raises(NotRecordedError, match="effective"):
        layer_table_query(unknown).run()


def test_layers_of_another_run_are_refused(two_layers, tmp_path):
    other = open_run(synthetic_run(tmp_path / "run", {"else": random_walk((4, 9), 12)}).path)
    with pytest.raises(QueryError, match="has no layer 'else'"):
        per_layer(two_layers, other.header.layers, paths_of)
