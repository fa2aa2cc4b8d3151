"""Checkpoint files from elsewhere: those of ReCU's authors, and those of any training with PyTorch."""
