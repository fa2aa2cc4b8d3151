"""The processes of one training, started by torchrun or a single one, and the device of each."""

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
    """The current process among the processes of a training.

    Attributes
    ----------
    rank, count : int
        Number of the process, from 0, and number of processes.
    device : torch.device
        Device of the process.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process has rank 0, which records, validates, saves and prints."""
        return self.rank == 0

    def share(self, batch: torch.Tensor) -> torch.Tensor:
        """The part of a batch for this process; the parts of all processes form the batch."""
        return batch[self.rank :: self.count]

    def total(self, values: Sequence[float]) -> list[float]:
        """Sums over all processes; all of them must call it, and they wait for each other here.

        Raises
        ------
        RecuError
            If another process has ended.
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
        """Whether the flag is true in at least one process."""
        return self.total([float(flag)])[0] > 0

    def wait(self) -> None:
        """Block until all processes reach this call."""
        self.total([0.0])

    @contextlib.contextmanager
    def own_draws(self, *seed: int) -> Iterator[None]:
        """Let torch's CPU generator draw different numbers in every process during the context.

        Random numbers for the images must differ between processes. Those of the layers must be the same, because their
        gradients are averaged. A single process draws as usual.
        """
        if self.count == 1:
            yield
            return
        before = torch.get_rng_state()
        own = np.random.SeedSequence([*seed, self.rank]).generate_state(1, np.uint64)[0]
        # torch.manual_seed would set the generator of the GPU too.
        torch.default_generator.manual_seed(int(own))
        try:
            yield
        finally:
            torch.set_rng_state(before)


@contextlib.contextmanager
def process_group(device: str) -> Iterator[Processes]:
    """Connect the processes of a training; at the end of the context they wait for each other.

    torchrun sets environment variables (RANK, WORLD_SIZE, LOCAL_RANK and others); without them there is one process.
    The backend is nccl on CUDA and gloo on CPUs. An existing process group is used. A new one is kept until the process
    ends, because torchrun's store supports only one.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}

    Yields
    ------
    Processes

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
        # If one process ended first, torchrun would end the others, including the one that still writes.
        ours.wait()
        raise


def _connected(device: torch.device) -> Processes:
    """The current process, connected to the others if there are any."""
    ready = distributed.is_available() and distributed.is_initialized()
    if not ready and _number("WORLD_SIZE", 1) == 1:
        return Processes(0, 1, device)
    try:
        if not ready:
            distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
            atexit.register(distributed.destroy_process_group)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"the processes cannot be connected ({reason}); start them with torchrun") from None
    return Processes(distributed.get_rank(), distributed.get_world_size(), device)


def _device(choice: str) -> torch.device:
    """The requested device; with several GPUs, the one with this process's number on its machine."""
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if choice == "cpu" or (choice == "auto" and not found):
        return torch.device("cpu")
    if not found:
        raise InputError("torch finds no CUDA device on this machine; choose device cpu or auto")
    local = _number("LOCAL_RANK", 0)
    if local >= found:
        raise InputError(f"this machine has {found} CUDA devices, too few for {local + 1} processes; start fewer")
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def _number(variable: str, default: int) -> int:
    """A number that torchrun has set in the environment."""
    text = os.environ.get(variable, str(default))
    if not text.isdecimal():
        raise InputError(f"the environment variable {variable} must be a whole number, not {text!r}; torchrun sets it")
    return int(text)
