"""What a plugin author meets, and how plugins are found."""
