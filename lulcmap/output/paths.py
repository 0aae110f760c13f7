"""Where a map and its run are written."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from lulcmap.errors import OutputError
from lulcmap.geo import map_files
from lulcmap.system import HeldError, hold_file


def run_path(out: Path, workdir: Path | None) -> Path:
    """Path of a map's run folder: ``<out>.run``, beside the map or in another folder.

    Args:
        out: path of the map.
        workdir: the other folder; None is the map's own.

    Raises:
        OutputError: the other folder does not exist.

    """
    if workdir and not workdir.is_dir():
        raise OutputError(f"No folder {workdir}. Make it, or change --workdir.")
    return (workdir or out.parent) / f"{out.name}.run"


def map_paths(out: Path, crs: Sequence[str], codes: Sequence[int | str]) -> list[Path]:
    """Paths of a map's files.

    Args:
        out: path of the first.
        crs: CRS of each map.
        codes: EPSG codes of the UTM zones that are written too.

    """
    return [*map_files(out, len(crs)), *(out.with_stem(f"{out.stem}-z{code}") for code in codes)]


def check_writable(out: Path) -> None:
    """Check that a map can be written to a path.

    Raises:
        OutputError: it cannot.

    """
    if out.is_dir():
        raise OutputError(f"{out} is a folder; --out takes the name of a file.")
    if not out.parent.is_dir():
        raise OutputError(f"No folder {out.parent}. Make it, or change --out.")
    if not os.access(out.parent, os.W_OK):
        raise OutputError(f"The folder {out.parent} is not writable. Change --out.")


@contextmanager
def hold_map(out: Path) -> Iterator[None]:
    """Hold a map's name in the body against runs in other folders that write the same files.

    The lock is a hidden file beside the map. A killed process leaves it, unlocked, and the next
    process to write the map removes it.

    Args:
        out: path of the map.

    Raises:
        OutputError: another process writes the map, or nothing can be written there.

    """
    path = out.with_name(f".{out.name}.lock")
    with ExitStack() as stack:
        try:
            stack.enter_context(hold_file(path))
        except HeldError as other:
            raise OutputError(
                f"Another run is writing {out} ({other}). Let it finish, or choose another --out, "
                "then run the same command again to resume."
            ) from None
        except OSError as error:
            raise OutputError(
                f"The map cannot be written to {out} ({error.strerror or error}). Check that the "
                "disk is not full and the folder is writable, then run the same command again."
            ) from error
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)
