"""A bar chart of areas: a bar for each class, or the shares of the classes in each region."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from lulcmap.products.areas import AreaRow, AreaTable
from lulcmap.products.drawing import (
    FAINT,
    GAP_PX,
    INK,
    KM2_FROM_HA,
    MARGIN_PX,
    PAPER,
    SMALL_PX,
    TEXT_PX,
    TITLE_PX,
    UNKNOWN,
    digits,
    longest,
    new_page,
    number,
    save_page,
    shortened,
)
from lulcmap.products.tables import CHART_TITLE, check_table_path
from lulcmap.system import font_for

_BAR_PX, _ROW_PX = 26, 44

_PLOT_PX = 640
"""Length of the longest bar, pixels."""

_MAX_REGIONS = 40
"""Regions that are drawn: the largest ones of many."""


def draw_areas(out: str | Path, table: AreaTable, *, overwrite: bool = False) -> None:
    """Write a bar chart of a table as a PNG: the whole file, or nothing.

    Of a whole map, a bar for each class in its colour, with the error-adjusted area and its 95 %
    interval if there is one; of regions, their classes as shares of what is mapped of them.

    Args:
        out: path of the file, ``.png``.
        table: the table.
        overwrite: whether an existing file may be replaced.

    Raises:
        OutputError: the file exists, or cannot be written.

    """
    out = Path(out)
    check_table_path(out, overwrite=overwrite, option="--chart", endings=[".png"])
    page = _whole(table) if table.regions is None else _by_region(table)
    save_page(page, out, CHART_TITLE)


def _whole(table: AreaTable) -> Image.Image:
    """A bar for each class, the largest first."""
    rows = sorted(table.rows, key=lambda row: -row.ha)
    is_adjusted = any(row.adjusted is not None for row in rows)
    ends = [max(row.ha, _upper(row)) for row in rows]
    unit, per_unit = ("km²", 100.0) if max(ends) >= KM2_FROM_HA else ("ha", 1.0)
    names = [shortened(row.name.replace("_", " ")) for row in rows]
    texts = [_figures(row, unit, per_unit) for row in rows]
    left = MARGIN_PX + longest(names, TEXT_PX) + GAP_PX
    right = left + _PLOT_PX + GAP_PX
    width = right + longest(texts, SMALL_PX) + MARGIN_PX
    note = f"{unit} and percent of the mapped area, {table.title}"
    if is_adjusted:
        note += ". Line: error-adjusted area with its 95 % interval."
    top = MARGIN_PX + TITLE_PX + GAP_PX + SMALL_PX + 2 * GAP_PX
    page, draw = new_page(
        max(width, 2 * MARGIN_PX + longest([note], SMALL_PX)),
        top + len(rows) * _ROW_PX + MARGIN_PX - GAP_PX,
        "Areas by class",
        note,
    )
    scale = _PLOT_PX / max(ends)
    for i, row in enumerate(rows):
        middle = top + i * _ROW_PX + _ROW_PX / 2
        draw.text((left - GAP_PX, middle), names[i], INK, font_for(TEXT_PX, names[i]), anchor="rm")
        box = (left, middle - _BAR_PX / 2, left + row.ha * scale, middle + _BAR_PX / 2)
        draw.rectangle(box, _colour(table, row))
        _interval(draw, row, left, middle, scale)
        end = left + ends[i] * scale + GAP_PX
        draw.text((end, middle), texts[i], INK, font_for(SMALL_PX), anchor="lm")
    draw.line((left, top, left, top + len(rows) * _ROW_PX), FAINT)
    return page


def _interval(
    draw: ImageDraw.ImageDraw, row: AreaRow, left: float, middle: float, scale: float
) -> None:
    """The adjusted area of a class as a point, and its interval as a line with ends."""
    if row.adjusted is None or row.adjusted.ha is None:
        return
    at, half = left + row.adjusted.ha * scale, (row.adjusted.ci95_ha or 0.0) * scale
    start, end = max(at - half, left), at + half
    for colour, wide in ((PAPER, 6), (INK, 2)):  # a light rim, for dark bars
        edge = (wide - 2) / 2
        draw.line((start - edge, middle, end + edge, middle), colour, wide)
        for x in (start, end):
            draw.line((x, middle - 7 - edge, x, middle + 7 + edge), colour, wide)
    draw.ellipse((at - 5, middle - 5, at + 5, middle + 5), INK, outline=PAPER)


def _upper(row: AreaRow) -> float:
    """Hectares at the upper end of the interval; 0 without one."""
    if row.adjusted is None or row.adjusted.ha is None:
        return 0.0
    return row.adjusted.ha + (row.adjusted.ci95_ha or 0.0)


def _figures(row: AreaRow, unit: str, per_unit: float) -> str:
    text = f"{number(row.ha / per_unit)} {unit}, {row.percent or 0:.1f} %"
    if row.adjusted is None or row.adjusted.ha is None:
        return text
    text += f"; adjusted {number(row.adjusted.ha / per_unit)}"
    if row.adjusted.ci95_ha is not None:
        margin = row.adjusted.ci95_ha / per_unit
        text += f" ± {margin:,.{digits(row.adjusted.ha / per_unit)}f}"
    return text


def _by_region(table: AreaTable) -> Image.Image:
    """The shares of the classes in each region, of 100 %."""
    groups = {
        name: [row for row in rows if row.percent is not None]
        for name, rows in table.by_region().items()
    }
    mapped = {name: sum(row.ha for row in rows) for name, rows in groups.items() if rows}
    largest = set(sorted(mapped, key=lambda name: -mapped[name])[:_MAX_REGIONS])
    shown = [name for name in mapped if name in largest]
    unit, per_unit = ("km²", 100.0) if max(mapped.values()) >= KM2_FROM_HA else ("ha", 1.0)
    names = [shortened(name) for name in shown]
    texts = [f"{number(mapped[name] / per_unit)} {unit}" for name in shown]
    left = MARGIN_PX + longest(names, TEXT_PX) + GAP_PX
    note = f"percent of the mapped area of each region, {table.title}"
    if len(shown) < len(mapped):
        note += f"; the {len(shown)} largest of {len(mapped):,} regions"
    width = max(
        left + _PLOT_PX + GAP_PX + longest(texts, SMALL_PX) + MARGIN_PX,
        2 * MARGIN_PX + longest([note], SMALL_PX),
    )
    classes = {row.class_id: row for row in table.rows if row.class_id is not None}
    legend = _legend(list(classes.values()), width - 2 * MARGIN_PX)
    top = MARGIN_PX + TITLE_PX + GAP_PX + SMALL_PX + 2 * GAP_PX
    foot = top + len(legend) * 28 + GAP_PX
    page, draw = new_page(
        width, foot + len(shown) * (_BAR_PX + 8) + MARGIN_PX, "Classes by region", note
    )
    for line, entries in enumerate(legend):
        for offset, row in entries:
            y = top + line * 28 + 10
            at = MARGIN_PX + offset
            draw.rectangle((at, y - 8, at + 16, y + 8), _colour(table, row))
            name = row.name.replace("_", " ")
            draw.text((at + 24, y), shortened(name), INK, font_for(SMALL_PX, name), anchor="lm")
    for i, region in enumerate(shown):
        y = foot + i * (_BAR_PX + 8)
        middle = y + _BAR_PX / 2
        draw.text((left - GAP_PX, middle), names[i], INK, font_for(TEXT_PX, names[i]), anchor="rm")
        x = float(left)
        for row in groups[region]:
            end = x + (row.percent or 0) / 100 * _PLOT_PX
            if round(end) > round(x):
                draw.rectangle((round(x), y, round(end) - 1, y + _BAR_PX), _colour(table, row))
            x = end
        draw.text(
            (left + _PLOT_PX + GAP_PX, middle), texts[i], INK, font_for(SMALL_PX), anchor="lm"
        )
    return page


def _legend(rows: Sequence[AreaRow], width: int) -> list[list[tuple[int, AreaRow]]]:
    """Lines of legend entries within a width, each with its offset from the left."""
    lines: list[list[tuple[int, AreaRow]]] = [[]]
    x = 0
    for row in rows:
        length = 24 + longest([shortened(row.name.replace("_", " "))], SMALL_PX)
        if lines[-1] and x + length > width:
            lines.append([])
            x = 0
        lines[-1].append((x, row))
        x += length + 24
    return lines


def _colour(table: AreaTable, row: AreaRow) -> tuple[int, int, int]:
    return UNKNOWN if row.class_id is None else table.colours.get(row.class_id, UNKNOWN)
