"""The processes of one training: those that torchrun started, or a single one; and the device of each."""

from __future__ import annotations

import atexit
import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import distributed

from recu_analysis.errors import InputError, RecuError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class SharedError(RecuError):
    """An error that every process of a training raises at the same place."""


@dataclass(frozen=True, slots=True)
class Processes:
    """One process of a training as it sees itself among the others.

    Attributes
    ----------
    rank, count : int
        Its number, from 0, and how many there are.
    device : torch.device
        Where it computes.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether it is the one that records, validates, saves and talks."""
        return self.rank == 0

    def share(self, batch: torch.Tensor) -> torch.Tensor:
        """The part of a batch that this process takes; the parts of all are the batch."""
        return batch[self.rank :: self.count]

    def total(self, values: Sequence[float]) -> list[float]:
        """Sums over all processes, which must all ask; they also wait for each other here.

        Raises
        ------
        RecuError
            If another process is gone.
        """
        if self.count == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        try:
            distributed.all_reduce(sums)
            return [float(value) for value in sums.tolist()]
        except RuntimeError as error:
            raise RecuError("another process of this training has ended; its own message says why") from error

    def any(self, flag: bool) -> bool:
        """Whether it is true in one of the processes."""
        return self.total([float(flag)])[0] > 0

    def wait(self) -> None:
        """Return when all processes are here."""
        self.total([0.0])

    @contextlib.contextmanager
    def own_draws(self, *seed: int) -> Iterator[None]:
        """Within this context torch's CPU generator draws other numbers in every process; after it all draw alike.

        What is drawn for the images must differ, what the layers draw must not: their gradients become one. A
        single process draws from its generator as ever.
        """
        if self.count == 1:
            yield
            return
        before = torch.get_rng_state()
        own = np.random.SeedSequence([*seed, self.rank]).generate_state(1, np.uint64)[0]
        # Not torch.manual_seed, which would set the generator of the GPU too.
        torch.default_generator.manual_seed(int(own))
        try:
            yield
        finally:
            torch.set_rng_state(before)


@contextlib.contextmanager
def process_group(device: str) -> Iterator[Processes]:
    """The process among those of its training; leaving the context, they wait for each other.

    torchrun tells by the environment (RANK, WORLD_SIZE, LOCAL_RANK and the rest); without it there is one process. They
    speak nccl on CUDA and gloo on CPUs. A process group that exists is used; a new one is kept to the end of the
    process, because torchrun's store does not serve a second one.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}

    Raises
    ------
    InputError
        If there is no such device, or the processes cannot be connected.
    """
    ours = _connected(_device(device))
    try:
        yield ours
        ours.wait()
    except SharedError:
        # A process that fails first would have torchrun end the others, the one that still writes among them.
        ours.wait()
        raise


def _connected(device: torch.device) -> Processes:
    """The process, connected to the others where there are any."""
    ready = distributed.is_available() and distributed.is_initialized()
    if not ready and _number("WORLD_SIZE", 1) == 1:
        return Processes(0, 1, device)
    try:
        if not ready:
            distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
            atexit.register(distributed.destroy_process_group)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"the processes cannot be connected; start them by torchrun ({reason})") from None
    return Processes(distributed.get_rank(), distributed.get_world_size(), device)


def _device(choice: str) -> torch.device:
    """The device that is asked for; of several GPUs the one with this process's number on its machine."""
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if choice == "cpu" or (choice == "auto" and not found):
        return torch.device("cpu")
    if not found:
        raise InputError("torch finds no CUDA device here; choose the device cpu or auto")
    local = _number("LOCAL_RANK", 0)
    if local >= found:
        raise InputError(f"this machine has {found} CUDA devices, too few for {local + 1} processes; start fewer")
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def _number(variable: str, default: int) -> int:
    """A number that torchrun has left in the environment."""
    text = os.environ.get(variable, str(default))
    if not text.isdecimal():
        raise InputError(f"the environment variable {variable} must be a whole number, not {text!r}; torchrun sets it")
    return int(text)
