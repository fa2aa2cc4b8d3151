"""A small decoder-only transformer over bytes, with the linear layers of BitNet b1.58."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

#: Values of a byte.
BYTES = 256
#: Most bytes that a prediction sees.
CONTEXT = 128
WIDTH, BLOCKS, HEADS, WIDENING = 128, 4, 4, 4


class Attention(nn.Module):
    """Causal self-attention with a normalization before each of its two linear layers."""

    def __init__(self, width: int, heads: int, linear: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.norm_in = nn.RMSNorm(width)
        self.qkv = linear(width, 3 * width)
        self.norm_out = nn.RMSNorm(width)
        self.out = linear(width, width)
        self._heads = heads

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """What is added to the values, of shape (batch, length, width)."""
        batch, length, width = values.shape
        split = self.qkv(self.norm_in(values)).view(batch, length, 3, self._heads, width // self._heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        result: torch.Tensor = self.out(self.norm_out(mixed.transpose(1, 2).reshape(batch, length, width)))
        return result


class FeedForward(nn.Module):
    """Two linear layers with a squared ReLU between them, and a normalization before each."""

    def __init__(self, width: int, linear: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.norm_up = nn.RMSNorm(width)
        self.up = linear(width, WIDENING * width)
        self.norm_down = nn.RMSNorm(WIDENING * width)
        self.down = linear(WIDENING * width, width)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """What is added to the values, of shape (batch, length, width)."""
        inner = functional.relu(self.up(self.norm_up(values))).square()
        result: torch.Tensor = self.down(self.norm_down(inner))
        return result


class TernaryLM(nn.Module):
    """A transformer that predicts the next byte of a text: 4 blocks of width 128, 4 heads, at most 128 bytes.

    Linear layers of the blocks are made by `linear`. Embeddings, normalizations and the head have real weights, and
    the head does not share those of the embedding. No layer has a bias but the head.

    Parameters
    ----------
    num_classes : int
        Values of a byte.
    linear : callable
        Makes a layer from numbers of inputs and outputs: `TernaryLinear`, or a real one.

    Notes
    -----
    BitNet b1.58 (Ma et al., arXiv:2402.17764), with the normalizations and the squared ReLU of its 2B4T report
    (arXiv:2504.12285) and learned places in the place of rotary ones.
    """

    def __init__(self, num_classes: int, linear: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_classes, WIDTH)
        self.places = nn.Embedding(CONTEXT, WIDTH)
        self.attention = nn.ModuleList(Attention(WIDTH, HEADS, linear) for _ in range(BLOCKS))
        self.feed_forward = nn.ModuleList(FeedForward(WIDTH, linear) for _ in range(BLOCKS))
        self.norm = nn.RMSNorm(WIDTH)
        self.head = nn.Linear(WIDTH, num_classes)
        for each in (self.embedding, self.places):
            nn.init.normal_(each.weight, std=0.02)

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        """Logits of the next byte at each place, of shape (batch, classes, length).

        Parameters
        ----------
        text : Tensor of int64, shape (batch, length)
            With a length of at most 128.
        """
        if text.ndim != 2 or text.dtype != torch.int64 or not 0 < text.shape[1] <= CONTEXT:
            raise InputError(
                f"ternary-lm takes bytes as int64 of shape (batch, length), length at most {CONTEXT}, not "
                f"{str(text.dtype).removeprefix('torch.')} of shape {tuple(text.shape)}"
            )
        values = self.embedding(text) + self.places.weight[: text.shape[1]]
        for attention, feed_forward in zip(self.attention, self.feed_forward, strict=True):
            values = values + attention(values)
            values = values + feed_forward(values)
        logits: torch.Tensor = self.head(self.norm(values))
        # Classes before places, as cross-entropy takes them.
        return logits.transpose(1, 2)
