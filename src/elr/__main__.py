"""`python -m elr`."""

from elr.cli import main

if __name__ == "__main__":
    main()
