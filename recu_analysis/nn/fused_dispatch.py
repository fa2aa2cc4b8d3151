"""The choice of the fused kernels: only where they run and can take the values."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch

from recu_analysis.nn.binarizer import Binarizer

if TYPE_CHECKING:
    from types import ModuleType


def fused_for(values: torch.Tensor) -> ModuleType | None:
    """`recu_analysis.nn.fused` if it can take these values: on a CUDA GPU, with Triton, not while compiling; else None.

    torch.compile itself fuses these operations with their neighbors.
    """
    usable = values.device.type == "cuda" and values.numel() > 0 and not torch.compiler.is_compiling()
    return _fused(values.device) if usable else None


@functools.cache
def _fused(device: torch.device) -> ModuleType | None:
    """The module if it runs, else None. Triton may be missing, find no C compiler, or not know the GPU."""
    try:
        from recu_analysis.nn import fused

        few = torch.ones(1, 2, device=device)
        fused.sign_of_weights(few, few[0, 0], Binarizer())
    except Exception:
        return None
    return fused
