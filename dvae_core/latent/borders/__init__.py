"""The border suite: which class owns which part of latent space, and how one walks between them.

Nothing here looks at the guidance head: the judges never take part in training.
"""
