"""One finding."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from lulcmap.errors import LulcmapError
from lulcmap.model import first_line

Status = Literal["ok", "note", "wrong", "skipped"]
"""``note``: it works, with something to know; ``skipped``: it could not be looked at here."""

Finding = tuple[Status, str]
"""What a look at one thing gives: how it is, and in words."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, and what was found."""

    name: str
    """A few words, the same on every machine."""

    status: Status
    """Whether it is in order."""

    said: str
    """What was found; where it is not in order, what to do."""


def run_check(name: str, look: Callable[[], Finding]) -> Check:
    """What a look finds; one that fails has found a fault."""
    try:
        return Check(name, *look())
    except LulcmapError as error:
        return Check(name, "wrong", str(error))
    except ImportError as error:
        return Check(
            name, "wrong", f"It cannot be imported: {first_line(error)}. Install lulcmap again."
        )
    except Exception as error:  # whatever a broken installation comes up with
        return Check(name, "wrong", f"{type(error).__name__}: {first_line(error)}")


def names_with_verb(names: Sequence[str]) -> str:
    """Names in a sentence, with their verb."""
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"
