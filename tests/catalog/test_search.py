"""Scenes from files, whose hrefs are not trusted, and from an API on the loopback."""

import json
import threading
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pyarrow.parquet
import pytest
import shapely

from lulcmap.catalog import hrefs, judged
from lulcmap.catalog import search as module
from lulcmap.catalog.frozen import items_digest
from lulcmap.catalog.providers import CDSE, EARTH_SEARCH, PLANETARY_COMPUTER
from lulcmap.catalog.scene import Scene
from lulcmap.catalog.search import find_scenes
from lulcmap.catalog.skip import SkippedItem
from lulcmap.catalog.sources import Layout
from lulcmap.catalog.stac.query import QueryResult
from lulcmap.errors import ProviderError, UsageError
from lulcmap.sensors import S2_BANDS
from tests.support.searches import answer, freeze_items

AREA = shapely.MultiPolygon([shapely.box(6.2, 49.2, 6.4, 49.4)])
YEAR = (date(2024, 1, 1), date(2024, 12, 31))
KEYS = {"s2": S2_BANDS, "s1": ("vv", "vh")}
COLLECTIONS = {"s2": "sentinel-2-l2a", "s1": "sentinel-1-rtc"}


def item(name, *, sensor="s2", day="2024-05-01", box=(6.0, 49.0, 7.0, 50.0), href="./{}.tif"):
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": COLLECTIONS[sensor],
        "bbox": list(box),
        "geometry": json.loads(shapely.to_geojson(shapely.box(*box))),
        "properties": {"datetime": f"{day}T10:30:00Z", "s2:processing_baseline": "05.10"},
        "links": [{"rel": "self", "href": "https://example.com"}],
        "assets": {key: {"href": href.format(key)} for key in KEYS[sensor]},
    }


def write(folder: Path, *items, **facts) -> str:
    path = folder / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(items), **facts}))
    return str(path)


def look(catalog, *, area=AREA, s1=True, s2_period=YEAR, s1_period=YEAR, **options):
    return find_scenes(
        area, s2_period=s2_period, s1_period=s1_period, catalog=catalog, s1=s1, **options
    )


def ids(found):
    return [scene.id for scene in found.scenes]


def test_a_file_gives_the_scenes_of_the_area_sorted(tmp_path):
    path = write(
        tmp_path,
        item("later", day="2024-06-01"),
        item("b"),
        item("a"),
        item("radar", sensor="s1"),
        item("elsewhere", box=(8, 49, 9, 50)),
        item("a"),
    )
    found = look(path)

    assert ids(found) == ["radar", "a", "b", "later"]
    assert [entry.scene.id for entry in found.items] == ids(found)
    assert found.skipped == ()
    assert (found.provider, found.root, found.private) == ("file", str(tmp_path.resolve()), True)
    assert found.scenes[1].assets["B02"] == str(tmp_path.resolve() / "B02.tif")


def test_each_sensor_has_its_own_period(tmp_path):
    scenes = [
        item(f"{sensor}-{month}", sensor=sensor, day=f"2024-{month}-30")
        for sensor in ("s2", "s1")
        for month in ("04", "06")
    ]
    found = look(
        write(tmp_path, *scenes),
        s2_period=(date(2024, 4, 1), date(2024, 4, 30)),
        s1_period=(date(2024, 6, 30), date(2024, 6, 30)),
    )

    assert ids(found) == ["s1-06", "s2-04"]


def test_sentinel_1_may_be_left_out(tmp_path):
    assert ids(look(write(tmp_path, item("a"), item("radar", sensor="s1")), s1=False)) == ["a"]


def test_the_footprint_decides_and_not_its_box(tmp_path):
    slanted = item("a")
    triangle = shapely.Polygon([(6, 50), (7, 50), (7, 49)])
    slanted["geometry"] = json.loads(shapely.to_geojson(triangle))
    broken = {**item("b"), "geometry": {"type": "Polygon", "coordinates": "none"}}

    assert ids(look(write(tmp_path, slanted, broken))) == ["b"]


@pytest.mark.parametrize("box", [(179.0, -18.0, -179.0, -17.0), (-179.0, -18.0, 179.0, -17.0)])
def test_a_scene_across_180_degrees_is_found_on_either_side_and_not_between(tmp_path, box):
    scene = {**item("a"), "bbox": list(box), "geometry": None}
    path = write(tmp_path, scene)

    for west, expected in ((179.2, ["a"]), (-179.8, ["a"]), (10.0, [])):
        area = shapely.MultiPolygon([shapely.box(west, -17.6, west + 0.2, -17.4)])
        assert ids(look(path, area=area)) == expected


@pytest.mark.parametrize(
    "href",
    [
        "../outside/{}.tif",
        "/etc/{}.tif",
        "file:///etc/{}.tif",
        "/vsicurl/https://example.com/{}.tif",
        "ftp://example.com/{}.tif",
        "gs://bucket/{}.tif",
        "s3:///{}.tif",
        "s3://bucket",
        "s3://bad bucket/{}.tif",
        "az://user:secret@bucket/{}.tif",
        "http://example.com/{}.tif\n/vsicurl/",
        "https://user:secret@example.com/{}.tif",
        "https:///{}.tif",
        "link/{}.tif",
    ],
)
def test_an_href_outside_the_folder_is_skipped_with_its_reason(tmp_path, href):
    folder, outside = tmp_path / "archive", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "link").symlink_to(outside)
    found = look(write(folder, item("bad", href=href), item("good")))

    assert ids(found) == ["good"]
    ((name, why),) = found.skipped
    assert name == "bad"
    assert "the href of its B02" in why
    assert "secret" not in why


def test_http_and_absolute_hrefs_inside_the_folder_are_used(tmp_path):
    path = write(
        tmp_path,
        item("a", href="https://example.com/{}.tif?version=2"),
        item("b", href=f"{tmp_path.resolve()}/deep/{{}}.tif"),
    )
    assets = [scene.assets["B02"] for scene in look(path).scenes]

    assert assets == [
        "https://example.com/B02.tif?version=2",
        str(tmp_path.resolve() / "deep" / "B02.tif"),
    ]


def test_what_is_not_an_item_is_skipped_and_the_rest_is_used(tmp_path):
    lost = item("lost")
    del lost["assets"]["B02"]
    other = {**item("other"), "collection": "landsat"}
    odd = {**item("odd"), "properties": None}
    found = look(write(tmp_path, lost, other, odd, "text", item("good")))

    assert ids(found) == ["good"]
    assert dict(found.skipped) == {
        "lost": "it lacks B02",
        "other": "its collection is 'landsat'",
        "odd": "its date is None",
        "an item": "it is not a STAC item",
    }


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"id": "a\x1b[2K\nError: b"}, r"a\x1b[2K\nError: b"),
        ({"id": "\ud800"}, r"\ud800"),
        ({"id": ""}, "an item"),
        ({"id": ["a"]}, "an item"),
        ({"collection": ["sentinel-2-l2a"]}, "a"),
        ({"collection": "x\x07" * 1000}, "a"),
        ({"properties": []}, "a"),
        ({"assets": []}, "a"),
        ({"properties": {"datetime": "0001-01-01T00:00:00+14:00"}}, "a"),
    ],
)
def test_what_is_skipped_is_named_in_printable_text(tmp_path, change, shown):
    found = look(write(tmp_path, {**item("a"), **change}, item("good")))

    assert ids(found) == ["good"]
    ((name, why),) = found.skipped
    assert name == shown
    assert why.isprintable()
    assert look(json.loads(json.dumps(freeze_items(found)))).skipped == found.skipped


def test_of_two_items_with_one_id_the_second_is_named(tmp_path):
    other = item("a", day="2024-07-01")

    found = look(write(tmp_path, item("a"), item("a"), other))

    assert ids(found) == ["a"]
    assert found.scenes[0].acquired.month == 5
    assert found.skipped == (("a", "another item has the same id"),)


def nested(depth: int) -> list:
    values: list = []
    for _ in range(depth):
        values = [values]
    return values


def test_an_item_nested_too_deeply_is_skipped_and_a_file_of_them_refused(tmp_path):
    deep = item("deep")
    deep["properties"]["note"] = nested(70)
    found = look({"type": "FeatureCollection", "features": [deep], "lulcmap:root": str(tmp_path)})

    assert found.skipped == (("deep", "its values are nested too deeply"),)
    path = tmp_path / "items.json"
    path.write_text('{"type": "FeatureCollection", "features": ' + "[" * 9999 + "]" * 9999 + "}")
    with pytest.raises(UsageError, match="nested too deeply"):
        look(str(path))


def test_a_collection_of_which_nothing_can_be_used_is_named(tmp_path):
    radar = [item(f"radar{n}", sensor="s1") for n in range(3)]
    for one in radar:
        one["properties"]["sar:polarizations"] = ["HH", "HV"]
    path = write(tmp_path, item("a"), *radar)

    found = look(path)

    assert found.notes == (
        "None of the 3 items of 'sentinel-1-rtc' can be used: polarizations HH and HV, not VV and "
        "VH (3).",
    )
    assert look(json.loads(json.dumps(freeze_items(found)))).notes == found.notes
    assert look(path, s1=False).notes == ()


def offset_items() -> list[dict]:
    removed, before, refused = item("removed"), item("before"), item("refused")
    for one, offset in ((removed, -0.1), (before, -0.1), (refused, 0)):
        for asset in one["assets"].values():
            asset["raster:bands"] = [{"scale": 0.0001, "offset": offset}]
    removed["properties"]["earthsearch:boa_offset_applied"] = True
    before["properties"]["s2:processing_baseline"] = "02.14"
    return [removed, before, refused, item("good")]


def test_offsets_that_are_contradicted_are_named_in_the_notes(tmp_path):
    found = look(write(tmp_path, *offset_items()))

    assert {scene.id: scene.offset for scene in found.scenes} == {
        "before": 0,
        "good": 1000,
        "removed": 0,
    }
    assert [name for name, _ in found.skipped] == ["refused"]
    refused, removed, before = found.notes
    assert "offset is undecided were skipped: 1" in refused
    assert "1 state an offset beside a processing baseline without one" in before
    assert "1 state an offset and that it was removed" in removed
    assert look(json.loads(json.dumps(freeze_items(found)))).notes == found.notes


def test_items_of_several_layouts_are_read_together(tmp_path):
    entries = [item("radar", sensor="s1")]
    for number, profile in enumerate((PLANETARY_COMPUTER, EARTH_SEARCH, CDSE)):
        entry = item(f"optical{number}", href="https://example.com/{}.tif")
        entry["assets"] = {profile.assets[band]: entry["assets"][band] for band in S2_BANDS}
        entries.append(entry)
    c1 = {**entries[2], "id": "optical3", "collection": EARTH_SEARCH.s2_collection}

    found = look(write(tmp_path, *entries, c1))

    assert ids(found) == ["radar", "optical0", "optical1", "optical2", "optical3"]
    assert found.skipped == ()
    assert {scene.assets["B08"] for scene in found.scenes[1:]} == {"https://example.com/B08.tif"}
    assert found.provider == "file"
    again = look(json.loads(json.dumps(freeze_items(found))))
    assert [scene.assets for scene in again.scenes[1:]] == [s.assets for s in found.scenes[1:]]
    assert items_digest(again) == items_digest(found)


def test_a_file_url_is_the_path_it_names(tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    inside = folder.resolve().as_uri() + "/deep/{}.tif"
    found = look(write(folder, item("in", href=inside), item("out", href="file:///etc/{}.tif")))

    assert found.scenes[0].assets["B02"] == str(folder.resolve() / "deep" / "B02.tif")
    assert found.skipped[0][0] == "out"
    frozen = freeze_items(found)["features"]
    assert frozen[0]["assets"]["B02"]["href"] == "deep/B02.tif"
    host = look(write(folder, item("a", href="file://host/{}.tif")))
    assert [name for name, _ in host.skipped] == ["a"]


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("lulcmap:root", "a\0b"),
        ("lulcmap:root", 5),
        ("lulcmap:sources", {"s2": {"provider": "a\x1b[2K", "profile": "file"}}),
        ("lulcmap:sources", {"s2": {"provider": "http://[bad", "profile": "file"}}),
        ("lulcmap:sources", {"s2": {"provider": ["a"], "profile": "file"}}),
        ("lulcmap:sources", {"s2": {"provider": "a", "profile": ["file"]}}),
    ],
)
def test_a_frozen_file_whose_own_members_cannot_be_is_refused(tmp_path, member, value):
    with pytest.raises(UsageError) as caught:
        look(write(tmp_path, item("a"), **{member: value}))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("value", [5, "text", [["a"]], [5], {"a": 1}, [["a\x1b", "b\x1b"]]])
def test_odd_skipped_items_and_notes_of_a_frozen_file_are_left_out_or_cleaned(tmp_path, value):
    found = look(write(tmp_path, item("a"), **{"lulcmap:skipped": value, "lulcmap:notes": value}))

    assert ids(found) == ["a"]
    assert all(text.isprintable() for pair in found.skipped for text in pair)
    assert all(note.isprintable() for note in found.notes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"type": "FeatureCollection", "features": [', "damaged or cut short"),
        ('{"type": "Collection"}', "not a STAC ItemCollection"),
        ("[]", "not a STAC ItemCollection"),
        ('{"type": "FeatureCollection", "features": {}}', "not a STAC ItemCollection"),
    ],
)
def test_what_is_not_an_item_collection_is_refused(tmp_path, text, said):
    (tmp_path / "items.json").write_text(text)

    with pytest.raises(UsageError, match=said):
        look(str(tmp_path / "items.json"))


def test_a_catalogue_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match="No catalogue earth"):
        look("earth")


def test_credentials_in_an_api_s_url_are_refused_and_not_repeated():
    with pytest.raises(UsageError) as caught:
        look("https://user:secret@example.com/stac")
    assert "secret" not in str(caught.value)


def test_no_scene_is_an_empty_answer(tmp_path):
    found = look(write(tmp_path))

    assert found.scenes == found.items == ()
    assert not found.simulated


def test_a_catalogue_may_be_the_values_of_an_item_collection(tmp_path):
    features = [item("a"), item("radar", sensor="s1")]
    collection = {"type": "FeatureCollection", "features": features}

    found = look({**collection, "lulcmap:root": str(tmp_path)})

    assert found == look(write(tmp_path, *features))
    assert ids(found) == ["radar", "a"]
    assert found.provider == "file"
    assert found.scenes[1].assets["B02"] == str(tmp_path.resolve() / "B02.tif")


@pytest.mark.parametrize(
    "href", ["B02.tif", "/etc/B02.tif", "file:///etc/B02.tif", "http://169.254.169.254/B02.tif"]
)
def test_values_that_name_no_root_open_no_local_file_and_no_private_host(href):
    """A server may have made them."""
    local = item("a")
    for asset in local["assets"].values():
        asset["href"] = href

    found = look({"type": "FeatureCollection", "features": [local]})

    assert found.scenes == ()
    assert "the href of its" in found.skipped[0][1]
    assert not found.private


def test_frozen_items_in_memory_find_the_same_wherever_they_are_used(tmp_path, monkeypatch):
    (tmp_path / "archive").mkdir()
    found = look(write(tmp_path / "archive", item("a"), item("bad", href="../{}.tif")))
    frozen = freeze_items(found)
    monkeypatch.chdir(tmp_path)

    again = look(json.loads(json.dumps(frozen)))

    assert again.scenes == found.scenes
    assert again.skipped == found.skipped
    assert again.root == found.root
    assert freeze_items(again) == frozen
    assert items_digest(again) == items_digest(found)


@pytest.mark.parametrize(
    "values", [{}, {"type": "Feature"}, {"type": "FeatureCollection", "features": None}]
)
def test_values_that_are_not_an_item_collection_are_refused(values):
    with pytest.raises(UsageError, match=r"The catalogue is not a STAC ItemCollection"):
        look(values)


def test_sentinel_1_of_another_catalogue_does_not_go_with_values():
    with pytest.raises(UsageError, match="both sensors"):
        look({"type": "FeatureCollection", "features": []}, s1_catalog="planetary-computer")


def test_frozen_items_find_the_same_from_another_folder(tmp_path):
    archive, run = tmp_path / "archive", tmp_path / "run"
    archive.mkdir()
    run.mkdir()
    bad = item("bad", href="../{}.tif")
    found = look(write(archive, item("a"), item("b", href=f"{archive.resolve()}/x/{{}}.tif"), bad))
    (run / "items.json").write_text(json.dumps(freeze_items(found)))

    again = look(str(run / "items.json"))

    assert again.scenes == found.scenes
    assert again.skipped == found.skipped
    assert again.root == found.root
    assert freeze_items(again) == freeze_items(found)
    assert items_digest(again) == items_digest(found)
    hrefs = [entry["assets"]["B02"]["href"] for entry in freeze_items(found)["features"]]
    assert hrefs == ["B02.tif", "x/B02.tif"]


def test_the_digest_does_not_depend_on_the_folder_but_on_the_items(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = (look(write(tmp_path / name, item("a"))) for name in ("one", "two"))
    more = look(write(tmp_path / "two", item("a"), item("b")))

    assert items_digest(one) == items_digest(two) != items_digest(more)


def test_a_frozen_file_cannot_reach_outside_its_root(tmp_path):
    path = write(tmp_path, item("a", href="../{}.tif"), **{"lulcmap:root": str(tmp_path / "deep")})

    assert ids(look(path)) == []


def test_frozen_hrefs_carry_no_signature_and_are_signed_again(tmp_path):
    blob = "https://account.blob.core.windows.net/container/{}.tif"
    found = look(write(tmp_path, item("a", href=f"{blob}?st=1&sig=secret")))
    frozen = freeze_items(found)

    assert found.provider == "planetary-computer"
    assert found.scenes[0].assets["B02"] == blob.format("B02")
    assert "secret" not in json.dumps(frozen)
    assert frozen["features"][0]["assets"]["B02"]["href"] == blob.format("B02")


def test_items_say_that_they_are_simulated(tmp_path):
    simulated, real = item("a"), item("b")
    simulated["properties"]["lulcmap:simulated"] = True

    assert look(write(tmp_path, simulated)).simulated
    assert not look(write(tmp_path, simulated, real)).simulated


def test_every_place_of_the_real_archive_is_found(shared_data):
    path = shared_data / "archive" / "items.json"
    for entry in json.loads(path.read_text())["features"]:
        day = date.fromisoformat(entry["properties"]["datetime"][:10])
        area = shapely.MultiPolygon([shapely.box(*entry["bbox"])])
        found = look(str(path), area=area, s2_period=(day, day), s1_period=(day, day))

        assert entry["id"] in ids(found)
        assert found.skipped == ()
        for scene in found.scenes:
            assert all(Path(place).is_file() for place in scene.assets.values())


def test_recorded_items_of_the_planetary_computer_are_signed(shared_data):
    path = shared_data / "stac" / "planetary-computer-sentinel-2-two-items-2024.json"
    area = shapely.MultiPolygon([shapely.box(-105.2, 40.2, -104.9, 40.5)])
    found = look(str(path), area=area)

    assert len(found.scenes) == 2
    assert found.provider == "planetary-computer"
    assert not found.private


class Api(BaseHTTPRequestHandler):
    """A STAC API of two pages a search."""

    def do_GET(self):
        root = f"http://127.0.0.1:{self.server.server_port}"
        self._answer(
            {
                "type": "Catalog",
                "stac_version": "1.0.0",
                "id": "api",
                "description": "of a test",
                "conformsTo": [
                    "https://api.stacspec.org/v1.0.0/core",
                    "https://api.stacspec.org/v1.0.0/item-search",
                ],
                "links": [
                    {"rel": "self", "href": root},
                    {"rel": "root", "href": root},
                    {
                        "rel": "search",
                        "href": f"{root}/search",
                        "type": "application/geo+json",
                        "method": "POST",
                    },
                ],
            }
        )

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked)
        if self.server.broken:
            self.send_error(400, "no such thing")
            return
        start, end = asked["datetime"].split("/")
        matching = [
            entry
            for entry in self.server.items
            if entry["collection"] in asked["collections"]
            and start <= entry["properties"]["datetime"] <= end
        ]
        first = asked.get("token", 0)
        page = {"type": "FeatureCollection", "features": matching[first : first + 1], "links": []}
        if len(matching) > first + 1:
            page["links"].append(
                {
                    "rel": "next",
                    "href": f"http://127.0.0.1:{self.server.server_port}/search",
                    "method": "POST",
                    "body": {**asked, "token": first + 1},
                }
            )
        self._answer(page)

    def _answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def api(socket_enabled):
    """A server, its ``items`` and what it was ``asked``."""
    server = HTTPServer(("127.0.0.1", 0), Api)
    server.items, server.asked, server.broken = [], [], False
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_api_is_asked_month_by_month_and_every_page_is_read(api):
    remote = "https://example.com/{}.tif"
    api.items = [
        *(item(name, href=remote) for name in ("c", "a", "b")),
        item("radar", sensor="s1", href=remote, day="2024-04-30"),
        item("file", href="/etc/{}.tif"),
        item("elsewhere", box=(8, 49, 9, 50), href=remote),
    ]
    spring = (date(2024, 4, 15), date(2024, 5, 20))
    found = look(api.url, s2_period=spring, s1_period=spring)

    assert ids(found) == ["radar", "a", "b", "c"]
    assert found.skipped == (("file", "the href of its B02 is not on http(s), s3 or az"),)
    assert (found.provider, found.root, found.private) == (api.url, None, True)
    assert {asked["datetime"] for asked in api.asked} == {
        "2024-04-15T00:00:00Z/2024-04-30T23:59:59.999999Z",
        "2024-05-01T00:00:00Z/2024-05-20T23:59:59.999999Z",
    }


def test_far_parts_of_an_area_are_asked_for_apart_and_near_ones_together(api):
    parts = [(6.0, 49.0, 6.2, 49.2), (7.0, 49.0, 7.2, 49.2), (55.2, -21.4, 55.8, -20.9)]
    area = shapely.MultiPolygon([shapely.box(*part) for part in parts])
    look(api.url, area=area, s2_period=(date(2024, 5, 1), date(2024, 5, 2)), s1=False)

    assert sorted({tuple(asked["bbox"]) for asked in api.asked}) == [
        (6.0, 49.0, 7.2, 49.2),
        (55.2, -21.4, 55.8, -20.9),
    ]


def test_an_api_s_frozen_items_need_no_api(api, tmp_path):
    api.items = [item("a", href="https://example.com/{}.tif")]
    found = look(api.url, s1=False)
    (tmp_path / "items.json").write_text(json.dumps(freeze_items(found)))
    asked = len(api.asked)

    again = look(str(tmp_path / "items.json"))

    assert again.scenes == found.scenes
    assert again.provider == api.url
    assert items_digest(again) == items_digest(found)
    assert len(api.asked) == asked


def test_an_api_that_fails_is_one_line(api):
    api.broken = True

    with pytest.raises(ProviderError, match=r"catalogue http://127.* failed.*HTTP 400") as caught:
        look(api.url)
    assert "\n" not in str(caught.value)


def test_cloudy_and_empty_scenes_are_skipped_with_their_share(tmp_path):
    cloudy, clear, empty = item("cloudy"), item("clear"), item("empty")
    cloudy["properties"]["eo:cloud_cover"] = 80.4
    clear["properties"]["eo:cloud_cover"] = 79.9
    empty["properties"]["s2:nodata_pixel_percentage"] = 99.95
    found = look(write(tmp_path, cloudy, clear, empty, item("unknown")), max_cloud=80)

    assert ids(found) == ["clear", "unknown"]
    assert dict(found.skipped) == {
        "cloudy": "its cloud cover is 80 %, more than 80 %",
        "empty": "99.95 % of it is no data",
    }


def test_hrefs_of_an_api_in_the_internet_do_not_lead_into_a_private_network(monkeypatch):
    bad = ["http://10.0.0.7/{}.tif", "http://[::1]/{}.tif", "http://localhost/{}.tif"]
    bad += [
        "http://169.254.169.254/{}.tif",
        "https://nas.local/{}.tif",
        "https://intranet/{}.tif",
    ]
    items = [item(f"bad{n}", href=href) for n, href in enumerate(bad)]
    hrefs.resolves_to_private.cache_clear()

    def unknown(*_, **__):
        raise OSError

    monkeypatch.setattr(hrefs.socket, "getaddrinfo", unknown)
    good = item("good", href="https://example.com/{}.tif")
    monkeypatch.setattr(module, "query_items", answer(*items, good))

    public, private = look("https://example.com/stac", s1=False), look("http://10.1.2.3", s1=False)

    assert ids(public) == ["good"]
    assert {why for _, why in public.skipped} == {
        "the href of its B02 leads into a private network"
    }
    assert len(private.scenes) == 7
    assert private.private


def test_an_api_s_notes_and_queries_reach_the_search(monkeypatch):
    asked = []

    def query_items(url, collection, area, period, *, keep, progress):
        asked.append((url, collection, period))
        return QueryResult((), (f"{collection} may be incomplete.",))

    monkeypatch.setattr(module, "query_items", query_items)
    spring = (date(2024, 4, 15), date(2024, 5, 20))

    found = look("earth-search", s1_catalog="https://example.com/stac", s1_period=spring)

    assert asked == [
        (EARTH_SEARCH.url, "sentinel-2-c1-l2a", YEAR),
        ("https://example.com/stac", "sentinel-1-rtc", spring),
    ]
    assert found.notes == (
        "sentinel-2-c1-l2a may be incomplete.",
        "sentinel-1-rtc may be incomplete.",
    )
    assert found.provider == "earth-search, Sentinel-1 from https://example.com/stac"


def test_a_key_in_an_api_s_url_is_sent_and_never_written_down(monkeypatch):
    asked = []
    monkeypatch.setattr(
        module, "query_items", lambda url, *_, **__: asked.append(url) or QueryResult((), ())
    )

    found = look("https://example.com/stac?key=secret", s1=False)

    assert asked == ["https://example.com/stac?key=secret"]
    assert found.provider == "https://example.com/stac"
    assert "secret" not in json.dumps(freeze_items(found))


def test_a_provider_without_calibrated_sentinel_1_gives_none_and_says_so(monkeypatch):
    monkeypatch.setattr(module, "query_items", lambda *_, **__: QueryResult((), ()))

    found = look("cdse")

    assert set(found.sources) == {"s2"}
    assert "Sentinel-2 alone; --s1-catalog" in found.notes[0]
    assert look("cdse", s1=False).notes == ()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"catalog": "earth-search", "s1_catalog": "cdse"}, "planetary-computer has it"),
        ({"catalog": "earth-search", "profile": "cdse"}, "has its own"),
        ({"catalog": "https://example.com", "profile": "mine"}, "give one of planetary-computer"),
        ({"catalog": "https://example.com", "s1_catalog": "nowhere"}, "No catalogue 'nowhere'"),
        ({"catalog": "http://[bad/stac"}, "No catalogue"),
    ],
)
def test_sources_that_cannot_be_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        look(**options)


def test_frozen_items_keep_the_notes_of_their_search(monkeypatch, tmp_path):
    monkeypatch.setattr(
        module, "query_items", lambda *_, **__: QueryResult((), ("Items may be missing.",))
    )
    found = look("earth-search")
    (tmp_path / "items.json").write_text(json.dumps(freeze_items(found)))

    again = look(str(tmp_path / "items.json"))

    assert len(found.notes) == 2
    assert again.notes == found.notes


def test_frozen_assets_hold_no_other_href(monkeypatch, tmp_path):
    entry = item("a", href="https://example.com/{}.tif")
    entry["assets"]["B02"]["alternate"] = {"s3": {"href": "https://x/B02.tif?sig=SECRET"}}
    found = look(write(tmp_path, entry))

    assert "SECRET" not in json.dumps(freeze_items(found))


OTHER = {"provider": "a", "profile": "cdse"}


@pytest.mark.parametrize("said", [{"s2": "x"}, {"s1": OTHER}, {"s2": OTHER, "x": OTHER}, "x"])
def test_a_file_whose_sources_are_not_understood_is_refused(tmp_path, said):
    with pytest.raises(UsageError, match="does not understand"):
        look(write(tmp_path, item("a"), **{"lulcmap:sources": said}))


def test_sentinel_1_of_another_catalogue_does_not_go_with_a_file(tmp_path):
    with pytest.raises(UsageError, match="both sensors"):
        look(write(tmp_path, item("a")), s1_catalog="planetary-computer")


def test_a_public_name_of_a_private_network_may_have_assets_there(monkeypatch):
    hrefs.resolves_to_private.cache_clear()
    address = [(2, 1, 6, "", ("10.1.2.3", 0))]
    monkeypatch.setattr(hrefs.socket, "getaddrinfo", lambda *_, **__: address)
    there = item("a", href="http://10.1.2.3/{}.tif")
    monkeypatch.setattr(module, "query_items", answer(there))

    found = look("https://stac.company.example/api", s1=False)

    assert ids(found) == ["a"]
    assert found.private
    hrefs.resolves_to_private.cache_clear()


def test_two_providers_are_frozen_with_their_names(monkeypatch, tmp_path):
    s2 = item("optical", href="https://example.com/{}.tif")
    s2["collection"] = EARTH_SEARCH.s2_collection
    s2["assets"] = {EARTH_SEARCH.assets[band]: s2["assets"][band] for band in S2_BANDS}
    s1 = item("radar", sensor="s1", href="https://account.blob.core.windows.net/c/{}.tif")
    answers = {
        EARTH_SEARCH.url: answer(s2),
        PLANETARY_COMPUTER.url: answer(s1),
    }
    monkeypatch.setattr(module, "query_items", lambda url, *_, **how: answers[url](**how))
    found = look("earth-search", s1_catalog="planetary-computer")
    (tmp_path / "items.json").write_text(json.dumps(freeze_items(found)))
    monkeypatch.setattr(module, "query_items", None)

    again = look(str(tmp_path / "items.json"))

    assert ids(again) == ["radar", "optical"]
    assert again.scenes == found.scenes
    assert again.sources == found.sources
    assert items_digest(again) == items_digest(found)


@pytest.mark.parametrize("profile", [PLANETARY_COMPUTER, EARTH_SEARCH, CDSE])
def test_a_file_laid_out_like_a_provider_is_known_by_its_keys(tmp_path, profile):
    entry = item("a", href="https://example.com/{}.tif")
    entry["collection"] = profile.s2_collection
    bands = (*S2_BANDS, "SCL")
    entry["assets"] = {
        profile.assets[band]: {"href": f"https://example.com/{band}.tif"} for band in bands
    }

    found = look(write(tmp_path, entry))

    assert [scene.assets for scene in found.scenes] == [
        {band: f"https://example.com/{band}.tif" for band in bands}
    ]
    assert found.provider == "file"


@pytest.mark.parametrize("first", [0, 1, 30])
@pytest.mark.parametrize("kind", ["signed", "cdse", "radar", "plain"])
def test_a_file_is_known_by_all_its_items_wherever_they_stand(tmp_path, first, kind):
    profile = EARTH_SEARCH if kind == "radar" else CDSE
    of_profile = item("other", href="https://example.com/{}.tif")
    of_profile["assets"] = {
        profile.assets[band]: {"href": f"https://example.com/{band}.tif"}
        for band in (*S2_BANDS, "SCL")
    }
    others = {
        "signed": [item("other", href="AZ://sentinel2-l2/{}.tif"), of_profile],
        "cdse": [of_profile],
        "radar": [of_profile, item("radar", sensor="s1", href="https://example.com/{}.tif")],
        "plain": [{"type": "Feature", "collection": "a", "assets": [1]}, 7],
    }[kind]
    many = [item(f"a{k}", href="https://example.com/{}.tif") for k in range(30)]
    reads = []

    class Counted(Layout):
        def noted(self, items):
            reads.append(1)
            return super().noted(items)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Layout", Counted)
        patch.setattr(judged, "Layout", Counted)
        found = look(write(tmp_path, *many[:first], *others, *many[first:]))

    source = {"signed": PLANETARY_COMPUTER, "cdse": CDSE, "radar": EARTH_SEARCH}.get(kind)
    assert found.sources["s2"].profile.name == (source.name if source else "file")
    assert ("s1" in found.sources) == (kind != "cdse")
    assert {"a0", "a29"} <= set(ids(found))
    assert ("radar" in ids(found)) == (kind == "radar")
    assert [name for name, _ in found.skipped].count("an item") == 2 * (kind == "plain")
    assert len(reads) == (3 if first == 30 and kind != "plain" else 2)


def test_recorded_items_parse_in_full(shared_data):
    folder = shared_data / "stac"
    entries = [
        json.loads(path.read_text()) | {"collection": "sentinel-1-rtc"}
        for path in sorted(folder.glob("s1rtc-items/*.json"))
    ]
    for path in sorted(folder.glob("*items*.*json")):
        known = json.loads(path.read_text())
        entries += known if isinstance(known, list) else known["features"]
    skipped = set()
    for entry in entries:
        try:
            scene = Scene.from_item(entry, PLANETARY_COMPUTER)
        except SkippedItem as reason:
            skipped.add(str(reason))
            continue
        assert scene.platform in {"S1A", "S1B", "S2A", "S2B"}
        assert scene.epsg
        assert scene.orbit_state in {"ascending", "descending"}
    assert len(entries) == 31
    # the four of 2019 with both are a draft: assets vv-rtc and vh-rtc, bbox in metres
    assert skipped == {"its polarizations are HH and HV, not VV and VH", "it lacks VV, VH"}


def test_a_thousand_items_of_a_table_parse_in_full(shared_data):
    table = pyarrow.parquet.read_table(shared_data / "stac" / "sentinel-2-1000-items.parquet")
    rows = table.to_pylist()
    for row in rows:
        names = [name for name in row if ":" in name or name == "platform"]
        box = row["bbox"]
        scene = Scene.from_item(
            {
                "id": row["id"],
                "collection": row["collection"],
                "bbox": [box["xmin"], box["ymin"], box["xmax"], box["ymax"]],
                "properties": {
                    **{name: row[name] for name in names},
                    "datetime": row["datetime"].isoformat(),
                },
                "assets": row["assets"],
            },
            PLANETARY_COMPUTER,
        )
        assert scene.offset == 1000
        assert scene.platform in {"S2A", "S2B"}
        assert scene.cloud_cover is not None
    assert len(rows) == 1000
