"""A contact sheet: some chips of a dataset, what the satellites saw and what was said of it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lulcmap.dataset.chips import Chip, Dataset
from lulcmap.errors import OutputError
from lulcmap.output import coloured, true_colour
from lulcmap.sensors import S1_NODATA

_SIDE, _GAP, _TEXT = 192, 12, 13
"""Pixels: of a panel, between panels, and of the type."""

_ACROSS, _DOWN = 2, 6
"""Chips."""

_PAPER, _INK, _EMPTY = (255, 255, 255), (33, 37, 41), (233, 236, 239)

_STRETCH = ((-2000, 0), (-2700, -700), (200, 1200))
"""Hundredths of a decibel that are black and full in red (VV), green (VH), blue (VV - VH)."""


def contact_sheet(out: Path, dataset: Dataset, rows: Sequence[Chip]) -> None:
    """Draw some chips of every split: true colour, radar in false colour, label.

    Which ones depends on their names alone.

    Args:
        out: PNG to write.
        dataset: of the chips.
        rows: chips that can be read.

    Raises:
        OutputError: it cannot be written.

    """
    chosen = _some(rows)
    wide = _ACROSS * (3 * _SIDE + 2 * _GAP) + (_ACROSS + 1) * _GAP
    entries = [(cover.rgb, cover.name.replace("_", " ")) for cover in dataset.classes]
    legend = _legend([*entries, (_EMPTY, "unknown")], wide)
    cell = _SIDE + 2 * _TEXT + _GAP
    down = -(-len(chosen) // _ACROSS)
    page = Image.new("RGB", (wide, _GAP + down * cell + legend.height), _PAPER)
    draw = ImageDraw.Draw(page)
    for number, chip in enumerate(chosen):
        left = _GAP + number % _ACROSS * (3 * (_SIDE + _GAP))
        top = _GAP + number // _ACROSS * cell
        title = f"{chip.split}: {chip.chip}"
        draw.text((left, top), title[:86], _INK, ImageFont.load_default(_TEXT))
        s2, s1, label = dataset.read(chip)
        for place, pixels in enumerate(
            (true_colour(s2), false_colour(s1), coloured(label, dataset.classes))
        ):
            nearest = place == 2
            page.paste(
                _panel(pixels, nearest=nearest),
                (left + place * (_SIDE + _GAP), top + round(1.6 * _TEXT)),
            )
    page.paste(legend, (0, _GAP + down * cell))
    try:
        page.save(out, format="PNG")
    except OSError as error:
        raise OutputError(
            f"The picture {out} could not be written ({error.strerror or error}). Make room, or "
            "copy the dataset to where you may write."
        ) from error


def false_colour(s1: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Radar as a picture: red is VV, green VH, blue how far VV is above VH.

    Args:
        s1: (2, H, W) hundredths of a decibel, -32768 nodata.

    Returns:
        (H, W, 3) red, green, blue; light grey where there is nothing.

    """
    vv, vh = s1.astype(np.float32)
    there = (s1 != S1_NODATA).all(axis=0)
    pixels = np.full((*there.shape, 3), _EMPTY, np.uint8)
    for number, (band, (low, high)) in enumerate(zip((vv, vh, vv - vh), _STRETCH, strict=True)):
        scaled = ((band - low) / (high - low)).clip(0, 1)
        pixels[there, number] = (255 * scaled[there]).round().astype(np.uint8)
    return pixels


def _some(rows: Sequence[Chip]) -> list[Chip]:
    """Chips of every split, drawn by their names."""
    drawn = sorted(rows, key=lambda row: hashlib.sha256(row.chip.encode()).digest())
    turns: dict[str, int] = {}
    order = []
    for row in drawn:
        turns[row.split] = turns.get(row.split, 0) + 1
        order.append((turns[row.split], row.split, row.chip, row))
    chosen = [entry[-1] for entry in sorted(order, key=lambda entry: entry[:3])]
    chosen = chosen[: _ACROSS * _DOWN]
    return sorted(chosen, key=lambda row: (row.split, row.chip))


def _panel(pixels: NDArray[np.uint8], *, nearest: bool) -> Image.Image:
    resampling = Image.Resampling.NEAREST if nearest else Image.Resampling.LANCZOS
    return Image.fromarray(pixels).resize((_SIDE, _SIDE), resampling)


def _legend(entries: Sequence[tuple[tuple[int, int, int], str]], width: int) -> Image.Image:
    """The classes and their colours, in as many rows as it takes."""
    font = ImageFont.load_default(_TEXT)
    places, x, y = [], _GAP, 0
    for colour, name in entries:
        length = round(1.5 * _TEXT + font.getlength(name))
        if x > _GAP and x + length + _GAP > width:
            x, y = _GAP, y + 2 * _TEXT
        places.append((x, y, colour, name))
        x += length + 2 * _TEXT
    image = Image.new("RGB", (width, y + 2 * _TEXT), _PAPER)
    draw = ImageDraw.Draw(image)
    for x, y, colour, name in places:
        draw.rectangle((x, y, x + _TEXT, y + _TEXT), colour, outline=_INK)
        draw.text((x + 1.5 * _TEXT, y + _TEXT / 2), name, _INK, font, anchor="lm")
    return image
