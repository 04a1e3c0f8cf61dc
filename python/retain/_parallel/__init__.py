"""Calls that run side by side, on every core."""
