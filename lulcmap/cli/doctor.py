"""``lulcmap doctor``: what works on this machine, and what to do about the rest."""

from pathlib import Path

import click

from lulcmap.cli.app import json_option

_COLOURS = {"ok": "green", "note": "yellow", "wrong": "red", "skipped": "bright_black"}
_NAMES, _WIDEST = 26, 110
"""Columns of a check's name; of a whole line, at most."""


@click.command(short_help="Check this machine and the providers; say what to do.")
@click.option("--offline", is_flag=True, help="Leave the providers alone.")
@click.option(
    "--folder",
    default=".",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where maps are to be written.",
)
@json_option
@click.pass_context
def doctor(ctx: click.Context, *, offline: bool, folder: Path, as_json: bool) -> None:
    """Check what maps are made with: software, model, GPU, disk, memory, and each provider.

    \b
        lulcmap doctor
        lulcmap doctor --offline

    Exits with 1 if anything is wrong. A note is nothing wrong, and neither is what had to be
    skipped, as the providers are without a network. No key, token or proxy address is shown.
    """
    import json
    from dataclasses import asdict

    from lulcmap.doctor import examine

    found = []
    for check in examine(offline=offline, folder=folder):
        found.append(check)
        if not as_json:
            _show(check.status, check.name, check.said)
    wrong = [check.name for check in found if check.status == "wrong"]
    if as_json:
        click.echo(json.dumps([asdict(check) for check in found], indent=2))
    elif wrong:
        click.echo(f"\nWrong: {', '.join(wrong)}.")
    else:
        click.echo("\nNothing is wrong.")
    ctx.exit(1 if wrong else 0)


def _show(status: str, name: str, said: str) -> None:
    """Print a check, its text in a column of its own."""
    import shutil
    import textwrap

    indent = 9 + _NAMES + 2
    width = max(min(shutil.get_terminal_size().columns, _WIDEST), indent + 40)
    start = f"{status:<9}{name:<{_NAMES}}  "
    text = textwrap.fill(
        said,
        width,
        initial_indent=start,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    click.echo(click.style(status, fg=_COLOURS[status]) + text.removeprefix(status))
