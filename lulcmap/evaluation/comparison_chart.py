"""The picture of a comparison: each difference with its interval, beside the line of none."""

from typing import Any

from PIL import Image, ImageDraw, ImageFont

_PAPER, _INK, _FAINT, _LINE = (255, 255, 255), (33, 37, 41), (108, 117, 125), (206, 212, 218)

_BETTER, _WORSE, _UNSURE = (46, 125, 80), (190, 70, 50), (108, 117, 125)
"""Colours of a difference that is surely above 0, surely below, or neither."""

_TITLE_PX, _TEXT_PX, _SMALL_PX = 30, 19, 16
"""Sizes of type, pixels."""

_MARGIN_PX, _ROW_PX, _PLOT_PX, _DOT_PX = 32, 36, 560, 5

_TOTALS = {"oa": "overall accuracy", "f1": "mean F1", "miou": "mean IoU"}

_LEAST_POINTS = 1.0
"""Least width of the axis on each side of 0, points."""


def comparison_chart(comparison: dict[str, Any]) -> Image.Image:
    """Draw the differences of the scores and of each class's F1, in points.

    Args:
        comparison: comparison as ``Comparison.to_json`` gives it.

    """
    rows = [(name, comparison["scores"][key]) for key, name in _TOTALS.items()]
    rows += [
        (f"F1 of {row['class'].replace('_', ' ')}", row["f1"])
        for row in comparison["per_class"]
        if row["f1"]["difference"] is not None
    ]
    first, second = comparison["first"]["name"], comparison["second"]["name"]
    head = f"{first} minus {second}, against {comparison['labels']['name']}"
    text = _font(_TEXT_PX)
    left = _MARGIN_PX * 2 + round(max(text.getlength(name) for name, _ in rows))
    top = _MARGIN_PX * 2 + _TITLE_PX + _SMALL_PX
    right = left + _PLOT_PX
    width = max(right + _MARGIN_PX * 5, round(_font(_SMALL_PX).getlength(head)) + 2 * _MARGIN_PX)
    page = Image.new("RGB", (width, top + _ROW_PX * len(rows) + _MARGIN_PX * 3), _PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((_MARGIN_PX, _MARGIN_PX), "Differences, points", _INK, _font(_TITLE_PX), anchor="lt")
    draw.text(
        (_MARGIN_PX, _MARGIN_PX * 1.4 + _TITLE_PX), head, _FAINT, _font(_SMALL_PX), anchor="lt"
    )
    reach = _reach(rows)
    foot = top + _ROW_PX * len(rows)
    for tick in (-reach, -reach / 2, 0, reach / 2, reach):
        x = left + _PLOT_PX * (tick / reach + 1) / 2
        draw.line((x, top, x, foot), _INK if tick == 0 else _LINE, 2 if tick == 0 else 1)
        draw.text((x, foot + 8), f"{tick:+.3g}", _INK, _font(_SMALL_PX), anchor="mt")
    for number, (name, score) in enumerate(rows):
        y = top + _ROW_PX * (number + 0.5)
        draw.text((left - 12, y), name, _INK, text, anchor="rm")
        _draw_difference(draw, score, left=left, y=y, reach=reach)
    return page


def _draw_difference(
    draw: ImageDraw.ImageDraw, score: dict[str, Any], *, left: int, y: float, reach: float
) -> None:
    """Draw a difference as a dot on its interval, and as a number to the right."""

    def x_of(value: float) -> float:
        return left + _PLOT_PX * (100 * value / reach + 1) / 2

    low, high, value = score["low"], score["high"], score["difference"]
    colour = _UNSURE
    if low is not None and high is not None:
        colour = _BETTER if low > 0 else _WORSE if high < 0 else _UNSURE
        draw.line((x_of(low), y, x_of(high), y), colour, 3)
    x = x_of(value)
    draw.ellipse((x - _DOT_PX, y - _DOT_PX, x + _DOT_PX, y + _DOT_PX), colour)
    at = left + _PLOT_PX + 14, y
    draw.text(at, f"{100 * value:+.1f}", colour, _font(_TEXT_PX), anchor="lm")


def _reach(rows: list[tuple[str, dict[str, Any]]]) -> float:
    """Largest value of the axis, points: what every interval fits in."""
    ends = [
        abs(100 * score[key])
        for _, score in rows
        for key in ("low", "high", "difference")
        if score[key] is not None
    ]
    return max(_LEAST_POINTS, *ends) * 1.05


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
