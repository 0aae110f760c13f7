"""Shared by all commands: how errors and stops are shown, and with which exit code."""

import importlib
import json
import logging
import sys
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, NoReturn, TypeVar

import click

from lulcmap.cli.command import CommandGroup
from lulcmap.cli.logs import configure_logging
from lulcmap.cli.stopping import TIMED_OUT, Stopped, Watch
from lulcmap.cli.terminal import echo
from lulcmap.errors import DeviceError, LulcmapError
from lulcmap.system import use_own_proj_data, without_secrets

logger = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

_AS_JSON = "lulcmap.json"
"""Key in the root context's ``meta`` that holds whether ``--json`` was given."""

_WATCH = "lulcmap.watch"
"""Key there that holds the watch over the command."""


class Group(CommandGroup):
    """A group whose commands show an error as one plain message."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note ``--json`` before parsing, so that a parsing error is shown as JSON too."""
        ctx.find_root().meta[_AS_JSON] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; turn errors and signals into messages and exit codes."""
        configure_logging(verbose=0, quiet=False, log_format="text")
        as_json = bool(ctx.find_root().meta.get(_AS_JSON))
        watch = Watch(partial(_say_stopped, as_json=as_json))
        ctx.find_root().meta[_WATCH] = watch
        use_own_proj_data()
        try:
            with watch.kept():
                return super().invoke(ctx)
        except Stopped:
            watch.end()
        except LulcmapError as error:
            _fail(str(error), kind=type(error).__name__, code=error.exit_code, as_json=as_json)
        except click.UsageError as error:
            where = error.ctx.command_path if error.ctx else "lulcmap"
            message = f"{' '.join(error.format_message().split())} See {where} --help."
            _fail(message, kind="UsageError", code=error.exit_code, as_json=as_json)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            logger.exception("Unexpected error:")
            text = " ".join(f"{type(error).__name__}: {error}".split())
            text = f"This is a bug in lulcmap, please report it: {text}"
            _fail(text, kind="Bug", code=1, as_json=as_json)


def stop_after(ctx: click.Context, seconds: float) -> None:
    """Stop the command after some seconds, as Ctrl-C does, with exit code 124."""
    ctx.find_root().meta[_WATCH].stop_after(seconds)


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


def _fail(message: str, *, kind: str, code: int, as_json: bool) -> NoReturn:
    _print_error(message, kind=kind, code=code, as_json=as_json)
    sys.exit(code)


def _say_stopped(code: int, *, as_json: bool) -> None:
    why = "Stopped: --timeout reached." if code == TIMED_OUT else "Stopped."
    message = f"{why} Run the same command again to resume."
    _print_error(message, kind="Stopped", code=code, as_json=as_json)


def _print_error(message: str, *, kind: str, code: int, as_json: bool) -> None:
    if as_json:
        message = without_secrets(message)
        echo(json.dumps({"error": {"kind": kind, "message": message, "exit_code": code}}))
    else:
        logger.error(message)


def json_option(function: F) -> F:
    """``--json``: the result, or the error, as JSON on stdout."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print the result, or the error, as JSON on stdout."
    )(function)
