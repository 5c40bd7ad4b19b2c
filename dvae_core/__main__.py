"""`python -m dvae_core` is `dvae`."""


def main() -> None:
    """The command; Ctrl-C ends it without a traceback from its first import on."""
    import sys

    try:
        from dvae_core.cli import main

        main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
