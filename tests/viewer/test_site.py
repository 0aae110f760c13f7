"""What the page is told, and what it may ask."""

import asyncio

import httpx
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.windows import Window

from lulcmap.errors import UsageError
from lulcmap.viewer import maps
from lulcmap.viewer.guard import Guard
from lulcmap.viewer.opened import open_site
from lulcmap.viewer.server import make_app
from lulcmap.viewer.site import Site, basemap_origin, site_routes
from tests.products.maps import GRID, to_degrees, write_map, write_regions
from tests.viewer.maps import HOSTILE, patches, write_layers, write_whole
from tests.viewer.test_tiles import tiles_of

ORIGIN = "http://127.0.0.1:4321"


def ask(site: Site, *paths: str) -> list[httpx.Response]:
    guard = Guard(make_app(site_routes(site)), token="secret", port=4321)

    async def answers() -> list[httpx.Response]:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(guard), base_url=f"{ORIGIN}/secret/"
        ) as client:
            return [await client.get(path) for path in paths]

    return asyncio.run(answers())


def centre(row, col):
    """Longitude and latitude of the centre of a pixel of the test's grid."""
    x, y = GRID * (col + 0.5, row + 0.5)
    point = to_degrees(shapely.Point(x, y), "EPSG:32632")
    return point.x, point.y


@pytest.fixture
def values():
    return patches((300, 420))


@pytest.fixture
def site(tmp_path, values):
    path = write_whole(tmp_path / "land.tif", values)
    write_layers(path, values.shape)
    west, north = GRID * (0, 0)
    shapes = [shapely.box(west, north - 1500, west + 2000, north - 500)] * 2
    regions = write_regions(tmp_path / "r.gpkg", shapes, name=["North", HOSTILE])
    return open_site([path], regions=regions)


def test_the_page_is_told_of_maps_pictures_and_regions(site):
    about, outlines = (answer.json() for answer in ask(site, "api/site", "api/regions"))

    (one,) = about["maps"]
    assert (one["label"], one["legend"][1]) == (
        "land",
        {"id": 1, "name": "trees", "colour": "#397D49"},
    )
    assert [picture["label"] for picture in about["pictures"]] == [
        "land, true colour",
        "land, false colour",
    ]
    assert about["regions"]
    assert about["basemap"] is None
    names = [feature["properties"]["name"] for feature in outlines["features"]]
    assert names == ["North", HOSTILE]


def test_a_pixel_has_its_class_and_what_the_layers_know(site, values):
    for row, col in ((0, 0), (57, 203), (291, 409), (150, 17)):
        lon, lat = centre(row, col)
        (answer,) = ask(site, f"api/pixel?lon={lon}&lat={lat}")

        (pixel,) = answer.json()
        if values[row, col] == 255:
            assert pixel == {"value": None, "class": None}
            continue
        assert pixel == {
            "value": values[row, col],
            "class": {cover.id: cover.name for cover in site.maps[0].legend}[values[row, col]],
            "confidence": row % 101,
            "margin": col % 101,
            "s2_count": row % 7,
            "s1_count": col % 5,
            "origin": "s2_only",
        }


def test_a_value_that_came_into_a_finished_map_is_counted_and_told(tmp_path, monkeypatch):
    monkeypatch.setattr(maps, "_LOOK_PX", 250)
    values = np.zeros((2000, 2000), np.uint8)
    path = write_whole(tmp_path / "land.tif", values)
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
        file.write(np.full((1, 3, 3), 77, np.uint8), window=Window(501, 701, 3, 3))
    site = open_site([path])
    lon, lat = centre(702, 502)
    assert 77 not in {cover.id for cover in site.maps[0].legend}

    pixel, areas = ask(
        site,
        f"api/pixel?lon={lon}&lat={lat}",
        f"api/areas/0?west={lon - 0.01}&south={lat - 0.01}&east={lon + 0.01}&north={lat + 0.01}",
    )

    assert pixel.json() == [{"value": 77, "class": "class 77"}]
    assert areas.json()["hectares"]["77"] == pytest.approx(0.09, rel=0.01)


def test_a_pixel_beside_the_map_is_none(site):
    (answer,) = ask(site, "api/pixel?lon=-70&lat=-20")

    assert answer.json() == [None]


def test_layers_of_another_run_or_grid_are_left_out(tmp_path, values):
    for plan, shape in (("b", values.shape), ("a", (100, 100))):
        path = write_whole(tmp_path / f"m{plan}.tif", values)
        write_layers(path, shape, plan=plan)

        assert open_site([path]).pictures == ()


def test_tiles_and_areas_are_answered(site):
    tile, areas, region, picture = ask(
        site,
        "api/tiles/0/5/16/9",
        "api/areas/0?west=-180&south=-85&east=180&north=85",
        "api/areas/0?region=0",
        "api/pictures/0/5/16/9",
    )

    assert tile.status_code == 200
    assert len(tile.content) == 65536  # httpx has unpacked it
    assert sum(areas.json()["hectares"].values()) > 1000
    assert 0 < sum(region.json()["hectares"].values()) < 200.2
    assert picture.headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    "path",
    [
        "api/tiles/1/5/16/9",
        "api/tiles/0/5/99/9",
        "api/pictures/7/5/16/9",
        "api/areas/9?west=0&south=0&east=1&north=1",
        "api/areas/0?west=x&south=0&east=1&north=1",
        "api/areas/0?west=nan&south=0&east=1&north=1",
        "api/areas/0",
        "api/areas/0?region=99",
        "api/areas/0?region=-1",
        "api/areas/0?region=%3Cscript%3E",
        "api/pixel?lon=1e999&lat=0",
        "api/pixel",
    ],
)
def test_what_does_not_exist_is_told_in_a_line(site, path):
    (answer,) = ask(site, path)

    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}


@pytest.mark.parametrize("path", ["api/tiles/0/5/16/x", "api/none", "api/"])
def test_paths_that_are_none_are_not_found(site, path):
    (answer,) = ask(site, path)

    assert answer.status_code == 404


def test_hostile_names_stay_data(tmp_path):
    path = write_map(
        tmp_path / "<b>m.tif", np.ones((20, 20), np.uint8), names={1: HOSTILE, 2: "x" * 300}
    )

    page, about = ask(open_site([path]), "", "api/site")

    assert HOSTILE not in page.text
    assert about.headers["content-type"] == "application/json"
    assert [cover["name"] for cover in about.json()["maps"][0]["legend"]] == [HOSTILE, "x" * 100]


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://tile.example.org/{z}/{x}/{y}.png", "https://tile.example.org"),
        ("http://10.0.0.1:8080/t/{z}/{y}/{x}", "http://10.0.0.1:8080"),
    ],
)
def test_the_origin_of_a_base_map_is_told(url, origin):
    assert basemap_origin(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "https://{s}.tile.example.org/{z}/{x}/{y}.png",
        "https://tile.example.org/",
        "file:///tmp/{z}/{x}/{y}.png",
        "javascript:alert(1)//{z}{x}{y}",
        "https://a.org; script-src *//{z}/{x}/{y}",
        "https://a.org\n/{z}/{x}/{y}",
        "https://user:password@a.org/{z}/{x}/{y}",
        "https://a.org:99999/{z}/{x}/{y}",
        "//a.org/{z}/{x}/{y}",
        "",
    ],
)
def test_a_base_map_that_is_none_is_refused(url, tmp_path):
    path = write_map(tmp_path / "m.tif", np.ones((20, 20), np.uint8))

    with pytest.raises(UsageError, match="--basemap"):
        open_site([path], basemap=url)


def test_tiles_of_parts_lie_beside_each_other(tmp_path):
    from lulcmap.viewer.site import map_tile

    near = GRID * GRID.translation(200, 0)
    paths = [
        write_whole(tmp_path / "m.tif", np.full((200, 200), 1, np.uint8)),
        write_whole(tmp_path / "m-2.tif", np.full((200, 200), 2, np.uint8), transform=near),
    ]
    (one,) = open_site(paths).maps

    tiles = [map_tile(one, tile) for tile in tiles_of(one.bounds, 12)]
    counts = np.bincount(np.ravel(tiles), minlength=256)

    assert counts[1] == pytest.approx(counts[2], rel=0.05)
    assert counts[1] > 0


def test_the_server_answers_at_its_address_until_it_ends(tmp_path, socket_enabled):
    from lulcmap.viewer.opened import serve_site

    site = open_site([write_map(tmp_path / "m.tif", patches((60, 80)))])
    with serve_site(site) as address:
        with httpx.Client(trust_env=False) as client:
            page, tile = client.get(address), client.get(f"{address}api/tiles/0/5/16/9")
            refused = client.get(address.rsplit("/", 2)[0] + "/")

        assert page.status_code == tile.status_code == 200
        assert "</html>" in page.text
        assert len(tile.content) == 65536
        assert refused.status_code == 403
        port = int(address.split(":")[2].split("/")[0])
        with pytest.raises(UsageError, match="Port"), serve_site(site, port=port):
            pass
    with httpx.Client(trust_env=False) as client, pytest.raises(httpx.ConnectError):
        client.get(address)


def test_tiles_are_compressed(site):
    (tile,) = ask(site, "api/tiles/0/5/16/9")

    assert tile.headers["content-encoding"] == "deflate"
    assert int(tile.headers["content-length"]) < 2000
