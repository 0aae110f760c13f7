"""What GDAL or SQLite would read as part of a file that was replaced goes with it."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning

from lulcmap.system.files import replacing

PAM = '<PAMDataset><Metadata><MDI key="OLD">yes</MDI></Metadata></PAMDataset>'
OURS = (
    *("map.tif.aux.xml", "map.tif.ovr", "map.tif.OVR", "map.tif.msk", "map.tif.Msk"),
    *("map.tif.msk.ovr", "map.tif.ovr.aux.xml", "map.tif.AUX.XML", "map.tif.vat.dbf"),
    *("map.tif-journal", "map.tif-wal", "map.tif-shm"),
)
OTHERS = (
    *("map.aux.xml", "map.ovr", "map.tfw", "map.tifw", "map.wld", "map.tab", "map.qml", "map.prj"),
    *("other.tif.aux.xml", "xmap.tif.ovr", "MAP.TIF.aux.xml", "map.tiff.ovr", "map.tif.txt"),
    *("map.tif.report.json", "map.aux", "map.tif.aux", "map.tif.ovr2", "map.tif.msk.txt"),
)


def raster(path: Path, value: int, *, size: int = 1200) -> None:
    with (
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        rasterio.open(
            *(path, "w"), driver="GTiff", count=1, dtype="uint8", height=size, width=size
        ) as file,
    ):
        file.write(np.full((size, size), value, np.uint8), 1)


def replace_by(path: Path, value: int) -> None:
    with replacing(path) as part:
        raster(part, value)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_gdal_shows_nothing_of_the_old_map(tmp_path):
    """Its statistics, overviews and mask, and the overviews that ERDAS keeps beside a file."""
    path = tmp_path / "map.tif"
    raster(path, 1)
    (tmp_path / "map.tif.aux.xml").write_text(PAM)
    raster(tmp_path / "map.tif.OVR", 7, size=600)
    raster(tmp_path / "map.tif.msk", 0)
    with rasterio.Env(USE_RRD=True), rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], Resampling.nearest)
    with rasterio.open(path) as file:
        assert len(file.files) > 3
        assert file.tags()["OLD"] == "yes"

    replace_by(path, 2)

    with rasterio.open(path) as file:
        assert file.files == [str(path)]
        assert "OLD" not in file.tags()
        assert (file.read(1, out_shape=(300, 300)) == 2).all()
        assert file.read_masks(1).all()
    assert [other.name for other in tmp_path.iterdir()] == ["map.tif"]


def test_other_files_stay(tmp_path):
    for name in (*OURS, *OTHERS):
        (tmp_path / name).write_text("EHFA_HEADER_TAG\0 other.tif\0")
    (tmp_path / "map.tif.ovr.ovr").mkdir()

    replace_by(tmp_path / "map.tif", 1)

    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"map.tif", "map.tif.ovr.ovr", *OTHERS}


def test_a_map_that_fails_keeps_its_sidecars(tmp_path):
    path = tmp_path / "map.tif"
    raster(path, 1)
    for name in OURS:
        (tmp_path / name).write_text("?")

    with pytest.raises(FileNotFoundError), replacing(path):
        pass

    assert {other.name for other in tmp_path.iterdir()} == {"map.tif", *OURS}


def test_a_sidecar_that_is_a_link_goes_and_what_it_names_stays(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "map.tif.ovr").symlink_to("precious")

    replace_by(tmp_path / "map.tif", 1)

    assert {path.name for path in tmp_path.iterdir()} == {"map.tif", "precious"}
