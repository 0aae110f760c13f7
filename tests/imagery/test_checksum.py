"""Checksums of items: checked where the whole file is at hand."""

import hashlib

import numpy as np
import pytest

from lulcmap.catalog.providers import ITEM_COLLECTION
from lulcmap.catalog.scene import Scene
from lulcmap.errors import ReadError
from lulcmap.imagery.reader import Reader
from lulcmap.sensors import S2_BANDS
from tests.imagery.test_reader import make_grid, make_scene
from tests.support import tiffs

PIXELS = (np.arange(64 * 64).reshape(64, 64) % 3000 + 500).astype(np.uint16)


def saved(tmp_path, body):
    path = tmp_path / "a.tif"
    path.write_bytes(body)
    return path


def read(path, band="B02", **grid):
    with Reader(workers=1, retries=0) as reader:
        return reader.read(make_scene(**{band: path}), band, make_grid(**grid))


def multihash(code, digest):
    prefix = b""
    for number in (code, len(digest)):
        while number > 127:
            prefix += bytes([number & 127 | 128])
            number >>= 7
        prefix += bytes([number])
    return (prefix + digest).hex()


KINDS = {
    "sha1": 0x11,
    "sha256": 0x12,
    "sha512": 0x13,
    "sha384": 0x20,
    "sha3_256": 0x16,
    "md5": 0xD5,
    "sha224": 0x1013,
}


def checked(path, checksum):
    """Read a scene's band whose item states a checksum."""
    scene = make_scene(B02=path)
    fields = {field: getattr(scene, field) for field in scene.__slots__}
    with Reader(workers=1, retries=1) as reader:
        return reader.read(
            Scene(**fields | {"checksums": {"B02": checksum}}), "B02", make_grid(shape=(64, 64))
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_does_not_fit_its_checksum_is_lost(tmp_path, kind):
    body = tiffs.tiff(PIXELS, {259: (3, [1])}, body=PIXELS.tobytes())
    path = saved(tmp_path, body)
    checksum = multihash(KINDS[kind], hashlib.new(kind, body).digest())

    np.testing.assert_array_equal(checked(path, checksum), PIXELS)
    np.testing.assert_array_equal(checked(path, checksum.upper()), PIXELS)

    path.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    assert (read(path, shape=(64, 64)) != PIXELS).sum() == 1  # nothing else would notice
    with pytest.raises(ReadError, match="its bytes do not fit the item's file:checksum"):
        checked(path, checksum)


@pytest.mark.parametrize(
    "checksum",
    [
        *("", "12", "1220", "zz", "d41d8cd98f00b204e9800998ecf8427e", "1e20" + "00" * 32),
        *("ff" * 40, "1221" + "00" * 32, "1200", "1201ab"),
    ],
)
def test_a_checksum_of_an_unknown_kind_is_not_checked(tmp_path, checksum):
    path = saved(tmp_path, tiffs.tiff(PIXELS))

    np.testing.assert_array_equal(checked(path, checksum), PIXELS)


def test_an_items_checksums_are_those_of_its_bands_files():
    assets = {
        band: {"href": f"./{band}.tif", "file:checksum": f"12{n}"}
        for n, band in enumerate(S2_BANDS)
    }
    assets["B03"].pop("file:checksum")
    assets["B04"]["file:checksum"] = 7
    item = {
        "id": "a",
        "collection": ITEM_COLLECTION.s2_collection,
        "bbox": [9.0, 45.0, 9.1, 45.1],
        "properties": {"datetime": "2024-06-01T10:00:00Z", "s2:processing_baseline": "05.10"},
        "assets": {ITEM_COLLECTION.assets[band]: asset for band, asset in assets.items()},
    }

    scene = Scene.from_item(item, ITEM_COLLECTION)

    assert scene.checksums == {
        band: f"12{n}" for n, band in enumerate(S2_BANDS) if band not in ("B03", "B04")
    }
