"""What is kept of an item while it is read; its quick checks say what the slow ones do."""

import json
from hashlib import sha256

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from lulcmap.catalog import frozen_text, hrefs, keys
from lulcmap.catalog.footprint import item_footprint, plain_footprints
from lulcmap.catalog.frozen import items_digest
from lulcmap.catalog.hrefs import HrefRefusedError, resolve_href
from lulcmap.catalog.keys import frozen_asset, opened_href
from lulcmap.catalog.skip import SkippedItem
from lulcmap.system import without_keys_in
from tests.catalog.test_search import item, look, write
from tests.support.searches import freeze_items

LETTERS = st.text("ab./:@?#%&=+~_-[]\\ \t\n\x00\u3002é2T0", max_size=30)
HREFS = st.builds(
    "{}{}/{}".format,
    st.sampled_from(
        ["https://", "http://", "HTTPS://", "https:/", "s3://", "az://", "file://", ""]
    ),
    st.sampled_from(
        [
            "example.com",
            "10.0.0.7",
            "2130706433",
            "0x7f.1",
            "localhost",
            "a.local",
            "Example.com",
            "me@example.com",
            "example.com:99",
            "a..b",
            "127.0.0.1.",
            "x.blob.core.windows.net",
            "",
        ]
    ),
    LETTERS,
)


def outcome(call, *args, **options):
    try:
        return call(*args, **options)
    except (HrefRefusedError, SkippedItem) as refused:
        return type(refused), str(refused)


@given(HREFS | LETTERS, st.booleans(), st.sampled_from(["none", "planetary-computer"]))
def test_a_plain_href_is_judged_as_any_other(href, private, signing):
    def judged():
        return (
            outcome(resolve_href, href, root=None, private=private),
            outcome(resolve_href, href, root="/data", private=private),
            outcome(opened_href, {}, href, signing=signing),
            outcome(opened_href, {keys.MARK: True}, href, signing=signing),
            outcome(frozen_asset, {"type": "image/tiff"}, href),
        )

    quick = judged()
    with pytest.MonkeyPatch.context() as patch:
        for module in (hrefs, keys):
            patch.setattr(module, "plain_host", lambda _: None)
        assert quick == judged()


@given(st.lists(st.sampled_from(["https://a.org/b", "http://a.org/c.tif"]) | HREFS | LETTERS))
def test_hrefs_share_a_host_where_each_is_plain_and_has_it(some):
    hosts = set(map(hrefs.plain_host, some))

    assert hrefs.shared_host(tuple(some)) == (hosts.pop() if len(hosts) == 1 else None)


COORDINATES = st.sampled_from([0, 6, 7, 8.5, -179.5, 179.9, 180, 181, -200, 91, True, "7", None])
RINGS = st.lists(st.lists(COORDINATES, min_size=1, max_size=3), max_size=6)
SQUARE = [[6, 49], [7, 49], [7, 50], [6, 50], [6, 49]]


@given(
    st.builds(lambda ring: ring + ring[:1], RINGS) | RINGS,
    st.sampled_from([[], [SQUARE]]),
    st.sampled_from(["Polygon", "MultiPolygon", "LineString"]),
)
def test_a_polygon_of_one_ring_is_the_footprint_that_any_geometry_gives(ring, more, kind):
    one = {"geometry": {"type": kind, "coordinates": [ring, *more]}, "bbox": [1, 2, 3, 4]}
    good = {"geometry": {"type": "Polygon", "coordinates": [SQUARE]}}

    first, quick, last = plain_footprints([good, one, good])

    assert first == last == item_footprint(good)
    assert quick is None or shapely.equals_exact(quick, outcome(item_footprint, one))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**400])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_coordinate_that_is_none_leaves_the_bbox(number, position):
    ring = [list(point) for point in SQUARE]
    ring[position][0] = number
    ring[-1] = ring[0]
    one = {"geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": [1, 2, 3, 4]}

    assert plain_footprints([one]) == [None]
    assert item_footprint(one).equals(shapely.box(1, 2, 3, 4))


def test_a_ring_at_no_finite_place_is_no_footprint():
    far = [[float("inf"), y] for _, y in SQUARE]
    ring = {"geometry": {"type": "Polygon", "coordinates": [far]}}

    assert plain_footprints([ring]) == [None]


def test_footprints_of_a_page_are_those_of_each_item():
    squares = [[[x, y], [x + 1, y], [x + 1, y + 1], [x, y]] for x in range(5) for y in range(4)]
    page = [{"geometry": {"type": "Polygon", "coordinates": [square]}} for square in squares]
    page[3:3] = [{"geometry": None}, {}, {"geometry": {"type": "Polygon", "coordinates": [[]]}}]

    found = plain_footprints(page)

    assert found[3:6] == [None, None, None]
    assert found[:3] + found[6:] == [item_footprint(one) for one in page[:3] + page[6:]]
    assert plain_footprints([]) == []


def nested(levels, kind):
    value = 1
    for _ in range(levels):
        value = {"a": value} if kind == "object" else [value]
    return value


@pytest.mark.parametrize("kind", ["object", "list"])
def test_values_are_kept_up_to_64_levels(tmp_path, kind):
    names = {}
    for levels in (62, 63, 64):
        one = item(f"{levels}")
        one["properties"]["deep"] = nested(levels - 1, kind)  # in the properties, in the item
        one["assets"]["B02"]["proj:deep"] = nested(levels - 2, kind)
        one["assets"]["preview"] = {"deep": nested(70, kind)}  # not kept
        names[levels] = one
    found = look(write(tmp_path, *names.values()), s1=False)

    assert [scene.id for scene in found.scenes] == ["62", "63"]
    assert found.skipped == (("64", "its values are nested too deeply"),)
    assert frozen_text.MAX_LEVELS == 64


@pytest.mark.parametrize("kind", ["object", "list"])
def test_without_items_the_same_are_found_and_skipped(tmp_path, kind):
    many = [item("a"), item("b", href="./{}.tif?x=1"), item("r", sensor="s1"), {"id": "none"}]
    for levels in (61, 62):
        one = item(f"{levels}")
        one["assets"]["B12"]["proj:deep"] = [1, {"a": nested(levels - 2, kind)}]
        one["assets"]["B11"]["deep"] = nested(70, kind)  # not kept
        many.append(one)
    path = write(tmp_path, *many)

    kept, bare = look(path), look(path, keep_items=False)

    assert [scene.id for scene in bare.scenes] == ["r", "61", "a", "b"]
    assert ("62", "its values are nested too deeply") in bare.skipped
    assert (bare.scenes, bare.skipped, bare.notes) == (kept.scenes, kept.skipped, kept.notes)
    assert all(
        one.equals(other) for one, other in zip(bare.footprints, kept.footprints, strict=True)
    )
    with pytest.raises(ValueError, match="not kept"):
        items_digest(bare)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.sampled_from(["a", "see https://me:k@example.org/?sig=1", "https://example.org/a"]),
        lambda values: (
            st.lists(values, max_size=4)
            | st.dictionaries(st.sampled_from(["a", "token", "x:api_key", "b"]), values)
        ),
    )
)
def test_keys_are_left_out_at_every_level(value):
    def plainly(value):
        if isinstance(value, list):
            return [plainly(part) for part in value]
        if isinstance(value, dict):
            return {n: plainly(v) for n, v in value.items() if n not in ("token", "x:api_key")}
        return "see https://example.org/" if value and "me:k" in str(value) else value

    assert without_keys_in(value) == plainly(value)


@pytest.mark.parametrize("kind", ["object", "list"])
def test_an_asset_that_is_kept_has_64_levels_at_most(tmp_path, kind):
    one = item("a")
    one["assets"]["B02"]["proj:deep"] = nested(62, kind)  # in the asset, in the assets, in the item

    found = look(write(tmp_path, one), s1=False)

    assert found.skipped == (("a", "its values are nested too deeply"),)


NAMES = st.sampled_from(
    ["type", "roles", "proj:a", "id", "assets", "gsd", "x:api_key", "\u017fecret", "bbox", "é"]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["a", '"', "\\", "é", "https://me:k@example.org/?sig=1", "https://a.org/b"]),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(NAMES, values, max_size=4),
    max_leaves=8,
)
ASSETS = st.dictionaries(NAMES, VALUES, max_size=5)


@given(
    st.dictionaries(NAMES | st.sampled_from(["links", "stac_extensions"]), VALUES, max_size=5),
    st.dictionaries(st.sampled_from(["B02", "b", 'ö"', "token"]), ASSETS, max_size=3),
    st.sampled_from(["https://a.org/b.tif", "https://a.org/b.tif?sig=1", "b.tif", "s3://a/é"]),
)
def test_the_text_of_an_item_is_that_of_the_item_without_keys(one, assets, href):
    one = {**one, "assets": assets, "links": [{"href": "https://a.org/"}]}
    kept = {key: asset for key, asset in assets.items() if key != "b"}
    facts = ("type", "roles", "gsd", "proj:a")
    plain = {
        **without_keys_in({**one, "assets": {}, "links": []}),
        "assets": {
            key: frozen_asset({n: asset[n] for n in asset if n in facts}, href)
            for key, asset in kept.items()
        },
    }

    text = frozen_text.frozen_text(one, dict.fromkeys(kept, href))

    assert text == json.dumps(plain, sort_keys=True).encode()


def test_long_texts_are_frozen_and_not_remembered():
    """A server chooses how long they are."""
    long = "a" * 5000
    one = {"id": "a", "b": [long], long: 1, "assets": {"B02": {"type": long}}}
    before = [
        each.cache_info().currsize
        for each in (frozen_text._around_href, frozen_text._encode_texts, frozen_text._names)
    ]

    text = frozen_text.frozen_text(one, {"B02": "https://a.org/b.tif"})
    del one[long]
    frozen_text.frozen_text(one, {"B02": "https://a.org/b.tif"})

    assert text.count(long.encode()) == 3
    assert frozen_text._around_href.cache_info().currsize == before[0]
    assert frozen_text._encode_texts.cache_info().currsize == before[1]
    assert frozen_text._names.cache_info().currsize <= before[2] + 1


def test_a_member_that_is_not_kept_need_not_be_json():
    one = {"id": "a", "token": object(), "assets": {}}

    assert frozen_text.frozen_text(one, {}) == b'{"assets": {}, "id": "a", "links": []}'


def test_the_digest_is_that_of_the_items_as_one_text(tmp_path):
    found = look(write(tmp_path, item("b"), item("a", day="2024-06-01"), item("r", sensor="s1")))
    frozen = freeze_items(found)["features"]

    assert [one["id"] for one in frozen] == ["r", "b", "a"]
    text = json.dumps(frozen, sort_keys=True)
    assert items_digest(found) == sha256(text.encode()).hexdigest()
    assert items_digest(look(write(tmp_path))) == sha256(b"[]").hexdigest()


def test_frozen_items_stand_one_a_line_behind_what_tells_how_to_read_them(tmp_path):
    from lulcmap.catalog.frozen import freeze_items

    text = b"".join(freeze_items(look(write(tmp_path, item("a"), item("b")))))

    lines = text.splitlines()
    assert [json.loads(line.rstrip(b","))["id"] for line in lines[-4:-2]] == ["a", "b"]
    assert lines[-5].endswith(b'"features": [')
    assert lines[-2:] == [b"]", b"}"]
