"""`python -m elr`."""

from elr.cli.main import main

if __name__ == "__main__":
    main()
