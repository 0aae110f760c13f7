"""A STAC collection of the maps in a folder: one item a map, such as one for each year."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lulcmap.errors import OutputError, UsageError
from lulcmap.output import STAC_VERSION, is_our_sidecar, item_text
from lulcmap.system import check_destination, check_ours, write_atomically

COLLECTION = "collection.json"
"""Name of the collection's file."""

_SUMMED = ("gsd", "processing:level", "proj:code")
"""Properties of the items that the collection lists."""


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection that was written."""

    path: Path
    """Path of its file."""

    items: tuple[Path, ...]
    """Paths of its items."""

    notes: tuple[str, ...] = ()
    """What its user should know, one sentence each."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "collection": str(self.path),
            "items": [str(path) for path in self.items],
            "notes": list(self.notes),
        }


def write_collection(folder: str | Path, *, title: str | None = None) -> Collection:
    """Write ``collection.json`` in a folder of maps, and link each map's item with it.

    Args:
        folder: path of the folder; the items of its maps lie in it.
        title: title of the collection; None is what its maps show.

    Returns:
        The collection.

    Raises:
        UsageError: there is no such folder, or no item of a map in it.
        OutputError: a file cannot be written, or another program's has the collection's name.

    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"No folder {folder}. Give the folder with the maps.")
    path = folder / COLLECTION
    check_destination(path, option="FOLDER")
    check_ours(path, is_our_sidecar, kind="a collection", option="FOLDER")
    found = {path: item for path in sorted(folder.glob("*.json")) if (item := _map_item(path))}
    if not found:
        raise UsageError(
            f"No STAC item of a map lies in {folder}. `lulcmap predict` writes one beside each "
            "map, unless --no-sidecars is given; run its command again to add a missing one."
        )
    edited = [item for item in found if not is_our_sidecar(item)]
    values = _collection(folder, found, title)
    try:
        for item_path, item in found.items():
            if item_path not in edited:
                write_atomically(item_path, item_text(_linked(item, values["id"])))
        write_atomically(path, item_text(values))
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written to ({error.strerror or error}). Free some space, or "
            "choose a folder that is writable."
        ) from error
    notes = [
        f"{item.name} was edited: it is listed, and does not link back to the collection."
        for item in edited
    ]
    return Collection(path, tuple(found), tuple(notes))


def _map_item(path: Path) -> dict[str, Any] | None:
    """The item of a map; None if a file is something else."""
    try:
        item = json.loads(path.read_bytes())
        is_item = item["type"] == "Feature" and "lulcmap:plan" in item["properties"]
        numbers = [*item["bbox"], *map(len, (item["id"], item["properties"]["start_datetime"]))]
        is_item = is_item and len(item["bbox"]) == 4 and all(map(math.isfinite, numbers))
        is_item = is_item and bool(item["properties"]["end_datetime"] and item["assets"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return item if is_item else None


def _linked(item: Mapping[str, Any], collection: str) -> dict[str, Any]:
    """An item with the links to its collection."""
    own = ("collection", "parent", "root")
    links = [link for link in item["links"] if link["rel"] not in own]
    to = {"href": f"./{COLLECTION}", "type": "application/json"}
    linked = {**item, "links": [*links, *({"rel": rel, **to} for rel in own)]}
    return {**linked, "collection": collection}


def _collection(
    folder: Path, items: Mapping[Path, Mapping[str, Any]], title: str | None
) -> dict[str, Any]:
    found = list(items.values())
    properties = [item["properties"] for item in found]
    licenses = {str(each.get("license", "other")) for each in properties}
    starts = [str(each["start_datetime"]) for each in properties]
    ends = [str(each["end_datetime"]) for each in properties]
    years = f"{min(starts)[:4]} to {max(ends)[:4]}"
    name = folder.resolve().name or "maps"
    boxes = [_box(item["bbox"]) for item in found]
    others = boxes if len(set(map(tuple, boxes))) > 1 else []
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": [],
        "id": name,
        "title": title or f"Land cover, {years}",
        "description": f"Land-cover maps from Sentinel-1 and Sentinel-2, {years}, by lulcmap.",
        "license": licenses.pop() if len(licenses) == 1 else "other",
        "keywords": ["land cover", "Sentinel-1", "Sentinel-2"],
        "extent": {
            "spatial": {"bbox": [_around(boxes), *others]},
            "temporal": {"interval": [[min(starts), max(ends)]]},
        },
        "summaries": _summaries(properties),
        "links": [
            {"rel": "root", "href": f"./{COLLECTION}", "type": "application/json"},
            *(
                {
                    "rel": "item",
                    "href": f"./{path.name}",
                    "type": "application/geo+json",
                    "title": str(item["properties"].get("title", item["id"])),
                }
                for path, item in items.items()
            ),
        ],
    }


def _box(box: Sequence[float]) -> list[float]:
    return [float(value) for value in box]


def _around(boxes: Sequence[Sequence[float]]) -> list[float]:
    """The box around some; of boxes that cross 180 degrees, the whole globe's width."""
    wests, souths, easts, norths = zip(*boxes, strict=True)
    if len(set(map(tuple, boxes))) == 1:
        return list(boxes[0])
    if any(west > east for west, east in zip(wests, easts, strict=True)):
        return [-180.0, min(souths), 180.0, max(norths)]
    return [min(wests), min(souths), max(easts), max(norths)]


def _summaries(properties: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The values that the items have, of some properties."""
    summaries = {}
    for name in _SUMMED:
        values = {each[name] for each in properties if isinstance(each.get(name), str | int)}
        if values:
            summaries[name] = sorted(values, key=str)
    return summaries
