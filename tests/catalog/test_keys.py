"""Keys in hrefs: they open the assets, are never kept, and are asked for again."""

import json
from datetime import date

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from lulcmap.catalog import hrefs
from lulcmap.catalog import search as module
from lulcmap.catalog.frozen import items_digest
from lulcmap.catalog.providers import EARTH_SEARCH
from lulcmap.catalog.search import find_scenes
from lulcmap.catalog.sources import sources_of
from lulcmap.errors import ProviderError
from lulcmap.sensors import S2_BANDS
from tests.catalog.test_search import item, look, write
from tests.support.searches import answer, freeze_items

API = "https://example.org/stac?token=CATALOGKEY"
SIGNED = "https://data.example.org/{}.tif?X-Amz-Signature=QSECRETQ&X-Amz-Expires=60"


@pytest.fixture(autouse=True, scope="module")
def no_names():
    """No name is known: the catalogue is public."""

    def unknown(*_, **__):
        raise OSError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hrefs.socket, "getaddrinfo", unknown)
        yield


@pytest.fixture
def api(monkeypatch):
    """The items that every search gives now, and the URLs that were asked."""
    answers = {"items": [], "asked": []}

    def query_items(url, *_, **how):
        answers["asked"].append(url)
        return answer(*answers["items"])(**how)

    monkeypatch.setattr(module, "query_items", query_items)
    return answers


def frozen(found, folder):
    path = folder / "run" / "items.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(freeze_items(found)))
    return path


def renewing(path):
    sources, _ = sources_of(API, None, profile=None, s1_catalog=None, s1=False)
    return look(str(path), s1=False, renew=sources)


def test_a_signed_href_is_opened_and_frozen_without_its_key(api, tmp_path):
    api["items"] = [item("a", href=SIGNED)]

    found = look(API, s1=False)
    path = frozen(found, tmp_path)

    assert found.scenes[0].assets["B02"] == SIGNED.format("B02")
    assert "QSECRETQ" not in path.read_text()
    assert "CATALOGKEY" not in path.read_text()
    assert json.loads(path.read_text())["features"][0]["assets"]["B02"] == {
        "href": "https://data.example.org/B02.tif",
        "lulcmap:signed": True,
    }


def test_a_resumed_run_takes_the_hrefs_that_the_catalogue_signs_now(api, tmp_path):
    api["items"] = [item("a", href=SIGNED), item("b", href="https://data.example.org/b/{}.tif")]
    found = look(API, s1=False)
    path = frozen(found, tmp_path)
    later = SIGNED.replace("QSECRETQ", "LATER")
    api["items"] = [item("a", href=later), item("new", href=later)]

    again = renewing(path)

    assert [scene.id for scene in again.scenes] == ["a", "b"]
    assert again.scenes[0].assets["B02"] == later.format("B02")
    assert items_digest(again) == items_digest(found)
    assert freeze_items(again)["features"] == freeze_items(found)["features"]
    assert api["asked"] == [API, API]


def test_frozen_items_without_keys_ask_nobody(api, tmp_path):
    api["items"] = [item("a", href="https://data.example.org/{}.tif?versionId=3")]
    found = look(API, s1=False)
    path = frozen(found, tmp_path)

    again = renewing(path)

    assert again.scenes == found.scenes
    assert again.scenes[0].assets["B02"].endswith("versionId=3")
    assert api["asked"] == [API]


def test_a_key_is_asked_for_again_however_the_file_writes_that_there_was_one(api, tmp_path):
    api["items"] = [item("a", href=SIGNED)]
    path = frozen(look(API, s1=False), tmp_path)
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in "lulcmap:signed")
    path.write_text(path.read_text().replace("lulcmap:signed", escaped))

    assert renewing(path).scenes[0].assets["B02"] == SIGNED.format("B02")


@pytest.mark.parametrize("now", [[], [item("a", href="https://data.example.org/other/{}.tif?k=1")]])
def test_items_that_the_catalogue_gives_no_more_are_one_plain_line(api, tmp_path, now):
    api["items"] = [item("a", href=SIGNED)]
    path = frozen(look(API, s1=False), tmp_path)
    api["items"] = now

    with pytest.raises(ProviderError, match=r"1 items of this run need keys.*\(a\).*--workdir"):
        renewing(path)


def test_frozen_items_that_need_keys_are_skipped_by_name_without_their_catalogue(api, tmp_path):
    api["items"] = [item("a", href=SIGNED), item("b", href="https://data.example.org/{}.tif")]
    path = frozen(look(API, s1=False), tmp_path)

    again = look(str(path), s1=False)

    assert [scene.id for scene in again.scenes] == ["b"]
    assert again.skipped == (
        (
            "a",
            "the href of its B02 needs a key that is not kept with frozen items; give the "
            "catalogue they come from",
        ),
    )


def test_a_signature_of_another_provider_s_blobs_is_kept_until_it_is_frozen(tmp_path):
    blob = "https://account.blob.core.windows.net/container/{}.tif?sv=1&se=2&sp=r&sig=QSECRETQ"
    entry = item("a")
    entry["collection"] = EARTH_SEARCH.s2_collection
    entry["assets"] = {EARTH_SEARCH.assets[b]: {"href": blob.format(b)} for b in S2_BANDS}

    found = look(write(tmp_path, entry), s1=False, profile="earth-search")

    assert found.scenes[0].assets["B02"] == blob.format("B02")
    assert "QSECRETQ" not in json.dumps(freeze_items(found))


SECRETS = st.from_regex(r"Q[A-Za-z0-9]{12,30}Q", fullmatch=True)
PLACES = st.sampled_from(
    [
        *("query", "bare query", "fragment", "property", "deep", "asset", "band", "member"),
        *("catalogue", "id of a skipped item", "reason", "link"),
    ]
)


@given(SECRETS, PLACES, st.sampled_from(["token", "access_token", "apikey", "key", "sv", "sig"]))
def test_no_secret_of_a_catalogue_is_ever_frozen(secret, place, name):
    url = "https://data.example.org/{}.tif"
    locked = f"https://me:{secret}@data.example.org/a?{name}={secret}#{secret}"
    places = {
        "query": f"{url}?{name}={secret}",
        "bare query": f"{url}?{secret}",
        "fragment": f"{url}#{secret}",
    }
    entry = item("a", href=places.get(place, url))
    if place == "property":
        entry["properties"]["preview"] = f"see {locked}"
    elif place == "deep":
        entry["properties"]["x"] = {"y": [{"access_token": secret, "z": locked}]}
    elif place == "asset":
        entry["assets"]["B02"]["alternate"] = {"href": locked}
    elif place == "band":
        entry["assets"]["B02"]["bands"] = [{"description": locked}]
    elif place == "member":
        entry["providers"] = [{"url": locked, "token": secret}]
    elif place == "link":
        entry["links"] = [{"rel": "self", "href": locked}]
    elif place == "id of a skipped item":
        entry |= {"id": locked, "assets": {}}
    elif place == "reason":
        entry["properties"]["datetime"] = locked
    catalog = f"https://example.org/stac?{name}={secret}" if place == "catalogue" else API

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "query_items", answer(entry, notes=[locked]))
        found = find_scenes(
            shapely.MultiPolygon([shapely.box(6.2, 49.2, 6.4, 49.4)]),
            s2_period=(date(2024, 1, 1), date(2024, 12, 31)),
            s1_period=(date(2024, 1, 1), date(2024, 12, 31)),
            catalog=catalog,
            s1=False,
        )

    said = json.dumps([freeze_items(found), found.skipped, found.notes, found.provider])
    assert secret not in said
