"""Adapters of known codebases whose weights have more than two levels; each asks the layer's own objects for steps."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import torch

from recu_analysis.capture.adapters.registry import adapter
from recu_analysis.errors import InputError
from recu_analysis.nn.quantized import QuantizedConv2d, TernaryLinear
from recu_analysis.theory.levels import Quantizer
from recu_analysis.theory.standardize import WeightTransform

_IN_16_BITS = (
    "it computes its states in 16 bits, and states are recorded as 32 bits give them; let it quantize weight.float(), "
    "or keep its weights in 32 bits and train with autocast"
)
#: The published BitNet b1.58 makes 0 of the two small weights; BitNet makes no weight 0.
_PROBE = ((-2.0, -0.1, 0.1, 2.2),)


@adapter("recu-analysis-levels", QuantizedConv2d, TernaryLinear)
def _own_levels(module: Any) -> Quantizer:
    """Of recu-analysis, with more than two levels."""
    quantizer: Quantizer = module.quantizer
    return quantizer


@adapter("bitnet-ternary", "AutoBitLinear")
def _bitnet_ternary(module: Any) -> Quantizer:
    """Of BitNet b1.58 of transformers: w / mean abs(w) of the layer, rounded to -1, 0 or +1."""
    if isinstance(module, torch.nn.Module) and not getattr(module, "online_quant", False):
        raise InputError(
            "its weights were quantized before (offline), so it has no latent weights; make it with online_quant=True"
        )
    return Quantizer.bitnet()


@adapter("bitnet-b158", "BitLinear")
def _bitnet_b158(module: Any) -> Quantizer | None:
    """Of BitNet b1.58 as published, by its weight_quant: w / mean abs(w) of the layer, rounded to -1, 0 or +1."""
    if not isinstance(module, torch.nn.Module):
        return Quantizer.bitnet()  # saved tensors, for which the user named this adapter
    # BitNet and BitNet b1.58 have the same class name and attributes; they differ in the function beside the class.
    quantize: Any = getattr(type(module).forward, "__globals__", {}).get("weight_quant")
    used = None
    with contextlib.suppress(Exception):  # a function of that name may have other parameters
        used = quantize(torch.tensor(_PROBE))
    if not isinstance(used, torch.Tensor) or used.shape != (1, 4) or used.sign().tolist() != [[-1, 0, 0, 1]]:
        return None
    weight: Any = module.weight
    if weight.element_size() == 2:
        many = torch.linspace(-1.7, 2.3, 4096).to(weight.dtype).view(1, -1)
        if not torch.equal(quantize(many).float().sign(), quantize(many.float()).sign()):
            raise InputError(_IN_16_BITS)
    return Quantizer.bitnet()


@adapter("torchao-bitnet", "BitNetTrainingLinearWeight")
def _torchao_bitnet(_: Any) -> Quantizer:
    """Of torchao's BitNet training, by the class of its weight: w / mean abs(w), rounded to -1, 0 or +1."""
    return Quantizer("uniform", rule="absmean", group="tensor", least=1e-5)


@adapter("torchao-qat", "FakeQuantizedLinear")
def _torchao_qat(module: Any) -> Quantizer | None:
    """Of torchao's quantization-aware training: w / s, rounded."""
    quantizer = module.weight_fake_quantizer
    if quantizer is None:
        return None
    kind = type(quantizer).__name__
    if kind not in {"IntxFakeQuantizer", "FakeQuantizer"}:
        raise InputError(f"its weights are quantized by {kind}, whose states are not multiples of a step")
    if not quantizer.enabled:
        raise InputError("its fake quantization of weights is off; enable it before the recording")
    config = quantizer.config
    if config.zero_point_domain.name != "INT":
        raise InputError("its zero points are not whole numbers")
    if config.range_learning and not config.is_symmetric:
        raise InputError("its zero points are learned, so that its states are not whole numbers")
    if quantizer.scale is None or config.is_dynamic:
        # A second object, because the first keeps what it computes for the backward pass.
        fresh = type(quantizer)(config)
        fresh(module.weight)
        quantizer = fresh
    if quantizer.scale.element_size() == module.weight.element_size() == 2:
        raise InputError(_IN_16_BITS)
    name = getattr(config.dtype, "name", str(config.dtype)).lower()  # such as torch.int4 or torch.uint2
    known = Quantizer.of_bits(int(name.partition("int")[2]), signed="uint" not in name)
    group = getattr(config.granularity, "group_size", "channel")
    return replace(known, group=group, inverse=True, step=quantizer.scale, zero=quantizer.zero_point)


@adapter("lsq", "QuanConv2d", "QuanLinear")
def _lsq(module: Any) -> Quantizer | None:
    """Of LSQ (lsq-net), by thd_neg, thd_pos and s of its quan_w_fn: w / s with a learned s, rounded."""
    quantizer: Any = getattr(module, "quan_w_fn", None)
    if not all(hasattr(quantizer, name) for name in ("thd_neg", "thd_pos", "s")):
        return None
    # Its forward pass subtracts and adds a part of s, to scale the gradient; this changes the last digit of s.
    part = quantizer.s * (1.0 / (quantizer.thd_pos * module.weight.numel()) ** 0.5)
    step = (quantizer.s - part) + part
    return Quantizer("uniform", quantizer.thd_neg, quantizer.thd_pos, group=_group(step, module.weight), step=step)


@adapter("lsq-alpha", "Conv2dLSQ", "LinearLSQ")
def _lsq_alpha(module: Any) -> Quantizer | None:
    """Of LSQ (LSQuantization), by nbits, alpha and init_state: w / alpha with a learned alpha, rounded."""
    if not all(hasattr(module, name) for name in ("nbits", "alpha", "init_state")) or module.nbits < 0:
        return None
    if module.alpha is None:
        return None
    if not bool(module.init_state):
        raise InputError("its step is set by its first forward pass; pass one batch through the model first")
    low = -(2 ** (module.nbits - 1))
    return Quantizer("uniform", low, -low - 1, group=_group(module.alpha, module.weight), step=module.alpha)


@adapter("brevitas", "QuantWeightMixin")
def _brevitas(module: Any) -> Quantizer | WeightTransform | None:
    """Of brevitas, by its weight_quant: w / s, rounded; or ternary; or the sign."""
    proxy = module.weight_quant
    if not getattr(proxy, "is_quant_enabled", False):
        return None
    how, weight = proxy.tensor_quant, module.weight
    kind = type(how).__name__
    if kind in {"BinaryQuant", "ClampedBinaryQuant"}:
        return WeightTransform()
    if kind not in {"TernaryQuant", "RescalingIntQuant"}:
        raise InputError(f"its weights are quantized by {kind}; write an adapter that returns a Quantizer")
    _, scale, zero, bits = how(weight)
    if kind == "TernaryQuant":
        return Quantizer("ternary", group=_group(scale, weight), step=how.threshold * scale)
    inside = how.int_quant
    parts = (type(each).__name__ for each in (inside.float_to_int_impl, inside.input_view_impl))
    if tuple(parts) != ("RoundSte", "Identity") or type(how.msb_clamp_bit_width_impl).__name__ != "BitWidthConst":
        raise InputError(
            "its weights are not rounded to the nearest of a constant number of states, with one step for the layer or "
            "an output channel"
        )
    if zero.any():
        raise InputError("it adds its zero points before rounding, which gives other states at thresholds")
    states = 2 ** int(bits) - int(inside.narrow_range)
    low = -(states // 2) if inside.signed else 0
    return Quantizer("uniform", low, low + states - 1, group=_group(scale, weight), step=scale)


def _group(step: torch.Tensor, weight: torch.Tensor) -> str:
    """Whether a step is of the layer or of an output channel; InputError if of neither, or if it has 16 bits."""
    if step.element_size() == weight.element_size() == 2:
        raise InputError(_IN_16_BITS)
    if step.numel() == 1:
        return "tensor"
    if step.numel() == len(weight) and (step.ndim == 1 or len(step) == len(weight)):
        return "channel"
    raise InputError(f"its steps of shape {'x'.join(map(str, step.shape))} are not those of output channels")
