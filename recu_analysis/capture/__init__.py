"""Recording the latent weights of a network while it trains."""
