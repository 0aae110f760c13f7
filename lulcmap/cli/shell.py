"""What all commands share: how errors, signals and logs reach the terminal."""

import json
import logging
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

import click

from lulcmap.errors import LulcmapError

F = TypeVar("F", bound=Callable[..., Any])


class Group(click.Group):
    """A group whose commands show lulcmap's own errors as one plain message."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; turn errors and signals into messages and exit codes."""
        signal.signal(signal.SIGTERM, _terminate)
        try:
            return super().invoke(ctx)
        except LulcmapError as error:
            _fail(str(error), kind=type(error).__name__, code=error.exit_code)
        except KeyboardInterrupt:
            _fail("Stopped. Run the same command again to go on.", kind="Interrupted", code=130)


def _terminate(_signum: int, _frame: FrameType | None) -> None:
    raise SystemExit(143)


def _fail(message: str, *, kind: str, code: int) -> None:
    ctx = click.get_current_context(silent=True)
    if ctx is not None and ctx.find_root().meta.get("lulcmap.json"):
        click.echo(json.dumps({"error": {"kind": kind, "message": message, "exit_code": code}}))
    else:
        click.echo(f"Error: {message}", err=True)
    sys.exit(code)


def json_option(function: F) -> F:
    """``--json``: the result, or the error, as JSON on stdout."""

    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> bool:
        ctx.find_root().meta["lulcmap.json"] = value
        return value

    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        callback=remember,
        is_eager=True,
        help="Print the result, or the error, as JSON on stdout.",
    )(function)


def logging_options(function: F) -> F:
    """``-v``, ``-q`` and ``--log-format``: what is logged on stderr, and how."""
    function = click.option("-v", "--verbose", count=True, help="Say more; -vv says all.")(function)
    function = click.option("-q", "--quiet", is_flag=True, help="Say only what is wrong.")(function)
    return click.option(
        "--log-format", type=click.Choice(["text", "json"]), default="text", help="Form of logs."
    )(function)


class _JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's time, level, logger and message."""
        return json.dumps(
            {
                "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": record.getMessage(),
            }
        )


def configure_logging(*, verbose: int, quiet: bool, log_format: str) -> None:
    """Send lulcmap's logs to stderr.

    Args:
        verbose: how often ``-v`` was given: 0 warnings, 1 what is done, 2 everything.
        quiet: errors only.
        log_format: ``"text"`` or ``"json"``.

    """
    level = (
        logging.ERROR if quiet else [logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)]
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        _JsonFormatter()
        if log_format == "json"
        else logging.Formatter("%(levelname)s: %(message)s")
    )
    logger = logging.getLogger("lulcmap")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
