"""JSON of any size read value by value, so that a file takes no more memory than its largest value.

The standard library decodes each value; this finds where one begins. What is not JSON is a
``json.JSONDecodeError`` or another ``ValueError``, as of ``json.loads``.
"""

import io
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

_CHUNK = 2**20
"""Characters read at a time, at least."""

_MAY_GO_ON = re.compile(r"[-+.eE\d]*\Z")
"""What may be more of a number, up to the end of what was read."""

_SPACE = re.compile(r"[ \t\n\r]*")


class JsonText:
    """The text of a JSON file, and how far it has been read.

    Args:
        file: the file, at its beginning; encoded as ``json.loads`` takes it.

    """

    def __init__(self, file: BinaryIO) -> None:
        encoding = json.detect_encoding(file.read(4))
        file.seek(0)
        self._file = io.TextIOWrapper(file, encoding, errors="surrogatepass", newline="")
        self._text, self._at, self._ended = "", 0, False
        self._decode = json.JSONDecoder().raw_decode

    def next(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def take(self, expected: str) -> str:
        """The next character, which must be one of those expected; it is read."""
        found = self.next()
        if not found or found not in expected:
            raise json.JSONDecodeError(f"Expecting {' or '.join(expected)}", self._text, self._at)
        self._at += 1
        return found

    def value(self) -> Any:
        """The next value; it is read."""
        self.next()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError:
                if not self._more():
                    raise
                continue
            if _MAY_GO_ON.match(self._text, end) and self._more():
                continue
            self._at = end
            return value

    def members(self) -> Iterator[str]:
        """The names of the members of the next value, an object; each value is left to be read."""
        self.take("{")
        if self.next() == "}":
            self.take("}")
            return
        more = ","
        while more == ",":
            if self.next() != '"':
                raise json.JSONDecodeError("Expecting a member's name", self._text, self._at)
            name = self.value()
            self.take(":")
            yield name
            more = self.take(",}")

    def elements(self) -> Iterator[Any]:
        """The elements of the next value, an array."""
        self.take("[")
        if self.next() == "]":
            self.take("]")
            return
        more = ","
        while more == ",":
            yield self.value()
            more = self.take(",]")

    def end(self) -> None:
        """Check that nothing follows."""
        if self.next():
            raise json.JSONDecodeError("Extra data", self._text, self._at)

    def _more(self) -> bool:
        """Whether there was more to read; what was read before is let go."""
        if self._ended:
            return False
        left = self._text[self._at :]
        # As much again as one value takes already, so that a long one is not begun too often.
        chunk = self._file.read(max(_CHUNK, len(left)))
        self._text, self._at, self._ended = left + chunk, 0, not chunk
        return bool(chunk)
