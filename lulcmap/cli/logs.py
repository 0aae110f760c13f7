"""How logs reach the terminal: what is shown of them, and in what form."""

import json
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import click

from lulcmap.cli.terminal import echo, in_line, printable
from lulcmap.system import without_secrets

F = TypeVar("F", bound=Callable[..., Any])


def logging_options(function: F) -> F:
    """``-v``, ``-q`` and ``--log-format``: what is logged to stderr, and how."""
    function = click.option(
        "-v",
        "--verbose",
        count=True,
        show_default=False,
        help="Log each step; -vv adds what libraries log.",
    )(function)
    function = click.option("-q", "--quiet", is_flag=True, help="Errors only.")(function)
    return click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        help="Format of the log.",
    )(function)


_LEVEL_NAMES = {"DEBUG": "Debug", "INFO": "Info", "WARNING": "Note"}
"""Names of log levels in text; any other level is an error."""


class _TextFormatter(logging.Formatter):
    """A record as one line of text: its level, then its message."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's level and message; below it, indented, a traceback if it has one."""
        level = _LEVEL_NAMES.get(record.levelname, "Error")
        lines = [f"{level}: {in_line(record.getMessage())}"]
        if record.exc_info:
            trace = printable(self.formatException(record.exc_info))
            lines += [f"  {line}" for line in trace.splitlines()]
        return without_secrets("\n".join(lines))


class _JsonFormatter(logging.Formatter):
    """A record as one JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's time, level, logger and message, and a traceback if it has one."""
        return json.dumps(
            {
                "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": without_secrets(super().format(record)),
            }
        )


class _Terminal(logging.Handler):
    """Writes records to the current stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        echo(self.format(record), err=True)


def configure_logging(*, verbose: int, quiet: bool, log_format: str) -> None:
    """Send logs to stderr: lulcmap's, and from libraries those that concern the user.

    Args:
        verbose: number of ``-v`` given: 0 notes, 1 each step, 2 everything.
        quiet: whether to show errors only.
        log_format: format of the log, ``"text"`` or ``"json"``.

    """
    level = [logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)]
    handler = _Terminal(logging.ERROR if quiet else logging.NOTSET)
    least = logging.WARNING if verbose > 1 else logging.CRITICAL
    handler.addFilter(lambda record: not _is_of_library(record) or record.levelno >= least)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    root = logging.getLogger()
    for old in [other for other in root.handlers if isinstance(other, _Terminal)]:
        root.removeHandler(old)
    root.addHandler(handler)
    logging.getLogger("lulcmap").setLevel(level)
    logging.captureWarnings(True)


_LIBRARIES = {"rasterio", "urllib3", "py.warnings", "distributed", "tornado", "asyncio"}
"""Libraries whose errors are raised too, and shown in one line of our own: rasterio repeats each of
GDAL's errors, urllib3 logs each retry, and Python's warnings are for developers."""


def _is_of_library(record: logging.LogRecord) -> bool:
    """Whether a record is of a library; some set the level of their own logger on import."""
    return any(record.name == name or record.name.startswith(f"{name}.") for name in _LIBRARIES)
