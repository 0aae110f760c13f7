"""A picture of a map: the image it was made from, the classes with their legend, the truth."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lulcmap.errors import OutputError
from lulcmap.legend import CLASSES, NODATA, LandCover
from lulcmap.sensors import S2_BANDS, S2_NODATA

_WIDTH_PX, _GAP_PX = 1600, 16
"""Of the picture, and between what is in it; three panels are then 512 pixels wide."""

_TITLE_PX, _CAPTION_PX, _TEXT_PX = 30, 20, 17
"""Sizes of type, pixels."""

_PAPER_RGB, _INK_RGB, _FAINT_RGB = (255, 255, 255), (33, 37, 41), (108, 117, 125)

_EMPTY_RGB = (233, 236, 239)
"""Colour of a pixel without data."""

_RGB_BANDS = tuple(S2_BANDS.index(band) for band in ("B04", "B03", "B02"))

_GAMMA = 1.5
"""Brightens the shadows, as a screen wants it."""

_MAX_REFLECTANCE = 3000
"""Reflectance x 10000 above which all is white, so that snow does not darken the rest; ESA's own
true-colour images end near it."""


def draw_preview(
    out: Path,
    classes: NDArray[np.uint8],
    *,
    composite: NDArray[np.uint16] | None = None,
    truth: NDArray[np.uint8] | None = None,
    legend: Sequence[LandCover] = CLASSES,
    title: str,
    note: str = "",
) -> None:
    """Write a PNG with the panels side by side, and a legend of the classes that are there.

    Args:
        out: file to write.
        classes: (H, W) class ids, 255 nodata.
        composite: (9, H, W) reflectance x 10000 in the order of ``S2_BANDS``, 0 nodata.
        truth: (H, W) class ids, 255 nodata.
        legend: names and colours of the classes.
        title: over the panels.
        note: one smaller line under the title, such as how good the map is.

    Raises:
        OutputError: the file cannot be written.

    """
    given = [
        (
            "Sentinel-2, true colour",
            None if composite is None else true_colour(composite),
            Image.Resampling.LANCZOS,
        ),
        ("Land cover", coloured(classes, legend), Image.Resampling.NEAREST),
        ("Truth", None if truth is None else coloured(truth, legend), Image.Resampling.NEAREST),
    ]
    side = (_WIDTH_PX - 4 * _GAP_PX) // 3
    panels = [
        (caption, _fit(pixels, side, resampling))
        for caption, pixels, resampling in given
        if pixels is not None
    ]
    shown = np.unique(classes if truth is None else np.stack([classes, truth]))
    there = [cover for cover in legend if cover.id in shown]
    picture = _draw_page(panels, there, title=title, note=note, empty=NODATA in shown)
    try:
        picture.save(out, format="PNG", optimize=True)
    except OSError as error:
        raise OutputError(
            f"The picture {out} could not be written ({error.strerror or error}). Make room or "
            "choose another folder."
        ) from error


def true_colour(composite: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """A composite as the eye would see it, stretched from its 2nd to its 98th percentile or less.

    One stretch for the three bands, so that grey stays grey.

    Args:
        composite: (9, H, W) reflectance x 10000 in the order of ``S2_BANDS``, 0 nodata.

    Returns:
        (H, W, 3) red, green, blue; light grey where there is nothing.

    """
    bands = composite[list(_RGB_BANDS)].astype(np.float32)
    there = (composite[list(_RGB_BANDS)] != S2_NODATA).all(axis=0)
    pixels = np.full((*there.shape, 3), _EMPTY_RGB, np.uint8)
    if there.any():
        low, high = np.minimum(
            np.percentile(bands[:, there], (2, 98)), (_MAX_REFLECTANCE / 2, _MAX_REFLECTANCE)
        )
        stretched = ((bands[:, there] - low) / max(high - low, 1)).clip(0, 1) ** (1 / _GAMMA)
        pixels[there] = (255 * stretched.T).round().astype(np.uint8)
    return pixels


def coloured(
    classes: NDArray[np.uint8], legend: Sequence[LandCover] = CLASSES
) -> NDArray[np.uint8]:
    """A class map in its legend's colours.

    Args:
        classes: (H, W) class ids, 255 nodata.
        legend: colours of the classes.

    Returns:
        (H, W, 3) red, green, blue; light grey where there is nothing.

    """
    palette = np.full((256, 3), _EMPTY_RGB, np.uint8)
    for cover in legend:
        palette[cover.id] = cover.rgb
    return palette[classes]


def _fit(pixels: NDArray[np.uint8], side: int, resampling: Image.Resampling) -> Image.Image:
    """An image no wider and no higher than ``side``."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return Image.fromarray(pixels).resize(size, resampling)


def _draw_page(
    panels: Sequence[tuple[str, Image.Image]],
    legend: Sequence[LandCover],
    *,
    title: str,
    note: str,
    empty: bool,
) -> Image.Image:
    width = max(
        sum(image.width + _GAP_PX for _, image in panels) + _GAP_PX,
        round(_font(_TITLE_PX).getlength(title)) + 2 * _GAP_PX,
        round(_font(_TEXT_PX).getlength(note)) + 2 * _GAP_PX,
    )
    entries = [(cover.rgb, cover.name.replace("_", " ")) for cover in legend]
    rows = _legend_rows([*entries, *[(_EMPTY_RGB, "no data")] * empty], width - 2 * _GAP_PX)
    above = _GAP_PX + _TITLE_PX + (_GAP_PX // 2 + _TEXT_PX if note else 0) + _GAP_PX + _CAPTION_PX + _GAP_PX // 2
    below = above + max(image.height for _, image in panels) + _GAP_PX
    page = Image.new("RGB", (width, below + len(rows) * 2 * _TEXT_PX + _GAP_PX // 2), _PAPER_RGB)
    draw = ImageDraw.Draw(page)
    draw.text((_GAP_PX, _GAP_PX), title, _INK_RGB, _font(_TITLE_PX), anchor="lt")
    draw.text((_GAP_PX, _GAP_PX * 3 // 2 + _TITLE_PX), note, _FAINT_RGB, _font(_TEXT_PX), anchor="lt")
    left = _GAP_PX
    for caption, image in panels:
        draw.text((left, above - _GAP_PX // 2), caption, _INK_RGB, _font(_CAPTION_PX), anchor="ls")
        page.paste(image, (left, above))
        left += image.width + _GAP_PX
    for i, row in enumerate(rows):
        for x, colour, name in row:
            y = below + i * 2 * _TEXT_PX
            box = (_GAP_PX + x, y, _GAP_PX + x + _TEXT_PX, y + _TEXT_PX)
            draw.rectangle(box, colour, outline=_FAINT_RGB)
            draw.text(
                (_GAP_PX + x + _TEXT_PX * 3 // 2, y + _TEXT_PX / 2), name, _INK_RGB, _font(_TEXT_PX), anchor="lm"
            )
    return page


Entry = tuple[tuple[int, int, int], str]


def _legend_rows(
    entries: Sequence[Entry], width: int
) -> list[list[tuple[int, tuple[int, int, int], str]]]:
    """The legend's entries, each with its place from the left, in as many rows as it takes."""
    rows: list[list[tuple[int, tuple[int, int, int], str]]] = [[]]
    x = 0
    for colour, name in entries:
        length = round(_TEXT_PX * 3 / 2 + _font(_TEXT_PX).getlength(name))
        if rows[-1] and x + length > width:
            rows.append([])
            x = 0
        rows[-1].append((x, colour, name))
        x += length + 3 * _TEXT_PX // 2
    return rows


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
