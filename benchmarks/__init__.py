"""How fast dvae is: beside what the machine can do, and beside what else trains the same model."""
