import os
import socket

import pytest

from lulcmap.errors import UsageError
from lulcmap.system import check_is_file


def test_files_and_what_is_missing_are_left_to_the_reader(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")

    for name in ("file", "link", "missing", "file/below"):
        check_is_file(tmp_path / name, UsageError)


def test_what_may_never_end_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket has at most 108 bytes
    os.mkfifo("pipe")
    (tmp_path / "link").symlink_to("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")

    for path, kind in (
        *((tmp_path / "pipe", "a pipe"), (tmp_path / "link", "a pipe"), (tmp_path, "a folder")),
        *((tmp_path / "socket", "a socket"), (tmp_path / "/dev/zero", "a device")),
    ):
        with pytest.raises(UsageError, match=f"{path} is {kind}, not a file. "):
            check_is_file(path, UsageError)


def test_a_path_that_cannot_be_looked_up_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: File name too long"):
        check_is_file(tmp_path / ("x" * 300), UsageError)
    with pytest.raises(UsageError, match="cannot be read: embedded null byte"):
        check_is_file(tmp_path / "a\0b", UsageError)
