"""The options of a map: the same for making it and for planning it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin

import click

from lulcmap.planning import RANGES, RULES, Settings

if TYPE_CHECKING:
    from lulcmap.catalog import Period

F = TypeVar("F", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path)
_DAY = click.DateTime(["%Y-%m-%d"])
_SCL_CODES = 12
"""Codes of the scene classification are 0 to 11."""


class _Codes(click.ParamType[tuple[int, ...]]):
    """Codes of the scene classification, separated by commas."""

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
                f"{value!r} is not a list of codes 0 to {_SCL_CODES - 1}, such as 0,1,3,8,9,10.",
                param,
                ctx,
            )
        return tuple(sorted(codes))


class _Size(click.ParamType[int]):
    """A number of bytes, such as 8GB."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """The number of bytes."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([MGT])(i?)B?\s*", value, re.IGNORECASE)
        if match is None:
            self.fail(f"{value!r} is not a size such as 8GB or 800MB.", param, ctx)
        return int(float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2].upper()])


_POWERS = {"M": 2, "G": 3, "T": 4}
"""Power of 1000, or of 1024 for KiB and the like, by the unit's first letter."""


def option_of(
    settings: type,
    name: str,
    help_text: str,
    *,
    ranges: Mapping[str, tuple[float, float]] = MappingProxyType({}),
    **attributes: Any,
) -> Callable[[F], F]:
    """An option for the field of a dataclass, with the field's default and choices.

    Args:
        settings: the dataclass.
        name: name of its field.
        help_text: help of the option.
        ranges: by field, the smallest and the largest number.
        attributes: as for ``click.option``; ``flags`` names the option otherwise.

    """
    field = next(field for field in fields(settings) if field.name == name)
    default, kind = field.default, field.type
    if get_origin(kind) is Literal:
        attributes["type"] = click.Choice(get_args(kind))
    elif name in ranges:
        low, high = ranges[name]
        number: Any = click.IntRange if int in (get_args(kind) or (kind,)) else click.FloatRange
        attributes["type"] = number(low, high if high < inf else None)
    elif kind is bool:
        attributes["is_flag"] = True
    if isinstance(default, float) and default.is_integer():
        default = int(default)  # the help shows 300, not 300.0; Click makes it a float again
    if kind is not bool and default not in (None, MISSING):
        attributes.setdefault("default", default)
    flags = attributes.pop("flags", (f"--{name.replace('_', '-')}",))
    return click.option(*flags, help=help_text, **attributes)


def setting(name: str, help_text: str, **attributes: Any) -> Callable[[F], F]:
    """An option for a setting of a map or of its composite's rules, as of ``option_of``."""
    settings = type(Settings().rules) if name in RULES else Settings
    return option_of(settings, name, help_text, ranges=RANGES, **attributes)


PRIOR_OPTION = setting(
    "prior",
    "Class prior: natural, as in the training data; balanced finds more of the rare classes, with "
    "more false alarms.",
)
"""An option of maps and evaluations alike."""

MIN_COVERAGE_OPTION = setting(
    "min_coverage",
    "Exit with code 4 if less than this share of the area is mapped.",
)
ZONES_OPTION = setting("zones", "Write a file of each UTM zone too, on its own grid.")
KEEP_RUN_OPTION = setting(
    "keep_run", "Keep the run folder: blocks with confidence, counts and origin."
)
SIDECARS_OPTION = setting(
    "sidecars",
    "Write no style for QGIS, no class names for GDAL, no STAC item and no picture beside the map.",
    flags=("--no-sidecars", "sidecars"),
    flag_value=False,
    default=True,
    show_default=False,
)
CONFIDENCE_OPTION = setting(
    "confidence",
    "Write <out>-quality.tif too: confidence, margin, counts of scenes, and origin of each pixel.",
)
PROBABILITIES_OPTION = setting(
    "probabilities",
    "Write <out>-probabilities.tif too: the probability of every class. Takes disk in the run "
    "folder, a byte a pixel and class before compression.",
)
SAVE_COMPOSITE_OPTION = setting(
    "save_composite",
    "Write <out>-composite.tif too: the image that the map is made from. Takes disk in the run "
    "folder, 22 bytes a pixel before compression.",
)
LICENSE_OPTION = setting(
    "license",
    "Licence to state in the map, an SPDX id such as CC-BY-4.0.  [default: none]",
    metavar="SPDX",
)
OVERWRITE_OPTION = setting("overwrite", "Replace the file at --out, if it is another map.")

_PERIOD = (
    click.option("--year", type=int, help="Calendar year."),
    click.option("--month", metavar="YYYY-MM", help="Calendar month."),
    click.option(
        "--season",
        metavar="YYYY-NAME|MONTH:MONTH",
        help="DJF, MAM, JJA or SON, such as 2024-JJA, or a first and a last month, such as "
        "2024-11:2025-03.",
    ),
    click.option(
        "--last",
        metavar="N",
        help="12months: whole months before this one; or 90days: the days before today.",
    ),
    click.option("--start", type=_DAY, metavar="YYYY-MM-DD", help="First day."),
    click.option("--end", type=_DAY, metavar="YYYY-MM-DD", help="Last day, included."),
)
"""Ways to give the period."""

MAX_LOST_OPTION = setting("max_lost", "Share of a block's assets that may be unreadable.")
PATIENCE_OPTION = setting("patience", "Seconds to wait for a data server that is busy or down.")
WORKERS_OPTION = setting(
    "workers",
    "Reader threads.  [default: 1.5 a core, 4 to 32, fewer if memory is short]",
    show_default=False,
)

_CATALOG = (
    setting(
        "catalog",
        "planetary-computer, earth-search, cdse, a STAC API, or an ItemCollection file.",
        metavar="NAME|URL|FILE",
    ),
    setting(
        "profile",
        "Provider whose layout a URL or a file has.  [default: planetary-computer; a file's is "
        "detected]",
        metavar="NAME",
        show_default=False,
    ),
    setting(
        "s1_catalog",
        "Another catalogue for Sentinel-1; earth-search and cdse have no usable Sentinel-1.",
        metavar="NAME|URL",
    ),
    setting(
        "fallback",
        "Another provider of the same products, for scenes that --catalog cannot give.",
        metavar="NAME|URL",
    ),
    setting(
        "max_cloud",
        "Percent of cloud above which a Sentinel-2 scene is skipped.",
    ),
)
"""Where the scenes come from."""

_COMPOSITE = (
    setting(
        "max_scenes",
        "Sentinel-2 dates tried at a pixel.",
    ),
    setting(
        "min_clear",
        "Clear Sentinel-2 observations wanted at a pixel.",
    ),
    setting(
        "mask_codes",
        "Codes of the scene classification that are not clear.",
        type=_Codes(),
        default=",".join(map(str, Settings().rules.mask_codes)),
    ),
    setting(
        "mask_dilation",
        "Pixels of 20 m by which clouds and shadows are grown.",
    ),
    setting("s1", "Use of Sentinel-1; required leaves pixels without it unmapped."),
    setting(
        "max_s1_scenes",
        "Sentinel-1 dates of each relative orbit.",
    ),
    setting("orbit", "Preferred orbit direction of Sentinel-1."),
)
"""How scenes become one image."""

_OPTIONS = (
    click.option(
        "--aoi",
        required=True,
        metavar="FILE|W,S,E,N",
        help="Area of interest: GeoJSON, GeoPackage or Shapefile, or a box in degrees.",
    ),
    click.option("--layer", help="Layer of --aoi, where it has several."),
    *_PERIOD,
    click.option("--out", type=_PATH, help="COG to write.  [default: <aoi>-<period>.tif]"),
    setting(
        "model",
        "A name from `lulcmap models`, or an ONNX file.  [default: the one marked * there]",
    ),
    *_CATALOG,
    setting(
        "crs", "CRS of the map: auto (a UTM zone, or equal-area for a wide area) or EPSG:<code>."
    ),
    setting(
        "device",
        "Device the model runs on: auto is cuda, or else cpu. openvino is the CPU, in OpenVINO.",
    ),
    setting(
        "batch_size",
        "Windows in one call of the model, on a GPU.  [default: by its memory]",
    ),
    *_COMPOSITE,
    setting("blend", "Join windows: hann blends their overlap, centre cuts in its middle."),
    PRIOR_OPTION,
    setting(
        "block_size",
        "Pixels a side of a block, a multiple of the model's step (384); memory grows with it.",
    ),
    MAX_LOST_OPTION,
    MIN_COVERAGE_OPTION,
    ZONES_OPTION,
    click.option(
        "--yes",
        "sparse",
        is_flag=True,
        help="Proceed even if less than 1 % of the map lies in the area.",
    ),
    PATIENCE_OPTION,
    WORKERS_OPTION,
    setting(
        "max_memory",
        "Memory the process may take, such as 8GB.  [default: 80 % of what is free]",
        type=_Size(),
    ),
    setting("workdir", "Folder for the run folder.  [default: beside --out]", type=_PATH),
    CONFIDENCE_OPTION,
    PROBABILITIES_OPTION,
    SAVE_COMPOSITE_OPTION,
    SIDECARS_OPTION,
    LICENSE_OPTION,
    KEEP_RUN_OPTION,
    OVERWRITE_OPTION,
)


def region_options(function: F) -> F:
    """The options that name polygons to measure in."""
    function = click.option("--layer", help="Layer of --regions, where it has several.")(function)
    function = click.option(
        "--region-column",
        show_default=False,
        help="Column of --regions with their names.  [default: the one that looks like it]",
    )(function)
    return click.option(
        "--regions",
        type=click.Path(exists=True, path_type=Path),  # or a folder of Shapefiles
        help="Polygons to measure in, in any CRS.",
    )(function)


def server_options(function: F) -> F:
    """The options of commands that show a page in a browser."""
    function = click.option(
        "--no-browser", is_flag=True, help="Print the address only; do not open a browser."
    )(function)
    function = click.option(
        "--port",
        type=click.IntRange(1, 65535),
        help="Port on 127.0.0.1.  [default: a free one]",
        show_default=False,
    )(function)
    return click.option(
        "--basemap",
        metavar="URL",
        help="Base map to load from a server: tiles with {z}, {x} and {y}. Without it nothing is "
        "loaded from anywhere.",
    )(function)


def map_options(function: F) -> F:
    """Every option of a map; ``request_of`` makes values of what the command is given."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def imagery_options(function: F) -> F:
    """The options of a map that decide its composite, the area and the period aside."""
    reading = MAX_LOST_OPTION, PATIENCE_OPTION, WORKERS_OPTION
    for option in reversed((*_CATALOG, *_COMPOSITE, *reading)):
        function = option(function)
    return function


def period_options(function: F) -> F:
    """The ways to give a period, alone; ``period_of`` makes one of what the command is given."""
    for option in reversed(_PERIOD):
        function = option(function)
    return function


def period_of(options: dict[str, Any]) -> "Period":
    """The period that the options ask for; they are taken out of ``options``.

    Raises:
        UsageError: no period is given, or an impossible one.

    """
    from lulcmap.catalog import make_period

    period = {name: options.pop(name) for name in ("year", "month", "season", "last")}
    days = {name: options.pop(name) for name in ("start", "end")}
    days = {name: day.date() if day else None for name, day in days.items()}
    return make_period(**period, **days)


def request_of(**options: Any) -> tuple["Period", Settings]:
    """The period and the settings that the options ask for.

    Raises:
        UsageError: no period is given, or an impossible one.

    """
    return period_of(options), Settings.of(options)
