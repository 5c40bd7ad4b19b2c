"""A trained model looked at: where images lie, what is measured there, who borders whom."""
