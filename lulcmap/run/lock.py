"""A hold on a file, which the kernel lets go when the process that has it dies.

So a dead holder needs no time-out, and a clock that is changed means nothing. Linux passes these
locks on to an NFS server, so they hold between machines too.
"""

import errno
import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
"""What a filesystem says that has no locks."""


_TRIES, _PAUSE = 10, 0.1
"""Who only asks whether a lock is held, has it for a moment; seconds between two tries."""


class HeldError(Exception):
    """Another process has the lock; the text says which one."""


@contextmanager
def lock(path: Path, *, shared: bool = False, wait: bool = False) -> Iterator[None]:
    """Hold a file in the body.

    Args:
        path: of the file, made if need be; it stays, and its folder must be there.
        shared: whether others may hold it too, if they share it.
        wait: until it is free.

    Raises:
        HeldError: it is held, and ``wait`` is False.
        OSError: the file cannot be made.

    """
    descriptor = _hold(path, shared=shared, wait=wait)
    try:
        if not shared:
            os.ftruncate(descriptor, 0)
            who = {"host": socket.gethostname(), "pid": os.getpid()}
            os.pwrite(descriptor, json.dumps(who).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> str | None:
    """The process that holds a file alone; None if none does."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
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
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, kind)
            if _is(path, descriptor):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            tries -= 1
            if not tries:
                raise HeldError(_who(path)) from None
            time.sleep(_PAUSE)
            continue
        except OSError as error:
            if error.errno in _NO_LOCKS:
                logger.warning(
                    "%s lies on a filesystem without locks: see to it yourself that no two "
                    "processes work on one run.",
                    path.parent,
                )
                return descriptor
            os.close(descriptor)
            raise
        os.close(descriptor)  # it was removed before it was ours


def _is(path: Path, descriptor: int) -> bool:
    """Whether a path still names the file that is open."""
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
