"""Starting a recording: what failed leaves nothing, the folder that was begun is the one that is written."""

import errno
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recu_analysis import open_run, thin, write_report
from recu_analysis.errors import InputError, RunExistsError, StoreError
from recu_analysis.store.durable import lock_directory
from recu_analysis.store.header import RunHeader
from recu_analysis.store.verify import verify
from recu_analysis.testing import layer_state, synthetic_run
from tests.run_files import contents, window_file, window_folder
from tests.store.recording import SPEC, WALK, writer


def state(first, last):
    return {"a": layer_state(WALK, first, last, center=True)}


def write(out, first, last):
    number = out.write_window(state(first, last), first_update=first, last_update=last)
    out.write_metrics({"window": number, "update": last})


def recorded(path, *ends, **more):
    out = writer(path, **more)
    start = more.get("resume", 0)
    for first, last in zip([start, start, *ends], [start, *ends], strict=False):
        write(out, first + 1, last)
    out.close()


def free(path):
    """Whether another recording could take the folder."""
    os.close(lock_directory(path))


@pytest.mark.parametrize("there", ["", "new", "new/deep/folder"])
@pytest.mark.parametrize("windows", [0, 1, 2])
def test_an_abandoned_start_leaves_what_was_there(tmp_path, there, windows):
    (tmp_path / "empty").mkdir()
    before = contents(tmp_path)
    out = writer(tmp_path / (there or "empty"))
    for last in range(windows):
        write(out, max(last, 1), last)
    thread = out._background._thread
    out.abandon()
    assert not thread.is_alive()
    assert contents(tmp_path) == before
    out.abandon()
    out.close()
    recorded(tmp_path / (there or "empty"), 4)


def test_an_abandoned_resumption_leaves_the_run(tmp_path):
    recorded(tmp_path / "run", 4, 8)
    before = contents(tmp_path)
    out = writer(tmp_path / "run", resume=4)
    write(out, 5, 4)
    out.flush()
    assert len(open_run(tmp_path / "run").windows) == 2
    out.abandon()
    assert contents(tmp_path) == before
    free(tmp_path / "run")


@pytest.mark.parametrize("name", ["mkdir", "rename", "fsync", "open"])
@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("resume", [None, 4])
def test_a_disk_that_fails_halfway_leaves_what_was_there(tmp_path, monkeypatch, name, nth, resume):
    if resume:
        recorded(tmp_path / "run", 4)
    before, real, left = contents(tmp_path), getattr(os, name), [nth]

    def failing(*arguments, **named):
        left[0] -= 1
        if left[0] == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, name, failing)
        try:
            writer(tmp_path / "run", resume=resume).abandon()
        except StoreError:
            assert left[0] <= 0
    assert contents(tmp_path) == before
    recorded(tmp_path / "run", 8, **({"resume": resume} if resume else {}))


def test_other_weights_are_refused_before_anything_is_touched(tmp_path):
    recorded(tmp_path, 4, 8)
    (tmp_path / "history/segment-0000/staging").mkdir()
    (tmp_path / "history/segment-0000/staging/12-ab.part").write_text("half")
    before = contents(tmp_path)
    with pytest.raises(StoreError, match=r"update 8.*layer 'a'"):
        writer(tmp_path, resume=8, start={"a": replace(state(9, 8)["a"], arrays={"weight": WALK[7]})})
    assert contents(tmp_path) == before
    writer(tmp_path, resume=8, start=state(9, 8)).close()


FORKED = """
import os, sys, time, warnings; sys.path.insert(0, {here!r})
from pathlib import Path
from tests.store.test_starting import write, writer
from recu_analysis.errors import StoreError
warnings.simplefilter("ignore")
path = Path({path!r})
out = writer(path)
write(out, 1, 0)
out.flush()
ready, told = os.pipe()
child = os.fork()
if child == 0:
    for call in (lambda: write(out, 1, 4), lambda: out.write_metrics({{"update": 1}}), out.flush):
        try:
            call()
        except StoreError as error:
            os.write(told, str(error).encode() + b"\\n")
    out.close(); out.abandon()
    os.write(told, b"done\\n")
    time.sleep(60)
os.close(told)
with os.fdopen(ready) as pipe:
    lines = [pipe.readline() for _ in range(4)]
assert lines.pop() == "done\\n", lines
assert all("belongs to the process that began it" in line for line in lines), lines
write(out, 1, 4)
out.close()
writer(path, resume=4).close()  # though the child lives
os.kill(child, 9)
"""


def test_forked_children_hold_nothing_and_are_told_at_once(tmp_path):
    code = FORKED.format(here=str(Path(__file__).parents[2]), path=str(tmp_path / "run"))
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert [window.last_update for window in open_run(tmp_path / "run").windows] == [0, 4]


def test_a_run_whose_process_was_killed_is_free_though_a_child_lives(tmp_path):
    code = f"""
import os, sys, time; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from tests.store.test_starting import write, writer
out = writer(Path({str(tmp_path)!r}))
write(out, 1, 0); out.flush()
child = os.fork()
if child == 0:
    os.close(1); os.close(2); time.sleep(20); os._exit(0)
print(child, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    free(tmp_path)
    os.kill(int(done.stdout), 9)


def test_the_folder_is_resolved_at_the_start(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for name in ("~/run", "runs/a"):
        out = writer(Path(name))
        write(out, 1, 0)
        monkeypatch.chdir(tmp_path / "elsewhere")
        write(out, 1, 4)
        out.close()
        monkeypatch.chdir(tmp_path)
        assert len(open_run(name).windows) == 2
    assert [each.name for each in (tmp_path / "home").iterdir()] == ["run"]
    assert not any((tmp_path / "elsewhere").iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not tell where a folder went")
@pytest.mark.parametrize("second", [False, True])
def test_a_run_that_is_renamed_goes_on_in_its_folder(tmp_path, second):
    out = writer(tmp_path / "run")
    write(out, 1, 0)
    out.flush()
    (tmp_path / "run").rename(tmp_path / "moved")
    if second:
        recorded(tmp_path / "run", 2)
    write(out, 1, 4)
    out.flush()
    (tmp_path / "moved").rename(tmp_path / "again")
    write(out, 5, 8)
    out.close()
    assert [window.last_update for window in open_run(tmp_path / "again").windows] == [0, 4, 8]
    assert set(verify(tmp_path / "again")["verdict"]) == {"whole"}
    if second:
        assert [window.last_update for window in open_run(tmp_path / "run").windows] == [0, 2]
    free(tmp_path / "again")


@pytest.mark.parametrize("replaced", [False, True])
def test_a_run_that_was_deleted_is_told(tmp_path, replaced):
    out = writer(tmp_path / "run")
    write(out, 1, 0)
    out.flush()
    shutil.rmtree(tmp_path / "run")
    if replaced:
        (tmp_path / "run").mkdir()
    write(out, 1, 4)
    with pytest.raises(StoreError, match=r"run.*deleted"):
        out.flush()
    with pytest.raises(StoreError, match="was deleted"):
        out.close()
    assert [each.name for each in tmp_path.rglob("*")] == (["run"] if replaced else [])


def refused(path, *ends, reason="the forward pass used other weights", **more):
    out = writer(path, **more)
    write(out, 1, 0)
    for first, last in zip([0, *ends], ends, strict=False):
        write(out, first + 1, last)
    out.refuse(reason)
    out.close()


def test_a_start_that_was_refused_at_once_may_be_repeated(tmp_path):
    refused(tmp_path)
    assert "the forward pass used other weights" in open_run(tmp_path).problems[0]
    old = open_run(tmp_path).id
    recorded(tmp_path, 4)
    run = open_run(tmp_path)
    assert run.id != old
    assert run.problems == ()
    assert [window.last_update for window in run.windows] == [0, 4]


def nothing(path):
    return


def unsealed_word(path):
    (path / "refused.json").write_text('{"reason": "x"}')


def no_word(path):
    (path / "refused.json").unlink()


def a_note(path):
    (path / "history/segment-0000/note.txt").write_text("mine")


def checkpoints(path):
    (path / "checkpoints").mkdir()


def torn(path):
    os.truncate(window_file(path, 0), 100)


def lost(path):
    shutil.rmtree(window_folder(path, 1))


@pytest.mark.parametrize(
    ("ends", "change"),
    [
        ((4,), nothing),
        ((4,), lost),
        ((), unsealed_word),
        ((), no_word),
        ((), a_note),
        ((), checkpoints),
        ((), torn),
    ],
)
def test_nothing_else_is_deleted(tmp_path, ends, change):
    refused(tmp_path, *ends)
    change(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(RunExistsError, match=r"not empty.*another folder"):
        writer(tmp_path)
    assert contents(tmp_path) == before


def test_updates_that_a_resumption_hides_are_not_deleted(tmp_path):
    recorded(tmp_path, 4)
    refused(tmp_path, resume=0)
    with pytest.raises(RunExistsError):
        writer(tmp_path)


def test_a_refusal_is_written_after_an_error_too(tmp_path, monkeypatch):
    out = writer(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
        write(out, 1, 0)
        with pytest.raises(StoreError):
            out.flush()
    out.refuse("not to be trusted")
    with pytest.raises(StoreError, match="Input/output error"):
        out.close()
    assert "not to be trusted" in open_run(tmp_path).problems[0]


def test_what_run_json_says_of_the_layers_is_rewritten(tmp_path):
    recorded(tmp_path, 4)
    out = writer(tmp_path, resume=4)
    before = open_run(tmp_path).header
    out.rewrite_layers([replace(SPEC, verified=True, more={"known": 1})])
    out.write_window(state(5, 4), first_update=5, last_update=4)
    out.close()
    after = open_run(tmp_path).header
    assert (after.layers[0].verified, after.layers[0].more) == (True, {"known": 1})
    assert replace(after, layers=before.layers) == before
    assert set(verify(tmp_path)["verdict"]) == {"whole"}
    again = writer(tmp_path, resume=4)
    again.rewrite_layers([SPEC])  # which says nothing, so that what was said stays
    with pytest.raises(InputError, match=r"run\.json.*not the layers of the run"):
        again.rewrite_layers([replace(SPEC, name="b")])
    again.close()
    assert open_run(tmp_path).header.layers[0].verified


def test_run_json_is_whole_while_it_is_rewritten(tmp_path):
    out = writer(tmp_path)
    write(out, 1, 0)
    for number in range(20):
        out.rewrite_layers([replace(SPEC, verified=False, more={"number": number})])
        text = (tmp_path / "run.json").read_text()
        assert RunHeader.from_json(text, "run.json").layers == (SPEC,)
    out.close()
    assert open_run(tmp_path).header.layers[0].more == {"number": 19}
    np.testing.assert_array_equal(open_run(tmp_path).windows[0]["a"].weight, WALK[0])


def test_a_run_is_not_begun_inside_another_one(tmp_path):
    writer(tmp_path / "run").close()
    before = contents(tmp_path)
    for inside in ("run/fine", "run/history/deep/fine"):
        with pytest.raises(RunExistsError, match=f"{inside} lies inside the run {tmp_path}/run; choose"):
            writer(tmp_path / inside)
    assert contents(tmp_path) == before


def test_a_file_of_another_program_above_is_no_run(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    writer(tmp_path / "runs" / "mine").close()
    assert open_run(tmp_path / "runs" / "mine").problems == ()


@pytest.mark.parametrize("write", [lambda run, path: thin(run, windows=[0, 4], output=path), write_report])
def test_a_path_that_no_file_can_have_is_one_sentence(tmp_path, write):
    run = synthetic_run(tmp_path / "run").path
    with pytest.raises(StoreError, match=r"a\\x00b.* cannot be written: its name has a zero byte"):
        write(run, f"{tmp_path}/a\0b")
