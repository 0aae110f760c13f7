"""Fonts for pictures: Pillow's own, and those of the machine for the letters that it lacks."""

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any

from PIL import ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_SCRIPTS = (
    *("Arabic", "Thai", "Lao", "Khmer", "Myanmar", "Devanagari", "Bengali", "Gurmukhi", "Gujarati"),
    *("Oriya", "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala", "Ethiopic", "Hebrew"),
    *("Georgian", "Armenian", "Tibetan", "Mongolian"),
)

_OTHERS = (
    *("NotoSans-Regular.ttf", "DejaVuSans.ttf", "NotoSansCJK-Regular.ttc"),
    *(f"NotoSans{script}-Regular.ttf" for script in _SCRIPTS),
    *("NotoSerifTibetan-Regular.ttf", "wqy-microhei.ttc", "DroidSansFallbackFull.ttf"),
    # of Windows and macOS
    *("arial.ttf", "segoeui.ttf", "Nirmala.ttf", "LeelawUI.ttf", "ebrima.ttf", "mmrtext.ttf"),
    *("msyh.ttc", "msgothic.ttc", "malgun.ttf", "seguisym.ttf"),
    *("Arial Unicode.ttf", "GeezaPro.ttc", "Thonburi.ttc", "PingFang.ttc"),
    *("AppleSDGothicNeo.ttc", "Kohinoor.ttc"),
)
"""Fonts that are tried, in order, for letters which Pillow's own lacks."""

_OWN = ""
"""Name of Pillow's own font here."""

_PROBE_PX = 20
"""Size at which a font is asked for a letter, pixels."""

_NO_LETTER = "\U0010ffff"
"""A letter of no script."""

_FROM_RIGHT = "[\u0590-\u08ff]"
"""A letter of the scripts that are written from the right: Hebrew, Arabic, Syriac and others."""


def font_for(size: int, text: str = "") -> Font:
    """The first font that has all letters of a text; Pillow's own if none has.

    Args:
        size: size of the font, pixels.
        text: the text.

    """
    name = next((name for name in _names() if _has_all(name, text)), _OWN)
    return _font(name, size)


def can_draw(text: str) -> bool:
    """Whether each letter of a text is in some font of this machine."""
    return all(any(_has(name, letter) for name in _names()) for letter in text)


def text_width(text: str, size: int) -> int:
    """Width of a text that ``draw_text`` draws, pixels."""
    return round(sum(font.getlength(piece) for piece, font in _pieces(text, size))) + 1


def shortened_text(text: str, size: int, width: int) -> str:
    """A text that is no wider than some pixels; a longer one is cut and ends with three dots."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(f"{text}...", size) > width:
        text = text[:-1]
    return f"{text.rstrip()}..."


def draw_text(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    colour: tuple[int, int, int],
    size: int,
) -> None:
    """Draw a line of text of any scripts, each letter in a font that has it.

    Args:
        draw: the picture.
        at: left end and middle of the line's height, pixels.
        text: the text.
        colour: colour of the text.
        size: size of the font, pixels.

    """
    x, y = at
    for piece, font in _pieces(text, size):
        # The baseline, not the middle: fonts of two scripts have other middles.
        draw.text((x, y + size * 0.36), piece, colour, font, anchor="ls")
        x += font.getlength(piece)


def _pieces(text: str, size: int) -> list[tuple[str, Font]]:
    """A text in pieces of one font and one direction each, from left to right."""
    if not can_draw(text):
        return [(text, font_for(size, text))]
    pieces: list[tuple[str, str]] = []
    for part in _one_way(text):
        name = next((name for name in _names() if _has_all(name, part)), None)
        pieces += [(part, name)] if name is not None else _by_font(part)
    first = next((letter for letter in text if letter.isalpha()), "")
    if first and _is_from_right(first):
        pieces = [(_turned(piece), name) for piece, name in reversed(pieces)]
    return [(piece, _font(name, size)) for piece, name in pieces]


def _turned(piece: str) -> str:
    """A piece with the spaces at its ends exchanged."""
    before, after = (len(piece) - len(rest) for rest in (piece.lstrip(), piece.rstrip()))
    return f"{' ' * after}{piece.strip()}{' ' * before}"


def _one_way(text: str) -> list[str]:
    """The parts of a text that are written in one direction, in the order of its letters."""
    parts = re.findall(f"{_FROM_RIGHT}(?:[^\\w]*{_FROM_RIGHT})*|(?:(?!{_FROM_RIGHT}).)+", text)
    return parts or [text]


def _by_font(text: str) -> list[tuple[str, str]]:
    """The pieces of a text that no font has alone, each with the name of its font."""
    pieces: list[tuple[str, str]] = []
    for letter in text:
        now = pieces[-1][1] if pieces else None
        name = now if now is not None and _has(now, letter) else _first_with(letter)
        if name == now:
            pieces[-1] = (pieces[-1][0] + letter, name)
        else:
            pieces.append((letter, name))
    return pieces


def _is_from_right(letter: str) -> bool:
    return re.match(_FROM_RIGHT, letter) is not None


def _first_with(letter: str) -> str:
    return next((name for name in _names() if _has(name, letter)), _OWN)


def _names() -> Iterator[str]:
    """Names of the fonts that are here, Pillow's own first."""
    yield _OWN
    for name in _OTHERS:
        if _is_here(name):
            yield name


@lru_cache
def _is_here(name: str) -> bool:
    with suppress(OSError):
        ImageFont.truetype(name, _PROBE_PX)
        return True
    return False


@lru_cache(maxsize=64)
def _font(name: str, size: int) -> Font:
    return ImageFont.truetype(name, size) if name else ImageFont.load_default(size)


def _has_all(name: str, text: str) -> bool:
    return all(_has(name, letter) for letter in set(text))


@lru_cache(maxsize=10_000)
def _has(name: str, letter: str) -> bool:
    """Whether a font has a letter: it does not draw it as a letter of no script."""
    return letter == " " or _drawn(name, letter) != _drawn(name, _NO_LETTER)


def _drawn(name: str, letter: str) -> tuple[Any, bytes]:
    mask = _font(name, _PROBE_PX).getmask(letter)
    return mask.size, bytes(mask)
