"""The door for users' rasters, and that nobody goes round it."""

import ast
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import RasterioIOError
from rasterio.transform import from_origin

import lulcmap
from lulcmap.errors import LulcmapError
from lulcmap.evaluation.classmap import open_class_map
from lulcmap.evaluation.seams.search import find_seams
from lulcmap.output import read_map
from lulcmap.system import open_geotiff
from tests.support.counting import counting_server, in_process

PACKAGE = Path(lulcmap.__file__).parent
VRT = (
    '<VRTDataset rasterXSize="64" rasterYSize="64"><SRS>EPSG:32632</SRS><GeoTransform>500000,10,0,'
    '5300000,0,-10</GeoTransform><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
    "<SourceFilename>/vsicurl/{url}/a.tif</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
    "</VRTRasterBand></VRTDataset>"
)
OVERVIEWS = (
    '<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">/vsicurl/{url}/o.tif</MDI>'
    "</Metadata></PAMDataset>"
)


def geotiff(path: Path) -> Path:
    form = {"width": 64, "height": 64, "count": 1, "dtype": "uint8", "crs": "EPSG:32632"}
    place = from_origin(500_000, 5_300_000, 10, 10)
    with rasterio.open(path, "w", driver="GTiff", transform=place, **form) as file:
        file.write(np.ones((1, 64, 64), np.uint8))
    return path


def test_a_geotiff_is_opened_whatever_its_name(tmp_path):
    for name in ("a.tif", "zip:a.tif", "a!b.img", "GTIFF_DIR:1:a.tif", "http:a?b#c"):
        with open_geotiff(geotiff(tmp_path / name)) as file:
            assert file.read(1).sum() == 64 * 64


@pytest.mark.parametrize(
    "name", ["none.tif", "/vsicurl/http://127.0.0.1:9/a.tif", "GTIFF_DIR:1:a.tif", ".", "zip://a"]
)
def test_what_is_no_file_is_not_opened(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    geotiff(tmp_path / "a.tif")

    with pytest.raises(RasterioIOError, match="No such file"):
        open_geotiff(Path(name))


def test_instructions_for_gdal_are_refused_and_no_request_is_sent(tmp_path, socket_enabled):
    with counting_server() as (url, asked):
        texts = {
            "vrt.tif": VRT,
            "wms.tif": "<GDAL_WMS><Service name='TMS'><ServerUrl>{url}/$</ServerUrl></Service>"
            "<DataWindow><SizeX>64</SizeX><SizeY>64</SizeY></DataWindow></GDAL_WMS>",
            "pipeline.tif": '{{"type":"gdal_streamed_alg","command_line":'
            '"gdal raster pipeline read /vsicurl/{url}/a.tif"}}',
        }
        for name, text in texts.items():
            (tmp_path / name).write_text(text.format(url=url))
        said = in_process(
            "from pathlib import Path\n"
            "from lulcmap.errors import LulcmapError\n"
            "from lulcmap.dataset.legend import PLAIN\n"
            "from lulcmap.dataset.raster_labels import RasterLabels\n"
            "from lulcmap.evaluation.classmap import open_class_map\n"
            "from lulcmap.evaluation.reference import _open_labels\n"
            "from lulcmap.evaluation.seams.search import find_seams\n"
            "from lulcmap.output import read_map\n"
            "looks = [lambda p: open_class_map(p).__enter__(), find_seams, read_map,\n"
            "  lambda p: RasterLabels(p, PLAIN), lambda p: _open_labels(p).__enter__()]\n"
            f"for name in {[str(tmp_path / name) for name in texts]!r}:\n"
            "    for look in looks:\n"
            "        try:\n            look(Path(name))\n            print('READ')\n"
            "        except LulcmapError as error:\n            print(error)\n"
        )

    assert asked == []
    assert len(said.splitlines()) == len(texts) * 5
    assert "READ" not in said
    assert said.count("not recognized as being in a supported file format") == len(texts) * 5


def test_sidecars_that_point_elsewhere_send_no_request(tmp_path, socket_enabled):
    with counting_server() as (url, asked):
        paths = {suffix: geotiff(tmp_path / f"{suffix}.tif") for suffix in ("ovr", "msk", "aux")}
        (tmp_path / "ovr.tif.ovr").write_text(VRT.format(url=url).replace('"64"', '"32"'))
        (tmp_path / "msk.tif.msk").write_text(VRT.format(url=url))
        (tmp_path / "aux.tif.aux.xml").write_text(OVERVIEWS.format(url=url))
        said = in_process(
            "from pathlib import Path\n"
            "from lulcmap.evaluation.classmap import open_class_map\n"
            f"for name in {[str(path) for path in paths.values()]!r}:\n"
            "    with open_class_map(Path(name)) as class_map:\n"
            "        print(class_map.window(0, 0, 64, 64).sum(), class_map.confidence_band)\n"
        )

    assert asked == []
    assert said.splitlines() == ["4096 None"] * 3


@pytest.mark.parametrize("look", [find_seams, read_map])
def test_gdal_s_reason_is_said(tmp_path, look):
    path = tmp_path / "a.tif"
    path.write_text("not a raster")

    with pytest.raises(LulcmapError, match="not recognized as being in a supported"):
        look(path)
    with pytest.raises(LulcmapError, match="not recognized"), open_class_map(path):
        pass


READERS = {
    "geo/vector_gdal.py": "pyogrio",  # the door for vector files
    "system/rasters.py": "rasterio.open",  # the door for rasters
    # writers of points, tables and polygons
    **dict.fromkeys(("evaluation/sample_file.py", "products/tables.py"), "pyogrio"),
    **dict.fromkeys(("products/polygons.py", "products/polygon_files.py"), "pyogrio"),
    # files that lulcmap itself made
    **dict.fromkeys(("output/cog.py", "output/stac_item.py"), "rasterio.open"),
    **dict.fromkeys(("output/cog_header.py", "output/stream.py"), "rasterio.open"),
    **dict.fromkeys(("output/whole.py", "output/quick_look.py"), "rasterio.open"),
    **dict.fromkeys(("output/zone_reader.py", "run/block_file.py"), "rasterio.open"),
    **dict.fromkeys(("products/clean.py", "products/change/raster.py"), "rasterio.open"),
    **dict.fromkeys(("simulation/demo.py", "simulation/labels.py"), "rasterio.open"),
    "simulation/archive.py": "rasterio.open",
    "imagery/assets/jpeg2000.py": "rasterio.open",  # JPEG 2000, by its driver
}


def opens(tree: ast.AST) -> set[str]:
    """Ways in which a module opens files through GDAL."""
    found = set()
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        if any(name.split(".")[0] in ("pyogrio", "fiona", "geopandas") for name in names):
            found.add("pyogrio")
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "rasterio.open":
            found.add("rasterio.open")
    return found


def test_files_of_users_are_opened_through_the_doors_only():
    found = {
        path.relative_to(PACKAGE).as_posix(): how
        for path in sorted(PACKAGE.rglob("*.py"))
        if (how := opens(ast.parse(path.read_text())))
    }

    assert {path: {how} for path, how in READERS.items()} == found
