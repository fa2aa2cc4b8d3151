"""Scores against a plain loop, and which checkpoints give which network."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recu_analysis.errors import CheckpointError, DamagedError, InputError
from recu_analysis.interop.official import save_official
from recu_analysis.nn import build_network
from recu_analysis.training import checkpoint
from recu_analysis.training.config import TrainingConfig
from recu_analysis.training.evaluation import check_classes, load_authors, load_trained, run_of, score
from recu_analysis.training.loop import evaluate


@pytest.fixture(scope="module")
def batches():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(7, (23,), generator=generator)
    images = torch.randn(23, 3, 8, 8, generator=generator)
    return list(zip(images.split(10), labels.split(10), strict=True))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network("resnet20", 7)


def test_scores_are_those_of_a_plain_loop_over_the_images(network, batches):
    scores = score(network.train(), batches)
    assert network.training
    network.eval()
    losses, places = [], []
    for images, labels in batches:
        for image, label in zip(images, labels, strict=True):
            logits = network(image[None]).detach().double().numpy()[0]
            losses.append(math.log(np.exp(logits).sum()) - logits[label])
            places.append(int((logits > logits[label]).sum()))
    assert scores.images == 23
    assert scores.loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert scores.top1 == pytest.approx(100 * np.mean(np.array(places) < 1))
    assert scores.top5 == pytest.approx(100 * np.mean(np.array(places) < 5))
    assert 0 < scores.top1 < scores.top5 < 100


def test_scores_are_those_that_training_logs(network, batches):
    scores = score(network, batches)
    assert (scores.loss, scores.top1) == pytest.approx(evaluate(network, batches))


def test_fewer_than_five_classes_are_always_among_five(batches):
    two = [(images, labels % 2) for images, labels in batches]
    assert score(build_network("resnet20", 2), two).top5 == 100


def test_a_run_gives_the_network_of_its_last_checkpoint(tmp_path, batches):
    torch.manual_seed(3)
    model = build_network("resnet20", 7)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    config = TrainingConfig(scale=1.0, recu=False)
    checkpoint.save(tmp_path, model, optimizer, checkpoint.TrainingPosition(0, 0, config))
    loaded = load_trained(tmp_path, 7)
    assert score(loaded, batches) == score(model, batches)
    with pytest.raises(DamagedError, match="does not fit the network"):
        load_trained(tmp_path, 10)


def test_a_file_of_the_authors_gives_the_network_that_is_named(tmp_path, network, batches):
    path = tmp_path / "model_best.pth.tar"
    save_official(path, network, epoch=1, name="resnet20_1w1a", best_top1=1.0)
    loaded, classes = load_authors(path, "resnet20")
    assert classes == 7
    assert score(loaded, batches) == score(network, batches)
    with pytest.raises(CheckpointError, match=r"best.pth.tar.*resnet18.*ResNet18"):
        load_authors(path, "resnet18")
    with pytest.raises(InputError, match="no network is called 'resnet21'"):
        load_authors(path, "resnet21")


def test_a_state_without_a_last_layer_is_refused(tmp_path):
    path = tmp_path / "a.pth.tar"
    torch.save({"state_dict": {"head.weight": torch.ones(3, 4)}}, path)
    with pytest.raises(CheckpointError, match="no last layer named linear or fc"):
        load_authors(path, "resnet20")


def test_a_run_is_named_by_its_folder_or_its_checkpoint(tmp_path):
    place = tmp_path / "checkpoints" / checkpoint.NAME
    place.parent.mkdir()
    with pytest.raises(CheckpointError, match=r"checkpoints/last.safetensors.*run"):
        run_of(tmp_path)
    place.touch()
    assert run_of(tmp_path) == run_of(place) == tmp_path
    assert run_of(tmp_path / "model_best.pth.tar") is None
    with pytest.raises(CheckpointError, match=r"checkpoints/last.safetensors.*run directory"):
        run_of(tmp_path / "last.safetensors")


def test_other_classes_than_those_of_the_data_are_refused(tmp_path):
    check_classes(tmp_path, 10, "digits", 10)
    with pytest.raises(InputError, match=r"100 classes.*digits has 10"):
        check_classes(tmp_path, 100, "digits", 10)
