"""Adapters of known codebases; a class name may have several meanings, so each adapter also checks attributes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from recu_analysis.capture.adapters.registry import adapter
from recu_analysis.errors import InputError
from recu_analysis.nn.layers import BinaryConv2d, BinaryLinear
from recu_analysis.nn.quantized import QuantizedConv2d, TernaryLinear
from recu_analysis.theory.levels import Quantizer
from recu_analysis.theory.standardize import WeightTransform

#: Below this temperature BNext uses the plain sign.
COLD = 1e-7
#: Quantizers of bitorch whose two values follow the sign of the weight.
BITORCH_SIGNS = ("Sign", "ApproxSign", "SwishSign", "ProgressiveSign")


def _has(module: Any, *names: str) -> bool:
    return all(isinstance(getattr(module, name, None), torch.Tensor) for name in names)


def _is_plain(module: Any) -> bool:
    """Whether a module, or a saved layer, has no parameter or buffer beside weight and bias."""
    if not isinstance(module, nn.Module):
        return set(vars(module)) <= {"weight", "bias"}
    own = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
    return own.keys() <= {"weight", "bias"}


@adapter("recu-analysis", BinaryConv2d, BinaryLinear)
def _own(module: Any) -> WeightTransform:
    """Of recu-analysis."""
    if module.binarizer.zero == "authors" and not module.weight.is_meta:
        zeros = int((module.standardized_weight() == 0).sum())
        if zeros:
            raise InputError(
                f"its option zero='authors' makes {zeros} of its binary weights 0, and recorded states are -1 and +1; "
                "move these weights, or leave the option at 'plus'"
            )
    transform: WeightTransform = module.weight_transform
    return transform


@adapter("recu-analysis-levels", QuantizedConv2d, TernaryLinear)
def _own_levels(module: Any) -> Quantizer:
    """Of recu-analysis, with more than two levels."""
    quantizer: Quantizer = module.quantizer
    return quantizer


@adapter("recu", "BinarizeConv2d", fingerprint=True)
def _recu(module: Any) -> WeightTransform | None:
    """Of ReCU, by alpha and tau beside the weight: sign of w - mean of its channel; b* = 2 and clamp as published."""
    if _has(module, "rotate") or not _has(module, "weight", "alpha", "tau"):
        return None
    return WeightTransform(center=True, target=2.0, clamp=True)


@adapter("rbnn", "BinarizeConv2d", fingerprint=True)
def _rbnn(module: Any) -> torch.Tensor | None:
    """Of RBNN, by alpha, rotate, R1 and R2: sign of the standardized weight, rotated as in the last forward pass."""
    if not _has(module, "weight", "rotate", "R1", "R2"):
        return None
    rows = module.weight.double().flatten(1)
    centered = rows - rows.mean(dim=1, keepdim=True)
    standardized = centered / rows.std(dim=1, keepdim=True)
    left, right = module.R1.double(), module.R2.double()
    rotated = left.T @ standardized.view(-1, len(left), len(right)) @ right
    share = module.rotate.double().sin().abs().view(-1, 1)
    effective: torch.Tensor = standardized + share * (rotated.flatten(1) - standardized)
    return effective.view(module.weight.shape)


@adapter("binarize", "BinarizeConv2d", "BinarizeLinear", in_place=True)
def _binarize(module: Any) -> WeightTransform | None:
    """Of ReSTE or BinaryNet.pytorch, nothing beside weight and bias: sign of w."""
    return WeightTransform() if _is_plain(module) else None


@adapter("ir-net", "IRConv2d")
def _ir_net(module: Any) -> WeightTransform:
    """Of IR-Net: sign of w - mean of its channel, divided by its standard deviation."""
    return WeightTransform(center=True, target=0.5**0.5, eps=0.0)


@adapter("bi-real-flat", "HardBinaryConv", weight="weights", shape="shape", fingerprint=True)
def _bi_real_flat(module: Any) -> WeightTransform | None:
    """Of Bi-Real or ReActNet with flat weights (N, 1): sign of w."""
    if not _has(module, "weights") or module.weights.ndim != 2 or module.weights.shape[1] != 1:
        return None
    if not isinstance(getattr(module, "shape", None), tuple):
        raise InputError(
            f"its {len(module.weights)} weights are flat, and their number of output channels is not known"
        )
    return WeightTransform()


@adapter("reactnet", "HardBinaryConv")
def _reactnet(module: Any) -> WeightTransform | None:
    """Of ReActNet or Bi-Real: sign of w."""
    return WeightTransform() if _has(module, "weight") and module.weight.ndim == 4 and _is_plain(module) else None


@adapter("bnext", "HardBinaryConv", fingerprint=True, approximate=True, in_place=True)
def _bnext(module: Any) -> torch.Tensor | None:
    """Of BNext, by its temperature T: w / T clamped to [-1, 1], which is binary once T is below 1e-7."""
    if not _has(module, "weight", "temperature") or module.weight.ndim != 4:
        return None
    temperature = module.temperature.double()
    soft = (module.weight.double() / temperature.clamp(min=COLD / 10)).clamp(-1.0, 1.0)
    return torch.where(temperature < COLD, module.weight.double(), soft)


@adapter("rbonn", "RBOConv", fingerprint=True, approximate=True)
def _rbonn(module: Any) -> WeightTransform | None:
    """Of RBONN, by scale_factor and u: sign of w, approximately; training uses w minus a part of its gradient."""
    matches = _has(module, "weight", "scale_factor", "u") and module.u.ndim == 4
    return WeightTransform() if matches else None


@adapter("ovsw", "OvSWConv2d")
def _ovsw(module: Any) -> WeightTransform:
    """Of OvSW: sign of w."""
    return WeightTransform()


@adapter("ovsw-checkpoint", fingerprint=True)
def _ovsw_saved(tensors: Any) -> WeightTransform | None:
    """Of OvSW, by weight_prev and tracker: sign of w."""
    return WeightTransform() if _has(tensors, "weight", "weight_prev", "tracker") else None


def _xnor(parent: Any, name: str, kind: type[nn.Module]) -> torch.Tensor | None:
    inner = getattr(parent, name, None)
    matches = hasattr(parent, "layer_type") and type(inner) is kind
    if inner is None or not (matches or not isinstance(inner, nn.Module)):
        return None
    values = inner.weight.double()
    effective: torch.Tensor = (values - values.mean(dim=1, keepdim=True)).clamp(-1.0, 1.0)
    return effective


@adapter("xnor-net", "BinConv2d", weight="conv.weight", in_place=True)
def _xnor_conv(module: Any) -> torch.Tensor | None:
    """Of XNOR-Net-PyTorch, convolution in a BinConv2d: sign of w - mean over the input channels."""
    return _xnor(module, "conv", nn.Conv2d)


@adapter("xnor-net", "BinConv2d", weight="linear.weight", in_place=True)
def _xnor_linear(module: Any) -> torch.Tensor | None:
    """Of XNOR-Net-PyTorch, linear layer in a BinConv2d: sign of w - mean over the inputs."""
    return _xnor(module, "linear", nn.Linear)


@adapter("bitorch", "QConv_NoAct", "QConv1d_NoAct", "QConv2d_NoAct", "QConv3d_NoAct", "QLinearBase")
def _bitorch(module: Any) -> WeightTransform | None:
    """Of bitorch: sign of w, sign(0) = +1."""
    quantizer = getattr(module, "_weight_quantize", getattr(module, "weight_quantization", None))
    kind = type(quantizer).__name__
    if quantizer is None:
        return None
    if kind not in BITORCH_SIGNS:
        raise InputError(f"its weights are quantized by {kind}, not by a sign to -1 and +1")
    return WeightTransform()


@adapter("bitnet", "BitLinear", "BitLinearNew")
def _bitnet(module: Any) -> torch.Tensor | None:
    """Of BitNet: sign of w - mean of the whole layer."""
    if not _has(module, "weight") or module.weight.ndim != 2 or not _is_plain(module):
        return None
    values: torch.Tensor = module.weight.double()
    return values - values.mean()


@adapter("bitnet-packed", "BitLinear", fingerprint=True)
def _bitnet_packed(module: Any) -> None:
    """Of BitNet b1.58 of transformers, packed."""
    if _has(module, "weight", "weight_scale") and not module.weight.is_floating_point():
        raise InputError("its weights are ternary and packed four per byte, so it has no latent weights")


@adapter("bitnet-ternary", "AutoBitLinear")
def _bitnet_ternary(module: Any) -> Quantizer:
    """Of BitNet b1.58 of transformers: w / mean abs(w) of the layer, rounded to -1, 0 or +1."""
    if not getattr(module, "online_quant", False):
        raise InputError(
            "its weights were quantized before (offline), so it has no latent weights; make it with online_quant=True"
        )
    return Quantizer.bitnet()
