"""The data set text: its two parts, what is refused, and a training of the language model on it."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

import recu_analysis as ra
from recu_analysis.errors import DataError, InputError
from recu_analysis.training import checkpoint
from recu_analysis.training.config import TrainingConfig
from recu_analysis.training.data import load_dataset
from recu_analysis.training.data.text import CONTEXT, LEAST, load_text
from recu_analysis.training.evaluation import load_trained
from recu_analysis.training.loop import train
from tests.cli_runner import refusal, run_cli
from tests.messages import says
from tests.training.short_training import stop_after


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(bytes(range(256)) * 20)
    return path


def test_the_last_tenth_is_for_validation_and_each_label_is_the_next_byte(file):
    content = file.read_bytes()
    data = load_text(str(file))
    assert (data.classes, data.labels_each) == (256, CONTEXT)
    split = len(content) - len(content) // 10
    for images, labels, start, end in (
        (data.train_images, data.train_labels, 0, split),
        (data.val_images, data.val_labels, split, len(content)),
    ):
        part = content[start:end]
        assert len(images) == len(labels) == (len(part) - 1) // CONTEXT
        for number, (image, label) in enumerate(zip(images.tolist(), labels.tolist(), strict=True)):
            first = number * CONTEXT
            assert bytes(image) == part[first : first + CONTEXT]
            assert bytes(label) == part[first + 1 : first + CONTEXT + 1]
    batch = data.train_batch(torch.tensor([3, 1]))
    assert [each.dtype for each in batch] == [torch.int64, torch.int64]
    assert batch[0][0].tolist() == data.train_images[3].tolist()
    assert len(load_text(str(file)).val_images) == sum(len(images) for images, _ in data.val_batches(2))


def test_another_text_has_another_fingerprint(file):
    before = load_text(str(file)).fingerprint
    assert load_text(str(file)).fingerprint == before
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    assert load_text(str(file)).fingerprint != before


def test_a_file_that_is_no_text_is_one_sentence(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "short").write_bytes(b"x" * (LEAST - 1))
    cases = {
        "missing": "does not exist",
        "empty": "is empty",
        "short": f"too short.*{LEAST - 1:,}.*{LEAST:,}",
        ".": "is not a file",
        "a\0b": "does not exist",
        "x" * 300: "cannot be read|does not exist",
    }
    for name, message in cases.items():
        with pytest.raises(DataError, match=message) as caught:
            load_text(str(tmp_path / name))
        assert "\n" not in str(caught.value)
    (tmp_path / "least").write_bytes(b"x" * LEAST)
    assert [len(load_text(str(tmp_path / "least")).val_images), load_text(str(tmp_path / "least")).classes] == [1, 256]
    with pytest.raises(InputError, match="--data-file FILE"):
        load_dataset("text")
    with pytest.raises(InputError, match="--data-file applies only to text"):
        load_dataset("digits", data_file="x")
    with pytest.raises(InputError, match="--data-dir"):
        load_dataset("text", "folder")


def state(run_dir):
    tensors = checkpoint._read(run_dir / "checkpoints" / checkpoint.NAME, with_tensors=True)[1]
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def test_a_language_model_is_recorded_resumed_and_measured_in_bits_per_byte(tmp_path, file):
    config = TrainingConfig.with_usual(
        network="ternary-lm", dataset="text", data_file=str(file), epochs=2, batch_size=4, epoch_updates=2
    )
    assert (config.optimizer, config.levels, config.binary_weight_decay, config.lr) == ("adamw", 3, 0.1, 0.003)
    train(config, tmp_path / "whole")
    assert train(config, tmp_path / "parts", should_stop=stop_after(3)).epochs == 1
    moved = tmp_path / "moved.txt"
    file.rename(moved)
    train(TrainingConfig.from_dict(config.to_dict() | {"data_file": str(moved)}), tmp_path / "parts", resume=True)
    assert state(tmp_path / "parts") == state(tmp_path / "whole")
    run = ra.open_run(tmp_path / "whole")
    assert len(run.header.layers) == 16
    assert all((spec.verified, spec.differs, spec.quantizer.count) == (True, 0.0, 3) for spec in run.header.layers)
    model, data = load_trained(tmp_path / "whole", 256).eval(), load_text(str(moved))
    with torch.no_grad():
        logits = model(data.val_images.long()).double().transpose(1, 2).reshape(-1, 256)
    bits = functional.cross_entropy(logits, data.val_labels.long().reshape(-1)).item() / math.log(2)
    assert run.metrics["val_bits_per_byte"].iloc[-1] == pytest.approx(bits, rel=1e-5)
    shown = run_cli("evaluate", str(tmp_path / "whole"), "--data-file", str(moved))
    says(shown.stdout, f"{bits:.4f} bits per byte", f"{data.val_labels.numel()} bytes")
    says(refusal("evaluate", str(tmp_path / "whole"), "--dataset", "digits"), "ternary-lm", "text")
    says(refusal("intervene", str(tmp_path / "whole")), "more than two levels")
    moved.write_bytes(b"!" * 5120)
    again = ("--resume", "--network", "ternary-lm", "--dataset", "text", "--epochs", "2", "--batch-size", "4")
    changed = ("--run-dir", str(tmp_path / "whole"), "--data-file", str(moved), "--epoch-updates", "2")
    says(refusal("train", *again, *changed), "another data set")
