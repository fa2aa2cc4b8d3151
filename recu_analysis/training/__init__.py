"""Training the networks of recu_analysis.nn, recorded: configuration, data, loop, resumption."""
