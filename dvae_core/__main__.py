"""`python -m dvae_core` is `dvae`."""

from dvae_core.cli import main

if __name__ == "__main__":
    main()
