"""The files of a map: what each shows, and how it comes from the blocks of a run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap.geo import Box, ZonePart, covering_grid, planned_grids, project, split_by_zone
from lulcmap.output.cog import write_cog, write_layer_cog
from lulcmap.output.layer_names import layer_path
from lulcmap.output.layers import Layer
from lulcmap.output.mosaic import LayerBlocks, joined_layer, joined_map
from lulcmap.output.paths import map_paths
from lulcmap.output.report import WrittenFile
from lulcmap.output.zone_reader import ZoneBlocks
from lulcmap.run import About, Plan, RunFolder, check_block
from lulcmap.system import Steps


@dataclass(frozen=True, slots=True)
class MapFile:
    """One file to be written: a map, or what is mapped in a UTM zone on the zone's own grid."""

    out: Path
    """Path of the COG."""

    grid: GeoBox
    """Grid of the file."""

    polygon: shapely.MultiPolygon
    """The part of the area it shows, in its CRS."""

    crs: str
    """``"EPSG:<code>"`` or a PROJ string."""

    parts: Sequence[ZonePart]
    """The part of the polygon in each UTM zone, in the file's CRS."""

    is_of_zone: bool = False
    """Whether it shows again what is in a zone."""

    @property
    def written(self) -> WrittenFile:
        """What the report says of the file."""
        height, width = self.grid.shape
        return WrittenFile(self.out.name, self.crs, height, width)


def map_files(out: Path, plan: Plan, about: About, *, zones: bool) -> Iterator[MapFile]:
    """The files of a map, to be written.

    Args:
        out: path of the first.
        plan: the plan.
        about: what else the run knows.
        zones: whether a file of each UTM zone is written too.

    """
    zone_parts = split_by_zone(about.area)
    grids = planned_grids(about.area, plan.crs)
    paths = map_paths(out, plan.crs, [part.epsg for part in zone_parts] if zones else [])
    for map_grid, path in zip(grids, paths, strict=False):
        crs = map_grid.crs
        parts = [
            ZonePart(part.epsg, project(part.polygon, crs)) for part in split_by_zone(map_grid.area)
        ]
        yield MapFile(path, map_grid.grid, map_grid.polygon, crs, parts)
    for part, path in zip(zone_parts if zones else [], paths[len(grids) :], strict=True):
        crs = f"EPSG:{part.epsg}"
        polygon = project(part.polygon, crs)
        yield MapFile(
            path, covering_grid(polygon, crs), polygon, crs, [ZonePart(part.epsg, polygon)], True
        )


def write_map_file(
    run: RunFolder,
    file: MapFile,
    tags: Mapping[str, str],
    areas: NDArray[np.float64] | None,
    progress: Steps,
) -> WrittenFile:
    """Write a file of a map, and add up the areas of its classes.

    Args:
        run: the run; all its blocks are done.
        file: the file.
        tags: tags of the map.
        areas: (256,) square metres of each value, added to; None is not asked for.
        progress: called with the number of rows done, and of all rows.

    Raises:
        OutputError: a block cannot be read, or the file cannot be written.

    """
    plan, about = run.frozen()
    raster = joined_map(
        _zones(run, file, plan),
        target=file.grid,
        polygon=file.polygon,
        check=check_block,
        areas=areas,
        progress=progress,
    )
    size, sha256 = write_cog(raster, file.out, tags=tags, legend=about.legend)
    return replace(file.written, bytes=size, sha256=sha256)


def _zones(run: RunFolder, file: MapFile, plan: Plan, layer: str = "") -> list[ZoneBlocks]:
    """The files of the blocks in each zone of a file, of the classes or of a layer."""
    blocks: dict[int, list[tuple[Path, Box]]] = {}
    for block in plan.placed_blocks:
        blocks.setdefault(block.id.zone, []).append((run.block_path(block.id, layer), block.box))
    return [ZoneBlocks(part.epsg, part.polygon, blocks.get(part.epsg, [])) for part in file.parts]


def write_layer_file(
    run: RunFolder, file: MapFile, layer: Layer, tags: Mapping[str, str], progress: Steps
) -> WrittenFile:
    """Write a layer of a file beside it; arguments and errors as of ``write_map_file``.

    Args:
        run: the run.
        file: the file.
        layer: the layer.
        tags: tags of the map.
        progress: called with the number of rows done, and of all rows.

    """
    plan, _ = run.frozen()
    zones = _zones(run, file, plan)
    source = _zones(run, file, plan, layer.name) if layer.is_kept else zones
    raster = joined_layer(
        zones,
        LayerBlocks(source, layer.sources, layer.dtype, layer.nodata, layer.bytes_per_pixel),
        target=file.grid,
        polygon=file.polygon,
        check=check_block,
        progress=progress,
    )
    out = layer_path(file.out, layer.name)
    size, sha256 = write_layer_cog(
        raster,
        out,
        layer=layer.name,
        bands=layer.bands,
        tags=tags,
        overviews=layer.overviews,
    )
    return replace(file.written, file=out.name, bytes=size, sha256=sha256)
