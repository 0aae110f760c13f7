"""What the page of a sample is told and may ask: points, answers, drawings and agreement."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lulcmap.errors import UsageError
from lulcmap.evaluation import open_class_map, transformer
from lulcmap.legend import default_colour
from lulcmap.system import Progress, no_progress
from lulcmap.viewer.agreement import Answer
from lulcmap.viewer.answers import AnswerStore
from lulcmap.viewer.dates import DateFile, asked_dates, dates_path, read_dates
from lulcmap.viewer.files import page_routes
from lulcmap.viewer.inspect import pixel_at
from lulcmap.viewer.maps import Part
from lulcmap.viewer.opened import open_site
from lulcmap.viewer.server import make_app, served
from lulcmap.viewer.site import KEPT, Site, basemap_origin, site_routes

_WGS84 = CRS.from_epsg(4326)


@dataclass(frozen=True)
class Labelling:
    """A sample, opened to be labelled by one interpreter."""

    store: AnswerStore
    """The sample and its answers."""

    site: Site
    """The map and the pictures."""

    interpreter: str
    """Who labels."""

    classes: tuple[tuple[str, str], ...]
    """Name and colour, #RRGGBB, of each class that can be given."""

    squares: tuple[Any, ...]
    """Corners, [lat, lon] each, of the map's pixel around each point; None off the map."""

    dates: DateFile | None = None
    """Pictures of single dates around the points; None without any."""

    lost: tuple[str, ...] = ()
    """Why dates could not be read."""

    def to_json(self) -> dict[str, Any]:
        """What the page is told at first, as plain JSON values.

        It holds no answer of others and no class of the map, which would lead the interpreter.
        """
        answers = self.store.answers()
        own = {one.point: one for one in answers if one.interpreter == self.interpreter}
        by_others = {one.point for one in answers if one.interpreter != self.interpreter}
        on_map = [
            point
            for point, square in zip(self.store.points, self.squares, strict=True)
            if square is not None
        ]
        dates = {} if self.dates is None else self.dates.to_json(on_map)
        return {
            "sample": self.store.path.name,
            "interpreter": self.interpreter,
            "classes": [{"name": name, "colour": colour} for name, colour in self.classes],
            "max_zoom": max(part.max_zoom for one in self.site.maps for part in one.parts),
            "points": [
                {
                    "id": point.id,
                    "lon": point.lon,
                    "lat": point.lat,
                    "square": square,
                    "by_others": point.id in by_others or point.is_labelled,
                    "answer": _answer_json(own.get(point.id)),
                    "dates": dates.get(point.id),
                }
                for point, square in zip(self.store.points, self.squares, strict=True)
            ],
            "drawn": self.drawn_json(),
        }

    def drawn_json(self) -> list[dict[str, Any]]:
        """Everything that was drawn, as plain JSON values."""
        return [
            {
                "number": number,
                "class": name,
                "interpreter": who,
                "geometry": json.loads(shapely.to_geojson(shape)),
            }
            for number, shape, name, who in self.store.drawn()
        ]


@contextmanager
def open_labelling(
    sample: Path,
    *,
    map_path: Path,
    composites: Sequence[Path] = (),
    interpreter: str,
    further: Sequence[str] = (),
    basemap: str | None = None,
    dates: int | None = None,
    catalog: str | None = None,
    progress: Progress = no_progress,
) -> Iterator[Labelling]:
    """Open a sample to be labelled.

    Args:
        sample: path of the file of ``lulcmap sample``; answers are written into it.
        map_path: path of the map whose classes are given.
        composites: paths of pictures to look at, beside the map's own composite.
        interpreter: name of who labels.
        further: names of classes that the map lacks.
        basemap: URL of tiles below all; None for none.
        dates: most single dates of each point to read and keep beside the sample; None shows those
            that were kept before.
        catalog: catalogue of their scenes; None takes those of the map's run folder.
        progress: called with a stage's name, how many points are done, and how many there are.

    Raises:
        UsageError: a file is not what it should be, there is nothing to look at, or no point lies
            on the map.
        OutputError: the sample, or the file of its dates, cannot be written.
        NoScenesError: there are no scenes for the dates.
        ProviderError: the provider of the dates failed; the same command goes on.

    """
    site = open_site([map_path], composites=composites, basemap=basemap)
    if not site.pictures and basemap is None:
        raise UsageError(
            f"{map_path} has no composite beside it, so there is nothing to look at. Give "
            "--composite FILE (lulcmap predict --save-composite writes one), or --basemap URL."
        )
    report = site.maps[0].report
    asked = None
    if dates is not None:
        period = None if report is None else report.period
        asked = asked_dates(map_path, period, dates, catalog)
    with AnswerStore(sample) as store, ExitStack() as stack:
        parts = [part for one in site.maps for part in one.parts]
        squares = _squares(parts, store)
        if not any(squares):
            raise UsageError(
                f"No point of {sample} lies on {map_path}. Give the map that it was drawn of."
            )
        names = _class_colours(map_path, site)
        for name in (*further, *sorted({one.name for one in store.answers() if one.name})):
            names.setdefault(name, f"#{default_colour(len(names), name, len(names) + 1)}")
        file, lost = None, []
        if asked is not None or dates_path(sample).exists():
            file = stack.enter_context(DateFile(dates_path(sample)))
        if asked is not None and file is not None:
            shown = [one for one, at in zip(store.points, squares, strict=True) if at is not None]
            lost = read_dates(file, shown, asked, progress=progress)
        classes = tuple(names.items())
        yield Labelling(store, site, interpreter, classes, squares, file, tuple(lost))


@contextmanager
def serve_labelling(labelling: Labelling, *, port: int | None = None) -> Iterator[str]:
    """Serve the page of a sample to the user of this machine.

    Args:
        labelling: the sample.
        port: port to listen on; None for one that is free.

    Yields:
        Address of the page.

    Raises:
        UsageError: the port cannot be had.

    """
    basemap = labelling.site.basemap
    origins = () if basemap is None else (basemap_origin(basemap),)
    with served(make_app(label_routes(labelling)), port=port, image_origins=origins) as address:
        yield address


def label_routes(labelling: Labelling) -> list[Route]:
    """Routes of the page and of what it asks; the pictures are those of the map's page."""

    def about(request: Request) -> Response:  # noqa: ARG001 - as Starlette calls it
        return JSONResponse(labelling.to_json())

    def agreement(request: Request) -> Response:  # noqa: ARG001 - likewise
        return JSONResponse(labelling.store.summary())

    def said(request: Request) -> Response:
        point = request.path_params["point"]
        answers = [one for one in labelling.store.answers() if one.point == point]
        return JSONResponse([_answer_json(one) for one in answers])

    def picture(request: Request) -> Response:
        asked = (request.path_params[name] for name in ("point", "number", "mix"))
        found = None if labelling.dates is None else labelling.dates.picture(*asked)
        if found is None:
            raise UsageError("There is no such date of this point.")
        return Response(found, headers=KEPT, media_type="image/webp")

    return [
        *page_routes("label.html"),
        Route("/api/label", about),
        Route("/api/dates/{point:int}/{number:int}/{mix:int}", picture),
        Route("/api/agreement", agreement),
        Route("/api/answers/{point:int}", said),
        _changing("/api/answers", labelling, _answer),
        _changing("/api/looks", labelling, _look),
        _changing("/api/undo", labelling, _undo),
        _changing("/api/drawn", labelling, _draw),
        _changing("/api/erase", labelling, _erase),
        *site_routes(labelling.site),
    ]


def _changing(
    path: str, labelling: Labelling, change: Callable[[Labelling, dict[str, Any]], Any]
) -> Route:
    """A route that changes something, and answers when the change is on the disk."""

    async def answer(request: Request) -> Response:
        try:
            body = json.loads(await request.body())
        except ValueError as error:
            raise UsageError("The page sent no JSON.") from error
        if not isinstance(body, dict):
            raise UsageError("The page sent JSON that is no object.")
        return JSONResponse(await run_in_threadpool(change, labelling, body))

    return Route(path, answer, methods=["POST"])


def _answer(labelling: Labelling, body: dict[str, Any]) -> dict[str, Any]:
    answer = labelling.store.answer(
        _field(body, "point", int),
        labelling.interpreter,
        _class_of(labelling, body, may_lack=True),
        is_sure=_field(body, "sure", bool),
        comment=_field(body, "comment", str).strip(),
        map_shown=_field(body, "map_shown", bool),
    )
    return {"answer": _answer_json(answer)}


def _look(labelling: Labelling, body: dict[str, Any]) -> dict[str, Any]:
    """The class of the map at a point, once it is kept that it is shown."""
    number = _field(body, "point", int)
    labelling.store.look(number, labelling.interpreter)
    point = next(one for one in labelling.store.points if one.id == number)
    return {"pixels": [pixel_at(one, point.lon, point.lat) for one in labelling.site.maps]}


def _undo(labelling: Labelling, body: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - as others
    point = labelling.store.undo(labelling.interpreter)
    held = [
        one
        for one in labelling.store.answers()
        if one.point == point and one.interpreter == labelling.interpreter
    ]
    return {"point": point, "answer": _answer_json(held[0] if held else None)}


def _draw(labelling: Labelling, body: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        shape = shapely.from_geojson(json.dumps(_field(body, "geometry", dict)))
    except shapely.errors.ShapelyError as error:
        raise UsageError("What was drawn is no geometry.") from error
    labelling.store.draw(
        shape,
        labelling.interpreter,
        str(_class_of(labelling, body, may_lack=False)),
        is_sure=_field(body, "sure", bool),
        comment=_field(body, "comment", str).strip(),
    )
    return labelling.drawn_json()


def _erase(labelling: Labelling, body: dict[str, Any]) -> list[dict[str, Any]]:
    labelling.store.erase(_field(body, "number", int))
    return labelling.drawn_json()


def _field(body: dict[str, Any], name: str, kind: type) -> Any:
    value = body.get(name)
    if type(value) is not kind:
        raise UsageError(f"The page sent {name} as {str(value)[:30]!r}; it takes {kind.__name__}.")
    return value


def _class_of(labelling: Labelling, body: dict[str, Any], *, may_lack: bool) -> str | None:
    name = body.get("class")
    if name is None and may_lack:
        return None
    names = [known for known, _ in labelling.classes]
    if name not in names:
        raise UsageError(f"There is no class {str(name)[:60]!r}; there are {', '.join(names)}.")
    return str(name)


def _answer_json(answer: Answer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    return {
        "class": answer.name,
        "interpreter": answer.interpreter,
        "sure": answer.is_sure,
        "comment": answer.comment,
        "map_shown": answer.map_shown,
    }


def _class_colours(map_path: Path, site: Site) -> dict[str, str]:
    """Colour of each class of the map's legend, also of those that occur nowhere on it."""
    shown = {cover.name: f"#{cover.colour}" for one in site.maps for cover in one.legend}
    with open_class_map(map_path) as class_map:
        names = list(class_map.legend.values())
    for number, name in enumerate(names):
        shown.setdefault(name, f"#{default_colour(number, name, len(names))}")
    order = [*names, *(name for name in shown if name not in names)]
    return {name: shown[name] for name in order}


def _squares(parts: Sequence[Part], store: AnswerStore) -> tuple[Any, ...]:
    """Corners of the map's pixel around each point; None off the map."""
    lon, lat = np.array([[point.lon, point.lat] for point in store.points]).reshape(-1, 2).T
    squares: list[Any] = [None] * len(lon)
    for part in parts:
        corners, inside = _corners(part, lon, lat)
        for i in np.flatnonzero(inside):
            if squares[i] is None:
                squares[i] = corners[i].round(8).tolist()
    return tuple(squares)


def _corners(
    part: Part, lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(n, 4, 2) latitudes and longitudes of pixels' corners; (n,) whether they are on the map."""
    xs, ys = transformer(_WGS84, part.crs).transform(lon, lat)
    if part.crs.is_geographic:
        west = part.transform.c
        xs = (np.asarray(xs) - west) % 360 + west
    cols, rows = ~part.transform * (np.asarray(xs), np.asarray(ys))
    height, width = part.shape
    inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)  # also if not finite
    rows, cols = np.floor(np.where(inside, [rows, cols], 0))
    down, across = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 0])
    xs, ys = part.transform * (cols[:, None] + across, rows[:, None] + down)
    lons, lats = transformer(part.crs, _WGS84).transform(xs, ys)
    lons = lons - 360 * np.round((lons - lon[:, None]) / 360)  # beside the point, also at 180 E
    return np.stack([lats, lons], axis=-1), inside
