"""The configuration of a training: one dataclass, stored in run.json."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from recu_analysis.errors import InputError, unknown
from recu_analysis.store.format1 import RENAMED
from recu_analysis.store.quantities import GRADIENT_STATS, MORE_QUANTITIES
from recu_analysis.theory.laplace import check_tau
from recu_analysis.theory.schedule import RATES, learning_rate, schedule
from recu_analysis.theory.standardize import MASKS, QUANTILES
from recu_analysis.training.revival import CAUSES, Revival, revival_of
from recu_analysis.training.settings import documented, option, settings_of

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Names of the data sets of `load_dataset`; this module does not import torch.
DATASETS = ("digits", "fashion-mnist", "fashion-mnist-16", "cifar10", "cifar100", "image-folder", "text")
#: The network for text, and the ending of the name of a real-valued twin.
TEXT_NETWORK, REAL = "ternary-lm", "-real"
#: The optimizers and their default learning rates, which were tested on the digits; that of adamw, on a text.
LEARNING_RATES = {"sgd": 0.1, "adam": 0.01, "adamw": 0.003}
#: The default learning rate where steps are learned, as published: at 0.1 the first updates make steps negative.
LSQ_RATE = 0.01
#: Default weight decays of the latent weights; adamw multiplies them by a learning rate that is smaller.
DECAYS = {"with sgd or adam": 1e-2, "with adamw": 0.1}
#: Smallest and largest image size in pixels; the networks were designed for 32 and 224.
IMAGE_SIZES = (8, 1024)
#: Default image size, that of Tiny-ImageNet.
IMAGE_SIZE = 64
#: Default epochs of warm-up; shorter trainings have fewer.
WARM_UP = 2


@documented
@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """A training of one network on one data set; the defaults are the recipe of the demo.

    Each field is declared once; its checks, its option of the command line and its documentation follow from here.
    """

    network: str = option("resnet20", "Name of the network; the command layers lists them.")
    dataset: str = option("digits", "Data set to train on.", choices=DATASETS)
    data_dir: str | None = option(
        None,
        "Folder of the data set: one of CIFAR's archives, packed or unpacked; train/CLASS/ and val/CLASS/ for "
        "image-folder; Fashion-MNIST's four .gz files, by default the folder of Debian's package "
        "dataset-fashion-mnist.",
        metavar="DIR",
    )
    data_file: str | None = option(
        None, "The file of the data set text; its last tenth is for validation.", metavar="FILE"
    )
    image_size: int = option(
        IMAGE_SIZE,
        "Image size for image-folder: the short side is resized to it, the long side is cropped.",
        least=IMAGE_SIZES[0],
        below=IMAGE_SIZES[1] + 1,
        refusal=f"the image size must be from {IMAGE_SIZES[0]} to {IMAGE_SIZES[1]} pixels",
        metavar="PIXELS",
    )
    augment: bool = option(
        False, "Shift training images by up to an eighth of their size, and mirror half of them (not digits)."
    )
    levels: int = option(
        2,
        "Levels of the weights. 3: ternary as in BitNet b1.58 (-1, 0, +1 times mean abs(w) of the layer); activations "
        "stay signs.",
        least=2,
        below=4,
        refusal="weights have 2 levels (signs) or 3 (ternary; for more, give bits)",
        usual=f"2; 3 for {TEXT_NETWORK}",
    )
    bits: int = option(
        1,
        "Bits of the weights. 2 to 4: uniform steps of a learned size (LSQ); activations stay signs.",
        least=1,
        below=5,
        refusal="weights have 1 bit (signs) or 2 to 4 bits",
    )
    binarizer: str = option(
        "recu",
        "Method of binarization; the options from --recu to --scale-activations apply only to recu.",
        choices=("recu", "bnn", "xnor", "bi-real", "ir-net"),
    )
    recu: bool = option(True, "Clamp the weights, or only standardize them.", ingredient="clamp")
    mask: str = option(
        "clamped",
        "Weights whose gradients the clamp stops; random: the same number of weights, chosen at random, as a control.",
        choices=MASKS,
        ingredient="mask",
    )
    quantile: str = option(
        "laplace",
        "Quantiles of the clamp: of the fitted Laplace distribution, or of the weights themselves.",
        choices=QUANTILES,
        ingredient="quantile",
    )
    tau: tuple[float, float] = option(
        (0.85, 0.99),
        "Quantile level in the first epoch, and the final level of the schedule (Eq. 24).",
        metavar="LO HI",
    )
    scale: float | None = option(
        2.0,
        "Scale b* of the standardized weights, or none for no standardization; IR-Net uses 0.7071.",
        above=0.0,
        metavar="NUMBER|none",
        ingredient="scale",
    )
    center: bool = option(True, "Subtract the mean of each output channel first, or not.", ingredient="center")
    alpha: str = option(
        "learned",
        "Scaling factor of each binary layer's output; analytic: Eq. 13.",
        choices=("learned", "analytic", "none"),
        ingredient="alpha",
    )
    scale_activations: bool = option(
        True,
        "Divide activations by each sample's standard deviation in training, or not.",
        ingredient="scale_activations",
    )
    initial_scale: float = option(
        1.0,
        "Factor of the initial weights; --scale 0.7071 with 0.5946 trains like --scale 2 with 1.",
        above=0.0,
    )
    epochs: int = option(24, "Passes over the training images.", least=1, refusal="a training needs at least one epoch")
    epoch_updates: int = option(
        0, "Most updates of an epoch, from images that are drawn anew in each; 0: a pass over all.", least=0
    )
    batch_size: int = option(
        64,
        "Images, or sequences of 128 bytes, per backward pass, over all processes together.",
        least=2,
        refusal="batch normalization needs batches of at least 2 images",
    )
    accumulate: int = option(
        1,
        "Batches per update; its gradient is the mean over all their images.",
        least=1,
        refusal="an update needs at least one batch",
    )
    optimizer: str = option(
        "sgd",
        "Optimizer; adam and adamw have betas 0.9 and 0.999.",
        choices=tuple(LEARNING_RATES),
        usual=f"sgd; adamw for {TEXT_NETWORK}",
    )
    schedule: str = option(
        "cosine",
        "Schedule of the learning rate; step: divide by 10 at half and at three quarters of the epochs.",
        choices=RATES,
    )
    lr: float = option(
        LEARNING_RATES["sgd"],
        "Learning rate after the warm-up.",
        above=0.0,
        usual=", ".join(f"{rate} for {name}" for name, rate in LEARNING_RATES.items()) + f"; {LSQ_RATE} with --bits",
    )
    momentum: float = option(0.9, "Momentum of SGD; Adam ignores it.", least=0.0, below=1.0)
    weight_decay: float = option(
        5e-4,
        "Weight decay of all other weights; added to the gradient, with Adam too, but not with AdamW.",
        least=0.0,
    )
    binary_weight_decay: float = option(
        1e-2,
        "Weight decay of the binary or quantized weights.",
        least=0.0,
        usual=", ".join(f"{decay} {of}" for of, decay in DECAYS.items()),
    )
    warm_up: int = option(
        WARM_UP, "Epochs in which the learning rate rises.", usual=f"{WARM_UP}; all but one in shorter trainings"
    )
    bfloat16: bool = option(False, "Compute in bfloat16 where this is safe; weights stay float32.")
    channels_last: bool = option(False, "Store images and weights in channels-last memory format.")
    compile: bool = option(
        False,
        "Compile the forward and backward passes with torch.compile; with one process on a GPU and --accumulate 1, as "
        "CUDA graphs; needs a C++ compiler on a CPU.",
    )
    device: str = option("auto", "Device; auto: CUDA if available.", choices=("auto", "cpu", "cuda"))
    seed: int = option(
        0, "Seed of all random numbers.", least=0, below=2**63, refusal="the seed must be from 0 to 2^63 - 1"
    )
    quantities: tuple[str, ...] = option(
        (),
        "Additional quantity of every weight: ema (moving average of flips), grad (sum of |gradient|), gradient-stats "
        "(what tells gradients that push a weight from noise); repeatable.",
        choices=MORE_QUANTITIES,
        flag="record",
    )
    control: str = option(
        "none",
        "Train without a signal, as a control. labels: labels drawn anew for every batch; signs: each value of a "
        "gradient gets a random sign, and only the binary or quantized weights are trained.",
        choices=("none", "labels", "signs"),
    )
    revive: str | None = option(
        None,
        "Latent weights to revive, and before which epochs, counted from 0 (default: the middle one): "
        f"{', '.join(CAUSES)}; random-CAUSE are as many weights of each layer, drawn at random. The final windows "
        "before the epoch tell which weights have the cause; all but the first cause need --record gradient-stats.",
        metavar="CAUSE[:EPOCHS]",
    )
    revive_how: str = option(
        "negate",
        "What happens to revived weights: to the other side of zero, to a tenth of the distance, or drawn anew.",
        choices=("negate", "shrink", "redraw"),
    )
    traces: int = option(0, "Weights of each layer whose value is recorded after every update.", least=0)
    channels: float = option(
        1.0,
        "Share of the output channels of each layer that is recorded; below 1, a random sample of at least two.",
        above=0.0,
        below=math.nextafter(1.0, 2.0),
        refusal="channels must be a share of the output channels, above 0 and at most 1, such as 0.05",
        metavar="SHARE",
    )
    channel_seed: int = option(
        0,
        "Seed of that sample.",
        least=0,
        below=2**63,
        refusal="channel seed must be a whole number from 0 to 2^63 - 1",
    )

    def __post_init__(self) -> None:
        for name, setting in settings_of(TrainingConfig).items():
            setting.check(getattr(self, name))
        low, high = check_tau(self.tau)
        if low > high:
            raise InputError(f"tau must not fall: its start {low:g} is above its end {high:g}; choose start <= end")
        if not 0 <= self.warm_up < self.epochs:
            raise InputError(f"the warm-up must be shorter than the {self.epochs} epochs, not {self.warm_up}")
        if self.binarizer != "recu":
            self._check_method()
        self._check_levels()
        self._check_data()
        self._check_revival()

    @property
    def real(self) -> bool:
        """Whether the network is a real-valued twin, of which nothing is recorded."""
        return self.network.endswith(REAL)

    @property
    def signs(self) -> bool:
        """Whether the weights are signs."""
        return not self.real and (self.levels, self.bits) == (2, 1)

    def _check_levels(self) -> None:
        """Raise InputError if levels, bits, network and the settings of signs do not fit each other."""
        if self.levels == 3 and self.bits != 1:
            raise InputError(f"weights have 3 levels or {self.bits} bits, not both; omit one of the two")
        if self.real and (self.levels, self.bits) != (2, 1):
            raise InputError(f"{self.network} has real weights; omit levels and bits")
        if self.network == TEXT_NETWORK and (self.levels, self.bits) != (3, 1):
            raise InputError(f"{TEXT_NETWORK} has ternary weights; give it 3 levels, and no bits")
        if self.signs:
            return
        for name, setting in settings_of(TrainingConfig).items():
            of_signs = setting.ingredient or name in ("binarizer", "tau", "revive")
            if of_signs and getattr(self, name) != setting.default:
                others = "real weights" if self.real else f"weights of {self.bits} bits"
                raise InputError(
                    f"{setting.words} is a setting of weights that are signs; omit it, because {self.network} has "
                    f"{others if self.bits > 1 or self.real else 'ternary weights'} here"
                )
        if self.real and (self.traces or self.quantities or self.channels < 1.0):
            raise InputError(
                f"{self.network} has real weights, which are not recorded; omit record, traces and channels"
            )

    def _check_data(self) -> None:
        """Raise InputError if one of network and data set is for text, and the other one for images."""
        for_text = self.network.removesuffix(REAL) == TEXT_NETWORK
        if for_text and self.dataset != "text":
            raise InputError(f"{self.network} is trained on text, not on {self.dataset}; give the data set text")
        if not for_text and self.dataset == "text":
            raise InputError(f"{self.network} is trained on images, not on text; give the network {TEXT_NETWORK}")
        for name in ("augment", "channels_last") if for_text else ():
            if getattr(self, name):
                raise InputError(f"{name.replace('_', ' ')} is a setting for images; omit it with text")

    def _check_revival(self) -> None:
        """Raise InputError if weights cannot be revived as is asked."""
        revival = self.revival  # raises an error if it is not valid
        if revival is None and self.revive_how != settings_of(TrainingConfig)["revive_how"].default:
            raise InputError("revive_how has no effect without revive; omit it, or say which weights to revive")
        if revival is not None and self.channels < 1.0:
            raise InputError("revive needs all weights, but channels records a sample of them; omit one of the two")
        if revival is not None and revival.tests_causes and GRADIENT_STATS not in self.quantities:
            raise InputError(
                f"weights that are {revival.cause} are known only with {GRADIENT_STATS}; record it too, or revive "
                "tail-silent"
            )

    def _check_method(self) -> None:
        """Raise InputError if a setting of ReCU is changed for another method, which is trained as published."""
        for name, setting in settings_of(TrainingConfig).items():
            if setting.ingredient and getattr(self, name) != setting.default:
                raise InputError(
                    f"{setting.words} is a setting of the binarizer recu; omit it, because {self.binarizer} is trained "
                    "as published"
                )

    @classmethod
    def with_usual(
        cls,
        *,
        lr: float | None = None,
        warm_up: int | None = None,
        levels: int | None = None,
        optimizer: str | None = None,
        binary_weight_decay: float | None = None,
        **more: Any,
    ) -> Self:
        """A configuration in which settings that are None follow from the others: network, optimizer and epochs."""
        network = more.get("network", "")
        if levels is None:
            levels = 3 if network == TEXT_NETWORK else 2
        if optimizer is None:
            optimizer = "adamw" if network in (TEXT_NETWORK, TEXT_NETWORK + REAL) else "sgd"
        if binary_weight_decay is None:
            binary_weight_decay = DECAYS["with adamw" if optimizer == "adamw" else "with sgd or adam"]
        config = cls(**more, levels=levels, optimizer=optimizer, binary_weight_decay=binary_weight_decay, warm_up=0)
        usual_rate = LSQ_RATE if config.bits > 1 else LEARNING_RATES[config.optimizer]
        return replace(
            config,
            lr=usual_rate if lr is None else lr,
            warm_up=min(WARM_UP, config.epochs - 1) if warm_up is None else warm_up,
        )

    def learning_rate(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0; see `recu_analysis.theory.schedule.learning_rate`."""
        return learning_rate(epoch, self.epochs, self.lr, self.schedule, self.warm_up)

    def binary_options(self) -> dict[str, Any]:
        """Arguments of `build_network` for the binary or quantized layers."""
        if not self.signs:
            return {} if self.real else {"levels": self.levels, "bits": self.bits}
        if self.binarizer != "recu":
            return {"binarizer": self.binarizer}
        settings = settings_of(TrainingConfig).values()
        return {setting.ingredient: getattr(self, setting.name) for setting in settings if setting.ingredient}

    def tau_of(self, epoch: int) -> float | None:
        """Quantile level of an epoch, counted from 0 (Eq. 24); None without the clamp."""
        clamps = self.signs and self.recu and self.binarizer == "recu"
        return float(schedule(epoch, self.epochs, *self.tau)) if clamps else None

    @property
    def revival(self) -> Revival | None:
        """Which latent weights are revived, and when; None if none are."""
        return None if self.revive is None else revival_of(self.revive, self.epochs)

    def to_dict(self) -> dict[str, Any]:
        """The fields, as stored in JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> Self:
        """The configuration with the fields of `to_dict`, from this version or an earlier one.

        Raises
        ------
        InputError
            If a field is unknown or out of its range.
        """
        settings = settings_of(TrainingConfig)
        # Runs of format 1 have older names.
        renamed = {RENAMED.get(name, name): value for name, value in entries.items()}
        for name in renamed:
            if name not in settings:
                raise unknown("setting of a training", name, list(settings))
        # JSON stores tuples as lists.
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in renamed.items()
        }
        return cls(**fields)

    def differences(self, other: TrainingConfig) -> list[str]:
        """A text such as ``epochs (24, not 30)`` for every field that differs in the other configuration."""
        mine, theirs = self.to_dict(), other.to_dict()
        return [f"{name} ({mine[name]}, not {theirs[name]})" for name in mine if mine[name] != theirs[name]]
