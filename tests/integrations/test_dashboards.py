"""Scalars as TensorBoard and W&B themselves keep them on disk, read back and compared with layer_table."""

import json
import math
import time

import pytest

import recu_analysis as ra
from recu_analysis.integrations import tensorboard, wandb
from recu_analysis.testing import synthetic_run

pytestmark = [pytest.mark.extras, pytest.mark.filterwarnings("ignore")]  # the libraries' warnings are not ours
COLUMNS = ("mobility", "dead_fraction")
BLOCK, FILE_HEADER, RECORD_HEADER = 32768, 7, 7


@pytest.fixture
def run(tmp_path):
    return ra.open_run(synthetic_run(tmp_path / "run").path)


def expected(run):
    """The numbers of both columns, by name and last update of the window."""
    table = ra.layer_table(run)
    ends = {window.number: window.last_update for window in run.windows}
    values = {}
    for row in table[table["updates"] > 0].to_dict("records"):
        for column in COLUMNS:
            values[f"{column}/{row['layer']}", ends[row["window"]]] = row[column]
    assert values
    assert all(map(math.isfinite, values.values()))
    return values


def test_tensorboard_reads_what_was_logged(run, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path / "board")) as writer:
        logger = tensorboard.ScalarLogger(run.path, writer, COLUMNS)
        assert logger.update() == len(run.windows) - 1
        assert logger.update() == 0
    events = EventAccumulator(str(tmp_path / "board")).Reload()
    assert not events.Tags()["histograms"]
    found = {(tag, each.step): each.value for tag in events.Tags()["scalars"] for each in events.Scalars(tag)}
    assert found == pytest.approx(expected(run), rel=1e-6)  # TensorBoard keeps float32


def offline_records(folder):
    """The records of W&B's transaction log: a file header, then chunks in blocks, each with checksum, length, kind."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.rglob("*.wandb")
    content, position, payload = file.read_bytes(), FILE_HEADER, b""
    while position + RECORD_HEADER <= len(content):
        if BLOCK - position % BLOCK < RECORD_HEADER:
            position += BLOCK - position % BLOCK
            continue
        length, kind = int.from_bytes(content[position + 4 : position + 6], "little"), content[position + 6]
        position += RECORD_HEADER
        payload += content[position : position + length]
        position += length
        if kind in {1, 4}:  # whole, or the last part
            yield Record.FromString(payload)
            payload = b""


def finished_records(folder):
    """All records of a run; W&B's service may write the last of them a moment after the run was finished."""
    for _ in range(120):
        records = list(offline_records(folder))
        if any(record.HasField("exit") for record in records):
            return records
        time.sleep(0.25)
    raise AssertionError("the log of the run was not finished in 30 s")


def test_wandb_keeps_offline_what_was_logged(run, tmp_path, monkeypatch):
    import wandb as library

    for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    with library.init(project="recu", mode="offline", dir=str(tmp_path), settings={"silent": True}) as theirs:
        theirs.log({"other": 1.0}, step=1000)
        wandb.log_windows(run, theirs, COLUMNS)
    records = finished_records(tmp_path)
    rows = [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.HasField("history")
    ]
    found = {
        (name, row["latent_update"]): value
        for row in rows
        for name, value in row.items()
        if name.partition("/")[0] in COLUMNS
    }
    assert found == pytest.approx(expected(run), rel=1e-12)
    axes = {record.metric.glob_name: record.metric.step_metric for record in records if record.HasField("metric")}
    assert axes.items() >= {f"{column}/*": "latent_update" for column in COLUMNS}.items()
