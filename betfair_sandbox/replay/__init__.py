"""Recorded days: reading historical files, playing them as markets, writing the sandbox's own day in their format."""
