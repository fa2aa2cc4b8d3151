"""make test-fuzz: damaged runs, checkpoints and command lines, each answered by a result or by one sentence."""
