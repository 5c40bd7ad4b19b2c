"""A page that explores a run's latent space: one file, no server, no outside request."""
