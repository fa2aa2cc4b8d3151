"""Small modules that quantize as known codebases with more than two levels do in public: their names and formulas."""

import torch
from torch import nn
from torch.nn import functional as F

from tests.capture.codebase_layers import named


def weight_quant(w):
    """The function beside the published BitLinear of BitNet b1.58."""
    scale = 1.0 / w.abs().mean().clamp_(min=1e-5)
    return (w * scale).round().clamp_(-1, 1) / scale


class BitLinear(nn.Linear):
    """The layer of BitNet b1.58 as published."""

    def forward(self, x):
        w = self.weight
        return F.linear(x, w + (weight_quant(w) - w).detach())


def bitnet_b158(inputs=6, outputs=4):
    return BitLinear(inputs, outputs, bias=False)


class LsqQuan(nn.Module):
    """Learned steps as in lsq-net; a part of the step is subtracted and added to scale its gradient."""

    def __init__(self, bit, weight, per_channel):
        super().__init__()
        self.thd_neg, self.thd_pos = -(2 ** (bit - 1)), 2 ** (bit - 1) - 1
        size = weight.detach().abs()
        size = size.flatten(1).mean(1).view(-1, *[1] * (weight.ndim - 1)) if per_channel else size.mean()
        self.s = nn.Parameter(2 * size / self.thd_pos**0.5)

    def states(self, x):
        part = self.s * (1.0 / (self.thd_pos * x.numel()) ** 0.5)
        step = (self.s - part).detach() + part
        units = torch.clamp(x / step, self.thd_neg, self.thd_pos)
        return (units.round() - units).detach() + units, step

    def forward(self, x):
        states, step = self.states(x)
        return states * step


def lsq(per_channel=True, linear=False):
    def forward(self, x):
        weight = self.quan_w_fn(self.weight)
        return F.linear(x, weight) if linear else F.conv2d(x, weight)

    name, kind, sizes = ("QuanLinear", nn.Linear, (6, 4)) if linear else ("QuanConv2d", nn.Conv2d, (2, 4, 3))
    layer = named(name, kind, forward=forward)(*sizes, bias=False)
    layer.quan_w_fn = LsqQuan(3, layer.weight, per_channel)
    return layer


def lsq_alpha(ready=True):
    """Learned steps as in LSQuantization."""

    def forward(self, x):
        used = (self.weight / self.alpha).round().clamp(-4, 3) * self.alpha
        return F.linear(x, self.weight + (used - self.weight).detach())

    layer = named("LinearLSQ", nn.Linear, forward=forward)(6, 4, bias=False)
    layer.nbits, layer.alpha = 3, nn.Parameter(torch.full((1,), 0.1))
    layer.register_buffer("init_state", torch.full((1,), float(ready)))
    return layer


class BitNetTrainingLinearWeight(torch.Tensor):
    """A weight in an ordinary layer that multiplies by its states, as in torchao's BitNet training."""

    @staticmethod
    def __new__(cls, data):
        return torch.Tensor._make_wrapper_subclass(cls, data.shape, dtype=data.dtype)

    def __init__(self, data):
        self._data = data

    def __tensor_flatten__(self):
        return ["_data"], None

    @classmethod
    def __tensor_unflatten__(cls, inside, _, size=None, stride=None):
        return cls(inside["_data"])

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func.__name__ == "linear":
            return _TernaryProduct.apply(*args[:2])
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        plain = torch.utils._pytree.tree_map_only(cls, lambda each: each._data, args)
        out = func(*plain, **(kwargs or {}))
        return cls(out) if func is torch.ops.aten.detach.default else out


class _TernaryProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        values = weight._data.float()
        scale = values.abs().mean()
        ctx.save_for_backward(x)
        return torch.mm(x, (values / scale.clip(1e-5)).round().clip(-1, 1).T) * scale

    @staticmethod
    def backward(ctx, gradient):
        return None, gradient.T @ ctx.saved_tensors[0]


def torchao_bitnet():
    layer = nn.Linear(6, 4, bias=False)
    layer.weight = nn.Parameter(BitNetTrainingLinearWeight(layer.weight.detach()))
    return layer


#: Adapter's name, and what makes a layer that it must know.
LAYERS = {
    "bitnet-b158": ("bitnet-b158", bitnet_b158),
    "lsq-channels": ("lsq", lsq),
    "lsq-layer": ("lsq", lambda: lsq(per_channel=False, linear=True)),
    "lsq-alpha": ("lsq-alpha", lsq_alpha),
    "torchao-bitnet": ("torchao-bitnet", torchao_bitnet),
}
