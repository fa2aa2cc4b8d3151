"""The configuration: what it refuses, its learning rate and tau, and its way through JSON."""

from __future__ import annotations

import json
import math

import pytest
import torch

from recu_analysis import nn
from recu_analysis.errors import InputError, RecuError
from recu_analysis.training.config import DATASETS, TrainingConfig
from recu_analysis.training.data import load_dataset
from recu_analysis.training.settings import settings_of


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tau": (0.5, 0.99)}, r"\(0.5, 1\]"),
        ({"tau": (0.99, 0.85)}, "must not fall"),
        ({"lr": 0.0}, "lr must be a number above 0"),
        ({"lr": math.nan}, "lr must be"),
        ({"scale": -2.0}, "scale must be"),
        ({"momentum": 1.0}, "below 1"),
        ({"momentum": -0.1}, r"momentum.*number.*0"),
        ({"weight_decay": -1e-4}, "weight decay"),
        ({"binary_weight_decay": math.inf}, "binary weight decay"),
        ({"epochs": 0}, "at least one epoch"),
        ({"batch_size": 1}, "at least 2 images"),
        ({"warm_up": 24}, "shorter than the 24 epochs"),
        ({"warm_up": -1}, "warm-up"),
        ({"seed": -1}, "seed"),
        ({"accumulate": 0}, r"update.*batch, not 0"),
        ({"optimizer": "lion"}, r"optimizer.*sgd, adam, adamw, not 'lion'"),
        ({"schedule": "Cosine"}, r"schedule.*cosine, step, linear, constant"),
        ({"binarizer": "xnor-net"}, r"binarizer.*recu, bnn, xnor, bi-real, ir-net"),
        ({"binarizer": "bnn", "recu": False}, r"recu.*bnn"),
        ({"binarizer": "ir-net", "scale": 0.7}, r"scale.*recu"),
        ({"levels": 3, "recu": False}, r"recu.*signs.*ternary"),
        ({"bits": 2, "tau": (0.8, 0.9)}, r"tau.*signs.*2 bits"),
        ({"levels": 3, "mask": "random"}, r"mask.*signs.*ternary"),
        ({"levels": 3, "binarizer": "bnn"}, r"binarizer.*signs.*ternary"),
        ({"levels": 3, "revive": "tail-silent"}, r"revive.*signs.*ternary"),
        ({"levels": 3, "bits": 2}, r"3 levels or 2 bits, not both"),
        ({"levels": 4}, r"2 levels.*3.*not 4"),
        ({"bits": 5}, r"1 bit.*2 to 4 bits.*not 5"),
        ({"network": "resnet20-real", "levels": 3}, r"resnet20-real.*real weights"),
        ({"network": "resnet20-real", "alpha": "none"}, r"alpha.*signs.*real weights"),
        ({"network": "resnet20-real", "traces": 2}, r"not recorded.*traces"),
        ({"network": "ternary-lm", "levels": 3}, r"ternary-lm is trained on text, not on digits"),
        ({"network": "ternary-lm-real"}, r"ternary-lm-real is trained on text, not on digits"),
        ({"dataset": "text"}, r"resnet20 is trained on images"),
        ({"network": "ternary-lm", "dataset": "text"}, r"ternary-lm has ternary weights"),
        ({"network": "ternary-lm", "levels": 3, "dataset": "text", "augment": True}, r"augment.*images"),
        ({"alpha": "mean"}, r"alpha.*learned, analytic, none"),
        ({"device": "tpu"}, r"device.*auto, cpu, cuda"),
        ({"dataset": "mnist"}, r"dataset.*digits, fashion-mnist"),
        ({"quantities": ("grad", "path")}, r"quantities.*ema, grad, gradient-stats, not 'path'"),
    ],
)
def test_refuses_what_cannot_be_trained(fields, message):
    with pytest.raises(InputError, match=message) as caught:
        TrainingConfig(**fields)
    assert "\n" not in str(caught.value)


def simulated_rates(epochs, warm_up, lr):
    """What torch's scheduler gives where it is stepped from the last epoch of the warm-up on, as the authors do."""
    held = max(warm_up - 1, 0)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs - held)
    rates = []
    for epoch in range(epochs):
        if epoch < warm_up:
            optimizer.param_groups[0]["lr"] = lr * (epoch + 1) / warm_up
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if epoch >= held:
            scheduler.step()
    return rates


@pytest.mark.parametrize(("epochs", "warm_up"), [(20, 5), (600, 5), (24, 2), (10, 1), (10, 0)])
def test_learning_rate_is_that_of_the_authors_scheduler(epochs, warm_up):
    config = TrainingConfig(epochs=epochs, warm_up=warm_up, lr=0.2)
    rates = [config.learning_rate(epoch) for epoch in range(epochs)]
    assert rates == pytest.approx(simulated_rates(epochs, warm_up, 0.2), rel=1e-9)
    assert rates[warm_up] < rates[max(warm_up - 1, 0)] == 0.2 or warm_up == 0


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"tau": (0.99, 0.85)}, "tau must not fall: its start 0.99 is above its end 0.85; choose start <= end"),
        ({"weight_decay": -1e-4}, "weight decay must be a number at least 0, not -0.0001"),
        ({"warm_up": 24}, "the warm-up must be shorter than the 24 epochs, not 24"),
        ({"image_size": 4}, "the image size must be from 8 to 1024 pixels, not 4"),
        ({"batch_size": 1}, "batch normalization needs batches of at least 2 images, not 1"),
    ],
)
def test_the_refusal_is_one_plain_sentence(fields, text):
    with pytest.raises(InputError) as caught:
        TrainingConfig(**fields)
    assert str(caught.value) == text


@pytest.mark.parametrize(("epochs", "warm_up"), [(1, 0), (2, 1), (24, 2), (24, 23)])
def test_learning_rate_peaks_at_lr_and_stays_positive(epochs, warm_up):
    config = TrainingConfig(epochs=epochs, warm_up=warm_up)
    rates = [config.learning_rate(epoch) for epoch in range(epochs)]
    assert max(rates) == pytest.approx(config.lr)
    assert min(rates) > 0


SCHEDULERS = {
    "constant": lambda optimizer: torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0),
    "linear": lambda optimizer: torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=10),
    "step": lambda optimizer: torch.optim.lr_scheduler.MultiStepLR(optimizer, [5, 8]),
}


@pytest.mark.parametrize("schedule", SCHEDULERS)
def test_schedules_without_warm_up_are_those_of_torch(schedule):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
    scheduler = SCHEDULERS[schedule](optimizer)
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    config = TrainingConfig(epochs=10, warm_up=0, lr=0.2, schedule=schedule)
    assert [config.learning_rate(epoch) for epoch in range(10)] == pytest.approx(rates, rel=1e-9)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [0.1, 0.2, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]),
        ("linear", [0.1, 0.2, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05]),
        ("step", [0.1, 0.2, 0.3, 0.3, 0.03, 0.03, 0.003, 0.003]),
    ],
)
def test_schedules_follow_on_the_warm_up(schedule, rates):
    config = TrainingConfig(epochs=8, warm_up=3, lr=0.3, schedule=schedule)
    assert [config.learning_rate(epoch) for epoch in range(8)] == pytest.approx(rates, rel=1e-9)


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_can_be_loaded_or_says_what_it_lacks(name, tmp_path):
    with pytest.raises(RecuError) as caught:
        load_dataset(name, str(tmp_path))
    assert "no data set is called" not in str(caught.value)


def test_tau_rises_from_its_start_and_is_absent_without_recu():
    config = TrainingConfig(epochs=10)
    levels = [config.tau_of(epoch) for epoch in range(10)]
    assert levels[0] == 0.85
    assert levels == sorted(levels)
    assert levels[-1] < 0.99
    assert TrainingConfig(recu=False).tau_of(3) is None
    assert TrainingConfig(tau=(0.9, 0.9)).tau_of(7) == 0.9


def test_survives_json():
    config = TrainingConfig(epochs=3, tau=(0.8, 0.9), data_dir="/data", recu=False)
    assert TrainingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_reads_the_names_of_earlier_versions():
    written = TrainingConfig(binarizer="bnn").to_dict()
    assert "binariser" not in written
    older = {name: value for name, value in written.items() if name not in ("binarizer", "center")}
    assert TrainingConfig.from_dict(older | {"binariser": "bnn", "centre": True}) == TrainingConfig(binarizer="bnn")


@pytest.mark.parametrize(
    ("given", "lr", "warm_up"),
    [
        ({}, 0.1, 2),
        ({"optimizer": "adam", "epochs": 1}, 0.01, 0),
        ({"optimizer": "adam", "epochs": 2, "lr": 0.3}, 0.3, 1),
        ({"epochs": 2, "warm_up": 0}, 0.1, 0),
    ],
)
def test_what_is_not_given_follows_from_the_rest(given, lr, warm_up):
    config = TrainingConfig.with_usual(**given)
    assert (config.lr, config.warm_up) == (lr, warm_up)


def test_every_setting_is_in_the_docstring():
    for name, setting in settings_of(TrainingConfig).items():
        assert f"\n{name} : " in TrainingConfig.__doc__
        assert setting.text.split(";")[0][:60] in " ".join(TrainingConfig.__doc__.split())


def test_an_unknown_setting_is_named():
    with pytest.raises(InputError, match=r"'learning_rate'.*binary_weight_decay"):
        TrainingConfig.from_dict({"learning_rate": 0.1})


def test_differences_name_both_values():
    assert TrainingConfig().differences(TrainingConfig()) == []
    assert TrainingConfig(lr=0.1).differences(TrainingConfig(lr=0.2, epochs=30)) == [
        "epochs (24, not 30)",
        "lr (0.1, not 0.2)",
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tau": (0.9,)}, "pair of numbers"),
        ({"tau": 0.9}, "tau must be a tuple"),
        ({"epochs": "3"}, "epochs must be a whole number"),
        ({"epochs": 2.5}, "epochs must be a whole number"),
        ({"image_size": 64.0}, "image size must be a whole number"),
        ({"seed": True}, "seed must be a whole number"),
        ({"lr": "fast"}, "lr must be a number"),
        ({"recu": "no"}, "recu must be True or False"),
        ({"network": 3}, "network must be a text"),
        ({"optimizer": None}, "optimizer must be a text"),
        ({"bfloat16": 1}, "bfloat16 must be True or False"),
        ({"accumulate": 1.0}, "accumulate must be a whole number"),
        ({"tau": None}, "tau must be a tuple"),
    ],
)
def test_refuses_values_of_the_wrong_kind(fields, message):
    with pytest.raises(InputError, match=message):
        TrainingConfig.from_dict(fields)


def test_the_command_line_and_the_layers_know_the_same_methods():
    assert settings_of(TrainingConfig)["binarizer"].choices == tuple(nn.BINARIZERS)
    config = TrainingConfig(recu=False, quantile="empirical", scale=None, center=False, alpha="none")
    built = nn.BinaryConv2d(4, 4, 3, **config.binary_options()).binarizer
    expected = {"clamp": False, "quantile": "empirical", "scale": None, "center": False, "alpha": "none"}
    assert built.differences() == expected
    assert TrainingConfig(binarizer="bi-real").binary_options() == {"binarizer": "bi-real"}
    assert TrainingConfig(binarizer="bi-real").tau_of(0) is None
