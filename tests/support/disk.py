"""A disk that is full, or says that it is."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import patch


@contextmanager
def full_disk(after: int) -> Iterator[None]:
    """No file may grow beyond ``after`` bytes in the body."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def disk_with(*free: int) -> Iterator[None]:
    """Every disk says in the body that so many bytes are free, one look after another."""
    left = list(free)

    def usage(_):
        return SimpleNamespace(free=left.pop(0) if len(left) > 1 else left[0])

    with patch("shutil.disk_usage", usage):
        yield
