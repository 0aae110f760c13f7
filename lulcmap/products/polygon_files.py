"""Write polygons of classes as GeoPackage, FlatGeobuf or GeoParquet, a chunk at a time."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyproj import CRS

GEOMETRY = "geometry"

ENDINGS = (".gpkg", ".fgb", ".parquet")
"""Endings of the formats."""

FIRST = ("class_id", "class", "ha")
"""First columns of every file."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some polygons."""

    shapes: NDArray[np.object_]
    """(n,) polygons."""

    class_ids: NDArray[np.int64]
    """(n,) values in the map."""

    names: NDArray[np.object_]
    """(n,) names of the classes."""

    ha: NDArray[np.float64]
    """(n,) hectares on the WGS 84 ellipsoid."""

    tile: int | None
    """Number of their tile; None if the map is one."""

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns of the table, in order."""
        columns: dict[str, NDArray[Any]] = {
            "class_id": self.class_ids.astype(np.int32),
            "class": self.names,
            "ha": np.round(self.ha, 8),
        }
        if self.tile is not None:
            columns["tile"] = np.full(len(self.shapes), self.tile, np.int32)
        return columns


def write_chunks(path: Path, chunks: Iterable[Chunk], *, layer: str, crs: CRS) -> None:
    """Write polygons to a new file, in the format of its ending.

    Args:
        path: path of the file.
        chunks: the polygons; at least one chunk.
        layer: name of the layer.
        crs: their CRS.

    Raises:
        OSError, pyogrio.errors.DataSourceError, pyogrio.errors.FeatureError: it cannot be written.

    """
    if path.suffix.lower() == ".gpkg":
        _write_gpkg(path, chunks, layer, crs)
    elif path.suffix.lower() == ".fgb":
        _write_fgb(path, chunks, layer, crs)
    else:
        _write_parquet(path, chunks, crs)


def _write_gpkg(path: Path, chunks: Iterable[Chunk], layer: str, crs: CRS) -> None:
    for number, chunk in enumerate(chunks):
        columns = chunk.columns()
        pyogrio.raw.write(
            path,
            geometry=shapely.to_wkb(chunk.shapes),
            field_data=list(columns.values()),
            fields=list(columns),
            layer=layer,
            driver="GPKG",
            geometry_type="Polygon",
            crs=crs.to_wkt(),
            append=number > 0,
        )


def _write_fgb(path: Path, chunks: Iterable[Chunk], layer: str, crs: CRS) -> None:
    import pyarrow

    # Arrow would turn an error in the middle, also that of a signal, into one of its own.
    failed: list[BaseException] = []

    def batches() -> Iterator[Any]:
        try:
            yield from rest
        except BaseException as error:
            failed.append(error)

    rest = (_batch(chunk) for chunk in chunks)
    first = next(rest)
    reader = pyarrow.RecordBatchReader.from_batches(first.schema, _chain(first, batches()))
    pyogrio.raw.write_arrow(
        reader,
        path,
        layer=layer,
        driver="FlatGeobuf",
        geometry_name=GEOMETRY,
        geometry_type="Polygon",
        crs=crs.to_wkt(),
    )
    if failed:
        raise failed[0]


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _batch(chunk: Chunk) -> Any:
    """A chunk as a batch of Arrow, its geometry as WKB."""
    import pyarrow

    columns = {name: pyarrow.array(values) for name, values in chunk.columns().items()}
    columns[GEOMETRY] = pyarrow.array(shapely.to_wkb(chunk.shapes), pyarrow.binary())
    return pyarrow.RecordBatch.from_pydict(columns)


def _write_parquet(path: Path, chunks: Iterable[Chunk], crs: CRS) -> None:
    """Write GeoParquet 1.1.0, with a box beside each polygon by which readers skip others."""
    import pyarrow
    import pyarrow.parquet

    writer, whole = None, np.array([np.inf, np.inf, -np.inf, -np.inf])
    try:
        for chunk in chunks:
            batch, bounds = _batch(chunk), shapely.bounds(chunk.shapes)
            whole[:2] = np.minimum(whole[:2], bounds[:, :2].min(axis=0))
            whole[2:] = np.maximum(whole[2:], bounds[:, 2:].max(axis=0))
            boxes = pyarrow.StructArray.from_arrays(
                [pyarrow.array(side) for side in bounds.T], ["xmin", "ymin", "xmax", "ymax"]
            )
            batch = batch.append_column("bbox", boxes)
            if writer is None:
                # With Arrow's own schema in the file, readers of it would not see what is added.
                writer = pyarrow.parquet.ParquetWriter(
                    path, batch.schema, compression="zstd", store_schema=False
                )
            writer.write_batch(batch)
        if writer is not None:
            about = json.dumps(_about(crs, whole.tolist()))
            writer.add_key_value_metadata({"geo": about})
    finally:
        if writer is not None:
            writer.close()


def _about(crs: CRS, bounds: list[float]) -> dict[str, Any]:
    """The metadata of a GeoParquet file."""
    covering = {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}
    return {
        "version": "1.1.0",
        "primary_column": GEOMETRY,
        "columns": {
            GEOMETRY: {
                "encoding": "WKB",
                "geometry_types": ["Polygon"],
                "crs": crs.to_json_dict(),
                "orientation": "counterclockwise",
                "edges": "planar",
                "bbox": bounds,
                "covering": {"bbox": covering},
            }
        },
    }


def is_ours(path: Path) -> bool:
    """Whether a file holds polygons of classes as lulcmap writes them."""
    try:
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet

            names = pyarrow.parquet.read_schema(path).names
        else:
            layers = [str(name) for name, _ in pyogrio.list_layers(path)]
            if set(layers[1:]) - {"layer_styles"}:
                return False
            names = pyogrio.read_info(path, layer=layers[0])["fields"].tolist()
        return tuple(names[: len(FIRST)]) == FIRST
    except Exception:  # of whatever kind: what cannot be read is another program's
        return False
