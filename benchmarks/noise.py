"""What noise alone does: simulations, the nulls on simulated layers, and trainings with and without a signal.

python -m benchmarks.noise [--short]
"""

from __future__ import annotations

import sys

from benchmarks import control, simulations, uneven_noise, validate_nulls

if __name__ == "__main__":
    simulations.main()
    validate_nulls.main(sys.argv[1:])
    uneven_noise.main(sys.argv[1:])
    control.main(sys.argv[1:])
