"""What all tests share."""

import os
import signal

from hypothesis import settings

# Before numpy and torch start their threads: the machines that run the tests have two cores, `make test` two processes.
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")

# A busy machine is no failure: speed is measured in benchmarks/, not here. Who runs the core tests twice runs the same
# tests twice; what looks for new examples is in `make test-faults`.
settings.register_profile("patient", deadline=None, derandomize=True)
settings.load_profile("patient")

# A shell that starts the tests in the background has them ignore Ctrl-C, and with them every process that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
