"""Binarizer: the ingredients of a binary layer, and those of published methods."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, fields, replace
from typing import Any

from recu_analysis.errors import InputError, unknown
from recu_analysis.nn.functional import EPS
from recu_analysis.theory.standardize import QUANTILES, WeightTransform

#: The allowed words of an ingredient.
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
    """Whether a value is a number that a float can hold. A very large int is not."""
    return type(value) in (int, float) and (not isinstance(value, int) or abs(value) <= sys.float_info.max)


@dataclass(frozen=True, slots=True)
class Binarizer:
    """The ingredients of a binary layer: the steps from latent weights and activations to signs, and to the output.

    The defaults are ReCU as its authors' code computes it (Xu et al., ICCV 2021).

    Attributes
    ----------
    center : bool
        Subtract the mean of each output channel.
    scale : float or None
        b*, the scale to which weights are standardized (Eq. 22). IR-Net has sqrt(2)/2. None leaves the scale unchanged.
    eps : float
        Added to the variance, in squared units of the weights.
    clamp : bool
        Clamp to the quantiles at level tau (Eq. 8); the gradient of a clamped weight is zero.
    quantile : {"laplace", "empirical"}
        The distribution of the quantiles; see `recu_analysis.nn.functional.clamp_bound`.
    mask : {"clamped", "random"}
        Which gradients the clamp stops: those of the clamped weights, or, as a control, those of a random set of the
        same size, drawn again in every pass. It has no effect if `clamp` is False.
    alpha : {"learned", "analytic", "none", "mean", "mean-detached", "power-of-two"}
        Factor of the output (Eq. 3). learned: a parameter per channel. analytic: mean |clamped weight| of the layer,
        without gradient (Eq. 13). none: no factor. mean: mean |w| of each channel, with its gradient (XNOR-Net).
        mean-detached: the same without gradient (Bi-Real Net). power-of-two: the power of two nearest to it (IR-Net).
    weight_gradient : {"identity", "clipped", "decaying"}
        Replacement for the gradient of the weights' sign. identity: 1. clipped: 1 where |w| <= 1, else 0. decaying:
        IR-Net's error-decay estimator.
    input_gradient : {"polynomial", "clipped", "decaying"}
        The same for activations. polynomial: max(0, 2 - |2a|) (Eq. 7). clipped: 1 where |a| <= 1, else 0. decaying: the
        error-decay estimator.
    scale_activations : bool
        While training, divide each sample's activations by their standard deviation before the sign. It changes only
        their gradient. The paper does not mention it.
    zero : {"plus", "authors"}
        The sign of 0, for weights and activations. plus: +1, as in the paper (Eq. 2). authors: 0, as in the authors'
        code, which calls torch.sign. A layer with zero="authors" cannot be recorded if its binary weights have a 0 at
        the start. A weight whose binary weight becomes 0 later is recorded as +1.
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
        self.transform()  # checks scale and eps

    def transform(self) -> WeightTransform:
        """The transform of latent weights before their sign, for numpy code.

        The random mask clamps nothing: it acts on gradients only.
        """
        clamps = self.clamp and self.mask == "clamped"
        return WeightTransform(self.center, self.scale, self.eps, 1, clamps, self.quantile)

    def differences(self) -> dict[str, Any]:
        """The ingredients that differ from ReCU as published, by name."""
        usual = Binarizer()
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != getattr(usual, field.name)
        }

    @property
    def fusible(self) -> bool:
        """Whether `recu_analysis.nn.fused.sign_of_weights` computes the binary weight, and nothing else needs w~."""
        clamps_as_published = self.mask == "clamped" and self.quantile == "laplace"
        standardizes = self.scale is not None and self.eps > 0.0 and self.weight_gradient == "identity"
        scales = self.zero == "plus" and self.alpha in ("learned", "none")
        return standardizes and scales and (clamps_as_published or not self.clamp)

    @property
    def decays(self) -> bool:
        """Whether a gradient depends on the progress of the training; see `set_progress`."""
        return "decaying" in (self.weight_gradient, self.input_gradient)


_PLAIN = Binarizer(center=False, scale=None, clamp=False, scale_activations=False)
#: Published methods, by name.
BINARIZERS = {
    "recu": Binarizer(),
    # Hubara et al., NeurIPS 2016, without the clipping of latent weights after each update. Here weights beyond 1 get
    # no gradient, so only weight decay moves them.
    "bnn": replace(_PLAIN, alpha="none", weight_gradient="clipped", input_gradient="clipped"),
    # Rastegari et al., ECCV 2016, without the scales of the activations.
    "xnor": replace(_PLAIN, alpha="mean", weight_gradient="clipped", input_gradient="clipped"),
    # Liu et al., ECCV 2018: the magnitude-aware gradient of the weights, the polynomial one of the activations.
    "bi-real": replace(_PLAIN, alpha="mean-detached", weight_gradient="clipped"),
    # Qin et al., CVPR 2020: Libra parameter binarization and the error-decay estimator for weights and activations.
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
        If no method or no ingredient has that name, or an ingredient has a wrong value.
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
