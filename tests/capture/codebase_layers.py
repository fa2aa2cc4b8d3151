"""Small modules that behave as the binary layers of known codebases do in public: their names, tensors and signs."""

import math

import torch
from torch import nn
from torch.nn import functional as F


class _Sign(torch.autograd.Function):
    """Sign with a straight-through gradient; 0 stays 0, as in torch."""

    @staticmethod
    def forward(ctx, values):
        return torch.sign(values)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def sign(values):
    return _Sign.apply(values)


def named(name, base, **members):
    """A class of that name: several codebases share one."""
    return type(name, (base,), members)


def per_channel(values):
    return values.reshape(len(values), -1, 1, 1)


def recu(out=4):
    def init(self, *arguments, **options):
        nn.Conv2d.__init__(self, *arguments, **options)
        self.alpha = nn.Parameter(torch.rand(self.out_channels, 1, 1))
        self.register_buffer("tau", torch.tensor(0.9))

    def forward(self, x):
        centered = self.weight - self.weight.mean([1, 2, 3], keepdim=True)
        scaled = centered / (centered.var([1, 2, 3], keepdim=True) + 1e-5).sqrt() * (2 * math.sqrt(2))
        bound = float(-scaled.detach().abs().mean() * torch.log(2 - 2 * self.tau))
        return F.conv2d(x, sign(scaled.clamp(-bound, bound))) * self.alpha

    return named("BinarizeConv2d", nn.Conv2d, __init__=init, forward=forward)(2, out, 3, bias=False)


def rbnn(out=4):
    def init(self, *arguments, **options):
        nn.Conv2d.__init__(self, *arguments, **options)
        self.register_buffer("R1", torch.linalg.qr(torch.randn(3, 3))[0])
        self.register_buffer("R2", torch.linalg.qr(torch.randn(6, 6))[0])
        self.alpha = nn.Parameter(torch.rand(self.out_channels, 1, 1))
        self.rotate = nn.Parameter(torch.rand(self.out_channels, 1, 1, 1) * 3)

    def forward(self, x):
        flat = self.weight.flatten(1)
        flat = (flat - flat.mean(1, keepdim=True)) / flat.std(1, keepdim=True)
        turned = torch.stack([self.R1.t() @ row.view(3, 6) @ self.R2 for row in flat]).view_as(self.weight)
        flat = flat.view_as(self.weight)
        return F.conv2d(x, sign(flat + self.rotate.sin().abs() * (turned.detach() - flat))) * self.alpha

    return named("BinarizeConv2d", nn.Conv2d, __init__=init, forward=forward)(2, out, 3, bias=False)


def plain_sign(name, base=nn.Conv2d, **buffers):
    """A layer that takes the sign of its weight, scaled by its mean size, with these buffers beside it."""

    def init(self, *arguments, **options):
        base.__init__(self, *arguments, **options)
        for key, value in buffers.items():
            self.register_buffer(key, value)

    def forward(self, x):
        weight = sign(self.weight)
        if base is nn.Linear:
            return F.linear(x, weight, self.bias)
        return F.conv2d(x, weight * self.weight.abs().mean(), self.bias)

    return named(name, base, __init__=init, forward=forward)


def reste(out=4):
    layer = plain_sign("BinarizeConv2d")(2, out, 3, bias=False)
    layer.t, layer.o = torch.tensor(1.5), torch.tensor(1.0)
    return layer


def binarynet(out=4):
    return plain_sign("BinarizeConv2d")(2, out, 3)


def binarynet_in_place(out=4):
    """Of the forks whose forward pass puts the signs into the parameter and keeps the latent weights beside it."""

    def forward(self, x):
        if not hasattr(self.weight, "org"):
            self.weight.org = self.weight.data.clone()
        self.weight.data = self.weight.org.sign()
        return F.conv2d(x, self.weight, self.bias)

    return named("BinarizeConv2d", nn.Conv2d, forward=forward)(2, out, 3)


def ovsw(out=4):
    shape = (out, 2, 3, 3)
    return plain_sign("OvSWConv2d", weight_prev=torch.zeros(shape), tracker=torch.zeros(shape))(2, out, 3)


def ir_net(out=4):
    def forward(self, x):
        centered = self.weight - per_channel(self.weight.flatten(1).mean(1))
        scaled = centered / per_channel(centered.flatten(1).std(1))
        power = 2 ** scaled.abs().flatten(1).mean(1).log2().round().detach()
        return F.conv2d(x, sign(scaled) * per_channel(power), self.bias)

    return named("IRConv2d", nn.Conv2d, forward=forward)(2, out, 3)


class _HardBinaryConv(nn.Module):
    def forward(self, x):
        real = (self.weights if hasattr(self, "weights") else self.weight).view(self.shape)
        scale = real.abs().mean([1, 2, 3], keepdim=True).detach()
        inside = real.clamp(-1, 1)
        return F.conv2d(x, (scale * real.sign() - inside).detach() + inside)


def bi_real(out=4):
    layer = named("HardBinaryConv", _HardBinaryConv)()
    layer.shape = (out, 2, 3, 3)
    layer.weights = nn.Parameter((torch.rand(out * 18, 1) - 0.5) * 0.01)
    return layer


def reactnet(out=4):
    layer = named("HardBinaryConv", _HardBinaryConv)()
    layer.shape = (out, 2, 3, 3)
    layer.weight = nn.Parameter((torch.rand(layer.shape) - 0.5) * 0.01)
    return layer


def bnext(out=4, temperature=0.5):
    def forward(self, x):
        self.weight.data.clamp_(-1.5, 1.5)
        cold = bool(self.temperature < 1e-7)
        value = self.weight.sign() if cold else (self.weight / self.temperature.clamp(min=1e-8)).clamp(-1, 1)
        return F.conv2d(x, (value - self.weight).detach() + self.weight if self.training else value)

    layer = named("HardBinaryConv", nn.Module, forward=forward)()
    layer.shape = (out, 2, 3, 3)
    layer.weight = nn.Parameter(torch.randn(layer.shape) * 0.1)
    layer.register_buffer("temperature", torch.tensor([temperature]))
    return layer


def rbonn(out=4):
    def init(self, *arguments, **options):
        nn.Conv2d.__init__(self, *arguments, **options)
        self.scale_factor = nn.Parameter(torch.randn(self.out_channels, 1, 1, 1))
        self.u = nn.Parameter(torch.full((self.out_channels, 1, 1, 1), 0.2))

    def forward(self, x):
        return F.conv2d(x, sign(self.weight) * 0.02 * self.scale_factor.abs())

    return named("RBOConv", nn.Conv2d, __init__=init, forward=forward)(2, out, 3, bias=False)


class BinConv2d(nn.Module):
    """A plain layer inside; what binarises it replaces its data before the forward pass, and puts it back after."""

    def __init__(self, out=4, linear=False):
        super().__init__()
        self.layer_type = "BinConv2d"
        if linear:
            self.linear = nn.Linear(6, out)
        else:
            self.conv = nn.Conv2d(2, out, 3)

    def binarize(self):
        weight = (self.linear if hasattr(self, "linear") else self.conv).weight
        weight.data = (weight.data - weight.data.mean(1, keepdim=True)).clamp(-1, 1)
        saved = weight.data.clone()
        size = saved.abs().flatten(1).mean(1)
        weight.data = saved.sign() * size.view(-1, *[1] * (saved.ndim - 1))
        return weight, saved

    def forward(self, x):
        return F.linear(x, self.linear.weight) if hasattr(self, "linear") else F.conv2d(x, self.conv.weight)


class Sign(nn.Module):
    def forward(self, x):
        return torch.where(x < 0, -1.0, 1.0)


def bitorch(out=4, quantizer=None):
    def forward(self, x):
        return F.conv2d(x, self._weight_quantize(self.weight))

    layer = named("QConv2d", named("QConv2d_NoAct", nn.Conv2d, forward=forward))(2, out, 3, bias=False)
    layer._weight_quantize = quantizer or Sign()
    return layer


def bitnet(out=4, name="BitLinear"):
    def forward(self, x):
        return F.linear(x, sign(self.weight - self.weight.mean()) * self.weight.abs().mean())

    return named(name, nn.Linear, forward=forward)(6, out)


def autobit(online=True):
    def forward(self, x):
        weight = self.weight
        if self.online_quant:
            scale = 1.0 / weight.float().abs().mean().clamp_(min=1e-5)
            used = ((weight.float() * scale).round().clamp(-1, 1) / scale).to(weight.dtype)
            weight = weight + (used - weight).detach()
        return F.linear(x, weight)

    layer = named("AutoBitLinear", nn.Linear, forward=forward)(6, 4)
    layer.online_quant = online
    return layer


def packed():
    layer = named("BitLinear", nn.Module)()
    layer.register_buffer("weight", torch.randint(0, 255, (4, 6), dtype=torch.uint8))
    layer.register_buffer("weight_scale", torch.ones(1))
    return layer


#: Adapter's name, and what makes a layer that it must know.
LAYERS = {
    "recu": ("recu", recu),
    "rbnn": ("rbnn", rbnn),
    "reste": ("binarize", reste),
    "binarynet": ("binarize", binarynet),
    "binarynet-in-place": ("binarize", binarynet_in_place),
    "ir-net": ("ir-net", ir_net),
    "bi-real": ("bi-real-flat", bi_real),
    "reactnet": ("reactnet", reactnet),
    "bnext-warm": ("bnext", bnext),
    "bnext-cold": ("bnext", lambda: bnext(temperature=1e-9)),
    "rbonn": ("rbonn", rbonn),
    "ovsw": ("ovsw", ovsw),
    "xnor": ("xnor-net", BinConv2d),
    "xnor-linear": ("xnor-net", lambda: BinConv2d(linear=True)),
    "bitorch": ("bitorch", bitorch),
    "bitnet": ("bitnet", bitnet),
    "bitnet-new": ("bitnet", lambda: bitnet(name="BitLinearNew")),
}
