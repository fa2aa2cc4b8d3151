"""Measurements behind every claim about speed, beside the alternatives of users: make bench."""
