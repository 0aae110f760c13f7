"""A full disk, real or pretended."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import patch


@contextmanager
def full_disk(after: int) -> Iterator[None]:
    """Limit every file to ``after`` bytes in the body."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def disk_with(*free: int) -> Iterator[None]:
    """Pretend that so many bytes are free: one number per query, the last for the rest."""
    left = list(free)

    def usage(_):
        return SimpleNamespace(free=left.pop(0) if len(left) > 1 else left[0])

    with patch("shutil.disk_usage", usage):
        yield
