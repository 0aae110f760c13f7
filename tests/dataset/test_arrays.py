"""Datasets made of arrays."""

from datetime import date

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from lulcmap.dataset import Dataset, check_dataset, label_sets, write_chips
from lulcmap.dataset.splits import grid_centre
from lulcmap.errors import UsageError
from lulcmap.legend import CLASSES, NAMES

DAY = date(2024, 6, 1)
SIZE = (40, 30)


def planes(value=0):
    return {
        "s2": np.full((9, *SIZE), 900, np.uint16),
        "label": np.full(SIZE, value, np.uint8),
        "day": DAY,
    }


def test_chips_of_arrays_are_a_dataset_without_a_fault(tmp_path):
    soft = np.zeros((9, *SIZE), np.uint8)
    soft[1], soft[2] = 70, 30
    s1 = np.full((2, *SIZE), -1100, np.int16)
    sets = label_sets({"not crops": [name for name in NAMES if name != "crops"]})

    with write_chips(tmp_path / "mine", sets=sets) as chips:
        chips.add("one", **planes(), lon=10.2, lat=57.1)
        chips.add("two", **planes(1), s1=s1, probabilities=soft, lon=11.2, lat=-7.1, split="test")
        chips.add("three", **planes(254), weight=np.full(SIZE, 50, np.uint8), lon=12.2, lat=5)

    assert check_dataset(tmp_path / "mine").faults == ()
    dataset = Dataset.open(tmp_path / "mine")
    one, three, two = dataset.rows
    assert [row.split for row in (one, two, three)] == ["train", "test", "train"]
    assert [row.place for row in (one, two, three)] == ["one", "two", "three"]
    assert (one.s1, two.s1, three.partial) == ((), ("arrays",), 1200)
    assert (one.epsg, two.epsg, two.date) == (32632, 32732, "2024-06-01")
    seen = dataset.read(two)
    assert (seen.s1 == s1).all()
    assert (seen.probabilities == soft).all()
    assert (dataset.read(three).weight == 50).all()
    assert (dataset.read(one).s1 == -32768).all()


def test_a_chip_lies_around_its_place_on_whole_pixels(tmp_path):
    with write_chips(tmp_path) as chips:
        row = chips.add("one", **planes(), lon=10.2345, lat=57.1234)

    grid = GeoBox(SIZE, Affine.identity(), f"EPSG:{row.epsg}")
    to_zone = Transformer.from_crs(4326, row.epsg, always_xy=True)
    there, asked = to_zone.transform(row.lon, row.lat), to_zone.transform(10.2345, 57.1234)
    assert np.abs(np.subtract(there, asked)).max() <= 5.1
    assert grid.shape == (row.height, row.width)


def test_a_grid_is_kept_as_it_is(tmp_path):
    grid = GeoBox(SIZE, Affine(10, 0, 500_005, 0, -10, 6_300_005), "EPSG:32632")

    with write_chips(tmp_path) as chips:
        row = chips.add("one", **planes(), grid=grid)

    assert (row.lon, row.lat) == pytest.approx(grid_centre(grid), abs=1e-6)


def test_an_interrupted_run_keeps_its_chips_and_ends_the_same(tmp_path):
    made = []

    def run(folder, *, stop=99):
        with write_chips(tmp_path / folder, settings={"seed": 3}) as chips:
            for number in range(4):
                if chips.keep(f"chip-{number}"):
                    continue
                if number == stop:
                    raise KeyboardInterrupt
                made.append(number)
                place, split = ("a", "train") if number < 3 else ("b", "validation")
                where = {"lon": 10 + number, "lat": 50.0, "place": place, "split": split}
                chips.add(f"chip-{number}", **planes(number), **where)

    run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("stopped", stop=2)
    with pytest.raises(UsageError, match="not finished"):
        Dataset.open(tmp_path / "stopped")
    made.clear()
    run("stopped")

    assert made == [2, 3]
    assert Dataset.open(tmp_path / "stopped").rows == Dataset.open(tmp_path / "whole").rows
    with (
        pytest.raises(UsageError, match="seed was 3, is 4"),
        write_chips(tmp_path / "whole", settings={"seed": 4}),
    ):
        pass


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"s2": np.ones((9, 3, 3), np.uint16)}, "s2 is uint16 .*expected uint16"),
        ({"label": np.full(SIZE, 9, np.uint8)}, "label holds id 9; the legend has 0 to 8"),
        ({"label": np.full(SIZE, 254, np.uint8)}, "label holds id 254"),
        ({"s2": np.eye(9, 9)[..., None, None].repeat(4, 2)}, "data in some bands only"),
        ({"lat": None}, "give either grid, or lon and lat"),
        ({"split": "training"}, "no such split: 'training'"),
        ({"place": "tested"}, "place 'tested' is in test"),
        ({"name": "../one"}, "cannot be the name"),
        ({"name": "first"}, "added before"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_no_folder(tmp_path, change, says):
    with write_chips(tmp_path / "mine", CLASSES) as chips:
        chips.add("first", **planes(), lon=10, lat=50, place="tested", split="test")
        given = {"name": "one", **planes(), "lon": 12, "lat": 50, **change}

        with pytest.raises(ValueError, match=says):
            chips.add(given.pop("name"), **given)

    assert [path.name for path in (tmp_path / "mine/chips").iterdir()] == ["first"]
    assert len(Dataset.open(tmp_path / "mine").rows) == 1


def test_a_dataset_without_a_chip_is_none(tmp_path):
    with pytest.raises(ValueError, match="no chip was added"), write_chips(tmp_path / "mine"):
        pass

    assert not (tmp_path / "mine").exists()
