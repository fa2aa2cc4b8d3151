"""Training on and evaluating with data sets from files, as a user types it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from recu_analysis.store.run import open_run
from recu_analysis.training import loop
from recu_analysis.training.data import load_dataset
from recu_analysis.training.evaluation import load_trained
from tests.cli_runner import refusal, run_cli, wrong_usage
from tests.messages import says
from tests.training import cifar_files

SHORT = ("--epochs", 1, "--warm-up", 0, "--batch-size", 40, "--device", "cpu")


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    cifar_files.shrink(monkeypatch)
    (tmp_path / "ten").mkdir()
    cifar_files.write(tmp_path / "ten", "cifar10", python=True)
    return tmp_path / "ten"


@pytest.fixture
def photographs(tmp_path):
    """Two classes in train and in val, of 32 images each."""
    for part in ("train", "val"):
        for number, name in enumerate(("cat", "dog")):
            (tmp_path / "photographs" / part / name).mkdir(parents=True)
            for image in range(32):
                pixels = np.random.default_rng([number, image]).integers(0, 256, (20, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "photographs" / part / name / f"{image}.png")
    return tmp_path / "photographs"


def measured(run_dir, *arguments):
    done = run_cli("evaluate", run_dir, "--format", "json", *arguments)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)[0]


def test_trains_on_cifar_and_evaluates_to_what_it_logged(tmp_path, cifar):
    done = run_cli(
        "train", "--dataset", "cifar10", "--data-dir", cifar, "--run-dir", tmp_path / "run", "--augment", *SHORT
    )
    assert done.exit_code == 0, done.stderr
    logged = open_run(tmp_path / "run").metrics.iloc[-1]
    row = measured(tmp_path / "run")
    assert (row["dataset"], row["images"]) == ("cifar10", 12)
    assert row["loss"] == pytest.approx(logged["val_loss"], rel=1e-5)
    assert row["top1"] == pytest.approx(logged["val_top1"])


def test_trains_on_a_folder_of_images_of_a_size(tmp_path, photographs):
    run = tmp_path / "run"
    words = ("--dataset", "image-folder", "--data-dir", photographs, "--image-size", 16)
    assert run_cli("train", *words, "--run-dir", run, *SHORT).exit_code == 0
    assert open_run(run).configuration["image_size"] == 16
    data = load_dataset("image-folder", str(photographs), 16)
    loss, top1 = loop.evaluate(load_trained(run, 2), [(data.normalized(data.val_images), data.val_labels)])
    row = measured(run)
    assert (row["loss"], row["top1"]) == (pytest.approx(loss, rel=1e-5), pytest.approx(top1))
    assert measured(run, "--image-size", 24)["loss"] != row["loss"]
    says(wrong_usage("evaluate", run, "--image-size", 4), "4", "8<=x<=1024")


def test_every_option_of_training_reaches_it(tmp_path, photographs):
    words = "--optimizer adam --schedule step --accumulate 2 --bfloat16 --channels-last --no-center --device cpu"
    data = ("--dataset", "image-folder", "--data-dir", photographs, "--image-size", 16)
    done = run_cli("train", "--run-dir", tmp_path / "run", *words.split(), *data, "--epochs", 1, "--batch-size", 16)
    assert done.exit_code == 0, done.stderr
    run = open_run(tmp_path / "run")
    assert run.metrics["update"].tolist() == [2]
    expected = {
        "optimizer": "adam",
        "schedule": "step",
        "lr": 0.01,
        "warm_up": 0,
        "accumulate": 2,
        "bfloat16": True,
        "channels_last": True,
        "center": False,
        "device": "cpu",
        "compile": False,
        "augment": False,
    }
    assert {name: run.configuration[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        (("cifar10",), ["cifar10", "folder", "https://www.cs.toronto.edu/~kriz/cifar.html"]),
        (("cifar100", "--data-dir", "."), ["CIFAR-100", "https://www.cs.toronto.edu"]),
        (("image-folder", "--data-dir", "none"), ["none/train", "missing", "train/CL"]),
        (("image-folder", "--image-size", 2), ["8 to 1024 pixels", "not 2"]),
    ],
)
def test_what_is_missing_is_said_before_anything_is_made(tmp_path, monkeypatch, words, facts):
    monkeypatch.chdir(tmp_path)
    says(refusal("train", "--run-dir", "x", "--dataset", *words), *facts)
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_the_network_does_not_take_is_refused_before_anything_is_made(tmp_path, photographs):
    words = ("--dataset", "image-folder", "--data-dir", photographs, "--image-size", 18, "--network", "resnet20")
    sentence = refusal("train", *words, "--run-dir", tmp_path / "run", *SHORT)
    says(sentence, "resnet20", "(batch, 3, H, W)", "multiples of 4")
    assert not (tmp_path / "run").exists()


def test_one_image_is_too_few_to_train_on_and_nothing_is_made(tmp_path, photographs):
    for image in (photographs / "train").glob("*/*.png"):
        if image.parts[-2:] != ("cat", "0.png"):
            image.unlink()
    (photographs / "train/dog").rmdir()
    (photographs / "val/dog").rename(tmp_path / "dog")
    words = ("--dataset", "image-folder", "--data-dir", photographs)
    says(refusal("train", *words, "--run-dir", tmp_path / "run", *SHORT), "too few training images", "1")
    assert not (tmp_path / "run").exists()


def test_a_run_of_an_image_folder_is_evaluated_on_other_data(tmp_path, cifar, photographs):
    data = ("--dataset", "image-folder", "--data-dir", photographs, "--image-size", 16)
    assert run_cli("train", *data, "--run-dir", tmp_path / "run", *SHORT).exit_code == 0
    says(refusal("evaluate", tmp_path / "run", "--dataset", "digits"), "2 classes", "10")


def test_a_run_of_other_classes_is_refused_in_one_sentence(tmp_path, cifar, photographs):
    words = ("--dataset", "cifar10", "--data-dir", cifar)
    assert run_cli("train", *words, "--run-dir", tmp_path / "run", *SHORT).exit_code == 0
    other = ("--dataset", "image-folder", "--data-dir", photographs)
    says(refusal("evaluate", tmp_path / "run", *other), "10 classes", "2")
