"""Pictures of an evaluation: the confusion matrix and the reliability diagram."""

from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_PAPER, _INK, _FAINT, _LINE = (255, 255, 255), (33, 37, 41), (108, 117, 125), (206, 212, 218)

_DARK = (8, 69, 148)
"""Colour of a cell that holds all of its row; above half, its text is white."""

_BAR, _GAP_BAR = (66, 133, 190), (226, 120, 100)
"""Colours of the accuracy, and of the gap between confidence and accuracy."""

_TITLE_PX, _TEXT_PX, _SMALL_PX = 30, 19, 16
"""Sizes of type, pixels."""

_MARGIN_PX, _CELL_PX = 32, 86

_PLOT_PX = 640
"""Side of the reliability plot, pixels."""


def confusion_chart(metrics: dict[str, Any]) -> Image.Image:
    """Draw the confusion matrix, each row as shares of the true class.

    Args:
        metrics: metrics as ``Evaluation.to_json`` gives them.

    """
    counts = np.array(metrics["confusion"], float)
    present = counts.any(axis=0) | counts.any(axis=1)
    counts = counts[np.ix_(present, present)]
    names = [name.replace("_", " ") for name in np.array(metrics["classes"])[present]]
    rows = np.flatnonzero(counts.any(axis=1)).tolist()
    text = _font(_TEXT_PX)
    longest = round(max(text.getlength(name) for name in names))
    left, top = _MARGIN_PX + _TEXT_PX * 2 + longest, _MARGIN_PX * 3 + _TITLE_PX + _TEXT_PX + longest
    width = max(
        left + _CELL_PX * len(names) + _MARGIN_PX, round(_head_width(metrics)) + 2 * _MARGIN_PX
    )
    page = Image.new("RGB", (width, top + _CELL_PX * len(rows) + _MARGIN_PX), _PAPER)
    draw = ImageDraw.Draw(page)
    _head(draw, "Confusion matrix", metrics)
    for i, name in enumerate(names):
        _upright(page, name, (left + i * _CELL_PX + _CELL_PX // 2, top - 10))
    _upright(
        page,
        "true class",
        (_MARGIN_PX + _TEXT_PX // 2, top + _CELL_PX * len(rows) // 2),
        middle=True,
    )
    draw.text((left, top - longest - 22), "given class", _FAINT, text, anchor="ls")
    for line, i in enumerate(rows):
        y = top + line * _CELL_PX
        draw.text((left - 10, y + _CELL_PX / 2), names[i], _INK, text, anchor="rm")
        for j, share in enumerate(counts[i] / counts[i].sum()):
            box = (left + j * _CELL_PX, y, left + (j + 1) * _CELL_PX, y + _CELL_PX)
            draw.rectangle(box, _shade(share), outline=_LINE)
            colour = _PAPER if share > 0.5 else _INK
            at = left + j * _CELL_PX + _CELL_PX / 2
            draw.text((at, y + _CELL_PX * 0.4), f"{share:.1%}", colour, text, anchor="mm")
            draw.text(
                (at, y + _CELL_PX * 0.7),
                _short_number(counts[i, j]),
                colour,
                _font(13),
                anchor="mm",
            )
    return page


def reliability_chart(metrics: dict[str, Any]) -> Image.Image:
    """Draw the accuracy against the confidence of each bin, above the bins' pixels.

    Args:
        metrics: metrics as ``Evaluation.to_json`` gives them, with a calibration.

    """
    bins = metrics["calibration"]["bins"]
    left, top = _MARGIN_PX * 3, _MARGIN_PX * 3 + _TITLE_PX + _TEXT_PX
    width = max(left + _PLOT_PX + _MARGIN_PX, round(_head_width(metrics)) + 2 * _MARGIN_PX)
    under = top + _PLOT_PX + _MARGIN_PX * 3  # top of the histogram
    page = Image.new("RGB", (width, under + 160 + _MARGIN_PX * 2), _PAPER)
    draw = ImageDraw.Draw(page)
    _head(draw, f"Reliability: ECE {metrics['calibration']['ece']:.1%}", metrics)
    foot = top + _PLOT_PX
    most = max(one["pixels"] for one in bins)
    for one in bins:
        x0, x1 = left + one["from"] * _PLOT_PX, left + one["to"] * _PLOT_PX - 2
        if one["pixels"]:
            accuracy = foot - one["accuracy"] * _PLOT_PX
            confidence = foot - one["confidence"] * _PLOT_PX
            draw.rectangle((x0, accuracy, x1, foot), _BAR)
            ends = min(accuracy, confidence), max(accuracy, confidence)
            draw.rectangle((x0, ends[0], x1, ends[1]), outline=_GAP_BAR, width=3)
        draw.rectangle((x0, under + 160 * (1 - one["pixels"] / most), x1, under + 160), _FAINT)
    draw.line((left, foot, left + _PLOT_PX, top), _INK, 2)
    draw.rectangle((left, top, left + _PLOT_PX, foot), outline=_INK)
    draw.rectangle((left, under, left + _PLOT_PX, under + 160), outline=_INK)
    for tick in np.linspace(0, 1, 6):
        at = left + tick * _PLOT_PX
        for line in (foot, under + 160):
            draw.text((at, line + 8), f"{tick:.0%}", _INK, _font(_SMALL_PX), anchor="mt")
        draw.text(
            (left - 8, foot - tick * _PLOT_PX), f"{tick:.0%}", _INK, _font(_SMALL_PX), anchor="rm"
        )
    draw.text((left, top - 10), "accuracy", _INK, _font(_TEXT_PX), anchor="ls")
    draw.text((left + _PLOT_PX, foot + 34), "confidence", _INK, _font(_TEXT_PX), anchor="rt")
    draw.text(
        (left, under - 10),
        f"pixels (highest bar {_short_number(most)})",
        _INK,
        _font(_TEXT_PX),
        anchor="ls",
    )
    return page


def _head(draw: ImageDraw.ImageDraw, title: str, metrics: dict[str, Any]) -> None:
    draw.text((_MARGIN_PX, _MARGIN_PX), title, _INK, _font(_TITLE_PX), anchor="lt")
    draw.text(
        (_MARGIN_PX, _MARGIN_PX * 1.4 + _TITLE_PX),
        _note(metrics),
        _FAINT,
        _font(_SMALL_PX),
        anchor="lt",
    )


def _note(metrics: dict[str, Any]) -> str:
    """Names of the subject, the labels and the votes' scheme."""
    labels = metrics["labels"]
    return f"{metrics['subject']['name']} against {labels['name']}; votes: {labels['votes']}"


def _head_width(metrics: dict[str, Any]) -> float:
    return _font(_SMALL_PX).getlength(_note(metrics))


def _shade(share: float) -> tuple[int, ...]:
    """Colour of a share, from paper to ``_DARK``; a square root makes small shares visible."""
    part = share**0.5
    return tuple(round(p + (d - p) * part) for p, d in zip(_PAPER, _DARK, strict=True))


def _upright(page: Image.Image, text: str, at: tuple[int, int], *, middle: bool = False) -> None:
    """Draw text that reads upwards, starting at a point or centred on it."""
    font = _font(_TEXT_PX)
    image = Image.new("L", (round(font.getlength(text)) + 2, _TEXT_PX + 8), 0)
    ImageDraw.Draw(image).text((0, 0), text, 255, font, anchor="lt")
    turned = image.rotate(90, expand=True)
    top = at[1] - (turned.height // 2 if middle else turned.height)
    colour = _FAINT if middle else _INK
    page.paste(colour, (at[0] - _TEXT_PX // 2, top), turned)


def _short_number(count: float) -> str:
    """A count in at most five characters."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g}{letter}"
    return f"{count:.0f}"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
