"""Faster steps, of the same results."""
