"""Pieces of pictures: a page with a title, letters of any script, numbers and widths of text."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from lulcmap.errors import OutputError
from lulcmap.system import font_for, replacing

PAPER, INK, FAINT = (255, 255, 255), (33, 37, 41), (108, 117, 125)

UNKNOWN = (173, 181, 189)
"""Colour of a class without one."""

TITLE_PX, TEXT_PX, SMALL_PX = 28, 19, 16
"""Sizes of type, pixels."""

MARGIN_PX, GAP_PX = 32, 12

KM2_FROM_HA = 10_000
"""Hectares of the largest area from which a picture speaks of square kilometres."""

_MAX_NAME_PX = 320
"""Longest name of a region or class, pixels; a longer one is cut."""


def save_page(page: Image.Image, out: Path, title: str) -> None:
    """Write a picture as a PNG: the whole file, or nothing.

    Args:
        page: the picture.
        out: path of the file.
        title: title in its metadata.

    Raises:
        OutputError: it cannot be written.

    """
    info = PngInfo()
    info.add_text("Title", title)
    try:
        with replacing(out) as part:
            page.save(part, format="PNG", optimize=True, pnginfo=info)
    except OSError as error:
        raise OutputError(
            f"The chart {out} cannot be written ({error.strerror or error}). Free some space, or "
            "choose another folder."
        ) from error


def new_page(
    width: int, height: int, title: str, note: str
) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A page with a title and a note under it.

    Args:
        width: its width, pixels.
        height: its height, pixels.
        title: its title.
        note: what it shows, in small type.

    """
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN_PX, MARGIN_PX), title, INK, font_for(TITLE_PX), anchor="lt")
    at = (MARGIN_PX, MARGIN_PX + TITLE_PX + GAP_PX)
    draw.text(at, note, FAINT, font_for(SMALL_PX, note), anchor="lt")
    return page, draw


def number(value: float) -> str:
    """A number with three digits or more."""
    return f"{value:,.{digits(value)}f}"


def digits(value: float) -> int:
    """Decimal places of a number with three digits or more."""
    return 0 if value >= 100 else 1 if value >= 10 else 2


def longest(texts: Sequence[str], size: int) -> int:
    """Width of the longest of some texts in type of a size, pixels."""
    return round(max(font_for(size, text).getlength(text) for text in texts)) + 1


def shortened(text: str) -> str:
    """A text that is no wider than a name may be."""
    font = font_for(TEXT_PX, text)
    if font.getlength(text) <= _MAX_NAME_PX:
        return text
    while font.getlength(f"{text}...") > _MAX_NAME_PX:
        text = text[:-1]
    return f"{text.rstrip()}..."
