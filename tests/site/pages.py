"""The blocks of a page of the documentation, and which of them are run."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PAGES = sorted([PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")])

REASONS = frozenset(
    {
        "needs a browser",
        "needs a cluster",
        "needs more land",
        "needs a GPU",
        "needs Docker",
        "needs the network",
    }
)
"""Why a block may not be run: ``<!-- not run: needs a cluster -->`` on the line before it."""

_BLOCK = re.compile(
    r"(?:^[ ]*<!-- not run: (?P<reason>[^\n]*?) -->\n\n?)?"
    r"(?:^(?P<indent>[ ]*)```(?P<language>\w+)[^\n]*\n(?P<fenced>.*?)^(?P=indent)```[ ]*$"
    r"|(?:(?<=\n\n)|\A)(?P<indented>(?:[ ]{4}lulcmap [^\n]*\n)(?:[ ]{4,}[^\n]*\n)*))",
    re.M | re.S,
)
_INSTALLS = re.compile(r"\b(pip install|uv add|uv tool install|sh tests/run\.sh)\b")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of commands or of Python."""

    language: str
    """``"sh"`` or ``"python"``."""

    code: str

    reason: str | None = None
    """Why it is not run; None if it is."""

    expected: str = ""
    """What a session in a terminal shows below its commands, line by line."""


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a page that a reader could run, in their order.

    Commands stand in fences marked ``sh``, or indented, as Markdown's first code blocks were. A
    fence marked ``console`` is a session: commands after ``$``, and below them what they print.
    What installs lulcmap needs the network.
    """
    for found in _BLOCK.finditer(text):
        language, code, reason = found["language"], found["fenced"], found["reason"]
        if language is None:
            language, code = "sh", textwrap.dedent(found["indented"])
        else:
            code = textwrap.dedent(code)
        expected = ""
        if language == "console":
            lines = code.splitlines()
            language = "sh"
            code = "".join(f"{line[2:]}\n" for line in lines if line.startswith("$ "))
            expected = "".join(f"{line}\n" for line in lines if not line.startswith("$ "))
        if language not in ("sh", "bash", "python"):
            continue
        if reason is None and _INSTALLS.search(code):
            reason = "needs the network"
        yield Block("python" if language == "python" else "sh", code, reason, expected)


def shows(block: Block, printed: str) -> bool:
    """Whether a session prints the lines expected of it, in their order; ``…`` is any text."""
    lines = (".*".join(map(re.escape, line.split("…"))) for line in block.expected.splitlines())
    return re.search("(?:^|\n)" + "\n(?:.*\n)*?".join(lines) + "(?:\n|$)", printed) is not None


def sections(text: str) -> Iterator[tuple[str, str]]:
    """Heading and text of each section of the second level."""
    for part in re.split(r"^## ", text, flags=re.M)[1:]:
        heading, _, rest = part.partition("\n")
        yield heading, rest
