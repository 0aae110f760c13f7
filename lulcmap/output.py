"""Where a map and its run are written, looked at before anything else is done."""

import os
from pathlib import Path

from lulcmap.cog import plan_of
from lulcmap.errors import OutputError


def run_folder(out: Path, workdir: Path | None) -> Path:
    """Where the run of a map is kept: ``<out>.run``, beside it or in the folder asked for.

    Args:
        out: the map.
        workdir: the folder asked for.

    Raises:
        OutputError: there is no such folder.

    """
    if workdir and not workdir.is_dir():
        raise OutputError(f"There is no folder {workdir}; make it, or change --workdir.")
    return (workdir or out.parent) / f"{out.name}.run"


def check_place(out: Path) -> None:
    """See that a map can be written there.

    Raises:
        OutputError: it cannot.

    """
    if out.is_dir():
        raise OutputError(f"{out} is a folder; --out takes the name of a file to write.")
    if not out.parent.is_dir():
        raise OutputError(f"There is no folder {out.parent}; make it, or change --out.")
    if not os.access(out.parent, os.W_OK):
        raise OutputError(f"The folder {out.parent} cannot be written to; change --out.")


def is_made(out: Path, plan: str, *, overwrite: bool) -> bool:
    """Whether the map is there already, made to a plan.

    Args:
        out: the map.
        plan: the plan's digest.
        overwrite: whether another file may be replaced.

    Raises:
        OutputError: another file is there.

    """
    if out.exists() and plan_of(out) == plan:
        return True
    if out.exists() and not overwrite:
        raise OutputError(
            f"{out} exists and is not this map. Give --overwrite to replace it, or another --out."
        )
    return False
