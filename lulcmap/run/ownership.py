"""Whose a run folder is: lulcmap works in one of the same user alone, and follows no link in it.

Whoever owns the folder can put links in it under the names lulcmap writes, and change the plan.
"""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from lulcmap.errors import OutputError


def check_owner(folder: Path, *inner: Path) -> None:
    """Check that a run folder belongs to this user and leads nowhere else.

    A link to another disk is fine if it is this user's. The superuser may work in everybody's
    folder, except in one that somebody made where all may write, such as ``/tmp``. Where the system
    has no owners (Windows), or the filesystem gives every file the same one, nothing is checked.

    Args:
        folder: path of the folder.
        inner: paths of the folders in it that are written to; missing ones are fine.

    Raises:
        OutputError: it is somebody else's, or one of the inner ones is a link.
        OSError: it cannot be read.

    """
    for path in inner:
        if path.is_symlink():
            raise OutputError(f"{path} is a link; a run is not written through it. Remove it.")
    if hasattr(os, "geteuid") and (_is_foreign(folder, folder.lstat()) or _is_linked_away(folder)):
        raise OutputError(
            f"The run folder {folder} belongs to another user. Choose another folder with "
            "--workdir, or have it removed."
        )


def _is_linked_away(folder: Path) -> bool:
    return folder.is_symlink() and _is_foreign(folder.resolve(), folder.stat())


def _is_foreign(path: Path, state: os.stat_result) -> bool:
    user = os.geteuid()
    if state.st_uid == user:
        return False
    if user == 0 and not path.absolute().parent.stat().st_mode & stat.S_IWOTH:
        return False
    return state.st_uid != _owner_of_new_files(path)


def _owner_of_new_files(folder: Path) -> int | None:
    """The user who owns what this process makes in a folder; None if it can make nothing there."""
    probe = folder / f".{secrets.token_hex(8)}.owner"
    try:
        descriptor = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError:
        return None
    try:
        return os.fstat(descriptor).st_uid
    finally:
        os.close(descriptor)
        with suppress(OSError):
            probe.unlink()
