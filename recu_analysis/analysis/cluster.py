"""A dask cluster as the workers of an analysis; needs the extra `distributed`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from recu_analysis.errors import DamagedError, InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor

    from distributed import Client

#: How long a scheduler, and then its first worker, may take to answer, in seconds.
PATIENCE = 10


@contextlib.contextmanager
def connected(address: str) -> Iterator[Client]:
    """A client of the dask scheduler at an address, such as tcp://host:8786, during the context.

    Raises
    ------
    MissingExtraError
        If dask.distributed is not installed.
    InputError
        If no scheduler answers at the address, or it has no worker.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        if error.name != "distributed":
            raise
        raise MissingExtraError(
            'dask.distributed is not installed; install it with: pip install "recu-analysis[distributed]"'
        ) from None
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no dask scheduler answers at {address!r:.200} ({_first_line(error)}); give an address such as "
            "tcp://host:8786, where this runs: dask scheduler"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise InputError(
                f"the dask scheduler at {address} has no worker; start one where the run can be read: dask worker "
                f"{address}"
            ) from None
        yield client


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")


@contextlib.contextmanager
def executor_of(client: Client) -> Iterator[Executor]:
    """The executor of a client; work of a killed worker is done again by others.

    Raises
    ------
    DamagedError
        If several workers were killed by the same work.
    """
    from distributed import KilledWorker

    try:
        yield client.get_executor(pure=False)
    except KilledWorker:
        raise DamagedError(
            "several workers of the cluster were killed by the same layer, perhaps for lack of memory; give each "
            "more memory or fewer threads"
        ) from None
