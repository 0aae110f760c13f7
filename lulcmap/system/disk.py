"""Room on disk: how much is free, and whether that is enough to go on."""

import shutil
from pathlib import Path

from lulcmap.errors import OutputError

RESERVE_BYTES = 16 * 2**20
"""Bytes left free besides what is needed, for the small files of a run and for others who write."""


def free_disk(folder: Path) -> int:
    """Bytes free for this user on the disk of a folder.

    Args:
        folder: that is there.

    Raises:
        OutputError: the folder cannot be reached.

    """
    try:
        return shutil.disk_usage(folder).free
    except OSError as error:
        raise OutputError(
            f"The folder {folder} cannot be reached ({error.strerror or error}). See that it is "
            "there and its disk or network mount is up, then run the same command again to go on."
        ) from error


def check_disk(folder: Path, needed: int, what: str) -> None:
    """See that there is room for what is written next.

    Args:
        folder: where it is written.
        needed: bytes; ``RESERVE_BYTES`` more have to be free.
        what: is written, for the message, such as ``"the map"``.

    Raises:
        OutputError: there is no room, or the folder cannot be reached.

    """
    left = free_disk(folder)
    if left < needed + RESERVE_BYTES:
        raise OutputError(
            f"The disk of {folder} has {_size(left)} free, and {what} needs "
            f"{_size(needed + RESERVE_BYTES)}. Free some "
            "space, then run the same command again to resume."
        )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
