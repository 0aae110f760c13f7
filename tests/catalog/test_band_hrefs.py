"""Hrefs that share their beginning are those that were given."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lulcmap.catalog.band_hrefs import BandHrefs

HREFS = st.dictionaries(
    st.sampled_from(["B02", "B03", "SCL", "VV"]),
    st.text(st.characters(exclude_characters="\0"), max_size=4).map(lambda end: f"https://a/{end}")
    | st.text("ab\n", max_size=3),
)


@given(HREFS)
def test_they_are_a_mapping_as_a_dict_is(given):
    hrefs = BandHrefs(given)

    assert (hrefs, given) == (given, hrefs)
    assert list(hrefs.items()) == list(given.items())
    assert len(hrefs) == len(given)
    assert repr(hrefs) == repr(given)
    assert all(hrefs[band] == hrefs.get(band) == given[band] for band in given)
    assert "B12" not in hrefs
    assert pickle.loads(pickle.dumps(hrefs)) == given


def test_a_band_that_is_not_there_is_a_key_error():
    with pytest.raises(KeyError, match="B12"):
        BandHrefs({"B02": "a"})["B12"]
