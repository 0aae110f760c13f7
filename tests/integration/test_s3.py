"""Sentinel-2 in the Copernicus Data Space's shape: JPEG 2000 on S3, served by moto."""

import json
import shutil

import pytest
import rasterio

from tests.integration import services
from tests.integration.runs import World, assert_same_map, leaks

BUCKET = "eodata"

TEN_METRES = ("B02", "B03", "B04", "B08")


@pytest.fixture(scope="session")
def credentials() -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "lulcmap-tests",
        "AWS_SECRET_ACCESS_KEY": services.random_secret(),
    }


@pytest.fixture(scope="session")
def bucket(start, world, credentials, tmp_path_factory) -> str:
    """S3 with the country's Sentinel-2 as JPEG 2000; its URL."""
    folder = tmp_path_factory.mktemp("jp2")
    for item in world.items:
        if item["collection"] == "sentinel-2-l2a":
            for asset in item["assets"].values():
                to_jp2(world, asset["href"], folder)
    url = start(services.s3(credentials))
    services.put(url, BUCKET, folder, credentials)
    shutil.rmtree(folder)
    return url


def to_jp2(world: World, href: str, folder) -> None:
    """Write a file of the country once more, as JPEG 2000 without loss."""
    target = folder / jp2(href)
    target.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(world.folder / href) as source:
        profile = {
            "driver": "JP2OpenJPEG",
            "count": 1,
            "dtype": source.dtypes[0],
            "height": source.height,
            "width": source.width,
            "crs": source.crs,
            "transform": source.transform,
        }
        with rasterio.open(
            target, "w", **profile, quality=100, reversible="YES", blockxsize=64, blockysize=64
        ) as made:
            made.write(source.read())


def jp2(href: str) -> str:
    return href.removeprefix("./").replace(".tif", ".jp2")


@pytest.fixture
def jp2_items(world, tmp_path):
    """The items with the Data Space's keys and hrefs."""
    items = []
    for item in world.items:
        if item["collection"] != "sentinel-2-l2a":
            continue
        assets = {
            f"{band}_{10 if band in TEN_METRES else 20}m": {
                **asset,
                "href": f"s3://{BUCKET}/{jp2(asset['href'])}",
                "type": "image/jp2",
            }
            for band, asset in item["assets"].items()
        }
        properties = dict(item["properties"])
        properties["processing:version"] = properties.pop("s2:processing_baseline")
        items.append({**item, "assets": assets, "properties": properties})
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return path


@pytest.fixture(scope="module")
def offline_s2(world, tmp_path_factory):
    """The offline run of Sentinel-2 alone."""
    out = tmp_path_factory.mktemp("offline-s2") / "map.tif"
    return world.predict(world.folder / "items.json", out, "--s1", "off")


def test_jpeg_2000_on_s3_makes_the_map_of_the_same_pixels_offline(
    world, offline_s2, bucket, jp2_items, credentials, tmp_path
):
    env = {**credentials, "AWS_ENDPOINT_URL_S3": bucket}

    options = ("--profile", "cdse", "--s1", "off", "-vv", "--keep-run")
    run = world.predict(jp2_items, tmp_path / "map.tif", *options, env=env)

    assert_same_map(run, offline_s2)
    assert leaks(run, [credentials["AWS_SECRET_ACCESS_KEY"]]) == []


@pytest.mark.parametrize("missing", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_missing_credentials_are_one_line_that_names_the_variable(
    world, bucket, jp2_items, credentials, tmp_path, missing
):
    env = {**credentials, "AWS_ENDPOINT_URL_S3": bucket}
    del env[missing]

    options = ("--profile", "cdse", "--s1", "off")
    run = world.predict(jp2_items, tmp_path / "map.tif", *options, env=env)

    assert run.code == 5
    assert run.stderr.count("\n") == 1
    assert missing in run.stderr
