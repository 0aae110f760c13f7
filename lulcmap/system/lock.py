"""Locks on files, which the kernel releases when the process that holds them dies.

So a dead holder needs no timeout, and a changed clock means nothing. Linux passes these locks on to
an NFS server, so they hold between machines too. Where the system has none (Windows), or the
filesystem, a warning says so and nothing is locked.
"""

import errno
import json
import logging
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
"""Errors of a filesystem without locks."""

_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
"""Flags to open a lock with: a link in its place is not followed, a pipe is not waited for."""

_TRIES, _PAUSE_S = 10, 0.1
"""Tries to take a lock, since whoever only asks who holds it has it for a moment; seconds between
two of them."""


class HeldError(Exception):
    """Another process holds the lock; the text says which one."""


@contextmanager
def hold_file(path: Path, *, shared: bool = False, wait: bool = False) -> Iterator[None]:
    """Hold a lock on a file in the body.

    Args:
        path: path of the file, made if it is missing; it stays. Its folder exists.
        shared: whether other processes may hold it too, if they share it.
        wait: whether to wait until it is free.

    Raises:
        HeldError: another process holds it, and ``wait`` is False.
        OSError: the file cannot be made, or something else has its name, such as a link.

    """
    if fcntl is None:
        # Nothing is left open: Windows cannot remove an open file.
        _warn_of_no_locks(path)
        os.close(_open(path))
        yield
        return
    descriptor = _hold(path, shared=shared, wait=wait)
    try:
        if not shared:
            os.ftruncate(descriptor, 0)
            who = {"host": socket.gethostname(), "pid": os.getpid()}
            os.write(descriptor, json.dumps(who).encode())
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> str | None:
    """The process that holds a file alone; None if none does, or the system has no locks."""
    if fcntl is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | _SAFELY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _who(path)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None


def _hold(path: Path, *, shared: bool, wait: bool) -> int:
    kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    tries = _TRIES
    while True:
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, kind)
            if _is(path, descriptor):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            tries -= 1
            if not tries:
                raise HeldError(_who(path)) from None
            time.sleep(_PAUSE_S)
            continue
        except OSError as error:
            if error.errno in _NO_LOCKS:
                _warn_of_no_locks(path)
                return descriptor
            os.close(descriptor)
            raise
        os.close(descriptor)  # the file was removed before the lock was ours


def _open(path: Path) -> int:
    """Open the file of a lock, made if it is missing; its content may be replaced.

    Raises:
        OSError: it cannot be made, or is a link, a pipe, or a second name of another file.

    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _SAFELY, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise OSError(errno.ELOOP, "the lock is a link: remove it", str(path)) from None
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
        os.close(descriptor)
        raise OSError(errno.EEXIST, "the lock is no file of its own: remove it", str(path))
    return descriptor


def _warn_of_no_locks(path: Path) -> None:
    logger.warning(
        "%s cannot be locked here: make sure that no two processes work on one run.", path.parent
    )


def _is(path: Path, descriptor: int) -> bool:
    """Whether a path still names the open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _who(path: Path) -> str:
    try:
        who = json.loads(path.read_text())
        return f"process {who['pid']} on {who['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
