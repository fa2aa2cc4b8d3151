"""What all tests share: how they run, and a synthetic run."""

import os
import signal

import pytest
from hypothesis import settings

# Before numpy and torch start their threads: the machines that run the tests have two cores, `make test` two processes.
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")

# A busy machine is no failure: speed is measured in benchmarks/, not here. Who runs the core tests twice runs the same
# tests twice; what looks for new examples is in `make test-faults`.
settings.register_profile("patient", deadline=None, derandomize=True)
settings.load_profile("patient")

# A shell that starts the tests in the background has them ignore Ctrl-C, and with them every process that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory):
    """A synthetic run of two layers and 4 windows, and what is known of it; to be read only."""
    from recu_analysis.testing import synthetic_run

    return synthetic_run(tmp_path_factory.mktemp("synthetic") / "run")


@pytest.fixture
def synthetic_path(tmp_path):
    """The folder of a synthetic run of two layers and 4 windows, to be changed at will."""
    from recu_analysis.testing import synthetic_run

    return synthetic_run(tmp_path / "run").path
