"""What all tests share."""

import os

# Before numpy and torch start their threads: the machines that run the tests have two cores.
os.environ.setdefault("OMP_NUM_THREADS", "2")
