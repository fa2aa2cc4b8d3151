"""What a training is told: one dataclass, kept in run.json."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from recu_analysis.errors import InputError, unknown
from recu_analysis.theory.laplace import check_tau
from recu_analysis.theory.schedule import schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Data sets that `load_dataset` knows; here, where naming them needs no torch.
DATASETS = ("digits", "fashion-mnist", "fashion-mnist-16", "cifar10", "cifar100", "image-folder")
#: What a field may be, where that is one of a few words.
CHOICES = {
    "optimizer": ("sgd", "adam"),
    "schedule": ("cosine", "step", "linear", "constant"),
    "device": ("auto", "cpu", "cuda"),
    "binariser": ("recu", "bnn", "xnor", "bi-real", "ir-net"),
    "quantile": ("laplace", "empirical"),
    "mask": ("clamped", "random"),
    "alpha": ("learned", "analytic", "none"),
}
#: What can be recorded of every weight beside the usual.
EXTRA_QUANTITIES = ("ema", "grad")
#: What only the binariser recu can be told, by its name here and in `BinaryConv2d`; the others are published methods.
RECU_OPTIONS = {
    "recu": "clamp",
    "mask": "mask",
    "quantile": "quantile",
    "scale": "scale",
    "centre": "centre",
    "alpha": "alpha",
    "scale_activations": "scale_activations",
}
#: Learning rates that the command line takes where none is given; both were tried on the digits.
LEARNING_RATES = {"sgd": 0.1, "adam": 0.01}
#: Least and most pixels a side; the networks were made for 32 and 224.
IMAGE_SIZES = (8, 1024)
#: That of Tiny-ImageNet.
IMAGE_SIZE = 64
_NUMBERS = ("initial_scale", "lr", "momentum", "weight_decay", "binary_weight_decay")
#: Fields, the types they may have, and how an error calls them; bool is not taken for an int.
_KINDS = (
    *((name, (str,), "a text") for name in ("network", "dataset", *CHOICES)),
    ("data_dir", (str, type(None)), "a text or None"),
    *(
        (name, (bool,), "True or False")
        for name in ("recu", "centre", "scale_activations", "augment", "bfloat16", "channels_last", "compile")
    ),
    ("scale", (int, float, type(None)), "a number or None"),
    ("tau", (tuple,), "a tuple of two numbers"),
    ("quantities", (tuple,), "a tuple of words"),
    *(
        (name, (int,), "a whole number")
        for name in ("image_size", "epochs", "batch_size", "accumulate", "warm_up", "seed")
    ),
    *((name, (int, float), "a number") for name in _NUMBERS),
)


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """A training of one network on one data set; the defaults are the recipe of the demo.

    Attributes
    ----------
    network, dataset : str
    data_dir : str or None
        Where the data set lies, for those that pip does not bring.
    image_size : int
        Pixels to which image-folder brings height and width; the other data sets have their own.
    augment : bool
        Whether the training images are changed at random, as the data set does it.
    binariser : {"recu", "bnn", "xnor", "bi-real", "ir-net"}
        The method, as in `BinaryConv2d`; what follows down to `scale_activations` is ReCU's alone.
    recu : bool
        Whether the weights are clamped; the standardisation stays without.
    tau : tuple of float
        Quantile level in the first epoch, and the one that the schedule (Eq. 24) heads for; equal for a fixed one.
    mask : {"clamped", "random"}
        Whose gradients the clamp stops: those of the clamped weights, or, as a control, of a random set as large.
    quantile : {"laplace", "empirical"}
        To whose quantiles the clamp goes: those of the fitted Laplace, or of the weights themselves.
    scale : float or None
        b*, to which the weights are standardised; None leaves their scale alone.
    centre : bool
        Whether the mean of each output channel is subtracted first.
    alpha : {"learned", "analytic", "none"}
        Factor of each binary layer's output.
    scale_activations : bool
        Whether activations are divided by each sample's standard deviation while training.
    initial_scale : float
        Factor on the initial latent weights; b* = sqrt(2)/2 with 1/sqrt(2 sqrt(2)) follows b* = 2 with 1.
    epochs : int
    batch_size : int
        Images of one backward pass; where several processes train, they share them.
    accumulate : int
        Batches of one update. Its gradient is the mean over all their images; the last update of an epoch has what
        is left.
    optimizer : {"sgd", "adam"}
        torch's own, Adam with its betas of 0.9 and 0.999.
    schedule : {"cosine", "step", "linear", "constant"}
        Of the learning rate; see `learning_rate`.
    lr : float
        Learning rate after the warm-up; Adam wants a tenth of SGD's.
    momentum : float
        Of SGD; Adam has none.
    weight_decay, binary_weight_decay : float
        Of all other parameters, and of the latent binary weights; added to the gradient, by Adam too.
    warm_up : int
        Epochs over which the learning rate rises.
    bfloat16 : bool
        Whether the passes run under torch.autocast; parameters and optimizer stay in float32.
    channels_last : bool
        Whether images and weights lie in memory with their channels last.
    compile : bool
        Whether the training passes go through torch.compile; on a GPU as CUDA graphs, unless gradients are accumulated
        or there are several processes.
    device : {"auto", "cpu", "cuda"}
        auto takes CUDA where there is some.
    seed : int
        Of initialisation, order of the data, and what is random in an epoch.
    quantities : tuple of str
        What is recorded of every weight beside the usual: ema, grad, as in `recu_analysis.record`.
    """

    network: str = "resnet20"
    dataset: str = "digits"
    data_dir: str | None = None
    image_size: int = IMAGE_SIZE
    augment: bool = False
    binariser: str = "recu"
    recu: bool = True
    mask: str = "clamped"
    quantile: str = "laplace"
    tau: tuple[float, float] = (0.85, 0.99)
    scale: float | None = 2.0
    centre: bool = True
    alpha: str = "learned"
    scale_activations: bool = True
    initial_scale: float = 1.0
    epochs: int = 24
    batch_size: int = 64
    accumulate: int = 1
    optimizer: str = "sgd"
    schedule: str = "cosine"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    binary_weight_decay: float = 1e-2
    warm_up: int = 2
    bfloat16: bool = False
    channels_last: bool = False
    compile: bool = False
    device: str = "auto"
    seed: int = 0
    quantities: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_kinds()
        self._check_counts()
        low, high = check_tau(self.tau)
        if low > high:
            raise InputError(f"tau must not fall: its start {low:g} is above its end {high:g}")
        for name in ("lr", "initial_scale", *(("scale",) if self.scale is not None else ())):
            _require(name, getattr(self, name), 0.0, inclusive=False)
        for name in ("momentum", "weight_decay", "binary_weight_decay"):
            _require(name, getattr(self, name), 0.0)
        if self.momentum >= 1.0:
            raise InputError(f"momentum must be below 1, not {self.momentum:g}")
        if self.binariser != "recu":
            self._check_method()

    def _check_method(self) -> None:
        """InputError if a method that is not ReCU is told what only ReCU has."""
        for field in fields(self):
            if field.name in RECU_OPTIONS and getattr(self, field.name) != field.default:
                raise InputError(
                    f"{field.name.replace('_', ' ')} is an option of the binariser recu; {self.binariser} is trained "
                    "as published, so leave it away"
                )

    def _check_counts(self) -> None:
        """InputError unless the whole numbers can be those of a training."""
        check_image_size(self.image_size)
        if self.epochs < 1:
            raise InputError(f"a training needs at least one epoch, not {self.epochs}")
        if self.batch_size < 2:
            raise InputError(f"batch normalisation needs batches of at least 2 images, not {self.batch_size}")
        if self.accumulate < 1:
            raise InputError(f"an update needs at least one batch, not {self.accumulate}")
        if not 0 <= self.warm_up < self.epochs:
            raise InputError(f"the warm-up must be shorter than the {self.epochs} epochs, not {self.warm_up}")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"a seed is a number from 0 to 2^63 - 1, not {self.seed}")

    def _check_kinds(self) -> None:
        """InputError unless every field is of its type, and one of its words; JSON and callers bring others."""
        for name, kinds, what in _KINDS:
            value = getattr(self, name)
            if type(value) not in kinds:
                raise InputError(f"{name.replace('_', ' ')} must be {what}, not {value!r}")
        for name, words in CHOICES.items():
            if getattr(self, name) not in words:
                raise InputError(f"{name} must be one of {', '.join(words)}, not {getattr(self, name)!r}")
        for name in self.quantities:
            if name not in EXTRA_QUANTITIES:
                raise unknown("extra quantity", name, EXTRA_QUANTITIES)
        if len(self.tau) != 2 or any(type(level) not in (int, float) for level in self.tau):
            raise InputError(f"tau must be a pair of numbers, its start and its end, not {self.tau!r}")

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
        if self.binariser != "recu":
            return {"binariser": self.binariser}
        return {option: getattr(self, name) for name, option in RECU_OPTIONS.items()}

    def tau_of(self, epoch: int) -> float | None:
        """Quantile level of an epoch, counted from 0 (Eq. 24); None without the clamp."""
        clamps = self.recu and self.binariser == "recu"
        return float(schedule(epoch, self.epochs, *self.tau)) if clamps else None

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON has them."""
        return asdict(self) | {"tau": list(self.tau), "quantities": list(self.quantities)}

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> Self:
        """The configuration that `to_dict` described.

        Raises
        ------
        InputError
            If a field is unknown or out of its range.
        """
        known = [field.name for field in fields(cls)]
        for name in entries:
            if name not in known:
                raise unknown("setting of a training", name, known)
        known_entries: dict[str, Any] = dict(entries)
        for name in ("tau", "quantities"):
            if isinstance(known_entries.get(name), list):
                known_entries[name] = tuple(known_entries[name])
        return cls(**known_entries)

    def differences(self, other: TrainingConfig) -> list[str]:
        """A text such as ``epochs (24, not 30)`` for every field in which the other differs."""
        mine, theirs = self.to_dict(), other.to_dict()
        return [f"{name} ({mine[name]}, not {theirs[name]})" for name in mine if mine[name] != theirs[name]]


def check_image_size(size: int) -> None:
    """InputError unless images can have so many pixels a side."""
    least, most = IMAGE_SIZES
    if not least <= size <= most:
        raise InputError(f"images can have {least} to {most} pixels a side, not {size}")


def _require(name: str, value: float, least: float, *, inclusive: bool = True) -> None:
    if not (math.isfinite(value) and (value >= least if inclusive else value > least)):
        bound = f"at least {least:g}" if inclusive else f"above {least:g}"
        raise InputError(f"{name.replace('_', ' ')} must be a number {bound}, not {value:g}")
