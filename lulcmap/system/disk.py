"""Disk space: how much is free, and whether that is enough to continue."""

import shutil
from pathlib import Path

from lulcmap.errors import OutputError

RESERVE_BYTES = 16 * 2**20
"""Bytes to keep free beyond what is needed, for a run's small files and for other programs."""


def free_disk(folder: Path) -> int:
    """Bytes free for this user on the disk of a folder.

    Args:
        folder: path of an existing folder.

    Raises:
        OutputError: the folder cannot be reached.

    """
    try:
        return shutil.disk_usage(folder).free
    except OSError as error:
        raise OutputError(
            f"The folder {folder} cannot be reached ({error.strerror or error}). Check that it "
            "exists and its disk or network mount is up, then run the same command again to resume."
        ) from error


def check_disk(folder: Path, needed: int, what: str) -> None:
    """Check that there is room for what is written next.

    Args:
        folder: path of the folder it is written to.
        needed: bytes to write; ``RESERVE_BYTES`` more must be free.
        what: what is written, for the message, such as ``"the map"``.

    Raises:
        OutputError: there is no room, or the folder cannot be reached.

    """
    free = free_disk(folder)
    if free < needed + RESERVE_BYTES:
        raise OutputError(
            f"The disk of {folder} has {_size(free)} free, and {what} needs "
            f"{_size(needed + RESERVE_BYTES)}. Free some "
            "space, then run the same command again to resume."
        )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
