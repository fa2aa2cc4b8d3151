"""What a layer gives back, for tests that compare its kernels with plain operations, on a GPU or interpreted."""

import torch

from recu_analysis.nn import BinaryConv2d


def outcome(layer, values, gradient):
    """Output of a layer, and all gradients."""
    layer.zero_grad()
    values = values.detach().clone().requires_grad_()
    output = layer(values)
    output.backward(gradient.to(output.dtype))
    return [output.detach(), values.grad, *(parameter.grad.clone() for parameter in layer.parameters())]


def apart(first, second):
    """How far two tensors lie apart: convolutions round each value by the size of its neighbours."""
    return float((first.double() - second.double()).norm() / first.double().norm())


def gradients_given(wanted, device):
    """Which of the gradients by activations, weights and alpha a convolution gives where these are asked for."""
    torch.manual_seed(0)
    layer = BinaryConv2d(4, 8, 3, bias=False).to(device)
    tensors = torch.randn(2, 4, 6, 6).to(device), layer.weight, layer.alpha
    for tensor, asked in zip(tensors, wanted, strict=True):
        tensor.requires_grad_(asked)
    output = layer(tensors[0])
    assert output.requires_grad == any(wanted)
    if any(wanted):
        output.square().sum().backward()
    return tuple(tensor.grad is not None for tensor in tensors)
