"""The built-in components, one module or folder a kind.

They are registered through the entry-point group `dvae` and use only what `dvae_core` offers to
everyone.
"""
