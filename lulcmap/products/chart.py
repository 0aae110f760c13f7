"""A bar chart of areas: a bar for each class, or the shares of the classes in each region."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from lulcmap.errors import OutputError
from lulcmap.products.areas import AreaRow, AreaTable
from lulcmap.products.tables import CHART_TITLE, check_table_path
from lulcmap.system import replacing

_PAPER, _INK, _FAINT, _LINE = (255, 255, 255), (33, 37, 41), (108, 117, 125), (206, 212, 218)

_UNKNOWN = (173, 181, 189)
"""Colour of a class without one."""

_TITLE_PX, _TEXT_PX, _SMALL_PX = 28, 19, 16
"""Sizes of type, pixels."""

_MARGIN_PX, _GAP_PX, _BAR_PX, _ROW_PX = 32, 12, 26, 44

_PLOT_PX = 640
"""Length of the longest bar, pixels."""

_MAX_REGIONS = 40
"""Regions that are drawn: the largest ones of many."""

_MAX_NAME_PX = 320
"""Longest name of a region or class, pixels; a longer one is cut."""

_OTHER_FONTS = (
    *("NotoSans-Regular.ttf", "DejaVuSans.ttf", "NotoSansLao-Regular.ttf"),
    *("NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "arial.ttf", "seguisym.ttf"),
)
"""Fonts that are tried for letters which Pillow's own lacks."""

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_KM2_FROM_HA = 10_000
"""Hectares of the largest bar from which the chart speaks of square kilometres."""


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
    info = PngInfo()
    info.add_text("Title", CHART_TITLE)
    try:
        with replacing(out) as part:
            page.save(part, format="PNG", optimize=True, pnginfo=info)
    except OSError as error:
        raise OutputError(
            f"The chart {out} cannot be written ({error.strerror or error}). Free some space, or "
            "choose another folder."
        ) from error


def _whole(table: AreaTable) -> Image.Image:
    """A bar for each class, the largest first."""
    rows = sorted(table.rows, key=lambda row: -row.ha)
    is_adjusted = any(row.adjusted is not None for row in rows)
    ends = [max(row.ha, _upper(row)) for row in rows]
    unit, per_unit = ("km²", 100.0) if max(ends) >= _KM2_FROM_HA else ("ha", 1.0)
    names = [_shortened(row.name.replace("_", " ")) for row in rows]
    texts = [_figures(row, unit, per_unit) for row in rows]
    left = _MARGIN_PX + _longest(names, _TEXT_PX) + _GAP_PX
    right = left + _PLOT_PX + _GAP_PX
    width = right + _longest(texts, _SMALL_PX) + _MARGIN_PX
    note = f"{unit} and percent of the mapped area, {table.title}"
    if is_adjusted:
        note += ". Line: error-adjusted area with its 95 % interval."
    top = _MARGIN_PX + _TITLE_PX + _GAP_PX + _SMALL_PX + 2 * _GAP_PX
    page, draw = _page(
        max(width, 2 * _MARGIN_PX + _longest([note], _SMALL_PX)),
        top + len(rows) * _ROW_PX + _MARGIN_PX - _GAP_PX,
        "Areas by class",
        note,
    )
    scale = _PLOT_PX / max(ends)
    for i, row in enumerate(rows):
        middle = top + i * _ROW_PX + _ROW_PX / 2
        draw.text((left - _GAP_PX, middle), names[i], _INK, _font(_TEXT_PX, names[i]), anchor="rm")
        box = (left, middle - _BAR_PX / 2, left + row.ha * scale, middle + _BAR_PX / 2)
        draw.rectangle(box, _colour(table, row))
        _interval(draw, row, left, middle, scale)
        end = left + ends[i] * scale + _GAP_PX
        draw.text((end, middle), texts[i], _INK, _font(_SMALL_PX), anchor="lm")
    draw.line((left, top, left, top + len(rows) * _ROW_PX), _FAINT)
    return page


def _interval(
    draw: ImageDraw.ImageDraw, row: AreaRow, left: float, middle: float, scale: float
) -> None:
    """The adjusted area of a class as a point, and its interval as a line with ends."""
    if row.adjusted is None or row.adjusted.ha is None:
        return
    at, half = left + row.adjusted.ha * scale, (row.adjusted.ci95_ha or 0.0) * scale
    start, end = max(at - half, left), at + half
    for colour, wide in ((_PAPER, 6), (_INK, 2)):  # a light rim, for dark bars
        edge = (wide - 2) / 2
        draw.line((start - edge, middle, end + edge, middle), colour, wide)
        for x in (start, end):
            draw.line((x, middle - 7 - edge, x, middle + 7 + edge), colour, wide)
    draw.ellipse((at - 5, middle - 5, at + 5, middle + 5), _INK, outline=_PAPER)


def _upper(row: AreaRow) -> float:
    """Hectares at the upper end of the interval; 0 without one."""
    if row.adjusted is None or row.adjusted.ha is None:
        return 0.0
    return row.adjusted.ha + (row.adjusted.ci95_ha or 0.0)


def _figures(row: AreaRow, unit: str, per_unit: float) -> str:
    text = f"{_number(row.ha / per_unit)} {unit}, {row.percent or 0:.1f} %"
    if row.adjusted is None or row.adjusted.ha is None:
        return text
    text += f"; adjusted {_number(row.adjusted.ha / per_unit)}"
    if row.adjusted.ci95_ha is not None:
        margin = row.adjusted.ci95_ha / per_unit
        text += f" ± {margin:,.{_digits(row.adjusted.ha / per_unit)}f}"
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
    unit, per_unit = ("km²", 100.0) if max(mapped.values()) >= _KM2_FROM_HA else ("ha", 1.0)
    names = [_shortened(name) for name in shown]
    texts = [f"{_number(mapped[name] / per_unit)} {unit}" for name in shown]
    left = _MARGIN_PX + _longest(names, _TEXT_PX) + _GAP_PX
    note = f"percent of the mapped area of each region, {table.title}"
    if len(shown) < len(mapped):
        note += f"; the {len(shown)} largest of {len(mapped):,} regions"
    width = max(
        left + _PLOT_PX + _GAP_PX + _longest(texts, _SMALL_PX) + _MARGIN_PX,
        2 * _MARGIN_PX + _longest([note], _SMALL_PX),
    )
    classes = {row.class_id: row for row in table.rows if row.class_id is not None}
    legend = _legend(list(classes.values()), width - 2 * _MARGIN_PX)
    top = _MARGIN_PX + _TITLE_PX + _GAP_PX + _SMALL_PX + 2 * _GAP_PX
    foot = top + len(legend) * 28 + _GAP_PX
    page, draw = _page(
        width, foot + len(shown) * (_BAR_PX + 8) + _MARGIN_PX, "Classes by region", note
    )
    for line, entries in enumerate(legend):
        for offset, row in entries:
            y = top + line * 28 + 10
            at = _MARGIN_PX + offset
            draw.rectangle((at, y - 8, at + 16, y + 8), _colour(table, row))
            name = row.name.replace("_", " ")
            draw.text((at + 24, y), _shortened(name), _INK, _font(_SMALL_PX, name), anchor="lm")
    for i, region in enumerate(shown):
        y = foot + i * (_BAR_PX + 8)
        middle = y + _BAR_PX / 2
        draw.text((left - _GAP_PX, middle), names[i], _INK, _font(_TEXT_PX, names[i]), anchor="rm")
        x = float(left)
        for row in groups[region]:
            end = x + (row.percent or 0) / 100 * _PLOT_PX
            if round(end) > round(x):
                draw.rectangle((round(x), y, round(end) - 1, y + _BAR_PX), _colour(table, row))
            x = end
        draw.text(
            (left + _PLOT_PX + _GAP_PX, middle), texts[i], _INK, _font(_SMALL_PX), anchor="lm"
        )
    return page


def _legend(rows: Sequence[AreaRow], width: int) -> list[list[tuple[int, AreaRow]]]:
    """Lines of legend entries within a width, each with its offset from the left."""
    lines: list[list[tuple[int, AreaRow]]] = [[]]
    x = 0
    for row in rows:
        length = 24 + _longest([_shortened(row.name.replace("_", " "))], _SMALL_PX)
        if lines[-1] and x + length > width:
            lines.append([])
            x = 0
        lines[-1].append((x, row))
        x += length + 24
    return lines


def _page(
    width: int, height: int, title: str, note: str
) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    page = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((_MARGIN_PX, _MARGIN_PX), title, _INK, _font(_TITLE_PX), anchor="lt")
    at = (_MARGIN_PX, _MARGIN_PX + _TITLE_PX + _GAP_PX)
    draw.text(at, note, _FAINT, _font(_SMALL_PX, note), anchor="lt")
    return page, draw


def _colour(table: AreaTable, row: AreaRow) -> tuple[int, int, int]:
    return _UNKNOWN if row.class_id is None else table.colours.get(row.class_id, _UNKNOWN)


def _number(value: float) -> str:
    """A number with three digits or more."""
    return f"{value:,.{_digits(value)}f}"


def _digits(value: float) -> int:
    return 0 if value >= 100 else 1 if value >= 10 else 2


def _longest(texts: Sequence[str], size: int) -> int:
    return round(max(_font(size, text).getlength(text) for text in texts)) + 1


def _shortened(text: str) -> str:
    """A text that is no wider than a name may be."""
    font = _font(_TEXT_PX, text)
    if font.getlength(text) <= _MAX_NAME_PX:
        return text
    while font.getlength(f"{text}...") > _MAX_NAME_PX:
        text = text[:-1]
    return f"{text.rstrip()}..."


def _font(size: int, text: str = "") -> _Font:
    """Pillow's own font; for letters it lacks, the first one on this machine that has them."""
    own = ImageFont.load_default(size)
    if _has_letters(own, text):
        return own
    for name in _OTHER_FONTS:
        with suppress(OSError):
            other = ImageFont.truetype(name, size)
            if _has_letters(other, text):
                return other
    return own


def _has_letters(font: _Font, text: str) -> bool:
    """Whether a font has all letters of a text: it draws none as it draws a letter of no script."""
    missing = bytes(font.getmask("\U0010ffff"))
    return all(bytes(font.getmask(letter)) != missing for letter in set(text) - {" "})
