"""Files of items read one at a time: the same values as all at once, and less memory."""

import io
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lulcmap.catalog import json_text
from lulcmap.catalog.item_collection import ItemCollection
from lulcmap.catalog.json_text import JsonText
from lulcmap.catalog.sources import SOURCES_MEMBER
from lulcmap.errors import UsageError

SOURCES = {"s2": {"provider": "file", "profile": "file"}}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=20,
)


def everything(text):
    """A value, read member by member and element by element as far as it goes."""
    if text.next() == "{":
        return {name: everything(text) for name in text.members()}
    if text.next() == "[":
        return list(text.elements())
    return text.value()


def whole(data):
    reader = JsonText(io.BytesIO(data))
    value = everything(reader)
    reader.end()
    return value


@given(VALUES, st.sampled_from([None, 1, "\t"]), st.booleans(), st.integers(1, 40))
def test_values_are_those_of_the_whole_text(value, indent, ascii_only, chunk):
    text = f" {json.dumps(value, indent=indent, ensure_ascii=ascii_only)}\n"
    data = text.encode("utf-8", "surrogatepass")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_text, "_CHUNK", chunk)
        read = whole(data)

    assert read == json.loads(data)


@given(VALUES, st.data())
def test_a_text_that_is_cut_or_goes_on_is_no_json(value, data):
    text = json.dumps([value])
    end = data.draw(st.integers(0, len(text) - 1))

    for wrong in (text[:end], f"{text},", f"{text}]"):
        with pytest.raises(ValueError, match=r"."):
            whole(wrong.encode())


def saved(tmp_path, text):
    path = tmp_path / "items.json"
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return ItemCollection.open(str(path))


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("first", [True, False])
def test_members_are_known_wherever_they_stand(tmp_path, indent, first):
    members = {"type": "FeatureCollection", SOURCES_MEMBER: SOURCES, "lulcmap:notes": ["a"]}
    held = {"lulcmap:fallback": {"sources": {"s2": 1}, "features": [{"id": "twin"}]}}
    items = {"features": [{"id": "a", "features": [1]}, {"id": "b"}]}
    parts = (members, held, items) if first else (items, held, members)
    values = {name: value for part in parts for name, value in part.items()}

    file = saved(tmp_path, json.dumps(values, indent=indent))

    assert file.members == {**members, "lulcmap:fallback": {"sources": {"s2": 1}}}
    assert list(file.items()) == list(file.items()) == items["features"]
    assert list(file.fallback_items()) == [{"id": "twin"}]
    assert list(ItemCollection.open(values).items()) == items["features"]
    assert list(ItemCollection.open(values).fallback_items()) == [{"id": "twin"}]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_members_are_known_in_every_encoding_of_json(tmp_path, encoding):
    members = {"type": "FeatureCollection", SOURCES_MEMBER: SOURCES}
    (tmp_path / "items.json").write_bytes(
        json.dumps({**members, "features": [{"id": "a"}]}).encode(encoding)
    )

    file = ItemCollection.open(str(tmp_path / "items.json"))

    assert file.members == members
    assert list(file.items()) == [{"id": "a"}]


def test_what_follows_the_items_of_a_frozen_file_is_not_left_out_silently(tmp_path):
    values = {"type": "FeatureCollection", SOURCES_MEMBER: SOURCES, "features": [], "extra": 1}

    with pytest.raises(UsageError, match="'extra' after its items"):
        list(saved(tmp_path, values).items())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"type": "FeatureCollection", "features": [{}, {]}', "damaged or cut short"),
        ('{"type": "FeatureCollection", "features": [{}', "damaged or cut short"),
        ('{"type": "FeatureCollection", "features": []} 1', "damaged or cut short"),
        ('{"type": "FeatureCollection", "features": [' + "[" * 10**5, "nested too deeply"),
        ('{"type": "Feature", "features": []}', "not a STAC ItemCollection"),
        ('{"features": []}', "not a STAC ItemCollection"),
        ('{"type": "FeatureCollection", "features": {}}', "not a STAC ItemCollection"),
        ("[1]", "not a STAC ItemCollection"),
        ("", "damaged or cut short"),
    ],
)
@pytest.mark.parametrize("ours", [True, False])
def test_a_file_that_is_none_is_refused(tmp_path, text, said, ours):
    if ours:
        text = text.replace("{", f'{{"{SOURCES_MEMBER}": {{}}, ', 1).replace(", }", "}")

    with pytest.raises(UsageError, match=said):
        list(saved(tmp_path, text).items())


def test_a_large_file_takes_no_more_memory_than_a_part_of_it(tmp_path):
    item = {"id": "a", "assets": {f"asset {n}": {"href": "x" * 200} for n in range(40)}}
    file = saved(tmp_path, {"type": "FeatureCollection", "features": [item] * 2000})

    tracemalloc.start()
    count = sum(1 for _ in file.items())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 2000
    assert peak < (tmp_path / "items.json").stat().st_size / 2
