"""Intervention: change chosen weights of a trained network, and see what that costs."""
