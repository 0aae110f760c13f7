"""``lulcmap.adapt``: what ``lulcmap adapt`` does, for Python."""

from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal, Unpack

from lulcmap.adaptation.adapting import Adaptation, adapt_model
from lulcmap.adaptation.catalogue import CatalogImagery
from lulcmap.adaptation.ways import WayName
from lulcmap.adaptation.windows import Imagery, KeptComposite
from lulcmap.api import CompositeOptions, named_as_keywords, read_period, read_settings
from lulcmap.errors import UsageError
from lulcmap.geo import AreaLike, load_area
from lulcmap.system import Progress, no_progress


def adapt(
    labels: str | Path,
    out: str | Path,
    *,
    model: str | Path | None = None,
    composites: str | Path | Iterable[str | Path] = (),
    aoi: AreaLike | None = None,
    year: int | None = None,
    month: str | None = None,
    season: str | None = None,
    last: str | None = None,
    start: str | date | None = None,
    end: str | date | None = None,
    layer: str | None = None,
    way: Literal["head", "whole", "both"] = "head",
    new_classes: Mapping[str, str | None] | Iterable[str] = (),
    name: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress = no_progress,
    **settings: Unpack[CompositeOptions],
) -> Adaptation:
    """Make a better model for a land from some hundred labels of it, and measure it.

    It is written only if it is right more often on labels that it did not learn from, and the 95 %
    interval of the difference lies above 0; else ``out`` of the result is None.

    Args:
        labels: file of points or polygons with a column ``class``, names or ids; or CSV with
            ``lon``, ``lat`` and ``class``.
        out: ONNX file to write; its card gets the suffix ``.md``.
        model: name or file of the model to adapt; None for the default.
        composites: composites that ``map_area(..., save_composite=True)`` kept; a label is looked
            at in the first that shows it. Instead of ``aoi`` and a period.
        aoi: area of the map, as for ``map_area``; only the land around labels is read.
        year: calendar year of the imagery, as for ``map_area``, like the next five.
        month: calendar month.
        season: season.
        last: last months or days.
        start: first day.
        end: last day, included.
        layer: layer of the vector file of ``aoi``.
        way: ``"head"`` fits the last layer anew, ``"whole"`` trains the network on and needs
            ``lulcmap[train]``, ``"both"`` tries both and keeps the better.
        new_classes: names of classes that the model lacks, or their colours, RRGGBB or None, by
            name.
        name: name of the new model; None for that of ``out``.
        seed: random seed of the cross-validation.
        overwrite: whether to replace a model at ``out``.
        progress: called with a stage's name, how much of it is done, and how much there is.
        settings: settings of the imagery, as of ``composite``.

    Returns:
        What was measured, and where the model was written, if it was.

    Raises:
        UsageError: the labels cannot be used, or are too few; or the imagery is given twice, or not
            at all.
        ModelError: the model cannot be adapted.
        AreaError, NoScenesError, ProviderError: as of ``map_area``.
        DeviceError: torch is not installed, for ``way="whole"``.
        OutputError: ``out`` exists or is no model of lulcmap, or cannot be written.

    """
    ways: dict[str, tuple[WayName, ...]] = {
        "head": ("head",),
        "whole": ("whole",),
        "both": ("head", "whole"),
    }
    with named_as_keywords():
        if way not in ways:
            raise UsageError(f"way is {way!r}; choose {', '.join(ways)}.")
        paths = [composites] if isinstance(composites, str | Path) else composites
        kept = [KeptComposite.open(Path(path)) for path in paths]
        period = {"year": year, "month": month, "season": season, "last": last}
        imagery: list[Imagery] = [*kept]
        if aoi is not None and not kept:
            area = load_area(aoi, layer=layer)
            when = read_period(start, end, **period)
            imagery.append(CatalogImagery(area.name, area.polygon, when, read_settings(settings)))
        else:
            given = {**period, "start": start, "end": end, "layer": layer, **settings}
            _check_composites(aoi, kept, given)
        return adapt_model(
            model,
            Path(labels),
            imagery,
            Path(out),
            ways=ways[way],
            new_classes=_colours(new_classes),
            name=name,
            seed=seed,
            overwrite=overwrite,
            progress=progress,
        )


def _check_composites(
    aoi: AreaLike | None, kept: list[KeptComposite], options: Mapping[str, Any]
) -> None:
    if not kept or aoi is not None:
        raise UsageError(
            "Give the imagery of the labels: composites, which map_area(..., save_composite=True) "
            "kept, or aoi and a period, not both."
        )
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UsageError(
            f"{given[0]} has no effect on a composite, which is made already. Leave it out, or "
            "give aoi and a period instead of composites."
        )


def _colours(new_classes: Mapping[str, str | None] | Iterable[str]) -> dict[str, str | None]:
    """Colours of new classes by name.

    Raises:
        UsageError: one is no colour.

    """
    if isinstance(new_classes, str):
        new_classes = [new_classes]
    if not isinstance(new_classes, Mapping):
        return dict.fromkeys(new_classes)
    for name, colour in new_classes.items():
        if colour is not None and not _is_colour(colour):
            raise UsageError(
                f"The colour of the new class {name} is {colour!r}; it takes six hexadecimal "
                "digits, RRGGBB."
            )
    return {name: colour and colour.upper() for name, colour in new_classes.items()}


def _is_colour(text: str) -> bool:
    return len(text) == 6 and all(one in "0123456789abcdefABCDEF" for one in text)
