"""Measured claims: one script each, results as JSON."""
