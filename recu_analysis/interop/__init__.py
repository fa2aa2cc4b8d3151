"""Files of others: the checkpoints of ReCU's authors, and those of any training with PyTorch."""
