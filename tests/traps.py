"""What shows whether a file was unpickled without care."""

from pathlib import Path


class Trap:
    """What creates a file when it is unpickled without care."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)
