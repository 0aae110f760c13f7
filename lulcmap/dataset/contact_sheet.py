"""A contact sheet: some chips of a dataset, their images and their labels."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lulcmap.dataset.chips import Chip, Dataset
from lulcmap.errors import OutputError
from lulcmap.legend import NODATA
from lulcmap.output import coloured, true_colour
from lulcmap.sensors import S1_NODATA
from lulcmap.system import replacing

_PANEL_PX, _GAP_PX, _TEXT_PX = 192, 12, 13
"""Pixels: side of a panel, gap between panels, and size of the type."""

_COLUMNS, _ROWS = 2, 6
"""Chips across and down."""

_PAPER, _INK, _EMPTY = (255, 255, 255), (33, 37, 41), (233, 236, 239)

_STRETCH_CDB = ((-2000, 0), (-2700, -700), (200, 1200))
"""Hundredths of a decibel shown as black and as full red (VV), green (VH) and blue (VV - VH)."""


def contact_sheet(out: Path, dataset: Dataset, rows: Sequence[Chip]) -> None:
    """Draw some chips of every split: true colour, radar in false colour, label.

    The choice depends on the chips' names alone.

    Args:
        out: path of the PNG to write.
        dataset: dataset of the chips.
        rows: rows of the chips that can be read.

    Raises:
        OutputError: it cannot be written.

    """
    chosen = _choose_chips(rows)
    width = _COLUMNS * (3 * _PANEL_PX + 2 * _GAP_PX) + (_COLUMNS + 1) * _GAP_PX
    entries = [(cover.rgb, cover.name.replace("_", " ")) for cover in dataset.classes]
    legend = _legend([*entries, (_EMPTY, "unknown")], width)
    cell = _PANEL_PX + 2 * _TEXT_PX + _GAP_PX
    down = -(-len(chosen) // _COLUMNS)
    page = Image.new("RGB", (width, _GAP_PX + down * cell + legend.height), _PAPER)
    draw = ImageDraw.Draw(page)
    for number, chip in enumerate(chosen):
        left = _GAP_PX + number % _COLUMNS * (3 * (_PANEL_PX + _GAP_PX))
        top = _GAP_PX + number // _COLUMNS * cell
        title = f"{chip.split}: {chip.chip}"
        draw.text((left, top), title[:86], _INK, ImageFont.load_default(_TEXT_PX))
        seen = dataset.read(chip)
        known = np.where(
            seen.label < len(dataset.classes), seen.label, NODATA
        )  # sets have no colour
        for place, pixels in enumerate(
            (true_colour(seen.s2), false_colour(seen.s1), coloured(known, dataset.classes))
        ):
            nearest = place == 2
            page.paste(
                _panel(pixels, nearest=nearest),
                (left + place * (_PANEL_PX + _GAP_PX), top + round(1.6 * _TEXT_PX)),
            )
    page.paste(legend, (0, _GAP_PX + down * cell))
    try:
        with replacing(out) as part:
            page.save(part, format="PNG")
    except OSError as error:
        raise OutputError(
            f"The picture {out} could not be written ({error.strerror or error}). Free some space, "
            "or copy the dataset to a folder that you may write to."
        ) from error


def false_colour(s1: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Radar as a picture: red is VV, green is VH, blue is VV - VH.

    Args:
        s1: (2, H, W) hundredths of a decibel, -32768 nodata.

    Returns:
        (H, W, 3) red, green, blue; light grey where there is no data.

    """
    vv, vh = s1.astype(np.float32)
    valid = (s1 != S1_NODATA).all(axis=0)
    pixels = np.full((*valid.shape, 3), _EMPTY, np.uint8)
    for number, (band, (low, high)) in enumerate(zip((vv, vh, vv - vh), _STRETCH_CDB, strict=True)):
        scaled = ((band - low) / (high - low)).clip(0, 1)
        pixels[valid, number] = (255 * scaled[valid]).round().astype(np.uint8)
    return pixels


def _choose_chips(rows: Sequence[Chip]) -> list[Chip]:
    """Chips of every split, chosen by hashes of their names."""
    shuffled = sorted(rows, key=lambda row: hashlib.sha256(row.chip.encode()).digest())
    turns: dict[str, int] = {}
    order = []
    for row in shuffled:
        turns[row.split] = turns.get(row.split, 0) + 1
        order.append((turns[row.split], row.split, row.chip, row))
    chosen = [entry[-1] for entry in sorted(order, key=lambda entry: entry[:3])]
    chosen = chosen[: _COLUMNS * _ROWS]
    return sorted(chosen, key=lambda row: (row.split, row.chip))


def _panel(pixels: NDArray[np.uint8], *, nearest: bool) -> Image.Image:
    resampling = Image.Resampling.NEAREST if nearest else Image.Resampling.LANCZOS
    return Image.fromarray(pixels).resize((_PANEL_PX, _PANEL_PX), resampling)


def _legend(entries: Sequence[tuple[tuple[int, int, int], str]], width: int) -> Image.Image:
    """The classes and their colours, in as many rows as it takes."""
    font = ImageFont.load_default(_TEXT_PX)
    places, x, y = [], _GAP_PX, 0
    for colour, name in entries:
        length = round(1.5 * _TEXT_PX + font.getlength(name))
        if x > _GAP_PX and x + length + _GAP_PX > width:
            x, y = _GAP_PX, y + 2 * _TEXT_PX
        places.append((x, y, colour, name))
        x += length + 2 * _TEXT_PX
    image = Image.new("RGB", (width, y + 2 * _TEXT_PX), _PAPER)
    draw = ImageDraw.Draw(image)
    for x, y, colour, name in places:
        draw.rectangle((x, y, x + _TEXT_PX, y + _TEXT_PX), colour, outline=_INK)
        draw.text((x + 1.5 * _TEXT_PX, y + _TEXT_PX / 2), name, _INK, font, anchor="lm")
    return image
