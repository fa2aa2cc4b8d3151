"""The passes of a training on its device: precision, memory layout, compilation, accumulation, several processes."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from recu_analysis.errors import InputError
from recu_analysis.training.distributed import SharedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from recu_analysis.training.config import TrainingConfig
    from recu_analysis.training.distributed import Processes

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Part:
    """A batch as a part of an update.

    Attributes
    ----------
    indices : Tensor of int64
        Indices of the images in the batch.
    images : int
        Number of images in the whole update.
    first, last : bool
        Whether the batch is the first, and the last, of the update.
    """

    indices: torch.Tensor
    images: int
    first: bool
    last: bool


def in_updates(batches: Sequence[torch.Tensor], accumulate: int) -> Iterator[Part]:
    """Group batches into updates of `accumulate` batches; the last update may have fewer."""
    for start in range(0, len(batches), accumulate):
        group = batches[start : start + accumulate]
        images = sum(map(len, group))
        for number, indices in enumerate(group, start=1):
            yield Part(indices, images, first=number == 1, last=number == len(group))


class CompilationError(InputError):
    """torch.compile failed.

    Attributes
    ----------
    update : int
        Number of the last update before the failure.
    """

    def __init__(self, reason: str, update: int) -> None:
        super().__init__(
            f"torch.compile failed ({reason}); check the compiler (on a CPU, the C++ compiler in the environment "
            "variable CXX) and the space for its cache (TORCHINDUCTOR_CACHE_DIR), see more with --debug, or train "
            "without --compile"
        )
        self.update = update


class Step:
    """The training step for one batch.

    Parameters
    ----------
    config : TrainingConfig
    model : torch.nn.Module
        The model on its device. It is not changed: compiled and distributed passes use wrappers that share its
        parameters.
    optimizer : torch.optim.Optimizer
    processes : Processes
        The processes of the training; all of them construct a Step at the same time.
    update : int
        Number of the last update.
    normalized : callable
        Converts a batch's images on the device to the input of the network.
    """

    def __init__(
        self,
        config: TrainingConfig,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        processes: Processes,
        update: int,
        normalized: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        self.update = update
        self._config, self._optimizer, self._processes = config, optimizer, processes
        self._normalized = normalized
        forward = self._compiled(model) if config.compile else model
        # Running statistics are those of rank 0, which sends them to the other processes.
        self._forward = DistributedDataParallel(forward) if processes.count > 1 else forward

    def __call__(self, part: Part, batch: Batch) -> tuple[float, int]:
        """Forward and backward passes over this process's share of a batch, and the update after the last batch.

        Parameters
        ----------
        part : Part
        batch : tuple of Tensor
            The share: images of shape (N, 3, H, W) and labels of shape (N,), or bytes and labels of shape (N, length).

        Returns
        -------
        tuple of float and int
            Over the whole batch: the sum of cross-entropies (nats), and the number of labels that are predicted.

        Raises
        ------
        RecuError
            In all processes, before the update, if the loss is NaN or infinite in one of them.
        CompilationError
            If torch.compile fails.
        """
        if part.first:
            self._optimizer.zero_grad(set_to_none=True)
        with self._apart(part), self._compiler_errors():
            images, labels = self.place(batch)
            with self.precision():
                logits = self._forward(images)
            loss = functional.cross_entropy(logits.float(), labels)
            hits = int((logits.argmax(dim=1) == labels).sum())
            total, correct = self._processes.total([loss.item() * labels.numel(), hits])
            if not math.isfinite(total):
                self._diverged(total)
            # Gradients are averaged over processes; with this weight they are the mean over the update's images.
            weight = len(labels) * self._processes.count / part.images
            (loss * weight).backward()  # type: ignore[no-untyped-call]
        if part.last:
            if self._config.control == "signs":
                self._draw_signs()
            self._optimizer.step()
            self.update += 1
        return total, int(correct)

    def _draw_signs(self) -> None:
        """Give each value of the gradients of the binary weights a random sign; drop the gradients of the others."""
        latent, others = (group["params"] for group in self._optimizer.param_groups)
        for weight in latent:
            weight.grad.mul_(torch.randint_like(weight.grad, 2).mul_(2).sub_(1))
        for parameter in others:
            parameter.grad = None

    def place(self, batch: Batch) -> Batch:
        """Move images and labels to the device, normalize the images and set their memory format."""
        pixels, labels = (tensor.to(self._processes.device, non_blocking=True) for tensor in batch)
        images = self._normalized(pixels)
        return (images.to(memory_format=torch.channels_last) if self._config.channels_last else images), labels

    def precision(self) -> torch.autocast:
        """The autocast context of the network's forward pass."""
        return torch.autocast(self._processes.device.type, torch.bfloat16, enabled=self._config.bfloat16)

    def placed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Apply `place` to every batch."""
        return map(self.place, batches)

    def _compiled(self, model: torch.nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        """The compiled network; on a GPU it uses CUDA graphs if possible."""
        # A CUDA graph overwrites the gradients of the batch before, which is wrong if gradients are accumulated.
        alone = self._processes.count == 1 and self._config.accumulate == 1
        graphs = alone and self._processes.device.type == "cuda"
        # Without dynamic shapes, the code for a batch depends only on its size, not on earlier batches.
        compiled: Callable[[torch.Tensor], torch.Tensor] = torch.compile(
            model, dynamic=False, mode="reduce-overhead" if graphs else None
        )
        return compiled

    def _apart(self, part: Part) -> contextlib.AbstractContextManager[object]:
        """The context in which gradients are averaged over processes only for the last batch of an update."""
        if isinstance(self._forward, DistributedDataParallel) and not part.last:
            return self._forward.no_sync()
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def _compiler_errors(self) -> Iterator[None]:
        """Turn an error of torch.compile into a CompilationError."""
        if not self._config.compile:
            yield
            return
        from torch._dynamo.exc import TorchDynamoException

        try:
            yield
        except TorchDynamoException as error:
            inner = getattr(error, "inner_exception", error)
            reason = next(iter(str(inner).strip().splitlines()), type(inner).__name__)
            raise CompilationError(reason, self.update) from error

    def _diverged(self, total: float) -> None:
        rate = self._optimizer.param_groups[0]["lr"]
        raise SharedError(f"the loss became {total} at update {self.update + 1}; try a learning rate below {rate:g}")
