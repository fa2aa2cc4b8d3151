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
        Of its images.
    images : int
        Of the whole update.
    first, last : bool
        Whether it begins the update, and ends it.
    """

    indices: torch.Tensor
    images: int
    first: bool
    last: bool


def in_updates(batches: Sequence[torch.Tensor], accumulate: int) -> Iterator[Part]:
    """Batches in groups of `accumulate`, each group an update; the last one has what is left."""
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
        Number of the last update applied before.
    """

    def __init__(self, reason: str, update: int) -> None:
        super().__init__(
            f"torch.compile failed ({reason}); it needs a working compiler (on a CPU one of C++, named by the "
            "environment variable CXX) and room for its cache (TORCHINDUCTOR_CACHE_DIR); --debug shows more; or train "
            "without --compile"
        )
        self.update = update


class Step:
    """What a training does with one batch.

    Parameters
    ----------
    config : TrainingConfig
    model : torch.nn.Module
        On its device; it stays as it is, compiled and distributed passes go through wrappers that share its
        parameters.
    optimizer : torch.optim.Optimizer
    processes : Processes
        Those of the training; all construct it at the same time.
    update : int
        Number of the last update applied.
    normalized : callable
        Makes of a batch's images, on the device already, what the network takes.
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
        # Running statistics are those of the first process, which gives them to the others.
        self._forward = DistributedDataParallel(forward) if processes.count > 1 else forward

    def __call__(self, part: Part, batch: Batch) -> tuple[float, int]:
        """Forward and backward passes over this process's share of a batch; the update where the batch is the last.

        Parameters
        ----------
        part : Part
        batch : tuple of Tensor
            Images of shape (N, 3, H, W) and labels of shape (N,): the share.

        Returns
        -------
        tuple of float and int
            Over the whole batch: the sum of its images' cross-entropies (nats), and how many were classified rightly.

        Raises
        ------
        RecuError
            If the loss is NaN or infinite in one of the processes: in all, before the gradient reaches the weights.
        CompilationError
        """
        if part.first:
            self._optimizer.zero_grad(set_to_none=True)
        with self._apart(part), self._compiler_errors():
            images, labels = self.place(batch)
            with self.precision():
                logits = self._forward(images)
            loss = functional.cross_entropy(logits.float(), labels)
            hits = int((logits.argmax(dim=1) == labels).sum())
            total, correct = self._processes.total([loss.item() * len(labels), hits])
            if not math.isfinite(total):
                self._diverged(total)
            # The processes' gradients are averaged: together they make the mean over the images of the update.
            weight = len(labels) * self._processes.count / part.images
            (loss * weight).backward()  # type: ignore[no-untyped-call]
        if part.last:
            self._optimizer.step()
            self.update += 1
        return total, int(correct)

    def place(self, batch: Batch) -> Batch:
        """Images and labels on the device, the images normalised and in the memory layout of the training."""
        pixels, labels = (tensor.to(self._processes.device, non_blocking=True) for tensor in batch)
        images = self._normalized(pixels)
        return (images.to(memory_format=torch.channels_last) if self._config.channels_last else images), labels

    def precision(self) -> torch.autocast:
        """The context in which the network computes."""
        return torch.autocast(self._processes.device.type, torch.bfloat16, enabled=self._config.bfloat16)

    def placed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Batches as `place` gives them."""
        return map(self.place, batches)

    def _compiled(self, model: torch.nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        """The network's passes as torch.compile makes them, on a GPU as CUDA graphs where they can be."""
        # A graph puts every batch's gradients where the last batch's are, which is wrong where they are added up.
        alone = self._processes.count == 1 and self._config.accumulate == 1
        graphs = alone and self._processes.device.type == "cuda"
        # Without dynamic shapes the code for a batch depends on its size only, not on the batches before it.
        compiled: Callable[[torch.Tensor], torch.Tensor] = torch.compile(
            model, dynamic=False, mode="reduce-overhead" if graphs else None
        )
        return compiled

    def _apart(self, part: Part) -> contextlib.AbstractContextManager[object]:
        """Gradients are averaged over the processes once an update, with its last batch."""
        if isinstance(self._forward, DistributedDataParallel) and not part.last:
            return self._forward.no_sync()
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def _compiler_errors(self) -> Iterator[None]:
        """Say in one sentence that torch.compile failed."""
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
        raise SharedError(
            f"the loss became {total} at update {self.update + 1}; a learning rate below {rate:g} may help"
        )
