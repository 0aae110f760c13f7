"""An ItemCollection as a catalogue: from a file, whose items are read one at a time, or values."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lulcmap.catalog.fallback import FALLBACK_MEMBER
from lulcmap.catalog.json_text import JsonText
from lulcmap.catalog.providers import PROFILES
from lulcmap.catalog.sources import SOURCES_MEMBER
from lulcmap.catalog.values import mapping
from lulcmap.errors import UsageError
from lulcmap.system import check_is_file, without_secrets

_ITEMS = "features"

_OURS = "lulcmap:"
"""What the names of lulcmap's own members begin with."""

_ESCAPED = re.compile(rb"\\u00[0-7]")
"""A character of ASCII that is not written as itself."""


@dataclass(frozen=True, slots=True)
class ItemCollection:
    """An ItemCollection; its items are read anew each time they are asked for."""

    members: Mapping[str, Any]
    """What it says besides its items; of a file that lulcmap has not written, nothing."""

    _source: Mapping[str, Any] | Path

    @classmethod
    def open(cls, catalog: str | Mapping[str, Any]) -> "ItemCollection":
        """An ItemCollection by its path, or its JSON values.

        Raises:
            UsageError: it is none.

        """
        if not isinstance(catalog, str):
            what, is_one = "The catalogue", isinstance(catalog, Mapping)
            values = catalog if is_one else {}
            _check(what, values, is_list=isinstance(values.get(_ITEMS), list))
            return cls({name: values[name] for name in values if name != _ITEMS}, values)
        path = Path(catalog)
        check_is_file(path, UsageError)
        if not path.is_file():
            raise UsageError(
                f"No catalogue {without_secrets(catalog)}. Give {', '.join(PROFILES)}, the URL of "
                "a STAC API, or the path of an ItemCollection file."
            )
        with _faults_named(path):
            if not _mentions(path, _OURS):
                return cls({}, path)
            members, is_list = _members_of(path)
        _check(f"The catalogue {path}", members, is_list=is_list)
        return cls(members, path)

    def items(self) -> Iterator[Any]:
        """Its items, or whatever stands in their place.

        Raises:
            UsageError: the file is damaged.

        """
        if isinstance(self._source, Path):
            return _items_of(self._source)
        return iter(self._source[_ITEMS])

    def may_mention(self, name: str) -> bool:
        """Whether one of its items may have a member of this name; told without reading them.

        Args:
            name: name, ASCII.

        """
        if not isinstance(self._source, Path):
            return True
        with _faults_named(self._source):
            return _mentions(self._source, name, escaped=True)

    def fallback_items(self) -> Iterator[Any]:
        """The items of the second provider that it keeps.

        Raises:
            UsageError: the file is damaged.

        """
        if isinstance(self._source, Path):
            has_some = FALLBACK_MEMBER in self.members
            return _fallback_items_of(self._source) if has_some else iter(())
        items = mapping(self._source.get(FALLBACK_MEMBER)).get(_ITEMS)
        return iter(items if isinstance(items, list) else ())


def _check(what: str, values: Mapping[str, Any], *, is_list: bool) -> None:
    if not is_list or values.get("type") != "FeatureCollection":
        raise UsageError(f"{what} is not a STAC ItemCollection, a FeatureCollection of items.")


def _members_of(path: Path) -> tuple[dict[str, Any], bool]:
    """The members of a file besides its items, and whether it has a list of items."""
    members: dict[str, Any] = {}
    is_list = False
    with path.open("rb") as file:
        text = JsonText(file)
        if text.next() != "{":
            text.value()
            text.end()
            return members, is_list
        for name in text.members():
            if name == _ITEMS:
                is_list = text.next() == "["
                if is_list and _says_all(members):
                    return members, is_list
                _exhaust(text.elements() if is_list else iter([text.value()]))
            elif name == FALLBACK_MEMBER and text.next() == "{":
                members[name] = dict(_without_items(text))
            else:
                members[name] = text.value()
        text.end()
    return members, is_list


def _mentions(path: Path, name: str, *, escaped: bool = False) -> bool:
    """Whether a file may have members whose names begin with a name of ASCII.

    Args:
        path: path of the file.
        name: beginning of a name.
        escaped: whether it may be written with escapes, too.

    """
    with path.open("rb") as file:
        if not json.detect_encoding(file.read(4)).startswith("utf-8"):
            return True  # some editors write UTF-16, where the name has other bytes
        file.seek(0)
        wanted, end = name.encode(), b""
        while chunk := file.read(2**20):
            text = end + chunk
            if wanted in text or (escaped and _ESCAPED.search(text)):
                return True
            end = chunk[-len(wanted) :]
    return False


def _says_all(members: Mapping[str, Any]) -> bool:
    """Whether members are those that ``freeze_items`` writes before the items, its last."""
    return "type" in members and SOURCES_MEMBER in members


def _without_items(text: JsonText) -> Iterator[tuple[str, Any]]:
    for name in text.members():
        if name == _ITEMS and text.next() == "[":
            _exhaust(text.elements())
        else:
            yield name, text.value()


def _items_of(path: Path) -> Iterator[Any]:
    with _faults_named(path), path.open("rb") as file:
        text, members = JsonText(file), dict[str, Any]()
        is_list, is_last = False, False
        if text.next() != "{":
            text.value()
            text.end()
            _check(f"The catalogue {path}", {}, is_list=False)
        for name in text.members():
            if is_last:
                raise UsageError(
                    f"The catalogue {path} has {name!r} after its items, where lulcmap writes "
                    "nothing. Put it before them."
                )
            if name == _ITEMS and text.next() == "[":
                is_list, is_last = True, _says_all(members)
                yield from text.elements()
            elif name == FALLBACK_MEMBER and text.next() == "{":
                _exhaust(_without_items(text))
            else:
                members[name] = text.value()
        text.end()
        _check(f"The catalogue {path}", members, is_list=is_list)


def _fallback_items_of(path: Path) -> Iterator[Any]:
    with _faults_named(path), path.open("rb") as file:
        text = JsonText(file)
        for name in text.members():
            if name == FALLBACK_MEMBER and text.next() == "{":
                for inner in text.members():
                    if inner == _ITEMS and text.next() == "[":
                        yield from text.elements()
                    else:
                        text.value()
                return
            _exhaust(
                text.elements() if name == _ITEMS and text.next() == "[" else iter([text.value()])
            )


def _exhaust(values: Iterable[Any]) -> None:
    """Read values that nobody wants."""
    for _ in values:
        pass


@contextmanager
def _faults_named(path: Path) -> Iterator[None]:
    """Errors of reading a file, as what its user can mend."""
    try:
        yield
    except RecursionError:
        raise UsageError(
            f"The catalogue {path} is nested too deeply to be a STAC ItemCollection."
        ) from None
    except (ValueError, OSError) as error:
        raise UsageError(
            f"The catalogue {path} cannot be read as JSON ({type(error).__name__}); it is damaged "
            "or cut short. Write it again."
        ) from error
