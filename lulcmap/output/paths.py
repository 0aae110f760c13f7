"""Where a map and its run are written, looked at before anything else is done."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from lulcmap.errors import OutputError
from lulcmap.geo.map_grid import files
from lulcmap.output.cog import plan_of, request_of
from lulcmap.run.lock import HeldError, lock


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


def outputs(out: Path, crs: Sequence[str], codes: Sequence[int | str]) -> list[Path]:
    """The files that are written for a map.

    Args:
        out: the first of them.
        crs: of each map.
        codes: of the UTM zones that are written too.

    """
    return [*files(out, len(crs)), *(out.with_stem(f"{out.stem}-z{code}") for code in codes)]


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


def is_made(
    outs: Sequence[Path], plan: str, *, overwrite: bool, request: str | None = None
) -> bool:
    """Whether all files of a map are there already, made to a plan.

    Args:
        outs: the files.
        plan: the plan's digest.
        overwrite: whether other files may be replaced.
        request: digest of what is asked for, where a map that was made to it of other scenes
            serves too; not if files may be replaced.

    Raises:
        OutputError: another file is there.

    """
    plans = {out: plan_of(out) for out in outs if out.exists()}
    others = [out for out, found in plans.items() if found != plan]
    if request is not None and not overwrite:
        others = [out for out in others if request_of(out) != request]
    if others and not overwrite:
        raise OutputError(
            f"{others[0]} exists and is not this map. Give --overwrite to replace it, or another "
            "--out."
        )
    return len(plans) == len(outs) and not others


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Hold a map's name in the body against runs in other folders, who write the same files.

    The lock is a hidden file beside the map. A process that is killed leaves it; nobody holds it
    then, and the next one to write the map removes it.

    Args:
        out: the map.

    Raises:
        OutputError: another process writes it, or nothing can be written there.

    """
    path = out.with_name(f".{out.name}.lock")
    with ExitStack() as stack:
        try:
            stack.enter_context(lock(path))
        except HeldError as other:
            raise OutputError(
                f"Another run writes {out} ({other}). Let it finish, or choose another --out; then "
                "run the same command again to go on."
            ) from None
        except OSError as error:
            raise OutputError(
                f"The map cannot be written to {out} ({error.strerror or error}). See that the "
                "disk is not full and the folder can be written, then run the same command again."
            ) from error
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)
