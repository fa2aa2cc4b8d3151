"""Small trainings that keep every weight after every update, and the record of them by a plain float64 loop."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import recu_analysis as ra
from recu_analysis.nn import BinaryLinear


def tiny(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), BinaryLinear(12, 8), nn.BatchNorm1d(8), BinaryLinear(8, 3))


def sgd(model, lr=0.5, **more):
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.5, weight_decay=0.01, **more)


def loss_of(model, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (16,), generator=generator)
    return functional.cross_entropy(model(torch.randn(16, 12, generator=generator)), labels)


def step(model, optimizer, seed):
    optimizer.zero_grad()
    loss_of(model, seed).backward()
    optimizer.step()


def weights(model):
    """Copies of the latent weights, by layer."""
    layers = (each for each in model.named_modules() if isinstance(each[1], BinaryLinear))
    return {name: layer.weight.detach().numpy().copy() for name, layer in layers}


def plain_record(history):
    """Path, zpath, flips and their times by a loop over every update, in float64."""
    rows = [each.astype(np.float64).reshape(len(each), -1) for each in history]
    centered = [each - each.mean(axis=1, keepdims=True) for each in rows]
    scores = [each / each.std(axis=1, ddof=1, keepdims=True) for each in centered]
    path, zpath = np.zeros(rows[0].shape), np.zeros(rows[0].shape)
    flips, first, last = (np.full(rows[0].shape, value) for value in (0, -1, -1))
    for update in range(1, len(rows)):
        path += np.abs(rows[update] - rows[update - 1])
        zpath += np.abs(scores[update] - scores[update - 1])
        flipped = (centered[update] < 0) != (centered[update - 1] < 0)
        flips += flipped
        first[flipped & (first < 0)] = update
        last[flipped] = update
    record = {"path": path, "zpath": zpath, "flips": flips, "first_flip": first, "last_flip": last}
    return {name: values.reshape(history[0].shape) for name, values in record.items()}


def assert_recorded(record, history, first_update=1):
    """A layer's record equals the plain loop over its weights before the window and after each of its updates."""
    expected = plain_record(history)
    assert record.summary.updates == len(history) - 1
    np.testing.assert_array_equal(record.weight, history[-1])
    np.testing.assert_array_equal(record.start, history[0])
    for quantity in ("path", "zpath"):
        value = getattr(record, quantity)
        np.testing.assert_allclose(value, expected[quantity], rtol=1e-5, atol=1e-12, err_msg=quantity)
    for quantity in ("flips", "first_flip", "last_flip"):
        later = 0 if quantity == "flips" else (first_update - 1) * (expected["flips"] > 0)
        np.testing.assert_array_equal(getattr(record, quantity), expected[quantity] + later, err_msg=quantity)


def assert_same_windows(path, other):
    """Two runs have bitwise the same windows."""
    first, second = ra.open_run(path), ra.open_run(other)
    assert [window.number for window in first.windows] == [window.number for window in second.windows]
    for a, b in zip(first.windows, second.windows, strict=True):
        assert (a.first_update, a.last_update, a.partial) == (b.first_update, b.last_update, b.partial)
        assert a.header.layers == b.header.layers
        assert a.header.digests == b.header.digests
    assert not first.problems
    assert not second.problems


def shake(layer, optimizer, seed):
    """One step on random gradients, as the training loops of known codebases make it."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in layer.parameters():
        if hasattr(parameter, "org"):  # latent weights that wait while the layer holds its signs
            parameter.data.copy_(parameter.org)
        gradient = torch.randn(parameter.shape, generator=generator) * parameter.detach().abs().mean()
        parameter.grad = gradient.to(parameter.dtype)
    optimizer.step()
    for parameter in layer.parameters():
        if hasattr(parameter, "org"):
            parameter.org.copy_(parameter.data.clamp_(-1, 1))
