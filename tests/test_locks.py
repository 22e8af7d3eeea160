"""Locks on files and folders."""

import errno
import fcntl
import os

from elr.locks import locked


def test_a_folder_is_one_holders_until_that_lets_go(tmp_path):
    one, other = os.open(tmp_path, os.O_RDONLY), os.open(tmp_path, os.O_RDONLY)
    assert locked(one)
    assert locked(one)
    assert not locked(other)
    os.close(one)
    assert locked(other, wait=True)
    os.close(other)


def test_where_there_are_no_locks_nothing_is_held(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refused)
    with (tmp_path / "a").open("wb") as one, (tmp_path / "a").open("rb") as other:
        assert locked(one.fileno())
        assert locked(other.fileno())
