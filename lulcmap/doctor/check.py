"""One check and its result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from lulcmap.errors import LulcmapError
from lulcmap.model import first_line

Status = Literal["ok", "note", "wrong", "skipped"]
"""``note``: it works, with a limitation; ``skipped``: it could not be checked here."""

Finding = tuple[Status, str]
"""Result of a check: its status and its message."""


@dataclass(frozen=True, slots=True)
class Check:
    """A check and its result."""

    name: str
    """Name of the check, the same on every machine."""

    status: Status
    """Status of what was checked."""

    message: str
    """What was found and, if it is not in order, what to do."""

    def to_json(self) -> dict[str, str]:
        """The check as ``lulcmap doctor --json`` prints it."""
        return {"name": self.name, "status": self.status, "said": self.message}


def run_check(name: str, look: Callable[[], Finding]) -> Check:
    """Run a check; one that raises has found a fault."""
    try:
        return Check(name, *look())
    except LulcmapError as error:
        return Check(name, "wrong", str(error))
    except ImportError as error:
        return Check(
            name, "wrong", f"It cannot be imported: {first_line(error)}. Reinstall lulcmap."
        )
    except Exception as error:  # whatever a broken installation raises
        return Check(name, "wrong", f"{type(error).__name__}: {first_line(error)}")


def names_with_verb(names: Sequence[str]) -> str:
    """Names in a sentence, followed by "is" or "are"."""
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"
