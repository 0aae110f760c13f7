"""The quick look of a map: a picture with title, legend, scale bar, north arrow and attribution."""

import logging
import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image, ImageDraw
from pyproj import CRS, Geod
from rasterio.enums import Resampling

from lulcmap.geo import grid_lonlat
from lulcmap.legend import NODATA, LandCover
from lulcmap.output.report import MapReport
from lulcmap.system import GDAL_OPTIONS, can_draw, draw_text, shortened_text, text_width

logger = logging.getLogger(__name__)

_PAPER, _INK, _FAINT, _FRAME = (255, 255, 255), (33, 37, 41), (94, 102, 110), (173, 181, 189)

_EMPTY = (240, 242, 244)
"""Colour of pixels that are not mapped."""

_PANEL_PX = 1200, 900
"""Greatest width and height of the map in the picture, pixels."""

_MIN_PANEL_PX = 6
"""Least width and height of the map, of one that is long and thin."""

_MARGIN_PX, _GAP_PX = 28, 14
_TITLE_PX, _TEXT_PX, _SMALL_PX = 28, 18, 15
_LINE_PX = 27
"""Height of a line of the legend."""

_SWATCH_PX = 18

_MAX_NAME_PX, _MAX_OF_MANY_PX = 400, 250
"""Longest name of a class in the legend, and in one of many classes, pixels; others are cut."""

_MANY = 24
"""Classes of a legend of many."""

_WIDE = 1.5
"""Width of a map by its height from which the legend stands below it, not beside it."""

_MIN_WIDTH_PX = 640
"""Least width of the picture, for the lines of text."""

_BAR_PX = 180
"""Longest scale bar, pixels."""

_FOOT_PX = 58
"""Height of scale bar and north arrow."""

_READ_PX = 2
"""How many times finer than the picture the map is read."""


def quick_look(path: Path, report: MapReport) -> bytes:
    """The picture of one file of a map, PNG.

    The map is read from an overview, so that its size does not matter.

    Args:
        path: path of the file.
        report: report of the map.

    """
    with rasterio.Env(**GDAL_OPTIONS), rasterio.open(path, driver="GTiff") as dataset:
        height, width = dataset.shape
        scale = min(_PANEL_PX[0] / width, _PANEL_PX[1] / height)
        panel = _panel(dataset, scale, report.legend)
        bar, north = _scale_bar(dataset, panel.width / width), _north(dataset)
    covers = [cover for cover in report.legend if report.classes.get(cover.name)]
    _warn_of_letters(path, covers)
    longest = _MAX_OF_MANY_PX if len(covers) > _MANY else _MAX_NAME_PX
    page = _page(panel, [(cover.rgb, _name(cover, longest)) for cover in covers], report)
    draw = ImageDraw.Draw(page)
    foot = page.height - _MARGIN_PX - len(_attribution(report, page.width)) * _SMALL_PX * 1.4
    _draw_scale_bar(draw, (_MARGIN_PX, foot - _FOOT_PX / 2), *bar)
    _draw_north(draw, (_MARGIN_PX + _BAR_PX + 60, foot - _FOOT_PX / 2 - 4), north)
    out = BytesIO()
    page.save(out, format="PNG")
    return out.getvalue()


def _panel(
    dataset: rasterio.DatasetReader, scale: float, legend: Sequence[LandCover]
) -> Image.Image:
    """The map in its colours, at the scale of the picture."""
    height, width = dataset.shape
    size = max(round(width * scale), _MIN_PANEL_PX), max(round(height * scale), _MIN_PANEL_PX)
    shape = min(height, size[1] * _READ_PX), min(width, size[0] * _READ_PX)
    classes = dataset.read(1, out_shape=shape, resampling=Resampling.nearest)
    palette = np.full((NODATA + 1, 3), _EMPTY, np.uint8)
    for cover in legend:
        palette[cover.id] = cover.rgb
    image = Image.fromarray(classes)
    image.putpalette(palette.tobytes())
    finer = shape[0] >= size[1]
    resampling = Image.Resampling.BOX if finer else Image.Resampling.NEAREST
    return image.convert("RGB").resize(size, resampling)


def _name(cover: LandCover, longest: int) -> str:
    """Name of a class as the legend shows it; its number where no font has its letters."""
    name = cover.name.replace("_", " ")
    if not can_draw(name):
        return f"class {cover.id}"
    return shortened_text(name, _TEXT_PX, longest)


def _warn_of_letters(path: Path, covers: Sequence[LandCover]) -> None:
    missing = [cover for cover in covers if not can_draw(cover.name)]
    if missing:
        logger.warning(
            "The quick look of %s shows %d class names as numbers: no font on this machine has "
            "their letters (%s). Install a font of their script, such as Noto, delete the picture, "
            "and run the same command again.",
            path.name,
            len(missing),
            missing[0].name,
        )


Entry = tuple[tuple[int, int, int], str]
"""Colour and name of a class."""


def _page(panel: Image.Image, entries: Sequence[Entry], report: MapReport) -> Image.Image:
    """The page with title, map and legend; scale bar and north arrow have their place below."""
    notes = [" to ".join(report.period), f"model {report.model.name}"]
    if report.model.trained_on == "simulated":
        notes.append("trained on simulated landscapes")
    note = ", ".join(notes)
    column = _SWATCH_PX + 10 + max((text_width(name, _TEXT_PX) for _, name in entries), default=0)
    top = _MARGIN_PX + _TITLE_PX + _GAP_PX // 2 + _SMALL_PX + _GAP_PX + 4
    below = panel.width > _WIDE * panel.height
    if below:
        width = max(panel.width, column, _MIN_WIDTH_PX) + 2 * _MARGIN_PX
        columns = max((width - 2 * _MARGIN_PX + 24) // (column + 24), 1)
        lines = math.ceil(len(entries) / columns)
        left, first = _MARGIN_PX, top + panel.height + _GAP_PX + _LINE_PX // 2
        end = first + lines * _LINE_PX
    else:
        lines = max(panel.height // _LINE_PX, min(len(entries), 12))
        columns = max(math.ceil(len(entries) / lines), 1)
        left, first = _MARGIN_PX + panel.width + 24, top + _LINE_PX // 2
        width = max(left + columns * (column + 24) - 24 + _MARGIN_PX, _MIN_WIDTH_PX)
        end = max(top + panel.height, first + min(len(entries), lines) * _LINE_PX)
    attribution = _attribution(report, width)
    height = end + _GAP_PX + _FOOT_PX + round(len(attribution) * _SMALL_PX * 1.4) + _MARGIN_PX
    page = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(page)
    room = width - 2 * _MARGIN_PX
    title = shortened_text(_drawable(report.title), _TITLE_PX, room)
    draw_text(draw, (_MARGIN_PX, _MARGIN_PX + _TITLE_PX / 2), title, _INK, _TITLE_PX)
    at = _MARGIN_PX, _MARGIN_PX + _TITLE_PX + _GAP_PX / 2 + _SMALL_PX / 2 + 2
    draw_text(draw, at, shortened_text(note, _SMALL_PX, room), _FAINT, _SMALL_PX)
    page.paste(panel, (_MARGIN_PX, top))
    box = (_MARGIN_PX - 1, top - 1, _MARGIN_PX + panel.width, top + panel.height)
    draw.rectangle(box, outline=_FRAME)
    for i, (colour, name) in enumerate(entries):
        x, y = left + i // lines * (column + 24), first + i % lines * _LINE_PX
        half = _SWATCH_PX / 2
        draw.rectangle((x, y - half, x + _SWATCH_PX, y + half), colour, outline=_FRAME)
        draw_text(draw, (x + _SWATCH_PX + 10, y), name, _INK, _TEXT_PX)
    for i, line in enumerate(attribution):
        base = height - _MARGIN_PX - (len(attribution) - i - 0.5) * _SMALL_PX * 1.4
        draw_text(draw, (_MARGIN_PX, base), line, _FAINT, _SMALL_PX)
    return page


def _drawable(text: str) -> str:
    """A text without the letters that no font has."""
    return "".join(letter if can_draw(letter) else "?" for letter in text)


def _attribution(report: MapReport, width: int) -> list[str]:
    """The lines of the attribution and the licence."""
    text = report.attribution
    if report.license is not None:
        text += f"; {report.license}"
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, _SMALL_PX) > width - 2 * _MARGIN_PX:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _scale_bar(dataset: rasterio.DatasetReader, scale: float) -> tuple[int, str]:
    """Length of the scale bar in pixels of the picture, and what it stands for."""
    height, width = dataset.shape
    row, cols = np.array([height / 2] * 2), np.array([width / 2 - 0.5, width / 2 + 0.5])
    (west, east), (south, north) = _lonlat(dataset, row, cols)
    _, _, metres = Geod(ellps="WGS84").inv(west, south, east, north)
    metres_per_px = metres / scale
    longest = metres_per_px * _BAR_PX
    power = 10.0 ** math.floor(math.log10(longest))
    length = next(step * power for step in (5, 2, 1) if step * power <= longest)
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    return round(length / metres_per_px), text


def _north(dataset: rasterio.DatasetReader) -> float:
    """Direction of true north in the map's middle, degrees clockwise from the picture's top."""
    height, width = dataset.shape
    rows, cols = np.array([height / 2 + 0.5, height / 2 - 0.5]), np.array([width / 2] * 2)
    (lon, lon_up), (lat, lat_up) = _lonlat(dataset, rows, cols)
    azimuth, _, _ = Geod(ellps="WGS84").inv(lon, lat, lon_up, lat_up)
    return -float(azimuth)


def _lonlat(
    dataset: rasterio.DatasetReader, rows: np.ndarray, cols: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    return grid_lonlat(CRS.from_wkt(dataset.crs.to_wkt()), dataset.transform, rows, cols)


def _draw_scale_bar(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], length: int, text: str
) -> None:
    x, y = at
    half = length // 2
    draw.rectangle((x, y + 4, x + length, y + 10), _PAPER, outline=_INK)
    draw.rectangle((x, y + 4, x + half, y + 10), _INK)
    draw_text(draw, (x, y - 8), text, _INK, _SMALL_PX)


def _draw_north(draw: ImageDraw.ImageDraw, at: tuple[float, float], degrees: float) -> None:
    """An arrow that points to true north, with an N at its tip."""
    angle, long = math.radians(degrees), 20
    ahead, aside = (math.sin(angle), -math.cos(angle)), (math.cos(angle), math.sin(angle))

    def point(forward: float, right: float) -> tuple[float, float]:
        return (
            at[0] + forward * ahead[0] + right * aside[0],
            at[1] + forward * ahead[1] + right * aside[1],
        )

    draw.polygon([point(long, 0), point(-long / 2, -8), point(-4, 0)], _INK)
    draw.polygon([point(long, 0), point(-long / 2, 8), point(-4, 0)], _PAPER, outline=_INK)
    x, y = point(long + 11, 0)
    draw_text(draw, (x - text_width("N", _SMALL_PX) / 2, y), "N", _INK, _SMALL_PX)
