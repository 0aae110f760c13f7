"""A preview of a map: the image it was made from, the classes with their legend, the truth."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lulcmap.errors import OutputError
from lulcmap.legend import CLASSES, NODATA, LandCover
from lulcmap.sensors import S2_BANDS, S2_NODATA
from lulcmap.system import replacing

_WIDTH_PX, _GAP_PX = 1600, 16
"""Width of the picture, and of the gaps in it, pixels; three panels are then 512 pixels wide."""

_TITLE_PX, _CAPTION_PX, _TEXT_PX = 30, 20, 17
"""Font sizes, pixels."""

_PAPER_RGB, _INK_RGB, _FAINT_RGB = (255, 255, 255), (33, 37, 41), (108, 117, 125)

_EMPTY_RGB = (233, 236, 239)
"""Colour of a pixel without data."""

_RGB_BANDS = tuple(S2_BANDS.index(band) for band in ("B04", "B03", "B02"))

_GAMMA = 1.5
"""Gamma that brightens the shadows for a screen."""

_MAX_REFLECTANCE = 3000
"""Reflectance x 10000 above which a pixel is white, so that snow does not darken the rest; ESA's
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
    """Write a PNG with the panels side by side, and a legend of the classes they show.

    Args:
        out: path of the file to write.
        classes: (H, W) class ids, 255 nodata.
        composite: (9, H, W) reflectance x 10000 in the order of ``S2_BANDS``, 0 nodata.
        truth: (H, W) class ids, 255 nodata.
        legend: names and colours of the classes.
        title: title above the panels.
        note: one smaller line under the title, such as the accuracy of the map.

    Raises:
        OutputError: the file cannot be written.

    """
    images = [
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
        for caption, pixels, resampling in images
        if pixels is not None
    ]
    values = np.unique(classes if truth is None else np.stack([classes, truth]))
    covers = [cover for cover in legend if cover.id in values]
    picture = _draw_page(panels, covers, title=title, note=note, has_empty=NODATA in values)
    try:
        with replacing(out) as part:
            picture.save(part, format="PNG", optimize=True)
    except OSError as error:
        raise OutputError(
            f"The picture {out} could not be written ({error.strerror or error}). Free some space "
            "or choose another folder."
        ) from error


def true_colour(composite: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """A composite in true colour, stretched from its 2nd to its 98th percentile or less.

    One stretch for the three bands, so that grey stays grey.

    Args:
        composite: (9, H, W) reflectance x 10000 in the order of ``S2_BANDS``, 0 nodata.

    Returns:
        (H, W, 3) red, green, blue; light grey for nodata.

    """
    bands = composite[list(_RGB_BANDS)].astype(np.float32)
    valid = (composite[list(_RGB_BANDS)] != S2_NODATA).all(axis=0)
    pixels = np.full((*valid.shape, 3), _EMPTY_RGB, np.uint8)
    if valid.any():
        low, high = np.minimum(
            np.percentile(bands[:, valid], (2, 98)), (_MAX_REFLECTANCE / 2, _MAX_REFLECTANCE)
        )
        stretched = ((bands[:, valid] - low) / max(high - low, 1)).clip(0, 1) ** (1 / _GAMMA)
        pixels[valid] = (255 * stretched.T).round().astype(np.uint8)
    return pixels


def coloured(
    classes: NDArray[np.uint8], legend: Sequence[LandCover] = CLASSES
) -> NDArray[np.uint8]:
    """A class map in its legend's colours.

    Args:
        classes: (H, W) class ids, 255 nodata.
        legend: colours of the classes.

    Returns:
        (H, W, 3) red, green, blue; light grey for nodata.

    """
    palette = np.full((256, 3), _EMPTY_RGB, np.uint8)
    for cover in legend:
        palette[cover.id] = cover.rgb
    return palette[classes]


def _fit(pixels: NDArray[np.uint8], side: int, resampling: Image.Resampling) -> Image.Image:
    """An image resized to ``side`` pixels on its longer side."""
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
    has_empty: bool,
) -> Image.Image:
    width = max(
        sum(image.width + _GAP_PX for _, image in panels) + _GAP_PX,
        round(_font(_TITLE_PX).getlength(title)) + 2 * _GAP_PX,
        round(_font(_TEXT_PX).getlength(note)) + 2 * _GAP_PX,
    )
    entries = [(cover.rgb, cover.name.replace("_", " ")) for cover in legend]
    rows = _legend_rows([*entries, *[(_EMPTY_RGB, "no data")] * has_empty], width - 2 * _GAP_PX)
    heading = _TITLE_PX + (_GAP_PX // 2 + _TEXT_PX if note else 0)
    above = _GAP_PX + heading + _GAP_PX + _CAPTION_PX + _GAP_PX // 2
    below = above + max(image.height for _, image in panels) + _GAP_PX
    page = Image.new("RGB", (width, below + len(rows) * 2 * _TEXT_PX + _GAP_PX // 2), _PAPER_RGB)
    draw = ImageDraw.Draw(page)
    draw.text((_GAP_PX, _GAP_PX), title, _INK_RGB, _font(_TITLE_PX), anchor="lt")
    draw.text(
        (_GAP_PX, _GAP_PX * 3 // 2 + _TITLE_PX), note, _FAINT_RGB, _font(_TEXT_PX), anchor="lt"
    )
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
                (_GAP_PX + x + _TEXT_PX * 3 // 2, y + _TEXT_PX / 2),
                name,
                _INK_RGB,
                _font(_TEXT_PX),
                anchor="lm",
            )
    return page


Entry = tuple[tuple[int, int, int], str]
"""Colour and name of a legend entry."""


def _legend_rows(
    entries: Sequence[Entry], width: int
) -> list[list[tuple[int, tuple[int, int, int], str]]]:
    """Rows of legend entries within ``width`` pixels, each entry after its offset from the left."""
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
