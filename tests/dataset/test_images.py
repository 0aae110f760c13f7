"""One datatake as a chip shows it: the newest products, and older ones where those have nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from lulcmap.catalog.scene import Scene
from lulcmap.dataset.images import read_datatake
from lulcmap.errors import ReadError
from lulcmap.sensors import S2_BANDS

GRID = GeoBox((4, 4), Affine(10, 0, 600_000, 0, -10, 5_000_000), "EPSG:32632")

NEWER = Scene(
    id="newer",
    sensor="s2",
    acquired=datetime(2024, 6, 1),
    datatake="a",
    bbox=(10.2, 45.1, 10.4, 45.2),
    epsg=32632,
    orbit=None,
    orbit_state=None,
    cloud_cover=None,
    offset=1000,
    assets={},
)
OLDER = replace(NEWER, id="older", offset=0, behind="newer")


@dataclass
class Pixels:
    """A reader of scenes with one DN in the rows they have."""

    rows: dict[str, slice]
    broken: frozenset[str] = frozenset()
    read: list[str] = field(default_factory=list)

    def planes(self, requests, grid) -> Iterator:
        for scene, band in requests:
            self.read.append(scene.id)
            if scene.id in self.broken and band == "B04":
                yield ReadError(f"{scene.id} {band} is broken")
                continue
            plane = np.zeros(grid.shape, np.uint16)
            plane[self.rows[scene.id]] = 3000
            yield plane


def test_an_older_product_fills_in_where_the_newer_has_nothing():
    pixels = Pixels({"newer": slice(0, 2), "older": slice(0, 4)})

    image, ids = read_datatake(pixels, (NEWER, OLDER), GRID)

    assert image[0, :, 0].tolist() == [2000, 2000, 3000, 3000]
    assert ids == ["newer", "older"]


def test_an_older_product_is_not_read_where_the_newer_has_all():
    pixels = Pixels({"newer": slice(0, 4), "older": slice(0, 4)})

    image, ids = read_datatake(pixels, (NEWER, OLDER), GRID)

    assert (image == 2000).all()
    assert ids == ["newer"]
    assert pixels.read == ["newer"] * len(S2_BANDS)


def test_a_broken_newest_product_does_not_hide_a_good_older_one():
    rows = {"newer": slice(0, 4), "older": slice(0, 4)}

    image, ids = read_datatake(Pixels(rows, frozenset({"newer"})), (NEWER, OLDER), GRID)

    assert (image == 3000).all()
    assert ids == ["older"]
    for broken in ({"newer", "older"}, {"newer"}):
        datatake = (NEWER, OLDER) if "older" in broken else (NEWER,)
        with pytest.raises(ReadError, match="newer B04"):
            read_datatake(Pixels(rows, frozenset(broken)), datatake, GRID)
