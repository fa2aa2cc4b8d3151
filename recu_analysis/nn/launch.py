"""Start Triton kernels on a CUDA GPU without Triton's check of every argument, which is slow."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


class Kernel:
    """A kernel for some shapes and dtypes on one device.

    Triton checks every argument of every launch, which takes longer than the rest of the launch. Here only one result
    of the check is unknown: whether all pointers are multiples of 16 bytes. If they are, the kernel that Triton
    compiled at the first such launch starts directly. Otherwise Triton starts the kernel; so it does always if this
    version of Triton starts compiled kernels in another way.

    Parameters
    ----------
    kernel : triton.JITFunction
        Its parameters are tensors, then numbers, then constants.
    programs : int
        How many programs are started.
    constants : dict
        Constants by name. Names that the kernel does not have are left out.
    **options
        Options of the compilation, such as ``num_warps``.
    """

    def __init__(self, kernel: Any, programs: int, constants: dict[str, Any], **options: Any) -> None:
        self._grid = programs, 1, 1
        self._kernel = kernel[self._grid]
        self._constants = {name: constants[name] for name in kernel.arg_names if name in constants}
        self._options = options
        self._compiled: Callable[..., Any] | None = None
        self._can_be_short = True

    def __call__(self, tensors: tuple[torch.Tensor, ...], numbers: tuple[int, ...]) -> None:
        """Start the kernel on the current stream of the current device, with tensors of the same dtypes each time."""
        pointers = 0
        for tensor in tensors:
            pointers |= tensor.data_ptr()
        aligned = pointers % 16 == 0
        if aligned and self._compiled:
            try:
                self._compiled(*tensors, *numbers, *self._constants.values())
            except TypeError:  # another number of arguments is expected, and nothing was started
                self._compiled, self._can_be_short = None, False
            else:
                return
        compiled = self._kernel(*tensors, *numbers, **self._constants, **self._options)
        if aligned and self._can_be_short and compiled is not None:
            self._compiled = compiled[self._grid]


def on(device: torch.device) -> AbstractContextManager[Any]:
    """The context in which kernels start. To enter a device takes as long as an operation, and is seldom needed."""
    return nullcontext() if device.index == torch.cuda.current_device() else torch.cuda.device(device)
