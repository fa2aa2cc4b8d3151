"""Runs in an object store: the same numbers as in a folder, few bytes, and whole windows through every fault."""

import shutil
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import recu_analysis as ra
from recu_analysis.errors import DamagedError, InputError, NotARunError, RecordingWarning, RunExistsError, StoreError
from recu_analysis.nn import BinaryLinear
from recu_analysis.store import bucket
from recu_analysis.store.places import as_place
from recu_analysis.store.replaced import Replaced
from recu_analysis.store.verify import DAMAGE, check_window, verify
from recu_analysis.testing import layer_state
from tests.cli_runner import refusal, run_cli, run_program
from tests.messages import facts, says
from tests.store.objects import SECRET, ObjectServer
from tests.store.recording import WALK, record, writer
from tests.store.test_faults import check

pytestmark = pytest.mark.distributed
pytest.importorskip("obstore")


@pytest.fixture(scope="module", autouse=True)
def shared(tmp_path_factory):
    """One server for all tests of this file, and an environment that reaches it."""
    server = ObjectServer(tmp_path_factory.mktemp("objects"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server
    server.kill()


@pytest.fixture
def server(shared):
    """The server without faults."""
    if shared.process.poll() is not None:
        shared.start()
    shared.fault()
    return shared


@pytest.fixture
def impatient(monkeypatch):
    """Requests that fail after seconds in place of minutes."""
    monkeypatch.setattr(bucket, "READ_SECONDS", 2.0)
    monkeypatch.setattr(bucket, "WRITE_SECONDS", 2.5)
    monkeypatch.setattr(bucket, "ANSWER_SECONDS", 1.0)


def network(width=48, layers=3):
    torch.manual_seed(0)
    model = nn.Sequential(*(BinaryLinear(width, width, bias=False) for _ in range(layers)))
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)


def update(model, optimizer):
    optimizer.zero_grad()
    model(torch.randn(8, model[0].in_features)).square().mean().backward()
    optimizer.step()


def train(place, windows=3, *, width=48, before=lambda window: None, **options):
    """Record a short training, the same every time; return its final weights."""
    model, optimizer = network(width)
    with ra.record(model, optimizer, place, **options) as recorder:
        for window in range(windows):
            before(window)
            for _ in range(4):
                update(model, optimizer)
            recorder.mark(epoch=window, loss=1.0 / (window + 1))
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The training, recorded into a folder; to be read only."""
    path = tmp_path_factory.mktemp("local") / "run"
    train(path)
    return path


def digests(path):
    return [window.header.digests for window in ra.open_run(path).windows]


def assert_same(path, local):
    """The two runs have the same digests, metrics and tables to the bit."""
    there, here = ra.open_run(path), ra.open_run(local)
    assert not there.problems
    assert [window.header.digests for window in there.windows] == digests(local)
    pd.testing.assert_frame_equal(there.metrics, here.metrics, check_exact=True)
    for table in (ra.layer_table, ra.dead_weights, ra.flip_table):
        pd.testing.assert_frame_equal(table(there), table(here), check_exact=True)


def test_a_training_has_the_same_numbers_in_both(server, local):
    train(server.url("same"))
    assert_same(server.url("same"), local)
    tables = [verify(path) for path in (server.url("same"), local)]
    kept = ["file", "verdict", "window", "first_update", "last_update"]
    pd.testing.assert_frame_equal(tables[0][kept], tables[1][kept])
    with ra.workers(2):
        pd.testing.assert_frame_equal(ra.layer_table(server.url("same")), ra.layer_table(local), check_exact=True)


def test_the_objects_are_the_files_of_a_run(server, local, tmp_path):
    train(server.url("copied"))
    copied = shutil.copytree(server.folder("copied"), tmp_path / "run")
    assert set(verify(copied)["verdict"]) == {"whole"}
    assert_same(copied, local)
    shutil.copytree(local, server.folder("uploaded"))
    assert_same(server.url("uploaded"), local)


@pytest.mark.parametrize("command", ["dead-weights", "updates", "flips", "fit", "layers-of"])
def test_commands_print_the_same_table(server, local, command):
    if not server.folder("printed").exists():
        shutil.copytree(local, server.folder("printed"))
    words = ["levels"] if command == "layers-of" else [command]
    there, here = (run_cli(*words, path, "--format", "csv") for path in (server.url("printed"), local))
    assert there.exit_code == here.exit_code
    assert there.stdout == here.stdout


def test_other_commands_take_a_url_and_write_here(server, local, tmp_path):
    shutil.copytree(local, server.folder("asked"))
    url = server.url("asked")
    says(run_cli("info", url).stdout, url, "windows  ", "numbers 0 to 3")
    assert run_cli("verify", url).exit_code == 0
    assert run_cli("watch", "--once", url).stdout.startswith(url)
    assert run_cli("report", url, "-o", tmp_path / "page.html").exit_code == 0
    assert (tmp_path / "page.html").stat().st_size > 10_000
    assert run_cli("figures", url, "-o", tmp_path / "figures", "--only", "silence").exit_code == 0
    assert run_cli("thin", url, "--windows", "0,3", "-o", tmp_path / "thin").exit_code == 0
    assert not verify(tmp_path / "thin")["verdict"].isin(DAMAGE).any()
    (tmp_path / "runs.toml").write_text(f'[[run]]\nfolder = "{url}"\nlabel = "far"\n')
    assert list(ra.open_runs(tmp_path / "runs.toml")) == ["far"]
    assert not Path("s3:").exists()


def test_one_layer_reads_a_small_share(server):
    train(server.url("large"), windows=4, width=256)
    whole = sum(file.stat().st_size for file in server.folder("large").rglob("*") if file.is_file())
    run = ra.open_run(server.url("large"))
    opened = server.counts()["read"]
    server.fault()
    record_of = run.windows[-1]["1"]
    np.testing.assert_array_equal(record_of.weight.shape, (256, 256))
    assert server.counts()["read"] == 256 * 256 * 4
    server.fault()
    ra.layer_table(run, layers="1")
    assert server.counts()["read"] < whole / 3
    assert opened < 5 * (bucket.PART_BYTES // 256 + 4096)
    print(f"of {whole:,} bytes, opening read {opened:,} and the table of one of 3 layers {server.counts()['read']:,}")


@pytest.mark.parametrize("kind", ["slow down", "reset", "lost reply", "stall"])
def test_faults_of_single_requests_are_tried_again(server, local, impatient, monkeypatch, kind):
    monkeypatch.setattr(bucket, "WRITE_SECONDS", 60.0)
    monkeypatch.setattr(bucket, "READ_SECONDS", 20.0)
    name = f"faults-{kind}".replace(" ", "-")
    methods = "(GET|HEAD|PUT .*(window|metrics|end|run.json))" if kind == "stall" else "."
    server.fault({"kind": kind, "match": methods, "times": 3})
    train(server.url(name), before=lambda _: server.fault({"kind": kind, "match": methods, "times": 3}))
    assert server.counts()["faults"] == 3
    server.fault({"kind": kind, "match": methods, "times": 5})
    assert_same(server.url(name), local)


def test_a_window_in_parts_is_whole_through_faults(server, tmp_path):
    train(tmp_path / "run", 1, width=1024)
    rules = [{"kind": kind, "match": "partNumber|POST", "times": 2} for kind in ("slow down", "reset", "lost reply")]
    server.fault(*rules)
    train(server.url("parts"), 1, width=1024)
    assert server.counts()["faults"] == 6
    assert digests(server.url("parts")) == digests(tmp_path / "run")


def test_a_server_that_dies_ends_the_recording_not_the_training(server, local, impatient):
    def before(window):
        if window == 2:
            as_written.append(len(list(server.folder("dead").rglob("*.safetensors"))))
            server.kill()

    as_written = []
    with pytest.warns(RecordingWarning, match="the training goes on") as told:
        weights = train(server.url("dead"), 4, before=before)
    assert len([each for each in told if "goes on" in str(each.message)]) == 1
    text = str(next(each.message for each in told if "goes on" in str(each.message)))
    says(text, server.url("dead"), "refuses the connection", "nothing more is recorded")
    assert SECRET not in text
    assert all(map(torch.equal, weights, train(local.parent / "four", 4)))
    server.start()
    run = ra.open_run(server.url("dead"))
    assert not run.problems
    assert not verify(run)["verdict"].isin(DAMAGE).any()
    assert 2 <= as_written[0] <= len(run.windows) <= 3
    assert digests(run.path) == digests(local)[: len(run.windows)]
    # The training can be recorded on from where the run ends.
    last = run.windows[-1].last_update
    model, optimizer = network()
    torch.manual_seed(0)
    model, optimizer = network()
    for _ in range(last):
        update(model, optimizer)
    with ra.record(model, optimizer, server.url("dead"), resume=last) as recorder:
        update(model, optimizer)
        recorder.mark()
    assert ra.open_run(server.url("dead")).windows[-1].last_update == last + 1


def test_a_server_that_comes_back_loses_nothing(server, local, monkeypatch):
    monkeypatch.setattr(bucket, "WRITE_SECONDS", 60.0)
    again = threading.Timer(1.5, server.start)

    def before(window):
        if window == 1:
            server.kill()
            again.start()

    with warnings.catch_warnings():
        warnings.simplefilter("error", RecordingWarning)
        train(server.url("back"), before=before)
    again.join()
    assert_same(server.url("back"), local)


def test_flush_and_state_tell_that_nothing_is_written(server, impatient):
    model, optimizer = network()
    with warnings.catch_warnings(), ra.record(model, optimizer, server.url("flushed")) as recorder:
        warnings.simplefilter("ignore", RecordingWarning)
        update(model, optimizer)
        server.fault({"kind": "deny", "match": "PUT", "times": 99})
        recorder.mark()
        for ask in (recorder.flush, recorder.state_dict):
            with pytest.raises(StoreError, match="access is denied"):
                ask()
        update(model, optimizer)
        recorder.mark()
    assert [window.number for window in ra.open_run(server.url("flushed")).windows] == [0]


def test_a_process_that_is_killed_loses_no_acknowledged_window(server, order_recording):
    kills = 0
    for number in range(12):
        url = server.url(f"killed-{number}")
        answer = order_recording(url, delay=0.02 + 0.02 * number, count=50, pause=0.001)
        kills += answer["died"]
        last = check(as_place(url), answer["acknowledged"])
        if last:
            assert order_recording(url) == {"acknowledged": last + 3, "died": False, "error": None}
            assert check(as_place(url), last + 3) == last + 3
    assert kills
    print(f"{kills} kills at random moments: every window whole or absent, none lost that was acknowledged")


@pytest.mark.parametrize("step", ["half saved", "saved"])
def test_killed_before_a_window_is_sent(server, order_recording, step):
    url = server.url(f"step-{step}".replace(" ", "-"))
    answer = order_recording(url, step=step, nth=3)
    assert answer["died"]
    assert check(as_place(url), answer["acknowledged"]) == 1
    assert order_recording(url)["acknowledged"] == 4
    assert check(as_place(url), 4) == 4


def test_a_run_is_read_without_problems_while_it_is_written(server):
    url, seen = server.url("growing"), []

    def read():
        while not done.is_set():
            try:
                run = ra.open_run(url)
            except NotARunError:
                continue
            seen.append((len(run.windows), run.problems, set(verify(url)["verdict"]) & set(DAMAGE)))

    done = threading.Event()
    reader = threading.Thread(target=read)
    reader.start()
    out = writer(as_place(url))
    for last in range(31):
        states = {"a": layer_state(WALK, max(last, 1), last, center=True)}
        number = out.write_window(states, first_update=last or 1, last_update=last)
        out.write_metrics({"window": number, "update": last})
        out.flush()
        began, before = time.monotonic(), len(seen)
        while len(seen) == before and time.monotonic() < began + 0.5:
            time.sleep(0.01)
    out.close()
    done.set()
    reader.join()
    assert len({count for count, _, _ in seen}) > 2
    assert not [each for each in seen if each[1] or each[2]]


def test_resuming_is_as_in_a_folder(server, tmp_path):
    for path in (tmp_path / "run", server.url("resumed")):
        record(path, (1, 5), (6, 10), metrics=True)
        record(path, (6, 8), resume=5, metrics=True)
        record(path, (9, 12), resume=8, metrics=True)
    assert_same_windows = digests(server.url("resumed")), digests(tmp_path / "run")
    assert assert_same_windows[0] == assert_same_windows[1]
    there, here = ra.open_run(server.url("resumed")), ra.open_run(tmp_path / "run")
    pd.testing.assert_frame_equal(there.metrics, here.metrics)
    assert (there.problems, there.gaps) == (here.problems, here.gaps) == ((), ())
    verdicts = [verify(path)[["file", "verdict"]] for path in (there.path, here.path)]
    pd.testing.assert_frame_equal(*verdicts)
    with pytest.raises(InputError, match=facts("cannot be resumed at update 40")):
        writer(as_place(server.url("resumed")), resume=40)


def test_two_processes_cannot_begin_one_segment(server, monkeypatch):
    url = server.url("twice")
    first = writer(as_place(url))
    with pytest.raises(RunExistsError, match="not empty"):
        writer(as_place(url))
    # As if both had looked before either wrote.
    monkeypatch.setattr("recu_analysis.store.writer.refuse_existing", lambda *_: None)
    monkeypatch.setattr(Replaced, "take", lambda *_: None)
    with pytest.raises(RunExistsError, match="another process has just begun"):
        writer(as_place(url))
    first.close()
    assert not ra.open_run(url).problems


def test_a_start_that_fails_leaves_nothing(server, impatient):
    server.fault({"kind": "deny", "match": "PUT .*run.json", "times": 9})
    with pytest.raises(StoreError, match="access is denied"):
        record(server.url("undone"), (1, 2))
    assert not [file for file in server.folder("undone").rglob("*") if file.is_file()]
    server.fault()
    with pytest.raises(Exception, match="does not use"):
        _record_wrong(server.url("wrong"))
    assert not [file for file in server.folder("wrong").rglob("*") if file.is_file()]
    record(server.url("undone"), (1, 2))


def _record_wrong(url):
    """Record a layer whose forward pass uses other states, as the example shows before anything is written."""

    class Wrong(BinaryLinear):
        def forward(self, x):
            return nn.functional.linear(x, self.weight)

    model = nn.Sequential(Wrong(8, 8))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ra.record(model, optimizer, url, example=torch.randn(2, 8))
    raise AssertionError("does not use was not raised")


def test_damaged_cut_and_deleted_objects_are_found(server):
    record(server.url("damaged"), *((at, at) for at in range(1, 7)), metrics=True)
    files = sorted(server.folder("damaged").rglob("*.safetensors"))
    content = bytearray(files[2].read_bytes())
    content[-1] ^= 1
    files[2].write_bytes(content)
    files[4].write_bytes(files[4].read_bytes()[:-3])
    files[5].unlink()
    table = verify(server.url("damaged")).set_index("window")["verdict"]
    assert [table[number] for number in (2, 4, 5)] == ["damaged", "torn", "missing"]
    assert run_cli("verify", server.url("damaged")).exit_code == 1
    with pytest.raises(DamagedError, match="checksum"):
        check_window(ra.open_run(server.url("damaged")).window(2))


def test_a_lost_network_is_an_error_not_damage(server, impatient):
    record(server.url("lost"), *((at, at) for at in range(1, 5)))
    run = ra.open_run(server.url("lost"))
    server.fault({"kind": "reset", "match": "GET", "times": 10**6})
    for ask in (lambda: run.windows[-1]["a"].weight, lambda: ra.open_run(run.path), lambda: verify(run)):
        with pytest.raises(StoreError, match=r"cannot be (read|listed)") as caught:
            ask()
        assert not isinstance(caught.value, DamagedError)
    server.fault({"kind": "reset", "match": "GET .*safetensors", "times": 10**6})
    with pytest.raises(StoreError, match="the connection fails"):
        ra.open_run(run.path)


def test_each_refusal_is_one_sentence(server, impatient, monkeypatch, tmp_path):
    says(refusal("info", "s3://nowhere/runs/a"), "s3://nowhere/runs/a", "no such bucket")
    says(refusal("info", server.url("nothing")), server.url("nothing"), "does not exist")
    record(server.url("there"), (1, 2))
    says(refusal("info", "s3://bucket/runs"), "s3://bucket/runs is not a run", "no run.json")
    says(refusal("verify", "gs://bucket/runs/a"), "gs://", "s3://bucket/folder")
    says(refusal("thin", server.url("there"), "--windows", "0,1", "-o", server.url("thin")), "folder of this machine")
    says(refusal("train", "--run-dir", server.url("trained"), "--epochs", "1"), "folder of this machine")
    with pytest.raises(RunExistsError, match=facts("not empty")):
        record(server.url("there"), (1, 2))
    with pytest.raises(RunExistsError, match=facts("lies inside the run", server.url("there"))):
        record(server.url("there/inside"), (1, 2))
    with pytest.raises(InputError, match="no credentials"):
        ra.open_run(f"s3://tester:{SECRET}@bucket/runs/a")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "stranger")
    says(refusal("info", server.url("there")), "access is denied", "AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")
    says(refusal("info", server.url("there")), "needs credentials", "AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tester")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "false")
    says(refusal("info", server.url("there")), "AWS_ALLOW_HTTP")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:{SECRET}@127.0.0.1:9")
    text = refusal("info", server.url("there"))
    says(text, "refuses the connection", "check the network")
    assert SECRET not in text
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://nowhere.invalid")
    says(refusal("info", server.url("there")), "not known", "check the network")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not a URL")
    says(refusal("info", server.url("there")), "s3://bucket", "AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "perhaps")
    says(refusal("info", server.url("there")), "s3://bucket", "AWS_")


def test_credentials_are_in_no_file(server):
    train(server.url("secret"), 1)
    for file in server.folder("secret").rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes()
    done = run_program("info", server.url("secret"), "--debug")
    assert done.exit_code == 0
    assert SECRET not in done.stdout + done.stderr


def test_a_training_that_ends_without_close_is_whole(server, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        "import sys; from tests.store.test_object_stores import network, update; import recu_analysis as ra\n"
        "model, optimizer = network()\n"
        "recorder = ra.record(model, optimizer, sys.argv[1])\n"
        "for window in range(2):\n    update(model, optimizer); recorder.mark(epoch=window)\n"
    )
    done = subprocess.run([sys.executable, script, server.url("unclosed")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = ra.open_run(server.url("unclosed"))
    assert [window.number for window in run.windows] == [0, 1, 2]
    assert len(run.metrics) == 2
