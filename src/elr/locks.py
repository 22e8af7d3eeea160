"""Locks of the system on files and folders: they go with the process that has them, however it ends."""

from __future__ import annotations


def locked(descriptor: int, *, wait: bool = False) -> bool:
    """Whether nobody else has what is open there, which this process has from now on until it closes it.

    Always where the system or the file system has no locks.

    Args:
        descriptor: of an open file or folder.
        wait: until the others have let go of it.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile() as one, open(one.name, "rb") as other:
        ...     locked(one.fileno()), locked(other.fileno())
        (True, False)
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
