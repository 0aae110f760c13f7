"""A lock is a file of its own: nothing put in its place is written to or waited for."""

import os

import pytest

from lulcmap.system.lock import hold_file, holder


def held(path):
    with hold_file(path):
        pass


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path):
    precious, lock = tmp_path / "precious", tmp_path / "run.lock"
    precious.write_text("mine")
    lock.symlink_to(precious)

    with pytest.raises(OSError, match="the lock is a link"):
        held(lock)
    assert holder(lock) is None
    lock.unlink()
    lock.symlink_to(tmp_path / "new")
    with pytest.raises(OSError, match="the lock is a link"):
        held(lock)

    assert precious.read_text() == "mine"
    assert not (tmp_path / "new").exists()


def test_a_second_name_of_another_file_is_no_lock(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "run.lock").hardlink_to(precious)

    with pytest.raises(OSError, match="no file of its own"):
        held(tmp_path / "run.lock")

    assert precious.read_text() == "mine"


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "run.lock")

    with pytest.raises(OSError, match="no file of its own"):
        held(tmp_path / "run.lock")
    assert holder(tmp_path / "run.lock") is None
