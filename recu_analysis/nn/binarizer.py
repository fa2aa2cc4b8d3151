"""Binarizer: the ingredients of a binary layer, each of which can be switched off; and those of published methods."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, fields, replace
from typing import Any

from recu_analysis.errors import InputError, unknown
from recu_analysis.nn.functional import EPS
from recu_analysis.theory.standardize import QUANTILES, WeightTransform

#: What an ingredient may be, where that is one of a few words.
CHOICES = {
    "quantile": QUANTILES,
    "mask": ("clamped", "random"),
    "alpha": ("learned", "analytic", "none", "mean", "mean-detached", "power-of-two"),
    "weight_gradient": ("identity", "clipped", "decaying"),
    "input_gradient": ("polynomial", "clipped", "decaying"),
    "zero": ("plus", "authors"),
}
_SWITCHES = ("center", "clamp", "scale_activations")


def _is_number(value: Any) -> bool:
    """Whether it is a number that a float can hold, which not every int is."""
    return type(value) in (int, float) and (not isinstance(value, int) or abs(value) <= sys.float_info.max)


@dataclass(frozen=True, slots=True)
class Binarizer:
    """What a binary layer does on the way from latent weights and activations to -1 and +1, and to its output.

    The defaults are ReCU as its authors' code computes it (Xu et al., ICCV 2021).

    Attributes
    ----------
    center : bool
        Subtract the mean of each output channel.
    scale : float or None
        b*, the scale to which weights are standardised (Eq. 22); sqrt(2)/2 is IR-Net's, None leaves it alone.
    eps : float
        Added to the variance, in squared units of the weights.
    clamp : bool
        Clamp to the quantiles at level tau (Eq. 8); the gradient of a clamped weight is zero.
    quantile : {"laplace", "empirical"}
        Of what the clamp takes them; see `recu_analysis.nn.functional.clamp_bound`.
    mask : {"clamped", "random"}
        Which gradients the clamp stops: those of the clamped weights, or, as a control, those of a random set of
        the same size, drawn anew in every pass. Without effect where `clamp` is False.
    alpha : {"learned", "analytic", "none", "mean", "mean-detached", "power-of-two"}
        Factor of the output (Eq. 3): a parameter for each channel; mean |clamped weight| of the layer, without
        gradient (Eq. 13); none; mean |w| of each channel, with its gradient (XNOR-Net) or without (Bi-Real Net); or
        the nearest power of two to that (IR-Net).
    weight_gradient : {"identity", "clipped", "decaying"}
        What stands in for the gradient of the weights' sign: 1; 1 where |w| <= 1; or IR-Net's error-decay estimator.
    input_gradient : {"polynomial", "clipped", "decaying"}
        The same for activations: max(0, 2 - |2a|) (Eq. 7); 1 where |a| <= 1; or the error-decay estimator.
    scale_activations : bool
        While training, divide each sample's activations by their standard deviation before the sign. It changes
        their gradient only; the paper does not mention it.
    zero : {"plus", "authors"}
        The sign of 0, of weights and of activations: +1 as in the paper (Eq. 2), or 0 as in the authors' code, which
        calls torch.sign. A recording takes no layer with zero="authors" whose binary weights have a 0 at its start.
    """

    center: bool = True
    scale: float | None = 2.0
    eps: float = EPS
    clamp: bool = True
    quantile: str = "laplace"
    mask: str = "clamped"
    alpha: str = "learned"
    weight_gradient: str = "identity"
    input_gradient: str = "polynomial"
    scale_activations: bool = True
    zero: str = "plus"

    def __post_init__(self) -> None:
        for name, words in CHOICES.items():
            if getattr(self, name) not in words:
                raise InputError(f"{name} must be one of {', '.join(words)}, not {getattr(self, name)!r}")
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} must be True or False, not {getattr(self, name)!r}")
        if self.scale is not None and not _is_number(self.scale):
            raise InputError(f"scale must be a number or None, not {self.scale!r:.40}")
        if not _is_number(self.eps):
            raise InputError(f"eps must be a number, not {self.eps!r:.40}")
        self.transform()  # it knows which scales and eps there are

    def transform(self) -> WeightTransform:
        """What stands between latent weights and their sign, as numpy code can repeat it.

        The random mask clamps nothing: it acts on gradients alone.
        """
        clamps = self.clamp and self.mask == "clamped"
        return WeightTransform(self.center, self.scale, self.eps, 1, clamps, self.quantile)

    def differences(self) -> dict[str, Any]:
        """The ingredients that are not ReCU's as published, by name."""
        usual = Binarizer()
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != getattr(usual, field.name)
        }

    @property
    def fusible(self) -> bool:
        """Whether `recu_analysis.nn.fused.sign_of_weights` makes the binary weight, and nothing else needs w~."""
        clamps_as_published = self.mask == "clamped" and self.quantile == "laplace"
        standardizes = self.scale is not None and self.eps > 0.0 and self.weight_gradient == "identity"
        scales = self.zero == "plus" and self.alpha in ("learned", "none")
        return standardizes and scales and (clamps_as_published or not self.clamp)

    @property
    def decays(self) -> bool:
        """Whether a gradient depends on how far the training is; see `set_progress`."""
        return "decaying" in (self.weight_gradient, self.input_gradient)


_PLAIN = Binarizer(center=False, scale=None, clamp=False, scale_activations=False)
#: The methods that people compare with, by name.
BINARIZERS = {
    "recu": Binarizer(),
    # Hubara et al., NeurIPS 2016, but for the clipping of latent weights after each update: beyond 1 they get no
    # gradient here, so that only the weight decay moves them.
    "bnn": replace(_PLAIN, alpha="none", weight_gradient="clipped", input_gradient="clipped"),
    # Rastegari et al., ECCV 2016, without the scales of the activations.
    "xnor": replace(_PLAIN, alpha="mean", weight_gradient="clipped", input_gradient="clipped"),
    # Liu et al., ECCV 2018: the magnitude-aware gradient of the weights, the polynomial one of the activations.
    "bi-real": replace(_PLAIN, alpha="mean-detached", weight_gradient="clipped"),
    # Qin et al., CVPR 2020: Libra parameter binarisation and the error-decay estimator for weights and activations.
    "ir-net": replace(
        _PLAIN,
        center=True,
        scale=math.sqrt(0.5),
        eps=0.0,
        alpha="power-of-two",
        weight_gradient="decaying",
        input_gradient="decaying",
    ),
}


def binarizer(method: str | Binarizer = "recu", **ingredients: Any) -> Binarizer:
    """A published method with some of its ingredients changed.

    Parameters
    ----------
    method : str or Binarizer
        A name in `BINARIZERS`, or the ingredients themselves.
    **ingredients
        Attributes of `Binarizer`.

    Raises
    ------
    InputError
        If no method or no ingredient has that name, or an ingredient cannot be what it is said to be.
    """
    if isinstance(method, str):
        if method not in BINARIZERS:
            raise unknown("binarizer", method, BINARIZERS)
        method = BINARIZERS[method]
    if not isinstance(method, Binarizer):
        raise InputError(f"binarizer must be a name or a Binarizer, not {method!r}")
    names = [field.name for field in fields(Binarizer)]
    for name in ingredients:
        if name not in names:
            raise unknown("option of a binary layer", name, names)
    return replace(method, **ingredients)
