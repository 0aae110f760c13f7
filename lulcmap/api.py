"""The Python API: what ``import lulcmap`` offers.

Functions of an area take the settings of ``Settings`` and ``CompositeRules`` as keywords, with the
command's defaults. All raise the errors of ``lulcmap.errors``; an unknown keyword is a
``TypeError``.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict, Unpack

import shapely
from odc.geo.geobox import GeoBox

from lulcmap.catalog import Period, make_period
from lulcmap.errors import LulcmapError, UsageError
from lulcmap.geo import (
    AreaLike,
    Box,
    covering_grid,
    even_grid,
    load_area,
    project,
    unproject,
    utm_zone,
)
from lulcmap.imagery import Composite, composite_area
from lulcmap.model import (
    ClassifiedImage,
    Contract,
    Device,
    Session,
    classify_image,
    find_model,
    open_session,
)
from lulcmap.output import MapReport, read_map
from lulcmap.pipeline import estimate_map
from lulcmap.pipeline import map_area as run_map
from lulcmap.planning import Estimate, Settings
from lulcmap.system import Progress, no_progress

if TYPE_CHECKING:
    import xarray

MAX_PIXELS = 100_000_000
"""Pixels of a composite in memory, 100 km x 100 km; some 25 bytes each."""


class HasItems(Protocol):
    """A pystac ItemCollection, or what has its ``to_dict``."""

    def to_dict(self) -> dict[str, Any]:
        """The collection as JSON values."""
        ...


CatalogLike: TypeAlias = str | Path | Mapping[str, Any] | HasItems
"""A provider's name, the URL of a STAC API, the path of an ItemCollection file, or an
ItemCollection: pystac's, or its JSON values. Of items in memory, local hrefs and hosts in a private
network are opened only if the collection names the hrefs' folder, ``lulcmap:root``."""


class MapOptions(TypedDict, total=False):
    """The settings of a map; ``Settings`` and ``CompositeRules`` say what they mean."""

    model: str | None
    catalog: CatalogLike
    profile: str | None
    s1_catalog: str | None
    fallback: str | None
    max_cloud: float
    crs: str
    sparse: bool
    s1: Literal["off", "optional", "required"]
    orbit: Literal["descending", "ascending"]
    max_s1_scenes: int
    min_clear: int
    max_scenes: int
    mask_codes: tuple[int, ...]
    mask_dilation: int
    blend: Literal["hann", "centre"]
    prior: Literal["natural", "balanced"]
    block_size: int
    max_lost: float
    retry_failed: bool
    min_coverage: float
    zones: bool
    device: Device
    batch_size: int | None
    workers: int | None
    max_memory: int | None
    patience: float
    workdir: Path | None
    keep_run: bool
    overwrite: bool
    confidence: bool
    probabilities: bool
    save_composite: bool
    sidecars: bool
    license: str | None


class CompositeOptions(TypedDict, total=False):
    """The settings of a composite; ``Settings`` and ``CompositeRules`` say what they mean."""

    catalog: CatalogLike
    profile: str | None
    s1_catalog: str | None
    fallback: str | None
    max_cloud: float
    s1: Literal["off", "optional"]
    orbit: Literal["descending", "ascending"]
    max_s1_scenes: int
    min_clear: int
    max_scenes: int
    mask_codes: tuple[int, ...]
    mask_dilation: int
    workers: int | None
    patience: float


def map_area(
    aoi: AreaLike,
    out: str | Path | None = None,
    *,
    year: int | None = None,
    month: str | None = None,
    season: str | None = None,
    last: str | None = None,
    start: str | date | None = None,
    end: str | date | None = None,
    layer: str | None = None,
    progress: Progress = no_progress,
    **settings: Unpack[MapOptions],
) -> MapReport:
    """Map the land cover of an area and write it as a Cloud-Optimized GeoTIFF.

    If interrupted, call it again with the same arguments; it resumes.

    Args:
        aoi: a vector file; west, south, east and north in degrees, as text or numbers; a shapely
            geometry or any object with ``__geo_interface__``, in degrees; or a GeoDataFrame.
        out: path of the COG to write; None is ``<area>-<period>.tif`` in the current folder.
        year: calendar year. Give the period by ``year``, ``month``, ``season``, ``last``, or
            ``start`` and ``end``.
        month: calendar month, ``"2024-06"``.
        season: ``"2024-JJA"``, or a first and a last month, ``"2024-11:2025-03"``.
        last: ``"12months"``, whole calendar months before the current one; or ``"90days"``.
        start: first day, a date or ISO 8601.
        end: last day, included.
        layer: layer of the vector file, where it has several.
        progress: called with a stage's name, how much of it is done, and how much there is.
        settings: settings of the map, as of ``Settings`` and ``CompositeRules``.

    Returns:
        The map's report, also written beside it.

    Raises:
        AreaError: the area cannot be used.
        UsageError: the period or a setting cannot be used.
        NoScenesError: nothing was found for this area and period.
        ProviderError: the provider failed, or blocks lost too many assets.
        ModelError: the model does not fit; ``DeviceError``: the device is not available.
        OutputError: the map exists or cannot be written, or another process works on the run.

    """
    with named_as_keywords():
        return run_map(
            aoi,
            Path(out) if out is not None else None,
            period=read_period(start, end, year=year, month=month, season=season, last=last),
            layer=layer,
            settings=read_settings(settings),
            progress=progress,
        )


def plan_map(
    aoi: AreaLike,
    out: str | Path | None = None,
    *,
    year: int | None = None,
    month: str | None = None,
    season: str | None = None,
    last: str | None = None,
    start: str | date | None = None,
    end: str | date | None = None,
    layer: str | None = None,
    progress: Progress = no_progress,
    **settings: Unpack[MapOptions],
) -> Estimate:
    """What ``map_area`` with the same arguments will read, need and take. Writes nothing.

    Args:
        aoi: as for ``map_area``; so are the other arguments and the errors.
        out: path of the COG.
        year: calendar year.
        month: calendar month.
        season: season.
        last: last months or days.
        start: first day.
        end: last day, included.
        layer: layer of the vector file.
        progress: called with how far the search is.
        settings: settings of the map.

    """
    with named_as_keywords():
        return estimate_map(
            aoi,
            Path(out) if out is not None else None,
            period=read_period(start, end, year=year, month=month, season=season, last=last),
            layer=layer,
            settings=read_settings(settings),
            progress=progress,
        )


def composite(
    aoi: AreaLike | GeoBox,
    *,
    year: int | None = None,
    month: str | None = None,
    season: str | None = None,
    last: str | None = None,
    start: str | date | None = None,
    end: str | date | None = None,
    layer: str | None = None,
    **settings: Unpack[CompositeOptions],
) -> Composite:
    """The cloud-free composite of an area, as a map of it would be made from, in memory.

    Args:
        aoi: as for ``map_area``, composited on the UTM grid of its centre; or an odc-geo GeoBox of
            10 m pixels in a UTM zone, of even height and width, its edges on multiples of 20 m.
        year: calendar year.
        month: calendar month.
        season: season.
        last: last months or days.
        start: first day.
        end: last day, included.
        layer: layer of the vector file.
        settings: settings of the composite.

    Returns:
        The composite; ``to_xarray()`` makes a Dataset of it.

    Raises:
        UsageError: the area has more than ``MAX_PIXELS`` pixels, or its grid does not fit.
        AreaError, NoScenesError, ProviderError: as of ``map_area``.

    """
    with named_as_keywords():
        period, chosen = (
            read_period(start, end, year=year, month=month, season=season, last=last),
            read_settings(settings),
        )
        if isinstance(aoi, GeoBox):
            grid, polygon = _checked(aoi), unproject(aoi)
        else:
            polygon = load_area(aoi, layer=layer).polygon
            grid = _grid(polygon)
        if grid.shape[0] * grid.shape[1] > MAX_PIXELS:
            raise UsageError(
                f"The composite would have {grid.shape[0]:,} x {grid.shape[1]:,} pixels, more than "
                f"{MAX_PIXELS:,}. Composite parts of the area, or map it with map_area."
            )
        return composite_area(polygon, grid, chosen.composite_request(period, sun=True))


@dataclass(frozen=True, slots=True)
class Model:
    """A model, ready to classify composites."""

    session: Session
    """The model in ONNX Runtime."""

    @property
    def contract(self) -> Contract:
        """What the model says of itself: inputs, classes, window, training."""
        return self.session.contract

    def classify(
        self,
        image: Composite,
        *,
        blend: Literal["hann", "centre"] = "hann",
        prior: Literal["natural", "balanced"] = "natural",
    ) -> ClassifiedImage:
        """The classes of a composite, in a map's windows, which see it mirrored beyond its edges.

        Args:
            image: as of ``composite``.
            blend: how windows are joined.
            prior: class prior.

        Raises:
            ModelError: the model failed; ``DeviceError``: the device has too little memory.
            UsageError: the model has no class shares, which ``prior="balanced"`` needs.

        """
        affine, (height, width) = image.grid.affine, image.grid.shape
        box = Box(round(-affine.f / 10), round(affine.c / 10), height, width)
        with named_as_keywords():
            made = classify_image(
                self.session,
                image.s2,
                image.s1,
                box=box,
                blend=blend,
                prior=prior,
                sun=image.sun,
            )
        return ClassifiedImage(
            made.classes, made.confidence, made.margin, image.grid, self.contract.legend
        )


def open_model(
    name: str | Path | None = None,
    *,
    device: Device = "auto",
    batch_size: int | None = None,
) -> Model:
    """A model, ready to classify.

    Args:
        name: a name from ``list_models`` or an ONNX file; None is the default model.
        device: device the model runs on.
        batch_size: windows in one call of the model, on a GPU; None is as many as its memory
            suggests.

    Raises:
        ModelError: there is no such model, or it does not fit.
        DeviceError: the runtime or the device is not available.

    """
    with named_as_keywords():
        path = find_model(name)
        return Model(open_session(path, device=device, batch_size=batch_size, at_once=True))


def open_map(path: str | Path) -> "xarray.DataArray":
    """A map as an ``xarray.DataArray``, loaded, with CF ``flag_values`` and ``flag_meanings``.

    Needs the extra ``xarray``: ``pip install 'lulcmap[xarray]'``.

    Args:
        path: path of a map that lulcmap made.

    Raises:
        UsageError: the file is no map of lulcmap, or xarray is not installed.

    """
    with named_as_keywords():
        return read_map(Path(path)).to_xarray()


def read_period(start: str | date | None, end: str | date | None, **others: Any) -> Period:
    """The period of the arguments that give one.

    Raises:
        UsageError: none is given, or an impossible one.

    """
    try:
        first, final = (
            date.fromisoformat(day) if isinstance(day, str) else day for day in (start, end)
        )
    except ValueError as error:
        raise UsageError(f"A day cannot be read ({error}). Give dates or ISO 8601.") from None
    return make_period(start=first, end=final, **others)


def read_settings(options: Mapping[str, Any]) -> Settings:
    """The settings of keyword arguments, which may be paths and catalogues in memory."""
    options = dict(options)
    catalog = options.get("catalog")
    if isinstance(catalog, Path):
        options["catalog"] = str(catalog)
    elif catalog is not None and not isinstance(catalog, str | Mapping):
        options["catalog"] = catalog.to_dict()
    if options.get("model") is not None:
        options["model"] = str(options["model"])
    if options.get("workdir") is not None:
        options["workdir"] = Path(options["workdir"])
    return Settings.of(options)


def _checked(grid: GeoBox) -> GeoBox:
    """The grid, if a composite can be made on it."""
    code = grid.crs.epsg if grid.crs else None
    affine = grid.affine
    is_utm = code is not None and (32601 <= code <= 32660 or 32701 <= code <= 32760)
    if not is_utm or (affine.a, affine.e) != (10, -10) or grid != even_grid(grid):
        raise UsageError(
            f"The GeoBox is {grid.shape[0]} x {grid.shape[1]} pixels in {grid.crs}; it needs "
            "10 m pixels in a UTM zone, an even height and width, and edges on multiples of 20 m."
        )
    return grid


def _grid(polygon: shapely.MultiPolygon) -> GeoBox:
    """The grid around a polygon in the UTM zone of its centre."""
    centre = polygon.representative_point()
    crs = f"EPSG:{utm_zone(centre.x, centre.y)}"
    return even_grid(covering_grid(project(polygon, crs), crs))


_BOOLEANS = {field.name for field in fields(Settings) if field.type is bool}
_RENAMED = {"yes": "sparse"}


@contextmanager
def named_as_keywords() -> Iterator[None]:
    """Rewrite errors to name keyword arguments, not the command's options: ``overwrite=True``."""
    try:
        yield
    except LulcmapError as error:
        message = re.sub(r"(?<![\w-])--([a-z0-9]+(?:-[a-z0-9]+)*)", _keyword, str(error))
        if message == str(error):
            raise
        raise type(error)(message) from error


def _keyword(option: re.Match[str]) -> str:
    name = option[1].replace("-", "_")
    name = _RENAMED.get(name, name)
    return f"{name}=True" if name in _BOOLEANS else name
