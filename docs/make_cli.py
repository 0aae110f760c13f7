"""Writes docs/cli.md, the reference of the command line, from what ``--help`` says."""

from collections.abc import Iterator
from pathlib import Path

import click

from lulcmap.cli import main

PAGE = Path(__file__).with_name("cli.md")

HEAD = """# The command line

Written by `python docs/make_cli.py` from what `--help` says; a test sees that it is current.

Results are told on stdout, all else on stderr. Exit codes: 0 made, or already made; 1 a bug, or
`doctor` or `seams` found a fault; 2 options, dates or area; 3 no scenes; 4 less mapped than was
wanted; 5 the provider, or too many assets lost; 6 the model, its runtime or the device; 7 the
output, the disk, or another process on the same run; 124 the time is over, and 130 and 143 stopped
by Ctrl-C or SIGTERM, and the same command goes on where it was.
"""


def reference() -> str:
    """The whole page, Markdown."""
    root = click.Context(main, info_name="lulcmap", terminal_width=100, **main.context_settings)
    return "\n".join([HEAD, *_sections(root)])


def _sections(ctx: click.Context) -> Iterator[str]:
    """A section for a command, and then for each command below it."""
    yield f"## `{ctx.command_path}`\n\n```text\n{ctx.get_help()}\n```\n"
    if isinstance(ctx.command, click.Group):
        for name in ctx.command.list_commands(ctx):
            command = ctx.command.get_command(ctx, name)
            if command is not None:
                yield from _sections(click.Context(command, info_name=name, parent=ctx))


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
