"""Closed forms of the paper on numpy arrays: the ground layer, which imports numpy and scipy only."""
