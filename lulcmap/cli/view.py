"""``lulcmap view``: a map in a browser."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from lulcmap.cli.app import refuse_given
from lulcmap.cli.command import Command
from lulcmap.cli.options import region_options, server_options
from lulcmap.cli.terminal import echo, in_line, note_lost_output

if TYPE_CHECKING:
    from lulcmap.viewer import Site

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(cls=Command, short_help="Show maps in a browser, or export them as a page.")
@click.argument("maps", metavar="MAP...", type=_FILE, nargs=-1, required=True)
@click.option(
    "--composite",
    "composites",
    type=_FILE,
    multiple=True,
    help="Composite to compare with; give it again for more. That of a map, beside it, is found.",
)
@region_options
@server_options
@click.option(
    "--export",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Write a page that opens without a server, and end.",
)
@click.option(
    "--max-zoom",
    type=click.IntRange(0, 24),
    help="Finest zoom of an exported page: 14 has pixels of 10 m at the equator, 13 of 20 m and so "
    "on.  [default: every pixel]",
)
@click.option("--overwrite", is_flag=True, help="Replace an exported page.")
@click.pass_context
def view(
    ctx: click.Context,
    /,
    *,
    maps: tuple[Path, ...],
    composites: tuple[Path, ...],
    regions: Path | None,
    region_column: str | None,
    layer: str | None,
    basemap: str | None,
    port: int | None,
    no_browser: bool,
    export: Path | None,
    max_zoom: int | None,
    overwrite: bool,
) -> None:
    """Show MAP in a browser: classes, areas of the view, single pixels, other years, composites.

    \b
        lulcmap view luxembourg-2024.tif
        lulcmap view luxembourg-2020.tif luxembourg-2024.tif --regions cantons.gpkg
        lulcmap view luxembourg-2024.tif --export page

    The page is served on this machine to its user alone, at an address with a secret in it. Ctrl-C
    stops the server. Give several maps to compare them, and all files of a map that has several
    parts.
    """
    from lulcmap.viewer import check_view_extra, open_site

    check_view_extra()
    if regions is None:
        refuse_given(ctx, ("region_column", "layer"), "They are for --regions.")
    if export is None:
        refuse_given(ctx, ("overwrite", "max_zoom"), "It is for --export.")
    else:
        refuse_given(ctx, ("port", "no_browser"), "They are for the server; --export needs none.")
    site = open_site(
        maps,
        composites=composites,
        regions=regions,
        region_column=region_column,
        layer=layer,
        basemap=basemap,
    )
    for note in site.notes:
        echo(f"Note: {in_line(note)}", err=True)
    if export is not None:
        _export(site, export, max_zoom, overwrite=overwrite)
    else:
        _serve(site, port, opens=not no_browser)
    note_lost_output()


def _export(site: "Site", folder: Path, max_zoom: int | None, *, overwrite: bool) -> None:
    """Write the page, and say what belongs to it."""
    from lulcmap.cli.progress import bars
    from lulcmap.viewer import MAX_ZOOM, export_page

    zoom = MAX_ZOOM if max_zoom is None else max_zoom
    with bars(hidden=False) as progress:
        page = export_page(site, folder, max_zoom=zoom, overwrite=overwrite, progress=progress)
    size = f"{page.n_bytes / 1e6:,.0f} MB" if page.n_bytes >= 1e6 else "less than 1 MB"
    beside = "" if page.folder is None else f", and its data in {page.folder.name} beside it"
    echo(f"Wrote {page.path}{beside} ({size}). Open it in a browser.")


def _serve(site: "Site", port: int | None, *, opens: bool) -> None:
    """Serve until the command is stopped."""
    from lulcmap.viewer import serve_site

    with serve_site(site, port=port) as address, shown_address(address, opens=opens):
        threading.Event().wait()


@contextmanager
def shown_address(address: str, *, opens: bool) -> Iterator[None]:
    """Print the address of a page, and open it where there is a screen.

    The browser is given a file that leads to the address: all users of the machine can read its
    command line, and this file only its owner.

    Args:
        address: the address, with its token.
        opens: whether a browser may be opened.

    """
    echo(f"{address}\nOnly this machine can open it. Stop with Ctrl-C.")
    has_screen = sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    with ExitStack() as stack:
        if opens and has_screen:
            import webbrowser

            with suppress(OSError):  # the address is printed anyhow
                webbrowser.open(stack.enter_context(_leading_to(address)).as_uri())
        yield


@contextmanager
def _leading_to(address: str) -> Iterator[Path]:
    """A file that leads a browser to an address, in a folder that only its owner can open."""
    # A browser packed by snap, as on Ubuntu, sees files of the home folder, not those of /tmp.
    place = Path.home() if Path("/var/lib/snapd").is_dir() else None
    with TemporaryDirectory(prefix="lulcmap-", dir=place, ignore_cleanup_errors=True) as folder:
        path = Path(folder, "open.html")
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(
                '<!doctype html><meta charset="utf-8"><title>lulcmap</title>'
                f'<meta http-equiv="refresh" content="0; url={address}">'
                f'<a href="{address}">Open the page</a>'
            )
        yield path
