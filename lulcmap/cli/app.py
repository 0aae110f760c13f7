"""Shared by all commands: how errors, signals and logs reach the terminal."""

import _thread
import importlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, TypeVar

import click

from lulcmap.errors import DeviceError, LulcmapError

logger = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

_AS_JSON = "lulcmap.json"
"""Key in the root context's ``meta`` that holds whether ``--json`` was given."""


class Group(click.Group):
    """A group whose commands show an error as one plain message."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note ``--json`` before parsing, so that a parsing error is shown as JSON too."""
        ctx.find_root().meta[_AS_JSON] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; turn errors and signals into messages and exit codes."""
        configure_logging(verbose=0, quiet=False, log_format="text")
        try:
            with _stoppable():
                return super().invoke(ctx)
        except LulcmapError as error:
            _fail(str(error), kind=type(error).__name__, code=error.exit_code)
        except click.UsageError as error:
            where = error.ctx.command_path if error.ctx else "lulcmap"
            message = f"{error.format_message()} See {where} --help."
            _fail(message, kind="UsageError", code=error.exit_code)
        except _Stopped as stop:
            why = "Stopped: --timeout reached." if stop.code == _TIMED_OUT else "Stopped."
            _print_error(
                f"{why} Run the same command again to resume.", kind="Stopped", code=stop.code
            )
            sys.stdout.flush()
            sys.stderr.flush()
            # Exit at once: threads may be waiting for a server, and leave nothing on disk.
            os._exit(stop.code)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            logger.exception("Unexpected error:")
            text = f"{type(error).__name__}: {error}".splitlines()[0]
            _fail(f"This is a bug in lulcmap, please report it: {text}", kind="Bug", code=1)


def refuse_given(ctx: click.Context, names: Collection[str], why: str) -> None:
    """Refuse options that would have no effect.

    Args:
        ctx: context of the command.
        names: names of the options' parameters.
        why: what the options are for, and what to give instead.

    Raises:
        click.UsageError: one of the options was given.

    """
    options = [
        max(option.opts, key=len)
        for option in ctx.command.params
        if option.name in names
        and ctx.get_parameter_source(option.name) is click.core.ParameterSource.COMMANDLINE
    ]
    if options:
        raise click.UsageError(f"{' and '.join(options)} cannot be used here: {why}")


def need_torch(task: str) -> None:
    """Check that torch can be imported.

    Args:
        task: task that needs it, for the message, such as ``"Training"``.

    Raises:
        DeviceError: torch is not installed.

    """
    try:
        importlib.import_module("torch")
    except ImportError as error:
        raise DeviceError(
            f"{task} needs torch, which is not installed. Install it: pip install 'lulcmap[train]'."
        ) from error


class _Stopped(BaseException):
    """A signal asks to stop. Not a KeyboardInterrupt, which Click turns into exit code 1."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


_TIMED_OUT = 124
"""Exit code of a command that timed out, as with coreutils' timeout."""

_REPEAT_S = 10
"""Seconds after which a timeout is signalled again, in case a library swallowed it."""

_DROPPED_S = 0.1
"""Seconds after which a stop is signalled again, if Python dropped the exception."""

_ALARM = getattr(signal, "SIGALRM", None)  # Windows has none
_is_late = threading.Event()


def stop_after(seconds: float) -> None:
    """Stop the command after some seconds, as Ctrl-C does, with exit code 124."""
    _set_alarm(seconds, repeat=_REPEAT_S)


def _set_alarm(seconds: float, *, repeat: float = 0.0) -> None:
    """Interrupt the main thread after some seconds; then every ``repeat`` seconds, unless 0."""
    if _ALARM is not None:
        signal.setitimer(signal.ITIMER_REAL, seconds, repeat)
        return

    def interrupt() -> None:
        _is_late.set()
        _thread.interrupt_main(signal.SIGTERM)  # Ctrl-C may be ignored

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()


@contextmanager
def _stoppable() -> Iterator[None]:
    """Raise ``_Stopped`` in the body on Ctrl-C, SIGTERM or timeout, unless they are ignored."""
    codes = []
    unraisable = sys.unraisablehook

    def stop(signum: int, _: FrameType | None) -> NoReturn:
        is_late = signum == _ALARM or _is_late.is_set()
        codes.append(_TIMED_OUT if is_late else 128 + signum)
        raise _Stopped(codes[0])

    def dropped(event: "sys.UnraisableHookArgs") -> None:
        """Signal again: Python drops an exception raised in a finaliser or a library's callback."""
        if isinstance(event.exc_value, _Stopped):
            _set_alarm(_DROPPED_S)
        else:
            unraisable(event)

    numbers = [signal.SIGINT, signal.SIGTERM, *([_ALARM] if _ALARM is not None else [])]
    before = {number: signal.getsignal(number) for number in numbers}
    handled = [number for number in before if before[number] not in (signal.SIG_IGN, None)]
    for number in handled:
        signal.signal(number, stop)
    sys.unraisablehook = dropped
    try:
        yield
    except Exception as error:
        # An exception raised during a library's import comes out as another error.
        if codes:
            raise _Stopped(codes[0]) from error
        raise
    finally:
        sys.unraisablehook = unraisable
        if _ALARM is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number in handled:
            signal.signal(number, before[number])


def _fail(message: str, *, kind: str, code: int) -> NoReturn:
    _print_error(message, kind=kind, code=code)
    sys.exit(code)


def _print_error(message: str, *, kind: str, code: int) -> None:
    if click.get_current_context().find_root().meta.get(_AS_JSON):
        message = _without_secrets(message)
        click.echo(json.dumps({"error": {"kind": kind, "message": message, "exit_code": code}}))
    else:
        logger.error(message)


def json_option(function: F) -> F:
    """``--json``: the result, or the error, as JSON on stdout."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print the result, or the error, as JSON on stdout."
    )(function)


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
    """A record as text: its level, then its message."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's level and message, and a traceback if it has one."""
        text = super().format(record)
        return _without_secrets(f"{_LEVEL_NAMES.get(record.levelname, 'Error')}: {text}")


class _JsonFormatter(logging.Formatter):
    """A record as one JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's time, level, logger and message, and a traceback if it has one."""
        return json.dumps(
            {
                "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": _without_secrets(super().format(record)),
            }
        )


def _without_secrets(text: str) -> str:
    """A text with secrets masked."""
    from lulcmap.system import without_secrets

    return without_secrets(text)


class _Terminal(logging.Handler):
    """Writes records to the current stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        click.echo(self.format(record), err=True)


def configure_logging(*, verbose: int, quiet: bool, log_format: str) -> None:
    """Send logs to stderr: lulcmap's, and from libraries those that concern the user.

    Args:
        verbose: number of ``-v`` given: 0 notes, 1 each step, 2 everything.
        quiet: whether to show errors only.
        log_format: format of the log, ``"text"`` or ``"json"``.

    """
    level = [logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)]
    handler = _Terminal(logging.ERROR if quiet else logging.NOTSET)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    root = logging.getLogger()
    for old in [other for other in root.handlers if isinstance(other, _Terminal)]:
        root.removeHandler(old)
    root.addHandler(handler)
    logging.getLogger("lulcmap").setLevel(level)
    logging.captureWarnings(True)
    # Their errors are raised too and shown in one line of our own: rasterio repeats each of GDAL's
    # errors, urllib3 logs each retry, and Python's warnings are for developers.
    for name in ("rasterio", "urllib3", "py.warnings", "distributed", "tornado", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING if verbose > 1 else logging.CRITICAL)
