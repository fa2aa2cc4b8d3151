"""What a training is told: one dataclass, kept in run.json."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from recu_analysis.errors import InputError, unknown
from recu_analysis.store.format1 import RENAMED
from recu_analysis.store.quantities import MORE_QUANTITIES
from recu_analysis.theory.laplace import check_tau
from recu_analysis.theory.schedule import schedule
from recu_analysis.theory.standardize import MASKS, QUANTILES
from recu_analysis.training.settings import documented, option, settings_of

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Data sets that `load_dataset` knows; here, where naming them needs no torch.
DATASETS = ("digits", "fashion-mnist", "fashion-mnist-16", "cifar10", "cifar100", "image-folder")
#: The optimizers, and learning rates that suit them; both were tried on the digits.
LEARNING_RATES = {"sgd": 0.1, "adam": 0.01}
#: Least and most pixels a side; the networks were made for 32 and 224.
IMAGE_SIZES = (8, 1024)
#: That of Tiny-ImageNet.
IMAGE_SIZE = 64
#: Epochs of warm-up, where there are more of them.
WARM_UP = 2


@documented
@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """A training of one network on one data set; the defaults are the recipe of the demo.

    Each field is declared once: checks, options of the command line and documentation follow from what stands here.
    """

    network: str = option("resnet20", "Its name; see layers.")
    dataset: str = option("digits", "What to learn.", choices=DATASETS)
    data_dir: str | None = option(
        None,
        "Folder of the data set: one of CIFAR's archives, packed or unpacked; train/CLASS/ and val/CLASS/ for "
        "image-folder; Fashion-MNIST's four .gz files, by default where Debian's package dataset-fashion-mnist has "
        "them.",
        metavar="DIR",
    )
    image_size: int = option(
        IMAGE_SIZE,
        "Of image-folder: the short side is brought to it, the long one cut.",
        least=IMAGE_SIZES[0],
        below=IMAGE_SIZES[1] + 1,
        refusal=f"images can have {IMAGE_SIZES[0]} to {IMAGE_SIZES[1]} pixels a side",
        metavar="PIXELS",
    )
    augment: bool = option(
        False, "Shift training images by up to an eighth of their size, and mirror half of them (digits not)."
    )
    binarizer: str = option(
        "recu",
        "The method; the options from --recu to --scale-activations are ReCU's.",
        choices=("recu", "bnn", "xnor", "bi-real", "ir-net"),
    )
    recu: bool = option(True, "Clamp the weights, or only standardise them.", ingredient="clamp")
    mask: str = option(
        "clamped",
        "Whose gradients the clamp stops; random: the same number, chosen at random, as a control.",
        choices=MASKS,
        ingredient="mask",
    )
    quantile: str = option(
        "laplace",
        "To which quantiles: the fitted Laplace's, or the weights' own.",
        choices=QUANTILES,
        ingredient="quantile",
    )
    tau: tuple[float, float] = option(
        (0.85, 0.99),
        "Level of the quantiles in the first epoch, and the one that its schedule heads for (Eq. 24).",
        metavar="LO HI",
    )
    scale: float | None = option(
        2.0,
        "b*, to which weights are standardised, or none; IR-Net's is 0.7071.",
        above=0.0,
        metavar="NUMBER|none",
        ingredient="scale",
    )
    center: bool = option(True, "Subtract each output channel's mean first, or not.", ingredient="center")
    alpha: str = option(
        "learned",
        "Factor of each binary layer's output; analytic: Eq. 13.",
        choices=("learned", "analytic", "none"),
        ingredient="alpha",
    )
    scale_activations: bool = option(
        True, "Divide by each sample's standard deviation in training, or not.", ingredient="scale_activations"
    )
    initial_scale: float = option(
        1.0, "Factor on the initial weights; b* = 0.7071 with 0.5946 follows b* = 2 with 1.", above=0.0
    )
    epochs: int = option(24, "Passes over the training images.", least=1, refusal="a training needs at least one epoch")
    batch_size: int = option(
        64,
        "Images of one backward pass, which several processes share.",
        least=2,
        refusal="batch normalisation needs batches of at least 2 images",
    )
    accumulate: int = option(
        1,
        "Batches of one update; its gradient is the mean over all their images.",
        least=1,
        refusal="an update needs at least one batch",
    )
    optimizer: str = option(
        "sgd", "What applies the gradients; Adam has the betas 0.9 and 0.999.", choices=tuple(LEARNING_RATES)
    )
    schedule: str = option(
        "cosine",
        "Of the learning rate; step: divided by 10 at half and at three quarters of the epochs.",
        choices=("cosine", "step", "linear", "constant"),
    )
    lr: float = option(
        LEARNING_RATES["sgd"],
        "Learning rate after the warm-up.",
        above=0.0,
        usual=", ".join(f"{rate} for {name}" for name, rate in LEARNING_RATES.items()),
    )
    momentum: float = option(0.9, "Of SGD; Adam has none.", least=0.0, below=1.0)
    weight_decay: float = option(5e-4, "Of all but the binary weights; added to the gradient, by Adam too.", least=0.0)
    binary_weight_decay: float = option(1e-2, "Of the binary weights.", least=0.0)
    warm_up: int = option(
        WARM_UP, "Epochs in which the learning rate rises.", usual=f"{WARM_UP}, in shorter trainings all but one"
    )
    bfloat16: bool = option(False, "Compute in bfloat16 where that is safe; weights stay float32.")
    channels_last: bool = option(False, "Keep images and weights in memory with their channels last.")
    compile: bool = option(
        False,
        "Compile the training passes, on a GPU as CUDA graphs where one process updates after every batch; needs a C++ "
        "compiler on a CPU.",
    )
    device: str = option("auto", "auto: CUDA if any.", choices=("auto", "cpu", "cuda"))
    seed: int = option(
        0, "Of all that is random.", least=0, below=2**63, refusal="a seed is a number from 0 to 2^63 - 1"
    )
    quantities: tuple[str, ...] = option(
        (),
        "Of every weight beside the usual: moving average of flips, sum of |gradient|; repeatable.",
        choices=MORE_QUANTITIES,
        flag="record",
    )

    def __post_init__(self) -> None:
        for name, setting in settings_of(TrainingConfig).items():
            setting.check(getattr(self, name))
        low, high = check_tau(self.tau)
        if low > high:
            raise InputError(f"tau must not fall: its start {low:g} is above its end {high:g}")
        if not 0 <= self.warm_up < self.epochs:
            raise InputError(f"the warm-up must be shorter than the {self.epochs} epochs, not {self.warm_up}")
        if self.binarizer != "recu":
            self._check_method()

    def _check_method(self) -> None:
        """InputError if a method that is not ReCU, and trained as published, is told what only ReCU has."""
        for name, setting in settings_of(TrainingConfig).items():
            if setting.ingredient and getattr(self, name) != setting.default:
                raise InputError(
                    f"{setting.words} is an option of the binarizer recu; {self.binarizer} is trained as published, "
                    "so leave it away"
                )

    @classmethod
    def with_usual(cls, *, lr: float | None = None, warm_up: int | None = None, **more: Any) -> Self:
        """A configuration in which learning rate and warm-up follow from optimizer and epochs where they are None."""
        config = cls(**more, warm_up=0)
        return replace(
            config,
            lr=LEARNING_RATES[config.optimizer] if lr is None else lr,
            warm_up=min(WARM_UP, config.epochs - 1) if warm_up is None else warm_up,
        )

    def learning_rate(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0: the authors' warm-up, then the schedule.

        With W epochs of warm-up it is lr (e + 1) / W before epoch W; the authors' W is 5. The schedule takes over
        at epoch W, and its first epoch counts as W - 1: cosine and linear fall over the remaining epochs - (W - 1)
        and would reach 0 with the one after the last. Step divides by 10 at half and again at three quarters of all
        epochs; constant stays at lr.
        """
        if epoch < self.warm_up:
            return self.lr * (epoch + 1) / self.warm_up
        if self.schedule == "constant":
            return self.lr
        if self.schedule == "step":
            return self.lr / 10.0 ** ((2 * epoch >= self.epochs) + (4 * epoch >= 3 * self.epochs))
        start = max(self.warm_up - 1, 0)
        if self.schedule == "linear":
            return self.lr * (self.epochs - epoch) / (self.epochs - start)
        return 0.5 * self.lr * (1.0 + math.cos(math.pi * (epoch - start) / (self.epochs - start)))

    def binary_options(self) -> dict[str, Any]:
        """What `build_network` is told of the binary layers."""
        if self.binarizer != "recu":
            return {"binarizer": self.binarizer}
        settings = settings_of(TrainingConfig).values()
        return {setting.ingredient: getattr(self, setting.name) for setting in settings if setting.ingredient}

    def tau_of(self, epoch: int) -> float | None:
        """Quantile level of an epoch, counted from 0 (Eq. 24); None without the clamp."""
        clamps = self.recu and self.binarizer == "recu"
        return float(schedule(epoch, self.epochs, *self.tau)) if clamps else None

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON has them."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> Self:
        """The configuration that `to_dict` described, in this version or an earlier one.

        Raises
        ------
        InputError
            If a field is unknown or out of its range.
        """
        settings = settings_of(TrainingConfig)
        # Runs of format 1 are evaluated too.
        renamed = {RENAMED.get(name, name): value for name, value in entries.items()}
        for name in renamed:
            if name not in settings:
                raise unknown("setting of a training", name, list(settings))
        # JSON has lists where a field has a tuple.
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in renamed.items()
        }
        return cls(**fields)

    def differences(self, other: TrainingConfig) -> list[str]:
        """A text such as ``epochs (24, not 30)`` for every field in which the other differs."""
        mine, theirs = self.to_dict(), other.to_dict()
        return [f"{name} ({mine[name]}, not {theirs[name]})" for name in mine if mine[name] != theirs[name]]
