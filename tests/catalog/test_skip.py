"""Each reason to skip an item that the catalogue can give is counted under its kind."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from lulcmap import catalog
from lulcmap.catalog.skip import count_reasons

NO_OFFSET = "it states neither a processing baseline nor an offset, so +1000 is undecided"
KINDS = {
    "its cloud cover is {} %, more than {} %": "cloud cover above 9 %",
    "{} % of it is no data": "hardly any data",
    "its polarizations are {}, not VV and VH": "polarizations 9, not VV and VH",
    "its date is {}": "no date",
    "it lacks {}": "a band is missing",
    "the href of its {} {}": "an href 9",
    "its collection is {}": "its collection is 9",
    "its mode is {}, not IW": "its mode is 9, not IW",
    "it is {}, not surface reflectance (L2A)": "it is 9, not surface reflectance (L2A)",
    "it is not a valid STAC item ({})": "it is not a valid STAC item (9)",
    "it is not a STAC item": "it is not a STAC item",
    "it has no id": "it has no id",
    "its id has more than {} characters": "an id that cannot be",
    "its id has characters that cannot be shown": "an id that cannot be",
    "another item has the same id": "another item has the same id",
    "its values are nested too deeply": "its values are nested too deeply",
    "it states {}": "it states 9",
    "it has neither a geometry nor a bbox": "it has neither a geometry nor a bbox",
    "its bbox is not in degrees": "its bbox is not in degrees",
    "its bands state different offsets": "its bands state different offsets",
    NO_OFFSET: NO_OFFSET,
}
"""From reason, as the code has it with ``{}`` for values, to its kind where every value is 9."""


def reasons() -> Iterator[str]:
    """The reasons in the catalogue's code: those raised, and those listed at once."""
    for path in Path(catalog.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called, text = ast.unparse(node.func), node.args[0]
            if called == "skipped.append":
                continue
            if called in ("LeftOut", "LeftOut.of"):
                text = node.args[1]
            elif called != "SkippedItem":
                continue
            if isinstance(text, ast.Constant):
                yield text.value
            elif isinstance(text, ast.JoinedStr):
                yield "".join(
                    part.value if isinstance(part, ast.Constant) else "{}" for part in text.values
                )


def test_every_reason_of_the_catalogue_is_known_here():
    assert set(reasons()) == set(KINDS)


@pytest.mark.parametrize("reason", KINDS)
def test_a_reason_is_counted_under_its_kind(reason):
    values = ["9"] * reason.count("{}")

    assert count_reasons([reason.format(*values)] * 2) == {KINDS[reason]: 2}
