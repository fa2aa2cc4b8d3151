"""Plots: functions from a table (and an Axes) to an Axes. They open no run."""
