"""What all tests share."""

import os

from hypothesis import settings

# Before numpy and torch start their threads: the machines that run the tests have two cores.
os.environ.setdefault("OMP_NUM_THREADS", "2")

# A busy machine is no failure: speed is measured in benchmarks/, not here.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
