"""``lulcmap label``: label the points of a sample in a browser."""

import getpass
import json
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from lulcmap.cli.app import json_option, refuse_given
from lulcmap.cli.command import Command
from lulcmap.cli.options import server_options
from lulcmap.cli.terminal import echo, in_line, note_lost_output
from lulcmap.cli.view import shown_address

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_OF_PAGE = ("composites", "dates", "interpreter", "classes", "basemap", "port", "no_browser")
"""Options of the page."""


@click.command(cls=Command, short_help="Label the points of a sample in a browser.")
@click.argument("sample", metavar="SAMPLE.gpkg", type=_FILE)
@click.option("--map", "map_path", type=_FILE, help="Map whose classes the points are given.")
@click.option(
    "--composite",
    "composites",
    type=_FILE,
    multiple=True,
    help="Image to look at; give it again for other dates. That of the map, beside it, is found.",
)
@click.option(
    "--dates",
    type=click.IntRange(1, 24),
    metavar="N",
    help="Show single dates of each point too: the clearest of N equal parts of the map's period. "
    "They are read once, before the page opens, and kept beside SAMPLE.gpkg.",
)
@click.option(
    "--catalog",
    metavar="PROVIDER|URL|FILE",
    help="Catalogue of their scenes, as of lulcmap predict.  [default: the run folder beside the "
    "map]",
)
@click.option(
    "--interpreter",
    metavar="NAME",
    show_default=False,
    help="Your name, kept with each answer.  [default: the user's name]",
)
@click.option(
    "--add-class",
    "classes",
    metavar="NAME",
    multiple=True,
    help="Class that the map lacks, to train a model for; give it again for more.",
)
@click.option(
    "--merge",
    type=_FILE,
    multiple=True,
    metavar="COPY.gpkg",
    help="Take over the answers in a copy of SAMPLE.gpkg, such as those of another interpreter.",
)
@click.option(
    "--agreement", is_flag=True, help="Print progress and agreement of the interpreters, and end."
)
@server_options
@json_option
@click.pass_context
def label(
    ctx: click.Context,
    /,
    *,
    sample: Path,
    map_path: Path | None,
    composites: tuple[Path, ...],
    dates: int | None,
    catalog: str | None,
    interpreter: str | None,
    classes: tuple[str, ...],
    merge: tuple[Path, ...],
    agreement: bool,
    basemap: str | None,
    port: int | None,
    no_browser: bool,
    as_json: bool,
) -> None:
    """Label the points of SAMPLE.gpkg, one after the other, in a browser.

    \b
        lulcmap sample luxembourg-2024.tif --size 600 --out sample.gpkg
        lulcmap label sample.gpkg --map luxembourg-2024.tif
        lulcmap label sample.gpkg --map luxembourg-2024.tif --dates 6 --catalog planetary-computer
        lulcmap evaluate luxembourg-2024.tif --labels sample.gpkg --out accuracy
        lulcmap label sample.gpkg --merge sample-anna.gpkg --agreement

    Each point is shown on the composite in true and false colour; a key gives its class, or that
    you are not sure. The class of the map stays hidden until you ask for it. Every answer is on the
    disk before the next point comes, in SAMPLE.gpkg itself. Ctrl-C stops the server; the same
    command goes on where you stopped.

    Several interpreters work on one file, or each on a copy (--merge). The class that most of them
    give counts; --agreement tells how far they agree.
    """
    if dates is None:
        refuse_given(ctx, ("catalog",), "It is for --dates.")
    if agreement:
        refuse_given(ctx, ("map_path", *_OF_PAGE), "--agreement opens no page.")
    elif map_path is None and not merge:
        raise click.UsageError("Give --map: the map whose classes the points are given.")
    elif as_json:
        raise click.UsageError("--json is for --agreement. Leave it out, or give --agreement.")
    elif map_path is None:
        refuse_given(ctx, _OF_PAGE, "--merge opens no page without --map. Give --map too.")
    if merge:
        _merge(sample, merge, as_json=as_json)
    if agreement:
        _show_agreement(sample, as_json=as_json)
    elif map_path is not None:
        _serve(
            port,
            opens=not no_browser,
            sample=sample,
            map_path=map_path,
            composites=composites,
            interpreter=interpreter or _user_name(),
            further=classes,
            basemap=basemap,
            dates=dates,
            catalog=catalog,
        )
    note_lost_output()


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without users
        return "interpreter"


def _merge(sample: Path, copies: tuple[Path, ...], *, as_json: bool) -> None:
    from lulcmap.viewer import AnswerStore

    with AnswerStore(sample) as store:
        for copy in copies:
            taken = store.merge(copy)
            if not as_json:
                echo(f"{copy}: {taken:,} answers and drawings taken into {sample}.")


def _serve(port: int | None, *, opens: bool, **opening: Any) -> None:
    """Serve the page until the command is stopped."""
    from lulcmap.legend import PLAIN_NAME, is_plain_name
    from lulcmap.viewer import check_view_extra

    check_view_extra()
    from lulcmap.viewer import open_labelling, serve_labelling

    for option, name in [
        ("--interpreter", opening["interpreter"]),
        *(("--add-class", name) for name in opening["further"]),
    ]:
        if not is_plain_name(name):
            raise click.UsageError(f"{option} is {name!r}; {PLAIN_NAME}.")
    from lulcmap.cli.progress import bars

    with ExitStack() as stack:
        with bars(hidden=opening["dates"] is None) as progress:
            labelling = stack.enter_context(open_labelling(**opening, progress=progress))
        points = labelling.store.points
        off = sum(square is None for square in labelling.squares)
        for note in labelling.site.notes:
            echo(f"Note: {in_line(note)}", err=True)
        if off:
            echo(f"Note: {off:,} of {len(points):,} points lie off the map.", err=True)
        if labelling.lost:
            more = f"; and {len(labelling.lost) - 1:,} more" if len(labelling.lost) > 1 else ""
            echo(
                f"Note: dates could not be read ({in_line(labelling.lost[0])}{more}). The page "
                "says where they are missing; the same command tries again.",
                err=True,
            )
        with (
            serve_labelling(labelling, port=port) as address,
            shown_address(address, opens=opens),
        ):
            threading.Event().wait()


def _show_agreement(sample: Path, *, as_json: bool) -> None:
    """Print progress and agreement."""
    from lulcmap.viewer import AnswerStore

    with AnswerStore(sample) as store:
        result = store.summary()
    if as_json:
        echo(json.dumps(result))
        return
    echo(
        f"{result['answered']:,} of {result['points']:,} points answered, {result['decided']:,} "
        f"with a class; ties: {len(result['ties']):,}.\n"
    )
    echo(f"{'interpreter':<24}{'answered':>10}{'unsure':>8}{'no class':>10}{'map shown':>11}")
    for one in result["interpreters"]:
        echo(
            f"{in_line(one['interpreter']):<24}{one['answered']:>10,}{one['unsure']:>8,}"
            f"{one['without_class']:>10,}{one['map_shown']:>11,}"
        )
    several = result["agreement"]
    if several is None:
        return
    echo(
        f"\n{several['points']:,} points with a class from two or more; all agree on "
        f"{several['all_agree']:,}. Fleiss' kappa: {_kappa(several['fleiss_kappa'])}."
    )
    for pair in several["pairs"]:
        names = " and ".join(in_line(name) for name in pair["interpreters"])
        echo(
            f"{names}: {pair['agreed']:.1%} of {pair['points']:,} points agreed, Cohen's kappa "
            f"{_kappa(pair['cohen_kappa'])}."
        )


def _kappa(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
