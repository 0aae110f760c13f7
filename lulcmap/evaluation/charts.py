"""Pictures of an evaluation: the confusion matrix, and how reliable the confidence is."""

from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_PAPER, _INK, _FAINT, _LINE = (255, 255, 255), (33, 37, 41), (108, 117, 125), (206, 212, 218)

_DARK = (8, 69, 148)
"""Of a cell that holds all of its row; half the way there, text turns white."""

_BAR, _GAP_BAR = (66, 133, 190), (226, 120, 100)
"""Of the accuracy, and of how far the confidence is off."""

_TITLE, _TEXT, _SMALL = 30, 19, 16
"""Sizes of type, pixels."""

_MARGIN, _CELL = 32, 86

_PLOT = 640
"""Pixels a side of the reliability plot."""


def confusion_chart(facts: dict[str, Any]) -> Image.Image:
    """The confusion matrix, each row as shares of the true class.

    Args:
        facts: as ``figures.facts`` gives them.

    """
    counts = np.array(facts["confusion"], float)
    there = counts.any(axis=0) | counts.any(axis=1)
    counts = counts[np.ix_(there, there)]
    names = [name.replace("_", " ") for name in np.array(facts["classes"])[there]]
    rows = np.flatnonzero(counts.any(axis=1)).tolist()
    text = _font(_TEXT)
    longest = round(max(text.getlength(name) for name in names))
    left, top = _MARGIN + _TEXT * 2 + longest, _MARGIN * 3 + _TITLE + _TEXT + longest
    width = max(left + _CELL * len(names) + _MARGIN, round(_width_of_head(facts)) + 2 * _MARGIN)
    page = Image.new("RGB", (width, top + _CELL * len(rows) + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(page)
    _head(draw, "Confusion matrix", facts)
    for i, name in enumerate(names):
        _upright(page, name, (left + i * _CELL + _CELL // 2, top - 10))
    _upright(page, "true class", (_MARGIN + _TEXT // 2, top + _CELL * len(rows) // 2), middle=True)
    draw.text((left, top - longest - 22), "given class", _FAINT, text, anchor="ls")
    for line, i in enumerate(rows):
        y = top + line * _CELL
        draw.text((left - 10, y + _CELL / 2), names[i], _INK, text, anchor="rm")
        for j, share in enumerate(counts[i] / counts[i].sum()):
            box = (left + j * _CELL, y, left + (j + 1) * _CELL, y + _CELL)
            draw.rectangle(box, _shade(share), outline=_LINE)
            colour = _PAPER if share > 0.5 else _INK
            at = left + j * _CELL + _CELL / 2
            draw.text((at, y + _CELL * 0.4), f"{share:.1%}", colour, text, anchor="mm")
            draw.text((at, y + _CELL * 0.7), _short(counts[i, j]), colour, _font(13), anchor="mm")
    return page


def reliability_chart(facts: dict[str, Any]) -> Image.Image:
    """Accuracy against confidence in each bin, over how many pixels the bins have.

    Args:
        facts: as ``figures.facts`` gives them, with a calibration.

    """
    bins = facts["calibration"]["bins"]
    left, top = _MARGIN * 3, _MARGIN * 3 + _TITLE + _TEXT
    width = max(left + _PLOT + _MARGIN, round(_width_of_head(facts)) + 2 * _MARGIN)
    under = top + _PLOT + _MARGIN * 3  # top of the histogram
    page = Image.new("RGB", (width, under + 160 + _MARGIN * 2), _PAPER)
    draw = ImageDraw.Draw(page)
    _head(draw, f"Reliability: ECE {facts['calibration']['ece']:.1%}", facts)
    foot = top + _PLOT
    most = max(one["pixels"] for one in bins)
    for one in bins:
        x0, x1 = left + one["from"] * _PLOT, left + one["to"] * _PLOT - 2
        if one["pixels"]:
            accuracy, sure = foot - one["accuracy"] * _PLOT, foot - one["confidence"] * _PLOT
            draw.rectangle((x0, accuracy, x1, foot), _BAR)
            draw.rectangle(
                (x0, min(accuracy, sure), x1, max(accuracy, sure)), outline=_GAP_BAR, width=3
            )
        draw.rectangle((x0, under + 160 * (1 - one["pixels"] / most), x1, under + 160), _FAINT)
    draw.line((left, foot, left + _PLOT, top), _INK, 2)
    draw.rectangle((left, top, left + _PLOT, foot), outline=_INK)
    draw.rectangle((left, under, left + _PLOT, under + 160), outline=_INK)
    for tick in np.linspace(0, 1, 6):
        at = left + tick * _PLOT
        for line in (foot, under + 160):
            draw.text((at, line + 8), f"{tick:.0%}", _INK, _font(_SMALL), anchor="mt")
        draw.text((left - 8, foot - tick * _PLOT), f"{tick:.0%}", _INK, _font(_SMALL), anchor="rm")
    draw.text((left, top - 10), "accuracy", _INK, _font(_TEXT), anchor="ls")
    draw.text((left + _PLOT, foot + 34), "confidence", _INK, _font(_TEXT), anchor="rt")
    draw.text(
        (left, under - 10), f"pixels (highest bar {_short(most)})", _INK, _font(_TEXT), anchor="ls"
    )
    return page


def _head(draw: ImageDraw.ImageDraw, title: str, facts: dict[str, Any]) -> None:
    draw.text((_MARGIN, _MARGIN), title, _INK, _font(_TITLE), anchor="lt")
    draw.text((_MARGIN, _MARGIN * 1.4 + _TITLE), _note(facts), _FAINT, _font(_SMALL), anchor="lt")


def _note(facts: dict[str, Any]) -> str:
    """What was measured against what."""
    labels = facts["labels"]
    return f"{facts['subject']['name']} against {labels['name']}; votes: {labels['votes']}"


def _width_of_head(facts: dict[str, Any]) -> float:
    return _font(_SMALL).getlength(_note(facts))


def _shade(share: float) -> tuple[int, ...]:
    """From paper to ``_DARK``; small shares are made visible by a square root."""
    part = share**0.5
    return tuple(round(p + (d - p) * part) for p, d in zip(_PAPER, _DARK, strict=True))


def _upright(page: Image.Image, text: str, at: tuple[int, int], *, middle: bool = False) -> None:
    """Draw text that reads upwards: from a place on, or around it."""
    font = _font(_TEXT)
    image = Image.new("L", (round(font.getlength(text)) + 2, _TEXT + 8), 0)
    ImageDraw.Draw(image).text((0, 0), text, 255, font, anchor="lt")
    turned = image.rotate(90, expand=True)
    top = at[1] - (turned.height // 2 if middle else turned.height)
    colour = _FAINT if middle else _INK
    page.paste(colour, (at[0] - _TEXT // 2, top), turned)


def _short(count: float) -> str:
    """A number in at most five characters."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g}{letter}"
    return f"{count:.0f}"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
