"""What pages need beyond a plain installation."""

from importlib.util import find_spec

from lulcmap.errors import UsageError

_PACKAGES = ("rio_tiler", "starlette", "uvicorn")


def check_view_extra() -> None:
    """Check that the packages of the extra ``view`` are there.

    Raises:
        UsageError: one is missing.

    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        names = ", ".join(missing).replace("_", "-")
        raise UsageError(
            f"Pages in a browser need {names}, which {'is' if len(missing) == 1 else 'are'} not "
            "installed: pip install 'lulcmap[view]'."
        )
