"""Modules of the page, without a browser: what the legend sums up, and the colours it shows."""

import json
import os
import shutil
import subprocess

import pytest

from lulcmap.viewer.files import page_files

NODE = shutil.which("node")

CROPS = [
    {"id": 1, "name": "crops", "colour": "#111111"},
    {"id": 2, "name": "trees", "colour": "#222222"},
    {"id": 4, "name": "crops", "colour": "#444444"},
]

pytestmark = pytest.mark.skipif(
    NODE is None and os.environ.get("LULCMAP_SERVICES") != "required",
    reason="not installed: node (tests/services.sh installs it with npm)",
)


@pytest.fixture
def run(tmp_path):
    """What a script of the page's modules returns."""
    for name, content in page_files().items():
        if name.endswith(".js") and "/" not in name:
            (tmp_path / name).write_bytes(content)
    (tmp_path / "package.json").write_text('{"type": "module"}')

    def result(script):
        leaflet = (
            "globalThis.L = {GridLayer: {extend: (one) => one}, TileLayer: {extend: () => 0}};"
        )
        (tmp_path / "main.js").write_text(f"{leaflet}\nconsole.log(JSON.stringify({script}));")
        done = subprocess.run(
            [str(NODE), "main.js"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return result


def test_values_of_one_name_are_summed(run):
    found = run(
        '[...(await import("./legend.js")).namedHectares('
        f'{json.dumps(CROPS)}, {{"1": 5, "2": 0, "4": 2.5, "7": 1}})]'
    )

    assert found == [["crops", 7.5], ["trees", 0], ["class 7", 1]]


def test_each_colour_of_a_name_is_shown(run):
    other = [{"id": 0, "name": "trees", "colour": "#00FF00"}]
    maps = json.dumps([{"legend": CROPS}, {"legend": other}])

    found = run(f'[...(await import("./legend.js")).namedColours({maps})]')

    assert found == [
        ["crops", [["#111111", "#444444"], []]],
        ["trees", [["#222222"], ["#00FF00"]]],
    ]


def test_values_of_no_class_stand_out_and_hidden_ones_do_not(run):
    table = run(
        f'[...(await import("./tiles.js")).colourTable({json.dumps(CROPS)}, new Set(["crops"]))]'
    )

    colours = [table[4 * value : 4 * value + 4] for value in (1, 2, 4, 7, 254, 255)]
    assert colours == [
        [0, 0, 0, 0],
        [0x22, 0x22, 0x22, 255],
        [0, 0, 0, 0],
        *[[255, 0, 255, 255]] * 2,
        [0, 0, 0, 0],
    ]


@pytest.mark.parametrize("lon", [-179.99, 180.01])
def test_an_exported_page_knows_pixels_beyond_180_degrees(run, lon):
    # One tile of zoom 1, the north-western quarter of the world, all of class 3.
    data = {
        "site": {
            "maps": [
                {
                    "max_zoom": 1,
                    "bounds": [179, 0, 181, 60],
                    "legend": [{"id": 1, "name": "trees", "colour": "#222222"}],
                    "planes": [],
                }
            ]
        },
        "tiles": {"0/class/1/0/0": "VALUES"},
    }
    text = json.dumps(data).replace(
        '"VALUES"',
        '(await import("node:zlib")).deflateSync(new Uint8Array(65536).fill(3)).toString("base64")',
    )

    (pixel,) = run(f'await new (await import("./static.js")).StaticSource({text}).pixel({lon}, 50)')

    assert pixel == {"value": 3, "class": "class 3"}
