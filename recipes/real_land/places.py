"""Which real places train, and which are held out: ``places.csv``, fixed once.

    python -m recipes.real_land.places --data ../shared/data

writes it again, by this rule:

- All of ``archive/`` is held out but Punjab, the only place of its kind with radar.
- BigEarthNet's patches that lie within ``LINK_KM`` of each other are one place. A place with a
  patch within ``LINK_KM`` of an archive's scene is held out; of the others every fourth of each
  country, from south to north. Patches of the sea are places of their own; most are left aside,
  as are clouds and patches without coordinates.
- Gascony's south, Chesapeake's south and Parana's south are held out, ``GAP_PX`` or more from what
  trains.

Nothing held out is ever trained on; nothing that trains is in a figure without being called so.
"""

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

PLACES_CSV = Path(__file__).parent / "places.csv"

LINK_KM = 10.0
"""Patches nearer than this are one place, km."""

GAP_PX = 24
"""Least distance of what trains from what is held out in one scene, pixels."""

HELD_OUT_OF = 4
"""One place of this many is held out in each country."""

PARTS = (
    ("gascony", "gascony-north", 0, 800, 0, 1198, "train"),
    ("gascony", "gascony-south", 832, 1168, 0, 1198, "held-out"),
    ("chesapeake", "chesapeake-north", 0, 640, 0, 1664, "train"),
    ("chesapeake", "chesapeake-south", 704, 970, 0, 1280, "held-out"),
    ("parana", "parana-north", 0, 100, 0, 218, "train"),
    ("parana", "parana-south", 124, 218, 0, 218, "held-out"),
)
"""Parts of the large scenes; east of Chesapeake's is nothing but sea."""

ARCHIVE = ("denmark", "ontario", "laos", "congo", "punjab-0604", "punjab-0813")
"""The archive's scenes besides BigEarthNet's, by the names of ``real_scenes``."""

TRAINING_ARCHIVE = ("punjab-0604", "punjab-0813")


@dataclass(frozen=True, slots=True)
class Place:
    """A part of a real scene, and what it is for."""

    scene: str
    """Name of the scene; the dates of one place share it."""

    place: str
    """Name of the place: patches of one place are never on both sides."""

    top: int
    """First row, pixels; 0 to 0 of all four is the whole scene."""

    bottom: int
    """Row after the last, pixels."""

    left: int
    """First column, pixels."""

    right: int
    """Column after the last, pixels."""

    use: str
    """``"train"``, ``"held-out"`` or ``"aside"``."""

    @property
    def where(self) -> tuple[slice, slice]:
        """Rows and columns of the part."""
        if not self.bottom:
            return slice(None), slice(None)
        return slice(self.top, self.bottom), slice(self.left, self.right)


def load_places() -> list[Place]:
    """Read ``places.csv``."""
    numbers = {"top", "bottom", "left", "right"}
    with PLACES_CSV.open(encoding="utf-8", newline="") as file:
        return [
            Place(**{name: int(text) if name in numbers else text for name, text in row.items()})
            for row in csv.DictReader(file)
        ]


def _whole(scene: str, place: str, use: str) -> Place:
    return Place(scene, place, 0, 0, 0, 0, use)


def make_places(data: Path) -> list[Place]:
    """Decide the places by the rule above."""
    places = [Place(*part) for part in PARTS]
    for name in ARCHIVE:
        use = "train" if name in TRAINING_ARCHIVE else "held-out"
        places.append(_whole(name, name.split("-")[0], use))
    items = json.loads((data / "archive" / "items.json").read_text(encoding="utf-8"))["features"]
    optical = [item for item in items if item["collection"] == "sentinel-2-l2a"]
    judges = [(_centre(item["bbox"])) for item in optical]
    with (data / "scenes" / "bigearthnet.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [*places, *_bigearthnet(rows, judges)]


def _centre(box: Sequence[float]) -> tuple[float, float]:
    return (box[1] + box[3]) / 2, (box[0] + box[2]) / 2


def _bigearthnet(
    rows: Sequence[dict[str, str]], judges: Sequence[tuple[float, float]]
) -> Iterator[Place]:
    at = {i: (float(row["lat"]), float(row["lon"])) for i, row in enumerate(rows) if row["lat"]}
    linked = _linked(at)
    by_country: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for first in sorted(set(linked.values()), key=lambda i: at[i]):
        members = [i for i in linked if linked[i] == first]
        if not any(_km(at[i], judge) < LINK_KM for i in members for judge in judges):
            sea = rows[first]["sea"] == "True"
            by_country[rows[first]["country"], sea].append(first)
    held = {group[k] for group in by_country.values() for k in range(2, len(group), HELD_OUT_OF)}
    free = {first for group in by_country.values() for first in group}
    seas = [i for (_, sea), group in by_country.items() if sea for i in group[::HELD_OUT_OF]]
    for i, row in enumerate(rows):
        name = f"bigearthnet-{i:03d}"
        if i not in at or row["cloud"] == "True":
            yield _whole(name, name, "aside")
            continue
        first = linked[i]
        use = "train" if first in free - held else "held-out"
        if row["sea"] == "True" and use == "train" and first not in seas:
            use = "aside"
        yield _whole(name, f"bigearthnet-{first:03d}", use)


def _linked(at: dict[int, tuple[float, float]]) -> dict[int, int]:
    """The first patch of each patch's place: chains of patches nearer than ``LINK_KM``."""
    first = {i: i for i in at}
    for i in at:
        for j in at:
            if j < i and first[i] != first[j] and _km(at[i], at[j]) < LINK_KM:
                low, high = sorted((first[i], first[j]))
                first = {k: low if of == high else of for k, of in first.items()}
    return first


def _km(one: tuple[float, float], other: tuple[float, float]) -> float:
    east = (one[1] - other[1]) * np.cos(np.radians(one[0]))
    return float(111.2 * np.hypot(one[0] - other[0], east))


def main() -> None:
    """Write ``places.csv``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with scenes/ and archive/")
    places = make_places(parser.parse_args().data)
    with PLACES_CSV.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Place)], lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(place) for place in places)


if __name__ == "__main__":
    main()
