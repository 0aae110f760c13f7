"""The terminal's edge: streams that never fail, and text that cannot steer the terminal.

A map must not be lost because nobody reads the progress of it. So what a stream does not take is
dropped and noted; ``lost_output`` says at the end whether anything was.
"""

import errno
import io
import logging
import os
import re
import select
import sys
from typing import Any, TextIO

import click

logger = logging.getLogger(__name__)

_STEERING = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, save tab and line feed
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # other line ends, and changes of direction
    "\ud800-\udfff"  # surrogates, which no encoding takes
)
_UNPRINTABLE = re.compile(f"[{_STEERING}]")
_UNPRINTABLE_IN_LINE = re.compile(f"[\t\n{_STEERING}]")

_GONE = {errno.EPIPE, errno.ECONNRESET}
"""Errors of a reader that went away: it wants no more, which is no fault."""


LOST = 7
"""Exit code of a command whose result cannot be printed, as if it could not be written."""


def printable(text: str) -> str:
    r"""A text of several lines, with what would steer a terminal as escapes.

    Examples:
        >>> printable("a\x1b[2J\nb")
        'a\\x1b[2J\nb'

    """
    return _UNPRINTABLE.sub(_escape, text)


def in_line(text: str) -> str:
    r"""A text for the inside of a line, so with its line ends as escapes too.

    Examples:
        >>> in_line("a scene\nError: forged")
        'a scene\\nError: forged'

    """
    return _UNPRINTABLE_IN_LINE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def echo(text: object = "", *, styled: str = "", err: bool = False) -> None:
    """Print a text and a line end; what the stream's encoding lacks is escaped.

    Args:
        text: what to print.
        styled: start of the line, of our own words, that may have colours.
        err: whether to print to stderr.

    """
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    shown = printable(str(text)).encode(encoding, "backslashreplace").decode(encoding)
    click.echo(styled + shown, err=err)


class _Output(io.FileIO):
    """Standard output or error, for which a write never fails."""

    lost: OSError | None = None
    """Why something that was to be read is lost."""

    def write(self, data: Any) -> int:
        """Write bytes, or drop them."""
        try:
            while (written := super().write(data)) is None:
                select.select([], [self], [])  # a pipe that does not block, and is full
        except OSError as error:
            if error.errno not in _GONE:
                self.lost = self.lost or error
            return memoryview(data).nbytes
        return written


def open_streams() -> None:
    """Make the standard streams of this process ones that always take what is written.

    A stream that is closed becomes the null device: else the next file opened would take its
    number, and get what libraries print.
    """
    for number, mode in enumerate(("r", "w", "w")):
        name = ("stdin", "stdout", "stderr")[number]
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115
    sys.stdout, sys.stderr = _tolerant(sys.stdout), _tolerant(sys.stderr)


def _tolerant(stream: TextIO) -> TextIO:
    """A stream to the same file that never fails; the stream itself if it is a console's."""
    raw = getattr(stream.buffer, "raw", stream.buffer)
    if type(raw) is not io.FileIO or not isinstance(stream, io.TextIOWrapper):
        return stream
    buffer = io.BufferedWriter(_Output(raw.fileno(), "wb", closefd=False))
    return io.TextIOWrapper(
        buffer,
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def lost_output() -> str | None:
    """Why a part of standard output could not be written; None if all was, or nobody reads it."""
    raw = _raw_output()
    sys.stdout.flush()
    return raw.lost.strerror if raw is not None and raw.lost is not None else None


def note_lost_output() -> None:
    """Note that output was lost, and no more: what counts is in a file, and that is there."""
    reason, raw = lost_output(), _raw_output()
    if reason is not None and raw is not None:
        raw.lost = None
        logger.warning("The output could not be printed: %s.", reason)


def _raw_output() -> _Output | None:
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw if isinstance(raw, _Output) else None
