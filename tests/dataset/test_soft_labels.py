"""Soft labels, weights and sets of classes: written, read, checked, and refused where wrong."""

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from lulcmap.dataset import (
    Dataset,
    Image,
    Label,
    LabelSet,
    Pixels,
    Sample,
    check_dataset,
    dataset_writer,
    label_sets,
    set_members,
)
from lulcmap.errors import UsageError
from lulcmap.legend import CLASSES, NAMES

SIDE = 8
SETS = label_sets({"not crops": [name for name in NAMES if name != "crops"], "wet": NAMES[:1]})


def sample(number=0):
    grid = GeoBox((SIDE, SIDE), Affine(10, 0, 5e5 + 1000 * number, 0, -10, 5e6), "EPSG:32632")
    return Sample(f"chip-{number}", "own", "drawn", (), grid)


def image():
    s2 = np.full((9, SIDE, SIDE), 700, np.uint16)
    s1 = np.full((2, SIDE, SIDE), -1200, np.int16)
    return Image(s2, s1, date(2024, 6, 1), ("a",), ("b",), ("2024-06-02",), None)


def label():
    """Rows of certain water, of probably trees, of "not crops", of "wet", and of nothing."""
    ids = np.full((SIDE, SIDE), 255, np.uint8)
    ids[0], ids[1], ids[2], ids[3] = 0, 1, 254, 253
    soft = np.zeros((9, SIDE, SIDE), np.uint8)
    soft[1, 1], soft[2, 1], soft[5, 1] = 60, 30, 9
    weight = np.full((SIDE, SIDE), 100, np.uint8)
    weight[1] = 40
    return Label(ids, probabilities=soft, weight=weight)


@pytest.fixture
def dataset(tmp_path):
    with dataset_writer(tmp_path, CLASSES, {}, sets=SETS) as writer:
        row = writer.write_chip(sample(), "digest", label(), image())
        writer.finish([replace(row, place="here", split="train")], {})
    return Dataset.open(tmp_path)


def test_what_was_written_is_read(dataset):
    (chip,) = dataset.rows
    seen, drawn = dataset.read(chip), label()

    np.testing.assert_array_equal(seen.label, drawn.ids)
    np.testing.assert_array_equal(seen.probabilities, drawn.probabilities)
    np.testing.assert_array_equal(seen.weight, drawn.weight)
    assert dataset.sets == SETS
    assert seen.nbytes == SIDE**2 * (9 * 2 + 2 * 2 + 1 + 9 + 1)


def test_pixels_of_a_set_count_for_no_class(dataset):
    (chip,) = dataset.rows

    assert chip.counts == (SIDE, SIDE, 0, 0, 0, 0, 0, 0, 0)
    assert chip.partial == 2 * SIDE
    assert chip.unlabelled == SIDE**2 - 2 * SIDE
    assert check_dataset(dataset.folder).faults == ()


def test_a_dataset_without_them_says_nothing_of_them(tmp_path):
    with dataset_writer(tmp_path, CLASSES, {}) as writer:
        row = writer.write_chip(sample(), "digest", Label(label().ids.clip(0, 1)), image())
        writer.finish([row], {})

    assert "sets" not in json.loads((tmp_path / "dataset.json").read_text())
    assert "partial" not in json.loads((tmp_path / "chips/chip-0/chip.json").read_text())
    assert sorted(path.name for path in (tmp_path / "chips/chip-0").iterdir()) == [
        *("chip.json", "label.tif", "s1.tif", "s2.tif")
    ]
    seen = Dataset.open(tmp_path).read(row)
    assert seen.probabilities is None
    assert seen.weight is None


def test_other_sets_are_another_dataset(dataset):
    with (
        pytest.raises(UsageError, match=r"label sets were .*not crops"),
        dataset_writer(dataset.folder, CLASSES, {}, sets=SETS[:1]),
    ):
        pass


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        ([LabelSet(200, "wet", ("water",))], "expected \\[254\\]"),
        ([LabelSet(254, "wet", ("sea",))], "has the classes sea"),
        ([LabelSet(254, "wet", ())], "has the classes none"),
        ([LabelSet(254, "wet", ("water", "water"))], "each once"),
    ],
)
def test_sets_that_do_not_fit_the_legend_are_refused(tmp_path, sets, says):
    with pytest.raises(ValueError, match=says), dataset_writer(tmp_path, CLASSES, {}, sets=sets):
        pass


def with_plane(name, change):
    drawn = label()
    planes = getattr(drawn, name).copy()
    change(planes)
    return replace(drawn, **{name: planes})


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("ids", lambda a: a.__setitem__((0, 0), 250), "label holds id 250; .* sets 253, 254"),
        ("probabilities", lambda a: a.__setitem__((1, 1, 0), 10), "sum of 49 percent"),
        ("probabilities", lambda a: a.__setitem__((2, 1, 0), 63), "sum of 132 percent"),
        ("ids", lambda a: a.__setitem__((1, 0), 2), "1 pixels whose most probable class is not"),
        ("weight", lambda a: a.__setitem__((0, 0), 101), "weight holds 101"),
    ],
)
def test_wrong_labels_are_neither_written_nor_passed_by_the_check(dataset, name, change, says):
    wrong = with_plane(name, change)

    with (
        dataset_writer(dataset.folder, CLASSES, {}, sets=SETS) as writer,
        pytest.raises(ValueError, match=says),
    ):
        writer.write_chip(sample(1), "digest", wrong, image())
    assert not (dataset.folder / "chips/chip-1").exists()

    (chip,) = dataset.rows
    files = {"ids": "label.tif", "probabilities": "probabilities.tif", "weight": "weight.tif"}
    with rasterio.open(dataset.path(chip, files[name]), "r+") as file:
        file.write(getattr(wrong, name).reshape(-1, SIDE, SIDE))
    faults = check_dataset(dataset.folder).faults
    file_says = says.replace("label ", "label.tif ").replace("weight ", "weight.tif ")
    with pytest.raises(AssertionError, match=file_says):
        raise AssertionError("\n".join(faults))


@pytest.mark.parametrize("name", ["probabilities.tif", "weight.tif"])
def test_the_check_finds_files_of_another_format(dataset, name):
    (chip,) = dataset.rows
    grid = sample().grid
    with rasterio.open(
        dataset.path(chip, name),
        "w",
        driver="GTiff",
        count=2,
        height=SIDE,
        width=SIDE,
        dtype="uint8",
        crs="EPSG:32632",
        transform=grid.affine,
    ) as file:
        file.write(np.zeros((2, SIDE, SIDE), np.uint8))

    (fault,) = check_dataset(dataset.folder).faults

    assert f"{name} has 2 bands of uint8" in fault


def test_arrays_of_another_shape_are_refused():
    planes = label()

    with pytest.raises(ValueError, match=r"probabilities is uint8 .*expected uint8 \(4, 8, 8\)"):
        Pixels(image().s2, image().s1, planes.ids, planes.probabilities).check(4)
    with pytest.raises(ValueError, match="s1 is float64"):
        Pixels(image().s2, image().s1 * 1.0, planes.ids).check(9, frozenset({253, 254}))


def test_the_members_of_sets_are_in_the_order_of_the_legend():
    members = set_members(SETS, NAMES)

    assert members.shape == (2, 9)
    assert [name for name, is_in in zip(NAMES, members[0], strict=True) if not is_in] == ["crops"]
    assert members[1].tolist() == [True] + [False] * 8
    assert set_members((), NAMES).shape == (0, 9)
