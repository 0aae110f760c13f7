"""Whether a path that a user gives can be read to its end: a named pipe may never give one."""

import stat
from pathlib import Path

from lulcmap.errors import LulcmapError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_is_file(path: Path, error: type[LulcmapError]) -> None:
    """Refuse what is there but is no file, before a library opens it and waits.

    Args:
        path: path to be read; whoever reads it says what to give if nothing is there.
        error: kind of error to raise.

    Raises:
        LulcmapError: of the kind given; the path names something else than a file.

    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else fault
        raise error(f"{path} cannot be read: {reason}. Give a file.") from fault
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        advice = (
            "Give a file." if stat.S_ISDIR(mode) else "Save its content in a file, and give that."
        )
        raise error(f"{path} is {kind}, not a file. {advice}")
