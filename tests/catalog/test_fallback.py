"""Which scenes of two providers are the same product, and that a frozen search keeps them."""

from datetime import datetime

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from lulcmap.catalog.fallback import pair, product_of
from lulcmap.catalog.found import FoundItem
from lulcmap.catalog.providers import CDSE, EARTH_SEARCH, PLANETARY_COMPUTER
from lulcmap.catalog.scene import Scene
from lulcmap.catalog.sources import CatalogSource, fallback_sources
from lulcmap.errors import UsageError
from lulcmap.imagery.reader import _with_offset

PC = CatalogSource(PLANETARY_COMPUTER.name, PLANETARY_COMPUTER)
S2 = "S2B_MSIL2A_20240605T105031_{}R051_T31UFS_20240605T140524"


def scene(name, *, product=None, sensor="s2"):
    return Scene(
        id=name,
        sensor=sensor,
        acquired=datetime(2024, 6, 5),
        datatake="x",
        bbox=(0.0, 0.0, 1.0, 1.0),
        epsg=None,
        orbit=None,
        orbit_state=None,
        cloud_cover=None,
        offset=0,
        assets={},
        product=product,
    )


@pytest.mark.parametrize(
    "other",
    [
        scene(S2.format("")),  # the Planetary Computer's id
        scene(S2.format("N0510_")),  # the Copernicus Data Space's
        scene("S2B_T31UFS_20240605T105031_L2A", product=S2.format("N0510_")),  # Earth Search's
    ],
    ids=["planetary-computer", "cdse", "earth-search"],
)
def test_each_provider_s_way_to_name_a_product_is_understood(other):
    assert product_of(other) == product_of(scene(S2.format("")))


def test_another_processing_or_tile_is_another_product():
    one = product_of(scene(S2.format("")))

    assert product_of(scene(S2.format("").replace("20240605T140524", "20250101T000000"))) != one
    assert product_of(scene(S2.format("").replace("T31UFS", "T31UFT"))) != one
    assert product_of(scene("a")) == product_of(scene("a")) != product_of(scene("b"))


def test_radar_products_are_told_by_their_start_orbit_and_datatake():
    name = "S1A_IW_GRDH_1SDV_20240120T173231_20240120T173300_052193_064F2B"

    assert product_of(scene(f"{name}_rtc", sensor="s1")) == product_of(
        scene(f"{name}_1A2B", sensor="s1")
    )


def test_a_scene_is_paired_with_the_same_product_only():
    found = [scene(S2.format("")), scene("b")]
    twin = scene(S2.format("N0510_"))

    others = [
        FoundItem(each, shapely.box(6, 49, 7, 50), b"", 0, "c", None, False)
        for each in (twin, scene("c"))
    ]
    paired, held = pair(found, others, {"s2": PC})

    assert [one.twin for one in paired] == [twin, None]
    assert held.scenes == (twin,)


def test_a_fallback_gives_the_sensors_that_it_has_calibrated():
    sources = {"s2": PC, "s1": PC}

    assert set(fallback_sources("earth-search", sources)) == {"s2"}
    assert set(fallback_sources("https://example.org/stac", sources)) == {"s2", "s1"}
    assert fallback_sources(None, sources) == {}
    mixed = {"s2": CatalogSource(EARTH_SEARCH.name, EARTH_SEARCH), "s1": PC}
    assert set(fallback_sources(PLANETARY_COMPUTER.name, mixed)) == {"s2"}
    with pytest.raises(UsageError, match="which --catalog is too"):
        fallback_sources(CDSE.name, {"s2": CatalogSource(CDSE.name, CDSE)})


@given(
    st.lists(st.integers(0, 20000), min_size=1),
    st.sampled_from([0, 1000]),
    st.sampled_from([0, 1000]),
)
def test_the_reflectance_is_the_same_whatever_the_offset_of_the_provider(values, given_, wanted):
    pixels = np.array(values, np.uint16)

    made = _with_offset(pixels, "B02", given_, wanted).astype(int)

    def reflectance(dn, offset):
        return np.where(dn == 0, 0, np.maximum(dn - offset, 1))

    np.testing.assert_array_equal(
        reflectance(made, wanted), reflectance(pixels.astype(int), given_)
    )
