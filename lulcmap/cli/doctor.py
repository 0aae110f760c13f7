"""``lulcmap doctor``: check this machine and say how to fix what does not work."""

from pathlib import Path

import click

from lulcmap.cli.app import json_option
from lulcmap.cli.command import Command
from lulcmap.cli.terminal import echo

_COLOURS = {"ok": "green", "note": "yellow", "wrong": "red", "skipped": "bright_black"}
_NAME_WIDTH, _MAX_WIDTH = 26, 110
"""Width of a check's name and largest width of a line, characters."""


@click.command(cls=Command, short_help="Check this machine and the providers.")
@click.option("--offline", is_flag=True, help="Skip the providers.")
@click.option(
    "--folder",
    default=".",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to check for writing maps.",
)
@json_option
@click.pass_context
def doctor(ctx: click.Context, *, offline: bool, folder: Path, as_json: bool) -> None:
    """Check software, models, GPU, memory, disk and each provider.

    \b
        lulcmap doctor
        lulcmap doctor --offline

    Exits with 1 if anything is wrong. Notes and skipped checks, such as the providers without a
    network, are not errors. No key, token or proxy address is shown.
    """
    import json

    from lulcmap.doctor import run_checks

    checks = []
    for check in run_checks(offline=offline, folder=folder):
        checks.append(check)
        if not as_json:
            _show(check.status, check.name, check.message)
    failed = [check.name for check in checks if check.status == "wrong"]
    if as_json:
        echo(json.dumps([check.to_json() for check in checks], indent=2))
    elif failed:
        echo(f"\nWrong: {', '.join(failed)}.")
    else:
        echo("\nNothing is wrong.")
    ctx.exit(1 if failed else 0)


def _show(status: str, name: str, message: str) -> None:
    """Print a check, its message in a column of its own."""
    import shutil
    import textwrap

    indent = 9 + _NAME_WIDTH + 2
    width = max(min(shutil.get_terminal_size().columns, _MAX_WIDTH), indent + 40)
    start = f"{status:<9}{name:<{_NAME_WIDTH}}  "
    text = textwrap.fill(
        message,
        width,
        initial_indent=start,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    echo(text.removeprefix(status), styled=click.style(status, fg=_COLOURS[status]))
