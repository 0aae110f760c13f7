"""The options that say what is mapped and how: the same for making a map and for planning one."""

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from lulcmap.catalog.selection import Period
    from lulcmap.planning.planner import Settings

F = TypeVar("F", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path)
_DAY = click.DateTime(["%Y-%m-%d"])
_SCL_CODES = 12
"""The scene classification knows 0 to 11."""


class _Codes(click.ParamType[tuple[int, ...]]):
    """Codes of the scene classification, with commas between."""

    name = "codes"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """The codes, sorted."""
        if isinstance(value, tuple):
            return value
        try:
            codes = {int(code) for code in value.split(",")}
        except ValueError:
            codes = {-1}
        if not codes <= set(range(_SCL_CODES)):
            self.fail(
                f"{value!r} is no list of codes from 0 to {_SCL_CODES - 1}, such as 0,1,3,8,9,10.",
                param,
                ctx,
            )
        return tuple(sorted(codes))


class _Size(click.ParamType[int]):
    """Bytes, as people write them."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """The number of bytes."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([MGT])(i?)B?\s*", value, re.IGNORECASE)
        if match is None:
            self.fail(f"{value!r} is no size such as 8GB or 800MB.", param, ctx)
        return int(float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2].upper()])


_POWERS = {"M": 2, "G": 3, "T": 4}
"""Of 1000, or 1024."""

prior_option = click.option(
    "--prior",
    type=click.Choice(["natural", "balanced"]),
    default="natural",
    help="How common classes are taken to be: as in what the model learnt from, or more alike "
    "(finds more of rare classes, and more that is none).",
)
"""What a map and an evaluation take alike."""

_OPTIONS = (
    click.option(
        "--aoi",
        required=True,
        metavar="FILE|W,S,E,N",
        help="GeoJSON, GeoPackage or Shapefile, or a box in degrees.",
    ),
    click.option("--layer", help="Layer of --aoi, where it has several."),
    click.option("--year", type=int, help="Calendar year; or give --start and --end."),
    click.option("--start", type=_DAY, metavar="YYYY-MM-DD", help="First day."),
    click.option("--end", type=_DAY, metavar="YYYY-MM-DD", help="Last day, included."),
    click.option("--out", type=_PATH, help="The COG to write.  [default: <aoi>-<period>.tif]"),
    click.option(
        "--model",
        help="A name from `lulcmap models`, or an ONNX file.  [default: the one marked there]",
    ),
    click.option(
        "--catalog",
        default="planetary-computer",
        metavar="NAME|URL|FILE",
        help="planetary-computer, earth-search, cdse, a STAC API, or an ItemCollection file.",
    ),
    click.option(
        "--profile",
        metavar="NAME",
        show_default=False,
        help="The provider whose layout a URL or a file has.  [default: planetary-computer]",
    ),
    click.option(
        "--s1-catalog",
        metavar="NAME|URL",
        help="Another catalogue for Sentinel-1; earth-search and cdse have none that can be used.",
    ),
    click.option(
        "--max-cloud",
        type=click.FloatRange(0, 100),
        default=95,
        help="Percent of cloud above which a Sentinel-2 scene is not looked at.",
    ),
    click.option(
        "--crs",
        default="auto",
        help="CRS of the map: auto (a UTM zone, or equal-area for a wide area) or EPSG:<code>.",
    ),
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        help="Where the model runs.",
    ),
    click.option(
        "--batch-size", type=click.IntRange(1), default=4, help="Windows in one call of the model."
    ),
    click.option(
        "--max-scenes",
        type=click.IntRange(1, 254),
        default=12,
        help="Sentinel-2 dates tried at a pixel.",
    ),
    click.option(
        "--min-clear",
        type=click.IntRange(1, 254),
        default=5,
        help="Clear Sentinel-2 observations wanted at a pixel.",
    ),
    click.option(
        "--mask-codes",
        type=_Codes(),
        default="0,1,3,8,9,10",
        help="Codes of the scene classification that are not clear.",
    ),
    click.option(
        "--mask-dilation",
        type=click.IntRange(0, 50),
        default=2,
        help="How far clouds and shadows are grown, in pixels of 20 m.",
    ),
    click.option(
        "--s1",
        type=click.Choice(["off", "optional", "required"]),
        default="optional",
        help="Use of Sentinel-1.",
    ),
    click.option(
        "--max-s1-scenes",
        type=click.IntRange(1, 254),
        default=12,
        help="Sentinel-1 dates of each relative orbit.",
    ),
    click.option(
        "--orbit",
        type=click.Choice(["descending", "ascending"]),
        default="descending",
        help="Preferred direction of Sentinel-1.",
    ),
    click.option(
        "--blend",
        type=click.Choice(["hann", "centre"]),
        default="hann",
        help="How windows are joined.",
    ),
    prior_option,
    click.option(
        "--block-size",
        type=click.IntRange(1),
        default=4608,
        help="Pixels a side of a block, a multiple of 384; memory grows with it.",
    ),
    click.option(
        "--max-lost",
        type=click.FloatRange(0, 1),
        default=0.1,
        help="Share of a block's assets that may be unreadable.",
    ),
    click.option(
        "--min-coverage",
        type=click.FloatRange(0, 1),
        default=0.99,
        help="Share of the area with a class below which the exit code is 4.",
    ),
    click.option("--zones", is_flag=True, help="Write each UTM zone too, on its own grid."),
    click.option("--yes", is_flag=True, help="Make a map too that is less than 1 % filled."),
    click.option(
        "--patience",
        type=click.FloatRange(0),
        default=300,
        help="Seconds to wait for a server of scenes that is busy or down.",
    ),
    click.option("--workers", type=click.IntRange(1, 256), default=4, help="Threads that read."),
    click.option(
        "--max-memory",
        type=_Size(),
        help="Memory the process may take, such as 8GB.  [default: what the machine has]",
    ),
    click.option(
        "--workdir", type=_PATH, help="Folder for the run folder.  [default: beside --out]"
    ),
    click.option(
        "--keep-run",
        is_flag=True,
        help="Keep the run folder (blocks with confidence, counts and sources).",
    ),
    click.option("--overwrite", is_flag=True, help="Replace a map that was made to another plan."),
)


def map_options(function: F) -> F:
    """Every option of a map; ``of_map`` makes values of what the command is given."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def of_map(
    *,
    year: int | None,
    start: datetime | None,
    end: datetime | None,
    mask_codes: tuple[int, ...],
    mask_dilation: int,
    min_clear: int,
    max_scenes: int,
    yes: bool,
    **options: Any,
) -> tuple["Period", "Settings"]:
    """The period and the settings that the options say.

    Raises:
        UsageError: no period is given, or one that cannot be.

    """
    from datetime import date

    from lulcmap.catalog.selection import make_period
    from lulcmap.imagery.composite import Rules
    from lulcmap.planning.planner import Settings

    period = make_period(
        year=year,
        start=start.date() if start else None,
        end=end.date() if end else None,
        today=date.today(),
    )
    rules = Rules(
        min_clear=min_clear, max_scenes=max_scenes, masked=mask_codes, dilation=mask_dilation
    )
    return period, Settings(rules=rules, sparse=yes, **options)
