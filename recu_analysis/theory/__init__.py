"""Closed forms of the paper on numpy arrays; these modules import only numpy and scipy."""
