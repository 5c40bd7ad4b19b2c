"""Those who train the same model: one script each, run in an environment of its own."""
