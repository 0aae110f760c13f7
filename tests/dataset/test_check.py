"""What a check of a dataset finds, and its statistics."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from lulcmap.cli.app import Group
from lulcmap.cli.dataset import dataset as command
from lulcmap.dataset.about import ABOUT
from lulcmap.dataset.check import check_dataset
from lulcmap.dataset.chips import INDEX, Dataset
from lulcmap.dataset.request import build_dataset
from lulcmap.dataset.settings import DatasetRequest, ImageArchive
from lulcmap.dataset.statistics import Band
from lulcmap.dataset.writer import _write_index
from lulcmap.errors import UsageError
from lulcmap.sensors import S1_BANDS, S1_NODATA, S2_BANDS
from lulcmap.simulation.build import Country, simulate
from lulcmap.simulation.labels import LabelSet, simulate_labels


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("country")
    country = Country(seed=4, height=150, width=200, s2_dates=2, s1_dates=2)
    scenes = simulate(folder, country)
    wanted = LabelSet(size=48, experts=4, nonexperts=2, holdout=1)
    labels = simulate_labels(folder / "labels", country, scenes, wanted)
    request = DatasetRequest(
        labels, archive=ImageArchive(str(scenes.items), orbit="any"), s1_days=366
    )
    build_dataset(request, folder / "dataset")
    return folder / "dataset"


@pytest.fixture
def copy(built, tmp_path):
    shutil.copytree(built, tmp_path / "dataset")
    return Dataset.open(tmp_path / "dataset")


def change(path, edit, **profile):
    with rasterio.open(path) as file:
        pixels, old, names = file.read(), file.profile, file.descriptions
    with rasterio.open(path, "w", **{**old, **profile}) as file:
        file.write(edit(pixels))
        file.descriptions = names


def set_index(dataset, **changes):
    """Change the first chip for training in the index."""
    first = dataset.split("train")[0]
    rows = [replace(row, **changes) if row == first else row for row in dataset.rows]
    _write_index(dataset.folder / INDEX, rows)


def run(*args):
    group = Group("main", commands={"dataset": command})
    return CliRunner().invoke(group, ["dataset", "check", *map(str, args)])


def test_a_dataset_as_it_was_built_has_no_fault(built):
    result = check_dataset(built)

    assert result.faults == ()
    assert result.notes == ()
    with Image.open(result.sheet) as picture:
        assert picture.format == "PNG"
        assert len(picture.getcolors(maxcolors=2**24)) > 1000


def test_statistics_are_those_of_numpy_over_the_training_split(built):
    result = check_dataset(built)

    dataset = Dataset.open(built)
    chips = [dataset.read(chip) for chip in dataset.split("train")]
    assert json.loads((built / "statistics.json").read_text()) == result.statistics
    assert result.statistics["chips"] == len(chips)
    for sensor, names, nodata in (("s2", S2_BANDS, 0), ("s1", S1_BANDS, S1_NODATA)):
        for number, name in enumerate(names):
            values = np.concatenate([getattr(one, sensor)[number].ravel() for one in chips]).astype(
                float
            )
            values = values[values != nodata]
            band = result.statistics["bands"][name]
            assert band["pixels"] == values.size
            assert band["mean"] == pytest.approx(values.mean(), rel=1e-12)
            assert band["std"] == pytest.approx(values.std(), rel=1e-12)
            assert band["p01"] == pytest.approx(np.percentile(values, 1), rel=1e-12)
            assert band["p99"] == pytest.approx(np.percentile(values, 99), rel=1e-12)


@given(
    st.lists(arrays(np.int16, st.integers(0, 40), elements=st.integers(-32767, 32767)), max_size=5),
    st.floats(0, 100),
)
def test_a_band_added_piece_by_piece_is_the_band_as_a_whole(pieces, percent):
    band = Band(S1_NODATA)
    for piece in pieces:
        band.add(piece)

    values = np.concatenate([*pieces, np.empty(0, np.int16)]).astype(float)

    assert band.count == values.size
    if values.size:
        assert band.mean == pytest.approx(values.mean(), abs=1e-8)
        assert band.std == pytest.approx(values.std(), abs=1e-7)
        assert band.percentile(percent) == pytest.approx(np.percentile(values, percent), abs=1e-6)
    else:
        assert band.to_json()["mean"] is None


def test_the_deviation_survives_a_large_mean():
    values = np.tile(np.uint16([60_000, 60_001]), 500_000)
    band = Band(0)
    for piece in np.split(values, 10):
        band.add(piece)

    assert band.std == pytest.approx(0.5, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "edit", "profile", "fault_text"),
    [
        ("label.tif", lambda a: np.where(a == a[0, 0, 0], 17, a), {}, "label.tif holds id 17"),
        (
            "label.tif",
            lambda a: np.where(a == 255, 0, a),
            {},
            "other pixels by class",
        ),
        ("s1.tif", lambda a: a, {"crs": "EPSG:32633"}, "s1.tif is in EPSG:32633"),
        ("s1.tif", lambda a: a.astype("int32"), {"dtype": "int32"}, "2 bands of int32"),
        ("s2.tif", lambda a: a, {"nodata": None}, "nodata None; expected 9 of uint16, nodata 0"),
        ("s2.tif", lambda a: a[:, :-1], {"height": 47}, "has (47, 48) pixels"),
        ("s2.tif", lambda a: a * (np.arange(9)[:, None, None] > 0), {}, "in some bands only"),
        ("s2.tif", lambda a: a * 0, {}, "s2.tif has no data"),
        ("s1.tif", lambda a: np.full_like(a, S1_NODATA), {}, "s1.tif has no data"),
    ],
)
def test_a_file_that_differs_from_format_or_index_is_a_fault(name, edit, profile, fault_text, copy):
    chip = copy.split("train")[0]
    change(copy.path(chip, name), edit, **profile)

    faults = check_dataset(copy.folder).faults

    assert any(fault_text in fault and fault.startswith(chip.chip) for fault in faults), faults


def test_files_on_different_grids_are_a_fault(copy):
    chip = copy.split("train")[0]
    with rasterio.open(copy.path(chip, "s2.tif"), "r+") as file:
        file.transform = file.transform @ type(file.transform).translation(1, 0)

    (fault,) = check_dataset(copy.folder).faults

    assert fault == f"{chip.chip}: its files lie on different grids"


def test_a_missing_or_broken_file_is_a_fault_and_the_rest_is_checked(copy):
    one, other = copy.split("train")[:2]
    copy.path(one, "s2.tif").unlink()
    copy.path(other, "label.tif").write_bytes(b"II*\0")

    result = check_dataset(copy.folder)

    assert result.faults == (
        f"{one.chip}: s2.tif is missing or broken",
        f"{other.chip}: label.tif is missing or broken",
    )
    assert result.statistics["chips"] == len(copy.split("train")) - 2
    assert result.sheet.exists()


def test_ground_in_two_splits_is_a_fault(copy):
    one, other = copy.split("train")[0], copy.split("test")[0]
    target, source = copy.path(one, "x").parent, copy.path(other, "x").parent
    with rasterio.open(source / "label.tif") as file:
        moved = file.transform
    for name in ("s2.tif", "s1.tif", "label.tif"):
        with rasterio.open(target / name, "r+") as file:
            file.transform = moved @ type(moved).translation(20, 20)

    faults = check_dataset(copy.folder).faults

    assert any("share ground" in fault and "(test)" in fault for fault in faults), faults


def test_a_place_in_two_splits_is_a_fault(copy):
    set_index(copy, place=copy.split("test")[0].place)

    faults = check_dataset(copy.folder).faults

    assert any(fault.endswith("is in test and train") for fault in faults), faults


def test_a_wrong_index_is_a_fault(copy):
    set_index(copy, unlabelled=1, split="exam")

    faults = check_dataset(copy.folder).faults

    assert any("other pixels by class" in fault for fault in faults)
    assert any("its split is 'exam'" in fault for fault in faults)


def test_the_command_shows_the_bands_and_exits_with_1_at_a_fault(copy):
    good = run(copy.folder)
    copy.path(copy.rows[0], "s1.tif").unlink()
    bad = run(copy.folder)
    as_json = run(copy.folder, "--json")

    assert good.exit_code == 0, good.output
    assert "7 chips, no faults." in good.output
    assert all(band in good.output for band in (*S2_BANDS, *S1_BANDS))
    assert bad.exit_code == as_json.exit_code == 1
    assert f"Error: {copy.rows[0].chip}: s1.tif is missing or broken" in bad.output
    assert json.loads(as_json.output)["faults"]


def test_a_folder_that_is_not_a_dataset_is_refused_in_one_line(copy, tmp_path):
    about = json.loads((copy.folder / ABOUT).read_text())

    with pytest.raises(UsageError, match="No dataset in"):
        Dataset.open(tmp_path)
    (copy.folder / ABOUT).write_text(json.dumps({**about, "format": 99}))
    with pytest.raises(UsageError, match="has format 99; this version of lulcmap reads format 1"):
        Dataset.open(copy.folder)
    (copy.folder / ABOUT).write_text("{")
    with pytest.raises(UsageError, match=r"dataset.json cannot be read"):
        Dataset.open(copy.folder)
    (copy.folder / ABOUT).write_text(json.dumps(about))
    (copy.folder / INDEX).write_bytes(b"PAR1")
    with pytest.raises(UsageError, match=r"index.parquet cannot be read"):
        Dataset.open(copy.folder)
    (copy.folder / INDEX).unlink()
    with pytest.raises(UsageError, match="is not finished"):
        Dataset.open(copy.folder)


def test_the_index_can_be_read_by_any_reader_of_parquet(copy):
    pandas = pytest.importorskip("pandas")

    table = pandas.read_parquet(copy.folder / INDEX)

    assert list(table.chip) == [row.chip for row in copy.rows]
    assert list(table.columns) == list(copy.rows[0].to_json())
    with pytest.raises(ValueError, match="no such split"):
        copy.split("exam")
