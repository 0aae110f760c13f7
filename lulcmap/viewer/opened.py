"""Open what a user names, and serve it."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lulcmap.errors import LulcmapError
from lulcmap.products import load_named_regions
from lulcmap.viewer.areas import areas_within, view_box
from lulcmap.viewer.maps import open_maps, open_pictures
from lulcmap.viewer.server import make_app, served
from lulcmap.viewer.site import Site, basemap_origin, site_routes


def open_site(
    maps: Sequence[Path],
    *,
    composites: Sequence[Path] = (),
    regions: Path | None = None,
    region_column: str | None = None,
    layer: str | None = None,
    basemap: str | None = None,
) -> Site:
    """Open maps to look at.

    Args:
        maps: paths of maps; files of one run are the parts of one map.
        composites: paths of composites beside those of the maps.
        regions: path of a vector file with polygons; None for none.
        region_column: column with their names; None takes the one that looks like it.
        layer: layer of the file, where it has several.
        basemap: URL of tiles below all, with ``{z}``, ``{x}`` and ``{y}``; None for none.

    Raises:
        UsageError: a file cannot be read or is none of its kind, or the URL is none of tiles.

    """
    if basemap is not None:
        basemap_origin(basemap)
    opened = open_maps(maps)
    named = None
    if regions is not None:
        named = load_named_regions(regions, column=region_column, layer=layer)
    return Site(opened, open_pictures(opened, composites), named, basemap)


@contextmanager
def serve_site(site: Site, *, port: int | None = None) -> Iterator[str]:
    """Serve the page of what was opened to the user of this machine.

    Args:
        site: what was opened.
        port: port to listen on; None for one that is free.

    Yields:
        Address of the page.

    Raises:
        UsageError: the port cannot be had.

    """
    origins = () if site.basemap is None else (basemap_origin(site.basemap),)
    # Counting is compiled at its first use: not while the user waits for the first view.
    threading.Thread(target=_warm_up, args=(site,), name="warm-up", daemon=True).start()
    with served(make_app(site_routes(site)), port=port, image_origins=origins) as address:
        yield address


def _warm_up(site: Site) -> None:
    with suppress(LulcmapError):  # told where it is asked for
        areas_within(site.maps[0], view_box(site.maps[0].bounds))
