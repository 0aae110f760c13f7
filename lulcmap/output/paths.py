"""Where a map and its run are written."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from lulcmap.errors import OutputError, UsageError
from lulcmap.geo import map_files
from lulcmap.output.report import REPORT_ENDING, MapReport, WrittenFile, is_report, report_path
from lulcmap.output.whole import is_map, written_files
from lulcmap.run import RunFolder
from lulcmap.system import HeldError, check_destination, check_ours, hold_file


def run_path(out: Path, workdir: Path | None, catalog: object = None) -> Path:
    """Path of a map's run folder: ``<out>.run``, beside the map or in another folder.

    Args:
        out: path of the map.
        workdir: the other folder; None is the map's own.
        catalog: the catalogue that is asked for; it may be a file.

    Raises:
        OutputError: the other folder does not exist, or the map or the catalogue lies in the run
            folder, which is removed.

    """
    if workdir and not workdir.is_dir():
        raise OutputError(f"No folder {workdir}. Make it, or change --workdir.")
    run = (workdir or out.parent) / f"{out.name}.run"
    check_outside(out, run)
    items = RunFolder(run).items_path
    is_path = isinstance(catalog, str | Path) and "://" not in str(catalog)
    if is_path and items.is_file() and items.resolve() == Path(str(catalog)).resolve():
        raise OutputError(
            f"The catalogue {catalog} lies in the run folder {run}, which goes when the map is "
            "made. Give the catalogue that the run was begun with, or choose another --out."
        )
    return run


def map_paths(out: Path, crs: Sequence[str], codes: Sequence[int | str]) -> list[Path]:
    """Paths of a map's files.

    Args:
        out: path of the first.
        crs: CRS of each map.
        codes: EPSG codes of the UTM zones that are written too.

    """
    return [*map_files(out, len(crs)), *(out.with_stem(f"{out.stem}-z{code}") for code in codes)]


def check_writable(out: Path) -> None:
    """Check that a map can be written to a path, and that no other file is lost there.

    Raises:
        UsageError: its name is not that of a GeoTIFF.
        OutputError: it cannot, or the file there is none that lulcmap wrote.

    """
    report = MapReport.read(out, min_coverage=0)
    check_map_file(out, written_files(out, report).get(out) if report else None)
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise UsageError(
            f"The map is a GeoTIFF, and --out is {out.name}. Give a name that ends in .tif or "
            ".tiff."
        )
    if not os.path.lexists(out):
        check_ours(report_path(out), is_report, kind="the report of a map")


def check_map_file(path: Path, written: WrittenFile | None, layer: str | None = None) -> None:
    """Check one file of a map as ``check_writable`` does.

    Args:
        path: path of the file.
        written: what the report says of it.
        layer: name of the layer that the file is to be; None is the map itself.

    Raises:
        OutputError: as of ``check_writable``.

    """
    check_destination(path, beside=(REPORT_ENDING, ".run"))
    kind = "this map, nor any" if layer is None else f"the {layer} of a map"
    check_ours(path, partial(is_map, written=written, layer=layer), kind=kind)


def check_outside(out: Path, run: Path) -> None:
    """Check that a map is not written into a run folder, which is removed.

    Raises:
        OutputError: it would be.

    """
    if run.resolve() in out.absolute().parent.resolve().joinpath(out.name).parents:
        raise OutputError(
            f"{out} lies in the run folder {run}, which goes when the map is made. Change --out."
        )


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
