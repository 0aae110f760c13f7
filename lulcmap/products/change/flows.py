"""A picture of the flows between classes: losses on the left, gains on the right.

Unchanged land is not drawn: it would leave no room for the rest.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from lulcmap.products.change.codes import Colour
from lulcmap.products.change.table import ChangeTable, Transition
from lulcmap.products.change.write import FLOWS_TITLE, check_change_path
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
    longest,
    new_page,
    number,
    save_page,
    shortened,
)
from lulcmap.system import font_for

_BAR_PX, _FLOW_PX, _HEIGHT_PX = 22, 460, 560
"""Width of the bars, length of the flows between them, and height of all change, pixels."""

_LABEL_PX = 46
"""Height of a label, pixels: name and area."""

_MAX_CLASSES, _MIN_SHARE = 12, 0.01
"""Classes on each side, and the least share of all change that each has; the others are one."""

_MIN_FLOW_PX = 0.4
"""Flows that are thinner are not drawn."""

_OTHERS = "other classes"

_SCALE = 3
"""Flows are drawn so many times larger, and made smaller: their edges become smooth."""

_ALPHA = 150
"""Opacity of a flow, of 255."""

_STEPS = 48
"""Points along the edge of a flow."""


@dataclass(frozen=True, slots=True)
class _Bar:
    """What a class lost or gained."""

    name: str
    ha: float
    colour: Colour
    top: float
    """Pixels from the top of the page."""

    height: float
    label: float
    """Pixels from the top of the page to the middle of its label."""


def draw_change(out: str | Path, table: ChangeTable, *, overwrite: bool = False) -> None:
    """Write a picture of the flows between classes as a PNG: the whole file, or nothing.

    Args:
        out: path of the file, ``.png``.
        table: the change; of several regions, all of them together.
        overwrite: whether an existing file may be replaced.

    Raises:
        OutputError: the file exists, or cannot be written.

    """
    out = Path(out)
    check_change_path(out, overwrite=overwrite, option="--chart", endings=[".png"])
    save_page(_drawn(table), out, FLOWS_TITLE)


def _drawn(table: ChangeTable) -> Image.Image:
    title = f"Change of land cover, {table.labels[0]} to {table.labels[-1]}"
    flows = _flows(table.transitions)
    if not flows:
        nothing = "No pixel changed its class."
        width = 2 * MARGIN_PX + longest([title], TITLE_PX)
        return new_page(width, 2 * MARGIN_PX + TITLE_PX + GAP_PX + SMALL_PX, title, nothing)[0]
    total = sum(flows.values())
    unit, per_unit = ("km²", 100.0) if total >= KM2_FROM_HA else ("ha", 1.0)
    top = MARGIN_PX + TITLE_PX + 2 * SMALL_PX + 4 * GAP_PX + SMALL_PX
    colours = _colours(table)
    sides = [_bars(_sums(flows, side), colours, top) for side in (0, 1)]
    texts = [[_figures(bar, total, unit, per_unit) for bar in bars] for bars in sides]
    heads = [shortened(f"lost since {table.labels[0]}"), shortened(f"gained by {table.labels[-1]}")]
    widths = [
        max(
            longest([shortened(bar.name) for bar in bars], TEXT_PX),
            longest([*figures, head], SMALL_PX),
        )
        for bars, figures, head in zip(sides, texts, heads, strict=True)
    ]
    left = MARGIN_PX + widths[0] + GAP_PX
    right = left + _BAR_PX + _FLOW_PX
    foot = max(max(bar.top + bar.height, bar.label + _LABEL_PX / 2) for bar in sides[0] + sides[1])
    compared = sum(row.ha for row in table.transitions)
    note = (
        f"{number(total / per_unit)} {unit} of {number(compared / per_unit)} changed "
        f"({100 * total / compared:.1f} %); unchanged land is not drawn. {_source(table)}"
    )
    width = max(
        right + _BAR_PX + GAP_PX + widths[1] + MARGIN_PX,
        2 * MARGIN_PX + longest([note], SMALL_PX),
        2 * MARGIN_PX + longest([title], TITLE_PX),
    )
    page, draw = new_page(width, round(foot) + MARGIN_PX, title, note)
    for x, anchor, head in ((left + _BAR_PX, "rm", heads[0]), (right, "lm", heads[1])):
        draw.text((x, top - 2 * GAP_PX), head, FAINT, font_for(SMALL_PX, head), anchor=anchor)
    _draw_flows(page, flows, sides, left + _BAR_PX, right)
    _draw_bars(draw, sides[0], texts[0], left, labels_left=True)
    _draw_bars(draw, sides[1], texts[1], right, labels_left=False)
    return page


def _draw_bars(
    draw: ImageDraw.ImageDraw,
    bars: Sequence[_Bar],
    figures: Sequence[str],
    x: float,
    *,
    labels_left: bool,
) -> None:
    """Draw the bars of one side, their names and areas."""
    anchor, at = ("rm", x - GAP_PX) if labels_left else ("lm", x + _BAR_PX + GAP_PX)
    for bar, text in zip(bars, figures, strict=True):
        draw.rectangle((x, bar.top, x + _BAR_PX, bar.top + max(bar.height, 1)), bar.colour)
        name = shortened(bar.name)
        draw.text((at, bar.label - 10), name, INK, font_for(TEXT_PX, name), anchor=anchor)
        draw.text((at, bar.label + 11), text, FAINT, font_for(SMALL_PX), anchor=anchor)


def _source(table: ChangeTable) -> str:
    if table.trajectory is not None:
        return f"Most probable paths of {len(table.labels)} maps."
    return "As mapped, errors of both maps included."


def _colours(table: ChangeTable) -> Mapping[str, Colour]:
    """Colours of the classes by their shown name."""
    colours = {_shown(row.name): table.colours.get(row.class_id, UNKNOWN) for row in table.classes}
    return colours | {_OTHERS: UNKNOWN}


def _shown(name: str) -> str:
    return name.replace("_", " ")


def _flows(transitions: Sequence[Transition]) -> dict[tuple[str, str], float]:
    """Hectares that went from one class to another, small classes of a side together."""
    flows: dict[tuple[str, str], float] = defaultdict(float)
    for row in transitions:
        if row.is_change:
            flows[_shown(row.first), _shown(row.last)] += row.ha
    kept = []
    for side in (0, 1):
        sums = _sums(flows, side)
        large = [name for name, ha in sums.items() if ha >= _MIN_SHARE * sum(sums.values())]
        few = large[: _MAX_CLASSES - 1]
        kept.append(set(sums if len(sums) <= len(few) + 1 else few))
    joined: dict[tuple[str, str], float] = defaultdict(float)
    for (first, last), ha in flows.items():
        ends = [name if name in kept[side] else _OTHERS for side, name in enumerate((first, last))]
        joined[ends[0], ends[1]] += ha
    return dict(joined)


def _sums(flows: Mapping[tuple[str, str], float], side: int) -> dict[str, float]:
    """Hectares of each class on a side, the largest first, all others last."""
    sums: dict[str, float] = defaultdict(float)
    for ends, ha in flows.items():
        sums[ends[side]] += ha
    return dict(sorted(sums.items(), key=lambda item: (item[0] == _OTHERS, -item[1], item[0])))


def _bars(sums: Mapping[str, float], colours: Mapping[str, Colour], top: float) -> list[_Bar]:
    """Bars of one side from the top down, with labels that do not overlap."""
    total = sum(sums.values())
    bars: list[_Bar] = []
    y, free = top, top
    for name, ha in sums.items():
        height = ha / total * _HEIGHT_PX
        middle = max(y + height / 2, free + _LABEL_PX / 2)
        # A bar stays beside its label.
        y = max(y, middle - max(height, _LABEL_PX) / 2) if height < _LABEL_PX else y
        start = middle - height / 2 if height < _LABEL_PX else y
        bars.append(_Bar(name, ha, colours.get(name, UNKNOWN), start, height, middle))
        free = middle + _LABEL_PX / 2
        y = max(start + height, free) if height < _LABEL_PX else start + height
        y += 4
        free = max(free, y - 4)
    return bars


def _figures(bar: _Bar, total: float, unit: str, per_unit: float) -> str:
    share = bar.ha / total
    told = f"{100 * share:.0f}" if share >= _MIN_SHARE else "< 1"
    return f"{number(bar.ha / per_unit)} {unit}, {told} %"


def _draw_flows(
    page: Image.Image,
    flows: Mapping[tuple[str, str], float],
    sides: Sequence[Sequence[_Bar]],
    left: float,
    right: float,
) -> None:
    """Draw the flows between the bars, each in the colour of the class it comes from."""
    places = [{bar.name: bar for bar in bars} for bars in sides]
    order = [[bar.name for bar in bars] for bars in sides]
    used: list[dict[str, float]] = [defaultdict(float), defaultdict(float)]
    spans: dict[tuple[str, str], list[float]] = {ends: [] for ends in flows}
    for side, other in ((0, 1), (1, 0)):
        for ends in sorted(
            flows, key=lambda ends: (order[side].index(ends[side]), order[other].index(ends[other]))
        ):
            bar = places[side][ends[side]]
            start = bar.top + used[side][bar.name]
            height = flows[ends] / bar.ha * bar.height
            used[side][bar.name] += height
            spans[ends] += [start, start + height]
    size = (page.width * _SCALE, page.height * _SCALE)
    along = np.linspace(0, 1, _STEPS)
    bend = along**2 * (3 - 2 * along)
    xs = left + along * (right - left)
    sheet = Image.new("RGB", size, PAPER)
    for ends in sorted(flows, key=lambda ends: -flows[ends]):
        top, foot, end_top, end_foot = spans[ends]
        if foot - top < _MIN_FLOW_PX:
            continue
        upper = np.column_stack([xs, top + bend * (end_top - top)])
        lower = np.column_stack([xs, foot + bend * (end_foot - foot)])[::-1]
        outline = np.concatenate([upper, lower]) * _SCALE
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).polygon([tuple(one) for one in outline.tolist()], fill=_ALPHA)
        sheet.paste(places[0][ends[0]].colour, mask=mask)
    small = sheet.resize(page.size, Image.Resampling.LANCZOS)
    box = (round(left), 0, round(right), page.height)
    # Only between the bars, under the heading.
    first = round(min(bar.top for bars in sides for bar in bars))
    part = (box[0], first, box[2], page.height)
    page.paste(small.crop(part), part[:2])
